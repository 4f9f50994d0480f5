/** A group is retired: only with a proven snapshot, its name typed, and a final snapshot; killed, failed, refused, aborted. */
import {
  CreateSnapshotCommand,
  DeleteReplicationGroupCommand,
  DeleteSnapshotCommand,
  DescribeReplicationGroupsCommand,
  DescribeSnapshotsCommand,
  ListTagsForResourceCommand,
} from '@aws-sdk/client-elasticache';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startMigration, type MigrationHandle } from '../client/index.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { createGroup, elastiCacheClient, openAws, workerEnvironment } from './stage/elasticache.ts';
import { isSecondAttempt } from './stage/second-attempt.ts';
import { atGate, isDone, Stage, until, untilStatus } from './stage/stage.ts';
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
  aws.control.setTiming({ snapshotting: 100, deleting: 100 });
  // A test that failed may have left none.
  if (worker.exit) worker = await stage.worker(workerEnvironment(aws));
});
afterAll(() => stage.close());

/** A name of its own for each attempt: what a first one left would fail the second for a reason of its own. */
const named = (id: string) => (isSecondAttempt() ? `${id}-2nd` : id);

function retire(group: string, more: Record<string, unknown> = {}): Promise<MigrationHandle> {
  return startMigration(stage.client, {
    migration: {
      kind: 'elasticache-retire',
      id: `retire-${group}`,
      replicationGroup: group,
      crashDetection: '2s',
      aws: { region: aws.region },
      ...more,
    } as never,
  });
}

async function asking<T>(ask: (client: ReturnType<typeof elastiCacheClient>) => Promise<T>): Promise<T> {
  const client = elastiCacheClient(aws);
  try {
    return await ask(client);
  } finally {
    client.destroy();
  }
}

const groupStatus = (id: string) =>
  asking(async (client) => {
    try {
      const answer = await client.send(new DescribeReplicationGroupsCommand({ ReplicationGroupId: id }));
      return answer.ReplicationGroups![0]!.Status;
    } catch (error) {
      if ((error as Error).name === 'ReplicationGroupNotFoundFault') return 'gone';
      throw error;
    }
  });

const snapshotsOf = (id: string) =>
  asking(async (client) => {
    const { Snapshots } = await client.send(new DescribeSnapshotsCommand({}));
    return (Snapshots ?? []).filter((s) => s.ReplicationGroupId === id);
  });

test('aborted at the gate nothing has happened; a wrong name is refused; then it goes, and both its snapshots stay', async () => {
  const id = named('old');
  const server = await createGroup(aws, id);
  const redis = new Redis({ port: server.port, host: server.host });
  await redis.set('who', 'is here');
  const automatic = aws.control.automaticSnapshot({ group: id });
  await until('AWS has taken its own', async () => (await snapshotsOf(id))[0]?.SnapshotStatus === 'available');
  await until('the group is available again', async () => (await groupStatus(id)) === 'available');
  const first = await retire(id);
  const waiting = await untilStatus(first, 'at the gate', atGate);
  redis.disconnect();
  expect(waiting.gate).toMatchObject({ id: 'approve-delete', confirm: id });
  expect(JSON.stringify(waiting.report['preflight'])).toMatch(new RegExp(`${id}-001: \\d+ connection`));
  expect(JSON.stringify(waiting.report['preflight'])).toContain(automatic);
  await first.abort({ by: 'test', reason: 'not yet' });
  await untilStatus(first, 'aborted', (s) => s.phase === 'aborted');
  expect(await groupStatus(id)).toBe('available');
  expect((await snapshotsOf(id)).map((s) => s.SnapshotName)).toEqual([automatic]);

  const handle = await retire(id);
  await untilStatus(handle, 'at the gate', atGate);
  await expect(handle.approve({ by: 'test' })).rejects.toThrow(`--confirm ${id}`);
  await expect(handle.approve({ by: 'test', confirm: `${id}er` })).rejects.toThrow(`${id}er is not it`);
  expect(await groupStatus(id)).toBe('available');
  await handle.approve({ by: 'test', confirm: id });
  const done = await untilStatus(handle, 'done', isDone);
  expect(await groupStatus(id)).toBe('gone');
  const left = await snapshotsOf(id);
  // The automatic one died with its group.
  expect(left.map((s) => `${s.SnapshotSource} ${s.SnapshotStatus}`)).toEqual(['manual available', 'manual available']);
  const final = new RegExp(`^retire-${id}-\\d{8}-\\d{6}-final$`);
  expect(left.filter((s) => final.test(s.SnapshotName!))).toHaveLength(1);
  expect(done.report['retired']).toMatchObject({ replicationGroup: id, finalSnapshot: { complete: true } });
});

test('the worker is killed in DeleteReplicationGroup: the deletion is found, not asked for again under another name', async () => {
  const id = named('killed');
  await createGroup(aws, id);
  aws.control.setTiming({ snapshotting: 1_000 });
  let hit = false;
  const off = aws.control.onCall('DeleteReplicationGroup', 'after', async () => {
    if (hit) return;
    hit = true;
    await worker.kill();
  });
  const handle = await retire(id);
  await untilStatus(handle, 'at the gate', atGate);
  await handle.approve({ by: 'test', confirm: id });
  await until('the worker was killed in the call', async () => hit);
  off();
  worker = await stage.worker(workerEnvironment(aws));
  await untilStatus(handle, 'done', isDone);
  expect(await groupStatus(id)).toBe('gone');
  expect(await snapshotsOf(id)).toHaveLength(2);
});

test('a final snapshot that fails keeps the group: retried it goes, and meanwhile it may be kept after all', async () => {
  const id = named('unlucky');
  await createGroup(aws, id);
  const keep = await retire(id);
  await untilStatus(keep, 'at the gate', atGate);
  aws.control.failSnapshots();
  await keep.approve({ by: 'test', confirm: id });
  const parked = await untilStatus(keep, 'parked', (s) => s.phase === 'needs-operator');
  expect(parked.operator).toMatchObject({ step: 'delete', errorType: 'cutover.ServiceFailed' });
  expect(parked.operator?.reason).toMatch(/not enough memory/);
  await keep.abort({ by: 'test' });
  const aborted = await untilStatus(keep, 'aborted', (s) => s.phase === 'aborted');
  expect(aborted.leftovers[0]).toContain(`the snapshot retire-${id}-`);
  expect(await groupStatus(id)).toBe('available');
  expect(await snapshotsOf(id)).toHaveLength(1);

  const again = await retire(id);
  await untilStatus(again, 'at the gate', atGate);
  aws.control.failSnapshots();
  await again.approve({ by: 'test', confirm: id });
  await untilStatus(again, 'parked', (s) => s.phase === 'needs-operator');
  await again.retry({ by: 'test' });
  await untilStatus(again, 'done', isDone);
  expect(await groupStatus(id)).toBe('gone');
  expect(await snapshotsOf(id)).toHaveLength(3);
});

test('while the deletion is under way an abort is refused', async () => {
  const id = named('going');
  await createGroup(aws, id);
  aws.control.setTiming({ deleting: 3_000 });
  const handle = await retire(id);
  await untilStatus(handle, 'at the gate', atGate);
  await handle.approve({ by: 'test', confirm: id });
  await until('it is being deleted', async () => (await groupStatus(id)) === 'deleting');
  await expect(handle.abort({ by: 'test' })).rejects.toThrow(/can’t be called back/);
  await untilStatus(handle, 'done', isDone);
});

test('a snapshot that has the final one’s name is not taken for it', async () => {
  const id = named('taken');
  await createGroup(aws, id);
  const handle = await retire(id, { finalSnapshotName: `${id}-last` });
  await untilStatus(handle, 'at the gate', atGate);
  // While the gate waits somebody uses the name.
  await asking((client) =>
    client.send(new CreateSnapshotCommand({ SnapshotName: `${id}-last`, CacheClusterId: `${id}-001` })),
  );
  await until('it is there', async () => (await snapshotsOf(id)).every((s) => s.SnapshotStatus === 'available'));
  await untilStatus(handle, 'at the gate again', atGate);
  await handle.approve({ by: 'test', confirm: id });
  const done = await untilStatus(handle, 'done', isDone);
  expect(done.report['retired']).toMatchObject({ finalSnapshot: { name: `${id}-last-2`, complete: true } });
  const theirs = (await snapshotsOf(id)).find((s) => s.SnapshotName === `${id}-last`)!;
  const tags = await asking((client) => client.send(new ListTagsForResourceCommand({ ResourceName: theirs.ARN })));
  expect(tags.TagList ?? []).toEqual([]);
});

test('deleted by somebody else without a final snapshot, it is never called done; the first snapshot is named', async () => {
  const id = named('stolen');
  await createGroup(aws, id);
  const handle = await retire(id);
  await untilStatus(handle, 'at the gate', atGate);
  let stolen = false;
  aws.control.onCall('DeleteReplicationGroup', 'before', async () => {
    if (stolen) return;
    stolen = true;
    await asking((client) => client.send(new DeleteReplicationGroupCommand({ ReplicationGroupId: id })));
  });
  await handle.approve({ by: 'test', confirm: id });
  const parked = await untilStatus(handle, 'parked', (s) => s.phase === 'needs-operator');
  expect(parked.operator).toMatchObject({ step: 'delete', errorType: 'cutover.ServiceFailed' });
  expect(parked.operator?.reason).toMatch(/the group is gone, and the final snapshot .* does not exist/);
  await handle.abort({ by: 'test' });
  const aborted = await untilStatus(handle, 'aborted', (s) => s.phase === 'aborted');
  const left = await snapshotsOf(id);
  expect(left.map((s) => s.SnapshotStatus)).toEqual(['available']);
  expect(aborted.leftovers).toEqual([`the snapshot ${left[0]!.SnapshotName} of ${id}`]);
});

test('a snapshot that vanishes before the proof: never done, no retry for ever, and the abort says which is not proven', async () => {
  const id = named('robbed');
  await createGroup(aws, id);
  const handle = await retire(id);
  await untilStatus(handle, 'at the gate', atGate);
  const [first] = await snapshotsOf(id);
  let robbed = false;
  // The final snapshot is tagged where `prove` begins.
  aws.control.onCall('AddTagsToResource', 'before', async () => {
    if (robbed) return;
    robbed = true;
    await asking((client) => client.send(new DeleteSnapshotCommand({ SnapshotName: first!.SnapshotName })));
  });
  await handle.approve({ by: 'test', confirm: id });
  const parked = await untilStatus(handle, 'parked', (s) => s.phase === 'needs-operator');
  expect(parked.operator).toMatchObject({ step: 'prove', choices: ['retry', 'abort'] });
  expect(parked.warnings.join()).toContain(`${id} is gone, and its snapshot ${first!.SnapshotName} is not proven`);
  await handle.abort({ by: 'test' });
  const aborted = await untilStatus(handle, 'aborted', (s) => s.phase === 'aborted');
  expect(aborted.leftovers).toHaveLength(2);
  expect(aborted.leftovers.join('; ')).toMatch(
    new RegExp(`the snapshot ${first!.SnapshotName} of ${id}, which is not proven: `),
  );
  expect(aborted.leftovers.join('; ')).toContain(`the snapshot ${first!.SnapshotName}-final of ${id}`);
});

test('parked after the call, and somebody restores under the old name: the new group lives', async () => {
  const id = named('reborn');
  await createGroup(aws, id);
  const handle = await retire(id);
  await untilStatus(handle, 'at the gate', atGate);
  const off = aws.control.onCall('DeleteReplicationGroup', 'after', async () => {
    aws.control.failNext({ action: 'DescribeEvents', code: 'AccessDenied' });
    await until('it is gone', async () => (await groupStatus(id)) === 'gone');
  });
  await handle.approve({ by: 'test', confirm: id });
  const parked = await untilStatus(handle, 'parked', (s) => s.phase === 'needs-operator');
  off();
  // Only what failed may say that the deletion came to nothing, and this does not.
  expect(parked.operator).toMatchObject({ step: 'delete', errorType: 'cutover.Denied', choices: ['retry'] });
  await expect(handle.abort({ by: 'test' })).rejects.toThrow(/can’t be called back/);
  await createGroup(aws, id);
  await handle.retry({ by: 'test' });
  await untilStatus(handle, 'done', isDone);
  expect(await groupStatus(id)).toBe('available');
  expect(await snapshotsOf(id)).toHaveLength(2);
});
