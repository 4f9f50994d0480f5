/** A replication group of the sandbox, made as anybody makes one. */
import {
  CreateReplicationGroupCommand,
  DescribeReplicationGroupsCommand,
  ElastiCacheClient,
} from '@aws-sdk/client-elasticache';
import { setTimeout as delay } from 'node:timers/promises';

/** The group that examples/*.yaml name. */
export const EXAMPLE_GROUP = 'shop-cache';
const LIMIT_MS = 120_000;

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
