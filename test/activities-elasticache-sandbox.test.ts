/** The ElastiCache activities against the sandbox, where the data really moves. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateReplicationGroupCommand, ElastiCacheClient } from '@aws-sdk/client-elasticache';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { closeAwsClients } from '../activities/aws/clients.ts';
import { awaitSnapshot } from '../activities/elasticache/await-snapshot.ts';
import { awaitAttached, awaitAvailable, awaitTestResult } from '../activities/elasticache/await-status.ts';
import { claimGroup, untag } from '../activities/elasticache/claim.ts';
import { completeMigration } from '../activities/elasticache/complete-migration.ts';
import { eventWatermark } from '../activities/elasticache/events.ts';
import { startMigration, testMigration } from '../activities/elasticache/migration.ts';
import { parameterValue } from '../activities/elasticache/parameters.ts';
import { awaitChange } from '../activities/elasticache/poll-group.ts';
import { describeGroup, groupStatus } from '../activities/elasticache/replication-group.ts';
import { createSnapshot, deleteSnapshot, findSnapshot, planSnapshot } from '../activities/elasticache/snapshot.ts';
import { startAws, type Aws } from '../sandbox/aws/index.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import { startRedis, type RedisServer } from '../sandbox/runtime/redis.ts';
import { ensureTool } from '../sandbox/runtime/tools.ts';
import { activity } from './elasticache-answers.ts';

const dir = mkdtempSync(join(tmpdir(), 'cutover-elasticache-'));
let aws: Aws;
let source: RedisServer;

async function makeGroup(id: string, shards = 1): Promise<void> {
  const client = new ElastiCacheClient({});
  await client.send(
    new CreateReplicationGroupCommand({
      ReplicationGroupId: id,
      ReplicationGroupDescription: 'a target',
      Engine: 'redis',
      CacheNodeType: 'cache.t3.micro',
      MultiAZEnabled: true,
      AutomaticFailoverEnabled: true,
      ...(shards === 1
        ? { NumCacheClusters: 2 }
        : { NumNodeGroups: shards, ReplicasPerNodeGroup: 1, CacheParameterGroupName: 'default.redis7.cluster.on' }),
    }),
  );
  client.destroy();
  await activity().run(awaitAvailable, { id, since: { seen: [] }, ...patience });
}
const patience = { intervalMs: 100, timeoutMs: 60_000 };
const watermark = (id: string) => activity().run(eventWatermark, { sources: [{ id }] });

beforeAll(async () => {
  const redis = await ensureTool('redis-server', {});
  aws = await startAws({ dir: join(dir, 'aws'), redisServer: redis.path, timing: { attach: 20_000 } });
  for (const [name, value] of Object.entries(aws.env)) vi.stubEnv(name, value);
  // With Redis' own 5 s of delay before a diskless copy, the sandbox's time to attach would be over.
  source = await startRedis({ dir: join(dir, 'source'), config: { 'repl-diskless-sync-delay': '0' } });
  const client = source.connect();
  await client.mset(Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`key:${i}`, `value ${i}`])));
});
afterEach(() => aws.control.reset());
afterAll(async () => {
  vi.unstubAllEnvs();
  closeAwsClients();
  await source?.kill();
  await aws?.stop();
  rmSync(dir, { recursive: true, force: true });
});

test('the whole way: claim, test, start, complete, untag; each call twice', async () => {
  await makeGroup('orders');
  const ours = { id: 'orders', migrationId: 'move', source: { host: source.host, port: source.port } };
  await activity().run(claimGroup, ours);
  await activity().run(claimGroup, ours);
  await expect(activity().run(claimGroup, { ...ours, migrationId: 'other', run: 'run-1' })).rejects.toMatchObject({
    type: 'cutover.NotOurs',
  });

  let since = await watermark('orders');
  await activity().run(testMigration, ours);
  const tested = await activity().run(awaitTestResult, { id: 'orders', since, ...patience });
  expect(tested.events.at(-1)).toMatchObject({ kind: 'migration-succeeded', about: 'test' });

  since = await watermark('orders');
  expect(await activity().run(startMigration, ours)).toMatchObject({ answer: 'started' });
  await activity().run(awaitAttached, { id: 'orders', since, ...patience });
  expect(await activity().run(startMigration, ours)).toMatchObject({ answer: 'adopted' });
  const calls = aws.control.calls({ action: 'StartMigration' }).length;
  expect(calls).toBe(1);
  await expect(activity().run(startMigration, { ...ours, migrationId: 'other', run: 'run-1' })).rejects.toMatchObject({
    type: 'cutover.NotOurs',
  });

  since = await watermark('orders');
  expect(await activity().run(completeMigration, { id: 'orders' })).toMatchObject({ answer: 'accepted' });
  // An event may come before its status: that is a change, too.
  await expect
    .poll(
      async () => (await activity().run(awaitChange, { id: 'orders', since, status: 'migrating', ...patience })).status,
      { timeout: 30_000 },
    )
    .toBe('available');
  expect(await activity().run(completeMigration, { id: 'orders' })).toMatchObject({ answer: 'not-under-migration' });
  await expect
    .poll(async () =>
      (await activity().run(awaitChange, { id: 'orders', since, status: '', ...patience })).events.map(
        ({ message }) => message,
      ),
    )
    .toContain('Complete Migration successful for orders');

  const { primary, tags } = await activity().run(describeGroup, { id: 'orders' });
  expect(tags).toEqual({ 'cutover:migration': 'move' });
  expect(primary).toBeDefined();
  await activity().run(untag, ours);
  await activity().run(untag, ours);
  expect((await activity().run(describeGroup, { id: 'orders' })).tags).toEqual({});
});

test('a source that can not be reached: the test says so, and the start fails by its event', async () => {
  await makeGroup('lonely');
  aws.control.setTiming({ attach: 1_000 });
  const nowhere = { id: 'lonely', migrationId: 'move', source: { host: '127.0.0.1', port: await freePort() } };
  let since = await watermark('lonely');
  await activity().run(testMigration, nowhere);
  await expect(activity().run(awaitTestResult, { id: 'lonely', since, ...patience })).rejects.toMatchObject({
    type: 'cutover.ServiceFailed',
    message: expect.stringContaining('Test Migration failed for replication group lonely'),
  });
  since = await watermark('lonely');
  await activity().run(startMigration, nowhere);
  await expect(activity().run(awaitAttached, { id: 'lonely', since, ...patience })).rejects.toMatchObject({
    type: 'cutover.ServiceFailed',
    message: expect.stringContaining('Reason: could not attach to the customer node'),
  });
  aws.control.setTiming({ attach: 20_000 });
});

test('the answer of StartMigration is lost: the next try adopts it', async () => {
  await makeGroup('lossy');
  const ours = { id: 'lossy', migrationId: 'move', source: { host: source.host, port: source.port } };
  const since = await watermark('lossy');
  aws.control.drop({ action: 'StartMigration' });
  // The SDK sends it again by itself, and hears that there is a migration already.
  expect(await activity().run(startMigration, ours)).toMatchObject({ answer: 'adopted' });
  await activity().run(awaitAttached, { id: 'lossy', since, ...patience });

  aws.control.drop({ action: 'CompleteMigration' });
  expect(await activity().run(completeMigration, { id: 'lossy' })).toMatchObject({
    answer: 'ambiguous',
    code: 'ECONNRESET',
  });
  await activity().run(awaitAvailable, { id: 'lossy', since, ...patience });
});

test('CompleteMigration refused, failed by the service, throttled', async () => {
  await makeGroup('stubborn');
  const ours = { id: 'stubborn', migrationId: 'move', source: { host: source.host, port: source.port } };
  let since = await watermark('stubborn');
  await activity().run(startMigration, ours);
  await activity().run(awaitAttached, { id: 'stubborn', since, ...patience });

  aws.control.failNext({ action: 'CompleteMigration', code: 'AccessDenied' });
  expect(await activity().run(completeMigration, { id: 'stubborn' })).toMatchObject({
    answer: 'refused',
    code: 'AccessDenied',
  });
  expect(await activity().run(groupStatus, { id: 'stubborn' })).toMatchObject({ status: 'migrating' });

  since = await watermark('stubborn');
  aws.control.completeAs({ mode: 'fail' });
  aws.control.throttle({ action: 'CompleteMigration', times: 2, code: 'APICallRateForCustomerExceeded' });
  expect(await activity().run(completeMigration, { id: 'stubborn' })).toMatchObject({ answer: 'accepted' });
  const change = await activity().run(awaitChange, { id: 'stubborn', since, status: 'migrating', ...patience });
  expect(change).toMatchObject({ change: 'event', status: 'migrating', events: [{ kind: 'migration-failed' }] });

  since = await watermark('stubborn');
  expect(await activity().run(completeMigration, { id: 'stubborn', force: true })).toMatchObject({
    answer: 'accepted',
  });
  await activity().run(awaitAvailable, { id: 'stubborn', since, ...patience });
});

test('wrong credentials are told as such', async () => {
  aws.control.rejectKey({});
  await expect(activity().run(groupStatus, { id: 'orders' })).rejects.toMatchObject({
    type: 'cutover.Denied',
    nonRetryable: true,
    message: expect.stringContaining('InvalidClientTokenId'),
    details: [expect.objectContaining({ remedy: expect.stringContaining('aws sts get-caller-identity') })],
  });
});

describe('snapshots', () => {
  const migrationId = 'backup';
  async function take(id: string, snapshotName: string) {
    const plan = await activity().run(planSnapshot, { id });
    const since = await activity().run(eventWatermark, { sources: plan.eventSources });
    const created = await activity().run(createSnapshot, { snapshotName, migrationId, run: 'run-1', plan });
    const again = await activity().run(createSnapshot, { snapshotName, migrationId, run: 'run-1', plan });
    return {
      plan,
      created,
      again,
      wait: { snapshotName, shards: plan.shards, eventSources: plan.eventSources, since, ...patience },
    };
  }

  test.each([
    ['one shard', 'single', 1],
    ['two shards', 'sharded', 2],
  ])('of %s', async (_what, id, shards) => {
    await makeGroup(id, shards);
    const { plan, created, again, wait } = await take(id, `${id}-snap`);
    expect(plan.of).toEqual(
      shards === 1
        ? { cacheClusterId: expect.stringContaining(`${id}-00`), role: 'replica' }
        : { replicationGroupId: id },
    );
    expect([created.answer, again.answer]).toEqual(['created', 'adopted']);
    expect((await activity().run(awaitSnapshot, wait)).nodeSnapshots).toHaveLength(shards);
    const other = { snapshotName: `${id}-snap`, migrationId: 'other', run: 'run-1' };
    await expect(activity().run(createSnapshot, { ...other, plan })).rejects.toMatchObject({ type: 'cutover.NotOurs' });
    await expect(activity().run(deleteSnapshot, other)).rejects.toMatchObject({ type: 'cutover.NotOurs' });
    await activity().run(deleteSnapshot, { snapshotName: `${id}-snap`, migrationId, run: 'run-1' });
    await expect
      .poll(() => activity().run(findSnapshot, { snapshotName: `${id}-snap` }), { timeout: 20_000 })
      .toBeUndefined();
    expect(await activity().run(deleteSnapshot, { snapshotName: `${id}-snap`, migrationId, run: 'run-1' })).toEqual({
      answer: 'gone',
    });
  });

  test('one that fails is told by its event', async () => {
    await makeGroup('unlucky');
    aws.control.failSnapshots();
    const { wait } = await take('unlucky', 'unlucky-snap');
    await expect(activity().run(awaitSnapshot, wait)).rejects.toMatchObject({
      type: 'cutover.ServiceFailed',
      message: expect.stringMatching(/^snapshot unlucky-snap failed: /),
    });
  });

  test('parameters of the group’s own parameter group', async () => {
    const { parameterGroup = '' } = await activity().run(describeGroup, { id: 'single' });
    expect(await activity().run(parameterValue, { parameterGroup, name: 'databases' })).toBe('16');
  });
});
