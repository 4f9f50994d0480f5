/** `kind: redis-dual-write` between servers that can't be made each other's replica: AUTH and ACL users, to a cluster. */
import { Cluster } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ControlKey } from '../activities/redis/dual-write/control.ts';
import { retireGone } from '../activities/redis/dual-write/instances.ts';
import { dualClientName, dualKeys, encodeInstance, noControl } from '../spec/dual-write.ts';
import { redisDualWrite } from '../spec/kind-redis-dual-write.ts';
import { dualInstance } from './stage/dual-instance.ts';
import { openDualScene, withRedis } from './stage/dual-write.ts';
import { verdictOf } from './stage/dual-write-verdict.ts';
import { stage as clusters, type Stage as Clusters } from './stage/redis-copy.ts';
import { atGate, isDone, Stage, until, untilStatus } from './stage/stage.ts';

const PASSWORD = 'dual-write-secret-1';
let stage: Stage;
let servers: Clusters;
beforeAll(async () => {
  stage = await Stage.open();
  servers = clusters();
  await stage.worker({ DUAL_PASSWORD: PASSWORD });
});
afterAll(async () => {
  await stage.close();
  await servers.stop();
});

test('a source with ACL users to a cluster of three shards: all keys, values and expiries; no password is shown', async () => {
  const [node] = await servers.cluster('dual', 3);
  const scene = await openDualScene(stage, {
    id: 'dual-cluster',
    cluster: node!,
    app: { source: { username: 'app', password: PASSWORD }, target: { cluster: true } },
    prepare: async ({ source }) => {
      await withRedis(source, async (redis) => {
        // As docs/redis-dual-write.md has it for the worker.
        const worker = '+@all -@dangerous +info +role +restore +cluster|slots +client|list +client|kill'.split(' ');
        await redis.call('ACL', 'SETUSER', 'mover', 'on', `>${PASSWORD}`, '~*', '&*', ...worker);
        await redis.call('ACL', 'SETUSER', 'app', 'on', `>${PASSWORD}`, '~*', '&*', '+@all');
        const pipeline = redis.pipeline();
        for (let i = 0; i < 3000; i++) pipeline.set(`old:${i}`, `value ${i}`, 'EX', 10_000 + i);
        const members = Array.from({ length: 20_000 }, (_, i) => [`field ${i}`, `value ${i}`]).flat();
        pipeline.hset('old:big', ...members);
        await pipeline.exec();
      });
    },
  });
  scene.migration['source'] = {
    ...(scene.migration['source'] as object),
    username: 'mover',
    password: { env: 'DUAL_PASSWORD' },
  };
  const instance = await scene.instance('one');
  const handle = await scene.start();
  await untilStatus(handle, 'the first gate', (s) => atGate(s) && s.gate?.id === 'approve-reads');
  await handle.approve({ by: 'test' });
  await untilStatus(handle, 'the second gate', (s) => atGate(s) && s.gate?.id === 'approve-source-off');
  await handle.approve({ by: 'test' });
  const done = await untilStatus(handle, 'done', isDone);
  expect(JSON.stringify(done)).not.toContain(PASSWORD);
  await instance.end();
  const cluster = new Cluster([{ host: node!.host, port: node!.port }]);
  try {
    expect(await verdictOf(scene, cluster)).toMatchObject({ lost: [], stale: [], doubled: [] });
    expect(await cluster.hlen('old:big')).toBe(20_000);
    const [there, ttl] = [await cluster.get('old:2999'), await cluster.ttl('old:2999')];
    expect([there, ttl > 10_000]).toEqual(['value 2999', true]);
    expect(done.report['final']).toMatchObject({ targetKeys: { db0: expect.any(Number) } });
  } finally {
    cluster.disconnect();
  }
  await scene.close();
}, 240_000);

test('the phase is set by whoever saw the last one; who is gone is taken off, with its connections', async () => {
  const [source, target] = await Promise.all([stage.redis(), stage.redis()]);
  const migration = redisDualWrite.parse({
    kind: 'redis-dual-write',
    id: 'gone',
    source: { host: source.host, port: source.port },
    target: { host: target.host, port: target.port },
    instances: { goneAfter: '10s' },
  });
  const [one, two] = [await ControlKey.open(migration), await ControlKey.open(migration)];
  const sleeper = target.connect({ connectionName: dualClientName('gone', 'dead'), retryStrategy: () => null });
  try {
    const seen = (await two.read()).control;
    const both = await one.change((await one.read()).control, { phase: 'both', reads: 'source' });
    expect(both.epoch).toBe(1);
    await expect(two.change(seen, { phase: 'both', reads: 'source' })).rejects.toThrow(/at epoch 1 by now, not 0/);
    const over = { phase: 'hold', holdFrom: 'both', holdUntil: 1, reads: 'source' } as const;
    const held = await one.change(both, over);
    const late = one.change(held, { ...over, reads: 'target' });
    await expect(late).rejects.toThrow(/hold of the writes had run out/);

    await sleeper.ping();
    const { nowMs } = await one.read();
    const record = (at: number) => encodeInstance(dualInstance({ at }));
    const { instances } = dualKeys('gone');
    await one.redis.hset(instances, {
      dead: record(nowMs - 60_000),
      quiet: record(nowMs - 5_000),
      well: record(nowMs),
    });
    expect(await retireGone(one, { ...noControl(), epoch: 1 }, nowMs)).toEqual(['dead']);
    expect((await one.redis.hkeys(instances)).sort()).toEqual(['quiet', 'well']);
    await until('its connection is ended', async () => sleeper.status === 'end');
  } finally {
    one.close();
    two.close();
    sleeper.disconnect();
  }
});
