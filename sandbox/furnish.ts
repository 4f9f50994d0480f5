/** What `cutover sandbox up` puts into a new sandbox, so that the files in examples/ run in it as they stand. */
import {
  CreateReplicationGroupCommand,
  DescribeReplicationGroupsCommand,
  ElastiCacheClient,
} from '@aws-sdk/client-elasticache';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fillRedis } from './app/fill.ts';
import type { Sandbox } from './assemble.ts';
import { fillOnce, startRedashService, type RedashService } from './redash-service.ts';
import { freePort } from './runtime/ports.ts';

// The SDK warns about old versions of Node in the middle of somebody's screen; package.json's `engines` says it too.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

/** The group that examples/*.yaml name. */
export const EXAMPLE_GROUP = 'shop-cache';
const EXAMPLE_KEYS = 20_000;
const LIMIT_MS = 120_000;

export interface FurnishOptions {
  /** Of the application that writes to Postgres. Default: a free one. */
  redashPort?: number | undefined;
  /** Told what is done that takes its time. */
  say?: ((line: string) => void) | undefined;
}

export interface Furnished {
  /** Its own HTTP address; undefined where there is no Postgres. */
  redashUrl: string | undefined;
  /** Ends the application; to be called before the sandbox is stopped, under which it would fail. May be called again. */
  stop(): Promise<void>;
}

/**
 * What is there already stays. Ended by its `stop`, and by the end of this process.
 * @throws Error of the SDK, of Redis or pg; Error where the application's port is taken; nothing of its own is left running
 */
export async function furnish(sandbox: Sandbox, options: FurnishOptions = {}): Promise<Furnished> {
  const redash = furnishPostgres(sandbox, options);
  const others = await Promise.allSettled([furnishRedis(sandbox), redash]);
  const failed = others.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    await (await redash.catch(() => undefined))?.service.stop();
    throw failed.reason;
  }
  const made = await redash;
  return { redashUrl: made?.url, stop: async () => made?.service.stop() };
}

async function furnishPostgres(
  { postgres, dir }: Sandbox,
  { redashPort, say = () => {} }: FurnishOptions,
): Promise<{ url: string; service: RedashService } | undefined> {
  if (postgres === undefined) return undefined;
  await fillOnce(postgres, say);
  const port = redashPort ?? (await freePort());
  const service = await startRedashService(postgres, { dir: join(dir, 'redash'), port });
  return { url: `http://127.0.0.1:${port}`, service };
}

async function furnishRedis(sandbox: Sandbox): Promise<void> {
  const client = sandbox.source?.connect();
  const empty = client !== undefined && (await client.info('keyspace')).trim() === '# Keyspace';
  client?.disconnect();
  if (sandbox.source && empty) {
    await fillRedis({ host: sandbox.source.host, port: sandbox.source.port, keys: EXAMPLE_KEYS });
  }
  if (sandbox.aws) await createGroup(sandbox.env, EXAMPLE_GROUP);
}

/**
 * A replication group fit for an online migration, by the ordinary AWS SDK: one shard, a primary and a replica, Multi-AZ,
 * no encryption in transit. One that is there already stays. Returns once it is available.
 * @throws Error of the SDK; Error when it is not available within two minutes
 */
export async function createGroup(env: Readonly<Record<string, string>>, id: string): Promise<void> {
  const client = elastiCacheOf(env);
  try {
    await client
      .send(
        new CreateReplicationGroupCommand({
          ReplicationGroupId: id,
          ReplicationGroupDescription: 'the sandbox’s example',
          Engine: 'redis',
          EngineVersion: '7.0',
          CacheNodeType: 'cache.r6g.large',
          NumCacheClusters: 2,
          AutomaticFailoverEnabled: true,
          MultiAZEnabled: true,
          TransitEncryptionEnabled: false,
        }),
      )
      .catch((error: unknown) => {
        if (!(error instanceof Error) || error.name !== 'ReplicationGroupAlreadyExistsFault') throw error;
      });
    const deadline = Date.now() + LIMIT_MS;
    for (;;) {
      const { ReplicationGroups } = await client.send(new DescribeReplicationGroupsCommand({ ReplicationGroupId: id }));
      const status = ReplicationGroups?.[0]?.Status;
      if (status !== 'creating') return;
      if (Date.now() > deadline)
        throw new Error(`replication group ${id} is still ${status} after ${LIMIT_MS / 1000} s`);
      await delay(100);
    }
  } finally {
    client.destroy();
  }
}

/** A client of the sandbox's AWS, whatever the environment of this process says. */
export function elastiCacheOf(env: Readonly<Record<string, string>>): ElastiCacheClient {
  return new ElastiCacheClient({
    endpoint: env['AWS_ENDPOINT_URL']!,
    region: env['AWS_REGION']!,
    credentials: { accessKeyId: env['AWS_ACCESS_KEY_ID']!, secretAccessKey: env['AWS_SECRET_ACCESS_KEY']! },
  });
}
