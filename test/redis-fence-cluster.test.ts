/** The fence on every primary of a cluster that is the source, and the last steps on one that is the target. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { Cluster, type Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { canaryOnTarget, readFinalState, watchPrimary } from '../activities/redis/after-switch.ts';
import { inRanges, slotOf, tagOf, type SlotRange } from '../activities/redis/copy/slots.ts';
import { liftSourceFence, proveSourceWritable } from '../activities/redis/fence-activities.ts';
import { FENCE_KEY, fenceValue, generationOf, type FenceRecord } from '../activities/redis/fence-record.ts';
import { withPrimaries } from '../activities/redis/primaries.ts';
import { fencerName } from '../activities/redis/role.ts';
import {
  endEarlierFencersEverywhere,
  liftSourceFences,
  raiseSourceFence,
  sourceFenceHolds,
  sourceFenceOfCutover,
} from '../activities/redis/source-fence.ts';
import { unfence } from '../activities/redis/unfence.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import type { RedisEndpoint } from '../spec/values.ts';
import { clusterMode, stage, until } from './stage/redis-copy.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 90_000 });

const play = stage();
const RANGES: SlotRange[] = [
  [0, 5461],
  [5462, 10922],
  [10923, 16383],
];
const HOLDER = RANGES.findIndex((range) => inRanges([range], slotOf(Buffer.from(FENCE_KEY))));
const [OTHER, THIRD] = [0, 1, 2].filter((i) => i !== HOLDER) as [number, number];
const keysOf = RANGES.map(([from]) => `order:{${tagOf(from)}}`);

let nodes: RedisServer[];
let replica: RedisServer;
let redises: Redis[];
let application: Cluster;
let source: RedisEndpoint;
const endpoint = ({ port }: RedisServer): RedisEndpoint => ({ host: '127.0.0.1', port, tls: false });

/** As it was set before: nothing; replicas wanted and had; a number that a lag of 0 makes void. */
const settingsOf = async (i: number) => {
  const [, toWrite] = await redises[i]!.config('GET', 'min-replicas-to-write');
  const [, maxLag] = await redises[i]!.config('GET', 'min-replicas-max-lag');
  return [Number(toWrite), Number(maxLag)];
};
const BEFORE: [number, number][] = [];
BEFORE[OTHER] = [0, 10];
BEFORE[HOLDER] = [1, 60];
BEFORE[THIRD] = [5, 0];
const setBefore = async () => {
  for (const [i, [toWrite, maxLag]] of BEFORE.entries())
    await redises[i]!.config('SET', 'min-replicas-to-write', toWrite, 'min-replicas-max-lag', maxLag);
};

beforeAll(async () => {
  nodes = await play.cluster('s');
  replica = await play.server('replica', {
    config: { ...clusterMode(await freePort()), 'cluster-node-timeout': '15000' },
  });
  redises = nodes.map((node) => node.connect());
  source = endpoint(nodes[THIRD]!);
  const follower = replica.connect();
  const ids = await Promise.all(redises.map((redis) => redis.call('CLUSTER', 'MYID') as Promise<string>));
  const bus = /:\d+@(\d+)/.exec(String(await redises[0]!.call('CLUSTER', 'NODES')).match(/.*myself.*/)![0])![1]!;
  await follower.call('CLUSTER', 'MEET', '127.0.0.1', nodes[0]!.port, bus);
  await until('the replica knows its primary', async () =>
    String(await follower.call('CLUSTER', 'NODES')).includes(ids[HOLDER]!),
  );
  await follower.call('CLUSTER', 'REPLICATE', ids[HOLDER]!);
  await until('it is in sync, and all know it', async () => {
    const known = await Promise.all(redises.map(async (redis) => String(await redis.call('CLUSTER', 'SLOTS'))));
    return (
      (await follower.info('replication')).includes('master_link_status:up') &&
      known.every((text) => text.includes(`${replica.port}`))
    );
  });
  application = new Cluster([source], { redisOptions: { commandTimeout: 10_000 } });
  application.on('error', () => {});
  await setBefore();
}, 120_000);
afterAll(async () => {
  await play.stop();
  application?.disconnect();
}, 60_000);
afterEach(async () => {
  await unfence(source, { migration: 'shop', force: true });
  await setBefore();
});

const raise = (generation: number, migration = 'shop') =>
  withPrimaries(source, 'source', fencerName(migration), async (primaries) =>
    raiseSourceFence(await endEarlierFencersEverywhere(primaries, migration), migration, generation),
  );
const lift = () => liftSourceFence({ migrationId: 'shop', source });
const holds = (fence: Awaited<ReturnType<typeof raise>>, generation: number) =>
  sourceFenceHolds(source, fencerName('shop'), fence, generation);
const writes = () =>
  Promise.all(keysOf.map((key) => application.set(key, '1').catch((error: Error) => error.message.split(' ')[0])));
const REFUSED = ['NOREPLICAS', 'NOREPLICAS', 'NOREPLICAS'];
const TAKEN = ['OK', 'OK', 'OK'];
const allSettings = () => Promise.all([0, 1, 2].map(settingsOf));
const record = async () => JSON.parse((await redises[HOLDER]!.get(FENCE_KEY)) ?? 'null') as FenceRecord | null;
/** A node that is away, or a failover under way, can't be judged: asked again until it is. */
const judged = async (fence: Awaited<ReturnType<typeof raise>>, generation: number) => {
  let answer: Awaited<ReturnType<typeof holds>> | undefined;
  await until('the fence can be judged', async () => {
    answer = await holds(fence, generation).catch(() => undefined);
    return answer !== undefined;
  });
  return answer!;
};

/** A node that has just come back takes no writes for a moment, which is told and passes. */
const untilLifted = async () => {
  let lifted: Awaited<ReturnType<typeof unfence>> | undefined;
  await until('it is lifted', async () => {
    lifted = await unfence(source, { migration: 'shop' }).catch(() => undefined);
    return lifted !== undefined;
  });
  return lifted!;
};

test('every primary refuses, and gets back what it had', async () => {
  expect(await writes()).toEqual(TAKEN);
  const fence = await raise(generationOf(1, 1));
  expect(await writes()).toEqual(REFUSED);
  expect(fence.nodes).toHaveLength(3);
  expect(Math.abs(Date.now() - fence.raisedAt)).toBeLessThan(60_000);
  expect(fence.note).toBeUndefined();
  expect(await holds(fence, generationOf(1, 1))).toEqual({ holds: true });
  expect(await sourceFenceOfCutover(source, 'test', 1)).toEqual({ up: true });
  expect(await sourceFenceOfCutover(source, 'test', 2)).toMatchObject({ up: false });
  expect(await record()).toMatchObject({ migration: 'shop', minReplicasToWrite: 1, minReplicasMaxLag: 60 });
  const recorded = Object.values((await record())!.nodes!).map((node) => node.minReplicasToWrite);
  expect(recorded.toSorted((a, b) => a - b)).toEqual([0, 1, 5]);
  await expect(proveSourceWritable({ migrationId: 'shop', source })).rejects.toThrow(
    /does not take writes: NOREPLICAS/,
  );

  const { detail } = await lift();
  expect(detail).toMatch(/^lifted: /);
  expect(await allSettings()).toEqual(BEFORE);
  expect(await writes()).toEqual(TAKEN);
  expect(await record()).toBeNull();
  await proveSourceWritable({ migrationId: 'shop', source });
  expect(await lift()).toEqual({ changed: false, detail: expect.stringContaining('there is no fence') });
  expect(await holds(fence, generationOf(1, 1))).toMatchObject({ holds: false });
});

test('the next attempt takes it over; another migration may neither raise nor lift it', async () => {
  const first = await raise(generationOf(1, 1));
  const { at } = (await record())!;
  const second = await raise(generationOf(1, 2));
  expect(second.raisedAt).toBe(Date.parse(at));
  expect(await holds(second, generationOf(1, 2))).toEqual({ holds: true });
  expect(await holds(first, generationOf(1, 1))).toMatchObject({
    holds: false,
    why: expect.stringContaining(`is not this attempt’s: min-replicas-to-write is ${fenceValue(generationOf(1, 2))}`),
  });
  // The one that was given up may not lift it.
  const late = await withPrimaries(source, 'source', 'test', (primaries) =>
    liftSourceFences(primaries, { migration: 'shop', generation: generationOf(1, 1) }),
  );
  expect(late.changed).toBe(false);
  await expect(raise(generationOf(1, 1), 'other')).rejects.toMatchObject({ type: 'cutover.NotOurs' });
  await expect(liftSourceFence({ migrationId: 'other', source })).rejects.toMatchObject({ type: 'cutover.NotOurs' });
  await expect(unfence(source, { migration: 'other' })).rejects.toThrow('that of the migration shop');
  expect(await writes()).toEqual(REFUSED);
  expect(await unfence(source, { migration: 'shop' })).toMatchObject({ changed: true });
  expect(await allSettings()).toEqual(BEFORE);
  expect(await record()).toBeNull();
});

test('where one can not be fenced, those that were are lifted at once', async () => {
  await redises[THIRD]!.call('ACL', 'SETUSER', 'default', '-config|set');
  try {
    await expect(raise(generationOf(1, 1))).rejects.toThrow(`127.0.0.1:${nodes[THIRD]!.port}`);
    expect(await writes()).toEqual(TAKEN);
    expect(await allSettings()).toEqual(BEFORE);
  } finally {
    await redises[THIRD]!.call('ACL', 'SETUSER', 'default', '+config|set');
  }
});

test('a lost record: lifted to 0, and it says so', async () => {
  await raise(generationOf(1, 1));
  await redises[HOLDER]!.config('SET', 'min-replicas-to-write', 0);
  await redises[HOLDER]!.del(FENCE_KEY);
  await redises[HOLDER]!.config('SET', 'min-replicas-to-write', fenceValue(generationOf(1, 1)));
  const { note } = await raise(generationOf(1, 2));
  for (const { port } of nodes) expect(note).toContain(`127.0.0.1:${port}`);
  expect(await writes()).toEqual(REFUSED);
  expect((await lift()).detail).toContain('its record was lost');
  expect((await allSettings()).map(([toWrite]) => toWrite)).toEqual([0, 0, 0]);
  expect(await writes()).toEqual(TAKEN);
});

test('a node that is down: the others are lifted and the failure names it; restarted, it is noticed', async () => {
  const fence = await raise(generationOf(1, 1));
  const where = `127.0.0.1:${nodes[OTHER]!.port}`;
  const byHolder = endpoint(nodes[HOLDER]!);
  await nodes[OTHER]!.kill();
  const away = { type: 'cutover.Unreachable', message: expect.stringContaining(where) };
  await expect(sourceFenceHolds(byHolder, 'test', fence, generationOf(1, 1))).rejects.toMatchObject(away);
  await expect(liftSourceFence({ migrationId: 'shop', source: byHolder })).rejects.toMatchObject(away);
  expect([await settingsOf(HOLDER), await settingsOf(THIRD)]).toEqual([BEFORE[HOLDER], BEFORE[THIRD]]);
  expect(await record()).toMatchObject({ migration: 'shop' });
  await nodes[OTHER]!.restart();
  const { why } = await judged(fence, generationOf(1, 1));
  expect(why).toContain(`${where} was restarted or replaced since it was fenced`);
  expect((await untilLifted()).detail).toContain('the fence was gone; its record is removed');
  expect(await record()).toBeNull();
  expect(await writes()).toEqual(TAKEN);
});

test('the last steps: a canary on each primary, sums of all, and the watch', async () => {
  const input = { migrationId: 'shop', target: source };
  await application.set(FENCE_KEY, JSON.stringify({ migration: 'shop', minReplicasToWrite: 0 }));
  const calls = async () =>
    Promise.all(
      redises.map(async (redis) => Number(/cmdstat_exec:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0)),
    );
  const before = await calls();
  await canaryOnTarget(input);
  expect(await calls()).toEqual(before.map((count) => count + 1));
  expect(await record()).toBeNull();
  const lone = await play.server('lone');
  await lone.connect().mset('a', '1', 'b', '2');
  const keys = await Promise.all(redises.map((redis) => redis.dbsize()));
  const final = await readFinalState({ ...input, source: endpoint(lone) });
  expect(final).toMatchObject({ sourceRole: 'master', targetRole: 'master', sourceKeys: { db0: 2 } });
  expect(final.targetKeys).toEqual({ db0: keys.reduce((sum, count) => sum + count, 0) });
  const other = await readFinalState({ ...input, source });
  expect(other.sourceRunId.split(',')).toHaveLength(3);
  await new MockActivityEnvironment().run(watchPrimary, { ...input, until: Date.now() + 300 });
});

test('a replica promoted under the fence is not fenced: noticed, fenced by the next attempt, and all are lifted', async () => {
  const fence = await raise(generationOf(1, 1));
  const follower = replica.connect();
  await follower.call('CLUSTER', 'FAILOVER');
  await until('it is promoted', async () => String(await follower.call('ROLE')).startsWith('master'));
  const { why } = await judged(fence, generationOf(1, 1));
  expect(why).toContain(`127.0.0.1:${replica.port} is a primary by now and was not fenced`);
  let second: typeof fence | undefined;
  await until('the cluster agrees', async () => {
    second = await raise(generationOf(1, 2)).catch(() => undefined);
    return second !== undefined;
  });
  expect(await judged(second!, generationOf(1, 2))).toEqual({ holds: true });
  const { detail } = await lift();
  expect(detail).toContain(`127.0.0.1:${nodes[HOLDER]!.port}, which is no primary any more`);
  expect((await settingsOf(HOLDER))[0]).toBe(1);
  expect(await follower.get(FENCE_KEY)).toBeNull();
  expect(await writes()).toEqual(TAKEN);

  // With the record's primary down, its replica has the record: whose fence it is is known, and the others are lifted.
  await setBefore();
  await raise(generationOf(2, 1));
  await until('the replica has the record', async () => {
    const redis = nodes[HOLDER]!.connect({ readOnly: true });
    return (await redis.get(FENCE_KEY)) !== null;
  });
  await replica.kill();
  const byOther = endpoint(nodes[OTHER]!);
  await expect(unfence(byOther, { migration: 'other' })).rejects.toMatchObject({ type: 'cutover.NotOurs' });
  await expect(unfence(byOther, { migration: 'shop' })).rejects.toThrow(`127.0.0.1:${replica.port}`);
  expect([await settingsOf(OTHER), await settingsOf(THIRD)]).toEqual([BEFORE[OTHER], BEFORE[THIRD]]);
  await replica.restart();
  await untilLifted();
  expect(await writes()).toEqual(TAKEN);
});
