import { serialization } from './faults.ts';
import { required } from './validation.ts';

/**
 * The SDK's own schema of a type, in the form its clients use (`@aws-sdk/…/schemas`): a number for a simple type, or
 * `[1, namespace, name, traits, element]` for a list and `[3, namespace, name, traits, names, types, required]` for a
 * structure, whose required members come first; either may be wrapped as `[schema, traits]` or in a function.
 */
type Schema = unknown;

const STRING = 0;
const NUMBER = 1;
const BOOLEAN = 2;
const TIMESTAMP = 4;
const LIST_OF = 64;

/** Reads an input by its schema. @throws AwsFault SerializationException for JSON that does not fit the model. */
export function readJson(body: string, schema: Schema): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body === '' ? '{}' : body);
  } catch {
    throw serialization('The request body is not valid JSON.');
  }
  return readShape('', schema, parsed) as Record<string, unknown>;
}

function readShape(path: string, given: Schema, value: unknown): unknown {
  const schema = unwrapped(given);
  if (typeof schema === 'number') return readSimple(path, schema, value);
  if (Array.isArray(schema) && schema[0] === 1) return readList(path, schema[4], value);
  if (Array.isArray(schema) && schema[0] === 0) return readShape(path, schema[4], value);
  if (Array.isArray(schema) && schema[0] === 3) return readStruct(path, schema, value);
  // A recursive or streamed type: DMS's calls served here have none.
  throw new Error(`sandbox: ${path} has a type that json-protocol.ts does not know`);
}

function unwrapped(schema: Schema): Schema {
  if (typeof schema === 'function') return unwrapped((schema as () => Schema)());
  if (Array.isArray(schema) && schema.length === 2) return unwrapped(schema[0]);
  return schema;
}

function readStruct(path: string, schema: unknown[], value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(path, 'a structure', value);
  const [, , , , names, types, requiredCount = 0] = schema as [
    number,
    string,
    string,
    unknown,
    string[],
    Schema[],
    number?,
  ];
  const read: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    const at = names.indexOf(name);
    const full = path === '' ? name : `${path}.${name}`;
    // AWS's own front door is not the same everywhere here; a misspelt member that is dropped silently is the worse of the two.
    if (at < 0) throw serialization(`Unknown member: ${full}.`);
    if (member !== null) read[name] = readShape(full, types[at], member);
  }
  for (const name of names.slice(0, requiredCount)) {
    const member = read[name];
    required(path === '' ? name : `${path}.${name}`, Array.isArray(member) && member.length === 0 ? '' : member);
  }
  return read;
}

function readList(path: string, of: Schema, value: unknown): unknown[] {
  if (!Array.isArray(value)) throw wrongType(path, 'a list', value);
  return value.map((item, i) => readShape(`${path}[${i}]`, of, item));
}

function readSimple(path: string, schema: number, value: unknown): unknown {
  if ((schema & LIST_OF) !== 0) return readList(path, schema & ~LIST_OF, value);
  const type = typeof value;
  switch (schema) {
    case STRING:
      if (type === 'string') return value;
      throw wrongType(path, 'a string', value);
    case NUMBER:
      if (type === 'number') return value;
      throw wrongType(path, 'a number', value);
    case BOOLEAN:
      if (type === 'boolean') return value;
      throw wrongType(path, 'a boolean', value);
    case TIMESTAMP:
      if (type === 'number') return new Date((value as number) * 1000);
      throw wrongType(path, 'a timestamp in epoch seconds', value);
    default:
      throw new Error(`sandbox: ${path} has type ${schema}, which json-protocol.ts does not know`);
  }
}

function wrongType(path: string, expected: string, value: unknown): Error {
  const found = value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
  return serialization(`${path === '' ? 'The input' : path} must be ${expected}, not ${found}.`);
}

/** An output as JSON 1.1: dates as epoch seconds, undefined members left out. */
export function writeJson(output: object): string {
  return JSON.stringify(output, function (this: Record<string, unknown>, key, value: unknown) {
    // JSON.stringify has made a text of a date before it asks here.
    const before = this[key];
    return before instanceof Date ? before.getTime() / 1000 : value;
  });
}

/** The members of a call for the log of calls, without secrets. Empty when the body is no JSON object. */
export function loggedJson(body: string): Record<string, string> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return {};
  }
  if (typeof parsed !== 'object' || parsed === null) return {};
  const hidden = (key: string, value: unknown): unknown =>
    /password/i.test(key) ||
    (typeof value === 'string' && key === 'ExtraConnectionAttributes' && /password/i.test(value))
      ? '***'
      : value;
  return Object.fromEntries(
    Object.entries(parsed).map(([key, value]) => {
      const shown = hidden(key, value);
      return [key, typeof shown === 'string' ? shown : JSON.stringify(shown, hidden)];
    }),
  );
}
