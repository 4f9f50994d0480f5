/** A snapshot on demand: done, failed, aborted, tried again, with the worker killed in the middle, and over shards. */
import {
  DescribeReplicationGroupsCommand,
  DescribeSnapshotsCommand,
  ModifyReplicationGroupCommand,
} from '@aws-sdk/client-elasticache';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startMigration, type MigrationHandle } from '../client/index.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { createGroup, elastiCacheClient, openAws, workerEnvironment } from './stage/elasticache.ts';
import { isSecondAttempt } from './stage/second-attempt.ts';
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
beforeEach(async () => {
  aws.control.reset();
  aws.control.setTiming({ snapshotting: 100, modifying: 100, deleting: 100 });
  // A test that failed may have left none.
  if (worker.exit) worker = await stage.worker(workerEnvironment(aws));
});
afterAll(() => stage.close());

/** A name of its own for each attempt: what a first one left would fail the second for a reason of its own. */
const named = (id: string) => (isSecondAttempt() ? `${id}-2nd` : id);

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
  const id = named('plain');
  await createGroup(aws, id);
  const status = await untilStatus(await backup(id), 'done', isDone);
  expect(status.steps.map(({ id, state }) => `${id} ${state}`)).toEqual([
    'preflight done',
    'snapshot done',
    'verify done',
  ]);
  const [snapshot] = await snapshots(id);
  expect(snapshot).toMatchObject({ SnapshotStatus: 'available', CacheClusterId: `${id}-002` });
  expect(snapshot!.SnapshotName).toMatch(new RegExp(`^${id}-\\d{8}-\\d{6}$`));
  expect(status.report['snapshot']).toMatchObject({
    name: snapshot!.SnapshotName,
    nodeSnapshots: [{ cacheClusterId: `${id}-002` }],
  });
});

test('of a group with shards has a node snapshot for each', async () => {
  const id = named('shards');
  await createClustered(id, 2);
  const status = await untilStatus(await backup(id), 'done', isDone);
  expect(status.report['snapshot']).toMatchObject({ nodeSnapshots: [{}, {}] });
});

test('an event SnapshotFailed is a failure with its text; a retry takes another one', async () => {
  const id = named('unlucky');
  await createGroup(aws, id);
  aws.control.failSnapshots();
  const handle = await backup(id);
  const parked = await untilStatus(handle, 'parked', (s) => s.phase === 'needs-operator');
  expect(parked.operator).toMatchObject({ step: 'snapshot', errorType: 'cutover.ServiceFailed' });
  expect(parked.operator?.reason).toMatch(/snapshot/i);
  await handle.retry({ by: 'test' });
  await untilStatus(handle, 'done', isDone);
  expect(await snapshots(id)).toHaveLength(1);
});

test('aborted while it is taken, it is deleted; then again, to its end', async () => {
  const id = named('again');
  await createGroup(aws, id);
  aws.control.setTiming({ snapshotting: 3_000 });
  const first = await backup(id);
  await until('it is being taken', async () => (await snapshots(id)).length > 0);
  await first.abort({ by: 'test', reason: 'wrong hour' });
  await untilStatus(first, 'aborted', (s) => s.phase === 'aborted');
  expect(await snapshots(id)).toEqual([]);
  aws.control.setTiming({ snapshotting: 100 });
  await untilStatus(await backup(id), 'done', isDone);
  expect(await snapshots(id)).toHaveLength(1);
});

test('the worker is killed in CreateSnapshot: what was begun is adopted, not taken twice', async () => {
  const id = named('killed');
  await createGroup(aws, id);
  let hit = false;
  const off = aws.control.onCall('CreateSnapshot', 'after', async () => {
    if (hit) return;
    hit = true;
    await worker.kill();
  });
  const handle = await backup(id);
  await until('the worker was killed in the call', async () => hit);
  off();
  worker = await stage.worker(workerEnvironment(aws));
  await untilStatus(handle, 'done', isDone);
  expect(await snapshots(id)).toHaveLength(1);
});

test('the same file run twice takes two snapshots; under a name of its own it is refused the second time', async () => {
  const id = named('twice');
  await createGroup(aws, id);
  await untilStatus(await backup(id), 'done', isDone);
  // Names of runs go by the second.
  await until('the clock shows another second', async () => {
    return Date.now() - stamped((await snapshots(id))[0]!.SnapshotName!) >= 1_000;
  });
  const second = await untilStatus(await backup(id), 'done', isDone);
  const taken = await snapshots(id);
  expect(taken).toHaveLength(2);
  expect(taken.map((s) => s.SnapshotName)).toContain((second.report['snapshot'] as { name: string }).name);

  const withName = { snapshotName: `${id}-named` };
  await untilStatus(await backup(id, withName), 'done', isDone);
  const again = await backup(id, withName);
  const parked = await untilStatus(again, 'parked', (s) => s.phase === 'needs-operator');
  expect(parked.operator).toMatchObject({ step: 'preflight', errorType: 'cutover.Preflight' });
  expect(parked.operator?.reason).toMatch(new RegExp(`${id}-named already`));
  expect(parked.operator?.remedy).toMatch(/leave snapshotName out/);
  await again.abort({ by: 'test' });
  await untilStatus(again, 'aborted', (s) => s.phase === 'aborted');
  expect(await snapshots(id)).toHaveLength(3);
});

test('daily settings: applied, shown, put back by an abort; windows that meet are refused', async () => {
  const id = named('daily');
  await createGroup(aws, id, { PreferredMaintenanceWindow: 'sun:06:00-sun:07:00' });
  const before = await daily(id);
  const wanted = { snapshot: false, daily: { retentionLimit: 7, window: '15:00-16:00' } };
  aws.control.setTiming({ modifying: 3_000 });
  const first = await backup(id, wanted);
  await until('it is being changed', async () => (await daily(id)).status === 'modifying');
  aws.control.setTiming({ modifying: 100 });
  await first.abort({ by: 'test' });
  await untilStatus(first, 'aborted', (s) => s.phase === 'aborted');
  expect(await daily(id)).toEqual({ ...before, of: `${id}-002` });
  const done = await untilStatus(await backup(id, wanted), 'done', isDone);
  expect(done.steps.at(-1)?.note).toBe('off → 7 day(s) at 15:00-16:00 UTC');
  expect(await daily(id)).toMatchObject({ limit: 7, window: '15:00-16:00', of: `${id}-002` });
  const meets = await backup(id, { snapshot: false, daily: { retentionLimit: 7, window: '05:30-06:30' } });
  const parked = await untilStatus(meets, 'parked', (s) => s.phase === 'needs-operator');
  expect(parked.operator?.reason).toMatch(/B4 .*daily 05:30-06:30, maintenance sun:06:00-sun:07:00/);
  await meets.abort({ by: 'test' });
  await untilStatus(meets, 'aborted', (s) => s.phase === 'aborted');
});

test('retention deletes what this migration made and the file does not keep, and nothing else', async () => {
  const id = named('kept');
  await createGroup(aws, id);
  for (const snapshotName of [`${id}-one`, `${id}-two`]) {
    await untilStatus(await backup(id, { snapshotName }), 'done', isDone);
  }
  const other = await backup(`${id}-other`, { replicationGroup: id, snapshotName: `${id}-foreign` });
  await untilStatus(other, 'done', isDone);
  const last = await backup(id, { snapshotName: `${id}-three`, retention: { keepLast: 1 } });
  const status = await untilStatus(last, 'done', isDone);
  expect(status.report['retention']).toMatchObject({ deleted: [{}, {}], kept: [{ name: `${id}-three` }] });
  const names = (await snapshots(id)).map((s) => s.SnapshotName);
  expect(new Set(names)).toEqual(new Set([`${id}-foreign`, `${id}-three`]));
});

test('aborted while old ones are deleted, the new one stays and is named; so do daily settings that somebody changed', async () => {
  const id = named('cut');
  await createGroup(aws, id);
  await untilStatus(await backup(id, { snapshotName: `${id}-one` }), 'done', isDone);
  const last = await backup(id, {
    snapshotName: `${id}-two`,
    daily: { retentionLimit: 7, window: '15:00-16:00' },
    retention: { keepLast: 1 },
  });
  let asked = false;
  aws.control.onCall('DeleteSnapshot', 'before', async () => {
    if (asked) return;
    asked = true;
    await changeDaily(id, 3);
    await last.abort({ by: 'test' });
  });
  const status = await untilStatus(last, 'aborted', (s) => s.phase === 'aborted');
  expect(status.leftovers).toEqual([
    `the snapshot ${id}-two of ${id}`,
    expect.stringMatching(/are 3 day\(s\) .*\(it set 7 day\(s\) at 15:00-16:00 UTC; before it: off\)/),
  ]);
  expect(await daily(id)).toMatchObject({ limit: 3 });
  expect((await snapshots(id)).map((s) => s.SnapshotName)).toContain(`${id}-two`);
});

/** Epoch ms of the stamp at the end of a run's name. */
function stamped(name: string): number {
  const [, y, mo, d, h, mi, s] = /(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)$/.exec(name)!.map(Number);
  return Date.UTC(y!, mo! - 1, d, h, mi, s);
}

async function daily(id: string) {
  const client = elastiCacheClient(aws);
  try {
    const { ReplicationGroups } = await client.send(new DescribeReplicationGroupsCommand({ ReplicationGroupId: id }));
    const group = ReplicationGroups![0]!;
    return {
      status: group.Status,
      limit: group.SnapshotRetentionLimit,
      window: group.SnapshotWindow,
      of: group.SnapshottingClusterId,
    };
  } finally {
    client.destroy();
  }
}

async function changeDaily(id: string, limit: number): Promise<void> {
  const client = elastiCacheClient(aws);
  try {
    await client.send(
      new ModifyReplicationGroupCommand({
        ReplicationGroupId: id,
        ApplyImmediately: true,
        SnapshotRetentionLimit: limit,
        SnapshottingClusterId: `${id}-002`,
      }),
    );
  } finally {
    client.destroy();
  }
}

async function createClustered(id: string, shards: number): Promise<void> {
  await createGroup(aws, id, {
    NumCacheClusters: undefined,
    NumNodeGroups: shards,
    ReplicasPerNodeGroup: 1,
    CacheParameterGroupName: 'default.redis7.cluster.on',
  });
}
