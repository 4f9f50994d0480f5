/** Digests by plain commands, for servers where scripts are refused. Same lines as digest-script.ts, at the cost of the values' transfer. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { digestOf, dumpBody, fieldBytes, packed, scoreBytes, sumOf, withoutCount } from './canonical.ts';
import type { Abilities } from './abilities.ts';
import { LENGTH_COMMANDS } from './length-commands.ts';
import { ask, askAll, asPairs } from './replies.ts';
import type { Command } from './replies.ts';
import { streamGroups } from './stream-groups.ts';
import type { Pending } from './stream-groups.ts';
import type { Depth } from './types.ts';

export interface PlainLimits {
  bigBytes: number;
  abilities: Abilities;
}

/** What a server answers about a key that became another or went away between two commands. */
const CHANGED = /^(WRONGTYPE|ERR no such key|NOGROUP)/;
/** As in the script: more members than this are compared page by page. */
const MOST_MEMBERS = 2000;

export interface PlainPage {
  nowMs: number;
  lines: string[];
  bigs: number;
}

/**
 * Reads the keys in four round trips at most. Not atomic per key as the script is: a key that changes in between
 * looks different and is read again, like any difference.
 * @throws ReplyError where a needed command is refused
 */
export async function digestPlainly(
  redis: Redis,
  keys: Buffer[],
  depth: Depth,
  limits: PlainLimits,
): Promise<PlainPage> {
  const { abilities } = limits;
  const sized = depth !== 'meta' && abilities.memoryUsage;
  const nowMs = await clockOf(redis);
  const head = await askAll<Buffer | number | null>(
    redis,
    keys.flatMap((key): Command[] => [
      ['TYPE', key],
      [abilities.pexpiretime ? 'PEXPIRETIME' : 'PTTL', key],
      ...(sized ? ([['MEMORY', 'USAGE', key]] satisfies Command[]) : []),
    ]),
  );
  const width = sized ? 3 : 2;
  const rows = keys.map((key, i) => {
    const ttl = Number(head[i * width + 1]);
    return {
      key,
      kind: head[i * width]?.toString() ?? 'none',
      expireAt: ttl >= 0 && !abilities.pexpiretime ? nowMs + ttl : ttl,
      size: sized ? Number(head[i * width + 2] ?? 0) : 0,
      digest: depth === 'meta' ? '=' : '',
    };
  });
  if (depth !== 'meta') {
    const known = rows.filter((row) => LENGTH_COMMANDS[row.kind] && row.expireAt !== -2);
    const lengths = await askAll<number | null>(
      redis,
      known.map((row): Command => [LENGTH_COMMANDS[row.kind] ?? '', row.key]),
      CHANGED,
    );
    known.forEach((row, i) => {
      const length = Number(lengths[i]);
      const counts = row.kind === 'set' || depth !== 'quick';
      if (row.kind === 'string') row.size = length;
      else if (!sized) row.size = length * 1024;
      else if (row.size > 8192 && counts && length > MOST_MEMBERS) row.size = Infinity;
    });
    const present = rows.filter((row) => row.kind !== 'none' && row.expireAt !== -2);
    for (const row of present) if (row.size > limits.bigBytes) row.digest = 'B';
    const read = present.filter((row) => row.digest === '');
    const found = await digests(redis, read, depth, abilities);
    read.forEach((row, i) => (row.digest = found[i] ?? '-'));
  }
  const lines = rows.map(({ kind, expireAt, digest }) => {
    if (kind === 'none' || expireAt === -2 || digest === '-') return '-';
    return expireAt === -1 ? `${digest} ${kind}` : `${digest} ${kind} ${expireAt}`;
  });
  return { nowMs, lines, bigs: rows.filter((row) => row.digest === 'B').length };
}

const VALUE: Record<string, (key: Buffer) => Command> = {
  string: (key) => ['GET', key],
  list: (key) => ['LRANGE', key, 0, -1],
  set: (key) => ['SMEMBERS', key],
  hash: (key) => ['HGETALL', key],
  zset: (key) => ['ZRANGE', key, 0, -1, 'WITHSCORES'],
  stream: (key) => ['XRANGE', key, '-', '+'],
};

async function digests(redis: Redis, rows: { key: Buffer; kind: string }[], depth: Depth, abilities: Abilities) {
  const commandFor = ({ key, kind }: { key: Buffer; kind: string }): Command =>
    (depth === 'quick' && kind !== 'string' && kind !== 'set' ? undefined : VALUE[kind]?.(key)) ?? ['DUMP', key];
  const values = await askAll<Value>(redis, rows.map(commandFor), CHANGED);
  const found: string[] = [];
  for (const [i, row] of rows.entries()) {
    const digest = digestOne(redis, row.key, row.kind, values[i] ?? null, depth, abilities).catch((error: Error) => {
      if (CHANGED.test(error.message)) return null;
      throw error;
    });
    // Changed while it was read: a digest that equals nothing, so that the key is read again.
    found.push((await digest) ?? `!${randomUUID()}`);
  }
  return found;
}

/** First byte of DUMP: an encoding without an order, as in the script. */
const HASH_TABLE = 4;

/** A string or DUMP; members; entries of a stream. */
type Value = Buffer | Buffer[] | [Buffer, Buffer[]][] | null;

async function digestOne(
  redis: Redis,
  key: Buffer,
  kind: string,
  value: Value,
  depth: Depth,
  abilities: Abilities,
): Promise<string | null> {
  if (value === null) return null;
  if (Buffer.isBuffer(value)) {
    if (kind === 'string') return digestOf(withoutCount(value));
    if (kind !== 'hash' || value[0] !== HASH_TABLE) return digestOf(dumpBody(value));
    return digestOne(redis, key, kind, await ask<Buffer[]>(redis, 'HGETALL', key), 'full', abilities);
  }
  if (kind === 'zset') {
    // Pairs under RESP3, flat under RESP2.
    const flat = value.flat(2);
    return digestOf(packed(depth === 'full' ? flat.map((item, i) => (i % 2 ? scoreBytes(item) : item)) : flat));
  }
  if (!isMembers(value)) return streamDigest(redis, key, value);
  if (kind === 'list') return digestOf(packed(value));
  if (kind === 'set') return sumOf(value);
  if (kind === 'hash') {
    const pairs = asPairs(value);
    const fields = pairs.map(([field]) => field);
    const ttls = await fieldExpiries(redis, key, fields, abilities);
    if (depth === 'typed') return digestOf(packed(value), Buffer.from(ttls.join('')));
    return sumOf(pairs.map(([field, content], i) => fieldBytes(field, content, ttls[i] ?? '')));
  }
  return streamDigest(redis, key, []);
}

/** Whether these are members, and not entries of a stream, which are lists themselves. */
const isMembers = (value: Buffer[] | [Buffer, Buffer[]][]): value is Buffer[] => !Array.isArray(value[0]);

async function clockOf(redis: Redis): Promise<number> {
  const [seconds, micros] = await ask<[Buffer, Buffer]>(redis, 'TIME');
  return Number(seconds.toString()) * 1000 + Math.floor(Number(micros.toString()) / 1000);
}

/** When each field of a hash expires, in Unix ms, or '' where it does not or the server has no such thing (Redis 7.4, Valkey 9). */
export async function fieldExpiries(
  redis: Redis,
  key: Buffer,
  fields: Buffer[],
  abilities: Abilities,
): Promise<string[]> {
  if (!abilities.fieldExpiry || fields.length === 0) return fields.map(() => '');
  const got = await ask<number[] | null>(redis, 'HPEXPIRETIME', key, 'FIELDS', fields.length, ...fields);
  return fields.map((_, i) => {
    const at = got?.[i] ?? -1;
    return at >= 0 ? String(at) : '';
  });
}

async function streamDigest(redis: Redis, key: Buffer, entries: [Buffer, Buffer[]][]): Promise<string> {
  const flat: Buffer[] = [];
  const add = (...items: (Buffer | string | number)[]) =>
    flat.push(...items.map((item) => (Buffer.isBuffer(item) ? item : Buffer.from(String(item)))));
  add(entries.length);
  for (const [id, fields] of entries) {
    add(id, fields.length);
    for (const field of fields) flat.push(field);
  }
  const groups = await streamGroups(redis, key);
  add(groups.lastId);
  for (const group of groups.groups) {
    // As in the script: such a stream goes to the comparison page by page.
    if (group.pending > MOST_MEMBERS) return 'B';
    add(group.name, group.lastDelivered, group.pending);
    if (group.pending === 0) continue;
    const pending = await ask<Pending[]>(redis, 'XPENDING', key, group.name, '-', '+', group.pending);
    for (const [id, consumer, , deliveries] of pending) add(id, consumer, deliveries);
  }
  return digestOf(packed(flat));
}
