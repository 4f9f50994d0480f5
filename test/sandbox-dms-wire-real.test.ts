import {
  DeleteReplicationTaskCommand,
  DescribeTableStatisticsCommand,
  ModifyEndpointCommand,
  StopReplicationTaskCommand,
} from '@aws-sdk/client-database-migration-service';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startPostgres } from '../sandbox/runtime/postgres.ts';
import type { PostgresServer } from '../sandbox/runtime/postgres.ts';
import {
  describeTask,
  makeEndpoint,
  makeInstance,
  makeParts,
  makeTask,
  startDmsRig,
  startTask,
  test as testConnection,
  until,
  untilTask,
  untilTested,
} from './sandbox-dms-setup.ts';
import type { Address, DmsRig } from './sandbox-dms-setup.ts';

let dir: string;
let source: PostgresServer;
let target: PostgresServer;
let rig: DmsRig;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sandbox-dms-real-'));
  source = await startPostgres({ dir: join(dir, 'source') });
  target = await startPostgres({ dir: join(dir, 'target') });
  for (const server of [source, target]) {
    await server.query('CREATE TABLE public."Ding" (id int PRIMARY KEY, name text NOT NULL)');
  }
});
afterEach(async () => {
  await rig?.end();
});
afterAll(async () => {
  await source?.stop();
  await target?.stop();
  rmSync(dir, { recursive: true, force: true });
});

const address = (server: PostgresServer): Address => ({
  host: server.host,
  port: server.port,
  user: 'postgres',
  password: 'postgres',
  database: 'postgres',
});
const insert = (from: number, to: number): Promise<unknown> =>
  source.query(`INSERT INTO "Ding" SELECT i, 'n' || i FROM generate_series($1::int, $2::int) i`, [from, to]);
const rows = (server: PostgresServer): Promise<unknown[]> => server.query('SELECT * FROM "Ding" ORDER BY id');
const untilEqual = (): Promise<unknown> =>
  until('both sides are equal', async () => JSON.stringify(await rows(target)) === JSON.stringify(await rows(source)));

test('a connection that fails says why in the real server’s own words', async () => {
  rig = await startDmsRig({ engine: 'real' });
  const instance = await makeInstance(rig, 'why');
  const wrong = await makeEndpoint(rig, 'wrong', 'source', { ...address(source), password: 'hidden-2' });
  const { status, failure } = await testConnection(rig, instance, wrong);
  expect(status).toBe('failed');
  expect(failure).toMatch(/password authentication failed for user "postgres"/);
  expect(failure).not.toContain('hidden-2');
  await rig.client.send(new ModifyEndpointCommand({ EndpointArn: wrong, Password: 'postgres' }));
  expect(await untilTested(rig, wrong)).toEqual({ status: 'successful', failure: undefined });
  const lost = await makeEndpoint(rig, 'lost', 'target', { ...address(target), database: 'nowhere' });
  expect((await testConnection(rig, instance, lost)).failure).toMatch(/database "nowhere" does not exist/);
});

test('a running task follows again after a restart of the sandbox: nothing is lost, nothing comes twice', async () => {
  rig = await startDmsRig({ engine: 'real' });
  await insert(1, 100);
  const parts = await makeParts(rig, 'follow', address(source), address(target));
  const arn = await makeTask(rig, 'follow', parts, {
    ReplicationTaskSettings: '{"FullLoadSettings":{"TargetTablePrepMode":"TRUNCATE_BEFORE_LOAD"}}',
  });
  await startTask(rig, arn);
  await untilTask(rig, arn, 'running');
  await untilEqual();
  await insert(101, 110);
  await untilEqual();
  await rig.aws.stop();
  await insert(111, 130);
  await rig.restart();
  await untilEqual();
  const task = await describeTask(rig, arn);
  expect(task.Status).toBe('running');
  expect(task.ReplicationTaskStats).toMatchObject({ TablesLoaded: 1, TablesErrored: 0 });
  const statistics = await rig.client.send(new DescribeTableStatisticsCommand({ ReplicationTaskArn: arn }));
  expect(statistics.TableStatistics).toMatchObject([
    { SchemaName: 'public', TableName: 'Ding', FullLoadRows: 100, TableState: 'Table completed' },
  ]);

  await rig.client.send(new StopReplicationTaskCommand({ ReplicationTaskArn: arn }));
  await untilTask(rig, arn, 'stopped');
  await insert(131, 140);
  await rig.restart();
  expect((await describeTask(rig, arn)).ReplicationTaskStats?.TablesLoaded).toBe(1);
  await startTask(rig, arn, 'resume-processing');
  await untilEqual();
  await rig.aws.control.dms.failTask('follow', { message: 'scripted' });
  expect((await describeTask(rig, arn)).LastFailureMessage).toContain('scripted');
  await rig.client.send(new DeleteReplicationTaskCommand({ ReplicationTaskArn: arn }));
  await until('the slot is dropped', async () => {
    return (await source.query('SELECT 1 FROM pg_replication_slots')).length === 0;
  });
  expect(rig.aws.control.failures()).toEqual([]);
});

test('a task goes on after the sandbox was killed', async () => {
  await source.query('TRUNCATE "Ding"');
  const awsDir = join(dir, 'killed');
  const entry = pathToFileURL(fileURLToPath(new URL('../sandbox/aws/index.ts', import.meta.url))).href;
  const program =
    `const { startAws } = await import(${JSON.stringify(entry)});\n` +
    `const aws = await startAws(${JSON.stringify({ dir: awsDir, redisServer: '/nonexistent' })});\nconsole.log(aws.url);\n`;
  const launch = async (): Promise<{ url: string; kill: () => Promise<unknown> }> => {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const closed = new Promise((resolve) => child.once('close', resolve));
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
      child.once('close', () => reject(new Error('the sandbox ended')));
    });
    return { url, kill: () => (child.kill('SIGKILL'), closed) };
  };
  rig = await startDmsRig();
  let killed = await launch();
  try {
    // The rig's own sandbox stays unused: its helpers talk to the one that is killed.
    const at = (url: string): DmsRig => ({ ...rig, client: rig.clientWith({ url }) });
    let remote = at(killed.url);
    await insert(1, 50);
    const parts = await makeParts(remote, 'killed', address(source), address(target));
    const arn = await makeTask(remote, 'killed', parts, {
      ReplicationTaskSettings: '{"FullLoadSettings":{"TargetTablePrepMode":"TRUNCATE_BEFORE_LOAD"}}',
    });
    await startTask(remote, arn);
    await untilTask(remote, arn, 'running');
    await untilEqual();
    await killed.kill();
    await insert(51, 60);
    killed = await launch();
    remote = at(killed.url);
    await untilEqual();
    expect((await describeTask(remote, arn)).Status).toBe('running');
    await remote.client.send(new StopReplicationTaskCommand({ ReplicationTaskArn: arn }));
    await untilTask(remote, arn, 'stopped');
  } finally {
    await killed.kill();
  }
});
