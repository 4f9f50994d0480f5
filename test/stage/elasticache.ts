/** An `elasticache` migration on a stage: the sandbox's AWS with a real group, a real source, an application. */
import { join } from 'node:path';
import {
  CreateReplicationGroupCommand,
  DeleteReplicationGroupCommand,
  DescribeReplicationGroupsCommand,
  ElastiCacheClient,
} from '@aws-sdk/client-elasticache';
import { startMigration, type MigrationHandle } from '../../client/index.ts';
import { controlApp } from '../../sandbox/app/control.ts';
import { fillRedis } from '../../sandbox/app/fill.ts';
import { startApp, type App } from '../../sandbox/app/writer.ts';
import { startAws, type Aws } from '../../sandbox/aws/index.ts';
import type { RedisServer } from '../../sandbox/runtime/redis.ts';
import { ensureTool } from '../../sandbox/runtime/tools.ts';
import type { Server } from './expectations.ts';
import { endFirstAttempt, isSecondAttempt } from './second-attempt.ts';
import { until, type Stage } from './stage.ts';

/** The sandbox's AWS on a stage, for as long as the stage is open. */
export async function openAws(stage: Stage): Promise<Aws> {
  const { path } = await ensureTool('redis-server');
  const aws = await startAws({ dir: join(stage.dir, 'aws'), redisServer: path, timing: { attach: 20_000 } });
  return stage.endLater(aws, () => aws.stop());
}

/** What a worker needs to reach that AWS; it is asked ten times a second instead of every 5 s. */
export function workerEnvironment(aws: Aws): Record<string, string> {
  return { ...aws.env, CUTOVER_AWS_POLL_MS: '100' };
}

export function elastiCacheClient(aws: Aws): ElastiCacheClient {
  return new ElastiCacheClient({
    endpoint: aws.url,
    region: aws.region,
    credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
  });
}

/** Creates a group as a target of an online migration has to be, and waits until it is available. */
export async function createGroup(aws: Aws, id: string, more: Record<string, unknown> = {}): Promise<Server> {
  const client = elastiCacheClient(aws);
  try {
    if (isSecondAttempt()) await removeGroup(client, id);
    await client.send(
      new CreateReplicationGroupCommand({
        ReplicationGroupId: id,
        ReplicationGroupDescription: 'a target',
        Engine: 'redis',
        CacheNodeType: 'cache.t3.medium',
        NumCacheClusters: 2,
        AutomaticFailoverEnabled: true,
        MultiAZEnabled: true,
        ...more,
      }),
    );
    return await until(`${id} is available`, async () => {
      const { ReplicationGroups } = await client.send(new DescribeReplicationGroupsCommand({ ReplicationGroupId: id }));
      const group = ReplicationGroups?.[0];
      const endpoint = group?.ConfigurationEndpoint ?? group?.NodeGroups?.[0]?.PrimaryEndpoint;
      return group?.Status === 'available' && endpoint?.Port
        ? { host: endpoint.Address!, port: endpoint.Port }
        : undefined;
    });
  } finally {
    client.destroy();
  }
}

async function removeGroup(client: ElastiCacheClient, id: string): Promise<void> {
  await until(`${id} of the first attempt is gone`, () =>
    client.send(new DeleteReplicationGroupCommand({ ReplicationGroupId: id })).then(
      () => false,
      (error: unknown) => error instanceof Error && error.name === 'ReplicationGroupNotFoundFault',
    ),
  );
}

export interface GroupScene {
  id: string;
  source: RedisServer;
  target: Server;
  app: App;
  handle: MigrationHandle;
  migration: Record<string, unknown>;
}

/** Everything up and the migration started; nothing is waited for. */
export async function openGroupScene(
  stage: Stage,
  aws: Aws,
  options: {
    id: string;
    keys?: number;
    rate?: number;
    more?: Record<string, unknown>;
    group?: Record<string, unknown>;
  },
): Promise<GroupScene> {
  const source = await stage.redis();
  const target = await createGroup(aws, options.id, options.group);
  await fillRedis({ host: source.host, port: source.port, keys: options.keys ?? 2_000, seed: 2 });
  const app = startApp({ endpoint: { host: source.host, port: source.port }, rate: options.rate ?? 400, clients: 4 });
  stage.endLater(app, () => app.stop());
  const control = await controlApp(app);
  stage.endLater(control, () => control.close());
  const migration = {
    kind: 'redis-online',
    id: options.id,
    engine: 'elasticache',
    crashDetection: '2s',
    source: { host: source.host, port: source.port },
    target: { replicationGroup: options.id },
    aws: { region: aws.region },
    inSync: { interval: '100ms', readings: 2 },
    cutover: { budgets: { fence: '1s', drain: '5s', complete: '20s', canary: '5s' } },
    switch: [
      {
        type: 'webhook',
        url: `${control.url}/switch`,
        body: { host: '${target.host}', port: '${target.port}' },
        timeout: '20s',
      },
    ],
    ...options.more,
  };
  await endFirstAttempt(stage.client, options.id);
  const handle = await startMigration(stage.client, { migration: migration as never });
  return { id: options.id, source, target, app, handle, migration };
}
