/** A fence and the scripts of an application: Redis before 6.0.17 and 6.2.7 lets them write in spite of min-replicas-to-write. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { abilitiesOf } from '../activities/redis/compare/abilities.ts';
import { liftFence, raiseFence } from '../activities/redis/fence.ts';
import { ASKING_REMEDY, refusesScripts, SCRIPTS_REMEDY } from '../activities/redis/fence-scripts.ts';
import type { RedisOnlineContext } from '../activities/redis/preflight/context.ts';
import { primaryFenceChecks } from '../activities/redis/preflight/fence-checks.ts';
import { redisProbe } from '../activities/redis/preflight/probe.ts';
import { engineVersion } from '../activities/redis/preflight/versions.ts';
import { raiseSourceFence } from '../activities/redis/source-fence.ts';
import { withPrimaries } from '../activities/redis/primaries.ts';
import { startRedis } from '../sandbox/runtime/redis.ts';
import { startOldRedis, type OldRedis } from './old-redis.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 60_000 });

const WRITE = `return redis.call('set', KEYS[1], 'by a script')`;
const dir = mkdtempSync(join(tmpdir(), 'cutover-fence-scripts-'));
let servers: Record<'5.0' | '6.2' | 'today', OldRedis>;
let redises: Record<keyof typeof servers, Redis>;
beforeAll(async () => {
  servers = {
    '5.0': await startOldRedis('5.0'),
    '6.2': await startOldRedis('6.2'),
    today: await startRedis({ dir }),
  };
  redises = { '5.0': servers['5.0'].connect(), '6.2': servers['6.2'].connect(), today: servers.today.connect() };
}, 180_000);
afterAll(async () => {
  await Promise.all(Object.values(servers).map((one) => one.stop()));
  rmSync(dir, { recursive: true, force: true });
}, 60_000);
afterEach(async () => {
  for (const redis of Object.values(redises)) {
    await liftFence(redis);
    await redis.script('FLUSH');
    await redis.flushall();
  }
});

describe('before Redis 6.0.17', () => {
  test('the fence is refused where others run scripts, and raised once they are stopped and forgotten', async () => {
    const redis = redises['5.0'];
    await redis.eval(WRITE, 1, 'order');
    await expect(raiseFence(redis, 'shop', 1001)).rejects.toMatchObject({
      type: 'cutover.Invalid',
      nonRetryable: true,
      message:
        'the fence does not hold the source: Redis 5.0.6 lets scripts write in spite of min-replicas-to-write, and has run some that are not ours (1)',
      details: [{ remedy: SCRIPTS_REMEDY }],
    });
    // Why: it is no matter of words.
    expect(await redis.eval(WRITE, 1, 'lost')).toBe('OK');
    await liftFence(redis, { migration: 'shop', generation: 1001 });

    await redis.script('FLUSH');
    await raiseFence(redis, 'shop', 1002);
    await expect(redis.set('order', '1')).rejects.toThrow('NOREPLICAS');
  });

  test('our own scripts are no reason, however often the fence is tried', async () => {
    const redis = redises['5.0'];
    expect(await abilitiesOf(redis)).toMatchObject({ eval: 'EVAL' });
    for (const generation of [1001, 1002]) {
      await raiseFence(redis, 'shop', generation);
      await liftFence(redis, { migration: 'shop', generation });
    }
    await redis.eval(WRITE, 1, 'order');
    await expect(raiseFence(redis, 'shop', 1003)).rejects.toThrow('has run some that are not ours (1)');
  });

  test('where SCRIPT is renamed, our own try of a fence is no reason against the next', async () => {
    const server = await startOldRedis('5.0', { 'rename-command': 'SCRIPT ""' });
    onTestFinished(() => server.stop());
    const redis = server.connect();
    for (const generation of [1001, 1002]) {
      await raiseFence(redis, 'shop', generation);
      await liftFence(redis, { migration: 'shop', generation });
    }
    await redis.eval(WRITE, 1, 'order');
    await expect(raiseFence(redis, 'shop', 1003)).rejects.toMatchObject({
      message: expect.stringMatching(/may have run some that are not ours: it keeps 1, .*unknown command `SCRIPT`\)$/i),
      details: [{ remedy: ASKING_REMEDY }],
    });
  });

  test('of a cluster no node keeps the fence where one runs scripts', async () => {
    const node = await startOldRedis('5.0', { 'cluster-enabled': 'yes' });
    onTestFinished(() => node.stop());
    const redis = node.connect();
    for (let from = 0; from < 16_384; from += 1024)
      await redis.call('CLUSTER', 'ADDSLOTS', ...Array.from({ length: 1024 }, (_, i) => from + i));
    await vi.waitFor(async () => expect(await redis.call('CLUSTER', 'INFO')).toContain('cluster_state:ok'), 20_000);
    await redis.eval(WRITE, 1, 'order');
    const source = { host: node.host, port: node.port, tls: false };
    const raised = withPrimaries(source, 'source', 'cutover:shop:fence', (all) => raiseSourceFence(all, 'shop', 1001));
    await expect(raised).rejects.toMatchObject({
      type: 'cutover.Invalid',
      message: expect.stringContaining(`the fence does not hold ${node.host}:${node.port}: Redis 5.0.6 lets scripts`),
    });
    expect(await redis.set('order', '2')).toBe('OK');
  });
});

test.each(['6.2', 'today'] as const)('%s: scripts are held, so they are no reason', async (version) => {
  const redis = redises[version];
  await redis.eval(WRITE, 1, 'order');
  await raiseFence(redis, 'shop', 1001);
  await expect(redis.eval(WRITE, 1, 'order')).rejects.toThrow('NOREPLICAS');
});

test.each(['6.2', 'today'] as const)('%s: our user need not be allowed to run scripts', async (version) => {
  const redis = redises[version];
  await redis.eval(WRITE, 1, 'order');
  await redis.call('ACL', 'SETUSER', 'us', 'on', '>pw', '~*', '+@all', '-eval', '-evalsha');
  const us = servers[version].connect({ username: 'us', password: 'pw' });
  await raiseFence(us, 'shop', 1001);
  await expect(redis.set('order', '1')).rejects.toThrow('NOREPLICAS');
});

test('which versions hold scripts', () => {
  const holds = (version: string, engine = 'redis') => refusesScripts(engineVersion(engine, version));
  expect(['6.0.17', '6.0.20', '6.2.7', '6.2.14', '7.0.0', '8.2.1'].map((one) => holds(one))).not.toContain(false);
  expect(['4.0.14', '5.0.14', '6.0.16', '6.2.6', '6.3.4'].map((one) => holds(one))).not.toContain(true);
  expect(holds('7.2.4', 'valkey')).toBe(true);
});

test('C10: told at the start, refused right before the fence', async () => {
  const check = async (version: keyof typeof servers, moment: RedisOnlineContext['moment']) => {
    const { host, port } = servers[version];
    const source = redisProbe('source', { host, port, tls: false }, 'test');
    try {
      const { cheap, severity, run } = primaryFenceChecks.find(({ id }) => id === 'C10')!;
      expect({ cheap, severity }).toEqual({ cheap: true, severity: 'fail' });
      return await run({ moment, source, migration: { id: 'shop' } });
    } finally {
      source.close();
    }
  };
  expect(await check('5.0', 'before-fence')).toEqual({
    result: 'pass',
    found: "Redis 5.0.6 would let scripts write, but has seen none of the application's",
  });
  for (const redis of Object.values(redises)) await redis.eval(WRITE, 1, 'order');
  expect(await check('5.0', 'before-attach')).toMatchObject({ result: 'warn', remedy: SCRIPTS_REMEDY });
  expect(await check('5.0', 'before-fence')).toMatchObject({ result: 'unmet' });
  expect(await check('6.2', 'before-fence')).toMatchObject({ result: 'pass' });
  expect(await check('today', 'before-fence')).toMatchObject({ result: 'pass' });
});
