/** Compares one key that is too large for a script: page by page, with little memory, and free of order. */
import type { Redis } from 'ioredis';
import { digestOf, dumpBody } from './canonical.ts';
import { elementsOf } from './deep-elements.ts';
import { comparePages } from './deep-pages.ts';
import type { DeepContext, DeepVerdict } from './deep-types.ts';
import { ask } from './replies.ts';
import { settle } from './settle.ts';
import { groupsState } from './stream-groups.ts';

/** A module's value beyond this is not fetched: DUMP gives it in one piece, twice in our memory. */
const LARGEST_DUMP = 32 * 1024 * 1024;

/**
 * @param onDumpOnly told of a type that could only be compared by DUMP
 * @throws what the connections throw; CompareError TARGET_NOT_IN_SYNC
 */
export async function compareDeep(
  context: DeepContext,
  key: Buffer,
  onDumpOnly: (type: string) => void,
): Promise<DeepVerdict> {
  try {
    return await byType(context, key, onDumpOnly);
  } catch (error) {
    // The key went away or became another type between two of our commands.
    if (error instanceof Error && /^(WRONGTYPE|ERR no such key|NOGROUP)/.test(error.message))
      return { outcome: 'moved' };
    throw error;
  }
}

async function byType(context: DeepContext, key: Buffer, onDumpOnly: (type: string) => void): Promise<DeepVerdict> {
  const { source, target } = context;
  const [type, other] = await Promise.all([source.redis.type(key), target.redis.type(key)]);
  if (type === 'none' || type !== other) return { outcome: 'moved' };
  if (type === 'string' || type === 'list') return comparePages(context, key, type);
  const elements = elementsOf(type);
  if (!elements) return compareDumps(context, key, type, onDumpOnly);
  const verdict = await elements.compare(context, key);
  if (type !== 'stream' || verdict.outcome === 'differs') return verdict;
  return combine(verdict, await compareGroups(context, key));
}

const combine = (a: DeepVerdict, b: DeepVerdict): DeepVerdict =>
  a.outcome === 'same' || b.outcome === 'differs' ? b : a;

async function compareDumps(context: DeepContext, key: Buffer, type: string, onDumpOnly: (type: string) => void) {
  const sizes = await Promise.all(
    [context.source, context.target].map(({ redis }) => ask<number | null>(redis, 'MEMORY', 'USAGE', key)),
  );
  const size = Math.max(...sizes.map(Number));
  if (size > LARGEST_DUMP) {
    return {
      outcome: 'uncompared' as const,
      what: `${type} of ${size} bytes, which can only be compared by DUMP: too large`,
    };
  }
  onDumpOnly(type);
  const dumps = (redis: Redis) => async (keys: Buffer[]) => {
    const states: string[] = [];
    for (const one of keys) {
      const dump = await ask<Buffer | null>(redis, 'DUMP', one);
      states.push(dump ? digestOf(dumpBody(dump)) : '-');
    }
    return states;
  };
  return one(context, key, dumps(context.source.redis), dumps(context.target.redis), `${type}: DUMP differs`);
}

/** Last id, groups and pending entries of a stream, as one state. */
async function compareGroups(context: DeepContext, key: Buffer): Promise<DeepVerdict> {
  const read = (redis: Redis) => async (keys: Buffer[]) => Promise.all(keys.map((one) => groupsState(redis, one)));
  const what = 'stream: last id, groups or pending entries differ';
  return one(context, key, read(context.source.redis), read(context.target.redis), what);
}

async function one(
  context: DeepContext,
  key: Buffer,
  source: (keys: Buffer[]) => Promise<string[]>,
  target: (keys: Buffer[]) => Promise<string[]>,
  what: string,
): Promise<DeepVerdict> {
  const equal = (a: string, b: string) => a === b;
  const [verdict] = await settle([key], { source, target, same: equal, unchanged: equal }, context.patience);
  return { outcome: verdict?.outcome ?? 'same', what };
}
