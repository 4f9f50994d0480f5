/** The digests of digest-script.ts, byte for byte, made here out of replies to plain commands. */
import { createHash } from 'node:crypto';

const sha1 = (...parts: Buffer[]) => parts.reduce((hash, part) => hash.update(part), createHash('sha1')).digest('hex');

function packedLength(length: number, small: number, marks: [number, number, number, number]): Buffer {
  if (length < small) return Buffer.from([marks[0] | length]);
  if (length <= 0xff && marks[1] !== 0) return Buffer.from([marks[1], length]);
  const long = length > 0xffff;
  const head = Buffer.alloc(long ? 5 : 3);
  head[0] = long ? marks[3] : marks[2];
  if (long) head.writeUInt32BE(length, 1);
  else head.writeUInt16BE(length, 1);
  return head;
}

/** What the server's `cmsgpack.pack` makes of a list of strings; unambiguous, since it writes lengths. */
export function packed(items: readonly Buffer[]): Buffer {
  const parts = [packedLength(items.length, 16, [0x90, 0, 0xdc, 0xdd])];
  for (const item of items) parts.push(packedLength(item.length, 32, [0xa0, 0xd9, 0xda, 0xdb]), item);
  return Buffer.concat(parts);
}

export const digestOf = (...parts: Buffer[]): string => sha1(...parts);

/** Order-free: the members' digests added up in four parts of 40 bits, exact for up to 8,192 members. */
export function sumOf(items: Iterable<Buffer>): string {
  const sums = [0, 0, 0, 0];
  for (const item of items) {
    const hex = sha1(item);
    for (let i = 0; i < 4; i++) sums[i] = (sums[i] ?? 0) + Number.parseInt(hex.slice(i * 10, i * 10 + 10), 16);
  }
  return sums.join('.');
}

/** A sorted set's score as 8 bytes: versions print the same double differently, and -0 equals 0. */
export function scoreBytes(text: Buffer): Buffer {
  const score = text.toString();
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE((score === 'inf' ? Infinity : score === '-inf' ? -Infinity : Number(score)) + 0);
  return bytes;
}

/** One field of a hash with its value and, where it has one, its own expiry. */
export function fieldBytes(field: Buffer, value: Buffer, expireAt: string): Buffer {
  return Buffer.concat([Buffer.from(`${expireAt}:${field.length}:`), field, value]);
}

/** DUMP without its last 10 bytes: RDB version and checksum differ between engine versions. */
export const dumpBody = (dump: Buffer): Buffer => dump.subarray(0, Math.max(0, dump.length - 10));

const HLL_HEADER_BYTES = 16;

/**
 * A string, and a HyperLogLog without the count that PFCOUNT keeps in its bytes 8 to 15. The magic word and one of the two
 * encodings (0 dense, 1 sparse): anything else is no HyperLogLog to the server, and never written by PFCOUNT.
 */
export function withoutCount(value: Buffer): Buffer {
  if (value.length < HLL_HEADER_BYTES || value.toString('latin1', 0, 4) !== 'HYLL' || value[4]! > 1) return value;
  return Buffer.from(value).fill(0, 8, HLL_HEADER_BYTES);
}
