import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Redis } from 'ioredis';
import { printable } from '../activities/redis/compare/key-names.ts';
import { abilitiesOf } from '../activities/redis/compare/abilities.ts';
import { digestPlainly } from '../activities/redis/compare/digest-plain.ts';
import { BIG_BYTES, Reader } from '../activities/redis/compare/reader.ts';
import type { CompareOptions } from '../activities/redis/compare/types.ts';
import { OPTIONS, found, startPair } from './redis-pair.ts';
import type { Pair } from './redis-pair.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 60_000 });

let pair: Pair;
beforeAll(async () => void (pair = await startPair()), 60_000);
afterAll(() => pair.stop(), 60_000);
beforeEach(() => pair.empty());

const many = (count: number, make: (i: number) => (string | number)[]) =>
  Array.from({ length: count }, (_, i) => make(i)).flat();

/** One key of each type, small or too large for a script. */
async function everyType(redis: Redis, large: boolean): Promise<void> {
  const count = large ? 3000 : 5;
  await redis.set('string', large ? 'abc'.repeat(60_000) : 'abc');
  await redis.rpush('list', ...many(count, (i) => [`member ${i}`]));
  await redis.sadd('set', ...many(count, (i) => [`member ${i}`]));
  await redis.hset('hash', ...many(count, (i) => [`field ${i}`, `value ${i}`]));
  await redis.zadd('zset', ...many(count, (i) => [i / 3, `member ${i}`]));
  for (let i = 1; i <= count; i++) await redis.xadd('stream', `${i}-1`, 'event', `number ${i}`);
  await redis.xgroup('CREATE', 'stream', 'group', '0');
  await redis.xreadgroup('GROUP', 'group', 'worker', 'COUNT', 3, 'STREAMS', 'stream', '>');
}

const OTHER_VALUES: Record<string, (redis: Redis) => Promise<unknown>> = {
  string: (redis) => redis.setrange('string', 1, 'X'),
  'list, a member': (redis) => redis.lset('list', 2, 'other'),
  'list, the order': (redis) => redis.lmove('list', 'list', 'LEFT', 'RIGHT'),
  'list, one more': (redis) => redis.rpush('list', 'more'),
  'set, a member': (redis) => redis.multi().srem('set', 'member 2').sadd('set', 'other').exec(),
  'set, one more': (redis) => redis.sadd('set', 'more'),
  'set, one less': (redis) => redis.srem('set', 'member 2'),
  'hash, a value': (redis) => redis.hset('hash', 'field 2', 'other'),
  'hash, a field': (redis) => redis.multi().hdel('hash', 'field 2').hset('hash', 'other', 'value 2').exec(),
  'hash, two values swapped': (redis) => redis.hset('hash', 'field 1', 'value 2', 'field 2', 'value 1'),
  'hash, one more': (redis) => redis.hset('hash', 'more', '1'),
  'zset, a score': (redis) => redis.zadd('zset', 1.25, 'member 2'),
  'zset, a score to infinity': (redis) => redis.zadd('zset', '+inf', 'member 2'),
  'zset, one more': (redis) => redis.zadd('zset', 1, 'more'),
  'zset, one less': (redis) => redis.zrem('zset', 'member 2'),
  'stream, an entry': (redis) => redis.multi().xdel('stream', '2-1').exec(),
  'stream, the last id': (redis) => redis.call('XSETID', 'stream', '9000-1'),
  'stream, a group': (redis) => redis.xgroup('CREATE', 'stream', 'second', '0'),
  'stream, where a group is': (redis) => redis.xgroup('SETID', 'stream', 'group', '1-1'),
  'stream, a pending entry': (redis) => redis.xack('stream', 'group', '2-1'),
  'stream, whose pending entry': (redis) => redis.xclaim('stream', 'group', 'other worker', 0, '2-1'),
};

describe.each([
  ['small', false],
  ['large', true],
])('%s keys', (_, large) => {
  beforeEach(async () => {
    await everyType(pair.s, large);
    await pair.copy();
  });

  test('equal ones are equal', async () => {
    const result = await pair.compare();
    expect(result).toMatchObject({ equal: true, keysCompared: 6, examples: [], notes: [], databases: [0] });
  });

  test.each(Object.entries(OTHER_VALUES))('another value: %s', async (name, change) => {
    await change(pair.t);
    const result = await pair.compare();
    const key = name.split(',')[0];
    expect(found(result)).toEqual([`0 value ${key}`]);
    expect(result).toMatchObject({
      equal: false,
      valueDiffers: 1,
      missing: 0,
      extra: 0,
      typeDiffers: 0,
      ttlDiffers: 0,
    });
    expect((await pair.compare({ values: false })).equal).toBe(true);
  });

  test.each(['string', 'list', 'set', 'hash', 'zset', 'stream'])('missing, extra and type: %s', async (key) => {
    await pair.t.del(key);
    expect(found(await pair.compare())).toEqual([`0 missing ${key}`]);
    await pair.s.del(key);
    expect((await pair.compare()).equal).toBe(true);

    await pair.empty();
    await everyType(pair.s, large);
    await pair.copy();
    await pair.s.del(key);
    expect(found(await pair.compare())).toEqual([`0 extra ${key}`]);
    await (key === 'list' ? pair.s.set(key, 'x') : pair.s.rpush(key, 'x'));
    expect(found(await pair.compare())).toEqual([`0 type ${key}`]);
  });

  test('expiry', async () => {
    const keys = ['string', 'list', 'set', 'hash', 'zset', 'stream'];
    const each = (kind: string) => keys.map((key) => `0 ${kind} ${key}`).sort();
    for (const key of keys) await Promise.all([pair.s.expire(key, 1000), pair.t.expire(key, 1000)]);
    expect((await pair.compare()).equal).toBe(true);
    for (const key of keys) await pair.t.expire(key, 1010);
    expect(found(await pair.compare())).toEqual(each('ttl'));
    expect((await pair.compare({ ttlToleranceMs: 20_000 })).equal).toBe(true);
    for (const key of keys) await pair.t.persist(key);
    expect(found(await pair.compare({ ttlToleranceMs: 20_000 }))).toEqual(each('ttl'));
    expect(found(await pair.compare({ values: false }))).toEqual(each('ttl'));
  });

  test('value and expiry of one key count apart', async () => {
    await pair.t.hset('hash', 'field 2', 'other');
    await pair.t.expire('hash', 100);
    expect(found(await pair.compare())).toEqual(['0 ttl hash', '0 value hash']);
  });

  test('order and encoding do not matter', async () => {
    await pair.t.del('set', 'hash', 'zset');
    const count = large ? 3000 : 5;
    // Made in another order, and in the encoding for long values, which never goes back.
    await pair.t.sadd('set', 'x'.repeat(100), ...many(count, (i) => [`member ${count - 1 - i}`]));
    await pair.t.srem('set', 'x'.repeat(100));
    await pair.t.hset(
      'hash',
      'x',
      'x'.repeat(100),
      ...many(count, (i) => [`field ${count - 1 - i}`, `value ${count - 1 - i}`]),
    );
    await pair.t.hdel('hash', 'x');
    await pair.t.zadd(
      'zset',
      1,
      'x'.repeat(100),
      ...many(count, (i) => [(count - 1 - i) / 3, `member ${count - 1 - i}`]),
    );
    await pair.t.zrem('zset', 'x'.repeat(100));
    expect(await pair.compare()).toMatchObject({ equal: true, rereads: 0, examples: [] });
  });
});

test('names and values may be any bytes', async () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const keys = [
    bytes,
    Buffer.from([0]),
    Buffer.from([0xff, 0xfe]),
    Buffer.from('\r\n'),
    Buffer.from(''),
    Buffer.from('ключ'),
  ];
  for (const key of keys) {
    await pair.s.set(key, bytes);
    await pair.s.hset(Buffer.concat([key, Buffer.from(':h')]), bytes, bytes, key, key);
  }
  await pair.copy();
  expect(await pair.compare()).toMatchObject({ equal: true, keysCompared: keys.length * 2 });
  const changed = Buffer.from(bytes);
  changed[255] = 0;
  await pair.t.set(keys[1] ?? '', changed);
  await pair.t.del(keys[2] ?? '');
  await pair.t.del(keys[4] ?? '');
  const result = await pair.compare();
  expect(found(result)).toEqual(['0 missing ', '0 missing \\xff\\xfe', '0 value \\x00']);
  expect(printable(Buffer.from('a\\b\n'))).toBe('a\\\\b\\x0a');
  expect(printable(Buffer.alloc(5000, 0))).toMatch(/^(\\x00)+… \(5000 bytes\)$/);
});

test('every database of either side, or the ones that were named', async () => {
  const [s3, s7, t9] = [pair.source.connect({ db: 3 }), pair.source.connect({ db: 7 }), pair.target.connect({ db: 9 })];
  await s3.set('a', '1');
  await s7.set('b', '1');
  await pair.copy(3);
  await t9.set('c', '1');
  const result = await pair.compare();
  expect(result.databases).toEqual([3, 7, 9]);
  expect(found(result)).toEqual(['7 missing b', '9 extra c']);
  expect(await pair.compare({ databases: [3] })).toMatchObject({ equal: true, databases: [3] });
  for (const redis of [s3, s7, t9]) redis.disconnect();
});

test('ignored keys, our own among them, are neither missing nor extra', async () => {
  await pair.s.mset('cutover:canary', '1', 'tmp:1', '1', 'tmp:[x]', '1', 'kept', '1');
  await pair.t.mset('ElastiCacheMasterReplicationTimestamp', '1', 'tmp:2', '2', 'temp', '1');
  expect(found(await pair.compare({ ignore: ['tmp:*'] }))).toEqual(['0 extra temp', '0 missing kept']);
  expect(found(await pair.compare({ ignore: ['tmp:[0-9]', 't?mp', 'tmp:\\[x\\]', '[^a-j]ept'] }))).toEqual([]);
});

test('an example tells size and type, and nothing of a value', async () => {
  await pair.s.hset('user:1', 'password', 'hunter2');
  await pair.t.hset('user:1', 'password', 'correct horse', 'name', 'x');
  await pair.t.set('user:2', 'secret', 'PXAT', 4_102_444_800_000);
  const result = await pair.compare();
  expect(result.examples).toEqual([
    {
      db: 0,
      key: 'user:1',
      kind: 'value',
      source: 'hash of 1 fields, no expiry',
      target: 'hash of 2 fields, no expiry',
    },
    {
      db: 0,
      key: 'user:2',
      kind: 'extra',
      source: 'no such key',
      target: 'string of 6 bytes, expires 2100-01-01T00:00:00.000Z',
    },
  ]);
  expect(JSON.stringify(result)).not.toMatch(/hunter2|horse|secret/);
});

test('counts are whole where examples are not', async () => {
  await pair.s.mset(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, 'v'])));
  const result = await pair.compare({ maxReported: 7 });
  expect(result.missing).toBe(500);
  expect(result.examples).toHaveLength(7);
});

test('keys that expire while they are compared are no difference', async () => {
  // The target has no expiry process of its own for them: it shows a key as gone by its own clock, or has lost it already.
  for (let i = 0; i < 2000; i++) await pair.s.set(`soon:${i}`, 'x', 'PX', 30 + (i % 300));
  await pair.copy();
  for (let i = 0; i < 2000; i += 3) await pair.t.del(`soon:${i}`);
  await pair.s.set('stays', 'x');
  const result = await pair.compare({ ttlToleranceMs: 1000 });
  expect(found(result)).toEqual(['0 missing stays']);
});

test('a key that is long expired but still in memory counts as gone', async () => {
  await pair.s.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
  await pair.t.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
  try {
    await pair.s.set('gone', 'x', 'PX', 1);
    await pair.t.set('gone too', 'y', 'PX', 1);
    await pair.t.set('there', 'y');
    expect(found(await pair.compare())).toEqual(['0 extra there']);
  } finally {
    await pair.s.call('DEBUG', 'SET-ACTIVE-EXPIRE', '1');
    await pair.t.call('DEBUG', 'SET-ACTIVE-EXPIRE', '1');
  }
});

test('-0 and 0 are one score, infinities two', async () => {
  await pair.s.zadd('z', '-0', 'zero', 'inf', 'up', '-inf', 'down', '0.1', 'tenth');
  await pair.t.zadd('z', '0', 'zero', 'inf', 'up', '-inf', 'down', '0.1', 'tenth');
  expect((await pair.compare()).equal).toBe(true);
  await pair.t.zadd('z', '-inf', 'up');
  expect(found(await pair.compare())).toEqual(['0 value z']);
});

describe('a HyperLogLog', () => {
  /** Sparse, and dense: 12 kB from about 3 kB on. */
  const sizes = { sparse: 5, dense: 5000 };

  const linesOf = async (redis: Redis, names: Buffer[]) => {
    const abilities = await abilitiesOf(redis);
    const reader = new Reader('source', abilities, 0, (note) => expect.unreachable(note));
    const depths = ['quick', 'typed', 'full'] as const;
    return Promise.all(
      depths.map(async (depth) => {
        const scripted = (await reader.read(redis, names, depth)).lines.toString('latin1').split('\n');
        const plain = await digestPlainly(redis, names, depth, { abilities, bigBytes: BIG_BYTES });
        expect(scripted, depth).toEqual(plain.lines);
        return plain.lines;
      }),
    );
  };

  test.each(Object.entries(sizes))('%s, counted on one side alone, is equal', async (name, size) => {
    await pair.s.pfadd(name, ...many(size, (i) => [`member ${i}`]));
    await pair.copy();
    const copied = await pair.t.getBuffer(name);
    await pair.s.pfcount(name);
    // That is what PFCOUNT does to it, and why this test is one.
    expect(await pair.s.getBuffer(name)).not.toEqual(copied);
    expect(await pair.compare()).toMatchObject({ equal: true, rereads: 0, examples: [] });
    expect(await linesOf(pair.s, [Buffer.from(name)])).toEqual(await linesOf(pair.t, [Buffer.from(name)]));
  });

  test.each(Object.entries(sizes))('%s, of other members, differs', async (name, size) => {
    await pair.s.pfadd(name, ...many(size, (i) => [`member ${i}`]));
    await pair.copy();
    await pair.t.pfadd(name, ...many(50, (i) => [`other ${i}`]));
    await Promise.all([pair.s.pfcount(name), pair.t.pfcount(name)]);
    expect(found(await pair.compare())).toEqual([`0 value ${name}`]);
  });

  test('what only looks like one is compared by every byte, and by its length', async () => {
    const head = (encoding: string) => `HYLL${encoding}\0\0\0`;
    const [short, word, cut] = [`${head('\0')}1234567`, `HYLL, is a word`, `${head('\x02')}12345678 end`];
    await pair.s.mset({ short, word, cut, shorter: `${head('\x01')}12345678end` });
    await pair.copy();
    expect((await pair.compare()).equal).toBe(true);
    for (const key of ['short', 'word', 'cut']) await pair.t.setrange(key, 10, 'X');
    await pair.t.set('shorter', `${head('\x01')}end`);
    expect(found(await pair.compare())).toEqual(['0 value cut', '0 value short', '0 value shorter', '0 value word']);
    await linesOf(
      pair.t,
      ['short', 'word', 'cut', 'shorter'].map((key) => Buffer.from(key)),
    );
  });
});

test('a sample is the same on both sides and every time', async () => {
  const keys = Array.from({ length: 4000 }, (_, i) => `k${i}`);
  await pair.s.mset(Object.fromEntries(keys.map((key) => [key, 'v'])));
  const first = await pair.compare({ mode: 'sample', sampleRatio: 0.1, maxReported: 4000 });
  const second = await pair.compare({ mode: 'sample', sampleRatio: 0.1, maxReported: 4000 });
  expect(first.keysCompared).toBeGreaterThan(300);
  expect(first.keysCompared).toBeLessThan(500);
  expect(found(second)).toEqual(found(first));
  await pair.t.mset(Object.fromEntries(keys.map((key) => [key, 'v'])));
  await pair.s.flushall();
  const extra = await pair.compare({ mode: 'sample', sampleRatio: 0.1, maxReported: 4000 });
  expect(extra.extra).toBe(first.missing);
});

const WRONG: [Partial<CompareOptions>, RegExp][] = [
  [{ mode: 'sample' }, /sampleRatio is undefined/],
  [{ mode: 'sample', sampleRatio: 0 }, /sampleRatio is 0/],
  [{ rereadTimes: 0 }, /rereadTimes is 0; it must be at least 1/],
  [{ ttlToleranceMs: -1 }, /ttlToleranceMs is -1/],
  [{ maxKeysPerSecond: 0 }, /maxKeysPerSecond is 0/],
  [{ databases: [0, -1] }, /database -1/],
];
test.each(WRONG)('options that are wrong are refused: %j', async (options, message) => {
  await expect(pair.compare(options)).rejects.toThrow(message);
});

test('a database that the target does not have is named with what mends it', async () => {
  const few = await startPair({ target: { config: { databases: '4' } } });
  try {
    const s9 = few.source.connect({ db: 9 });
    await s9.set('a', '1');
    await expect(few.compare()).rejects.toThrow(/the target has no database 9 .*Raise `databases`/);
    s9.disconnect();
  } finally {
    await few.stop();
  }
}, 60_000);

test('no more keys per second than allowed', async () => {
  await pair.s.mset(Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`k${i}`, 'v'])));
  await pair.copy();
  const result = await pair.compare({ maxKeysPerSecond: 1000, scanCount: 10 });
  // Both passes read 600 keys, the last page of each waits too. Never faster; how much slower is the machine's affair.
  expect(result.durationMs).toBeGreaterThanOrEqual(1100);
  expect(OPTIONS.maxKeysPerSecond).toBeUndefined();
});
