/** An abort at every step of a `postgres` migration, each followed by the same migration again, and at last to its end. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startMigration, type MigrationStatus } from '../client/index.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import {
  expectMigrated,
  expectNothingLeft,
  expectWritesOn,
  openDms,
  openPostgresScene,
  postgresWorkerEnvironment,
  throughTheGate,
} from './stage/postgres.ts';
import { atGate, Stage, untilStatus } from './stage/stage.ts';

let stage: Stage;
let aws: Aws;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openDms(stage);
  await stage.worker(postgresWorkerEnvironment(aws));
});
afterAll(() => stage.close());

const STEPS = [
  'preflight',
  'schema',
  'dms-instance',
  'dms-task',
  'full-load',
  'finish-schema',
  'follow',
  'approve-cutover',
];

test('do, abort, and again, at every step; at last it is finished', async () => {
  const scene = await openPostgresScene(stage, aws, { id: 'aborted', more: { abort: { dropTargetTables: true } } });
  for (const step of STEPS) {
    await untilStatus(scene.handle, `at ${step}`, (status) => isAt(status, step));
    await scene.handle.abort({ by: 'test', reason: `at ${step}` });
    const status = await untilStatus(scene.handle, 'aborted', ({ phase }) => phase === 'aborted', 120_000);
    expect(status.undo.filter(({ state }) => state !== 'undone')).toEqual([]);
    await expectWritesOn(scene, scene.source);
    await expectNothingLeft(scene, aws);
    const left = await scene.target.query(
      `SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema')`,
      [],
      'redash',
    );
    expect(left, `tables left on the target by an abort at ${step}`).toEqual([]);
    scene.handle = await startMigration(stage.client, { migration: scene.migration as never });
  }
  await expectMigrated(scene, await throughTheGate(scene), aws);
}, 900_000);

test('an abort inside the critical section starts the services again', async () => {
  const scene = await openPostgresScene(stage, aws, { id: 'aborted-inside' });
  await untilStatus(scene.handle, 'at the gate', atGate, 120_000);
  const inside = scene.targetWire.arm({
    when: 'before',
    match: ([sql]) => /COPY .*"queries".* FROM STDIN/s.test(sql!),
    action: async () => {
      await scene.handle.abort({ by: 'test', reason: 'inside' });
    },
  });
  await scene.handle.approve({ by: 'test' });
  await inside.within(60_000, async () => JSON.stringify(await scene.handle.status()));
  const status = await untilStatus(scene.handle, 'aborted', ({ phase }) => phase === 'aborted', 120_000);
  expect(status.fence.state).toBe('lifted');
  await expectWritesOn(scene, scene.source);
  await expectNothingLeft(scene, aws);
}, 300_000);

function isAt(status: MigrationStatus, step: string): boolean {
  return status.step === step || status.steps.find(({ id }) => id === step)?.state === 'done';
}
