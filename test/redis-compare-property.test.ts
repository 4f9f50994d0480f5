/** Any data, any change: exactly what was changed is reported. And the two ways to digest give the same lines. */
import * as fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { abilitiesOf } from '../activities/redis/compare/abilities.ts';
import { digestPlainly } from '../activities/redis/compare/digest-plain.ts';
import { printable } from '../activities/redis/compare/key-names.ts';
import { BIG_BYTES, Reader } from '../activities/redis/compare/reader.ts';
import { found, startPair } from './redis-pair.ts';
import type { Pair } from './redis-pair.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 60_000 });

let pair: Pair;
let valkeys: Pair;
beforeAll(async () => {
  pair = await startPair();
  valkeys = await startPair({ source: { flavour: 'valkey' }, target: { flavour: 'valkey' } });
}, 180_000);
afterAll(() => Promise.all([pair.stop(), valkeys.stop()]), 60_000);

interface Key {
  name: Buffer;
  type: 'string' | 'list' | 'set' | 'hash' | 'zset' | 'stream';
  items: { item: Buffer; other: Buffer; score: number }[];
  /** Unix ms. */
  expireAt: number | undefined;
  db: number;
}
type Change = 'none' | 'rebuilt' | 'deleted' | 'grown' | 'of another type' | 'expiring' | 'extra';

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const item = fc.record({
  // Long ones too, which end the compact encodings.
  item: fc.oneof(
    { weight: 6, arbitrary: bytes(12) },
    { weight: 1, arbitrary: bytes(200) },
    fc.integer().map((n) => Buffer.from(`${n}`)),
  ),
  other: bytes(20),
  score: fc.oneof(fc.double({ noNaN: true }), fc.constantFrom(0, -0, Infinity, -Infinity, 0.1, 1e300)),
});
const key: fc.Arbitrary<Key> = fc.record({
  name: fc.oneof(
    bytes(8),
    fc.string({ maxLength: 12 }).map((name) => Buffer.from(name)),
  ),
  type: fc.constantFrom('string', 'list', 'set', 'hash', 'zset', 'stream'),
  items: fc.oneof(
    { weight: 8, arbitrary: fc.array(item, { minLength: 1, maxLength: 8 }) },
    fc.array(item, { minLength: 100, maxLength: 700 }),
  ),
  expireAt: fc.option(fc.integer({ min: Date.now() + 3_600_000, max: 9_000_000_000_000 }), { nil: undefined }),
  db: fc.constantFrom(0, 1, 11),
});
const CHANGES: Change[] = ['none', 'none', 'rebuilt', 'deleted', 'grown', 'of another type', 'expiring', 'extra'];

/** Makes the key with its items in this order. */
async function make(redis: Redis, { name, type, items, expireAt }: Key, reversed = false): Promise<void> {
  const unique = [...new Map(items.map((one) => [one.item.toString('latin1'), one])).values()];
  const ordered = reversed ? unique.toReversed() : unique;
  const flat = (make: (one: (typeof items)[number]) => (Buffer | string)[]) => ordered.flatMap(make);
  if (type === 'string') await redis.set(name, Buffer.concat(items.map((one) => one.item)));
  if (type === 'list') await redis.rpush(name, ...items.map((one) => one.item));
  if (type === 'set') await redis.sadd(name, ...flat((one) => [one.item]));
  if (type === 'hash') await redis.hset(name, ...flat((one) => [one.item, one.other]));
  if (type === 'zset') await redis.callBuffer('ZADD', [name, ...flat((one) => [scoreText(one.score), one.item])]);
  if (type === 'stream') {
    for (const [i, one] of items.slice(0, 20).entries())
      await redis.callBuffer('XADD', [name, `${i + 1}-7`, one.item, one.other]);
    await redis.xgroup('CREATE', name, 'group', '0');
    await redis.callBuffer('XREADGROUP', ['GROUP', 'group', 'worker', 'COUNT', 2, 'STREAMS', name, '>']);
  }
  if (expireAt !== undefined) await redis.pexpireat(name, expireAt);
}

const scoreText = (score: number) =>
  score === Infinity ? 'inf' : score === -Infinity ? '-inf' : Object.is(score, -0) ? '-0' : String(score);

async function grow(redis: Redis, { name, type }: Key): Promise<void> {
  if (type === 'string') await redis.append(name, '+');
  if (type === 'list') await redis.lpush(name, '+');
  if (type === 'set') await redis.sadd(name, 'a member that nobody has by chance');
  if (type === 'hash') await redis.hset(name, 'a field that nobody has by chance', '');
  if (type === 'zset') await redis.zadd(name, 1, 'a member that nobody has by chance');
  if (type === 'stream') await redis.xadd(name, '99-0', 'f', 'v');
}

/** Changes the target and says how that must be reported. */
async function change(source: Redis, target: Redis, key: Key, what: Change): Promise<string[]> {
  switch (what) {
    case 'none':
      return [];
    case 'rebuilt':
      await target.del(key.name);
      await make(target, key, true);
      return [];
    case 'deleted':
      await target.del(key.name);
      return ['missing'];
    case 'grown':
      await grow(target, key);
      return ['value'];
    case 'of another type':
      await target.del(key.name);
      await (key.type === 'list' ? target.set(key.name, 'x') : target.rpush(key.name, 'x'));
      if (key.expireAt !== undefined) await target.pexpireat(key.name, key.expireAt);
      return ['type'];
    case 'expiring':
      await target.pexpireat(key.name, (key.expireAt ?? 9_100_000_000_000) + 5000);
      return ['ttl'];
    case 'extra':
      await source.del(key.name);
      return ['extra'];
  }
}

test('exactly what was changed is reported', async () => {
  const dataset = fc.uniqueArray(fc.tuple(key, fc.constantFrom(...CHANGES)), {
    maxLength: 40,
    selector: ([{ name, db }]) => `${db} ${name.toString('latin1')}`,
  });
  await fc.assert(
    fc.asyncProperty(dataset, fc.boolean(), async (keys, onValkey) => {
      const on = onValkey ? valkeys : pair;
      await on.empty();
      const expected: string[] = [];
      for (const db of [0, 1, 11]) {
        const [s, t] = [on.source.connect({ db }), on.target.connect({ db })];
        const here = keys.filter(([one]) => one.db === db);
        for (const [one] of here) await make(s, one);
        await on.copy(db);
        for (const [one, what] of here) {
          for (const kind of await change(s, t, one, what)) expected.push(`${db} ${kind} ${printable(one.name)}`);
        }
        s.disconnect();
        t.disconnect();
      }
      const result = await on.compare({ rereadDelayMs: 1, scanCount: 7 });
      expect(found(result)).toEqual(expected.sort());
      expect(result.equal).toBe(expected.length === 0);
    }),
    { numRuns: 40, interruptAfterTimeLimit: 60_000 },
  );
}, 180_000);

test('by script and by plain commands the lines are the same, on both kinds of server, at every depth', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(key, { maxLength: 30, selector: ({ name }) => name.toString('latin1') }),
      async (keys) => {
        for (const on of [pair, valkeys]) {
          await on.empty();
          for (const one of keys) await make(on.s, one);
          const abilities = await abilitiesOf(on.s);
          const names = [...keys.map(({ name }) => name), Buffer.from('a name that nobody has by chance')];
          const reader = new Reader('source', abilities, 0, (note) => expect.unreachable(note));
          for (const depth of ['meta', 'quick', 'typed', 'full'] as const) {
            const scripted = await reader.read(on.s, names, depth);
            const plain = await digestPlainly(on.s, names, depth, { abilities, bigBytes: BIG_BYTES });
            expect(scripted.lines.toString('latin1').split('\n'), depth).toEqual(plain.lines);
            expect(scripted.bigs).toBe(plain.bigs);
          }
        }
      },
    ),
    { numRuns: 25, interruptAfterTimeLimit: 60_000 },
  );
}, 180_000);

test('full digests are the same on Redis and Valkey, though made in another order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(key, { maxLength: 20, selector: ({ name }) => name.toString('latin1') }),
      async (keys) => {
        await Promise.all([pair.empty(), valkeys.empty()]);
        for (const one of keys) {
          await make(pair.s, one);
          await make(valkeys.s, one, one.type !== 'stream');
        }
        const names = keys.map(({ name }) => name);
        const lines = async (redis: Redis) => {
          const reader = new Reader('source', await abilitiesOf(redis), 0, (note) => expect.unreachable(note));
          return (await reader.read(redis, names, 'full')).lines.toString('latin1').split('\n');
        };
        expect(await lines(pair.s)).toEqual(await lines(valkeys.s));
      },
    ),
    { numRuns: 15, interruptAfterTimeLimit: 60_000 },
  );
}, 180_000);
