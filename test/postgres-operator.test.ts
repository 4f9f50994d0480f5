/** What an operator can do with a `postgres` migration under way: pause the copy, load a table again, leave one out. */
import {
  DatabaseMigrationServiceClient,
  DescribeReplicationTasksCommand,
} from '@aws-sdk/client-database-migration-service';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { verifyRedash, failuresOf } from '../sandbox/app/redash/verify.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { endpointOf, openDms, openPostgresScene, postgresWorkerEnvironment, throughTheGate } from './stage/postgres.ts';
import { atGate, Stage, until, untilStatus } from './stage/stage.ts';

let stage: Stage;
let aws: Aws;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openDms(stage);
  await stage.worker(postgresWorkerEnvironment(aws));
});
afterAll(() => stage.close());

async function taskStatus(id: string): Promise<string | undefined> {
  const client = new DatabaseMigrationServiceClient({
    endpoint: aws.url,
    region: aws.region,
    credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
  });
  try {
    const Filters = [{ Name: 'replication-task-id', Values: [`cutover-${id}`] }];
    const { ReplicationTasks } = await client.send(
      new DescribeReplicationTasksCommand({ Filters, WithoutSettings: true }),
    );
    return ReplicationTasks?.[0]?.Status;
  } finally {
    client.destroy();
  }
}

test('paused and resumed, one table loaded again, one left out', async () => {
  const scene = await openPostgresScene(stage, aws, { id: 'operated' });
  await untilStatus(scene.handle, 'at the gate', atGate, 180_000);

  await scene.handle.pause({ by: 'test' });
  await until('the task is stopped', async () => (await taskStatus('operated')) === 'stopped');
  const acknowledged = scene.app.stats().acknowledged;
  await until('the application goes on', async () => scene.app.stats().acknowledged > acknowledged + 50);
  await expect(scene.handle.reloadTable('public.users', { by: 'test' })).rejects.toThrow(/paused/);
  await scene.handle.resume({ by: 'test' });
  await until('the task runs again', async () => (await taskStatus('operated')) === 'running');
  await untilStatus(scene.handle, 'at the gate again', atGate, 180_000);

  await expect(scene.handle.reloadTable('public.nothing', { by: 'test' })).rejects.toThrow(/no table public.nothing/);
  await expect(scene.handle.reloadTable('public.queries', { by: 'test' })).rejects.toThrow(/by-hand/);
  await scene.handle.reloadTable('public.users', { by: 'test', reason: 'to be sure' });

  // Nobody has changed this row on the source since the load: only looking at it again finds the difference.
  await scene.target.query(
    "UPDATE public.data_sources SET name = 'changed behind its back' WHERE id = 1",
    [],
    'redash',
  );
  await scene.handle.reloadTable('public.data_sources', { by: 'test', validateOnly: true });
  const differs = await untilStatus(scene.handle, 'the validation has failed', ({ gate }) => {
    // Before that it only says that the table's validation is pending.
    return /data_sources.*Mismatched/.test(gate?.notReady ?? '');
  });
  expect(differs.gate).toMatchObject({ ready: false });
  await scene.handle.reloadTable('public.data_sources', { by: 'test' });
  await scene.handle.leaveOutTable('public.favorites', { by: 'test', reason: 'not needed' });

  const status = await throughTheGate(scene);
  expect(status.leftovers.join()).toContain('public.favorites was left out by test');
  expect(status.decisions.map(({ command }) => command)).toEqual(
    expect.arrayContaining(['pause', 'resume', 'reload-table public.users', 'leave-out-table public.favorites']),
  );
  const record = await scene.app.end();
  const verified = await verifyRedash(endpointOf(scene.source, 'worker'), endpointOf(scene.target, 'worker'), record);
  const others = verified.comparison.differences.filter(({ name }) => !name.includes('favorites'));
  expect(others).toEqual([]);
  expect(failuresOf(verified).filter((text) => !text.includes('favorites') && !/writes are lost/.test(text))).toEqual(
    [],
  );
}, 600_000);
