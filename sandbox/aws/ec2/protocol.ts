/**
 * EC2's protocol, by the SDK's own schemas (see dms/json-protocol.ts for their form). In: `TagSpecification.1.Tag.1.Key`,
 * every list flattened. Out: XML without a Result element, list elements mostly `<item>` (facts/redis-aws 5.2).
 */
import { AwsFault } from '../faults.ts';
import { escapeXml } from '../xml.ts';

type Schema = unknown;
type Traits = Record<string, unknown>;

const TYPES = { string: 0, number: 1, boolean: 2 } as const;
/** Timestamps in the SDK's forms; EC2 reads and writes ISO 8601. */
const TIMESTAMPS: ReadonlySet<number> = new Set([4, 5, 6, 7]);
const BLOB = 21;
const LIST_OF = 64;
const ENVELOPE = new Set(['Action', 'Version']);

interface Unwrapped {
  schema: number | unknown[];
  traits: Traits;
}

/** EC2's form of a refusal, which is not the other Query services' (facts/redis-aws 5.2). */
export function ec2FaultBody(code: string, message: string, requestId: string): string {
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>${escapeXml(code)}</Code>` +
    `<Message>${escapeXml(message)}</Message></Error></Errors><RequestID>${requestId}</RequestID></Response>`
  );
}

/** Reads a call's members. @throws AwsFault MissingParameter, UnknownParameter, InvalidParameterValue as EC2 answers */
export function readEc2(form: ReadonlyMap<string, string>, schema: Schema): Record<string, unknown> {
  const used = new Set<string>();
  const read = readStruct('', unwrapped(schema).schema as unknown[], form, used) ?? {};
  for (const key of form.keys()) {
    if (!used.has(key) && !ENVELOPE.has(key))
      throw new AwsFault('UnknownParameter', `The parameter ${key} is not recognized`);
  }
  return read;
}

function readStruct(
  prefix: string,
  schema: unknown[],
  form: ReadonlyMap<string, string>,
  used: Set<string>,
): Record<string, unknown> | undefined {
  const { names, types, required } = structOf(schema);
  const read: Record<string, unknown> = {};
  for (const [i, name] of names.entries()) {
    const member = unwrapped(types[i]);
    const key = prefix + inputName(name, member.traits);
    const value = readShape(key, member, form, used);
    if (value !== undefined) read[name] = value;
  }
  // A structure that was not given at all lacks nothing.
  if (prefix !== '' && Object.keys(read).length === 0) return undefined;
  for (const [i, name] of names.slice(0, required).entries()) {
    const value = read[name];
    if (value !== undefined && value !== '') continue;
    const key = prefix + inputName(name, unwrapped(types[i]).traits);
    throw new AwsFault('MissingParameter', `The request must contain the parameter ${key}`);
  }
  return read;
}

function readShape(key: string, { schema }: Unwrapped, form: ReadonlyMap<string, string>, used: Set<string>): unknown {
  if (Array.isArray(schema) && schema[0] === 3) return readStruct(`${key}.`, schema, form, used);
  if (Array.isArray(schema) && schema[0] === 1) return readList(key, schema[4], form, used);
  if (typeof schema !== 'number') throw new Error(`sandbox: ${key} has a type that ec2/protocol.ts does not know`);
  if ((schema & LIST_OF) !== 0) return readList(key, schema & ~LIST_OF, form, used);
  const text = form.get(key);
  if (text === undefined) return undefined;
  used.add(key);
  return readSimple(key, schema, text);
}

function readList(
  key: string,
  of: Schema,
  form: ReadonlyMap<string, string>,
  used: Set<string>,
): unknown[] | undefined {
  const items: unknown[] = [];
  const member = unwrapped(of);
  for (;;) {
    const item = readShape(`${key}.${items.length + 1}`, member, form, used);
    if (item === undefined) break;
    items.push(item);
  }
  // An empty list comes as `Name=`.
  if (form.get(key) === '') used.add(key);
  return items.length === 0 ? undefined : items;
}

function readSimple(key: string, schema: number, text: string): unknown {
  const wrong = (expected: string): AwsFault =>
    new AwsFault('InvalidParameterValue', `Invalid value '${text}' for ${key}. Expecting ${expected}.`);
  switch (true) {
    case schema === TYPES.string:
      return text;
    case schema === TYPES.number:
      if (!/^-?\d+$/.test(text)) throw wrong('an integer');
      return Number(text);
    case schema === TYPES.boolean:
      if (!/^(true|false)$/i.test(text)) throw wrong('a boolean (true or false)');
      return text.toLowerCase() === 'true';
    case TIMESTAMPS.has(schema):
      if (Number.isNaN(Date.parse(text))) throw wrong('an ISO 8601 date');
      return new Date(text);
    case schema === BLOB:
      return Buffer.from(text, 'base64');
    default:
      throw new Error(`sandbox: ${key} has type ${schema}, which ec2/protocol.ts does not know`);
  }
}

/** `<CreateImageResponse …><requestId/>…`. Members that the schema does not have are a mistake of ours. */
export function writeEc2(action: string, schema: Schema, output: object, requestId: string): string {
  // The SDK has a word for "nothing"; EC2 says `true` then.
  const body = isNothing(schema)
    ? '<return>true</return>'
    : writeStruct(action, unwrapped(schema).schema as unknown[], output as Record<string, unknown>);
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<${action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">` +
    `<requestId>${requestId}</requestId>${body}</${action}Response>`
  );
}

function isNothing(schema: Schema): boolean {
  return (typeof schema === 'function' ? (schema as () => Schema)() : schema) === 'unit';
}

function writeStruct(path: string, schema: unknown[], value: Record<string, unknown>): string {
  const { names, types } = structOf(schema);
  let text = '';
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined) continue;
    const at = names.indexOf(name);
    if (at < 0) throw new Error(`sandbox: ${path} has no member ${name}`);
    const type = unwrapped(types[at]);
    text += writeShape(`${path}.${name}`, xmlName(type.traits, name), type, member);
  }
  return text;
}

function writeShape(path: string, element: string, { schema }: Unwrapped, value: unknown): string {
  const wrap = (content: string): string => `<${element}>${content}</${element}>`;
  if (Array.isArray(schema) && schema[0] === 3)
    return wrap(writeStruct(path, schema, value as Record<string, unknown>));
  const list = listOf(schema);
  if (list !== undefined) {
    const member = unwrapped(list);
    const item = xmlName(member.traits, 'item');
    return wrap((value as unknown[]).map((entry) => writeShape(path, item, member, entry)).join(''));
  }
  if (value instanceof Date) return wrap(value.toISOString());
  if (Buffer.isBuffer(value)) return wrap(value.toString('base64'));
  return wrap(escapeXml(String(value)));
}

function listOf(schema: number | unknown[]): Schema {
  if (Array.isArray(schema)) return schema[0] === 1 ? schema[4] : undefined;
  return (schema & LIST_OF) === 0 ? undefined : schema & ~LIST_OF;
}

function structOf(schema: unknown[]): { names: string[]; types: Schema[]; required: number } {
  const [, , , , names, types, required = 0] = schema as [number, string, string, unknown, string[], Schema[], number?];
  return { names, types, required };
}

function unwrapped(given: Schema, traits: Traits = {}): Unwrapped {
  if (typeof given === 'function') return unwrapped((given as () => Schema)(), traits);
  if (typeof given === 'number') return { schema: given, traits };
  if (!Array.isArray(given)) throw new Error('sandbox: a schema of an unknown form');
  if (given.length === 2) {
    const own = typeof given[1] === 'object' && given[1] !== null ? (given[1] as Traits) : {};
    return unwrapped(given[0], { ...own, ...traits });
  }
  // A simple type with a name of its own, as for texts that are not to be logged.
  if (given[0] === 0) return unwrapped(given[4], traits);
  return { schema: given, traits };
}

function xmlName({ xmlName: own }: Traits, otherwise: string): string {
  return typeof own === 'string' ? own : otherwise;
}

/** As the SDK chooses it: EC2's own name, else the XML's with a capital first letter. */
function inputName(name: string, traits: Traits): string {
  if (typeof traits['ec2QueryName'] === 'string') return traits['ec2QueryName'];
  const xml = typeof traits['xmlName'] === 'string' ? traits['xmlName'] : name;
  return xml.charAt(0).toUpperCase() + xml.slice(1);
}
