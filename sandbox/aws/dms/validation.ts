import { invalidValue } from './faults.ts';

/**
 * An identifier as DMS takes it. @returns it in lower case, as AWS keeps it.
 * @throws AwsFault InvalidParameterValueException.
 */
export function checkIdentifier(parameter: string, given: string | undefined, longest = 255): string {
  const id = required(parameter, given);
  if (!/^[a-zA-Z][a-zA-Z0-9-]*$/.test(id) || id.endsWith('-') || id.includes('--') || id.length > longest) {
    throw invalidValue(
      `The parameter ${parameter} is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII ` +
        `letters, digits, and hyphens; must not end with a hyphen or contain two consecutive hyphens; and must be 1 to ${longest} characters long.`,
    );
  }
  return id.toLowerCase();
}

/** @throws AwsFault InvalidParameterValueException for undefined and the empty string. */
export function required<T>(parameter: string, given: T | undefined): T {
  if (given === undefined || given === '') {
    throw invalidValue(`The parameter ${parameter} must be provided and must not be blank.`);
  }
  return given;
}

/** @throws AwsFault InvalidParameterValueException naming the values allowed. */
export function oneOf<T extends string>(parameter: string, given: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === given);
  if (found === undefined) {
    throw invalidValue(`Invalid value '${given}' for ${parameter}. Must be one of: ${allowed.join(', ')}.`);
  }
  return found;
}

/** @throws AwsFault InvalidParameterValueException outside of `min` to `max`, both allowed. */
export function inRange(parameter: string, given: number, min: number, max: number): number {
  if (!Number.isInteger(given) || given < min || given > max) {
    throw invalidValue(`Invalid value ${given} for ${parameter}. Must be an integer between ${min} and ${max}.`);
  }
  return given;
}

/** @throws AwsFault InvalidParameterValueException when it is no ARN of that kind in this account and Region. */
export function checkArn(parameter: string, arn: string, prefix: string): string {
  if (!arn.startsWith(prefix) || arn.length === prefix.length) {
    throw invalidValue(`Invalid ARN '${arn}' for ${parameter}. Expected ${prefix}…`);
  }
  return arn;
}
