/** Redis → ElastiCache, from the file to the proof, and every way in which CompleteMigration can go wrong. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startMigration } from '../client/index.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { openAws, openGroupScene, workerEnvironment, type GroupScene } from './stage/elasticache.ts';
import { expectBackOnSource, expectSwitched, roleOf, takesWrites } from './stage/expectations.ts';
import { atGate, isDone, Stage, until, untilStatus } from './stage/stage.ts';
import { approvedToTheEnd } from './stage/to-the-end.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let aws: Aws;
let worker: WorkerProcess;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openAws(stage);
  worker = await stage.worker(workerEnvironment(aws));
});
afterEach(() => aws.control.reset());
afterAll(() => stage.close());

async function killAndReplace(): Promise<void> {
  await worker.kill();
  worker = await stage.worker(workerEnvironment(aws));
}

async function approve(scene: GroupScene): Promise<void> {
  await untilStatus(scene.handle, 'the gate is ready', atGate);
  await scene.handle.approve({ by: 'test' });
}

const called = (group: string) =>
  aws.control.calls({ action: 'CompleteMigration' }).some((call) => JSON.stringify(call).includes(group));
/**
 * More calls than any migration makes. A worker that is killed, or too slow to beat, makes a call once more: a fault that
 * is scripted for one call alone is then over too soon. `aws.control.reset()` ends it.
 */
const EVERY_CALL = 100;
const inDoubt = (status: { phase: string }) => status.phase === 'in-doubt';
const undoneAt = (number: number) => (status: { cutovers: { outcome: string }[] }) =>
  status.cutovers[number - 1]?.outcome === 'undone';

describe('the whole way', () => {
  test('migrates under writes, loses nothing, reports', async () => {
    const scene = await openGroupScene(stage, aws, { id: 'whole-way', keys: 20_000, rate: 1_000 });
    await approve(scene);
    const status = await untilStatus(scene.handle, 'done', isDone);
    expect(status.steps.map((step) => [step.id, step.state])).toEqual(
      [
        'preflight',
        'test-migration',
        'attach',
        'first-sync',
        'follow',
        'compare',
        'approve-cutover',
        'cutover',
        'canary',
        'switch',
        'report',
      ].map((id) => [id, 'done']),
    );
    expect(status.report['compare']).toMatchObject({ equal: true });
    expect(status.cutovers[0]).toMatchObject({ outcome: 'switched' });
    expect(status.cutovers[0]!.writePauseMs).toBeGreaterThan(0);
    expect(status.fence.state).toBe('kept');
    // Without Force, once, and nothing was left behind on the group.
    const completes = aws.control.calls({ action: 'CompleteMigration' });
    expect(completes).toHaveLength(1);
    await expectSwitched(scene, status);
  });
});

describe('CompleteMigration', () => {
  test('is refused: the fence is lifted, the source takes writes, and it can be tried again', async () => {
    const scene = await openGroupScene(stage, aws, { id: 'refused' });
    aws.control.failNext({ action: 'CompleteMigration', code: 'InvalidReplicationGroupState' });
    await approve(scene);
    const back = await untilStatus(scene.handle, 'back at the gate', (s) => undoneAt(1)(s) && atGate(s));
    expect(back.cutovers[0]!.reason).toMatch(/InvalidReplicationGroupState/);
    expect(await takesWrites(scene.source)).toBe(true);
    await scene.handle.approve({ by: 'test' });
    await expectSwitched(scene, await untilStatus(scene.handle, 'done', isDone));
  });

  test('fails by an event: known not to be promoted, so the fence is lifted', async () => {
    const scene = await openGroupScene(stage, aws, { id: 'failed-event' });
    aws.control.completeAs({ mode: 'fail', times: EVERY_CALL });
    await approve(scene);
    const back = await untilStatus(scene.handle, 'back at the gate', (s) => undoneAt(1)(s) && atGate(s));
    expect(back.cutovers[0]!.reason).toMatch(/failed/);
    expect(await roleOf(scene.target)).toBe('slave');
    aws.control.reset();
    await expectSwitched(scene, await approvedToTheEnd(scene.handle));
  });

  test('promotes while the status never changes: ROLE is what tells', async () => {
    const scene = await openGroupScene(stage, aws, { id: 'stuck-status' });
    aws.control.completeAs({ mode: 'stuck' });
    await approve(scene);
    await expectSwitched(scene, await untilStatus(scene.handle, 'done', isDone));
  });

  test('is carried out and its answer lost', async () => {
    const scene = await openGroupScene(stage, aws, { id: 'answer-lost' });
    aws.control.drop({ action: 'CompleteMigration' });
    await approve(scene);
    await expectSwitched(scene, await untilStatus(scene.handle, 'done', isDone));
  });

  test('hangs and was never carried out: it is called again', async () => {
    const more = { cutover: { budgets: { fence: '1s', drain: '5s', complete: '90s', canary: '5s' } } };
    const scene = await openGroupScene(stage, aws, { id: 'hanging', more });
    aws.control.hang({ action: 'CompleteMigration' });
    await approve(scene);
    await until('it was called', async () => called('hanging'));
    expect(await takesWrites(scene.source)).toBe(false);
    await expectSwitched(scene, await untilStatus(scene.handle, 'done', isDone, 150_000));
  });

  test('is accepted and nothing ever happens: in doubt, the fence stays, and it ends by itself', async () => {
    const more = { cutover: { budgets: { fence: '1s', drain: '5s', complete: '3s', canary: '5s' } } };
    const scene = await openGroupScene(stage, aws, { id: 'in-doubt', more });
    aws.control.completeAs({ mode: 'ignored', times: EVERY_CALL });
    await approve(scene);
    const doubt = await untilStatus(scene.handle, 'in doubt', inDoubt);
    expect(doubt.fence.state).toBe('in-doubt');
    expect(doubt.operator?.choices).toEqual(['retry', 'abort']);
    expect(await takesWrites(scene.source)).toBe(false);
    // The operator's retry makes the call again.
    aws.control.reset();
    await scene.handle.retry({ by: 'test' });
    await expectSwitched(scene, await untilStatus(scene.handle, 'done', isDone));
  });

  test('in doubt, an event tells late that it failed: the fence is lifted by itself', async () => {
    const more = { cutover: { budgets: { fence: '1s', drain: '5s', complete: '3s', canary: '5s' } } };
    const scene = await openGroupScene(stage, aws, { id: 'late-event', more });
    aws.control.completeAs({ mode: 'ignored', times: EVERY_CALL });
    await approve(scene);
    await untilStatus(scene.handle, 'in doubt', inDoubt);
    aws.control.reset();
    aws.control.emitEvent({
      sourceId: 'late-event',
      message: 'Migration operation failed for replication group late-event.',
    });
    await untilStatus(scene.handle, 'back at the gate', (s) => undoneAt(1)(s) && atGate(s));
    await scene.handle.abort({ by: 'test', reason: 'enough' });
    const ended = await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
    expect(ended.leftovers.join()).toMatch(/data on late-event/);
    await expectBackOnSource(scene);
  });

  test('in doubt, the operator aborts: the target gives up before the source takes writes', async () => {
    const more = { cutover: { budgets: { fence: '1s', drain: '5s', complete: '3s', canary: '5s' } } };
    const scene = await openGroupScene(stage, aws, { id: 'doubt-abort', more });
    aws.control.completeAs({ mode: 'ignored', times: EVERY_CALL });
    await approve(scene);
    await untilStatus(scene.handle, 'in doubt', inDoubt);
    aws.control.reset();
    await scene.handle.abort({ by: 'test', reason: 'no' });
    await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
    expect(aws.control.calls({ action: 'CompleteMigration' }).length).toBeGreaterThan(1);
    await expectBackOnSource(scene);
  });
});

describe('the worker is killed', () => {
  test.for(['before', 'after'] as const)('%s CompleteMigration is carried out', async (phase) => {
    const scene = await openGroupScene(stage, aws, { id: `killed-${phase}` });
    let hit = false;
    const off = aws.control.onCall('CompleteMigration', phase, async () => {
      if (hit) return;
      hit = true;
      await worker.kill();
    });
    await approve(scene);
    await until('the worker was killed in the call', async () => hit);
    const both = (await takesWrites(scene.source)) && (await roleOf(scene.target)) === 'master';
    expect(both).toBe(false);
    off();
    worker = await stage.worker(workerEnvironment(aws));
    await expectSwitched(scene, await approvedToTheEnd(scene.handle));
  });

  test.for(['fail', 'ignored'] as const)('while CompleteMigration goes wrong (%s)', async (mode) => {
    const more = { cutover: { budgets: { fence: '1s', drain: '5s', complete: '15s', canary: '5s' } } };
    const scene = await openGroupScene(stage, aws, { id: `killed-${mode}`, more });
    aws.control.completeAs({ mode, times: EVERY_CALL });
    await approve(scene);
    await until('it was called', async () => called(`killed-${mode}`));
    await killAndReplace();
    if (mode === 'fail') {
      await untilStatus(scene.handle, 'back at the gate', (s) => undoneAt(1)(s) && atGate(s));
      aws.control.reset();
    } else {
      await untilStatus(scene.handle, 'in doubt', inDoubt);
      expect(await takesWrites(scene.source)).toBe(false);
      aws.control.reset();
      await scene.handle.retry({ by: 'test' });
    }
    await expectSwitched(scene, await approvedToTheEnd(scene.handle));
  });

  test('in StartMigration: what was begun is adopted', async () => {
    let hit = false;
    const off = aws.control.onCall('StartMigration', 'after', async () => {
      if (hit) return;
      hit = true;
      await worker.kill();
    });
    const scene = await openGroupScene(stage, aws, { id: 'killed-start' });
    await until('the worker was killed in the call', async () => hit);
    off();
    worker = await stage.worker(workerEnvironment(aws));
    await approve(scene);
    await expectSwitched(scene, await untilStatus(scene.handle, 'done', isDone));
  });
});

describe('the target refuses', () => {
  test('it can’t attach: the event is the reason, nothing is changed, and abort leaves all as it was', async () => {
    aws.control.refuseAttach({ times: EVERY_CALL });
    const scene = await openGroupScene(stage, aws, { id: 'no-attach' });
    const parked = await untilStatus(scene.handle, 'parked', (s) => s.phase === 'needs-operator');
    expect(parked.operator).toMatchObject({ step: 'attach' });
    expect(parked.operator?.reason).toMatch(/Migration operation failed/);
    aws.control.reset();
    await scene.handle.retry({ by: 'test' });
    await approve(scene);
    await expectSwitched(scene, await untilStatus(scene.handle, 'done', isDone));
  });

  test('wrong credentials end in a clear error, with nothing changed', async () => {
    const scene = await openGroupScene(stage, aws, { id: 'no-rights' });
    aws.control.rejectKey({ code: 'AccessDenied' });
    const parked = await untilStatus(scene.handle, 'parked', (s) => s.phase === 'needs-operator');
    expect(parked.operator?.reason).toMatch(/AccessDenied/);
    aws.control.reset();
    await scene.handle.abort({ by: 'test' });
    await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
    await expectBackOnSource(scene);
  });

  test('throttled throughout: slower, and done', async () => {
    aws.control.throttle({ rate: 0.3 });
    const scene = await openGroupScene(stage, aws, { id: 'throttled' });
    await untilStatus(scene.handle, 'the gate is ready', atGate, 200_000);
    await scene.handle.approve({ by: 'test' });
    await expectSwitched(scene, await approvedToTheEnd(scene.handle, 200_000));
  }, 420_000);
});

test('abort at the gate, then the same migration again, to its end', async () => {
  const scene = await openGroupScene(stage, aws, { id: 'again', more: { abort: { removePartialData: true } } });
  await untilStatus(scene.handle, 'the gate is ready', atGate);
  await scene.handle.abort({ by: 'test', reason: 'not tonight' });
  const ended = await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
  expect(ended.leftovers).toEqual([]);
  expect(await roleOf(scene.target)).toBe('master');
  expect(await takesWrites(scene.source)).toBe(true);
  scene.handle = await startMigration(stage.client, { migration: scene.migration as never });
  await approve(scene);
  await expectSwitched(scene, await untilStatus(scene.handle, 'done', isDone));
});
