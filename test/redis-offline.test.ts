/** Redis by an RDB in S3 to a new group: fenced and unfenced, aborted and killed, what AWS refuses, and the example. */
import { GetObjectCommand, HeadObjectCommand, PutObjectAclCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { loadMigrationFile, startMigration } from '../client/index.ts';
import { fillRedis } from '../sandbox/app/fill.ts';
import { verifyAcknowledged } from '../sandbox/app/verify.ts';
import { furnishRedisOffline, MIGRATIONS_BUCKET } from '../sandbox/furnish-redis-offline.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { aborted, BUCKET, OfflineScene, parked } from './redis-offline-stage.ts';
import { cli } from './schedule-cli.ts';
import { takesWrites } from './stage/expectations.ts';
import { endFirstAttempt } from './stage/second-attempt.ts';
import { atGate, isDone, until, untilStatus } from './stage/stage.ts';

const ELASTICACHE_ID = '540804c33a284a299d2547575ce1010f2312ef3da9b3a053c8bc45bf233e4353';

let scene: OfflineScene;

beforeAll(async () => {
  scene = await OfflineScene.open();
});
beforeEach(() => scene.begin());
afterAll(() => scene.close());

async function filled(keys: number): Promise<RedisServer> {
  const source = await scene.stage.redis();
  await fillRedis({ host: source.host, port: source.port, keys, seed: 3 });
  return source;
}

async function fenceLeft(source: RedisServer): Promise<unknown[]> {
  const redis = source.connect();
  return [await redis.exists('cutover:fence'), await redis.config('GET', 'min-replicas-to-write')];
}
const NO_FENCE = [0, ['min-replicas-to-write', '0']];

test('fenced: aborted, done again with the worker killed in upload and wait; no acknowledged write is lost', async () => {
  const source = await filled(1_000);
  const { app, hook } = await scene.app(source);
  scene.aws.control.setTiming({ creating: 6_000 });
  const first = await scene.start('fenced', source, { switch: [hook] });
  await until('the group is being made', async () => (await scene.groups()).includes(first.group));
  expect(await takesWrites(source)).toBe(false);
  expect((await first.handle.status()).fence).toMatchObject({ state: 'up' });
  scene.aws.control.setTiming({ creating: 100 });
  await first.handle.abort({ by: 'test' });
  await until('the source takes writes again', () => takesWrites(source));
  const undone = await untilStatus(first.handle, 'aborted', (s) => s.phase === 'aborted', 180_000);
  expect(undone).toMatchObject({ fence: { state: 'lifted' }, leftovers: [] });
  expect(undone.cutovers).toMatchObject([{ outcome: 'undone', writePauseMs: expect.any(Number) }]);
  expect(await fenceLeft(source)).toEqual(NO_FENCE);
  expect(await scene.groups()).not.toContain(first.group);
  expect(await scene.inBucket()).toEqual([]);

  scene.aws.control.setTiming({ creating: 3_000 });
  let second!: Awaited<ReturnType<typeof scene.start>>;
  await scene.killedAt(
    'a part of the upload',
    ({ service, action }) => service === 's3' && action.startsWith(`PUT /${BUCKET}/cutover/fenced-`),
    async () => {
      second = await scene.start('fenced', source, { switch: [hook] });
    },
  );
  await scene.killedAt(
    'a reading of the group that is being made',
    ({ action }) => action === 'DescribeCacheClusters',
    async () => {},
  );
  const { handle, group } = second;
  const ready = await untilStatus(handle, 'at the gate', atGate);
  expect(ready.steps.find(({ id }) => id === 'compare')?.note).toMatch(/keys are equal$/);
  expect(await takesWrites(source)).toBe(false);
  await handle.approve({ by: 'test' });
  const done = await untilStatus(handle, 'done', isDone);
  expect(done.cutovers).toMatchObject([{ outcome: 'switched', writePauseMs: expect.any(Number) }]);
  expect(done.cutovers[0]!.phases.map(({ name }) => name)).toEqual(['upload', 'create', 'compare']);
  expect(done.fence.state).toBe('kept');
  expect(await takesWrites(source)).toBe(false);
  expect(await scene.inBucket()).toEqual([]);
  const target = scene.primary(group);
  await until(
    'the application writes to the new group',
    async () => (app.stats().endpoints.at(-1)?.acknowledged ?? 0) > 0,
  );
  const acks = await app.stop();
  expect(app.stats().errors['NOREPLICAS']).toBeGreaterThan(0);
  const found = await verifyAcknowledged({ host: target.host, port: target.port }, acks);
  expect(found, found.examples.join()).toMatchObject({ lost: 0, unexplained: 0 });

  const file = join(scene.stage.dir, 'fenced.yaml');
  writeFileSync(file, stringify(second.migration));
  expect(await cli(scene.stage, ['unfence', file, '--yes'])).toMatchObject({ code: 0 });
  expect(await fenceLeft(source)).toEqual(NO_FENCE);
});

test('not fenced: what was written since is counted, an operator says yes to it, and the report prints it', async () => {
  const source = await filled(500);
  const redis = source.connect();
  scene.aws.control.setTiming({ creating: 2_000 });
  const { handle, group } = await scene.start('unfenced', source, {
    fence: false,
    rdb: { from: { type: 'path' } },
    gate: 'auto',
    keepRdb: true,
  });
  await until('the group is being made', async () => (await scene.groups()).includes(group));
  expect(await takesWrites(source)).toBe(true);
  await redis.del('test:takes-writes');
  for (let i = 0; i < 23; i++) await redis.set(`late:${i}`, '1');
  const ready = await untilStatus(handle, 'at the gate, though it opens by itself', atGate);
  expect(ready.gate?.title).toContain('though it lacks writes');
  expect(ready.warnings.join()).toContain('23 are missing');
  await handle.approve({ by: 'test', reason: 'a cache' });
  const done = await untilStatus(handle, 'done', isDone);
  expect(done.report['loss']).toMatchObject({ keysDiffering: 23, changes: 25 });
  expect(done.fence.state).toBe('none');
  const { out } = await cli(scene.stage, ['report', 'unfenced']);
  expect(out).toMatch(/loss\.keysDiffering +23/);
  expect(out).toMatch(/lost: 25 changes/);
  expect(await scene.inBucket()).toEqual([expect.stringMatching(/^cutover\/unfenced-.*-0001\.rdb$/)]);
  expect(done.leftovers.join()).toContain('keepRdb: true');
});

test('the preflight refuses what would fail after an hour: version, ACLs, cluster mode', async () => {
  const source = await filled(10);
  await scene.switchAcls('BucketOwnerEnforced');
  const { handle } = await scene.start('refused', source, {}, { engineVersion: '6.2' });
  const { step, reason, remedy } = await parked(handle);
  expect(step).toBe('preflight');
  expect(reason).toMatch(/G1 .* → Redis 6\.2: the target is older/);
  expect(reason).toMatch(/B2 .*BucketOwnerEnforced/);
  expect(remedy).toContain('put-bucket-ownership-controls');
  expect(await takesWrites(source)).toBe(true);
  await scene.switchAcls('BucketOwnerPreferred');
  expect((await aborted(handle)).undo).toEqual([]);
});

test('restore-failed is parked with the event’s words, and the abort leaves nothing', async () => {
  const source = await filled(10);
  let spoilt: string | undefined;
  const off = scene.aws.control.onCall('CreateReplicationGroup', 'before', async () => {
    if (spoilt !== undefined) return;
    [spoilt] = await scene.inBucket();
    await fromTheFuture(spoilt!);
  });
  const { handle, group } = await scene.start('too-new', source);
  expect(await parked(handle)).toMatchObject({
    step: 'create',
    errorType: 'cutover.ServiceFailed',
    reason: expect.stringMatching(
      new RegExp(`${group}-001 restore-failed; .*RDB version 99 can't be read by redis 7\\.1`),
    ),
  });
  off();
  expect(await takesWrites(source)).toBe(false);
  const undone = await aborted(handle);
  expect(undone.leftovers).toEqual([]);
  expect(await scene.groups()).not.toContain(group);
  expect(await scene.inBucket()).not.toContain(spoilt);
  expect(await fenceLeft(source)).toEqual(NO_FENCE);
});

/** The object as a newer server would have written it; all else about it stays. */
async function fromTheFuture(Key: string): Promise<void> {
  const at = { Bucket: BUCKET, Key };
  const { Metadata } = await scene.s3.send(new HeadObjectCommand(at));
  const bytes = Buffer.from(await (await scene.s3.send(new GetObjectCommand(at))).Body!.transformToByteArray());
  bytes.write('REDIS0099', 'latin1');
  await scene.s3.send(new PutObjectCommand({ ...at, Body: bytes, Metadata }));
  const id = `id="${ELASTICACHE_ID}"`;
  await scene.s3.send(new PutObjectAclCommand({ ...at, GrantRead: id, GrantReadACP: id }));
}

test('a source that was restarted under the fence: the gate does not open, the abort proves it writable', async () => {
  const source = await filled(50);
  const { handle, group } = await scene.start('restarted', source, { rdb: { from: { type: 'path' } } });
  await untilStatus(handle, 'at the gate', atGate);
  await source.restart();
  const asked = await parked(handle);
  expect(asked).toMatchObject({ step: 'approve-switch', errorType: 'cutover.Replication' });
  expect(asked.reason).toContain('the fence did not hold: the source was restarted');
  await aborted(handle);
  expect(await takesWrites(source)).toBe(true);
  expect(await scene.groups()).not.toContain(group);
});

test('examples/redis-offline.yaml runs as it stands', async () => {
  const source = await filled(300);
  await furnishRedisOffline(scene.aws);
  // Twice, as `cutover sandbox up` does in a folder that is furnished already.
  await furnishRedisOffline(scene.aws);
  const migration = await loadMigrationFile('examples/redis-offline.yaml');
  await endFirstAttempt(scene.stage.client, migration.id);
  const here = { ...migration, source: { host: source.host, port: source.port } };
  const handle = await startMigration(scene.stage.client, { migration: here as never });
  await untilStatus(handle, 'at the gate', atGate);
  await handle.approve({ by: 'test' });
  const done = await untilStatus(handle, 'done', isDone, 180_000);
  expect(done.report['rdb']).toMatchObject({ object: expect.stringContaining(`s3://${MIGRATIONS_BUCKET}/redis/`) });
  expect(await scene.groups()).toContain('shop-cache-offline');
});
