/** A replication group of the sandbox, made as anybody makes one. */
import {
  CreateReplicationGroupCommand,
  DescribeReplicationGroupsCommand,
  ElastiCacheClient,
} from '@aws-sdk/client-elasticache';
import { unlessThere, until } from './make-once.ts';

/** The group that examples/*.yaml name. */
export const EXAMPLE_GROUP = 'shop-cache';

/**
 * A replication group fit for an online migration, by the ordinary AWS SDK: one shard, a primary and a replica, Multi-AZ,
 * no encryption in transit. One that is there already stays. Returns once it is available.
 * @throws Error of the SDK; Error when it is not available within two minutes
 */
export async function createGroup(env: Readonly<Record<string, string>>, id: string): Promise<void> {
  const client = elastiCacheOf(env);
  try {
    await unlessThere('ReplicationGroupAlreadyExistsFault', () =>
      client.send(
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
      ),
    );
    await until(`replication group ${id}`, async () => {
      const { ReplicationGroups } = await client.send(new DescribeReplicationGroupsCommand({ ReplicationGroupId: id }));
      return ReplicationGroups?.[0]?.Status === 'creating' ? undefined : true;
    });
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
