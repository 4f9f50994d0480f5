/** The copy follows what is changed meanwhile by keyspace notifications, and loses nothing of it in silence. */
import { setTimeout as sleep } from 'node:timers/promises';
import * as fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { connectionsOf } from '../activities/redis/copy/copy-activity.ts';
import { MovedStreams } from '../activities/redis/copy/moved-streams.ts';
import { missingFlags } from '../activities/redis/copy/notifications.ts';
import { calledUnheard } from '../activities/redis/copy/obstacles.ts';
import { CopySession } from '../activities/redis/copy/session.ts';
import type { CopyRun } from '../activities/redis/copy/session.ts';
import {
  readNotifications,
  restoreNotifications,
  switchOnNotifications,
} from '../activities/redis/copy/switch-notifications.ts';
import type { CopyCheckpoint, CopyOptions, CopySide } from '../activities/redis/copy/types.ts';
import { compare } from '../activities/redis/compare/compare.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { OURS, between, contents, fill, options, settled, sideOf, stage, until } from './stage/redis-copy.ts';
import { OPTIONS } from './redis-pair.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 90_000 });

const DRAIN_MS = 60_000;
const FENCED = '2147483647';

const play = stage();
let source: RedisServer;
let target: RedisServer;
let s: Redis;
let t: Redis;
let open: CopySession[] = [];
beforeAll(async () => {
  [source, target] = await Promise.all([
    play.server('source', { config: { 'notify-keyspace-events': 'KA', 'stream-node-max-entries': '10' } }),
    play.server('target'),
  ]);
  [s, t] = [source.connect(OURS), target.connect(OURS)];
}, 90_000);
afterAll(() => play.stop(), 60_000);
beforeEach(async () => {
  for (const session of open) session.close();
  open = [];
  await s.config('SET', 'min-replicas-to-write', '0');
  await s.config('SET', 'notify-keyspace-events', 'KA');
  await Promise.all([s.flushall(), t.flushall()]);
});

const write =
  (redis: Redis) =>
  ([name, ...args]: readonly (string | number | Buffer)[]) =>
    redis.callBuffer(String(name), args);

async function follow(more: Partial<CopyOptions> = {}, run: CopyRun = {}): Promise<CopySession> {
  const session = await CopySession.open(between(source, target), options(more), { follow: true, ...run });
  open.push(session);
  return session;
}

/** As the cutover does: fence, drain. Then both sides are equal to the product's compare, and to our own look. */
async function fenceAndDrain(session: CopySession): Promise<void> {
  await s.config('SET', 'min-replicas-to-write', FENCED);
  await session.drain(DRAIN_MS);
  await settled(source);
  const same = await contents(target);
  expect(same).toEqual(await contents(source));
  const connections = { source: () => source.connect(), target: () => target.connect() };
  expect(await compare(connections, { ...OPTIONS, ttlToleranceMs: 0 })).toMatchObject({
    equal: true,
    missing: 0,
    extra: 0,
  });
}

const synced = (session: CopySession) =>
  until('it is in sync', () => {
    const { inSync, queued } = session.state();
    return inSync && queued === 0;
  });

test('a change of each kind arrives, deletes and expiries too', async () => {
  await fill((...command) => write(s)(command), 120);
  await s.mset('old', '1', 'gone', '1', 'expiring', '1', 'renamed', '1', 'moved', '1', 'kept', '1');
  const session = await follow();
  await session.firstCopy();
  await s.set('new', '1');
  await s.append('old', '2');
  await s.del('gone');
  await s.pexpire('expiring', 1);
  await s.rename('renamed', 'renamed after');
  await s.move('moved', 3);
  await s.pexpireat('kept', 4_102_444_800_000);
  await s.multi().hset('in multi', 'a', '1').hincrby('in multi', 'b', 7).exec();
  await s.eval(
    "redis.call('SADD', KEYS[1], 'x') redis.call('SREM', KEYS[1], 'y') redis.call('LPUSH', KEYS[2], 'z')",
    2,
    'in script',
    'list in script',
  );
  await s.copy('old', 'copied');
  await s.setbit('bits', 70, 1);
  await s.pfadd('log', 'a', 'b');
  await s.geoadd('geo', 13.4, 52.5, 'x');
  await s.xtrim('k large stream', 'MAXLEN', 50);
  await s.restore('restored', 0, await s.dumpBuffer('new'));
  await s.unlink('k large hash');
  // Expired by the server, with an event, or by whoever reads it.
  await until('it has expired', async () => (await s.exists('expiring')) === 0);
  await synced(session);
  const after = await contents(target);
  expect(after).toEqual(await contents(source));
  expect([...after.keys()].filter((key) => /gone|expiring|renamed$|0 moved|large hash/.test(key))).toEqual([]);
  expect(after.has('3 moved')).toBe(true);
  expect(session.state()).toMatchObject({
    phase: 'following',
    totals: { overflowed: 0, subscriptionsLost: 0, reconciled: 0 },
  });
  await fenceAndDrain(session);
  const { notes } = await session.end();
  expect(notes).toEqual([]);
  expect(await t.keys('cutover:*')).toEqual([]);
});

test('what a group of a stream does sends no event: the drain brings it', async () => {
  await s.xadd('orders', '1-1', 'a', '1');
  await s.xadd('orders', '2-1', 'a', '2');
  await s.xgroup('CREATE', 'orders', 'group', '0');
  const session = await follow();
  await session.firstCopy();
  await synced(session);
  await s.xreadgroup('GROUP', 'group', 'worker', 'COUNT', 2, 'STREAMS', 'orders', '>');
  await s.xack('orders', 'group', '1-1');
  await fenceAndDrain(session);
  expect(await t.xpending('orders', 'group')).toEqual([1, '2-1', '2-1', [['worker', '1']]]);
});

test('what a group does while it follows is brought before the fence too: a compare right after it is equal', async () => {
  const large = s.pipeline();
  for (let i = 1; i <= 3000; i++) large.xadd('large', `${i}-1`, 'event', `number ${i}`);
  await large.exec();
  for (const id of ['1-1', '2-1', '3-1']) await s.xadd('orders', id, 'a', '1');
  const session = await follow({ bigKeyBytes: 65_536 });
  for (const key of ['orders', 'large']) {
    await s.xgroup('CREATE', key, 'group', '0');
    // Made by what they do first, they would be an event.
    for (const consumer of ['worker', 'other']) await s.xgroup('CREATECONSUMER', key, 'group', consumer);
  }
  await session.firstCopy();
  await synced(session);
  const { events } = session.state().totals;
  for (const key of ['orders', 'large']) {
    await s.xreadgroup('GROUP', 'group', 'worker', 'COUNT', 3, 'STREAMS', key, '>');
    await s.xack(key, 'group', '1-1');
    await s.xclaim(key, 'group', 'other', 0, '2-1');
  }
  const connections = { source: () => source.connect(), target: () => target.connect() };
  // As the activity of the step reads again.
  const patience = { rereadDelayMs: 300, rereadTimes: 10 };
  expect(await compare(connections, { ...OPTIONS, ...patience })).toMatchObject({ equal: true, valueDiffers: 0 });
  for (const key of ['orders', 'large']) {
    expect(await t.xpending(key, 'group')).toEqual([
      2,
      '2-1',
      '3-1',
      [
        ['other', '1'],
        ['worker', '1'],
      ],
    ]);
  }
  expect(session.state().totals.rebuilt).toBeGreaterThan(1);
  // Of all that, nothing was heard.
  expect(session.state().totals.events).toBe(events);
  await fenceAndDrain(session);
});

describe('the pass over the streams whose groups move without an event', () => {
  const GROUP = 'group';
  /** On both sides, with a group; `read`: by the source's group alone. */
  const stream = async (key: string, read: boolean) => {
    for (const redis of [s, t]) {
      await redis.xadd(key, '1-1', 'a', '1');
      await redis.xgroup('CREATE', key, GROUP, '0');
    }
    if (read) await s.xreadgroup('GROUP', GROUP, 'worker', 'COUNT', 1, 'STREAMS', key, '>');
  };

  /** `round` is called in place of each pause. */
  function passes(keys: string[], round: (nth: number, pauseMs: number) => unknown, more: object = {}) {
    const end = new AbortController();
    const side = (name: string, redis: Redis) => ({ side: name, name, id: name, db: vi.fn(async () => redis) });
    const [server, to] = [side('source', s), side('target', t)];
    const copied: string[] = [];
    const notes: string[] = [];
    let rounds = 0;
    const moved = new MovedStreams({
      streams: { groups: () => [{ server, db: 0, keys: keys.map((key) => Buffer.from(key)) }] },
      target: { serverOf: () => to },
      copier: { copy: async (_: unknown, db: number, some: Buffer[]) => void copied.push(`${db} ${some.join()}`) },
      pace: { keys: async () => {} },
      guardOf: () => undefined,
      note: (text: string) => notes.push(text),
      signal: end.signal,
      wait: async (ms: number) => {
        await round(++rounds, ms);
      },
      ...more,
    } as never);
    return { moved, server, to, copied, notes, end: () => end.abort() };
  }

  test('what XADD alone does to a stream is no reason to copy it: of that there are events', async () => {
    for (const key of ['quiet', 'written', 'emptied']) await stream(key, false);
    for (const key of ['read', 'acknowledged', 'claimed']) await stream(key, true);
    for (const key of ['acknowledged', 'claimed']) {
      await t.xreadgroup('GROUP', GROUP, 'worker', 'COUNT', 1, 'STREAMS', key, '>');
    }
    await s.xack('acknowledged', GROUP, '1-1');
    await s.xclaim('claimed', GROUP, 'other', 0, '1-1');
    await s.xadd('no group', '1-1', 'a', '1');
    await t.xadd('no group', '1-1', 'a', '1');
    await s.xdel('emptied', '1-1');
    const names = ['quiet', 'written', 'emptied', 'no group', 'gone', 'read', 'acknowledged', 'claimed'];
    const pass = passes(names, (nth) => (nth === 3 ? pass.end() : more()));
    const more = async () => {
      for (const key of ['written', 'no group']) await s.xadd(key, '*', 'a', '1');
    };
    await more();
    await pass.moved.copyForEver();
    expect(new Set(pass.copied)).toEqual(new Set(['0 read', '0 acknowledged', '0 claimed']));
  });

  test('while it drains nothing is read to be copied again: nothing may be written after it', async () => {
    await stream('orders', true);
    const pass = passes(['orders'], (nth) => {
      pass.moved.hold(nth === 1);
      if (nth === 3) pass.end();
    });
    await pass.moved.copyForEver();
    // In the first round and the third, not in the second.
    expect([pass.copied.length, pass.moved.busy]).toEqual([2, false]);
  });

  test('one in hand at a time: a drain that begins meanwhile waits for that one alone', async () => {
    for (const key of ['a', 'b', 'c']) await stream(key, true);
    const hands: string[][] = [];
    const copy = async (_: unknown, __: number, keys: Buffer[]) => {
      hands.push(keys.map(String));
      expect(pass.moved.busy).toBe(true);
      pass.moved.hold(hands.length === 2);
    };
    const pass = passes(['a', 'b', 'c'], () => pass.end(), { copier: { copy } });
    await pass.moved.copyForEver();
    expect(hands).toEqual([['a'], ['b']]);
  });

  test('a stream that is read all the time rests between two copies, for ten times what one took', async () => {
    await stream('large', true);
    const times: { began: number; ended: number }[] = [];
    const copy = async () => {
      const began = performance.now();
      await sleep(30);
      times.push({ began, ended: performance.now() });
    };
    const round = () => (times.length === 2 ? pass.end() : sleep(5));
    const pass = passes(['large'], round, { copier: { copy } });
    await pass.moved.copyForEver();
    const [first, second] = times;
    expect(second!.began - first!.ended).toBeGreaterThanOrEqual(10 * (first!.ended - first!.began));
  });

  test('the pause grows with what the looking takes: few streams are looked at every second, thousands are not', async () => {
    await stream('orders', false);
    const pauses: number[] = [];
    const pass = passes(['orders'], (nth, ms) => {
      pauses.push(ms);
      const late = async () => {
        await sleep(1_600);
        return s;
      };
      if (nth === 5) pass.server.db.mockImplementation(late);
      if (nth === 6) pass.end();
    });
    await pass.moved.copyForEver();
    expect([Math.min(...pauses), pauses.at(-1)]).toEqual([1_000, 30_000]);
  });

  test.each(['MOVED 7 other:6379', 'ASK 7 other:6379', 'TRYAGAIN Multiple keys', 'CLUSTERDOWN Hash slot not served'])(
    'slots of either side that moved can be tried again: %s',
    async (said) => {
      await stream('orders', true);
      const callBuffer = async () => {
        throw Object.assign(new Error(said), { name: 'ReplyError' });
      };
      for (const side of ['server', 'to'] as const) {
        const pass = passes(['orders'], () => pass.end());
        pass[side].db.mockImplementation(async () => ({ callBuffer }) as never);
        await expect(pass.moved.copyForEver()).rejects.toMatchObject({
          code: 'SLOTS_MOVED',
          retryable: true,
          message: expect.stringContaining(side === 'to' ? 'slots of target' : 'slots of source'),
        });
        expect(pass.moved.busy).toBe(false);
      }
    },
  );

  test('a target on which we may not look at groups: it is said, and all else goes on', async () => {
    await t.call('ACL', 'SETUSER', 'blind', 'reset', 'on', '>pw', '~*', '&*', '+@all', '-xinfo', '-xpending');
    await s.xadd('orders', '1-1', 'a', '1');
    await s.xgroup('CREATE', 'orders', GROUP, '0');
    // Made while it follows, it would be an event, and what is touched last the drain itself compares, by XINFO and XPENDING.
    await s.xgroup('CREATECONSUMER', 'orders', GROUP, 'worker');
    const connections = {
      source: between(source, target).source,
      target: sideOf(target, { username: 'blind', password: 'pw' }),
    };
    const session = await CopySession.open(connections, options(), { follow: true });
    open.push(session);
    await session.firstCopy();
    await until('it is said', () => session.notes.length > 0);
    await s.xreadgroup('GROUP', GROUP, 'worker', 'COUNT', 1, 'STREAMS', 'orders', '>');
    await s.set('after', '1');
    await until('it follows', async () => (await t.get('after')) === '1');
    await fenceAndDrain(session);
    expect(await t.xpending('orders', GROUP)).toEqual([1, '1-1', '1-1', [['worker', '1']]]);
    expect(session.notes).toEqual([
      expect.stringMatching(
        /groups of streams can't be looked at \(NOPERM.*by the drain alone.*the drain needs them too/,
      ),
    ]);
  });
});

describe('a fast writer races the copy', () => {
  type Step = { kind: number; key: number; size: number };
  const step: fc.Arbitrary<Step> = fc.record({
    kind: fc.nat(13),
    key: fc.nat(60),
    size: fc.integer({ min: 1, max: 40 }),
  });
  const apply = ({ kind, key, size }: Step, i: number): (string | number)[] => {
    const name = `k${key}`;
    const items = Array.from({ length: size }, (_, n) => n);
    const commands: (string | number)[][] = [
      ['SET', name, `value ${i}`],
      ['SET', name, `value ${i}`, 'PX', 1 + (size % 10) * 100],
      ['DEL', name],
      ['RENAME', name, `k${(key + size) % 60}`],
      ['PEXPIRE', name, 1 + size * 20],
      ['PERSIST', name],
      ['HSET', `h${key % 5}`, ...items.flatMap((n) => [`f${i}:${n}`, 'x'.repeat(100)])],
      ['RPUSH', `l${key % 5}`, ...items.map((n) => `${i}:${n}`)],
      ['LPOP', `l${key % 5}`, size],
      ['ZADD', `z${key % 5}`, ...items.flatMap((n) => [n / 7, `${i}:${n}`])],
      ['SADD', `s${key % 5}`, ...items.map((n) => `${i % 500}:${n}`)],
      ['SPOP', `s${key % 5}`, size],
      ['XADD', `x${key % 3}`, '*', 'f', i],
      ['COPY', `h${key % 5}`, `copy${key % 3}`, 'REPLACE'],
    ];
    return commands[kind] ?? [];
  };

  test('at the end both sides are equal, whatever was written', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 400, maxLength: 800 }), fc.boolean(), async (steps, small) => {
        await s.config('SET', 'min-replicas-to-write', '0');
        await Promise.all([s.flushall(), t.flushall()]);
        for (let i = 0; i < 400; i++) void s.set(`still ${i}`, 'x'.repeat(100));
        // Large enough to be rebuilt in pages, and grown while that goes on.
        for (let i = 0; i < 5; i++)
          void s.hset(`h${i}`, ...Array.from({ length: 1500 }, (_, n) => [`f${n}`, 'y'.repeat(60)]).flat());
        await s.ping();
        const stop = new AbortController();
        let written = 0;
        const writing = (async () => {
          while (!stop.signal.aborted) {
            const pipeline = s.pipeline();
            for (let n = 0; n < 20; n++, written++) {
              const next = steps[written % steps.length]!;
              const [name, ...args] = apply(next, written);
              pipeline.call(String(name), ...args);
            }
            // Errors of a single command (RENAME of no key) are part of it.
            await pipeline.exec();
            await new Promise((resolve) => setTimeout(resolve, 2));
          }
        })();
        const session = await follow({
          bigKeyBytes: 65_536,
          scanCount: 20,
          workers: 3,
          ...(small ? { queueKeys: 3 } : {}),
        });
        await session.firstCopy();
        await until('enough was written', () => written > 1000);
        stop.abort();
        await writing;
        await fenceAndDrain(session);
        const { totals } = await session.end();
        expect(totals.rebuilt).toBeGreaterThan(0);
        expect(totals.events).toBeGreaterThan(500);
      }),
      { numRuns: 3, endOnFailure: true },
    );
  });
});

describe('events that were lost', () => {
  test('a subscription that is cut: said, and all of the node is compared again', async () => {
    for (let i = 0; i < 300; i++) void s.set(`k${i}`, 'before');
    await s.ping();
    const session = await follow();
    await session.firstCopy();
    await synced(session);
    // Nobody listens while this is changed: cut and change in one transaction.
    await s.multi().client('KILL', 'TYPE', 'PUBSUB').set('k7', 'after').del('k8').set('new', 'x').exec();
    await until('the loss is known', () => session.state().totals.subscriptionsLost === 1);
    await synced(session);
    expect(await t.mget('k7', 'k8', 'new', 'k9')).toEqual(['after', null, 'x', 'before']);
    expect(session.state().totals.reconciled).toBeGreaterThan(0);
    await fenceAndDrain(session);
    const { notes } = await session.end();
    expect(notes).toEqual([expect.stringContaining('the subscription was lost, and events with it')]);
  });

  test('a subscription that is cut right before the drain is no reason to call it drained', async () => {
    for (let i = 0; i < 300; i++) void s.set(`k${i}`, 'before');
    await s.ping();
    const session = await follow();
    await session.firstCopy();
    await synced(session);
    await s.multi().client('KILL', 'TYPE', 'PUBSUB').set('k7', 'after').del('k8').exec();
    await fenceAndDrain(session);
  });

  test('FLUSHALL sends no event, and is found out all the same', async () => {
    for (let i = 0; i < 300; i++) void s.set(`k${i}`, 'before');
    await s.ping();
    const session = await follow();
    await session.firstCopy();
    await synced(session);
    await s.flushall();
    await s.set('after', 'x');
    await fenceAndDrain(session);
    expect(await t.dbsize()).toBe(2);
    const { notes } = await session.end();
    expect(notes).toEqual([expect.stringContaining('FLUSHALL, FLUSHDB, SWAPDB or RESETSTAT was called')]);
    expect(await t.keys('*')).toEqual(['after']);
  });

  test('FLUSHDB whose count CONFIG RESETSTAT has forgotten is found out all the same', async () => {
    for (let i = 0; i < 300; i++) void s.set(`k${i}`, 'before');
    await s.ping();
    // As before and after it: no FLUSHDB, one RESETSTAT.
    await s.config('RESETSTAT');
    const session = await follow();
    await session.firstCopy();
    await synced(session);
    await s.multi().flushdb().config('RESETSTAT').exec();
    await s.set('after', 'x');
    await fenceAndDrain(session);
    expect(await t.keys('k*')).toEqual([]);
    const { notes } = await session.end();
    expect(notes).toEqual([expect.stringContaining('RESETSTAT was called')]);
  });

  test('what is forgotten while the first scan goes on is seen while it goes on', async () => {
    const three = source.connect({ ...OURS, db: 3 });
    await three.set('flushed', 'x');
    for (let i = 0; i < 2000; i++) void s.set(`k${i}`, 'before');
    await s.ping();
    const session = await follow({ maxKeysPerSecond: 100 });
    const copied = session.firstCopy();
    copied.catch(() => {});
    await s.config('RESETSTAT');
    await three.multi().flushdb().config('RESETSTAT').exec();
    await until('it is seen', () => session.notes.some((note) => note.includes('RESETSTAT was called')));
    expect(session.state()).toMatchObject({ phase: 'scanning', inSync: false });
    three.disconnect();
  });

  test('what the counts of the commands tell', () => {
    const counts = (counted: Record<string, number>) => new Map(Object.entries(counted));
    const before = counts({ info: 7, get: 100, flushall: 1 });
    expect(calledUnheard(before, counts({ info: 8, get: 100, flushall: 1, set: 1 }))).toBe(false);
    expect(calledUnheard(before, counts({ info: 8, get: 100, flushall: 2 }))).toBe(true);
    expect(calledUnheard(before, counts({ info: 8, get: 100, flushall: 1, swapdb: 1 }))).toBe(true);
    // Before 7.0 CONFIG RESETSTAT is not counted by itself.
    expect(calledUnheard(before, counts({ info: 8, get: 99, flushall: 1 }))).toBe(true);
    expect(calledUnheard(before, counts({ info: 8, flushall: 1 }))).toBe(true);
    expect(calledUnheard(before, counts({ info: 7, get: 100, flushall: 1 }))).toBe(true);
    expect(calledUnheard(counts({ get: 1 }), counts({ get: 1 }))).toBe(false);
  });

  test('a queue that is full: the slots of what did not fit are compared again', async () => {
    const session = await follow({ queueKeys: 100 });
    await session.firstCopy();
    const pipeline = s.pipeline();
    for (let i = 0; i < 1500; i++) pipeline.set(`k${i}`, i);
    await pipeline.exec();
    await until('it has overflowed', () => session.state().totals.overflowed > 0);
    await fenceAndDrain(session);
    expect(session.state().totals.reconciled).toBeGreaterThan(0);
  });

  test('a worker that dies: what is changed before the next one listens is found by comparing', async () => {
    await fill((...command) => write(s)(command), 300);
    const stop = new AbortController();
    let checkpoint: CopyCheckpoint | undefined;
    const first = await follow(
      { scanCount: 20, maxKeysPerSecond: 300 },
      {
        signal: stop.signal,
        progressIntervalMs: 1,
        onProgress: (_, now) => {
          checkpoint = structuredClone(now);
          if ((now.nodes[0]?.keys ?? 0) > 150) stop.abort(new Error('killed'));
        },
      },
    );
    await expect(first.firstCopy()).rejects.toThrow('killed');
    await s.flushdb();
    await fill((...command) => write(s)(command), 200, 'k1');
    const session = await follow({}, { resumeFrom: checkpoint! });
    await session.firstCopy();
    await fenceAndDrain(session);
  });
});

test('notifications that somebody switches off meanwhile are an end, not a silence', async () => {
  const session = await follow();
  await session.firstCopy();
  await synced(session);
  await s.config('SET', 'notify-keyspace-events', 'Kg$lsh');
  await s.zadd('unheard', 1, 'x');
  await expect(session.drain(DRAIN_MS)).rejects.toMatchObject({
    code: 'OBSTACLE',
    message: expect.stringContaining('was changed to "'),
  });
});

test('what an attempt without a checkpoint has left on the target is deleted where the source lacks it', async () => {
  await s.mset('a', '1', 'b', '1');
  const first = await follow();
  await first.firstCopy();
  first.close();
  await s.del('b');
  const second = await follow();
  await second.firstCopy();
  await fenceAndDrain(second);
  expect(await t.exists('b')).toBe(0);
});

test('drained without a fence: it says that keys are left, and follows on', async () => {
  const session = await follow();
  await session.firstCopy();
  let writing = true;
  const writer = (async () => {
    for (let i = 0; writing; i++) await s.set(`k${i % 50}`, 'x'.repeat(i % 1000));
  })();
  try {
    await expect(session.drain(1)).rejects.toMatchObject({
      code: 'DEADLINE',
      retryable: true,
      message: expect.stringMatching(/not drained within 1 ms|no notification came/),
    });
  } finally {
    writing = false;
    await writer;
  }
  expect(session.state().phase).not.toBe('done');
  await fenceAndDrain(session);
});

test('ended at any point while it is opened: no connection of it stays', async () => {
  const connected = async () =>
    (await Promise.all([s, t].map(async (redis) => String(await redis.client('LIST')))))
      .join('')
      .includes('cutover:m1');
  let opened = false;
  for (let nth = 1; !opened; nth++) {
    const end = new AbortController();
    let steps = 0;
    const step = () => {
      if (++steps === nth) end.abort(new Error('ended'));
    };
    const ending = ({ at, connect }: CopySide): CopySide => ({
      at,
      connect: async (to) => {
        const redis = await connect(to);
        const subscribe = redis.psubscribe.bind(redis);
        redis.psubscribe = (async (pattern: string) => {
          step();
          return subscribe(pattern);
        }) as typeof redis.psubscribe;
        step();
        return redis;
      },
    });
    const both = between(source, target);
    const ends = { source: ending(both.source), target: ending(both.target) };
    const opening = CopySession.open(ends, options(), { follow: true, signal: end.signal });
    const session = await opening.catch((error: unknown) => {
      expect(error).toEqual(new Error('ended'));
      return undefined;
    });
    opened = session !== undefined;
    session?.close();
    await until(`none is left of the session that was ended at step ${nth}`, async () => !(await connected()));
  }
});

describe('refused, with the reason', () => {
  test('notifications that are off, or not of every class', async () => {
    expect(missingFlags('')).toBe('Kg$lshzxet');
    expect(missingFlags('AK')).toBe('');
    expect(missingFlags('KA', true)).toBe('');
    expect(missingFlags('Eg$lshzxet')).toBe('K');
    expect(missingFlags('Kg$lshzxet', true)).toBe('d');
    await s.config('SET', 'notify-keyspace-events', 'Kg$lsh');
    await expect(follow()).rejects.toMatchObject({
      code: 'OBSTACLE',
      message: expect.stringMatching(/notify-keyspace-events is ".*", "zxet" is missing.*lost in silence/),
      remedy: expect.stringContaining('CONFIG SET notify-keyspace-events'),
    });
  });

  test('CONFIG refused: each class is tried out', async () => {
    await s.call('ACL', 'SETUSER', 'managed', 'reset', 'on', 'nopass', '~*', '&*', '+@all', '-config');
    process.env['COPY_TEST_ANY'] = 'any';
    const endpoint = {
      host: source.host,
      port: source.port,
      tls: false,
      username: 'managed',
      password: { env: 'COPY_TEST_ANY' },
    };
    const ends = connectionsOf({
      migrationId: 'm1',
      source: endpoint,
      target: { host: target.host, port: target.port, tls: false },
    });
    const session = await CopySession.open(ends, options(), { follow: true });
    session.close();
    await s.config('SET', 'notify-keyspace-events', 'Kg$lshxet');
    await expect(CopySession.open(ends, options(), { follow: true })).rejects.toMatchObject({
      code: 'OBSTACLE',
      message: expect.stringContaining('sends no notifications of the classes "z"'),
    });
    expect(await s.keys('*')).toEqual([]);
  });

  test('an output buffer for subscribers that a busy moment fills', async () => {
    const before = await s.config('GET', 'client-output-buffer-limit');
    await s.config('SET', 'client-output-buffer-limit', 'pubsub 65536 0 0');
    try {
      await expect(follow()).rejects.toMatchObject({
        code: 'OBSTACLE',
        message: expect.stringContaining('cuts a subscriber off at 65536 bytes'),
        remedy: expect.stringContaining('CONFIG SET client-output-buffer-limit'),
      });
    } finally {
      await s.config('SET', 'client-output-buffer-limit', before[1]!);
    }
  });

  test('keeping what the target has, while following', async () => {
    await expect(follow({ mode: 'keep' })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  });
});

test('notifications are switched on, and put back to what they were', async () => {
  const input = { migrationId: 'm1', source: { host: source.host, port: source.port, tls: false } };
  const setting = async () => (await s.config('GET', 'notify-keyspace-events'))[1];
  await s.config('SET', 'notify-keyspace-events', 'Ex');
  const old = await setting();
  const nodes = await readNotifications(input);
  expect(nodes).toMatchObject([{ old }]);
  for (let twice = 0; twice < 2; twice++) await switchOnNotifications({ ...input, nodes });
  expect(missingFlags((await setting())!)).toBe('');
  expect(await setting()).toContain('E');
  for (let twice = 0; twice < 2; twice++) await restoreNotifications({ ...input, nodes });
  expect(await setting()).toBe(old);
  // Somebody needs other events by now.
  await switchOnNotifications({ ...input, nodes });
  await s.config('SET', 'notify-keyspace-events', 'El');
  const told = await restoreNotifications({ ...input, nodes });
  expect(told.note).toContain('left alone: somebody set it to');
  expect(await setting()).toMatch(/^(El|lE)$/);

  // A primary that died is no reason to leave the others on.
  const gone = { ...nodes[0]!, at: { host: source.host, port: await freePort() } };
  await switchOnNotifications({ ...input, nodes });
  await expect(restoreNotifications({ ...input, nodes: [gone, ...nodes] })).rejects.toThrow();
  expect(await setting()).toBe(old);
});
