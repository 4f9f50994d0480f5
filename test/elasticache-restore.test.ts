/** Backups brought back: the full cycle to equal keys, other shards, RDB files, failures, drills; killed and aborted. */
import { DescribeReplicationGroupsCommand } from '@aws-sdk/client-elasticache';
import {
  CreateBucketCommand,
  ListObjectsV2Command,
  PutBucketAclCommand,
  PutObjectAclCommand,
  PutObjectCommand,
  GetObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startMigration, type MigrationHandle } from '../client/index.ts';
import { startAws, type Aws } from '../sandbox/aws/index.ts';
import { startMoto } from '../sandbox/runtime/moto.ts';
import { ensureTool } from '../sandbox/runtime/tools.ts';
import { createGroup, elastiCacheClient, workerEnvironment } from './stage/elasticache.ts';
import { endFirstAttempt, isSecondAttempt } from './stage/second-attempt.ts';
import { isDone, Stage, until, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

const ELASTICACHE_ID = '540804c33a284a299d2547575ce1010f2312ef3da9b3a053c8bc45bf233e4353';

let stage: Stage;
let aws: Aws;
let s3: S3Client;
let worker: WorkerProcess;
/** Of the full cycle, for the tests after it. */
let bucket: string;
let restored: string;

beforeAll(async () => {
  stage = await Stage.open();
  const moto = await startMoto({ dir: join(stage.dir, 'moto') });
  stage.endLater(moto, () => moto.stop());
  const { path } = await ensureTool('redis-server');
  aws = await startAws({ dir: join(stage.dir, 'aws'), redisServer: path, forward: async () => moto.url });
  stage.endLater(aws, () => aws.stop());
  s3 = new S3Client({
    endpoint: moto.url,
    region: aws.region,
    forcePathStyle: true,
    credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
  });
  worker = await stage.worker(workerEnvironment(aws));
});
beforeEach(async () => {
  aws.control.reset();
  aws.control.setTiming({ creating: 100, copying: 100, snapshotting: 100, deleting: 100 });
  // A test that failed may have left none.
  if (worker.exit) worker = await stage.worker(workerEnvironment(aws));
});
afterAll(async () => {
  s3.destroy();
  await stage.close();
});

async function start(kind: string, id: string, more: Record<string, unknown>): Promise<MigrationHandle> {
  await endFirstAttempt(stage.client, id);
  const migration = { kind: `elasticache-${kind}`, id, crashDetection: '2s', aws: { region: aws.region }, ...more };
  return startMigration(stage.client, { migration: migration as never });
}

/** A name of its own for each attempt: what a first one left would fail the second for a reason of its own. */
const named = (id: string) => (isSecondAttempt() ? `${id}-2nd` : id);

const parked = (handle: MigrationHandle) =>
  untilStatus(handle, 'parked', (s) => s.phase === 'needs-operator').then((s) => s.operator!);
const aborted = async (handle: MigrationHandle) => {
  await handle.abort({ by: 'test' });
  return untilStatus(handle, 'aborted', (s) => s.phase === 'aborted');
};

async function groups(): Promise<string[]> {
  const client = elastiCacheClient(aws);
  try {
    const { ReplicationGroups } = await client.send(new DescribeReplicationGroupsCommand({}));
    return (ReplicationGroups ?? []).map((group) => group.ReplicationGroupId!);
  } finally {
    client.destroy();
  }
}

const primaries = (group: string) => aws.control.nodes({ group }).filter(({ role }) => role === 'primary');

async function onPrimary<T>(group: string, use: (redis: Redis) => Promise<T>): Promise<T[]> {
  return Promise.all(
    primaries(group).map(async ({ host, port }) => {
      const redis = new Redis({ host, port });
      try {
        return await use(redis);
      } finally {
        redis.disconnect();
      }
    }),
  );
}

/** Over all keys with type, value and time of expiry. */
async function digest(group: string): Promise<string> {
  const lines = await onPrimary(group, async (redis) => {
    const keys = await redis.keysBuffer('*');
    return Promise.all(
      keys.map(async (key) => {
        const [dump, expires] = await Promise.all([redis.dumpBuffer(key), redis.call('pexpiretime', key)]);
        return `${key.toString('hex')} ${dump.toString('hex')} ${String(expires)}`;
      }),
    );
  });
  return createHash('sha256').update(lines.flat().sort().join('\n')).digest('hex');
}

async function fill(group: string, keys: number): Promise<void> {
  await onPrimary(group, async (redis) => {
    for (let i = 0; i < keys; i++) await redis.set(`k${i}`, `v${i}`, 'PXAT', 4_000_000_000_000 + i);
    await redis.hset('a hash', { one: '1', two: '2' });
    await redis.set(Buffer.from([0, 255, 128]), Buffer.from([254, 1, 0]));
    await redis.wait(1, 10_000);
  });
}

async function retried(handle: MigrationHandle) {
  await handle.retry({ by: 'test' });
}

async function allow(bucket: string): Promise<void> {
  await s3.send(
    new PutBucketAclCommand({
      Bucket: bucket,
      AccessControlPolicy: {
        Owner: { ID: 'owner' },
        Grants: (['READ', 'WRITE', 'READ_ACP'] as const).map((Permission) => ({
          Grantee: { Type: 'CanonicalUser', ID: ELASTICACHE_ID },
          Permission,
        })),
      },
    }),
  );
}

const objectsIn = async (bucket: string) =>
  ((await s3.send(new ListObjectsV2Command({ Bucket: bucket }))).Contents ?? []).map(({ Key }) => Key!);

/** Ends the worker in the next call of this action, and starts another one. */
async function killedIn(action: string, begin: () => Promise<MigrationHandle>): Promise<MigrationHandle> {
  let hit = false;
  const off = aws.control.onCall(action, 'after', async () => {
    if (hit) return;
    hit = true;
    await worker.kill();
  });
  const handle = await begin();
  await until(`the worker was killed in ${action}`, async () => hit);
  off();
  worker = await stage.worker(workerEnvironment(aws));
  return handle;
}

test('the full cycle: backup with export, the data lost, a restore to a new group: equal', async () => {
  bucket = named('backups');
  restored = named('shop-new');
  await createGroup(aws, 'shop');
  await fill('shop', 300);
  const before = await digest('shop');
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  const file = { replicationGroup: 'shop', export: { bucket, prefix: 'redis/' } };
  const refused = await start('backup', 'shop-backup', file);
  expect(await parked(refused)).toMatchObject({
    step: 'preflight',
    reason: expect.stringContaining(`lacks READ, WRITE, READ_ACP on ${bucket}`),
    remedy: expect.stringContaining(`put-bucket-acl --bucket ${bucket} --grant-full-control id=`),
  });
  await allow(bucket);
  aws.control.setTiming({ copying: 1_500 });
  const backup = await killedIn('CopySnapshot', async () => {
    await retried(refused);
    return refused;
  });
  const saved = await untilStatus(backup, 'done', isDone);
  const { name } = saved.report['snapshot'] as { name: string };
  expect(await objectsIn(bucket)).toEqual([`redis/${name}-0001.rdb`]);
  const calls = () => aws.control.calls({ action: 'CopySnapshot' }).length;
  const soFar = calls();
  const other = await start('backup', 'shop-backup-2', file);
  await until('it is being exported', async () => calls() > soFar);
  await aborted(other);
  expect(await objectsIn(bucket)).toEqual([`redis/${name}-0001.rdb`]);

  await onPrimary('shop', (redis) => redis.flushall());
  const restore = { from: { latestOf: 'shop', migration: 'shop-backup' } };
  const into = await start('restore', 'back', { ...restore, to: { replicationGroup: 'shop' } });
  expect(await parked(into)).toMatchObject({
    reason: expect.stringContaining('there is a group shop already'),
    remedy: expect.stringContaining("can't restore into a group that exists"),
  });
  await aborted(into);

  const to = { to: { replicationGroup: restored, replicasPerShard: 0 } };
  aws.control.setTiming({ creating: 3_000 });
  const first = await start('restore', 'back', { ...restore, ...to });
  await until('it is being made', async () => (await groups()).includes(restored));
  await aborted(first);
  expect(await groups()).not.toContain(restored);
  aws.control.setTiming({ creating: 500 });
  const second = await killedIn('CreateReplicationGroup', () =>
    start('restore', 'back', { ...restore, ...to, verify: { keys: 302, sampleKeys: ['k7', 'a hash'] } }),
  );
  const done = await untilStatus(second, 'done', isDone);
  expect(await digest(restored)).toBe(before);
  expect(done.report['verify']).toMatchObject({
    keys: 302,
    sampleKeys: 2,
    source: { replicationGroup: 'shop', keys: 0 },
  });
  expect(done.report['recovery']).toMatchObject({ from: name, totalMs: expect.any(Number) });
});

test('to other shards the keys go where they belong; a missing sample key is told; back to no shards is refused', async () => {
  const sharded = named('sharded');
  const snapshotName = named('of-shards');
  const to = { replicationGroup: sharded, shards: [{ slots: '0-4095' }, { slots: '4096-16383' }], replicasPerShard: 0 };
  const from = { latestOf: 'shop', migration: 'shop-backup' };
  const handle = await start('restore', 'spread', { from, to, verify: { keys: 302, sampleKeys: ['k1', 'never'] } });
  expect(await parked(handle)).toMatchObject({
    step: 'verify',
    errorType: 'cutover.Differs',
    reason: expect.stringContaining('never'),
  });
  await handle.skip({ by: 'test' });
  await untilStatus(handle, 'done', isDone);
  expect(await digest(sharded)).toBe(await digest(restored));
  const counts = await onPrimary(sharded, (redis) => redis.dbsize());
  expect(counts.every((n) => n > 0)).toBe(true);

  await untilStatus(
    await start('backup', 'sharded-backup', { replicationGroup: sharded, snapshotName }),
    'done',
    isDone,
  );
  const back = await start('restore', 'unspread', {
    from: { snapshot: snapshotName },
    to: { replicationGroup: 'flat', clusterMode: 'disabled' },
  });
  expect((await parked(back)).reason).toMatch(/E3 .*cluster mode enabled/);
  await aborted(back);
});

test('an older export under the same name is neither taken for this one nor deleted', async () => {
  const name = named('again');
  const used = named('used');
  await s3.send(new CreateBucketCommand({ Bucket: used }));
  await allow(used);
  const old = (key: string) =>
    s3.send(new PutObjectCommand({ Bucket: used, Key: key, Body: 'REDIS0011 of last year' }));
  const file = { replicationGroup: 'shop', snapshotName: name, export: { bucket: used } };
  // It comes after the preflight, and before the snapshot; S3 tells whole seconds.
  let put = 0;
  const off = aws.control.onCall('CreateSnapshot', 'before', async () => {
    if (put > 0) return;
    await old(`${name}-0001.rdb`);
    put = Date.now();
    await until('the clock shows another second', async () => Math.floor(Date.now() / 1000) > Math.floor(put / 1000));
  });
  const handle = await start('backup', name, file);
  const asked = await parked(handle);
  off();
  expect(asked).toMatchObject({ step: 'export', errorType: 'cutover.NotOurs' });
  await aborted(handle);
  expect(await objectsIn(used)).toEqual([`${name}-0001.rdb`]);
  const second = await start('backup', name, file);
  expect((await parked(second)).reason).toContain(`X3 no older export is in the way: there are ${name}-0001.rdb`);
  await aborted(second);
});

test('a group that was begun stays of its snapshot, though a newer one is there when the step is tried again', async () => {
  const to = { replicationGroup: named('begun'), replicasPerShard: 0 };
  aws.control.onCall('CreateReplicationGroup', 'after', () => {
    aws.control.failNext({ action: 'DescribeReplicationGroups', code: 'AccessDenied', times: 1 });
  });
  const handle = await start('restore', 'begun', { from: { latestOf: 'shop' }, to, verify: { keys: 0 } });
  expect(await parked(handle)).toMatchObject({ step: 'restore', errorType: 'cutover.Denied' });
  const { plan } = (await handle.status()).report['restore'] as { plan: { from: string } };
  const newer = { replicationGroup: 'shop', snapshotName: named('newer') };
  await untilStatus(await start('backup', 'newer', newer), 'done', isDone);
  await retried(handle);
  const done = await untilStatus(handle, 'done', isDone);
  expect(done.report['recovery']).toMatchObject({ from: plan.from });
  expect(plan.from).not.toBe(newer.snapshotName);
});

test('restore-failed is parked with the event’s words; a retry deletes what failed and starts over', async () => {
  const seeds = named('seeds');
  const target = named('from-s3');
  const put = async (Body: Uint8Array | string) => {
    await s3.send(new PutObjectCommand({ Bucket: seeds, Key: 'a.rdb', Body }));
    const id = `id="${ELASTICACHE_ID}"`;
    await s3.send(new PutObjectAclCommand({ Bucket: seeds, Key: 'a.rdb', GrantRead: id, GrantReadACP: id }));
  };
  await s3.send(new CreateBucketCommand({ Bucket: seeds }));
  await put('REDIS0011 but not really');
  const handle = await start('restore', 'from-s3', {
    from: { s3: [`arn:aws:s3:::${seeds}/a.rdb`] },
    to: { replicationGroup: target, nodeType: 'cache.t4g.micro' },
  });
  expect(await parked(handle)).toMatchObject({
    step: 'restore',
    errorType: 'cutover.ServiceFailed',
    reason: expect.stringMatching(new RegExp(`${target}-001 restore-failed; Failed to restore the cache cluster`)),
  });
  const [key] = await objectsIn(bucket);
  const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key! }));
  await put(await object.Body!.transformToByteArray());
  await retried(handle);
  await untilStatus(handle, 'done', isDone);
  expect(await digest(target)).toBe(await digest(restored));
});

test('a group that takes the name between the preflight and the call is left alone, also by the abort', async () => {
  const race = named('race');
  let taken = false;
  const off = aws.control.onCall('CreateReplicationGroup', 'before', async () => {
    if (taken) return;
    taken = true;
    await createGroup(aws, race, { NumCacheClusters: 1, AutomaticFailoverEnabled: false, MultiAZEnabled: false });
  });
  const handle = await start('restore', 'late', {
    from: { latestOf: 'shop', migration: 'shop-backup' },
    to: { replicationGroup: race, replicasPerShard: 0 },
  });
  expect(await parked(handle)).toMatchObject({ step: 'restore', errorType: 'cutover.NotOurs' });
  off();
  await aborted(handle);
  expect(await groups()).toContain(race);
});

test('the switch: hooks that ran are undone and the group stays where one fails; one that works ends it', async () => {
  const log = join(stage.dir, 'hooks.log');
  const note = (text: string) => [
    process.execPath,
    '-e',
    `require('fs').appendFileSync(${JSON.stringify(log)}, ${JSON.stringify(text)} + process.env.CUTOVER_TARGET_PORT + '\\n')`,
  ];
  const hook = { type: 'command', run: note('to '), undo: note('back ') };
  const file = (name: string) => ({
    from: { latestOf: 'shop', migration: 'shop-backup' },
    to: { replicationGroup: named(name), replicasPerShard: 0 },
    gate: 'auto',
  });
  const fails = { type: 'command', run: ['false'] };
  const first = await start('restore', 'switch', { ...file('switched'), switch: [hook, fails] });
  expect(await parked(first)).toMatchObject({ step: 'switch', errorType: 'cutover.Hook' });
  // The application was there, and may have written: the group is kept.
  expect((await aborted(first)).leftovers).toEqual([
    'not undone, for the file names no way back: command false',
    expect.stringContaining(`the replication group ${named('switched')}: `),
  ]);
  expect(await groups()).toContain(named('switched'));
  const second = await start('restore', 'switch', { ...file('switched-again'), switch: [hook] });
  await untilStatus(second, 'done', isDone);
  const { port } = primaries(named('switched-again'))[0]!;
  expect(readFileSync(log, 'utf8')).toMatch(new RegExp(`to (\\d+)\nback \\1\nto ${port}\n$`));
});

test('a drill verifies, measures, and leaves nothing', async () => {
  const before = await groups();
  const drill = await start('restore', 'drill', {
    drill: true,
    from: { latestOf: 'shop', migration: 'shop-backup' },
    to: { replicasPerShard: 0 },
  });
  const done = await untilStatus(drill, 'done', isDone);
  expect(done.steps.map(({ id, state }) => `${id} ${state}`)).toEqual([
    'preflight done',
    'restore done',
    'verify done',
    'delete done',
  ]);
  expect(done.report['recovery']).toMatchObject({ restoreMs: expect.any(Number), verifyMs: expect.any(Number) });
  expect(await groups()).toEqual(before);
});
