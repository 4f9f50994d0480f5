/** A `postgres` migration while the world around it fails: servers restarted, the task failed, the API throttled. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Aws } from '../sandbox/aws/index.ts';
import {
  expectBackOnTheSource,
  expectMigrated,
  expectWritesOn,
  openDms,
  openPostgresScene,
  postgresWorkerEnvironment,
  throughTheGate,
} from './stage/postgres.ts';
import { atGate, isDone, Stage, untilStatus } from './stage/stage.ts';

let stage: Stage;
let aws: Aws;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openDms(stage);
  await stage.worker(postgresWorkerEnvironment(aws));
});
afterAll(() => stage.close());

test('throttled throughout, the task failed in the middle of its load, both servers restarted', async () => {
  aws.control.throttle({ action: '*', rate: 0.1 });
  const forget = aws.control.onCall('StartReplicationTask', 'before', () => {
    aws.control.dms.script('cutover-battered', {
      failAfterRows: { rows: 5_000, reason: 'RECOVERABLE_ERROR', message: 'the replication instance ran out of luck' },
    });
    forget();
  });
  const scene = await openPostgresScene(stage, aws, { id: 'battered', rows: 20_000 });
  const parked = await untilStatus(scene.handle, 'parked', ({ phase }) => phase === 'needs-operator', 120_000);
  expect(parked.operator?.reason).toContain('RECOVERABLE_ERROR');
  // The script holds for every start of the task.
  aws.control.dms.script('cutover-battered', {});
  await scene.handle.retry({ by: 'test' });
  await untilStatus(scene.handle, 'following', ({ step }) => step === 'follow', 120_000);
  await scene.source.restart();
  await scene.target.restart();
  await expectMigrated(scene, await throughTheGate(scene), aws);
  aws.control.reset();
}, 600_000);

test('a check that fails sends everything back, as long as the target has taken no write', async () => {
  const scene = await openPostgresScene(stage, aws, {
    id: 'checked',
    checks: [{ type: 'sql', query: 'SELECT 1', expect: 2, timeout: '2s' }],
    // The application must not get there before the checks have failed.
    more: { switch: [] },
  });
  await untilStatus(scene.handle, 'at the gate', atGate, 120_000);
  await scene.handle.approve({ by: 'test' });
  const status = await untilStatus(
    scene.handle,
    'undone',
    ({ cutovers }) => cutovers.at(-1)?.outcome === 'undone',
    180_000,
  );
  expect(status.cutovers.at(-1)?.reason).toContain('SELECT 1');
  await expectWritesOn(scene, scene.source);
  await untilStatus(scene.handle, 'at the gate again', atGate, 120_000);
  await expectBackOnTheSource(scene);
  await scene.handle.abort({ by: 'test' });
}, 400_000);

test('a check that fails after the target has taken writes asks, and loses nothing', async () => {
  const scene = await openPostgresScene(stage, aws, {
    id: 'written',
    checks: [
      {
        type: 'sql',
        query: "SELECT count(*) > 0 FROM public.organizations WHERE name = 'not there'",
        expect: true,
        timeout: '3s',
      },
    ],
  });
  await untilStatus(scene.handle, 'at the gate', atGate, 120_000);
  await scene.handle.approve({ by: 'test' });
  const status = await untilStatus(scene.handle, 'asks', ({ phase }) => phase === 'needs-operator', 180_000);
  expect(status).toMatchObject({ step: 'checks', fence: { state: 'kept' } });
  await expectWritesOn(scene, scene.target);
  await scene.handle.skip({ by: 'test', reason: 'the check was wrong' });
  await expectMigrated(scene, await untilStatus(scene.handle, 'done', isDone, 120_000), aws);
}, 400_000);

test('rows that differ after the drain are noticed inside the fence', async () => {
  const scene = await openPostgresScene(stage, aws, { id: 'differs', replication: { validation: false } });
  await untilStatus(scene.handle, 'at the gate', atGate, 120_000);
  await scene.target.query(
    "UPDATE public.data_sources SET name = 'changed behind its back' WHERE id = 1",
    [],
    'redash',
  );
  await scene.handle.approve({ by: 'test' });
  const status = await untilStatus(
    scene.handle,
    'undone',
    ({ cutovers }) => cutovers.at(-1)?.outcome === 'undone',
    180_000,
  );
  expect(status.cutovers.at(-1)?.reason).toContain('data_sources');
  await expectWritesOn(scene, scene.source);
  await untilStatus(scene.handle, 'at the gate again', atGate, 120_000);
  await scene.handle.reloadTable('public.data_sources', { by: 'test' });
  await expectMigrated(scene, await throughTheGate(scene), aws);
}, 400_000);
