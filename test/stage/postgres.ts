/** A `postgres` migration on a stage: two real servers, the sandbox's DMS, a Redash-shaped application that keeps writing. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { startMigration, type MigrationHandle, type MigrationStatus } from '../../client/index.ts';
import { startRedashApp, type RedashApp } from '../../sandbox/app/redash/app.ts';
import { controlRedashApp } from '../../sandbox/app/redash/control.ts';
import type { PgEndpoint } from '../../sandbox/app/redash/endpoint.ts';
import { fillRedash } from '../../sandbox/app/redash/fill.ts';
import {
  APPLICATION_ROLE,
  createRedashRoles,
  DMS_ROLE,
  REDASH_DATABASE,
  SANDBOX_PASSWORDS,
  WORKER_ROLE,
} from '../../sandbox/app/redash/roles.ts';
import { createRedashSchema } from '../../sandbox/app/redash/schema.ts';
import { failuresOf, verifyRedash } from '../../sandbox/app/redash/verify.ts';
import { verifyWrites } from '../../sandbox/app/redash/verify-writes.ts';
import { startAws, type Aws } from '../../sandbox/aws/index.ts';
import { startPostgres, type PostgresServer } from '../../sandbox/runtime/postgres.ts';
import { ensureTool } from '../../sandbox/runtime/tools.ts';
import { SqlParser } from './sql-wire.ts';
import { until, type Stage } from './stage.ts';
import { approvedToTheEnd } from './to-the-end.ts';
import { endFirstAttempt } from './second-attempt.ts';
import { startTripwire, type Tripwire } from './tripwire.ts';

/** The passwords that a worker finds in its environment. */
export const WORKER_SECRETS = {
  TEST_WORKER_PASSWORD: SANDBOX_PASSWORDS.worker,
  TEST_DMS_PASSWORD: SANDBOX_PASSWORDS.dms,
};

/** @param options.forward the server for all other services (moto) */
export async function openDms(stage: Stage, options: { forward?: string } = {}): Promise<Aws> {
  const { path } = await ensureTool('redis-server');
  const aws = await startAws({ dir: join(stage.dir, 'aws'), redisServer: path, ...options });
  return stage.endLater(aws, () => aws.stop());
}

export function postgresWorkerEnvironment(aws: Aws): Record<string, string> {
  return { ...aws.env, ...WORKER_SECRETS, CUTOVER_AWS_POLL_MS: '100' };
}

export interface PostgresScene {
  id: string;
  source: PostgresServer;
  target: PostgresServer;
  /** What the worker connects to; DMS and the application go straight to the servers. */
  sourceWire: Tripwire;
  targetWire: Tripwire;
  app: RedashApp;
  control: { url: string };
  handle: MigrationHandle;
  migration: Record<string, unknown>;
}

export interface PostgresSceneOptions {
  id: string;
  rows?: number;
  rate?: number;
  gate?: 'manual' | 'auto';
  /** Laid over the migration. */
  more?: Record<string, unknown>;
  cutover?: Record<string, unknown>;
  replication?: Record<string, unknown>;
  checks?: unknown[];
  config?: { source?: Record<string, string>; target?: Record<string, string> };
  prepare?: (servers: { source: PostgresServer; target: PostgresServer }) => Promise<void>;
}

let servers = 0;

/** Two servers, the application's database on the source, the roles on both. */
export async function openServers(
  stage: Stage,
  config: PostgresSceneOptions['config'] = {},
): Promise<{ source: PostgresServer; target: PostgresServer }> {
  const number = (servers += 1);
  const start = async (side: 'source' | 'target') => {
    const server = await startPostgres({
      dir: join(stage.dir, `postgres-${number}-${side}`),
      config: config[side] ?? {},
    });
    stage.endLater(server, () => server.stop());
    const admin = await server.connect();
    await createRedashRoles(admin);
    await admin.end();
    return server;
  };
  const [source, target] = await Promise.all([start('source'), start('target')]);
  return { source, target };
}

export function endpointOf(server: PostgresServer, role: 'application' | 'worker'): PgEndpoint {
  const user = role === 'application' ? APPLICATION_ROLE : WORKER_ROLE;
  return { host: server.host, port: server.port, database: REDASH_DATABASE, user, password: SANDBOX_PASSWORDS[role] };
}

/** Everything up and the migration started; nothing is waited for. */
export async function openPostgresScene(stage: Stage, aws: Aws, options: PostgresSceneOptions): Promise<PostgresScene> {
  const scene = await furnishPostgresScene(stage, aws, options);
  await endFirstAttempt(stage.client, options.id);
  const handle = await startMigration(stage.client, { migration: scene.migration as never });
  return { ...scene, handle };
}

/** Everything up; starting the migration is left to the test. */
export async function furnishPostgresScene(
  stage: Stage,
  aws: Aws,
  options: PostgresSceneOptions,
): Promise<Omit<PostgresScene, 'handle'>> {
  const { source, target } = await openServers(stage, options.config);
  const client = await source.connect({ database: REDASH_DATABASE });
  await createRedashSchema(client);
  await client.end();
  await fillRedash(endpointOf(source, 'worker'), { rows: options.rows ?? 3_000 });
  await options.prepare?.({ source, target });
  const wire = async (server: PostgresServer) => {
    const tripwire = await startTripwire(server.port, () => new SqlParser());
    return stage.endLater(tripwire, () => tripwire.close());
  };
  const [sourceWire, targetWire] = [await wire(source), await wire(target)];
  const app = await startRedashApp({
    endpoint: endpointOf(source, 'application'),
    rate: options.rate ?? 100,
    clients: 4,
  });
  stage.endLater(app, () => app.end());
  const control = await controlRedashApp(app);
  stage.endLater(control, () => control.close());
  const hook = (path: string, undo: string, body: (server: PostgresServer) => object) => ({
    type: 'webhook',
    url: `${control.url}${path}`,
    body: body(target),
    undo: { url: `${control.url}${undo}`, body: body(source) },
    timeout: '20s',
  });
  const place = ({ host, port }: PostgresServer) => ({ host, port, database: REDASH_DATABASE });
  const migration = {
    kind: 'postgres',
    id: options.id,
    crashDetection: '2s',
    source: {
      host: '127.0.0.1',
      port: sourceWire.port,
      database: REDASH_DATABASE,
      user: WORKER_ROLE,
      password: { env: 'TEST_WORKER_PASSWORD' },
    },
    target: {
      host: '127.0.0.1',
      port: targetWire.port,
      database: REDASH_DATABASE,
      user: WORKER_ROLE,
      password: { env: 'TEST_WORKER_PASSWORD' },
    },
    aws: { region: aws.region },
    tables: { include: ['public.*'], exclude: ['public.queries'], copyByHand: ['public.queries'] },
    replication: {
      engine: 'dms',
      aws: { region: aws.region },
      sourceEndpoint: { host: source.host, port: source.port, user: DMS_ROLE, password: { env: 'TEST_DMS_PASSWORD' } },
      targetEndpoint: {
        host: target.host,
        port: target.port,
        user: DMS_ROLE,
        password: { env: 'TEST_DMS_PASSWORD' },
        sslMode: 'none',
      },
      ...options.replication,
    },
    ready: { interval: '200ms', readings: 2, maxLag: '10s' },
    cutover: {
      gate: options.gate ?? 'manual',
      applicationRoles: [APPLICATION_ROLE],
      stopServices: [hook('/stop', '/start', () => ({}))],
      budgets: { fence: '15s', copy: '30s', drain: '45s', finish: '30s', verify: '45s', open: '15s' },
      budget: '3m',
      ...options.cutover,
    },
    switch: [hook('/switch', '/switch', place)],
    checks: options.checks ?? [
      { type: 'http', url: `${control.url}/health`, expectBody: `"port":${target.port}`, timeout: '20s' },
      { type: 'sql', query: 'SELECT count(*) > 0 FROM public.queries', expect: true, timeout: '10s' },
    ],
    ...options.more,
  };
  return { id: options.id, source, target, sourceWire, targetWire, app, control, migration };
}

/** Approves, and again where a fault sent the migration back to its gate, until it is done. */
export async function throughTheGate(scene: PostgresScene, withinMs = 240_000): Promise<MigrationStatus> {
  return approvedToTheEnd(scene.handle, withinMs);
}

/** Done: everything is on the target, nothing twice, the source fenced, the application writes there, DMS is gone. */
export async function expectMigrated(scene: PostgresScene, status: MigrationStatus, aws: Aws): Promise<void> {
  expect(status.phase, status.operator?.reason).toBe('done');
  expect(status.cutovers.at(-1)?.outcome).toBe('switched');
  expect(status.cutovers.at(-1)?.writePauseMs).toBeGreaterThan(0);
  await expectWritesOn(scene, scene.target);
  const record = await scene.app.end();
  const verified = await verifyRedash(endpointOf(scene.source, 'worker'), endpointOf(scene.target, 'worker'), record);
  expect(failuresOf(verified)).toEqual([]);
  const [login] = await scene.source.query<{ rolcanlogin: boolean }>(
    `SELECT rolcanlogin FROM pg_roles WHERE rolname = $1`,
    [APPLICATION_ROLE],
  );
  expect(login?.rolcanlogin, 'the source stays fenced').toBe(false);
  await expectNothingLeft(scene, aws);
}

/** Aborted, or back at the gate: the application writes to the source and nothing it was acknowledged is lost there. */
export async function expectBackOnTheSource(scene: PostgresScene): Promise<void> {
  await expectWritesOn(scene, scene.source);
  const record = await scene.app.end();
  const writes = await verifyWrites(endpointOf(scene.source, 'worker'), record);
  expect(writes, writes.examples.join('; ')).toMatchObject({ lost: 0, unexplained: 0, torn: 0 });
}

/** No DMS resource of this migration, and no replication slot. */
export async function expectNothingLeft(scene: PostgresScene, aws: Aws): Promise<void> {
  const slots = await scene.source.query('SELECT slot_name FROM pg_replication_slots');
  expect(slots).toEqual([]);
  expect(await dmsResources(aws, scene.id)).toEqual([]);
}

async function dmsResources(aws: Aws, id: string): Promise<string[]> {
  const dms = await import('@aws-sdk/client-database-migration-service');
  const client = new dms.DatabaseMigrationServiceClient({
    endpoint: aws.url,
    region: aws.region,
    credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
  });
  const none = (error: unknown) => {
    if ((error as Error).name !== 'ResourceNotFoundFault') throw error;
    return undefined;
  };
  try {
    const tasks = await client.send(new dms.DescribeReplicationTasksCommand({ WithoutSettings: true })).catch(none);
    const endpoints = await client.send(new dms.DescribeEndpointsCommand({})).catch(none);
    const instances = await client.send(new dms.DescribeReplicationInstancesCommand({})).catch(none);
    return [
      ...(tasks?.ReplicationTasks ?? []).map((task) => task.ReplicationTaskIdentifier ?? ''),
      ...(endpoints?.Endpoints ?? []).map((endpoint) => endpoint.EndpointIdentifier ?? ''),
      ...(instances?.ReplicationInstances ?? []).map((instance) => instance.ReplicationInstanceIdentifier ?? ''),
    ].filter((name) => name.includes(id));
  } finally {
    client.destroy();
  }
}

export async function expectWritesOn(scene: PostgresScene, server: PostgresServer): Promise<void> {
  const acknowledged = () =>
    scene.app
      .stats()
      .endpoints.filter(({ port }) => port === server.port)
      .reduce((sum, { acknowledged: count }) => sum + count, 0);
  const before = acknowledged();
  await until(`the application writes to ${server.port}`, async () => acknowledged() > before);
}
