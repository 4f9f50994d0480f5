/**
 * `redis-offline` under 2,000 writes a second of two application processes, those and the worker killed at random. Not part
 * of every run: half of the runs are fenced, half are not.
 *   REDIS_OFFLINE_KILLED_RUNS=20 REDIS_OFFLINE_SEED=1 npx vitest run test/redis-offline-killed.test.ts
 */
import { array, constantFrom, integer, record, sample } from 'fast-check';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { WritesSince } from '../activities/redis/offline/loss.ts';
import type { MigrationStatus } from '../client/index.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { offlineVerdict, openInstances, type OfflineVerdict } from './redis-offline-instances.ts';
import { OfflineScene } from './redis-offline-stage.ts';
import { takesWrites } from './stage/expectations.ts';
import { killMeanwhile, retriedToTheEnd, type Kill } from './stage/to-the-end.ts';

const RUNS = Number(process.env['REDIS_OFFLINE_KILLED_RUNS'] ?? 0);
const SEED = Number(process.env['REDIS_OFFLINE_SEED'] ?? Date.now() % 1_000_000);
/** Of each of the two processes. */
const RATE = 1_000;

let scene: OfflineScene;
beforeAll(async () => {
  if (RUNS > 0) scene = await OfflineScene.open();
});
afterAll(() => scene?.close());

/** What is killed, and after how long, ms. */
const kills = array(
  record({ what: constantFrom('one', 'two', 'worker'), afterMs: integer({ min: 100, max: 2_500 }) }),
  { minLength: 4, maxLength: 8 },
);

test.skipIf(RUNS === 0)(
  `${RUNS} runs from seed ${SEED}: fenced nothing is lost or stale, not fenced what is lost is counted`,
  async () => {
    for (const [run, plan] of sample(kills, { numRuns: RUNS, seed: SEED }).entries()) {
      const fence = run % 2 === 0;
      const from = run % 4 < 2 ? 'replication' : 'path';
      const about = `run ${run} of seed ${SEED}, ${fence ? 'fenced' : 'not fenced'}, by ${from}: ${JSON.stringify(plan)}`;
      const { source, done, verdict } = await played(`offline-killed-${run}`, { fence, from, plan });
      const loss = done.report['loss'] as (WritesSince & { keysDiffering: number }) | undefined;
      const reported = loss
        ? `${loss.changes ?? '?'} changes, ${loss.bytes ?? '?'} bytes, ${loss.keysDiffering} keys`
        : 'none';
      console.log(
        `${about}\n  ${verdict.acknowledged} acknowledged, ${verdict.lost} lost; reported: ${reported}; refused for ${done.cutovers[0]?.writePauseMs ?? 0} ms`,
      );
      expect(verdict.doubled, about).toEqual([]);
      if (fence) expect({ ...verdict, about }).toMatchObject({ lost: 0, examples: [], stale: [] });
      else expectCounted(verdict, loss!, tookSince(done, verdict, source.port), about);
      await source.stop();
    }
  },
  Math.max(1, RUNS) * 240_000,
);

async function played(
  id: string,
  how: { fence: boolean; from: string; plan: Kill<string>[] },
): Promise<{ source: RedisServer; done: MigrationStatus; verdict: OfflineVerdict }> {
  await scene.begin();
  scene.aws.control.setTiming({ creating: 2_000 });
  const source = await scene.stage.redis();
  const filling = source.connect().pipeline();
  // Without TTLs: what expires counts as a change, and is none of the application's.
  for (let i = 0; i < 5_000; i++) filling.set(`before:${i}`, `value ${i}`);
  await filling.exec();
  const instances = await openInstances(scene.stage, { id, port: source.port, rate: RATE });
  await Promise.all(['one', 'two'].map((name) => instances.start(name)));
  const { fence, from } = how;
  const more = { fence, rdb: { from: { type: from } }, gate: 'auto', switch: [instances.hook] };
  const { handle, group } = await scene.start(id, source, more);
  const noMore = killMeanwhile(how.plan, async (what) => {
    if (what === 'worker') {
      await scene.worker.kill();
      await scene.newWorker();
    } else {
      await instances.kill(what);
      await instances.start(what);
    }
  });
  const done = await retriedToTheEnd(handle, 180_000);
  await noMore();
  // It still runs, and is where it was sent.
  await delay(500);
  await instances.end();
  expect(await takesWrites(source)).toBe(!fence);
  const { port } = scene.primary(group);
  const redis = source.connect({ port });
  const verdict = await offlineVerdict(instances.seen(), redis);
  redis.disconnect();
  expect(verdict.triedSince(0, port), 'the application writes to the new group').toBeGreaterThan(100);
  return { source, done, verdict };
}

/** Writes that the application sent to the source since the step began that ended in the RDB. */
function tookSince({ steps }: MigrationStatus, verdict: OfflineVerdict, port: number): number {
  const step = steps.find(({ id }) => id === 'save') ?? steps.find(({ id }) => id === 'upload');
  return verdict.triedSince(Date.parse(step!.startedAt!), port);
}

/** A write is one change, and on an average 40 to 200 bytes of the stream, with its key and its value. */
function expectCounted(verdict: OfflineVerdict, loss: WritesSince, took: number, about: string): void {
  expect(verdict.lost, about).toBeGreaterThan(0);
  expect(loss.unknown, about).toBeUndefined();
  expect(loss.changes ?? loss.bytes, about).toBeDefined();
  if (loss.changes !== undefined) {
    expect(loss.changes, about).toBeGreaterThanOrEqual(verdict.lost);
    expect(loss.changes, about).toBeLessThanOrEqual(took);
  }
  if (loss.bytes === undefined) return;
  expect(loss.bytes, about).toBeGreaterThanOrEqual(verdict.lost * 40);
  expect(loss.bytes, about).toBeLessThanOrEqual(took * 200 + 10_000);
}
