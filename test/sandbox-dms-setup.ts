import {
  CreateEndpointCommand,
  CreateReplicationInstanceCommand,
  CreateReplicationTaskCommand,
  DatabaseMigrationServiceClient,
  DescribeConnectionsCommand,
  DescribeReplicationInstancesCommand,
  DescribeReplicationTasksCommand,
  StartReplicationTaskCommand,
  TestConnectionCommand,
} from '@aws-sdk/client-database-migration-service';
import type {
  CreateEndpointCommandInput,
  CreateReplicationTaskCommandInput,
  ReplicationTask,
} from '@aws-sdk/client-database-migration-service';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startAws } from '../sandbox/aws/index.ts';
import type { Aws, StartAwsOptions } from '../sandbox/aws/index.ts';
import { FakeEngines } from './sandbox-dms-fake-engine.ts';
import { until } from './sandbox-elasticache-setup.ts';

export { refusal, until } from './sandbox-elasticache-setup.ts';

/** A sandbox's DMS with an unmodified SDK client, and an engine that moves no rows but ends when it is told to. */
export interface DmsRig {
  dir: string;
  aws: Aws;
  client: DatabaseMigrationServiceClient;
  fake: FakeEngines;
  /** `url`: another sandbox's. */
  clientWith(options: { maxAttempts?: number; timeoutMs?: number; url?: string }): DatabaseMigrationServiceClient;
  restart(): Promise<void>;
  end(): Promise<void>;
}

/** `engine: 'real'` is the sandbox's own, which needs Postgres servers; `fake` by default. */
export async function startDmsRig(
  options: { engine?: 'fake' | 'real' } & Partial<StartAwsOptions> = {},
): Promise<DmsRig> {
  const dir = mkdtempSync(join(tmpdir(), 'sandbox-dms-'));
  const { engine = 'fake', ...more } = options;
  const fake = new FakeEngines();
  const clients: DatabaseMigrationServiceClient[] = [];
  // No group is made here, so no redis-server is ever run.
  const start = (): Promise<Aws> =>
    startAws({
      dir: join(dir, 'aws'),
      redisServer: '/nonexistent',
      ...(engine === 'fake' ? { dms: fake.parts } : {}),
      ...more,
    });
  const clientWith: DmsRig['clientWith'] = ({ maxAttempts = 3, timeoutMs = 60_000, url = rig.aws.url }) => {
    const client = new DatabaseMigrationServiceClient({
      endpoint: url,
      region: rig.aws.region,
      credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
      maxAttempts,
      requestHandler: { requestTimeout: timeoutMs, throwOnRequestTimeout: true },
    });
    clients.push(client);
    return client;
  };
  const rig: DmsRig = {
    dir,
    fake,
    aws: await start(),
    client: undefined as unknown as DatabaseMigrationServiceClient,
    clientWith,
    restart: async () => {
      await rig.aws.stop();
      rig.aws = await start();
      rig.client = clientWith({});
    },
    end: async () => {
      for (const client of clients) client.destroy();
      await rig.aws.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  rig.client = clientWith({});
  return rig;
}

export interface Address {
  host: string;
  port: number;
  user: string;
  password: string;
  database: string;
}

export const NOWHERE: Address = { host: '127.0.0.1', port: 5432, user: 'u', password: 'hidden-1', database: 'd' };
export const ALL_TABLES = JSON.stringify({
  rules: [
    {
      'rule-type': 'selection',
      'rule-id': '1',
      'rule-name': 'all',
      'object-locator': { 'schema-name': 'public', 'table-name': '%' },
      'rule-action': 'include',
    },
  ],
});

export async function makeInstance(rig: DmsRig, id: string): Promise<string> {
  const made = await rig.client.send(
    new CreateReplicationInstanceCommand({
      ReplicationInstanceIdentifier: id,
      ReplicationInstanceClass: 'dms.t3.medium',
      AllocatedStorage: 50,
    }),
  );
  const arn = made.ReplicationInstance?.ReplicationInstanceArn ?? '';
  await until(`instance ${id} is available`, async () => {
    const { ReplicationInstances } = await rig.client.send(
      new DescribeReplicationInstancesCommand({ Filters: [{ Name: 'replication-instance-arn', Values: [arn] }] }),
    );
    return ReplicationInstances?.[0]?.ReplicationInstanceStatus === 'available';
  });
  return arn;
}

export async function makeEndpoint(
  rig: DmsRig,
  id: string,
  type: 'source' | 'target',
  at: Address = NOWHERE,
  more: Partial<CreateEndpointCommandInput> = {},
): Promise<string> {
  const made = await rig.client.send(
    new CreateEndpointCommand({
      EndpointIdentifier: id,
      EndpointType: type,
      EngineName: 'postgres',
      ServerName: at.host,
      Port: at.port,
      Username: at.user,
      Password: at.password,
      DatabaseName: at.database,
      SslMode: 'none',
      ...more,
    }),
  );
  return made.Endpoint?.EndpointArn ?? '';
}

/** Tests a connection, and waits for its end. @returns its status and failure. */
export async function test(
  rig: DmsRig,
  ReplicationInstanceArn: string,
  EndpointArn: string,
): Promise<{ status: string; failure: string | undefined }> {
  await rig.client.send(new TestConnectionCommand({ ReplicationInstanceArn, EndpointArn }));
  return untilTested(rig, EndpointArn);
}

export function untilTested(
  rig: DmsRig,
  endpointArn: string,
): Promise<{ status: string; failure: string | undefined }> {
  return until('the connection is tested', async () => {
    const { Connections } = await rig.client.send(
      new DescribeConnectionsCommand({ Filters: [{ Name: 'endpoint-arn', Values: [endpointArn] }] }),
    );
    const connection = Connections?.[0];
    if (connection?.Status === undefined || connection.Status === 'testing') return undefined;
    return { status: connection.Status, failure: connection.LastFailureMessage };
  });
}

export interface Parts {
  instance: string;
  source: string;
  target: string;
}

/** An instance and two endpoints whose connections were tested. */
export async function makeParts(rig: DmsRig, name: string, from = NOWHERE, to = NOWHERE): Promise<Parts> {
  const parts = {
    instance: await makeInstance(rig, `${name}-instance`),
    source: await makeEndpoint(rig, `${name}-source`, 'source', from),
    target: await makeEndpoint(rig, `${name}-target`, 'target', to),
  };
  for (const endpoint of [parts.source, parts.target]) {
    const { status, failure } = await test(rig, parts.instance, endpoint);
    if (status !== 'successful') throw new Error(`${endpoint}: ${status}: ${failure}`);
  }
  return parts;
}

/** Creates a task and waits until it is ready. @returns its ARN. */
export async function makeTask(
  rig: DmsRig,
  id: string,
  parts: Parts,
  more: Partial<CreateReplicationTaskCommandInput> = {},
): Promise<string> {
  const made = await rig.client.send(
    new CreateReplicationTaskCommand({
      ReplicationTaskIdentifier: id,
      SourceEndpointArn: parts.source,
      TargetEndpointArn: parts.target,
      ReplicationInstanceArn: parts.instance,
      MigrationType: 'full-load-and-cdc',
      TableMappings: ALL_TABLES,
      ...more,
    }),
  );
  const arn = made.ReplicationTask?.ReplicationTaskArn ?? '';
  await untilTask(rig, arn, 'ready');
  return arn;
}

export async function describeTask(rig: DmsRig, arn: string): Promise<ReplicationTask> {
  const { ReplicationTasks } = await rig.client.send(
    new DescribeReplicationTasksCommand({ Filters: [{ Name: 'replication-task-arn', Values: [arn] }] }),
  );
  const task = ReplicationTasks?.[0];
  if (task === undefined) throw new Error(`DescribeReplicationTasks returned nothing for ${arn}`);
  return task;
}

export function untilTask(rig: DmsRig, arn: string, status: string): Promise<ReplicationTask> {
  return until(`${arn} is ${status}`, async () => {
    const task = await describeTask(rig, arn);
    if (task.Status === 'failed' && status !== 'failed') throw new Error(`failed: ${task.LastFailureMessage}`);
    return task.Status === status && task;
  });
}

export async function startTask(
  rig: DmsRig,
  arn: string,
  type: 'start-replication' | 'resume-processing' | 'reload-target' = 'start-replication',
): Promise<void> {
  await rig.client.send(new StartReplicationTaskCommand({ ReplicationTaskArn: arn, StartReplicationTaskType: type }));
}
