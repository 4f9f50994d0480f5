/** Compares where a side is a cluster: each primary is scanned by itself, each key is read where its slot is served. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { compareRedis } from '../activities/redis/compare-activity.ts';
import type { CompareInput } from '../activities/redis/compare-activity.ts';
import { compare } from '../activities/redis/compare/compare.ts';
import type {
  CompareCheckpoint,
  CompareOptions,
  CompareProgress,
  CompareResult,
  CompareRun,
} from '../activities/redis/compare/types.ts';
import { PASS_END } from '../activities/redis/compare/types.ts';
import { CopySession, copyOnce } from '../activities/redis/copy/session.ts';
import { inRanges, slotOf } from '../activities/redis/copy/slots.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { OPTIONS, found } from './redis-pair.ts';
import { OURS, between, clusterMode, fill, options, stage, until } from './stage/redis-copy.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 90_000 });

const play = stage();
let [lone, valkey]: RedisServer[] = [];
/** Three shards and two: no node of one has the slots of a node of the other. */
let [three, two]: RedisServer[][] = [];
const FILLED = 306;

/** A cluster of one Valkey, which must allow the script too. */
async function oneShard(): Promise<RedisServer> {
  const server = await play.server('valkey', { flavour: 'valkey', config: clusterMode(await freePort()) });
  await on(server, (redis) => redis.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383));
  await until('its cluster is up', () => isUp(server));
  return server;
}

beforeAll(async () => {
  [lone, valkey, three, two] = await Promise.all([
    play.server('lone'),
    oneShard(),
    play.cluster('three', 3),
    play.cluster('two', 2),
  ]);
  const redis = lone.connect(OURS);
  await fill((...[name, ...args]) => redis.callBuffer(String(name), args), 300);
  redis.disconnect();
  // DUMPs of Redis 7.0 are for Redis 7.0 and later, and for Valkey.
  for (const to of [three[0]!, two[0]!, valkey])
    await copyOnce(between(lone, to), options({ bigKeyBytes: 10_000_000 }));
}, 120_000);
afterAll(() => play.stop(), 60_000);

/** As the product connects: nothing reconnects, and an address names another node. */
const end =
  (server: RedisServer) =>
  (at: { host?: string; port?: number } = {}) => {
    const { host, port } = server;
    return new Redis({
      host,
      port,
      ...at,
      ...OURS,
      protocol: 2,
      lazyConnect: true,
      enableReadyCheck: false,
      retryStrategy: () => null,
      maxRetriesPerRequest: 0,
    });
  };
const run = (
  [source, target]: readonly [RedisServer, RedisServer],
  more: Partial<CompareOptions> = {},
  how: CompareRun = {},
): Promise<CompareResult> => compare({ source: end(source), target: end(target) }, { ...OPTIONS, ...more }, how);

const pairs = () =>
  [
    ['one server, three shards', [lone!, three![1]!]],
    ['three shards, two shards', [three![2]!, two![0]!]],
    ['two shards, one server', [two![1]!, lone!]],
    ['one shard of Valkey, three shards', [valkey!, three![0]!]],
    ['two shards, one shard of Valkey', [two![0]!, valkey!]],
  ] as const;

const on = async <T>(server: RedisServer, act: (redis: Redis) => Promise<T>): Promise<T> => {
  const redis = server.connect(OURS);
  try {
    return await act(redis);
  } finally {
    redis.disconnect();
  }
};
const isUp = (server: RedisServer) =>
  on(server, async (redis) => String(await redis.call('CLUSTER', 'INFO')).includes('cluster_state:ok'));
const nodesOf = (server: RedisServer) => [three!, two!].find((nodes) => nodes.includes(server)) ?? [server];
/** Which of the nodes has the key, by what the nodes themselves say. */
const holder = async (nodes: readonly RedisServer[], key: string): Promise<RedisServer> => {
  const has = (node: RedisServer) =>
    on(node, (redis) => redis.exists(key)).then(
      () => true,
      () => false,
    );
  for (const node of nodes) if (nodes.length === 1 || (await has(node))) return node;
  throw new Error(`nobody has ${key}`);
};

test('what is equal is equal, in scripts on every node, in part and without values', async () => {
  for (const [what, pair] of pairs()) {
    const result = await run(pair);
    expect(result, what).toMatchObject({ equal: true, keysCompared: FILLED, examples: [], databases: [0], notes: [] });
  }
  const clusters = [three![2]!, two![0]!] as const;
  const parts = await Promise.all([
    run(clusters, { mode: 'sample', sampleRatio: 0.3 }),
    run([lone!, valkey!], { mode: 'sample', sampleRatio: 0.3 }),
    run(clusters, { values: false, ignore: ['k1*'] }),
  ]);
  expect(parts[0].keysCompared).toBe(parts[1].keysCompared);
  expect(parts[0].keysCompared).toBeGreaterThan(30);
  expect(parts[2]).toMatchObject({ equal: true, keysCompared: FILLED - 111 });
});

test('the activity reaches every node with the same user, here one who may not run scripts', async () => {
  for (const server of [...three!, ...two!]) {
    await on(server, (redis) => redis.call('ACL', 'SETUSER', 'plain', 'on', '>secret', '~*', '+@all', '-@scripting'));
  }
  vi.stubEnv('COMPARE_PASSWORD', 'secret');
  const as = { username: 'plain', password: { env: 'COMPARE_PASSWORD' }, tls: false };
  const input: CompareInput = {
    migrationId: 'm1',
    source: { host: '127.0.0.1', port: three![2]!.port, ...as },
    target: { host: '127.0.0.1', port: two![0]!.port, ...as },
    compare: { mode: 'full', sampleRatio: 0.1, values: true, ttlTolerance: 1000, ignore: [] },
  };
  const result = await new MockActivityEnvironment().run<[CompareInput], CompareResult, typeof compareRedis>(
    compareRedis,
    input,
  );
  expect(result).toMatchObject({ equal: true, keysCompared: FILLED });
  expect(result.notes).toEqual([
    'source: compared by plain commands, which is slower and moves the values: EVAL is not permitted',
    'target: compared by plain commands, which is slower and moves the values: EVAL is not permitted',
  ]);
});

/** Makes a difference of each kind on each shard: on strings and hashes without an expiry, as `fill` makes them. */
async function spoil(nodes: readonly RedisServer[]): Promise<{ lines: string[]; undo: () => Promise<void> }> {
  const lines: string[] = [];
  const undo: (() => Promise<unknown>)[] = [];
  const numbered = Array.from({ length: 300 }, (_, i) => i).filter((i) => i % 7 >= 2 && i % 50 > 0);
  for (const node of nodes) {
    await on(node, async (redis) => {
      const here = await redis.keys('*');
      const of = (kind: number) =>
        numbered
          .filter((i) => i % 6 === kind)
          .map((i) => `k${i}`)
          .filter((key) => here.includes(key));
      const [gone, type, value] = of(0);
      const [ttl, both] = of(1);
      const changed = [gone!, type!, value!, ttl!, both!];
      const dumps = await Promise.all(changed.map((key) => redis.dumpBuffer(key)));
      // The same slot, and so the same node.
      const extra = `extra {${gone}}`;
      undo.push(() =>
        on(node, async (again) => {
          await again.del(extra);
          for (const [i, key] of changed.entries()) await again.callBuffer('RESTORE', [key, 0, dumps[i]!, 'REPLACE']);
        }),
      );
      await redis.del(gone!);
      await redis.del(type!);
      await redis.rpush(type!, 'x');
      await redis.append(value!, 'x');
      await redis.hset(both!, 'another field', 'x');
      for (const key of [ttl!, both!]) await redis.pexpireat(key, 3_900_000_000_000);
      await redis.set(extra, 'x');
      lines.push(`0 missing ${gone}`, `0 extra ${extra}`, `0 type ${type}`, `0 value ${value}`, `0 ttl ${ttl}`);
      lines.push(`0 ttl ${both}`, `0 value ${both}`);
    });
  }
  const large = 'k large hash';
  const at = await holder(nodes, large);
  await on(at, (redis) => redis.hset(large, 'field 7', 'other'));
  undo.push(() => on(at, (redis) => redis.hset(large, 'field 7', 'value 7')));
  return {
    lines: [...lines, `0 value ${large}`].sort(),
    undo: async () => {
      for (const one of undo) await one();
    },
  };
}

test('differences of every kind are found on every shard, with the node', async () => {
  for (const [what, pair] of pairs()) {
    const [source, target] = pair.map(nodesOf) as [RedisServer[], RedisServer[]];
    const { lines, undo } = await spoil(target);
    const result = await run(pair, { rereadDelayMs: 1 });
    expect(found(result), what).toEqual(lines);
    expect(result.equal).toBe(false);
    for (const { key, ...sides } of result.examples) {
      for (const [side, nodes] of [
        ['source', source],
        ['target', target],
      ] as const) {
        const node = await holder(nodes, key);
        const where = nodes.length > 1 || node === valkey ? `, on 127.0.0.1:${node.port}` : '';
        expect(sides[side]).toMatch(new RegExp(`^[^,]+(, (no expiry|expires [^,]+))?${where}$`));
      }
    }
    await undo();
  }
});

const counts = ({ examples, ...rest }: CompareResult) => ({
  ...rest,
  durationMs: 0,
  rereads: 0,
  examples: examples.map(({ kind, key }) => `${kind} ${key}`).sort(),
});

test('it goes on from every checkpoint, at the node where it was', async () => {
  for (const pair of [
    [lone!, three![0]!],
    [three![2]!, two![0]!],
  ] as const) {
    const { undo } = await spoil(nodesOf(pair[1]));
    const seen: CompareProgress[] = [];
    const whole = await run(
      pair,
      { progressIntervalMs: 0, scanCount: 20, rereadDelayMs: 0 },
      { onProgress: (progress) => seen.push(structuredClone(progress)) },
    );
    const nodes = new Set(seen.map(({ checkpoint }) => `${checkpoint.phase} ${checkpoint.cluster?.node}`));
    expect(nodes.size).toBe(pair.map(nodesOf).flat().length);
    expect(seen.at(-1)?.keysDone).toBe(seen.at(-1)?.keysTotal);
    const ends = seen.filter(({ checkpoint }) => checkpoint.cursor === PASS_END);
    expect(ends.length).toBe(nodes.size);
    for (const { checkpoint } of [...seen.filter((_, i) => i % 6 === 0), ...ends]) {
      const kept: CompareCheckpoint = JSON.parse(JSON.stringify(checkpoint));
      expect(JSON.stringify(kept).length).toBeLessThan(10_000);
      const resumed = await run(pair, { rereadDelayMs: 0 }, { resumeFrom: kept });
      expect(counts(resumed), `from ${JSON.stringify(kept)}`).toEqual(counts(whole));
    }
    await undo();
  }
});

test('a node that dies ends it, and only that node is read again', async () => {
  const pair = [three![0]!, two![0]!] as const;
  const victim = three![1]!;
  await on(victim, (redis) => redis.save());
  let checkpoint: CompareCheckpoint | undefined;
  let killed: Promise<void> | undefined;
  const died = run(
    pair,
    { progressIntervalMs: 0, scanCount: 10, maxKeysPerSecond: 300 },
    {
      onProgress: (progress) => {
        checkpoint = structuredClone(progress.checkpoint);
        if (checkpoint.cluster?.done.length === 1 && checkpoint.cursor !== '0') killed ??= victim.kill();
      },
    },
  );
  const lost = `the connection to the source (127.0.0.1:${victim.port}) was lost`;
  await expect(died).rejects.toMatchObject({ code: 'CONNECTION_LOST', message: expect.stringContaining(lost) });
  await killed;
  await expect(run(pair)).rejects.toThrow(new RegExp(`ECONNREFUSED.*${victim.port}|cluster_state`));
  await victim.restart();
  await until('the cluster is up again', () => isUp(victim));
  expect(checkpoint).toMatchObject({ phase: 'source', cluster: { done: [expect.any(String)] } });
  const resumed = await run(pair, {}, { resumeFrom: checkpoint! });
  expect(resumed).toMatchObject({ equal: true, keysCompared: FILLED });
  expect(resumed.notes).toEqual([
    'database 0 was read again from its start: the source is another process than before',
  ]);
});

test('keys that move, with a follower behind: nothing is reported that is not so', async () => {
  await on(lone!, (redis) => redis.config('SET', 'notify-keyspace-events', 'KA'));
  const session = await CopySession.open(between(lone!, three![0]!), options({ allowNonEmptyTarget: true }), {
    follow: true,
  });
  const writer = lone!.connect(OURS);
  let [writing, i] = [true, 0];
  const write = async () => {
    for (; writing; i++) {
      await writer.set(`moving ${i % 200}`, i);
      await writer.hincrby('moving hash', `f${i % 20}`, 1);
      await writer.del(`moving ${(i * 7) % 200}`);
      await writer.set(`short ${i % 50}`, i, 'PX', 500);
    }
  };
  let work: Promise<void> | undefined;
  try {
    await session.firstCopy();
    work = write();
    await until('enough was written', () => i > 300);
    const result = await run([lone!, three![1]!], { rereadDelayMs: 300, rereadTimes: 10 });
    expect(result.examples.filter(({ kind }) => kind !== 'unsettled')).toEqual([]);
    expect(result.equal).toBe(true);
    expect(result.keysCompared).toBeGreaterThan(FILLED);
  } finally {
    writing = false;
    await work;
    await until('nothing is queued', () => session.state().queued === 0);
    await session.end();
    session.close();
  }
  for (const server of [lone!, ...three!]) {
    await on(server, async (redis) => {
      for (const key of await redis.keys('moving*')) await redis.del(key);
      for (const key of await redis.keys('short*')) await redis.del(key);
    });
  }
});

test('slots that move, are served by nobody, or went there and back: never equal', async () => {
  const pair = [three![1]!, lone!] as const;
  const ids = await Promise.all(
    three!.map((node) => on(node, async (redis) => String(await redis.call('CLUSTER', 'MYID')))),
  );
  const slot = 7;
  expect(inRanges([[0, 5461]], slot)).toBe(true);
  const set = (node: number, ...how: string[]) =>
    on(three![node]!, (redis) => redis.call('CLUSTER', 'SETSLOT', slot, ...how));
  /** As redis-cli --cluster reshard does it; the slot is empty. */
  const move = async (from: number, to: number) => {
    await set(to, 'IMPORTING', ids[from]!);
    await set(from, 'MIGRATING', ids[to]!);
    for (const node of [to, from, 3 - from - to]) await set(node, 'NODE', ids[to]!);
  };
  const refused = (message: string) => ({
    code: 'SLOTS_UNSTEADY',
    retryable: true,
    message: expect.stringContaining(message),
  });

  await set(0, 'MIGRATING', ids[2]!);
  for (const ends of [pair, [lone!, three![1]!] as const]) {
    const side = ends[0] === lone ? 'target' : 'source';
    await expect(run(ends)).rejects.toMatchObject(
      refused(`the cluster of the ${side} is being resharded: slot 7 is moving`),
    );
  }
  await set(0, 'STABLE');

  let checkpoint: CompareCheckpoint | undefined;
  let moved: Promise<void> | undefined;
  const during = (act: () => Promise<void>) => {
    moved = undefined;
    return run(
      pair,
      { progressIntervalMs: 0, scanCount: 10, maxKeysPerSecond: 400 },
      {
        onProgress: (progress) => {
          checkpoint = structuredClone(progress.checkpoint);
          if (checkpoint.cluster!.done.length === 1) moved ??= act();
        },
      },
    );
  };
  await expect(during(() => move(0, 1))).rejects.toMatchObject(refused('slots changed hands'));
  await moved;
  const begun = await run(pair, {}, { resumeFrom: checkpoint! });
  expect(begun).toMatchObject({ equal: true, keysCompared: FILLED });
  expect(begun.notes).toEqual([
    'started from the beginning: the nodes of a cluster, or their slots, are not those of the checkpoint',
  ]);
  await expect(
    during(async () => {
      await move(1, 2);
      await move(2, 1);
    }),
  ).rejects.toMatchObject(refused('slots changed hands'));
  await moved;

  // What a botched resharding leaves: keys on a node that does not serve their slot.
  const stray = Array.from({ length: 200_000 }, (_, i) => `stray ${i}`).find(
    (key) => slotOf(Buffer.from(key)) === slot,
  )!;
  await on(three![1]!, (redis) => redis.set(stray, 'x'));
  await on(three![1]!, (redis) => redis.call('CLUSTER', 'DELSLOTS', slot));
  await expect(run([three![1]!, lone!])).rejects.toMatchObject(refused('serves 16383 of 16384 slots'));
  for (const node of [0, 1, 2]) await set(node, 'NODE', ids[0]!);
  await until('all know', async () => {
    const told = await Promise.all(
      three!.map((node) => on(node, async (redis) => String(await redis.call('CLUSTER', 'INFO')))),
    );
    return told.every((info) => info.includes('cluster_state:ok') && info.includes('cluster_slots_ok:16384'));
  });
  const strays = await run(pair);
  expect(strays).toMatchObject({ equal: true, keysCompared: FILLED });
  expect(strays.notes).toEqual([
    expect.stringContaining(`:${three![1]!.port} (source) holds keys of slots that it does not serve`),
  ]);
});

test('a database that the cluster does not have, and an address that leads to another node', async () => {
  await on(lone!, async (redis) => {
    await redis.select(3);
    await redis.set('there', 'x');
  });
  await expect(run([lone!, three![0]!])).rejects.toMatchObject({
    code: 'DATABASE_MISSING',
    message: expect.stringContaining('A cluster has one database, 0'),
  });
  expect(await run([lone!, three![0]!], { databases: [0] })).toMatchObject({ equal: true });
  const wrong = { source: end(lone!), target: () => end(three![0]!)() };
  await expect(compare(wrong, { ...OPTIONS, databases: [0] })).rejects.toMatchObject({
    code: 'SLOTS_UNSTEADY',
    message: expect.stringMatching(/is node \w+, and \w+ was expected there/),
  });
});
