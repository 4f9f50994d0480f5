/** Backups by themselves, on real Temporal with real snapshots: runs, outages, a run that waits for its operator. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DescribeReplicationGroupsCommand, DescribeSnapshotsCommand } from '@aws-sdk/client-elasticache';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  createSchedule,
  deleteSchedule,
  migration,
  parseMigration,
  pauseSchedule,
  scheduleInfo,
  triggerSchedule,
  type ScheduleInfo,
} from '../client/index.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { furnishElastiCacheBackups } from '../sandbox/furnish-elasticache-backups.ts';
import { REPO } from './fresh-build.ts';
import { cli as command } from './schedule-cli.ts';
import { createGroup, elastiCacheClient, openAws, workerEnvironment } from './stage/elasticache.ts';
import { isDone, Stage, until, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

const EXAMPLE_DRILL = join(REPO, 'examples/elasticache-restore-drill.yaml');

let stage: Stage;
let aws: Aws;
let worker: WorkerProcess;
const cli = (...words: string[]) => command(stage, words);

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

let count = 0;
/** Of this attempt alone: a test that is tried again must not find what the first try left. */
const fresh = (name: string) => `${name}-${(count += 1)}`;

/** A group of that id, and the file of its backup. @returns the file's path */
async function backupFile(id: string, section: Record<string, unknown>, group = true): Promise<string> {
  if (group) await createGroup(aws, id);
  const file = join(stage.dir, `${id}.yaml`);
  const text = {
    kind: 'elasticache-backup',
    id,
    replicationGroup: id,
    crashDetection: '2s',
    aws: { region: aws.region },
  };
  writeFileSync(file, JSON.stringify({ ...text, schedule: section }));
  return file;
}

const createFrom = (file: string) =>
  createSchedule(stage.client, { migration: parseMigration(readFileSync(file, 'utf8'), file), file });
const create = async (id: string, section: Record<string, unknown>) => createFrom(await backupFile(id, section));

/** Waits until the schedule is as asked for; the failure shows how it was. */
async function untilSchedule(id: string, what: string, holds: (info: ScheduleInfo) => boolean): Promise<ScheduleInfo> {
  let last: ScheduleInfo | undefined;
  try {
    return await until(
      what,
      async () => {
        last = await scheduleInfo(stage.client, id);
        return holds(last) ? last : undefined;
      },
      90_000,
    );
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${JSON.stringify(last, null, 1)}`, { cause: error });
  }
}

async function snapshots(group: string): Promise<string[]> {
  const client = elastiCacheClient(aws);
  try {
    const { Snapshots } = await client.send(new DescribeSnapshotsCommand({}));
    return (Snapshots ?? [])
      .filter((s) => s.ReplicationGroupId === group || s.SnapshotName?.startsWith(group))
      .map((s) => s.SnapshotName!);
  } finally {
    client.destroy();
  }
}

async function groups(): Promise<string[]> {
  const client = elastiCacheClient(aws);
  try {
    const { ReplicationGroups } = await client.send(new DescribeReplicationGroupsCommand({}));
    return (ReplicationGroups ?? []).map((group) => group.ReplicationGroupId!);
  } finally {
    client.destroy();
  }
}

test('a run at its time is done, listed, and answers to the commands by its own id', async () => {
  const schedule = fresh('timed');
  const file = await backupFile(schedule, { every: '3s', remainingActions: 1 });
  const created = await cli('schedule', 'create', file);
  expect([created.code, created.err]).toEqual([0, '']);
  expect(created.out).toMatch(/^timed-\d+ is scheduled: every 3s \(UTC\), overlap skip\nnext run: /);
  const info = await untilSchedule(schedule, 'its one run is done', ({ runs }) => runs[0]?.outcome === 'done');
  expect(info).toMatchObject({ kind: 'elasticache-backup', remaining: 0, counts: { started: 1, missed: 0 }, file });
  const [run] = info.runs;
  expect(run!.id).toBe(`${schedule}-${run!.dueAt!.slice(0, 19)}Z`);
  // Named for when it was due, so that no two runs ever share a name.
  expect(await snapshots(schedule)).toEqual([
    `${schedule}-${run!.dueAt!.slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}`,
  ]);
  const status = await cli('status', run!.id, '--json');
  expect(status.code).toBe(0);
  expect(JSON.parse(status.out)).toMatchObject({ id: run!.id, phase: 'done' });
  expect((await cli('report', run!.id)).out).toContain(run!.id);
  const list = await cli('schedule', 'list');
  expect(list.out).toMatch(/^timed-\d+ +elasticache-backup +every 3s UTC +over +done /m);
  const listed = await until('list --all has it', async () => (await cli('list', '--all')).out.includes(run!.id));
  expect(listed).toBe(true);
});

test('a schedule that somebody else made is left out of the list, and no command touches it', async () => {
  const schedule = fresh('foreign');
  const action = { type: 'startWorkflow' as const, workflowType: 'elasticacheBackup', taskQueue: 'nobody', args: [] };
  await stage.client.schedule.create({ scheduleId: schedule, spec: { cronExpressions: ['0 3 * * *'] }, action });
  const list = await until('the list of the server has it', async () => {
    for await (const { scheduleId } of stage.client.schedule.list()) if (scheduleId === schedule) return true;
    return undefined;
  });
  expect(list).toBe(true);
  const { code, out } = await cli('schedule', 'list');
  expect([code, out.includes(schedule)]).toEqual([0, false]);
  await expect(scheduleInfo(stage.client, schedule)).rejects.toThrow('a schedule that cutover did not make');
  const deleted = await cli('schedule', 'delete', schedule, '--yes');
  expect([deleted.code, deleted.err]).toEqual([1, expect.stringContaining('cutover did not make')]);
  await stage.client.schedule.getHandle(schedule).describe();
});

test('made twice it is refused; paused, it says by whom and why, and runs when it is triggered', async () => {
  const schedule = fresh('nightly');
  const file = await backupFile(schedule, { cron: '0 3 * * *', timeZone: 'Europe/Berlin' });
  await createFrom(file);
  const again = await cli('schedule', 'create', file);
  expect(again.code).toBe(1);
  expect(again.err).toContain(`a schedule "${schedule}" is there already; nothing was changed`);
  expect(again.err).toContain('npx cutover schedule update <file>');

  expect((await cli('schedule', 'pause', schedule, '--reason', 'the cache is being moved')).code).toBe(0);
  const paused = await cli('schedule', 'list');
  expect(paused.out).toMatch(/^nightly-\d+ .* paused by ann@desk at .*: the cache is being moved /m);

  const triggered = await cli('schedule', 'trigger', schedule, '--watch');
  expect([triggered.code, triggered.err.split('\n')[0]]).toEqual([
    0,
    expect.stringMatching(/^nightly-\d+-.* started$/),
  ]);
  expect(await snapshots(schedule)).toHaveLength(1);
});

test('update takes the file over and leaves it paused; resumed, shown, deleted', async () => {
  const schedule = fresh('changed');
  const file = await backupFile(schedule, { cron: '0 3 * * *', timeZone: 'Europe/Berlin' }, false);
  await createFrom(file);
  await pauseSchedule(stage.client, schedule);
  const updated = await cli('schedule', 'update', file, '--cron', '30 2 * * *', '--overlap', 'buffer-one');
  expect(updated.code).toBe(0);
  expect(updated.out).toContain('it is paused: nothing runs until it is resumed');
  expect(updated.err).toMatch(/^warning: \d{4}-03-\d\d the clock .* it does NOT run at 02:30, which does not exist/m);
  const resumed = await cli('schedule', 'resume', schedule);
  expect(resumed.out).toMatch(/^changed-\d+ is resumed; next run: .* 02:30 (CET|CEST|GMT\+[12]) /);

  const shown = await cli('schedule', 'show', schedule);
  expect(shown.code).toBe(0);
  expect(shown.out).toContain('cron: 30 2 * * *');
  expect(shown.out).toContain('overlap: buffer-one');
  expect(shown.out.match(/ 02:30 /g)!.length).toBeGreaterThanOrEqual(10);
  const info = JSON.parse((await cli('schedule', 'show', schedule, '--json')).out) as ScheduleInfo;
  expect(info).toMatchObject({
    paused: false,
    section: { cron: '30 2 * * *', timeZone: 'Europe/Berlin' },
    runs: [],
  });

  const unasked = await cli('schedule', 'delete', schedule);
  expect([unasked.code, unasked.err]).toEqual([2, expect.stringContaining('say --yes')]);
  const deleted = await cli('schedule', 'delete', schedule, '--yes');
  expect([deleted.code, deleted.out]).toEqual([0, `the schedule ${schedule} is deleted\n`]);
  const gone = await cli('schedule', 'show', schedule);
  expect([gone.code, gone.err]).toEqual([1, expect.stringContaining(`there is no schedule "${schedule}"`)]);
});

test('a run that waits for its operator is named, with what it holds up; its abort pauses the schedule', async () => {
  const schedule = fresh('parked');
  aws.control.failSnapshots();
  await create(schedule, { every: '2s', pauseOnFailure: true });
  const info = await untilSchedule(schedule, 'it blocks', ({ blockedBy, counts }) => !!blockedBy && counts.skipped > 0);
  const { id } = info.blockedBy!;
  expect(info.blockedBy).toMatchObject({ outcome: 'needs-operator', step: expect.stringContaining('snapshot') });
  expect(info.counts.started).toBe(1);
  const shown = await cli('schedule', 'show', schedule);
  expect(shown.code).toBe(3);
  expect(shown.out).toMatch(
    new RegExp(`BLOCKED +${schedule}: the run ${id} is needs-operator at .*; no further run begins`),
  );
  const list = await cli('schedule', 'list');
  expect(list.out).toContain(`npx cutover status ${id}`);
  expect(list.out).toMatch(/^parked-\d+ .* \d+ skipped$/m);
  await expect(triggerSchedule(stage.client, schedule)).rejects.toThrow(`the run ${id} of "${schedule}" has not ended`);

  expect((await cli('abort', id, '--reason', 'wrong hour', '--yes')).code).toBe(0);
  const after = await untilSchedule(schedule, 'it is paused', ({ paused }) => paused);
  expect(after.note).toMatch(/fail/i);
  expect(after.blockedBy).toBeUndefined();
  expect(after.runs[0]).toMatchObject({ id, outcome: 'aborted', ended: true });
  // Nothing went on by itself: the operator says when.
  expect(await snapshots(schedule)).toEqual([]);
  await cli('schedule', 'resume', schedule);
  await untilSchedule(schedule, 'the next one is done', ({ runs }) => runs.some(({ outcome }) => outcome === 'done'));
  await deleteSchedule(stage.client, schedule);
});

test('cancel-other: the run that waits for its operator is undone, and the next begins then', async () => {
  const schedule = fresh('replaced');
  aws.control.failSnapshots();
  await create(schedule, { cron: '0 3 * * *', overlap: 'cancel-other' });
  const first = (await triggerSchedule(stage.client, schedule))!;
  await untilSchedule(schedule, 'the first waits', ({ runs }) => runs[0]?.outcome === 'needs-operator');
  const second = await cli('schedule', 'trigger', schedule);
  // It waits for the undo, or has begun already, as fast as this machine is.
  expect([second.code, second.out]).toEqual([0, expect.stringMatching(/ waits until the running one| started/)]);
  const { runs } = await untilSchedule(schedule, 'the second is done', (info) => info.runs[0]?.outcome === 'done');
  expect(runs).toMatchObject([{ outcome: 'done' }, { id: first.id, outcome: 'aborted' }]);
  expect((await first.status()).abortedBy).toMatchObject({ by: 'temporal workflow cancel' });
  expect(await snapshots(schedule)).toHaveLength(1);
});

test('buffer-one: one waits, and a second is refused instead of dropped without a word', async () => {
  const schedule = fresh('queued');
  aws.control.failSnapshots();
  await create(schedule, { cron: '0 3 * * *', overlap: 'buffer-one' });
  const first = (await triggerSchedule(stage.client, schedule))!;
  await untilSchedule(schedule, 'the first waits', ({ blockedBy }) => blockedBy?.id === first.id);
  expect(await triggerSchedule(stage.client, schedule)).toBeUndefined();
  const { counts } = await scheduleInfo(stage.client, schedule);
  expect(counts).toMatchObject({ started: 1, waiting: 1 });
  await expect(triggerSchedule(stage.client, schedule)).rejects.toThrow(`a run of "${schedule}" waits already`);
  await first.abort();
  await untilSchedule(schedule, 'the one that waited is done', ({ runs }) => runs[0]?.outcome === 'done');
});

test('an outage of the workers: one run waits for them, what was due meanwhile is skipped and counted', async () => {
  const schedule = fresh('worker-out');
  await worker.kill();
  try {
    await create(schedule, { every: '2s' });
    const out = await untilSchedule(schedule, 'three were skipped', ({ counts }) => counts.skipped >= 3);
    expect(out.counts).toMatchObject({ started: 1, missed: 0 });
    expect(out.runs).toMatchObject([{ ended: false, needsOperator: false }]);
    expect(await snapshots(schedule)).toEqual([]);
  } finally {
    worker = await stage.worker(workerEnvironment(aws));
  }
  const { runs } = await scheduleInfo(stage.client, schedule);
  const first = runs.at(-1)!;
  await untilStatus(migration(stage.client, first.id), 'the one that waited is done', isDone);
  await pauseSchedule(stage.client, schedule);
  const ended = await untilSchedule(schedule, 'all have ended', (info) => info.runs.every((run) => run.ended));
  // Each run made its own, and what was skipped made none.
  expect(ended.runs.map(({ outcome }) => outcome)).toEqual(ended.runs.map(() => 'done'));
  expect(await snapshots(schedule)).toHaveLength(ended.counts.started);
  expect(ended.counts.skipped).toBeGreaterThanOrEqual(3);
  await deleteSchedule(stage.client, schedule);
});

test('the restore drill of the examples on its schedule, as it stands: restored, verified, timed, deleted again', async () => {
  await furnishElastiCacheBackups(aws);
  const before = await groups();
  const created = await cli('schedule', 'create', EXAMPLE_DRILL);
  try {
    expect(created.out).toMatch(/^sessions-drill is scheduled: cron 0 4 \* \* 0 \(Asia\/Tokyo\), overlap skip\n/);
    const run = (await triggerSchedule(stage.client, 'sessions-drill'))!;
    const status = await untilStatus(run, 'done', isDone);
    expect(status.id).toBe(run.id);
    expect(status.report['recovery']).toMatchObject({ restoreMs: expect.any(Number), verifyMs: expect.any(Number) });
    expect(await groups()).toEqual(before);
  } finally {
    await deleteSchedule(stage.client, 'sessions-drill');
  }
});

test('deleted while a run is under way: it says so, and the run goes on', async () => {
  const schedule = fresh('deleted');
  // It waits for its operator, so that it is under way however slow this machine is.
  aws.control.failSnapshots();
  await create(schedule, { cron: '0 3 * * *' });
  const handle = (await triggerSchedule(stage.client, schedule))!;
  await untilStatus(handle, 'it waits', ({ phase }) => phase === 'needs-operator');
  const { out } = await cli('schedule', 'delete', schedule, '--yes');
  expect(out).toContain(`its run ${handle.id} goes on`);
  await handle.retry();
  await untilStatus(handle, 'done', isDone);
});
