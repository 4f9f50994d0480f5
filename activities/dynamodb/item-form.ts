/** One form for an item, whether it is read from an export's line or from the table. Pure. */
import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { TableKeys } from '../../spec/dynamodb-restore-state.ts';

/** An attribute as a line of an export has it: binary is base64 there, where the SDK has bytes. */
export type Typed = Record<string, unknown>;
export type TypedItem = Record<string, Typed>;

/**
 * Equal texts for equal items: attributes and sets are sorted, numbers are written one way, binary is base64.
 * @throws Error for a type that DynamoDB does not have
 */
export function canonical(item: Record<string, unknown>): string {
  return JSON.stringify(mapForm(item));
}

function mapForm(map: Record<string, unknown>): [string, unknown][] {
  return Object.keys(map)
    .sort()
    .map((name) => [name, valueForm(map[name] as Typed)]);
}

function valueForm(value: Typed): unknown {
  const [type, held] = Object.entries(value).find(([, given]) => given !== undefined) ?? ['', undefined];
  switch (type) {
    case 'S':
    case 'BOOL':
    case 'NULL':
      return [type, held];
    case 'N':
      return [type, numberForm(held as string)];
    case 'B':
      return [type, base64(held)];
    case 'SS':
      return [type, [...(held as string[])].sort()];
    case 'NS':
      return [type, (held as string[]).map(numberForm).sort()];
    case 'BS':
      return [type, (held as unknown[]).map(base64).sort()];
    case 'L':
      return [type, (held as Typed[]).map(valueForm)];
    case 'M':
      return [type, mapForm(held as Record<string, unknown>)];
    default:
      throw new Error(`an attribute of the type ${type || 'none'}`);
  }
}

const base64 = (held: unknown) =>
  typeof held === 'string' ? held : Buffer.from(held as Uint8Array).toString('base64');

/** `1.50`, `15e-1` and `1.5` are one number; 38 digits are more than a JavaScript number holds. */
export function numberForm(text: string): string {
  const parts = /^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d+))?$/.exec(text.trim());
  if (!parts) return text;
  const [, sign, whole = '', fraction = '', exponent = '0'] = parts;
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  const bare = digits.replace(/0+$/, '');
  if (bare === '') return '0';
  const power = Number(exponent) - fraction.length + (digits.length - bare.length);
  return `${sign === '-' ? '-' : ''}${bare}e${power}`;
}

/** The item's key, as the SDK takes it. @throws Error where the item has not all of it */
export function keyOf(item: TypedItem, { partitionKey, sortKey }: TableKeys): Record<string, AttributeValue> {
  const key: Record<string, AttributeValue> = {};
  for (const { name, type } of [partitionKey, ...(sortKey ? [sortKey] : [])]) {
    const held = item[name]?.[type];
    if (typeof held !== 'string') throw new Error(`it has no key attribute ${name} of the type ${type}`);
    key[name] = type === 'B' ? { B: Buffer.from(held, 'base64') } : type === 'N' ? { N: held } : { S: held };
  }
  return key;
}
