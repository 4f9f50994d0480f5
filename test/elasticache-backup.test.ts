/** A snapshot on demand: done, failed, aborted, tried again, with the worker killed in the middle, and over shards. */
import { DescribeSnapshotsCommand } from '@aws-sdk/client-elasticache';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startMigration, type MigrationHandle } from '../client/index.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { createGroup, elastiCacheClient, openAws, workerEnvironment } from './stage/elasticache.ts';
import { isDone, Stage, until, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let aws: Aws;
let worker: WorkerProcess;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openAws(stage);
  worker = await stage.worker(workerEnvironment(aws));
});
afterEach(() => {
  aws.control.reset();
  aws.control.setTiming({ snapshotting: 100 });
});
afterAll(() => stage.close());

function backup(id: string, more: Record<string, unknown> = {}): Promise<MigrationHandle> {
  return startMigration(stage.client, {
    migration: {
      kind: 'elasticache-backup',
      id,
      replicationGroup: id,
      crashDetection: '2s',
      aws: { region: aws.region },
      ...more,
    } as never,
  });
}

async function snapshots(group: string) {
  const client = elastiCacheClient(aws);
  try {
    const { Snapshots } = await client.send(new DescribeSnapshotsCommand({}));
    return (Snapshots ?? []).filter((s) => s.SnapshotName?.includes(group));
  } finally {
    client.destroy();
  }
}

test('takes a snapshot of a replica and proves it', async () => {
  await createGroup(aws, 'plain');
  const status = await untilStatus(await backup('plain'), 'done', isDone);
  expect(status.steps.map(({ id, state }) => `${id} ${state}`)).toEqual([
    'preflight done',
    'snapshot done',
    'verify done',
  ]);
  const [snapshot] = await snapshots('plain');
  expect(snapshot).toMatchObject({ SnapshotStatus: 'available', CacheClusterId: 'plain-002' });
  expect(status.report['snapshot']).toMatchObject({ name: 'plain', nodeSnapshots: [{ cacheClusterId: 'plain-002' }] });
});

test('of a group with shards has a node snapshot for each', async () => {
  await createClustered('shards', 2);
  const status = await untilStatus(await backup('shards'), 'done', isDone);
  expect(status.report['snapshot']).toMatchObject({ nodeSnapshots: [{}, {}] });
});

test('an event SnapshotFailed is a failure with its text; a retry takes another one', async () => {
  await createGroup(aws, 'unlucky');
  aws.control.failSnapshots();
  const handle = await backup('unlucky');
  const parked = await untilStatus(handle, 'parked', (s) => s.phase === 'needs-operator');
  expect(parked.operator).toMatchObject({ step: 'snapshot', errorType: 'cutover.ServiceFailed' });
  expect(parked.operator?.reason).toMatch(/snapshot/i);
  await handle.retry({ by: 'test' });
  await untilStatus(handle, 'done', isDone);
  expect(await snapshots('unlucky')).toHaveLength(1);
});

test('aborted while it is taken, it is deleted; then again, to its end', async () => {
  await createGroup(aws, 'again');
  aws.control.setTiming({ snapshotting: 3_000 });
  const first = await backup('again');
  await until('it is being taken', async () => (await snapshots('again')).length > 0);
  await first.abort({ by: 'test', reason: 'wrong hour' });
  await untilStatus(first, 'aborted', (s) => s.phase === 'aborted');
  expect(await snapshots('again')).toEqual([]);
  aws.control.setTiming({ snapshotting: 100 });
  await untilStatus(await backup('again'), 'done', isDone);
  expect(await snapshots('again')).toHaveLength(1);
});

test('the worker is killed in CreateSnapshot: what was begun is adopted, not taken twice', async () => {
  await createGroup(aws, 'killed');
  let hit = false;
  const off = aws.control.onCall('CreateSnapshot', 'after', async () => {
    if (hit) return;
    hit = true;
    await worker.kill();
  });
  const handle = await backup('killed');
  await until('the worker was killed in the call', async () => hit);
  off();
  worker = await stage.worker(workerEnvironment(aws));
  await untilStatus(handle, 'done', isDone);
  expect(await snapshots('killed')).toHaveLength(1);
});

test('a snapshot of that name which is not ours is left alone', async () => {
  await createGroup(aws, 'taken');
  await untilStatus(await backup('taken'), 'done', isDone);
  const other = await backup('taken-too', { replicationGroup: 'taken', snapshotName: 'taken' });
  const parked = await untilStatus(other, 'parked', (s) => s.phase === 'needs-operator');
  expect(parked.operator).toMatchObject({ errorType: 'cutover.NotOurs' });
  await other.abort({ by: 'test' });
  // Its undo finds a snapshot that it did not make.
  await untilStatus(other, 'aborted', (s) => s.phase === 'aborted');
  expect(await snapshots('taken')).toHaveLength(1);
});

async function createClustered(id: string, shards: number): Promise<void> {
  await createGroup(aws, id, {
    NumCacheClusters: undefined,
    NumNodeGroups: shards,
    ReplicasPerNodeGroup: 1,
    CacheParameterGroupName: 'default.redis7.cluster.on',
  });
}
