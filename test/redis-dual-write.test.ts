/** `kind: redis-dual-write` from its beginning to its end: real servers, instances of an application that use the library. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MigrationHandle } from '../client/index.ts';
import { dualKeys } from '../spec/dual-write.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { openDualScene, startStubborn, withRedis, type DualScene } from './stage/dual-write.ts';
import { verdictOf } from './stage/dual-write-verdict.ts';
import { atGate, isDone, Stage, until, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let worker: WorkerProcess;
beforeAll(async () => {
  stage = await Stage.open();
  worker = await stage.worker();
});
afterAll(() => stage.close());

const at = (gate: string) => (status: MigrationStatus) => atGate(status) && status.gate?.id === gate;
const isAborted = (status: MigrationStatus) => status.phase === 'aborted';
const NOTHING_WRONG = { lost: [], stale: [], doubled: [] };

/** Approves the first gate, as often as it comes back, until the second one is reached. */
async function overToTarget(handle: MigrationHandle): Promise<MigrationStatus> {
  for (;;) {
    const status = await untilStatus(handle, 'a gate', (s) => at('approve-reads')(s) || at('approve-source-off')(s));
    if (at('approve-source-off')(status)) return status;
    // What was ready a moment ago may not be by now.
    await handle.approve({ by: 'test' }).catch(() => undefined);
  }
}

const phaseOf = async (scene: DualScene) => (await scene.control())['phase'];

test('the example: the whole way, with an instance and the worker killed, the worker once more while writes are held', async () => {
  const scene = await openDualScene(stage, { id: 'dual-whole', example: true, more: { soak: '1s' } });
  const [one, two] = await Promise.all([scene.instance('one'), scene.instance('two')]);
  const handle = await scene.start();
  await untilStatus(handle, 'it compares', (s) => s.steps.find(({ id }) => id === 'compare')?.state !== 'pending');
  await Promise.all([worker.kill(), one.end('SIGKILL')]);
  worker = await stage.worker();
  const again = await scene.instance('one');
  await untilStatus(handle, 'the first gate', at('approve-reads'));
  const held = until('writes are held', async () => (await phaseOf(scene)) === 'hold');
  await handle.approve({ by: 'test' });
  await held;
  await worker.kill();
  worker = await stage.worker();
  const open = await overToTarget(handle);
  expect(open.cutovers.at(-1)).toMatchObject({ outcome: 'switched' });
  expect(await phaseOf(scene)).toBe('target-first');
  await handle.approve({ by: 'test' });
  const done = await untilStatus(handle, 'done', isDone);
  expect(await phaseOf(scene)).toBe('target');
  expect(done.leftovers.join(' ')).toContain(`${scene.source.port} keeps its data`);
  await Promise.all([again.end(), two.end()]);
  const verdict = await withRedis(scene.target, (redis) => verdictOf(scene, redis));
  expect(verdict).toMatchObject(NOTHING_WRONG);
  expect(verdict.acknowledged).toBeGreaterThan(200);
  await scene.close();
}, 240_000);

test('aborted at the first gate, begun again, stepped back at the second, begun again and finished', async () => {
  const scene = await openDualScene(stage, { id: 'dual-back', more: { abort: { removePartialData: true } } });
  const instances = await Promise.all([scene.instance('one'), scene.instance('two')]);
  await withRedis(scene.target, (redis) => redis.set('of somebody else', '1'));
  const first = await scene.start();
  const refused = await untilStatus(first, 'refused', (s) => s.phase === 'needs-operator');
  expect(refused.operator).toMatchObject({ step: 'preflight', reason: expect.stringContaining('T.empty') });
  expect(await withRedis(scene.source, (redis) => redis.exists(dualKeys(scene.id).phase))).toBe(0);
  await withRedis(scene.target, (redis) => redis.flushall());
  await first.retry({ by: 'test' });
  await untilStatus(first, 'the first gate', at('approve-reads'));
  await first.abort({ by: 'test' });
  await untilStatus(first, 'aborted', isAborted);
  expect(await phaseOf(scene)).toBe('source');
  expect(await withRedis(scene.target, (redis) => redis.info('keyspace'))).not.toMatch(/^db/m);

  const second = await scene.start();
  await overToTarget(second);
  await second.abort({ by: 'test' });
  const back = await untilStatus(second, 'aborted', isAborted);
  expect(back.undo.map(({ id, state }) => [id, state])).toEqual([
    ['data', 'undone'],
    ['phase', 'undone'],
    ['reads', 'undone'],
  ]);
  expect(await phaseOf(scene)).toBe('source');

  const third = await scene.start();
  await overToTarget(third);
  await third.approve({ by: 'test' });
  await untilStatus(third, 'done', isDone);
  await Promise.all(instances.map((one) => one.end()));
  // What was stepped back to the source has come over again from there.
  expect(await withRedis(scene.target, (redis) => verdictOf(scene, redis))).toMatchObject(NOTHING_WRONG);
  await scene.close();
}, 240_000);

test('a silent instance blocks the gate; one that does not hold its writes undoes the cutover; then it succeeds', async () => {
  const scene = await openDualScene(stage, {
    id: 'dual-silent',
    servers: { target: { flavour: 'valkey' } },
    more: { cutover: { budgets: { hold: '2s', drain: '10s' } } },
  });
  const [one, two] = await Promise.all([scene.instance('one'), scene.instance('two')]);
  const handle = await scene.start();
  await untilStatus(handle, 'the first gate', at('approve-reads'));
  // The target stands still for longer than a write may take: what it misses is left to the repair.
  scene.target.signal('SIGSTOP');
  await until('second writes are left to the repair', async () => (await scene.recorded()) > 0);
  scene.target.signal('SIGCONT');
  await untilStatus(handle, 'the gate is ready after it', at('approve-reads'));

  two.process.kill('SIGSTOP');
  const blocked = await untilStatus(handle, 'the gate is blocked', (s) => s.gate?.ready === false && !!s.gate.notReady);
  expect(blocked.gate?.notReady).toMatch(new RegExp(`two \\(.*pid ${two.process.pid}\\) is silent`));
  await expect(handle.approve({ by: 'test' })).rejects.toThrow(/is silent/);
  two.process.kill('SIGCONT');
  await untilStatus(handle, 'the gate is ready again', at('approve-reads'));

  const stubborn = startStubborn(scene);
  await stubborn.follows;
  await untilStatus(handle, 'ready with three', at('approve-reads'));
  await handle.approve({ by: 'test' });
  const undone = await untilStatus(handle, 'undone', (s) => s.cutovers[0]?.outcome === 'undone');
  expect(undone.cutovers[0]?.reason).toMatch(/stubborn .* is still at both/);
  await until('writes go on', async () => (await phaseOf(scene)) === 'both');
  await stubborn.end();
  await overToTarget(handle);
  await handle.approve({ by: 'test' });
  const done = await untilStatus(handle, 'done', isDone);
  expect(done.cutovers.map(({ outcome }) => outcome)).toContain('switched');
  await Promise.all([one.end(), two.end()]);
  expect(await withRedis(scene.target, (redis) => verdictOf(scene, redis))).toMatchObject(NOTHING_WRONG);
  await scene.close();
}, 240_000);
