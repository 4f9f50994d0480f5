import { invalidValue } from './faults.ts';
import type { Operation, Shape } from './shapes.ts';

/** Keys of every form that are no members of the call. */
const ENVELOPE = new Set(['Action', 'Version']);

/**
 * Reads the form of an awsQuery call by its shape, as strictly as AWS: a missing required member, a wrong type
 * and a name that is not in the model are all refused with `InvalidParameterValue`.
 */
export function readInput(operation: Operation, form: ReadonlyMap<string, string>): Record<string, unknown> {
  const used = new Set<string>(ENVELOPE);
  const input = readMembers('', operation.members, form, used);
  for (const name of operation.required) {
    const value = input[name];
    if (value === undefined || value === '' || (Array.isArray(value) && value.length === 0)) {
      throw invalidValue(`The parameter ${name} must be provided and must not be blank.`);
    }
  }
  for (const key of form.keys()) {
    if (!used.has(key)) throw invalidValue(`Unknown parameter: ${key}.`);
  }
  return input;
}

function readMembers(
  prefix: string,
  members: Record<string, Shape>,
  form: ReadonlyMap<string, string>,
  used: Set<string>,
): Record<string, unknown> {
  const read: Record<string, unknown> = {};
  for (const [name, shape] of Object.entries(members)) {
    const value = readShape(prefix + name, shape, form, used);
    if (value !== undefined) read[name] = value;
  }
  return read;
}

function readShape(key: string, shape: Shape, form: ReadonlyMap<string, string>, used: Set<string>): unknown {
  if (typeof shape === 'object' && 'struct' in shape) {
    const read = readMembers(`${key}.`, shape.struct, form, used);
    return Object.keys(read).length > 0 ? read : undefined;
  }
  if (typeof shape === 'object' && 'list' in shape) return readList(key, shape.list, shape.of, form, used);
  const text = form.get(key);
  if (text === undefined) return undefined;
  used.add(key);
  return readScalar(key, shape, text);
}

function readList(
  key: string,
  element: string,
  of: Shape,
  form: ReadonlyMap<string, string>,
  used: Set<string>,
): unknown[] | undefined {
  const items: unknown[] = [];
  for (;;) {
    const item = readShape(`${key}.${element}.${items.length + 1}`, of, form, used);
    if (item === undefined) break;
    items.push(item);
  }
  if (items.length > 0) return items;
  // The SDK sends an empty list as `Name=`.
  if (form.get(key) !== '') return undefined;
  used.add(key);
  return [];
}

function readScalar(key: string, shape: Exclude<Shape, { list: string } | { struct: object }>, text: string): unknown {
  if (typeof shape === 'object') {
    if (shape.oneOf.includes(text)) return text;
    throw invalidValue(`Invalid value '${text}' for ${key}. Must be one of: ${shape.oneOf.join(', ')}.`);
  }
  switch (shape) {
    case 'string':
      return text;
    case 'boolean': {
      const lower = text.toLowerCase();
      if (lower !== 'true' && lower !== 'false') throw invalidValue(`${key} must be a boolean, not '${text}'.`);
      return lower === 'true';
    }
    case 'integer': {
      const value = Number(text);
      if (!/^-?\d{1,10}$/.test(text)) throw invalidValue(`${key} must be an integer, not '${text}'.`);
      return value;
    }
    case 'timestamp': {
      const date = new Date(text);
      if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(date.getTime())) {
        throw invalidValue(`${key} must be an ISO 8601 timestamp, not '${text}'.`);
      }
      return date;
    }
  }
}
