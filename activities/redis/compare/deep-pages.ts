/** Large strings and lists: values with an order. */
import type { Redis } from 'ioredis';
import { digestOf, packed } from './canonical.ts';
import type { DeepContext, DeepVerdict } from './deep-types.ts';
import { ask } from './replies.ts';
import { settle } from './settle.ts';

/** Up to this a value is read whole, in one command: a snapshot, which can be judged even while the value moves. */
const WHOLE_STRING_BYTES = 4 * 1024 * 1024;
const WHOLE_LIST_MEMBERS = 20_000;
const WHOLE_LIST_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;

interface Ordered {
  whole: (redis: Redis, key: Buffer) => Promise<string>;
  /** Digest of the page with this number, and whether it is the last. */
  page: (redis: Redis, key: Buffer, number: number) => Promise<{ digest: string; last: boolean }>;
}

const STRING: Ordered = {
  whole: async (redis, key) => digestOf((await redis.getBuffer(key)) ?? Buffer.alloc(0)),
  page: async (redis, key, number) => {
    const from = number * CHUNK_BYTES;
    const chunk = await ask<Buffer>(redis, 'GETRANGE', key, from, from + CHUNK_BYTES - 1);
    return { digest: digestOf(chunk), last: chunk.length < CHUNK_BYTES };
  },
};

const listOf = (membersPerPage: number): Ordered => ({
  whole: async (redis, key) => digestOf(packed(await redis.lrangeBuffer(key, 0, -1))),
  page: async (redis, key, number) => {
    const from = number * membersPerPage;
    const members = await redis.lrangeBuffer(key, from, from + membersPerPage - 1);
    return { digest: digestOf(packed(members)), last: members.length < membersPerPage };
  },
});

export async function comparePages(context: DeepContext, key: Buffer, type: 'string' | 'list'): Promise<DeepVerdict> {
  const { source, target } = context;
  const lengthOf = (redis: Redis) => (type === 'string' ? redis.strlen(key) : redis.llen(key));
  const lengths = await Promise.all([lengthOf(source.redis), lengthOf(target.redis)]);
  const length = Math.max(...lengths);
  const bytes = type === 'string' ? length : await largestMemory(context, key, length);
  // A page of a list is as many members as make a chunk, so that a few huge members don't make a huge page.
  const perPage = Math.max(1, Math.min(5000, Math.floor((CHUNK_BYTES * length) / Math.max(1, bytes))));
  const ordered = type === 'string' ? STRING : listOf(perPage);
  const small =
    type === 'string' ? bytes <= WHOLE_STRING_BYTES : length <= WHOLE_LIST_MEMBERS && bytes <= WHOLE_LIST_BYTES;
  const what = `${type}: the values differ`;
  if (small) {
    const equal = (a: string, b: string) => a === b;
    const whole = (redis: Redis) => (keys: Buffer[]) => Promise.all(keys.map((one) => ordered.whole(redis, one)));
    const readings = { source: whole(source.redis), target: whole(target.redis), same: equal, unchanged: equal };
    const [verdict] = await settle([key], readings, context.patience);
    return { outcome: verdict?.outcome ?? 'same', what };
  }
  return inPages(context, key, ordered, what);
}

async function largestMemory(context: DeepContext, key: Buffer, length: number): Promise<number> {
  const sizes = await Promise.all(
    [context.source, context.target].map(async ({ redis, abilities }) =>
      abilities.memoryUsage ? Number(await ask<number | null>(redis, 'MEMORY', 'USAGE', key)) : length * 1024,
    ),
  );
  return Math.max(...sizes);
}

/**
 * Compares page by page; a page that differs is read again, and then, since members shift in a list that moves, all of it is.
 * A value too large to be read at once that never stands still can't be judged: unsettled.
 */
async function inPages(context: DeepContext, key: Buffer, ordered: Ordered, what: string): Promise<DeepVerdict> {
  const { source, target, patience } = context;
  const both = (number: number) =>
    Promise.all([ordered.page(source.redis, key, number), ordered.page(target.redis, key, number)]);
  for (let round = 0; ; round++) {
    let differing = -1;
    for (let number = 0; differing < 0; number++) {
      const [a, b] = await both(number);
      if (a.digest !== b.digest) differing = number;
      else if (a.last && b.last) return { outcome: 'same' };
    }
    if (round < patience.rereadTimes) {
      await patience.wait(patience.rereadDelayMs);
      patience.onReread(1);
      await patience.caughtUp();
      continue;
    }
    const [before] = await both(differing);
    await patience.caughtUp();
    await patience.wait(patience.rereadDelayMs);
    const [after, there] = await both(differing);
    const still = before.digest === after.digest;
    if (after.digest === there.digest || !still) return { outcome: 'unsettled', what: `${what}, and keep changing` };
    return { outcome: 'differs', what };
  }
}
