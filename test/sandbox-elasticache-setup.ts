import {
  CreateReplicationGroupCommand,
  DescribeEventsCommand,
  DescribeReplicationGroupsCommand,
  ElastiCacheClient,
  StartMigrationCommand,
} from '@aws-sdk/client-elasticache';
import type { CreateReplicationGroupCommandInput, ReplicationGroup } from '@aws-sdk/client-elasticache';
import { Redis } from 'ioredis';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startAws } from '../sandbox/aws/index.ts';
import type { Aws, StartAwsOptions } from '../sandbox/aws/index.ts';
import { startRedis } from '../sandbox/runtime/redis.ts';
import type { RedisServer, StartRedisOptions } from '../sandbox/runtime/redis.ts';
import { ensureTool } from '../sandbox/runtime/tools.ts';

/** A sandbox's AWS with an unmodified SDK client, sources, and Redis clients, all ended by `end`. */
export interface Rig {
  dir: string;
  aws: Aws;
  client: ElastiCacheClient;
  /** Another client; tests of hanging calls give it a short timeout, others their own key. */
  clientWith(options: { accessKeyId?: string; maxAttempts?: number; timeoutMs?: number }): ElastiCacheClient;
  /** A client of another sandbox. */
  clientAt(url: string): ElastiCacheClient;
  source(options?: Partial<StartRedisOptions>): Promise<RedisServer>;
  redis(port: number, options?: { db?: number; password?: string }): Redis;
  restart(options?: Partial<StartAwsOptions>): Promise<void>;
  end(): Promise<void>;
}

export async function startRig(options: Partial<StartAwsOptions> = {}): Promise<Rig> {
  const dir = mkdtempSync(join(tmpdir(), 'sandbox-elasticache-'));
  const redisServer = (await ensureTool('redis-server')).path;
  const start = (more: Partial<StartAwsOptions> = {}): Promise<Aws> =>
    startAws({ dir: join(dir, 'aws'), redisServer, ...options, ...more });
  const sources: RedisServer[] = [];
  const redisClients: Redis[] = [];
  const clients: ElastiCacheClient[] = [];
  const connect = (
    url: string,
    { accessKeyId = 'sandbox', maxAttempts = 3, timeoutMs = 60_000 }: Parameters<Rig['clientWith']>[0],
  ): ElastiCacheClient => {
    const client = new ElastiCacheClient({
      endpoint: url,
      region: rig.aws.region,
      credentials: { accessKeyId, secretAccessKey: 'sandbox' },
      maxAttempts,
      // Without the second the SDK only warns, and waits for ever.
      requestHandler: { requestTimeout: timeoutMs, throwOnRequestTimeout: true },
    });
    clients.push(client);
    return client;
  };
  const clientWith: Rig['clientWith'] = (more) => connect(rig.aws.url, more);
  const rig: Rig = {
    dir,
    aws: await start(),
    client: undefined as unknown as ElastiCacheClient,
    clientWith,
    clientAt: (url) => connect(url, {}),
    source: async (more = {}) => {
      const { config, ...rest } = more;
      const source = await startRedis({
        dir: join(dir, `source-${sources.length}`),
        // The default waits 5 s for more replicas before each sync.
        config: { 'repl-diskless-sync-delay': '0', ...config },
        ...rest,
      });
      sources.push(source);
      return source;
    },
    redis: (port, more = {}) => {
      const client = new Redis({ host: '127.0.0.1', port, ...more });
      client.on('error', () => {});
      redisClients.push(client);
      return client;
    },
    restart: async (more) => {
      await rig.aws.stop();
      rig.aws = await start(more);
      rig.client = clientWith({});
    },
    end: async () => {
      for (const client of redisClients) client.disconnect();
      for (const client of clients) client.destroy();
      await rig.aws.stop();
      for (const source of sources) {
        source.signal('SIGCONT');
        await source.kill();
        await source.stop();
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
  rig.client = clientWith({});
  return rig;
}

const PLAIN: Omit<CreateReplicationGroupCommandInput, 'ReplicationGroupId'> = {
  ReplicationGroupDescription: 'a target',
  CacheNodeType: 'cache.t4g.micro',
  NumCacheClusters: 2,
  AutomaticFailoverEnabled: true,
  MultiAZEnabled: true,
};

/** Creates a group that is fit as a migration's target, and waits until it is available. */
export async function createTarget(
  rig: Rig,
  id: string,
  more: Partial<CreateReplicationGroupCommandInput> = {},
): Promise<ReplicationGroup> {
  await rig.client.send(new CreateReplicationGroupCommand({ ReplicationGroupId: id, ...PLAIN, ...more }));
  return untilStatus(rig, id, 'available');
}

export async function startMigration(rig: Rig, id: string, port: number): Promise<void> {
  await rig.client.send(
    new StartMigrationCommand({
      ReplicationGroupId: id,
      CustomerNodeEndpointList: [{ Address: '127.0.0.1', Port: port }],
    }),
  );
}

export async function describe(rig: Rig, id: string): Promise<ReplicationGroup> {
  const { ReplicationGroups } = await rig.client.send(new DescribeReplicationGroupsCommand({ ReplicationGroupId: id }));
  const group = ReplicationGroups?.[0];
  if (group === undefined) throw new Error(`DescribeReplicationGroups returned nothing for ${id}`);
  return group;
}

/** Polls until the probe gives a value. @throws Error after a minute, with what was awaited. */
export async function until<T>(what: string, probe: () => Promise<T | undefined | false>): Promise<T> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`Not within a minute: ${what}`);
    await delay(25);
  }
}

export function untilStatus(rig: Rig, id: string, status: string): Promise<ReplicationGroup> {
  return until(`${id} is ${status}`, async () => {
    const group = await describe(rig, id);
    return group.Status === status && group;
  });
}

/** Messages of a group's events, oldest first. */
export async function messages(rig: Rig, id: string): Promise<string[]> {
  const { Events } = await rig.client.send(
    new DescribeEventsCommand({ SourceType: 'replication-group', SourceIdentifier: id }),
  );
  return (Events ?? []).map((event) => event.Message ?? '').reverse();
}

export function untilMessage(rig: Rig, id: string, pattern: RegExp): Promise<string> {
  return until(`an event of ${id} that matches ${pattern}`, async () =>
    (await messages(rig, id)).find((message) => pattern.test(message)),
  );
}

export function primaryPort(group: ReplicationGroup): number {
  const port = group.NodeGroups?.[0]?.PrimaryEndpoint?.Port;
  if (port === undefined) throw new Error(`${group.ReplicationGroupId} has no primary endpoint`);
  return port;
}

/** What a call was refused with; fails when it was not. */
export async function refusal(call: Promise<unknown>): Promise<{ name: string; Code: string; message: string }> {
  try {
    await call;
  } catch (error) {
    const { name, message, Code } = error as Error & { Code?: string };
    return { name, Code: Code ?? '', message };
  }
  throw new Error('The call was not refused.');
}

/** Waits until a target has everything its source has: link up, same history, the source's offset reached. */
export async function untilInSync(source: Redis, target: Redis): Promise<void> {
  await until('the target is in sync', async () => {
    const [there, here] = [await source.info('replication'), await target.info('replication')];
    const field = (info: string, name: string): string => new RegExp(`${name}:(.*)`).exec(info)?.[1]?.trim() ?? '';
    return (
      field(here, 'master_link_status') === 'up' &&
      field(here, 'master_replid') === field(there, 'master_replid') &&
      Number(field(here, 'slave_repl_offset')) >= Number(field(there, 'master_repl_offset'))
    );
  });
}
