import { AwsFault } from '../faults.ts';
import { readJson } from '../dms/json-protocol.ts';
import { constraint, invalid, notServed } from './faults.ts';
import type { DynamoDb } from './service.ts';

/** Members whose types json-protocol.ts does not know, or that the sandbox would have to ignore. */
const NOT_SERVED = ['FilterSpecification', 'VectorIndexOverride', 'VectorIndexes'];

/** Reads an input by the SDK's schema. @throws AwsFault ValidationException, SerializationException */
export function readInput(body: string, schema: unknown): Record<string, unknown> {
  for (const member of NOT_SERVED) if (new RegExp(`"${member}"\\s*:`).test(body)) throw notServed(member);
  try {
    return readJson(body, schema);
  } catch (error) {
    if (!(error instanceof AwsFault)) throw error;
    if (error.code === 'SerializationException') {
      throw new AwsFault('com.amazon.coral.service#SerializationException', error.message);
    }
    // The reader was written for DMS: a member that is missing is refused with DMS's code there.
    const missing = /^The parameter (\S+) must be provided/.exec(error.message)?.[1];
    if (missing === undefined) throw error;
    throw constraint(camel(missing), undefined, 'not be null');
  }
}

function camel(path: string): string {
  return path.replaceAll(/(^|\.)([A-Z])/g, (_, dot: string, letter: string) => dot + letter.toLowerCase());
}

/** @throws AwsFault ValidationException. `member` as in the model; undefined passes. */
export function checkPattern(member: string, value: string | undefined, pattern: RegExp, longest: number): void {
  if (value === undefined) return;
  if (value.length > longest) {
    throw constraint(camel(member), value, `have length less than or equal to ${longest}`);
  }
  if (!pattern.test(value)) {
    throw constraint(camel(member), value, `satisfy regular expression pattern: ${pattern.source}`);
  }
}

/** @throws AwsFault ValidationException naming the values allowed. */
export function checkOneOf<T extends string>(
  member: string,
  value: string | undefined,
  allowed: readonly T[],
  or: T,
): T {
  if (value === undefined) return or;
  const found = allowed.find((entry) => entry === value);
  if (found === undefined) throw constraint(camel(member), value, `satisfy enum value set: [${allowed.join(', ')}]`);
  return found;
}

/** @throws AwsFault ValidationException outside of `min` to `max`, both allowed. */
export function checkRange(member: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined) return;
  if (!Number.isInteger(value)) throw constraint(camel(member), value, 'be an integer');
  if (value < min) throw constraint(camel(member), value, `have value greater than or equal to ${min}`);
  if (value > max) throw constraint(camel(member), value, `have value less than or equal to ${max}`);
}

/** A table's name from its name or its ARN. @throws AwsFault ValidationException for what is neither */
export function tableName(db: DynamoDb, member: string, given: string): string {
  const prefix = db.arn('table/');
  const name = given.startsWith(prefix) ? given.slice(prefix.length) : given;
  if (given.startsWith('arn:') && name === given) {
    // A table of another account or Region is not there; it is said as what it is, or nobody finds the slip.
    throw invalid(`Invalid table ARN ${given}: this is ${db.cloud.account} in ${db.cloud.region}.`);
  }
  checkPattern(member, name, /^[a-zA-Z0-9_.-]+$/, 255);
  if (name.length < 3) throw constraint(camel(member), name, 'have length greater than or equal to 3');
  return name;
}

/** A table's name from its ARN alone. @throws AwsFault ValidationException for anything else */
export function tableOfArn(db: DynamoDb, member: string, arn: string): string {
  if (!arn.startsWith('arn:')) {
    throw constraint(camel(member), arn, 'satisfy regular expression pattern: arn:aws[a-z-]*:dynamodb:…:table/…');
  }
  return tableName(db, member, arn);
}

/** The request without its token: the same for the same request. */
export function fingerprint(body: string): string {
  const { ClientToken: _token, ...rest } = JSON.parse(body) as Record<string, unknown>;
  return JSON.stringify(rest, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

/**
 * One page of a list. The token is the ARN of the last one given, so that new ones neither repeat nor hide others.
 * @throws AwsFault ValidationException for a token that is not ours
 */
export function pageOf<T extends { arn: string }>(
  all: readonly T[],
  size: number,
  token: string | undefined,
): { items: T[]; NextToken?: string } {
  const last = token === undefined ? undefined : Buffer.from(token, 'base64url').toString('utf8');
  const at = last === undefined ? -1 : all.findIndex((entry) => entry.arn === last);
  if (last !== undefined && at < 0) throw invalid('Invalid NextToken.');
  const items = all.slice(at + 1, at + 1 + size);
  const end = items.at(-1);
  if (end === undefined || end === all.at(-1)) return { items };
  return { items, NextToken: Buffer.from(end.arn).toString('base64url') };
}
