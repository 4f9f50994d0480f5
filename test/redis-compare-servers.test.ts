/** Compare between servers as they are in the field: locked down, old, of another kind, differently configured, with huge keys. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { abilitiesOf } from '../activities/redis/compare/abilities.ts';
import { compare } from '../activities/redis/compare/compare.ts';
import { Reader, parsePage } from '../activities/redis/compare/reader.ts';
import type { CompareOptions } from '../activities/redis/compare/types.ts';
import { oldRedis } from './old-redis.ts';
import { OPTIONS, found, startPair } from './redis-pair.ts';
import type { Pair } from './redis-pair.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 60_000 });

let pair: Pair;
beforeAll(async () => void (pair = await startPair()), 60_000);
afterAll(() => pair.stop(), 60_000);

const many = (count: number, make: (i: number) => (string | number)[]) =>
  Array.from({ length: count }, (_, i) => make(i)).flat();

/** 2,000 keys of all types, some large. */
async function fill(redis: Redis): Promise<void> {
  const pipeline = redis.pipeline();
  for (let i = 0; i < 2000; i++) {
    const count = 1 + (i % 40);
    const kind = i % 6;
    if (kind === 0) pipeline.set(`k${i}`, `value ${i} `.repeat(count));
    if (kind === 1) pipeline.hset(`k${i}`, ...many(count, (n) => [`field ${n}`, `value ${i}`]));
    if (kind === 2) pipeline.rpush(`k${i}`, ...many(count, (n) => [`member ${n}`]));
    if (kind === 3) pipeline.sadd(`k${i}`, ...many(count, (n) => [i % 4 ? n * 7 : `member ${n}`]));
    if (kind === 4) pipeline.zadd(`k${i}`, ...many(count, (n) => [n / 7, `member ${n}`]));
    if (kind === 5) for (let n = 1; n <= 3; n++) pipeline.xadd(`k${i}`, `${n}-1`, 'f', `value ${n}`);
    if (i % 3 === 0) pipeline.expire(`k${i}`, 5000 + i);
  }
  pipeline.hset('large hash', ...many(4000, (n) => [`field ${n}`, `value ${n}`]));
  pipeline.sadd('large set', ...many(4000, (n) => [`member ${n}`]));
  pipeline.zadd('large zset', ...many(4000, (n) => [n / 7, `member ${n}`]));
  pipeline.rpush('large list', ...many(4000, (n) => [`member ${n}`]));
  pipeline.set('large string', 'x'.repeat(200_000));
  await pipeline.exec();
  for (let n = 1; n <= 3000; n++) void redis.xadd('large stream', `${n}-1`, 'f', `value ${n}`);
  await redis.xgroup('CREATE', 'large stream', 'group', '0');
  await redis.xreadgroup('GROUP', 'group', 'worker', 'COUNT', 2500, 'STREAMS', 'large stream', '>');
}
const KEYS = 2006;

/** One change of each kind; what must be found. */
async function damage(target: Redis): Promise<string[]> {
  await target.del('k6');
  await target.append('k12', '+');
  await target.hset('k7', 'field 0', 'other');
  await target.lset('k8', 0, 'other');
  await target.sadd('k9', 'other');
  await target.zadd('k10', 99, 'member 0');
  await target.xdel('k11', '2-1');
  await target.persist('k3');
  await target.set('k13', 'a string');
  await target.set('extra', 'x');
  await target.hset('large hash', 'field 3999', 'other');
  await target.srem('large set', 'member 7');
  await target.zadd('large zset', 0.5, 'member 7');
  await target.lset('large list', 3999, 'other');
  await target.setrange('large string', 199_999, 'y');
  await target.xack('large stream', 'group', '2400-1');
  return [
    '0 extra extra',
    '0 missing k6',
    '0 ttl k3',
    '0 type k13',
    ...['k12', 'k7', 'k8', 'k9', 'k10', 'k11'].map((key) => `0 value ${key}`),
    ...['hash', 'set', 'zset', 'list', 'string', 'stream'].map((key) => `0 value large ${key}`),
  ].sort();
}

/** Fills the source, lets the target replicate it, and compares before and after damage. */
async function expectExact(on: Pair, options: Partial<CompareOptions> = {}, notes: unknown[] = []): Promise<void> {
  await on.s.flushall();
  await fill(on.s);
  await on.replicate();
  // As a replica, and promoted.
  expect(await on.compare(options)).toMatchObject({ equal: true, keysCompared: KEYS, rereads: 0, notes });
  await on.promote();
  const expected = await damage(on.t);
  const result = await on.compare(options);
  expect(found(result)).toEqual(expected);
  expect(result).toMatchObject({ equal: false, unsettled: 0, uncompared: 0, notes });
}

describe('permissions', () => {
  const NEEDED = ['+@read', '+@connection', '+info', '+time'];
  const SCRIPTS = ['+eval', '+evalsha', '+eval_ro', '+evalsha_ro'];
  const as = (rules: string[]) => {
    const connect = async () => {
      for (const redis of [pair.s, pair.t]) {
        await redis.call('ACL', 'SETUSER', 'comparer', 'reset', 'on', '>pw', '~*', '-@all', ...rules);
      }
      // The ready check of ioredis needs INFO.
      const user = { username: 'comparer', password: 'pw', enableReadyCheck: rules.includes('+info') };
      return {
        source: () => new Redis({ host: '127.0.0.1', port: pair.source.port, ...user }),
        target: () => new Redis({ host: '127.0.0.1', port: pair.target.port, ...user }),
      };
    };
    return connect();
  };
  beforeEach(async () => {
    await pair.promote();
    await pair.empty();
    await fill(pair.s);
    await pair.replicate();
    await pair.promote();
  });

  test.each([
    ['reading and scripts, no CONFIG, no DEBUG', [...NEEDED, ...SCRIPTS], []],
    [
      'no scripts',
      NEEDED,
      ['source', 'target'].map(
        (side) => `${side}: compared by plain commands, which is slower and moves the values: EVAL is not permitted`,
      ),
    ],
    ['no MEMORY', [...NEEDED, ...SCRIPTS, '-memory'], []],
    ['no DUMP', [...NEEDED, ...SCRIPTS, '-dump'], []],
    ['no EVALSHA', [...NEEDED, '+eval', '+eval_ro'], []],
    ['no scripts, no MEMORY', [...NEEDED, '-memory'], [expect.any(String), expect.any(String)]],
    ['scripts may not PEXPIRETIME', [...NEEDED, ...SCRIPTS, '-pexpiretime'], []],
    [
      'no INFO',
      ['+@read', '+@connection', '+time', ...SCRIPTS],
      ['INFO is refused: whether the target lags behind was not known, rereads only waited'],
    ],
  ])(
    '%s: the same differences',
    async (_, rules, notes) => {
      const connections = await as(rules);
      const options = { ...OPTIONS, databases: [0] };
      expect(await compare(connections, options)).toMatchObject({ equal: true, keysCompared: KEYS, notes });
      const expected = await damage(pair.t);
      const result = await compare(connections, options);
      expect(found(result)).toEqual(expected);
      expect(result.notes).toEqual(notes);
    },
    60_000,
  );

  test('a command in the script that is refused leads to plain commands, and what these may not do is the error', async () => {
    const connections = await as([...NEEDED, ...SCRIPTS, '-type']);
    await expect(compare(connections, OPTIONS)).rejects.toThrow(/NOPERM.*'type'/i);
  });

  test('no INFO and no databases named: the error says both ways out', async () => {
    const connections = await as(['+@read', '+@connection', '+time', ...SCRIPTS]);
    await expect(compare(connections, OPTIONS)).rejects.toThrow(
      'the source refuses INFO: permit it, or list the databases',
    );
  });

  test('a wrong password is the error, at once', async () => {
    await as(NEEDED);
    const wrong = () =>
      new Redis({ host: '127.0.0.1', port: pair.source.port, username: 'comparer', password: 'wrong' });
    await expect(compare({ source: wrong, target: wrong }, OPTIONS)).rejects.toThrow(/WRONGPASS/);
  });
});

test('a source that is fenced, or whose writes are paused, can be compared', async () => {
  await pair.promote();
  await pair.empty();
  await fill(pair.s);
  await pair.replicate();
  await pair.promote();
  await pair.s.config('SET', 'min-replicas-to-write', '2147483647');
  await pair.s.call('CLIENT', 'PAUSE', 600_000, 'WRITE');
  try {
    await expect(pair.s.config('GET', 'min-replicas-to-write')).resolves.toEqual([
      'min-replicas-to-write',
      '2147483647',
    ]);
    expect(await pair.compare()).toMatchObject({ equal: true, keysCompared: KEYS });
  } finally {
    await pair.s.call('CLIENT', 'UNPAUSE');
    await pair.s.config('SET', 'min-replicas-to-write', '0');
  }
}, 60_000);

test('other encodings and another order on every key: found equal, and without a second reading of each', async () => {
  const other = await startPair({
    target: {
      config: {
        'hash-max-listpack-entries': '1',
        'zset-max-listpack-entries': '1',
        'set-max-intset-entries': '1',
        'list-max-listpack-size': '1',
        rdbcompression: 'no',
        'enable-debug-command': 'local',
      },
    },
  });
  try {
    await expectExact(other);
  } finally {
    await other.stop();
  }
}, 60_000);

test('Redis to Valkey', async () => {
  const mixed = await startPair({ target: { flavour: 'valkey' } });
  try {
    expect(mixed.target.flavour).toBe('valkey');
    await expectExact(mixed);
  } finally {
    await mixed.stop();
  }
}, 180_000);

test('fields of hashes that expire, on Valkey', async () => {
  const both = await startPair({ source: { flavour: 'valkey' }, target: { flavour: 'valkey' } });
  try {
    await fill(both.s);
    await both.s.hset('small', 'a', '1', 'b', '2');
    for (const key of ['small', 'large hash']) {
      const field = key === 'small' ? 'a' : 'field 7';
      await both.s.call('HPEXPIREAT', key, 4_102_444_800_000, 'FIELDS', 1, field);
    }
    await both.replicate();
    expect(await both.compare()).toMatchObject({ equal: true, keysCompared: KEYS + 1 });
    await both.promote();
    await both.t.call('HPEXPIREAT', 'small', 4_102_444_900_000, 'FIELDS', 1, 'a');
    await both.t.call('HPERSIST', 'large hash', 'FIELDS', 1, 'field 7');
    expect(found(await both.compare())).toEqual(['0 value large hash', '0 value small']);
  } finally {
    await both.stop();
  }
}, 180_000);

const old = oldRedis();
const oldTest = 'path' in old ? test : test.skip;
if ('reason' in old) process.stderr.write(`redis-compare: not tested with an old source: ${old.reason}\n`);

oldTest.each(['redis', 'valkey'] as const)(
  "Redis 6.2 to today's %s",
  async (flavour) => {
    if (!('path' in old)) throw new Error('skipped above');
    const before = process.env['REDIS_SERVER_PATH'];
    const config = { 'repl-diskless-sync-delay': '0' };
    // The variable names the program for every redis-server that is started, so the target comes from a pair of its own.
    const today = await startPair({ target: { flavour } });
    process.env['REDIS_SERVER_PATH'] = old.path;
    const past = await startPair({ source: { config }, target: { config } }).finally(() => {
      if (before === undefined) delete process.env['REDIS_SERVER_PATH'];
      else process.env['REDIS_SERVER_PATH'] = before;
    });
    try {
      expect(past.source.version).toMatch(/^6\.2\./);
      const connections = { source: past.connections.source, target: today.connections.target };
      await fill(past.s);
      await today.t.replicaof('127.0.0.1', past.source.port);
      await expect.poll(() => today.t.info('replication'), { timeout: 60_000 }).toContain('master_link_status:up');
      expect(await compare(connections, OPTIONS)).toMatchObject({
        equal: true,
        keysCompared: KEYS,
        rereads: 0,
        notes: [],
      });
      await today.promote();
      const expected = await damage(today.t);
      expect(found(await compare(connections, OPTIONS))).toEqual(expected);
    } finally {
      await Promise.all([past.stop(), today.stop()]);
    }
  },
  180_000,
);

test('a script takes no more at once than its share', async () => {
  await pair.promote();
  await pair.empty();
  for (let i = 0; i < 400; i++) await pair.s.set(`k${i}`, Buffer.alloc(50_000, i % 256));
  await pair.s.set('large', Buffer.alloc(5_000_000));
  await pair.replicate();
  await pair.s.config('RESETSTAT');
  expect(await pair.compare()).toMatchObject({ equal: true, keysCompared: 401 });
  const stats = await pair.s.info('commandstats');
  const calls = Number(/cmdstat_evalsha_ro:calls=(\d+)/.exec(stats)?.[1]);
  // 256 KB are reached with the sixth of these.
  expect(calls).toBeGreaterThanOrEqual(400 / 6);
  // Strings are not dumped, which would compress each: the one call is the probe.
  expect(Number(/cmdstat_dump:calls=(\d+)/.exec(stats)?.[1])).toBe(1);
}, 60_000);

test('a hash of 1,000,000 fields', async () => {
  await pair.promote();
  await pair.empty();
  for (let from = 0; from < 1_000_000; from += 10_000) {
    await pair.s.hset('huge', ...many(10_000, (i) => [`field ${from + i}`, `value ${from + i}`]));
  }
  await pair.replicate();
  await pair.promote();
  const before = process.memoryUsage().rss;
  let highest = before;
  const watch = setInterval(() => (highest = Math.max(highest, process.memoryUsage().rss)), 20);
  try {
    expect(await pair.compare()).toMatchObject({ equal: true, keysCompared: 1 });
    await pair.t.hset('huge', 'field 654321', 'other');
    const changed = await pair.compare();
    const what = 'hash: at least 1 fields differ';
    expect(changed.examples).toEqual([{ db: 0, key: 'huge', kind: 'value', source: what, target: what }]);
    await pair.t.del('huge');
    await pair.t.hset('huge', ...many(10_000, (i) => [`field ${i}`, 'other']));
    const all = await pair.compare();
    expect(all.examples[0]?.source).toMatch(/^hash: at least 1\d\d\d fields differ$/);
  } finally {
    clearInterval(watch);
  }
  // The values alone are 30 MB a side.
  expect((highest - before) / 2 ** 20).toBeLessThan(150);
}, 300_000);

test('calls that hold up the server get fewer keys, and more again when they do not', async () => {
  let micros = 20_001;
  const asked: number[] = [];
  const slow = Object.assign(new Redis({ lazyConnect: true }), {
    callBuffer: async (_: string, [, count]: [string, number]) => {
      asked.push(count);
      return [Buffer.from('1'), Buffer.from(Array.from({ length: count }, () => '-').join('\n')), count, 0, micros];
    },
  });
  const reader = new Reader('source', { ...(await abilitiesOf(pair.s)) }, 0, (note) => expect.unreachable(note));
  const keys = Array.from({ length: 2000 }, (_, i) => Buffer.from(`k${i}`));
  const page = await reader.read(slow, keys, 'quick');
  expect(parsePage(page)).toHaveLength(2000);
  expect(asked.slice(0, 6)).toEqual([250, 125, 62, 31, 15, 8]);
  expect(reader.keysPerCall).toBe(8);
  micros = 100;
  await reader.read(slow, keys, 'quick');
  expect(reader.keysPerCall).toBe(250);
});
