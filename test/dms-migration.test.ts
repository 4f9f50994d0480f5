/** The DMS activities against the sandbox's DMS, which really moves rows between two real Postgres servers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  CreateReplicationTaskCommand,
  DescribeEndpointsCommand,
  DescribeReplicationInstancesCommand,
  DescribeReplicationTasksCommand,
} from '@aws-sdk/client-database-migration-service';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { z } from 'zod';
import { closeAwsClients, dms } from '../activities/aws/clients.ts';
import { cleanUpDms } from '../activities/dms/clean-up.ts';
import { testDmsConnections } from '../activities/dms/connections.ts';
import { drainDms } from '../activities/dms/drain.ts';
import { ensureDmsEndpoints } from '../activities/dms/endpoints.ts';
import { ensureDmsInstance } from '../activities/dms/instance.ts';
import { leaveOutDmsTable } from '../activities/dms/leave-out.ts';
import { awaitDmsReload, reloadDmsTables } from '../activities/dms/reload.ts';
import type { DmsResources } from '../activities/dms/resources.ts';
import { resumeDms, startDms } from '../activities/dms/start.ts';
import { pauseDms, stopDms } from '../activities/dms/stop.ts';
import { ensureDmsTask } from '../activities/dms/task.ts';
import { watchDms } from '../activities/dms/watch.ts';
import { prepareOwnSchema } from '../activities/postgres/own-schema.ts';
import { startAws, type Aws } from '../sandbox/aws/index.ts';
import { startPostgres, type PostgresServer } from '../sandbox/runtime/postgres.ts';
import { selectionOf } from '../spec/dms-table-mappings.ts';
import { postgres, type Postgres } from '../spec/kind-postgres.ts';
import type { PlannedTable, ReplicationState, TablePlan } from '../spec/postgres-plan.ts';

const dir = mkdtempSync(join(tmpdir(), 'cutover-dms-'));
let source: PostgresServer;
let target: PostgresServer;
let aws: Aws;
let count = 0;

beforeAll(async () => {
  [source, target] = await Promise.all([
    startPostgres({ dir: join(dir, 'source') }),
    startPostgres({ dir: join(dir, 'target') }),
  ]);
  aws = await startAws({ dir: join(dir, 'aws'), redisServer: '/nonexistent' });
  for (const [name, value] of Object.entries(aws.env)) vi.stubEnv(name, value);
  vi.stubEnv('CUTOVER_AWS_POLL_MS', '100');
  vi.stubEnv('DMS_TEST_PASSWORD', 'postgres');
}, 180_000);
afterAll(async () => {
  vi.unstubAllEnvs();
  closeAwsClients();
  await aws?.stop();
  await Promise.all([source?.stop(), target?.stop()]);
  rmSync(dir, { recursive: true, force: true });
});

/** Each test has a database of its own on both servers. */
let database = '';
let migration: Postgres;
const TABLES = ['users', 'Büro_1', 'notes'];
const plan: TablePlan = {
  largestLob: 0,
  tables: TABLES.map((name): PlannedTable => ({
    schema: 'public',
    name,
    treatment: 'replicated',
    rows: 100,
    bytes: 0,
    primaryKey: ['id'],
  })),
};

beforeEach(async () => {
  count += 1;
  database = `db_${count}`;
  for (const server of [source, target]) {
    await server.query(`CREATE DATABASE ${database}`);
    for (const table of TABLES) await sql(server, `CREATE TABLE "${table}" (id int PRIMARY KEY, name text NOT NULL)`);
  }
  for (const table of TABLES) {
    await sql(source, `INSERT INTO "${table}" SELECT i, 'n' || i FROM generate_series(1, 300) i`);
  }
  migration = file();
  await run(prepareOwnSchema, { migration });
});

function file(more: Partial<z.input<typeof postgres>['replication']> = {}): Postgres {
  const endpoint = (server: PostgresServer) => ({
    host: server.host,
    port: server.port,
    database,
    user: 'postgres',
    password: { env: 'DMS_TEST_PASSWORD' },
  });
  return postgres.parse({
    id: `m${count}`,
    kind: 'postgres',
    source: endpoint(source),
    target: endpoint(target),
    replication: { engine: 'dms', targetEndpoint: { sslMode: 'none' }, ...more },
    ready: { readings: 3, interval: '100ms', maxLag: '5s' },
    cutover: { applicationRoles: ['app'] },
  });
}

async function sql(server: PostgresServer, text: string): Promise<Record<string, unknown>[]> {
  const client = await server.connect({ database });
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

/** Runs an activity as a worker does, once. */
async function run<A extends object, R>(fn: (args: A) => Promise<R>, args: A): Promise<R> {
  const env = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  return await env.run(fn, args);
}
const failureOf = async (promise: Promise<unknown>): Promise<any> =>
  promise.then(
    () => expect.unreachable('did not fail'),
    (error: unknown) => error,
  );

async function prepare(): Promise<DmsResources> {
  const { instanceArn } = await run(ensureDmsInstance, { migration });
  const endpoints = await run(ensureDmsEndpoints, { migration });
  await run(testDmsConnections, { migration, resources: { instanceArn, ...endpoints } });
  const task = await run(ensureDmsTask, { migration, plan, resources: { instanceArn, ...endpoints } });
  return { instanceArn, ...endpoints, ...task };
}

/** The workflow's loop. */
async function watch(
  resources: DmsResources,
  until: 'load-done' | 'ready',
  reached: (state: ReplicationState) => boolean,
  given: TablePlan = plan,
): Promise<ReplicationState> {
  let last: ReplicationState | undefined;
  for (const end = Date.now() + 60_000; Date.now() < end;) {
    const env = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
    const looking: Promise<ReplicationState> = env.run(watchDms, {
      migration,
      resources,
      plan: given,
      until,
      ...(last ? { last } : {}),
    });
    const timer = setTimeout(() => env.cancel('CANCELLED'), Math.max(1, end - Date.now()));
    last = await looking.finally(() => clearTimeout(timer));
    if (reached(last)) return last;
    await delay(20);
  }
  throw new Error(`not reached: ${JSON.stringify(last)}`);
}

async function following(): Promise<DmsResources> {
  const resources = await prepare();
  await run(startDms, { migration, resources });
  await watch(resources, 'load-done', ({ phase }) => phase === 'load-done');
  await run(resumeDms, { migration, resources });
  await watch(resources, 'ready', ({ ready }) => ready);
  return resources;
}
const rows = async (server: PostgresServer, table: string) => await sql(server, `SELECT * FROM "${table}" ORDER BY id`);

describe('the whole way', () => {
  test('made, loaded, stopped for the indexes, followed, drained, stopped, cleaned up; each step twice', async () => {
    const resources = await prepare();
    expect(await prepare()).toEqual(resources);
    await run(startDms, { migration, resources });
    await run(startDms, { migration, resources });
    const loaded = await watch(resources, 'load-done', ({ phase }) => phase === 'load-done');
    expect(loaded).toMatchObject({ tables: { total: 3, loaded: 3, failed: 0 }, rowsLoaded: 900, problems: [] });
    expect(loaded.stopReason).toContain('STOPPED_AFTER_CACHED_EVENTS');

    await sql(
      source,
      `INSERT INTO users SELECT i, 'new' FROM generate_series(301, 350) i; DELETE FROM notes WHERE id < 10`,
    );
    await run(resumeDms, { migration, resources });
    await run(resumeDms, { migration, resources });
    const ready = await watch(resources, 'ready', (state) => state.ready);
    expect(ready).toMatchObject({ phase: 'following', readings: 3, problems: [], slot: { active: true } });
    expect(ready.lagMs).toBeLessThan(5_000);
    expect(ready.validation).toMatchObject({ failed: 0, suspended: 0 });

    await sql(source, `UPDATE "Büro_1" SET name = 'x' WHERE id = 7`);
    await sql(source, `INSERT INTO cutover.marker (id, value, at) VALUES ('${migration.id}:1', 'fence-1', now())`);
    const drain = { migration, resources, plan, marker: 'fence-1', budgetMs: 60_000 };
    expect(await run(drainDms, drain)).toMatchObject({ validationPending: expect.any(Number) });
    await run(drainDms, drain);
    expect(await run(stopDms, { migration, resources })).toEqual({ stopReason: 'Stop Reason NORMAL' });
    expect(await run(stopDms, { migration, resources })).toEqual({ stopReason: 'Stop Reason NORMAL' });
    for (const table of TABLES) expect(await rows(target, table)).toEqual(await rows(source, table));

    const cleaned = await run(cleanUpDms, { migration, resources });
    expect(cleaned.leftovers).toEqual([]);
    expect(cleaned.deleted).toEqual(
      expect.arrayContaining([
        `replication task cutover-${migration.id}`,
        `endpoint cutover-${migration.id}-source`,
        `endpoint cutover-${migration.id}-target`,
        `replication instance cutover-${migration.id}`,
      ]),
    );
    expect(await run(cleanUpDms, { migration, resources })).toEqual({ deleted: [], leftovers: [] });
    expect(await sql(source, 'SELECT slot_name FROM pg_replication_slots WHERE database = current_database()')).toEqual(
      [],
    );
    expect(await sql(target, `SELECT 1 FROM pg_namespace WHERE nspname = 'awsdms_control'`)).toEqual([]);
    const left = await Promise.all([
      dms().send(new DescribeReplicationTasksCommand({})),
      dms().send(new DescribeEndpointsCommand({})),
      dms().send(new DescribeReplicationInstancesCommand({})),
    ]);
    expect(JSON.stringify(left)).not.toContain(`cutover-${migration.id}`);
  });

  test('a change that was not applied keeps the drain from ending', async () => {
    const resources = await following();
    aws.control.dms.script(resources.taskArn, { freezeApply: true });
    // What it waits for already when it is told to freeze is still applied.
    await sql(
      source,
      `INSERT INTO cutover.marker (id, value, at) VALUES ('${migration.id}:0', 'slips through', now())`,
    );
    await sql(source, `INSERT INTO cutover.marker (id, value, at) VALUES ('${migration.id}:1', 'frozen', now())`);
    const failure = await failureOf(run(drainDms, { migration, resources, plan, marker: 'frozen', budgetMs: 1_500 }));
    expect(failure).toMatchObject({ type: 'cutover.Deadline', nonRetryable: true });
    expect(failure.message).toContain('marker');
    await run(cleanUpDms, { migration, resources });
  });
});

describe('while it follows', () => {
  test('pause and resume lose nothing; a table is loaded again; one is left out', async () => {
    const resources = await following();
    await run(pauseDms, { migration, resources });
    expect(await run(pauseDms, { migration, resources })).toEqual({ state: 'stopped (Stop Reason NORMAL)' });
    await sql(source, `UPDATE users SET name = 'paused' WHERE id <= 20`);
    await run(resumeDms, { migration, resources });
    await watch(resources, 'ready', ({ ready }) => ready);
    expect(await rows(target, 'users')).toEqual(await rows(source, 'users'));

    await sql(target, 'DELETE FROM notes');
    const tables = [{ schema: 'public', name: 'notes' }];
    const asked = await run(reloadDmsTables, { migration, resources, tables, option: 'data-reload' as const });
    expect(asked.reloaded).toEqual(['public.notes']);
    await run(awaitDmsReload, { migration, resources, tables, since: asked.since });
    expect(await rows(target, 'notes')).toEqual(await rows(source, 'notes'));
    await watch(resources, 'ready', ({ ready }) => ready);
    const unknown = await failureOf(
      run(reloadDmsTables, {
        migration,
        resources,
        tables: [{ schema: 'public', name: 'No' }],
        option: 'data-reload' as const,
      }),
    );
    expect(unknown.message).toContain('public."No"');

    const without: TablePlan = {
      ...plan,
      tables: plan.tables.map((table) => (table.name === 'notes' ? { ...table, treatment: 'left-out' } : table)),
    };
    const leave = { migration, plan, resources, table: { schema: 'public', name: 'notes' } };
    await run(leaveOutDmsTable, leave);
    await run(leaveOutDmsTable, leave);
    // What the task has by now is what counts: it runs on without the table, and the others lose nothing by it.
    const { ReplicationTasks } = await dms().send(
      new DescribeReplicationTasksCommand({ Filters: [{ Name: 'replication-task-arn', Values: [resources.taskArn] }] }),
    );
    const takes = selectionOf(JSON.parse(ReplicationTasks![0]!.TableMappings!) as object);
    expect(plan.tables.map(({ schema, name }) => takes({ schema, name }))).toEqual([true, true, false]);
    const left = await rows(target, 'notes');
    // The log has them in this order: once the second one is there, the first one would be.
    await sql(source, `INSERT INTO notes VALUES (9001, 'left out')`);
    await sql(source, `INSERT INTO users VALUES (9001, 'goes on')`);
    const state = await watch(resources, 'ready', ({ ready }) => ready, without);
    expect(state.tables.total).toBe(2);
    await vi.waitFor(async () => expect(await rows(target, 'users')).toEqual(await rows(source, 'users')), 30_000);
    expect(await rows(target, 'notes')).toEqual(left);
    await run(cleanUpDms, { migration, resources });
  });

  test('a table that fails is told with its reason', async () => {
    const resources = await prepare();
    aws.control.dms.script(resources.taskArn, {
      failTable: { schema: 'public', table: 'notes', message: 'cannot do it' },
    });
    await run(startDms, { migration, resources });
    const state = await watch(resources, 'load-done', ({ tables }) => tables.failed > 0);
    expect(state.problems).toContainEqual(expect.objectContaining({ table: 'public.notes' }));
    expect(state.ready).toBe(false);
    await run(cleanUpDms, { migration, resources });
  });

  test('a row that differs on the target keeps it from being ready', async () => {
    const resources = await following();
    await sql(target, `UPDATE users SET name = 'not ours' WHERE id = 5`);
    await run(reloadDmsTables, {
      migration,
      resources,
      tables: [{ schema: 'public', name: 'users' }],
      option: 'validate-only' as const,
    });
    const state = await watch(resources, 'ready', ({ validation }) => (validation?.failed ?? 0) > 0);
    expect(state.ready).toBe(false);
    expect(state.problems).toContainEqual(expect.objectContaining({ table: 'public.users' }));
    await sql(source, `INSERT INTO cutover.marker (id, value, at) VALUES ('${migration.id}:1', 'differs', now())`);
    const failure = await failureOf(run(drainDms, { migration, resources, plan, marker: 'differs', budgetMs: 20_000 }));
    expect(failure.type).toBe('cutover.Differs');
    await run(cleanUpDms, { migration, resources });
  });
});

describe('what is not ours', () => {
  test('a task of our name without our tag is not touched, nor deleted', async () => {
    const { instanceArn } = await run(ensureDmsInstance, { migration });
    const endpoints = await run(ensureDmsEndpoints, { migration });
    const parts = { instanceArn, ...endpoints };
    await run(testDmsConnections, { migration, resources: parts });
    await dms().send(
      new CreateReplicationTaskCommand({
        ReplicationTaskIdentifier: `cutover-${migration.id}`,
        MigrationType: 'cdc',
        ReplicationInstanceArn: instanceArn,
        SourceEndpointArn: endpoints.sourceArn,
        TargetEndpointArn: endpoints.targetArn,
        TableMappings:
          '{"rules":[{"rule-type":"selection","rule-id":"1","rule-name":"1","rule-action":"include","object-locator":{"schema-name":"x","table-name":"y"}}]}',
      }),
    );
    const failure = await failureOf(run(ensureDmsTask, { migration, plan, resources: parts }));
    expect(failure).toMatchObject({ type: 'cutover.NotOurs', nonRetryable: true });
  });

  test("a wrong password is told in the server's words, and not shown", async () => {
    vi.stubEnv('DMS_TEST_WRONG', 'hunter2-wrong');
    migration = file({ sourceEndpoint: { user: 'nobody', password: { env: 'DMS_TEST_WRONG' } } });
    const { instanceArn } = await run(ensureDmsInstance, { migration });
    const endpoints = await run(ensureDmsEndpoints, { migration });
    const failure = await failureOf(run(testDmsConnections, { migration, resources: { instanceArn, ...endpoints } }));
    expect(failure).toMatchObject({ type: 'cutover.ServiceFailed' });
    expect(failure.message).toMatch(/DMS can't connect: source 127\.0\.0\.1: .*nobody/s);
    expect(JSON.stringify(failure)).not.toContain('hunter2');
    // Mended in the file: the same endpoints, with what it says now.
    migration = file();
    expect(await run(ensureDmsEndpoints, { migration })).toEqual(endpoints);
    await run(testDmsConnections, { migration, resources: { instanceArn, ...endpoints } });
    await run(cleanUpDms, { migration });
  });

  test('an instance that is said to exist and does not', async () => {
    migration = file({ instance: { existing: 'not-there' } });
    const failure = await failureOf(run(ensureDmsInstance, { migration }));
    expect(failure).toMatchObject({ type: 'cutover.NotFound', nonRetryable: true });
  });
});
