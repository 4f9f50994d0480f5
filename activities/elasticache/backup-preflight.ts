/** Checks of `elasticache-backup`, alone: the group is there, available, and can be backed up (facts/redis-aws 3.3). */
import { summarisePreflight, type CheckReport, type PreflightReport } from '../../spec/preflight.ts';
import type { ElastiCacheBackup } from '../../spec/kind-elasticache-backup.ts';
import { describeGroup } from './replication-group.ts';
import { findSnapshot } from './snapshot.ts';

/** @throws what describeGroup throws: without the group there is nothing to check */
export async function preflightBackup({ migration }: { migration: ElastiCacheBackup }): Promise<PreflightReport> {
  const { replicationGroup: id, aws } = migration;
  const name = migration.snapshotName ?? migration.id;
  const group = await describeGroup({ id, aws });
  const existing = await findSnapshot({ snapshotName: name, aws });
  const checks: CheckReport[] = [
    {
      id: 'B1',
      title: 'the group is available',
      result: group.status === 'available' ? 'pass' : 'fail',
      found: `${id} is ${group.status}`,
      ...(group.status === 'available' ? {} : { remedy: 'wait until it is; its events tell what it is doing' }),
    },
    {
      id: 'B2',
      title: 'the node type can be backed up',
      result: group.cacheNodeType.startsWith('cache.t1.') ? 'fail' : 'pass',
      found: group.cacheNodeType,
      ...(group.cacheNodeType.startsWith('cache.t1.') ? { remedy: 't1.micro has no backups: another node type' } : {}),
    },
    {
      id: 'B3',
      title: 'the snapshot’s name is free',
      result: existing ? 'warn' : 'pass',
      found: existing ? `${name} is ${existing.SnapshotStatus ?? 'there'} already` : `${name} is free`,
      ...(existing ? { remedy: 'it is adopted where this migration made it; else give another snapshotName' } : {}),
    },
  ];
  return summarisePreflight(checks);
}
