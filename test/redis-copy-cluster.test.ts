/** Cluster mode: each primary of the source is scanned and heard by itself, each key goes to the node that holds its slot. */
import { Cluster } from 'ioredis';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { CopySession, copyOnce } from '../activities/redis/copy/session.ts';
import { slotOf } from '../activities/redis/copy/slots.ts';
import type { CopyCheckpoint } from '../activities/redis/copy/types.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { OURS, between, contents, fill, options, settled, stage, until } from './stage/redis-copy.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 90_000 });

const play = stage();
let lone: RedisServer;
let nodes: RedisServer[];
let targets: RedisServer[];
let cluster: Cluster;
beforeAll(async () => {
  [lone, nodes, targets] = await Promise.all([play.server('lone'), play.cluster('a'), play.cluster('b')]);
  cluster = new Cluster([{ host: '127.0.0.1', port: nodes[0]!.port }], { redisOptions: OURS });
  cluster.on('error', () => {});
}, 120_000);
afterAll(async () => {
  await play.stop();
  cluster.disconnect();
}, 60_000);

const each = async (servers: readonly RedisServer[], act: (redis: Redis) => Promise<unknown>) => {
  for (const server of servers) {
    const redis = server.connect(OURS);
    await act(redis);
    redis.disconnect();
  }
};
const empty = () => each([lone, ...nodes, ...targets], (redis) => redis.flushall());

test('one server to three shards, three shards to three others, and back to one', async () => {
  await empty();
  const redis = lone.connect(OURS);
  await fill((...[name, ...args]) => redis.callBuffer(String(name), args), 300);
  const before = await contents(lone);
  await copyOnce(between(lone, nodes[0]!), options({ bigKeyBytes: 65_536 }));
  expect(await contents(...nodes)).toEqual(before);
  for (const node of nodes) expect((await contents(node)).size).toBeGreaterThan(50);
  const result = await copyOnce(between(nodes[1]!, targets[2]!), options({ bigKeyBytes: 65_536 }));
  expect(await contents(...targets)).toEqual(before);
  // Progress by node and slots.
  expect(result.nodes.map(({ slots, state }) => [slots, state])).toEqual([
    ['0-5461', 'scanned'],
    ['5462-10922', 'scanned'],
    ['10923-16383', 'scanned'],
  ]);
  expect(result.nodes.reduce((sum, { keys }) => sum + keys, 0)).toBe(before.size);
  await redis.flushall();
  await copyOnce(between(targets[0]!, lone), options());
  expect(await contents(lone)).toEqual(before);
  redis.disconnect();
});

test('resumed on each node at its own cursor', async () => {
  await empty();
  await Promise.all(Array.from({ length: 1500 }, (_, i) => cluster.set(`k${i}`, `value ${i}`)));
  const stop = new AbortController();
  let checkpoint: CopyCheckpoint | undefined;
  const run = copyOnce(between(nodes[0]!, targets[0]!), options({ scanCount: 20, maxKeysPerSecond: 600 }), {
    signal: stop.signal,
    progressIntervalMs: 1,
    onProgress: (_, now) => {
      checkpoint = structuredClone(now);
      if (now.nodes.every(({ keys }) => keys > 60)) stop.abort(new Error('killed'));
    },
  });
  await expect(run).rejects.toThrow('killed');
  const result = await copyOnce(between(nodes[0]!, targets[0]!), options(), { resumeFrom: checkpoint! });
  expect(result.notes).toEqual([]);
  expect(await contents(...targets)).toEqual(await contents(...nodes));
});

test('slots that change hands during the copy: it is no end, and the next attempt begins anew', async () => {
  await empty();
  const slots = Array.from({ length: 3000 }, (_, i) => `k${i}`).filter((name) => slotOf(Buffer.from(name)) !== 7);
  await Promise.all(slots.slice(0, 900).map((name) => cluster.set(name, 'value')));
  const ids: unknown[] = [];
  await each(nodes, async (redis) => ids.push(await redis.call('CLUSTER', 'MYID')));
  const giveTo = (node: number) =>
    each(nodes, (redis) => redis.call('CLUSTER', 'SETSLOT', 7, 'NODE', String(ids[node])));
  let checkpoint: CopyCheckpoint | undefined;
  let given: Promise<void> | undefined;
  const run = copyOnce(between(nodes[0]!, targets[0]!), options({ scanCount: 20, maxKeysPerSecond: 600 }), {
    progressIntervalMs: 1,
    onProgress: (_, now) => {
      checkpoint = structuredClone(now);
      if (now.nodes.every(({ keys }) => keys > 60)) given ??= giveTo(1);
    },
  });
  await expect(run).rejects.toMatchObject({ code: 'SLOTS_MOVED', retryable: true });
  await given;
  const result = await copyOnce(between(nodes[0]!, targets[0]!), options(), { resumeFrom: checkpoint! });
  expect(result.notes).toEqual([expect.stringContaining('begun anew: nodes or slots of the source')]);
  expect(await contents(...targets)).toEqual(await contents(...nodes));
  await giveTo(0);
});

test('followed on every node, also where one of them cuts us off', async () => {
  await empty();
  await each(nodes, (redis) => redis.config('SET', 'notify-keyspace-events', 'KA'));
  await Promise.all(Array.from({ length: 300 }, (_, i) => cluster.set(`k${i}`, 'before')));
  const session = await CopySession.open(between(nodes[0]!, targets[0]!), options({ scanCount: 20 }), { follow: true });
  try {
    let i = 0;
    let writing = true;
    const writer = (async () => {
      while (writing) {
        i++;
        await Promise.all([
          cluster.set(`k${i % 300}`, `after ${i}`),
          cluster.del(`k${(i * 7) % 300}`),
          cluster.hset(`h${i % 30}`, `f${i % 50}`, i),
          cluster.set(`short ${i % 20}`, i, 'PX', 50),
        ]);
      }
    })();
    await session.firstCopy();
    await until('enough was written', () => i > 200);
    const cut = nodes[1]!.connect(OURS);
    await cut.client('KILL', 'TYPE', 'PUBSUB');
    cut.disconnect();
    const then = i;
    await until('the loss is known', () => session.state().totals.subscriptionsLost === 1);
    await until('enough was written', () => i > then + 100);
    writing = false;
    await writer;
    await each(nodes, (redis) => redis.config('SET', 'min-replicas-to-write', '2147483647'));
    await session.drain(60_000);
    await settled(...nodes);
    expect(await contents(...targets)).toEqual(await contents(...nodes));
    const { nodes: told, notes } = await session.end();
    expect(told).toHaveLength(3);
    expect(notes).toEqual([
      expect.stringMatching(new RegExp(`^127.0.0.1:${nodes[1]!.port}: the subscription was lost`)),
    ]);
  } finally {
    session.close();
    await each(nodes, (redis) => redis.config('SET', 'min-replicas-to-write', '0'));
  }
});

test('a cluster that is being resharded, or has slots that nobody serves, is refused', async () => {
  const [first, second] = [nodes[0]!.connect(OURS), nodes[1]!.connect(OURS)];
  const id = String(await second.call('CLUSTER', 'MYID'));
  await first.call('CLUSTER', 'SETSLOT', 7, 'MIGRATING', id);
  await expect(copyOnce(between(nodes[1]!, targets[0]!), options())).rejects.toMatchObject({
    code: 'OBSTACLE',
    retryable: true,
    message: 'copy: the cluster of the source is being resharded: slot 7 is moving',
  });
  await first.call('CLUSTER', 'SETSLOT', 7, 'STABLE');
  await first.call('CLUSTER', 'DELSLOTS', 7);
  await expect(copyOnce(between(nodes[0]!, targets[0]!), options())).rejects.toMatchObject({
    code: 'OBSTACLE',
    message: "copy: the cluster of the source serves 16383 of 16384 slots: the keys of the others can't be read",
  });
  await first.call('CLUSTER', 'ADDSLOTS', 7);
  first.disconnect();
  second.disconnect();
});
