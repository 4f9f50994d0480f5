import { createHash } from 'node:crypto';
import type { Item } from './moto.ts';

/** Members in a fixed order, sets sorted: two values with the same text are the same to DynamoDB. */
function canonical(value: unknown, type?: string): unknown {
  if (Array.isArray(value)) {
    const items = value.map((entry) => canonical(entry));
    return type === 'SS' || type === 'NS' || type === 'BS' ? items.map(String).sort() : items;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, entry]) => [key, canonical(entry, key)]),
  );
}

/** Whether two images of an item are the same; undefined is no item. */
export function sameItem(a: Item | undefined, b: Item | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return JSON.stringify(canonical(a)) === JSON.stringify(canonical(b));
}

/** The item's primary key alone. */
export function keyOf(item: Item, keys: readonly string[]): Item {
  return Object.fromEntries(keys.map((name) => [name, item[name] ?? {}]));
}

/** The primary key as a text, to look an item up by. */
export function keyText(item: Item, keys: readonly string[]): string {
  return JSON.stringify(keys.map((name) => canonical(item[name])));
}

/** Which of `count` partitions an item is in: by its partition key, as on AWS. */
export function partitionOf(item: Item, keys: readonly string[], count: number): number {
  const partitionKey = keys.slice(0, 1);
  return createHash('md5').update(keyText(item, partitionKey)).digest().readUInt32BE(0) % count;
}

/** About what AWS would bill for an item. */
export function sizeOf(item: Item): number {
  return Buffer.byteLength(JSON.stringify(item));
}
