/**
 * Dual write with the application and the worker killed at random. Not part of every run: it takes a minute each.
 *   DUAL_WRITE_KILLED_RUNS=20 DUAL_WRITE_SEED=1 npx vitest run test/redis-dual-write-killed.test.ts
 */
import { array, constantFrom, integer, record, sample } from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDualScene, withRedis, type Instance } from './stage/dual-write.ts';
import { verdictOf } from './stage/dual-write-verdict.ts';
import { Stage } from './stage/stage.ts';
import { killMeanwhile, retriedToTheEnd } from './stage/to-the-end.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

const RUNS = Number(process.env['DUAL_WRITE_KILLED_RUNS'] ?? 0);
const SEED = Number(process.env['DUAL_WRITE_SEED'] ?? Date.now() % 1_000_000);

let stage: Stage;
let worker: WorkerProcess;
beforeAll(async () => {
  if (RUNS === 0) return;
  stage = await Stage.open();
  worker = await stage.worker();
});
afterAll(() => stage?.close());

/** What is killed, and after how long, ms. */
const kills = array(
  record({ what: constantFrom('one', 'two', 'worker'), afterMs: integer({ min: 200, max: 4_000 }) }),
  { minLength: 4, maxLength: 8 },
);

test.skipIf(RUNS === 0)(
  `${RUNS} runs from seed ${SEED}: nothing lost, nothing stale, nothing done twice`,
  async () => {
    for (const [run, plan] of sample(kills, { numRuns: RUNS, seed: SEED }).entries()) {
      const scene = await openDualScene(stage, { id: `dual-killed-${run}`, rate: 1_000 });
      const instances: Record<string, Instance> = {};
      for (const name of ['one', 'two']) instances[name] = await scene.instance(name);
      const handle = await scene.start();
      const noMore = killMeanwhile(plan, async (what) => {
        if (what === 'worker') {
          await worker.kill();
          worker = await stage.worker();
        } else {
          await instances[what]!.end('SIGKILL');
          instances[what] = await scene.instance(what);
        }
      });
      const { cutovers } = await retriedToTheEnd(handle);
      await noMore();
      await Promise.all(Object.values(instances).map((one) => one.end()));
      const verdict = await withRedis(scene.target, (redis) => verdictOf(scene, redis));
      console.log(
        `run ${run}: ${verdict.acknowledged} acknowledged; cutovers ${cutovers.map(({ outcome, writePauseMs }) => `${outcome} ${Math.round(writePauseMs ?? 0)} ms`).join(', ')}`,
      );
      expect(verdict, `run ${run} of seed ${SEED}: ${JSON.stringify(plan)}`).toMatchObject({
        lost: [],
        stale: [],
        doubled: [],
      });
      await scene.close();
    }
  },
  Math.max(1, RUNS) * 240_000,
);
