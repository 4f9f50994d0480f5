/** Twenty cutovers under thousands of writes a second: no acknowledged write lost in any, and how long writes stood still. */
import { afterAll, beforeAll, test } from 'vitest';
import { expectSwitched, openScene } from './stage/replicaof.ts';
import { isDone, Stage, untilStatus } from './stage/stage.ts';

const CUTOVERS = 20;
const RATE = 3_000;

let stage: Stage;

beforeAll(async () => {
  stage = await Stage.open();
  await stage.worker();
});
afterAll(() => stage.close());

test(`${CUTOVERS} cutovers under ${RATE} writes/s lose nothing`, async () => {
  const pauses: number[] = [];
  const rates: number[] = [];
  for (let i = 1; i <= CUTOVERS; i++) {
    const scene = await openScene(stage, {
      id: `repeated-${i}`,
      rate: RATE,
      clients: 8,
      keys: 1_000,
      more: { crashDetection: '10s' },
    });
    await untilStatus(scene.handle, 'the gate is ready', (s) => s.gate?.ready === true);
    rates.push(scene.app.stats().acksPerSecond);
    await scene.handle.approve({ by: 'test' });
    const status = await untilStatus(scene.handle, 'done', isDone);
    const stats = scene.app.stats();
    await expectSwitched(scene, status);
    pauses.push(stats.writePauseMs!);
    await scene.close();
  }
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
  // How fast is the bench's to judge (bench/cutover.ts): here it is only told.
  console.log(
    `${median(rates)} writes/s; write pause as the application saw it: p50 ${median(pauses)} ms, max ${Math.max(...pauses)} ms`,
  );
}, 900_000);
