/** What stands at the beginning of an RDB: the magic word, its version, and its maker's notes (AUX fields). */
import type { RdbFacts } from '../../../spec/redis-rdb.ts';

/** Both words with their number have nine bytes: `REDIS0011`, `VALKEY080`. */
const MAGIC = /^(REDIS|VALKEY)(\d{3,4})$/;
export const MAGIC_BYTES = 9;

/** The AUX fields of a server's own are within this; modules' come after them and are not read. */
export const HEADER_BYTES = 4096;

const AUX = 0xfa;

export type RdbHeader = Omit<RdbFacts, 'bytes' | 'crc64'>;

/** From the first `HEADER_BYTES`, or all that there is. Undefined where it is no RDB. */
export function readHeader(head: Buffer): RdbHeader | undefined {
  const magic = MAGIC.exec(head.toString('latin1', 0, MAGIC_BYTES));
  if (!magic) return undefined;
  const fields = auxFields(head.subarray(MAGIC_BYTES));
  return {
    magic: magic[1] as RdbHeader['magic'],
    version: Number(magic[2]),
    ...texts(fields),
    ...numbers(fields),
  };
}

function texts(fields: Record<string, string>): Pick<RdbHeader, 'server' | 'replid'> {
  const server = fields['valkey-ver'] ?? fields['redis-ver'];
  const replid = fields['repl-id'];
  return { ...(server === undefined ? {} : { server }), ...(replid === undefined ? {} : { replid }) };
}

const NUMBERS = { createdAt: 'ctime', usedMemory: 'used-mem', offset: 'repl-offset' } as const;

function numbers(fields: Record<string, string>): { [K in keyof typeof NUMBERS]?: number } {
  return Object.fromEntries(
    Object.entries(NUMBERS).flatMap(([key, name]) =>
      /^\d+$/.test(fields[name] ?? '') ? [[key, Number(fields[name])]] : [],
    ),
  );
}

/** Fields up to the first other opcode, or to where the bytes end. */
function auxFields(bytes: Buffer): Record<string, string> {
  const fields: Record<string, string> = {};
  let at = 0;
  while (bytes[at] === AUX) {
    const key = readString(bytes, at + 1);
    const value = key && readString(bytes, key.next);
    if (!value) break;
    if (key.text !== undefined && value.text !== undefined) fields[key.text] = value.text;
    at = value.next;
  }
  return fields;
}

/** A string of RDB's (src/rdb.h): its length in two bits and what follows, or a number. No text where it is compressed. */
function readString(bytes: Buffer, at: number): { text?: string; next: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  if (first >> 6 === 3) return readEncoded(bytes, at + 1, first & 63);
  const length = readLength(bytes, at);
  if (!length || length.next + length.value > bytes.length) return undefined;
  const next = length.next + length.value;
  return { text: bytes.toString('latin1', length.next, next), next };
}

function readEncoded(bytes: Buffer, at: number, encoding: number): { text?: string; next: number } | undefined {
  const size = [1, 2, 4][encoding];
  if (size !== undefined) {
    return at + size > bytes.length ? undefined : { text: String(bytes.readIntLE(at, size)), next: at + size };
  }
  const packed = readLength(bytes, at);
  const plain = packed && readLength(bytes, packed.next);
  return plain && { next: plain.next + packed.value };
}

function readLength(bytes: Buffer, at: number): { value: number; next: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  if (first >> 6 === 0) return { value: first & 63, next: at + 1 };
  if (first >> 6 === 1) {
    const second = bytes[at + 1];
    return second === undefined ? undefined : { value: ((first & 63) << 8) | second, next: at + 2 };
  }
  // No AUX field is longer than four bytes can tell.
  if (first === 0x80 && at + 5 <= bytes.length) return { value: bytes.readUInt32BE(at + 1), next: at + 5 };
  return undefined;
}
