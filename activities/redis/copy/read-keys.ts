/** Reads keys of a source node: how large they are, and the small ones whole. */
import type { Redis } from 'ioredis';
import { LENGTH_COMMANDS } from '../compare/length-commands.ts';
import { ask, askAll } from '../compare/replies.ts';
import type { Command } from '../compare/replies.ts';
import type { Server } from './server.ts';

export interface Sized {
  key: Buffer;
  /** `none`: absent or expired; '' = not asked for. */
  type: string;
  /** Memory at the source; an estimate of the server's from a few members. */
  bytes: number;
}

export interface Dumped {
  key: Buffer;
  /** null: absent or expired. */
  dump: Buffer | null;
  /** Unix ms; 0 = never. */
  expireAt: number;
}

export const UNASKED = '';

/** What a member may take where nothing tells: rather rebuilt too often than dumped too large. */
const MEMBER_BYTES = 1024;

/**
 * Types and sizes, in one round trip; in two where MEMORY USAGE is refused.
 * @param types false: a type is only asked for where the size does not come without it. Each command costs 20 µs a key
 */
export async function sizesOf(server: Server, redis: Redis, keys: readonly Buffer[], types: boolean): Promise<Sized[]> {
  if (!server.abilities.memoryUsage) return sizesByLength(redis, keys);
  const sizes = keys.map((key): Command => ['MEMORY', 'USAGE', key]);
  const replies = await askAll<Buffer | number | null>(
    redis,
    types ? sizes.flatMap((size, i): Command[] => [size, ['TYPE', keys[i]!]]) : sizes,
  );
  return keys.map((key, i) => {
    const bytes = replies[types ? i * 2 : i];
    // It may have gone between the two.
    return { key, type: bytes === null ? 'none' : types ? String(replies[i * 2 + 1]) : UNASKED, bytes: Number(bytes) };
  });
}

/** Guesses, where MEMORY USAGE is refused. */
async function sizesByLength(redis: Redis, keys: readonly Buffer[]): Promise<Sized[]> {
  const types = (
    await askAll<string | Buffer>(
      redis,
      keys.map((key): Command => ['TYPE', key]),
    )
  ).map(String);
  const lengths = await askAll<number | null>(
    redis,
    keys.map((key, i): Command => [LENGTH_COMMANDS[types[i] ?? ''] ?? 'EXISTS', key]),
    /^WRONGTYPE/,
  );
  return keys.map((key, i) => {
    const type = types[i] ?? 'none';
    return { key, type, bytes: Number(lengths[i]) * (type === 'string' ? 1 : MEMBER_BYTES) };
  });
}

/** Memory at the source, of those that are there. */
export const bytesOf = (keys: readonly Sized[]): number =>
  keys.reduce((sum, { type, bytes }) => sum + (type === 'none' ? 0 : bytes), 0);

/** In their order, each batch of at most so many bytes; a key that is larger is one by itself. */
export function inBatches<T extends Sized>(keys: readonly T[], mostBytes: number): T[][] {
  const batches: T[][] = [];
  let bytes = Infinity;
  for (const one of keys) {
    if (bytes + one.bytes > mostBytes) {
      batches.push([]);
      bytes = 0;
    }
    batches.at(-1)?.push(one);
    bytes += one.bytes;
  }
  return batches;
}

/** Value and expiry of each key, in one go. A key that changes in between is touched again, and copied again. */
export async function dumpsOf(server: Server, redis: Redis, keys: readonly Buffer[]): Promise<Dumped[]> {
  const exact = server.abilities.pexpiretime;
  const commands = keys.flatMap((key): Command[] => [
    ['DUMP', key],
    [exact ? 'PEXPIRETIME' : 'PTTL', key],
  ]);
  // Without PEXPIRETIME (before 7.0) an expiry is the server's own clock and what is left.
  const nowMs = exact ? 0 : await clockOf(redis);
  const replies = await askAll<Buffer | number | null>(redis, commands);
  return keys.map((key, i) => {
    const dump = replies[i * 2];
    const ttl = Number(replies[i * 2 + 1]);
    // -2: it expired right after DUMP. Restored without an expiry it would live for ever.
    if (!Buffer.isBuffer(dump) || ttl === -2) return { key, dump: null, expireAt: 0 };
    return { key, dump, expireAt: ttl === -1 ? 0 : nowMs + ttl };
  });
}

/** Without PEXPIRETIME an expiry is off by as long as the call took. */
const PTTL_SLACK_MS = 1000;

/** Whether two readings of a key of that server are the same state. */
export function sameState(server: Server, a: Dumped, b: Dumped): boolean {
  if (a.dump === null || b.dump === null) return a.dump === b.dump;
  const never = a.expireAt === 0 || b.expireAt === 0;
  const exact = never || server.abilities.pexpiretime;
  const expiry = Math.abs(a.expireAt - b.expireAt) <= (exact ? 0 : PTTL_SLACK_MS);
  return expiry && a.dump.equals(b.dump);
}

/** When a key expires, Unix ms; 0 = never, undefined = there is none. */
export async function expiryOf(server: Server, redis: Redis, key: Buffer): Promise<number | undefined> {
  const exact = server.abilities.pexpiretime;
  const nowMs = exact ? 0 : await clockOf(redis);
  const ttl = await ask<number>(redis, exact ? 'PEXPIRETIME' : 'PTTL', key);
  if (ttl === -2) return undefined;
  return ttl === -1 ? 0 : nowMs + ttl;
}

async function clockOf(redis: Redis): Promise<number> {
  const [seconds, micros] = await ask<[Buffer, Buffer]>(redis, 'TIME');
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}
