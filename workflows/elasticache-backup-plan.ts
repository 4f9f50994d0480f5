/** The plan of `elasticache-backup`. Pure. */
import type { ElastiCacheBackup } from '../spec/kind-elasticache-backup.ts';
import type { Plan } from '../spec/status.ts';

export function snapshotNameOf(migration: ElastiCacheBackup): string {
  return migration.snapshotName ?? migration.id;
}

export function elasticacheBackupPlan(migration: ElastiCacheBackup): Plan {
  const group = migration.replicationGroup;
  const name = snapshotNameOf(migration);
  return {
    kind: migration.kind,
    title: migration.description ?? `Snapshot of ${group}`,
    summary: `ElastiCache ${group} → snapshot ${name}`,
    steps: [
      { id: 'preflight', kind: 'step', title: `${group} is available and can be backed up` },
      {
        id: 'snapshot',
        kind: 'step',
        title: `CreateSnapshot ${name}, from a replica where there is one, and wait; an event SnapshotFailed ends the wait`,
        undo: `the unfinished or unwanted snapshot ${name} is deleted`,
      },
      { id: 'verify', kind: 'step', title: 'Read it back: available, ours, one node snapshot for each shard' },
    ],
    warnings: ['No other change of the group is possible while the snapshot is taken.'],
  };
}
