/** What the examples of `elasticache-restore` and `elasticache-retire` need: a group with keys, and a snapshot of it. */
import {
  CreateReplicationGroupCommand,
  CreateSnapshotCommand,
  DescribeReplicationGroupsCommand,
  DescribeSnapshotsCommand,
  ElastiCacheClient,
} from '@aws-sdk/client-elasticache';
import { setTimeout as delay } from 'node:timers/promises';
import { fillRedis } from './app/fill.ts';

/** The group that examples/elasticache-{restore,restore-drill,retire}.yaml name. */
export const BACKED_UP_GROUP = 'shop-sessions';
const SNAPSHOT = 'shop-sessions-yesterday';
const KEYS = 500;
const LIMIT_MS = 120_000;

/**
 * By the ordinary AWS SDK; what is there already stays.
 * @throws Error of the SDK or of Redis; Error where it is not available within two minutes
 */
export async function furnishElastiCacheBackups(aws: { url: string; region: string }): Promise<void> {
  const client = new ElastiCacheClient({
    endpoint: aws.url,
    region: aws.region,
    credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
  });
  try {
    const isNew = await unlessThere('ReplicationGroupAlreadyExistsFault', () =>
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
    if (isNew) await fillRedis({ host, port, keys: KEYS });
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

/** @returns false where there is one already. */
async function unlessThere(fault: string, make: () => Promise<unknown>): Promise<boolean> {
  try {
    await make();
    return true;
  } catch (error) {
    if (error instanceof Error && error.name === fault) return false;
    throw error;
  }
}

async function until<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`${what} is not available after ${LIMIT_MS / 1000} s`);
    await delay(100);
  }
}
