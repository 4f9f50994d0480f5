/**
 * `engine: scan` under 2,000 writes/s of two clients, with the worker killed at random from the first step to the last. Not
 * part of every run: it takes half a minute each.
 *   REDIS_SCAN_KILLED_RUNS=20 REDIS_SCAN_SEED=1 npx vitest run test/redis-online-scan-killed.test.ts
 */
import { array, integer, sample } from 'fast-check';
import { afterAll, beforeAll, test } from 'vitest';
import { expectSwitched, openScene } from './stage/replicaof.ts';
import { Stage } from './stage/stage.ts';
import { killMeanwhile, retriedToTheEnd } from './stage/to-the-end.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

const RUNS = Number(process.env['REDIS_SCAN_KILLED_RUNS'] ?? 0);
const SEED = Number(process.env['REDIS_SCAN_SEED'] ?? Date.now() % 1_000_000);

let stage: Stage;
let worker: WorkerProcess;
beforeAll(async () => {
  if (RUNS === 0) return;
  stage = await Stage.open();
  worker = await stage.worker();
});
afterAll(() => stage?.close());

/** After how long the worker is killed, ms. */
const kills = array(
  integer({ min: 300, max: 6_000 }).map((afterMs) => ({ what: 'worker', afterMs })),
  { minLength: 2, maxLength: 5 },
);

test.skipIf(RUNS === 0)(
  `${RUNS} runs from seed ${SEED}: no acknowledged write is lost`,
  async () => {
    for (const [run, plan] of sample(kills, { numRuns: RUNS, seed: SEED }).entries()) {
      const scene = await openScene(stage, {
        id: `scan-killed-${run}`,
        engine: 'scan',
        keys: 10_000,
        rate: 2_000,
        clients: 2,
      });
      const noMore = killMeanwhile(plan, async () => {
        await worker.kill();
        worker = await stage.worker();
      });
      const status = await retriedToTheEnd(scene.handle);
      await noMore();
      await expectSwitched(scene, status);
      const cutovers = status.cutovers.map(
        ({ outcome, writePauseMs }) => `${outcome} ${Math.round(writePauseMs ?? 0)} ms`,
      );
      const written = scene.app.stats().endpoints.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
      console.log(
        `run ${run}: killed ${plan.length} times, ${written} acknowledged, lost 0; cutovers ${cutovers.join(', ')}`,
      );
      await scene.close();
    }
  },
  Math.max(1, RUNS) * 240_000,
);
