/** Compare of a source that is being written to, with a target that follows it by replication. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';
import { settle } from '../activities/redis/compare/settle.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import { found, startPair, until } from './redis-pair.ts';
import type { Pair } from './redis-pair.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 60_000 });

const STATIC_KEYS = 20_000;
const many = (count: number, make: (i: number) => (string | number)[]) =>
  Array.from({ length: count }, (_, i) => make(i)).flat();

let pair: Pair;
beforeAll(async () => void (pair = await startPair()), 60_000);
afterAll(() => pair.stop(), 60_000);

/** Writes without a pause until it is told to stop: hot keys of every type, small and large, keys that come, go and expire. */
function application(redis: Redis): { stop: () => Promise<number> } {
  const stop = new AbortController();
  let writes = 0;
  const work = (async () => {
    for (let i = 0; !stop.signal.aborted; i++) {
      const key = i % 500;
      await redis
        .pipeline()
        .incr('hot:counter')
        .set(`session:${key}`, `token ${i}`, 'PX', 50 + (i % 200))
        .set(`state:${key}`, i)
        .lpush('hot:queue', `job ${i}`)
        .rpop('hot:queue')
        .hset('hot:large hash', `field ${i % 5000}`, i)
        .hdel('hot:large hash', `field ${(i + 2500) % 5000}`)
        .zincrby('hot:leaders', 1, `player ${i % 3000}`)
        .xadd('hot:stream', 'MAXLEN', '~', 4000, '*', 'n', i)
        .del(`short:${key}`)
        .sadd(`short:${(i + 250) % 500}`, i)
        .rpush(`log:${key % 10}`, i)
        .ltrim(`log:${key % 10}`, -100, -1)
        .expire(`static:${i % STATIC_KEYS}`, 10_000 + (i % 7) * 3000)
        .exec();
      writes += 14;
    }
  })();
  return {
    stop: async () => {
      stop.abort();
      await work;
      return writes;
    },
  };
}

/** A way to a server on which every answer takes this much longer. */
async function lateBy(ms: number, port: number): Promise<{ port: number; close: () => void }> {
  const sockets = new Set<Socket>();
  const proxy = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => [near, far].forEach((one) => one.destroy()));
    }
    near.pipe(far);
    far.on('data', (chunk) => setTimeout(() => near.writable && near.write(chunk), ms));
  });
  const at = await freePort();
  await new Promise<void>((resolve) => proxy.listen(at, '127.0.0.1', resolve));
  return {
    port: at,
    close: () => {
      for (const socket of sockets) socket.destroy();
      proxy.close();
    },
  };
}

describe('under write load', () => {
  let writers: { stop: () => Promise<number> }[] = [];
  beforeEach(async () => {
    await pair.promote();
    await pair.empty();
    for (let from = 0; from < STATIC_KEYS; from += 2000) {
      const pipeline = pair.s.pipeline();
      for (let i = from; i < from + 2000; i++) {
        if (i % 2) pipeline.set(`static:${i}`, `value ${i}`);
        else pipeline.hset(`static:${i}`, 'a', i, 'b', 'x');
      }
      await pipeline.exec();
    }
    await pair.s.hset('hot:large hash', ...many(5000, (i) => [`field ${i}`, i]));
    await pair.s.hset('still:large hash', ...many(5000, (i) => [`field ${i}`, i]));
    await pair.s.zadd('hot:leaders', ...many(3000, (i) => [i, `player ${i}`]));
    await pair.s.rpush('hot:queue', ...many(3000, (i) => [`job ${i}`]));
    await pair.replicate();
    writers = [application(pair.source.connect()), application(pair.source.connect())];
    await until('the application writes', async () => (await pair.s.exists('hot:counter')) === 1);
    return async () => {
      await Promise.all(writers.map((writer) => writer.stop()));
    };
  }, 60_000);

  test('nothing is reported that is not so', async () => {
    for (let round = 0; round < 3; round++) {
      const result = await pair.compare({ rereadDelayMs: 100, ttlToleranceMs: 100 });
      expect(result.examples.filter(({ kind }) => kind !== 'unsettled')).toEqual([]);
      expect(result).toMatchObject({ equal: true, notes: [] });
      expect(result.keysCompared).toBeGreaterThan(STATIC_KEYS);
    }
    const writes = await Promise.all(writers.map((writer) => writer.stop()));
    expect(Math.min(...writes)).toBeGreaterThan(100);
    writers = [];
    expect(await pair.compare()).toMatchObject({ equal: true, unsettled: 0 });
  }, 120_000);

  test('nothing either when replication is always 150 ms late', async () => {
    const late = await lateBy(150, pair.source.port);
    try {
      await pair.promote();
      await pair.replicate(late.port);
      const result = await pair.compare({ rereadDelayMs: 20, ttlToleranceMs: 100 });
      expect(result.examples.filter(({ kind }) => kind !== 'unsettled')).toEqual([]);
      expect(result.equal).toBe(true);
      expect(result.rereads).toBeGreaterThan(0);
    } finally {
      await pair.promote();
      late.close();
    }
  }, 120_000);

  test('what the target really lost is found, and nothing else', async () => {
    await pair.t.config('SET', 'replica-read-only', 'no');
    try {
      await pair.t.del('static:17');
      // The application may have set its expiry already, or not yet.
      await pair.t.set('static:19', 'other', 'KEEPTTL');
      await pair.t.set('not of the source', 'x');
      await pair.t.hset('still:large hash', 'field 4711', 'other');
      // Follows every INCR, and is wrong all the time.
      await pair.t.set('hot:counter', -1_000_000);
      const result = await pair.compare({ rereadDelayMs: 100, ttlToleranceMs: 100 });
      const real = found(result).filter((line) => !line.includes('unsettled') && !line.includes('hot:counter'));
      expect(real).toEqual([
        '0 extra not of the source',
        '0 missing static:17',
        '0 value static:19',
        '0 value still:large hash',
      ]);
      expect(result.equal).toBe(false);
      expect(result.examples.filter(({ key }) => key === 'hot:counter')).toHaveLength(1);
    } finally {
      await pair.t.config('SET', 'replica-read-only', 'yes');
    }
  }, 120_000);
});

test('a lagging target is waited for', async () => {
  await pair.promote();
  await pair.empty();
  await pair.replicate();
  // A stopped process: its link stays up for the source, and it applies nothing.
  pair.target.signal('SIGSTOP');
  const behind = pair.compare({ catchUpTimeoutMs: 60_000 });
  await pair.s.set('late', 'x');
  pair.target.signal('SIGCONT');
  expect(await behind).toMatchObject({ equal: true });
}, 60_000);

test('a target whose link is down is not compared', async () => {
  await pair.promote();
  await pair.empty();
  await pair.t.replicaof('127.0.0.1', 1);
  await expect(pair.compare({ catchUpTimeoutMs: 200 })).rejects.toMatchObject({
    code: 'TARGET_NOT_IN_SYNC',
    retryable: true,
    message: expect.stringContaining('its link to the source is down'),
  });
  await pair.promote();
}, 60_000);

describe('settling', () => {
  /** Plays recorded states; the last one stays. */
  const played = (states: number[]) => {
    let i = 0;
    return async (cells: unknown[]) => cells.map(() => states[Math.min(i++, states.length - 1)] ?? 0);
  };
  const counting = () => {
    let n = 0;
    return async (cells: unknown[]) => cells.map(() => n++);
  };
  const equal = (a: number, b: number) => a === b;
  const judged = async (
    source: (cells: unknown[]) => Promise<number[]>,
    target: (cells: unknown[]) => Promise<number[]>,
    known: boolean,
  ) => {
    let rereads = 0;
    const [verdict] = await settle(
      [1],
      { source, target, same: equal, unchanged: equal },
      {
        caughtUp: async () => known,
        wait: async () => {},
        rereadDelayMs: 1,
        rereadTimes: 3,
        onReread: () => rereads++,
      },
    );
    return { outcome: verdict?.outcome, rereads };
  };

  test.each([
    ['equal at once', [1], [1], 'same', 0],
    ['the target follows late', [1], [0, 1], 'same', 1],
    ['it stays different', [1], [0], 'differs', 3],
    ['it goes different ways', [1, 2, 2, 3, 3, 4], [0, 9, 8, 7], 'differs', 3],
    ['equal in the last round', [1], [0, 0, 0, 1], 'same', 3],
    ['met the reading after', [1, 1, 2], [0, 2], 'same', 1],
  ] as const)('%s', async (_, source, target, outcome, rereads) => {
    expect(await judged(played([...source]), played([...target]), true)).toEqual({ outcome, rereads });
  });

  test('a source that never stands still, and a target that does: it does not follow', async () => {
    expect((await judged(counting(), played([-1]), true)).outcome).toBe('differs');
  });
  test('both move and never meet', async () => {
    let n = 1000;
    expect((await judged(counting(), async (cells) => cells.map(() => n++), true)).outcome).toBe('unsettled');
  });
  test('a target that shows what the source showed before counts as following only where its offset is not known', async () => {
    // Always one reading behind the first of the source's two.
    let [s, t] = [0, -1];
    const source = async (cells: unknown[]) => cells.map(() => s++);
    const target = async (cells: unknown[]) => cells.map(() => (t = s - 2));
    expect((await judged(source, target, true)).outcome).toBe('unsettled');
    expect(t).toBeGreaterThan(0);
    s = 0;
    expect((await judged(source, target, false)).outcome).toBe('same');
  });
});
