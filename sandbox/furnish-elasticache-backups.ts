/** What the examples of `elasticache-restore` and `elasticache-retire` need: a group with keys, and a snapshot of it. */
import {
  CreateReplicationGroupCommand,
  CreateSnapshotCommand,
  DescribeReplicationGroupsCommand,
  DescribeSnapshotsCommand,
  ElastiCacheClient,
} from '@aws-sdk/client-elasticache';
import { fillRedis } from './app/fill.ts';
import { clientSettings, unlessThere, until } from './make-once.ts';

/** The group that examples/elasticache-{restore,restore-drill,retire}.yaml name. */
export const BACKED_UP_GROUP = 'shop-sessions';
const SNAPSHOT = 'shop-sessions-yesterday';
const KEYS = 500;

/**
 * By the ordinary AWS SDK; what is there already stays.
 * @throws Error of the SDK or of Redis; Error where it is not available within two minutes
 */
export async function furnishElastiCacheBackups(aws: { url: string; region: string }): Promise<void> {
  const client = new ElastiCacheClient(clientSettings(aws));
  try {
    const made = await unlessThere('ReplicationGroupAlreadyExistsFault', () =>
      client.send(
        new CreateReplicationGroupCommand({
          ReplicationGroupId: BACKED_UP_GROUP,
          ReplicationGroupDescription: 'the sandbox’s example of backups',
          Engine: 'redis',
          EngineVersion: '7.0',
          CacheNodeType: 'cache.t4g.micro',
          NumCacheClusters: 2,
          AutomaticFailoverEnabled: true,
        }),
      ),
    );
    const { host, port } = await availableAt(client);
    if (made) await fillRedis({ host, port, keys: KEYS });
    await unlessThere('SnapshotAlreadyExistsFault', () =>
      client.send(new CreateSnapshotCommand({ SnapshotName: SNAPSHOT, CacheClusterId: `${BACKED_UP_GROUP}-001` })),
    );
    await until(`snapshot ${SNAPSHOT}`, async () => {
      const { Snapshots } = await client.send(new DescribeSnapshotsCommand({ SnapshotName: SNAPSHOT }));
      return Snapshots?.[0]?.SnapshotStatus === 'available' ? true : undefined;
    });
    await availableAt(client);
  } finally {
    client.destroy();
  }
}

function availableAt(client: ElastiCacheClient): Promise<{ host: string; port: number }> {
  return until(`replication group ${BACKED_UP_GROUP}`, async () => {
    const answer = await client.send(new DescribeReplicationGroupsCommand({ ReplicationGroupId: BACKED_UP_GROUP }));
    const group = answer.ReplicationGroups?.[0];
    const endpoint = group?.NodeGroups?.[0]?.PrimaryEndpoint;
    return group?.Status === 'available' && endpoint?.Address && endpoint.Port
      ? { host: endpoint.Address, port: endpoint.Port }
      : undefined;
  });
}
