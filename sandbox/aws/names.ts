import { invalidValue } from './faults.ts';

/**
 * A name as AWS takes it: 1 to `longest` letters, digits and hyphens, a letter first, no hyphen last, no two hyphens
 * together. @returns it in lower case, as AWS keeps it. @throws AwsFault InvalidParameterValue.
 */
export function checkName(parameter: string, name: string | undefined, longest = 40): string {
  if (name === undefined || name === '') {
    throw invalidValue(`The parameter ${parameter} must be provided and must not be blank.`);
  }
  if (!/^[a-zA-Z][a-zA-Z0-9-]*$/.test(name) || name.endsWith('-') || name.includes('--') || name.length > longest) {
    throw invalidValue(
      `The parameter ${parameter} is not a valid identifier. Identifiers must begin with a letter; must contain only ` +
        `ASCII letters, digits, and hyphens; must not end with a hyphen or contain two consecutive hyphens; and must be 1 to ${longest} characters long.`,
    );
  }
  return name.toLowerCase();
}
