/** What a stream has beside its entries: last id, consumer groups, pending entries. */
import type { Redis } from 'ioredis';
import { digestOf, packed } from './canonical.ts';
import { ask } from './replies.ts';

export interface Group {
  name: Buffer;
  lastDelivered: Buffer;
  pending: number;
}

export interface StreamGroups {
  lastId: Buffer;
  groups: Group[];
}

type Field = Buffer | number | null | unknown[];

/** Id, consumer, idle time in ms, deliveries. */
export type Pending = [Buffer, Buffer, number, number];

function field(reply: Field[], name: string): Field {
  for (let i = 0; i + 1 < reply.length; i += 2) {
    const key = reply[i];
    if (Buffer.isBuffer(key) && key.equals(Buffer.from(name))) return reply[i + 1] ?? null;
  }
  throw new Error(`compare: XINFO of a stream has no field ${name}`);
}

function bytesOf(reply: Field[], name: string): Buffer {
  const value = field(reply, name);
  if (Buffer.isBuffer(value)) return value;
  throw new Error(`compare: the field ${name} in XINFO of a stream is no string`);
}

/** Last id and consumer groups of a stream; the fields are found by name, since versions add some. */
export async function streamGroups(redis: Redis, key: Buffer): Promise<StreamGroups> {
  const [stream, groups] = await Promise.all([ask<Field[]>(redis, 'XINFO', 'STREAM', key), groupsOf(redis, key)]);
  return { lastId: bytesOf(stream, 'last-generated-id'), groups };
}

/** The groups alone. Not their `entries-read` and `lag`: a server may derive them from the stream's length, which XADD changes. */
export async function groupsOf(redis: Redis, key: Buffer): Promise<Group[]> {
  const groups = await ask<Field[][]>(redis, 'XINFO', 'GROUPS', key);
  return groups.map((group) => ({
    name: bytesOf(group, 'name'),
    lastDelivered: bytesOf(group, 'last-delivered-id'),
    pending: Number(field(group, 'pending')),
  }));
}

const PENDING_PAGE = 1000;

/**
 * All of it as one digest, pending entries read page by page. Of a pending entry: id, consumer, deliveries; not its idle time, which
 * runs. Consumers without pending entries are left out: before 7.0 they are not replicated.
 */
export async function groupsState(redis: Redis, key: Buffer): Promise<string> {
  if ((await redis.type(key)) !== 'stream') return '-';
  const { lastId, groups } = await streamGroups(redis, key);
  const parts: Buffer[] = [lastId];
  for (const group of groups) parts.push(group.name, group.lastDelivered, ...(await pendingDigests(redis, key, group)));
  return digestOf(packed(parts));
}

/** Of each page of a group's pending entries. */
export async function pendingDigests(redis: Redis, key: Buffer, group: Group): Promise<Buffer[]> {
  const digests: Buffer[] = [];
  for (let start = '-'; ;) {
    const page = await ask<Pending[]>(redis, 'XPENDING', key, group.name, start, '+', PENDING_PAGE);
    const flat = page.flatMap(([id, consumer, , deliveries]) => [id, consumer, Buffer.from(String(deliveries))]);
    if (flat.length > 0) digests.push(Buffer.from(digestOf(packed(flat))));
    const last = page.at(-1);
    if (!last || page.length < PENDING_PAGE) return digests;
    start = nextId(last[0]);
  }
}

/** The id right after this one. The exclusive `(` needs 6.2. */
export function nextId(id: Buffer): string {
  const [ms = '0', sequence = '0'] = id.toString().split('-');
  return BigInt(sequence) === 2n ** 64n - 1n ? `${BigInt(ms) + 1n}-0` : `${ms}-${BigInt(sequence) + 1n}`;
}
