/** `DualWriteRedis`: transactions, scripts, databases, what is refused, a cluster as target, and any commands at random. */
import * as fc from 'fast-check';
import { Cluster } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { DualWriteRedis } from '../client/dual-write/index.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { dualClientName, dualKeys } from '../spec/dual-write.ts';
import { hold, play } from './dual-write/play.ts';
import type { Play } from './dual-write/play.ts';
import { contents, stage, until } from './stage/redis-copy.ts';

vi.setConfig({ testTimeout: 90_000 });

let p: Play;
beforeAll(async () => void (p = await play()), 60_000);
afterAll(() => p.stop(), 60_000);
beforeEach(() => p.reset());

async function both(more: Parameters<Play['dual']>[0] = {}): Promise<DualWriteRedis> {
  const dual = p.dual(more);
  await dual.ready();
  await p.phase('both');
  return dual;
}
const equal = async () => expect(await contents(p.target)).toEqual(await contents(p.source));

describe('transactions', () => {
  test('answer as of ioredis, and are one with their record', async () => {
    const dual = await both();
    const results = await dual.multi().set('a', '1').hgetall('none').incr('a').sadd('s', 'x', 'y').spop('s').exec();
    expect(results).toEqual([
      [null, 'OK'],
      [null, {}],
      [null, 2],
      [null, 2],
      [null, expect.stringMatching(/^[xy]$/)],
    ]);
    await equal();
    expect(await p.touched()).toEqual(['a', 's']);
    const half = await dual
      .multi([
        ['set', 'a', 'text'],
        ['incr', 'a'],
        ['set', 'b', '1'],
      ])
      .exec();
    expect(half).toMatchObject([
      [null, 'OK'],
      [{ name: 'ReplyError' }, undefined],
      [null, 'OK'],
    ]);
    await equal();
  });

  test('refused as a whole, nothing is done and nothing recorded', async () => {
    const dual = await both();
    await expect(dual.multi().set('a', '1').call('SET', 'b').exec()).rejects.toThrow(/wrong number of arguments/);
    await expect(dual.multi().set('a', '1').flushall().exec()).rejects.toThrow(/FLUSHALL is refused/);
    expect(await p.s.exists('a', 'b')).toBe(0);
    expect(await p.touched()).toEqual([]);
  });

  test('the journal refuses: the write is not done either', async () => {
    const dual = await both();
    await p.s.call('ACL', 'SETUSER', 'default', '-zadd');
    try {
      await expect(dual.set('a', '1')).rejects.toThrow(/NOPERM.*zadd/);
      await expect(dual.multi().set('a', '1').exec()).rejects.toThrow(/NOPERM.*zadd/);
      expect(await p.s.exists('a')).toBe(0);
    } finally {
      await p.s.call('ACL', 'SETUSER', 'default', '+@all');
    }
    await p.s.set(dualKeys(p.id).touched, 'no journal');
    await expect(dual.set('a', '1')).rejects.toMatchObject({ name: 'DualWriteNotJournaled', written: true });
    await p.s.del(dualKeys(p.id).touched);
  });

  test('WATCH: another change, a lost connection, or a change of the phase end it; a write of our own does not', async () => {
    const dual = await both();
    await dual.set('a', '1');
    await dual.watch('a');
    await dual.set('other', '1');
    expect(await dual.multi().set('a', '2').exec()).toEqual([[null, 'OK']]);

    await dual.watch('a');
    await p.s.set('a', 'another');
    expect(await dual.multi().set('a', '3').exec()).toBe(null);

    await dual.watch('a');
    const list = String(await p.s.client('LIST')).split('\n');
    const watching = list.find(
      (line) => line.includes(`name=${dualClientName(p.id, dual.status().instance)} `) && / cmd=watch/.test(line),
    );
    await p.s.client('KILL', 'ID', /id=(\d+)/.exec(watching!)![1]!);
    await p.s.set('a', 'unseen');
    expect(await dual.multi().set('a', '4').exec()).toBe(null);

    await dual.watch('a');
    await p.phase('source');
    expect(await dual.multi().set('a', '5').exec()).toBe(null);
    expect(await p.s.get('a')).toBe('unseen');

    await dual.watch('a');
    await dual.unwatch();
    await p.s.set('a', 'again');
    expect(await dual.multi().set('a', '6').exec()).toEqual([[null, 'OK']]);
  });
});

test('pipelines, callbacks, call, and buffers', async () => {
  const dual = await both();
  const results = await dual.pipeline().set('a', '1').lpush('a', 'x').get('a').exec();
  expect(results).toMatchObject([
    [null, 'OK'],
    [{ message: expect.stringContaining('WRONGTYPE') }, undefined],
    [null, '1'],
  ]);
  expect(
    await dual
      .pipeline([
        ['incr', 'a'],
        ['incr', 'a'],
      ])
      .exec(),
  ).toEqual([
    [null, 2],
    [null, 3],
  ]);
  expect(await new Promise((resolve) => void dual.incr('a', (_error, value) => resolve(value)))).toBe(4);
  expect(await dual.call('SET', 'b', Buffer.from([255, 0]))).toBe('OK');
  expect(await dual.call('append', ['b', 'x'])).toBe(3);
  expect(await dual.getBuffer('b')).toEqual(Buffer.from([255, 0, 120]));
  expect(await dual.mset({ c: 1, d: 2 })).toBe('OK');
  expect(
    await dual
      .multi()
      .incr('c')
      .exec((error, all) => expect([error, all]).toEqual([null, [[null, 2]]])),
  ).toBeTruthy();
  const names: string[] = [];
  for await (const page of dual.scanStream({ match: '?' })) names.push(...(page as string[]));
  expect(names.sort()).toEqual(['a', 'b', 'c', 'd']);
  await equal();
});

test('scripts run once, on the authority; their keys are copied', async () => {
  const dual = await both();
  dual.defineCommand('once', { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
  const { once } = dual as unknown as { once(key: string, by: number): Promise<number> };
  expect(await once('n', 2)).toBe(2);
  expect(await once('n', 3)).toBe(5);
  const chained = dual.multi() as unknown as {
    once(key: string, by: number): typeof chained;
    exec(): Promise<unknown>;
  };
  expect(await chained.once('n', 1).exec()).toEqual([[null, 6]]);
  const sha = (await dual.script('LOAD', "redis.call('SET', KEYS[1], 'x') error('after')")) as string;
  expect(await p.t.script('EXISTS', sha)).toEqual([1]);
  await expect(dual.evalsha(sha, 1, 'half')).rejects.toThrow(/after/);
  expect(await p.s.get('half')).toBe('x');
  await expect(dual.eval("return redis.call('SET', 'k', 1)", 0)).rejects.toThrow(/names no keys/);
  await equal();
});

test('databases and prefixes', async () => {
  const at = ({ host, port }: RedisServer) => ({ host, port, keyPrefix: 'app:' });
  // The target's connection of a database that is asked for the first time may come up late: then it is tried again.
  const dual = await both({ source: at(p.source), target: at(p.target), secondWrite: 'queue' });
  const all = [
    dual.set('k', '0'),
    dual.select(3),
    dual.set('k', '3'),
    dual.mset('x', '1', 'y', '2'),
    dual.select(0),
    dual.append('k', '0'),
  ];
  await Promise.all(all);
  await until('nothing is under way', () => dual.status().pending === 0);
  const three = p.target.connect({ db: 3 });
  expect(await three.mget('app:k', 'app:x', 'app:y')).toEqual(['3', '1', '2']);
  expect(await p.t.get('app:k')).toBe('00');
  expect([await p.touched(), await p.touched('source', 3)]).toEqual([['app:k'], ['app:k', 'app:x', 'app:y']]);
  expect(() => p.dual({ source: at(p.source) })).toThrow(/keyPrefix must be the same/);
  await equal();
});

test.each([
  ['flushall', []],
  ['swapdb', ['0', '1']],
  ['blpop', ['k', '0']],
  ['xread', ['BLOCK', '0', 'STREAMS', 'k', '$']],
  ['subscribe', ['channel']],
  ['move', ['k', '1']],
  ['restore', ['k', '1000', 'x']],
  ['client', ['REPLY', 'OFF']],
  ['config', ['SET', 'maxmemory', '1']],
  ['shutdown', []],
  ['json.set', ['k', '$', '1']],
  ['copy', ['a', 'b', 'DB', '1']],
])('%s is refused with the reason', async (name, args) => {
  const dual = await both();
  await expect(dual.call(name, args)).rejects.toMatchObject({ name: 'DualWriteNotSupported', written: false });
});

describe('a cluster as target', () => {
  const servers = stage();
  let nodes: RedisServer[];
  beforeAll(async () => void (nodes = await servers.cluster('target')), 90_000);
  afterAll(() => servers.stop(), 60_000);

  test('follows as the second, and leads as the first', async () => {
    const cluster = new Cluster([{ host: nodes[0]!.host, port: nodes[0]!.port }]);
    try {
      // A cluster's client may drop its first connections when it learns what each node is: then it is tried again.
      const dual = await both({ target: cluster, secondWrite: 'queue' });
      const quiet = () => until('nothing is under way', () => dual.status().pending === 0);
      await Promise.all(Array.from({ length: 60 }, (_, i) => dual.set(`k${i}`, i, 'EX', 1_000)));
      await dual.mset({ x: '1', y: '2', z: '3' });
      await dual.rename('x', 'w');
      await dual.del('y', 'k1', 'k2', 'k3');
      await dual.multi().incr('k4').incr('k5').incr('k6').exec();
      await quiet();
      expect(await contents(...nodes)).toEqual(await contents(p.source));
      const counted = Array.from({ length: 50 }, () => dual.incr('k7'));
      await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'source' });
      expect((await Promise.all(counted)).at(-1)).toBe(57);
      await p.phase('hold', { ...(await hold(p, 60_000)), reads: 'target' });
      await p.phase('target-first');
      await Promise.all(Array.from({ length: 60 }, (_, i) => dual.append(`k${i}`, '+')));
      await dual.multi().set('{t}a', '1').incr('{t}a').exec();
      await expect(dual.mset({ a: '1', b: '2' })).rejects.toThrow(/slot/i);
      await quiet();
      expect(await contents(...nodes)).toEqual(await contents(p.source));
      const journal = await cluster.zrange(dualKeys(p.id).touched, '0', '-1');
      expect(journal).toEqual(expect.arrayContaining(['k0', 'k59', '{t}a']));
      expect(dual.status()).toMatchObject({ recorded: 0, failedSecondWrites: 0 });
    } finally {
      cluster.disconnect();
    }
  });
});

describe('any commands, any order, none waited for', () => {
  const key = fc.constantFrom('a', 'b', 'c', 'd');
  const member = fc.constantFrom('x', 'y', 'z', '1', '2.5');
  const whole = fc.integer({ min: -3, max: 5 }).map(String);
  const far = fc.integer({ min: 100_000, max: 200_000 }).map(String);
  const command = fc.oneof(
    fc.tuple(
      fc.constantFrom('SET', 'SETNX', 'APPEND', 'GETSET', 'LPUSH', 'RPUSH', 'LPUSHX', 'SADD', 'SREM', 'PFADD'),
      key,
      member,
    ),
    fc.tuple(
      fc.constantFrom('INCR', 'DECR', 'LPOP', 'RPOP', 'SPOP', 'GETDEL', 'PERSIST', 'DEL', 'ZPOPMIN', 'TOUCH'),
      key,
    ),
    fc
      .tuple(fc.constantFrom('INCRBY', 'INCRBYFLOAT', 'SPOP', 'SETBIT'), key, whole)
      .map((one) => (one[0] === 'SETBIT' ? [...one, '1'] : one)),
    fc
      .tuple(fc.constantFrom('RENAME', 'RENAMENX', 'COPY', 'RPOPLPUSH', 'SUNIONSTORE', 'SORT'), key, key)
      .map((one) => (one[0] === 'SORT' ? ['SORT', one[1], 'ALPHA', 'STORE', one[2]] : one)),
    fc.tuple(fc.constant('SMOVE'), key, key, member),
    fc.tuple(fc.constantFrom('HSET', 'HSETNX', 'ZADD', 'LSET'), key, fc.constantFrom('0', '1', '2'), member),
    fc.tuple(fc.constantFrom('HINCRBY', 'HINCRBYFLOAT', 'ZINCRBY'), key, whole, whole),
    fc
      .tuple(fc.constantFrom('EXPIRE', 'PEXPIRE', 'GETEX', 'SETEX'), key, far)
      .map(([name, k, t]) =>
        name === 'GETEX'
          ? [name, k, 'EX', t]
          : name === 'SETEX'
            ? [name, k, t, 'v']
            : name === 'PEXPIRE'
              ? [name, k, `${t}000`]
              : [name, k, t, 'GT'],
      ),
    fc
      .tuple(fc.constantFrom('NX', 'XX', 'KEEPTTL', 'GET'), key, member, far)
      .map(([o, k, v, t]) => (o === 'KEEPTTL' ? ['SET', k, v, o] : ['SET', k, v, o, 'EX', t])),
    fc.tuple(fc.constant('XADD'), key, fc.constantFrom('*', '5-*', '7-7'), fc.constant('f'), member),
    fc.tuple(
      fc.constant('XADD'),
      key,
      fc.constantFrom('MAXLEN'),
      fc.constantFrom('2', '3'),
      fc.constant('*'),
      fc.constant('f'),
      member,
    ),
    fc.tuple(fc.constant('MSET'), key, member, key, member),
    fc.tuple(
      fc.constant('EVAL'),
      fc.constant("return redis.call('SET', KEYS[1], redis.call('TIME')[2])"),
      fc.constant('1'),
      key,
    ),
    fc.tuple(
      fc.constant('EVAL'),
      fc.constant("redis.call('LPUSH', KEYS[1], ARGV[1]) error('late')"),
      fc.constant('1'),
      key,
      member,
    ),
  ) as fc.Arbitrary<string[]>;
  const step = fc.oneof(
    { weight: 8, arbitrary: command.map((one) => [one]) },
    { weight: 1, arbitrary: fc.array(command, { minLength: 1, maxLength: 4 }) },
  );

  test.each(['record', 'queue'] as const)('the two sides are equal when it is quiet (%s)', async (secondWrite) => {
    const dual = await both({ secondWrite });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        const answers = steps.map((commands) => {
          const [first, ...more] = commands;
          if (more.length === 0) return dual.call(first![0]!, first!.slice(1));
          const multi = dual.multi();
          for (const [name, ...args] of commands) void multi.call(name!, args);
          return multi.exec();
        });
        await Promise.allSettled(answers);
        await until('nothing is under way', () => dual.status().pending === 0);
        expect(await contents(p.target)).toEqual(await contents(p.source));
        await dual.del('a', 'b', 'c', 'd');
      }),
      { numRuns: Number(process.env['DUAL_WRITE_RUNS'] ?? 60) },
    );
    expect(dual.status()).toMatchObject({ recorded: 0, failedSecondWrites: 0 });
  });
});
