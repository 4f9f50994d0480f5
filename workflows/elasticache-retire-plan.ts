/** The plan of `elasticache-retire`. Pure. */
import type { ElastiCacheRetire } from '../spec/kind-elasticache-retire.ts';
import type { Plan } from '../spec/status.ts';
import { nameForPlan, snapshotSteps } from './elasticache-backup-plan.ts';

export function elasticacheRetirePlan(migration: ElastiCacheRetire): Plan {
  const group = migration.replicationGroup;
  const name = nameForPlan(migration.snapshotName, migration.id);
  const final = migration.finalSnapshotName ?? `${name}-final`;
  return {
    kind: migration.kind,
    title: migration.description ?? `Retire ${group}`,
    summary: `ElastiCache ${group} → snapshots ${name} and ${final}, then deleted`,
    steps: [
      { id: 'preflight', kind: 'step', title: 'Who is still connected, and what would die with the group' },
      ...snapshotSteps(name),
      { id: 'approve-delete', kind: 'gate', title: `Gate: an operator types the name ${group}` },
      {
        id: 'delete',
        kind: 'step',
        title: `DeleteReplicationGroup ${group} with the final snapshot ${final}, until the group is gone and the snapshot whole`,
        warning: 'from here there is no way back: an abort is refused, unless the final snapshot fails',
      },
      { id: 'prove', kind: 'step', title: 'Read both snapshots back: available, one node snapshot for each shard' },
    ],
    warnings: [
      `Before the gate an abort leaves ${group} as it was. After it nothing can be undone; the data is in the two snapshots.`,
      'Automatic snapshots die with the group; the preflight names them.',
    ],
  };
}
