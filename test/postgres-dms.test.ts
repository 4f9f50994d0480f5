/** The whole runbook of `kind: postgres` by DMS, under steady writes, from an empty target to the last deleted resource. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Aws } from '../sandbox/aws/index.ts';
import {
  expectMigrated,
  openDms,
  openPostgresScene,
  postgresWorkerEnvironment,
  throughTheGate,
} from './stage/postgres.ts';
import { Stage } from './stage/stage.ts';

let stage: Stage;
let aws: Aws;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openDms(stage);
  await stage.worker(postgresWorkerEnvironment(aws));
});
afterAll(() => stage.close());

test('under writes: every row, sequence, index, constraint and trigger arrives, nothing acknowledged is lost', async () => {
  const scene = await openPostgresScene(stage, aws, { id: 'redash', rows: 20_000, rate: 120 });
  const status = await throughTheGate(scene);
  await expectMigrated(scene, status, aws);
  expect(status.steps.map(({ id, state }) => `${id} ${state}`)).not.toContain('failed');
  expect(scene.app.stats().endpoints.at(-1)?.keyConflicts).toBe(0);
}, 300_000);
