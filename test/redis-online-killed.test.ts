/**
 * The worker is killed (SIGKILL) at named points, at each step and within the critical section, and the Temporal server
 * once. However it goes, the migration ends done, or back at its gate with the source writable; no acknowledged write is
 * lost.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Stage, isDone, until, untilStatus } from './stage/stage.ts';
import { approveAtGate, expectSwitched, openScene, roleOf, takesWrites } from './stage/replicaof.ts';
import { approvedToTheEnd } from './stage/to-the-end.ts';
import type { Wire } from './stage/tripwire.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let worker: WorkerProcess;

beforeAll(async () => {
  stage = await Stage.open();
  worker = await stage.worker();
});
afterAll(() => stage.close());

async function killAndReplace(): Promise<void> {
  await worker.kill();
  worker = await stage.worker();
}

describe('killed at each step', () => {
  test.for(['preflight', 'attach', 'first-sync', 'follow', 'compare', 'approve-cutover'])('in %s', async (step) => {
    const scene = await openScene(stage, { id: `killed-${step}`, keys: 20_000 });
    await untilStatus(scene.handle, `at ${step}`, (status) => status.step === step || isPast(status.steps, step));
    await killAndReplace();
    await approveAtGate(scene);
    await expectSwitched(scene, await untilStatus(scene.handle, 'done', isDone));
  });

  test('after the switch, in the report', async () => {
    const scene = await openScene(stage, { id: 'killed-report' });
    const tripped = scene.targetWire.arm({
      when: 'before',
      match: (w) => w[0] === 'INFO' && w[1] === 'KEYSPACE' && scene.app.stats().endpoints.length > 1,
      action: () => worker.kill(),
    });
    await approveAtGate(scene);
    await tripped;
    worker = await stage.worker();
    await expectSwitched(scene, await untilStatus(scene.handle, 'done', isDone));
  });
});

function isPast(steps: { id: string; state: string }[], id: string): boolean {
  return steps.find((step) => step.id === id)?.state === 'done';
}

const setsFence = (words: string[]) =>
  words[0] === 'CONFIG' && words[1] === 'SET' && words[2] === 'MIN-REPLICAS-TO-WRITE';
const promotes = (words: string[]) => words[0] === 'REPLICAOF' && words[1] === 'NO';

interface Point {
  name: string;
  on: 'sourceWire' | 'targetWire';
  when: Wire['when'];
  match: (words: string[]) => boolean;
  verdict: 'pass' | 'cut';
}

const POINTS: Point[] = [
  { name: 'before the fence is up', on: 'sourceWire', when: 'before', match: setsFence, verdict: 'cut' },
  { name: 'with the fence up', on: 'sourceWire', when: 'after', match: setsFence, verdict: 'cut' },
  { name: 'before the promotion has arrived', on: 'targetWire', when: 'before', match: promotes, verdict: 'cut' },
  { name: 'with the promotion on its way', on: 'targetWire', when: 'before', match: promotes, verdict: 'pass' },
  {
    name: 'with the promotion done and its answer lost',
    on: 'targetWire',
    when: 'after',
    match: promotes,
    verdict: 'cut',
  },
  { name: 'at the canary', on: 'targetWire', when: 'before', match: (w) => w[0] === 'MULTI', verdict: 'cut' },
];

describe('killed in the critical section', () => {
  test.for(POINTS)('$name', async ({ name, on, when, match, verdict }) => {
    const id = `killed-${name.replaceAll(' ', '-').toLowerCase().slice(0, 30).replace(/-$/, '')}`;
    const scene = await openScene(stage, { id });
    const tripped = scene[on].arm({ when, match, verdict, action: () => worker.kill() });
    await approveAtGate(scene);
    await tripped;
    // While no worker lives nothing decides. There must never be two primaries that take writes from applications:
    const both = (await takesWrites(scene.source)) && (await roleOf(scene.target)) === 'master';
    expect(both).toBe(false);
    worker = await stage.worker();
    await expectSwitched(scene, await approvedToTheEnd(scene.handle));
  });

  test('killed in the hook, which is run again', async () => {
    const scene = await openScene(stage, { id: 'killed-in-hook' });
    await untilStatus(scene.handle, 'gate', (s) => s.phase === 'waiting' && s.gate?.ready === true);
    await scene.handle.approve({ by: 'test' });
    await until('the application was sent over', async () => scene.app.stats().endpoints.length > 1);
    await killAndReplace();
    await expectSwitched(scene, await approvedToTheEnd(scene.handle));
  });

  test('the Temporal server is killed with the fence up', async () => {
    const scene = await openScene(stage, { id: 'killed-server' });
    const tripped = scene.sourceWire.arm({ when: 'after', match: setsFence, action: () => stage.temporal.kill() });
    await approveAtGate(scene);
    await tripped;
    await stage.temporal.restart();
    await expectSwitched(scene, await approvedToTheEnd(scene.handle));
  });
});
