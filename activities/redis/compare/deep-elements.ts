/** Large hashes, sets, sorted sets and streams: elements found by name, so that order does not matter. */
import type { Redis } from 'ioredis';
import { packed, scoreBytes } from './canonical.ts';
import type { DeepContext, DeepSide, DeepVerdict } from './deep-types.ts';
import { fieldExpiries } from './digest-plain.ts';
import { ask, askAll, asPairs } from './replies.ts';
import type { Command } from './replies.ts';
import { settle } from './settle.ts';
import { nextId } from './stream-groups.ts';

/** An element's value; null = not there. */
type Value = Buffer | null;

interface ElementPage {
  ids: Buffer[];
  values: Value[];
  /** '' = no more. */
  next: string;
}

interface Elements {
  unit: string;
  length: (redis: Redis, key: Buffer) => Promise<number>;
  /** One page of the key's elements, and the cursor of the next ('' = none). */
  scan: (side: DeepSide, key: Buffer, cursor: string, count: number) => Promise<ElementPage>;
  /** The values of these elements. */
  find: (side: DeepSide, key: Buffer, ids: Buffer[]) => Promise<Value[]>;
}

const PRESENT = Buffer.from('1');

/** Pages of HSCAN, SSCAN and ZSCAN. */
async function scanPage(redis: Redis, command: string, key: Buffer, cursor: string, count: number) {
  const [next, flat] = await ask<[Buffer, Buffer[]]>(redis, command, key, cursor || '0', 'COUNT', count);
  return { flat, next: next.toString() === '0' ? '' : next.toString() };
}

async function withExpiries(side: DeepSide, key: Buffer, ids: Buffer[], values: Value[]): Promise<Value[]> {
  const expiries = await fieldExpiries(side.redis, key, ids, side.abilities);
  return values.map((value, i) =>
    value && expiries[i] ? Buffer.concat([Buffer.from(`${expiries[i]}:`), value]) : value,
  );
}

const HASH: Elements = {
  unit: 'fields',
  length: (redis, key) => redis.hlen(key),
  scan: async (side, key, cursor, count) => {
    const { flat, next } = await scanPage(side.redis, 'HSCAN', key, cursor, count);
    const pairs = asPairs(flat);
    const ids = pairs.map(([field]) => field);
    return {
      ids,
      values: await withExpiries(
        side,
        key,
        ids,
        pairs.map(([, value]) => value),
      ),
      next,
    };
  },
  find: async (side, key, ids) => withExpiries(side, key, ids, await side.redis.hmgetBuffer(key, ...ids)),
};

const SET: Elements = {
  unit: 'members',
  length: (redis, key) => redis.scard(key),
  scan: async ({ redis }, key, cursor, count) => {
    const { flat, next } = await scanPage(redis, 'SSCAN', key, cursor, count);
    return { ids: flat, values: flat.map(() => PRESENT), next };
  },
  find: async ({ redis, abilities }, key, ids) => {
    const found = abilities.multiLookup
      ? await ask<number[]>(redis, 'SMISMEMBER', key, ...ids)
      : await askAll<number>(
          redis,
          ids.map((id): Command => ['SISMEMBER', key, id]),
        );
    return ids.map((_, i) => (Number(found[i]) === 1 ? PRESENT : null));
  },
};

const ZSET: Elements = {
  unit: 'members',
  length: (redis, key) => redis.zcard(key),
  scan: async ({ redis }, key, cursor, count) => {
    const { flat, next } = await scanPage(redis, 'ZSCAN', key, cursor, count);
    const pairs = asPairs(flat);
    return { ids: pairs.map(([member]) => member), values: pairs.map(([, score]) => scoreBytes(score)), next };
  },
  find: async ({ redis, abilities }, key, ids) => {
    const found = abilities.multiLookup
      ? await ask<Value[]>(redis, 'ZMSCORE', key, ...ids)
      : await askAll<Value>(
          redis,
          ids.map((id): Command => ['ZSCORE', key, id]),
        );
    return ids.map((_, i) => (found[i] ? scoreBytes(found[i]) : null));
  },
};

/** An entry of a stream: id, and fields and values in turn. */
type Entry = [Buffer, Buffer[]];

const STREAM: Elements = {
  unit: 'entries',
  length: (redis, key) => redis.xlen(key),
  scan: async ({ redis }, key, cursor, count) => {
    const entries = await ask<Entry[]>(redis, 'XRANGE', key, cursor || '-', '+', 'COUNT', count);
    const last = entries.at(-1);
    return {
      ids: entries.map(([id]) => id),
      values: entries.map(([, fields]) => packed(fields)),
      next: last && entries.length === count ? nextId(last[0]) : '',
    };
  },
  find: async ({ redis }, key, ids) => {
    const found = await askAll<Entry[]>(
      redis,
      ids.map((id): Command => ['XRANGE', key, id, id]),
    );
    return found.map(([entry]) => {
      return entry ? packed(entry[1]) : null;
    });
  },
};

const TYPES: Record<string, Elements> = { hash: HASH, set: SET, zset: ZSET, stream: STREAM };

/** How to compare a large key of this type by its elements; undefined for types that have none we know. */
export function elementsOf(
  type: string,
): { compare: (context: DeepContext, key: Buffer) => Promise<DeepVerdict> } | undefined {
  const elements = TYPES[type];
  return elements && { compare: (context, key) => compareElements(context, key, elements, type) };
}

const PAGE_BYTES = 256 * 1024;
/** Elements that look different wait here to be read again together; with this many true ones the key is judged. */
const MOST_DOUBTS = 1000;

const equal = (a: Value, b: Value) => (a === null || b === null ? a === b : a.equals(b));

/**
 * Every element of the source is looked up on the target; then the other way round, unless both have the same number and
 * nothing differed or moved on the way.
 */
async function compareElements(
  context: DeepContext,
  key: Buffer,
  elements: Elements,
  type: string,
): Promise<DeepVerdict> {
  const count = await pageSize(context, key, elements);
  const result = { differ: 0, unsettled: 0, doubted: 0 };
  const passes: [DeepSide, DeepSide][] = [
    [context.source, context.target],
    [context.target, context.source],
  ];
  for (const [from, to] of passes) {
    const doubts = new Map<string, Buffer>();
    let ahead: Promise<ElementPage> | undefined = elements.scan(from, key, '', count);
    while (ahead && result.differ < MOST_DOUBTS) {
      const page: ElementPage = await ahead;
      // One server gives the next page while the other looks this one up.
      ahead = page.next === '' ? undefined : elements.scan(from, key, page.next, count);
      // An error on the way is told by whoever waits for it first; this one may never be waited for.
      ahead?.catch(() => {});
      const found = page.ids.length > 0 ? await elements.find(to, key, page.ids) : [];
      page.ids.forEach((id, i) => {
        if (!equal(page.values[i] ?? null, found[i] ?? null)) doubts.set(id.toString('latin1'), id);
      });
      if (doubts.size >= MOST_DOUBTS || (!ahead && doubts.size > 0)) {
        await settleDoubts(context, key, elements, [...doubts.values()], result);
        doubts.clear();
      }
    }
    if (from === context.source && result.doubted === 0) {
      const [a, b] = await Promise.all([elements.length(from.redis, key), elements.length(to.redis, key)]);
      if (a === b) break;
    }
    // Enough to know; what the target has beyond it changes only the number.
    if (result.differ > 0) break;
  }
  if (result.differ > 0) {
    return { outcome: 'differs', what: `${type}: at least ${result.differ} ${elements.unit} differ` };
  }
  if (result.unsettled > 0) {
    return { outcome: 'unsettled', what: `${type}: ${result.unsettled} ${elements.unit} keep changing` };
  }
  return { outcome: 'same' };
}

async function settleDoubts(
  context: DeepContext,
  key: Buffer,
  elements: Elements,
  ids: Buffer[],
  result: { differ: number; unsettled: number; doubted: number },
): Promise<void> {
  result.doubted += ids.length;
  const readings = {
    source: (some: Buffer[]) => elements.find(context.source, key, some),
    target: (some: Buffer[]) => elements.find(context.target, key, some),
    same: equal,
    unchanged: equal,
  };
  for (let from = 0; from < ids.length; from += MOST_DOUBTS) {
    for (const verdict of await settle(ids.slice(from, from + MOST_DOUBTS), readings, context.patience)) {
      if (verdict.outcome === 'differs') result.differ++;
      if (verdict.outcome === 'unsettled') result.unsettled++;
    }
  }
}

/** Elements per page, by their mean size: a thousand values of a megabyte must not travel together. */
async function pageSize(context: DeepContext, key: Buffer, elements: Elements): Promise<number> {
  const { redis, abilities } = context.source;
  const length = await elements.length(redis, key);
  if (!abilities.memoryUsage || length === 0) return 100;
  const bytes = Number(await ask<number | null>(redis, 'MEMORY', 'USAGE', key));
  return Math.max(1, Math.min(1000, Math.floor((PAGE_BYTES * length) / Math.max(1, bytes))));
}
