/** `kind: redis-dual-write` where a server restarts, fails over or comes back with less than it had: what was equal is not any more. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MigrationStatus } from '../spec/status.ts';
import { dualKeys } from '../spec/dual-write.ts';
import { openDualScene, withRedis, type DualScene } from './stage/dual-write.ts';
import { verdictOf } from './stage/dual-write-verdict.ts';
import { contents } from './stage/redis-copy.ts';
import { atGate, isDone, Stage, untilStatus } from './stage/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
  await stage.worker();
});
afterAll(() => stage.close());

const at = (gate: string) => (status: MigrationStatus) => atGate(status) && status.gate?.id === gate;
const isParked = (status: MigrationStatus) => status.phase === 'needs-operator';
const isAborted = (status: MigrationStatus) => status.phase === 'aborted';
const NOTHING_WRONG = { lost: [], stale: [], doubled: [] };

/** What was there before, and no instance writes: of that no journal tells. */
async function untouched(
  scene: DualScene,
  before: Map<string, string>,
): Promise<{ source: string[]; target: string[] }> {
  const [source, target] = await Promise.all([contents(scene.source), contents(scene.target)]);
  const lacking = (side: Map<string, string>) => [...before].filter(([key, value]) => side.get(key) !== value);
  const names = (side: Map<string, string>) => lacking(side).map(([key]) => key);
  return { source: names(source), target: names(target) };
}

/** Two instances that write, and what was there before them that stays for the whole of a test. */
async function openScene(id: string, more: Record<string, unknown> = {}) {
  const scene = await openDualScene(stage, {
    id,
    more,
    servers: { source: { config: { appendonly: 'yes' } } },
    prepare: ({ source }) =>
      withRedis(source, async (redis) => {
        for (let i = 0; i < 500; i++) await redis.set(`of-before:${i}`, `value ${i}`);
      }),
  });
  const before = await contents(scene.source);
  const instances = await Promise.all([scene.instance('one'), scene.instance('two')]);
  return { scene, before, instances, handle: await scene.start() };
}

test('a target that restarts empty while the gate waits: everything is copied and compared again before it opens', async () => {
  const { scene, before, instances, handle } = await openScene('dual-emptied', { compare: { maxKeysPerSecond: 400 } });
  await untilStatus(handle, 'the first gate', at('approve-reads'));
  await scene.target.kill();
  await scene.target.restart();
  const closed = await untilStatus(
    handle,
    'the gate is closed for it',
    (s) => s.gate?.notReady?.includes('the target is not the process any more that was compared') ?? false,
  );
  expect(closed.gate?.ready).toBe(false);
  await expect(handle.approve({ by: 'test' })).rejects.toThrow(/copied and compared again/);
  for (;;) {
    const status = await untilStatus(handle, 'a gate', (s) => at('approve-reads')(s) || at('approve-source-off')(s));
    if (at('approve-source-off')(status)) break;
    expect(await untouched(scene, before)).toEqual({ source: [], target: [] });
    await handle.approve({ by: 'test' }).catch(() => undefined);
  }
  await handle.approve({ by: 'test' });
  await untilStatus(handle, 'done', isDone);
  await Promise.all(instances.map((one) => one.end()));
  expect((await untouched(scene, before)).target).toEqual([]);
  expect(await withRedis(scene.target, (redis) => verdictOf(scene, redis))).toMatchObject(NOTHING_WRONG);
  await scene.close();
}, 120_000);

test('stepping back to a source that came back with less than it had: it is compared first', async () => {
  const { scene, before, instances, handle } = await openScene('dual-source-lost', { cutover: { gate: 'auto' } });
  await untilStatus(handle, 'the second gate', at('approve-source-off'));
  await scene.source.kill();
  await scene.source.restart();
  // As a replica that was behind: the phase had reached it, and this had not.
  await withRedis(scene.source, (redis) => redis.del('of-before:7', 'of-before:8'));
  await handle.abort({ by: 'test' });
  const back = await untilStatus(handle, 'aborted', isAborted);
  expect(back.warnings.join('\n')).toContain(
    'before stepping back, the source is compared with the target: the source is',
  );
  expect((await untouched(scene, before)).source).toEqual([]);
  expect((await scene.control())['phase']).toBe('source');
  await Promise.all(instances.map((one) => one.end()));
  expect(await withRedis(scene.source, (redis) => verdictOf(scene, redis))).toMatchObject(NOTHING_WRONG);
  await scene.close();
}, 120_000);

test('a source that has lost the change of phase: an abort removes nothing that the target alone knows', async () => {
  const { scene, instances, handle } = await openScene('dual-lost-change', { cutover: { gate: 'auto' } });
  await untilStatus(handle, 'the second gate', at('approve-source-off'));
  const { phase, touched } = dualKeys(scene.id);
  const control = await scene.control();
  await withRedis(scene.target, (redis) => redis.zadd(touched, Date.now() + 600_000, 'written-there-alone'));
  await withRedis(scene.source, (redis) =>
    redis.hset(phase, { phase: 'both', reads: 'source', epoch: Number(control['epoch']) - 3 }),
  );
  await handle.abort({ by: 'test' });
  const parked = await untilStatus(handle, 'parked', (s) => isParked(s) && s.abortedBy !== undefined);
  expect(parked.operator?.reason).toMatch(
    /the source has lost the change of phase \(it says both, epoch \d+; epoch \d+ was set\)/,
  );
  expect(parked.operator?.remedy).toContain(touched);
  expect(await withRedis(scene.target, (redis) => redis.zscore(touched, 'written-there-alone'))).not.toBeNull();
  expect(await withRedis(scene.target, (redis) => redis.exists(phase))).toBe(1);

  // It was there after all, on the old primary.
  await withRedis(scene.source, (redis) => redis.hset(phase, control));
  await handle.retry({ by: 'test' });
  await untilStatus(handle, 'aborted', isAborted);
  await Promise.all(instances.map((one) => one.end()));
  expect(await withRedis(scene.source, (redis) => verdictOf(scene, redis))).toMatchObject(NOTHING_WRONG);
  await scene.close();
}, 120_000);
