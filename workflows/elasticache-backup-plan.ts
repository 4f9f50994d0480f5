/** The plan of `elasticache-backup`. Pure. */
import type { ElastiCacheBackup } from '../spec/kind-elasticache-backup.ts';
import type { Plan, PlannedStep } from '../spec/status.ts';

/** `<id>-<date>-<time>`: what a run calls its snapshot where the file gives no name. */
export const nameForPlan = (given: string | undefined, id: string) => given ?? `${id}-<time of the run>`;

export function elasticacheBackupPlan(migration: ElastiCacheBackup): Plan {
  const group = migration.replicationGroup;
  const name = nameForPlan(migration.snapshotName, migration.id);
  const { daily, retention } = migration;
  const warnings = [];
  if (migration.snapshot) warnings.push('No other change of the group is possible while the snapshot is taken.');
  if (daily) warnings.push('Automatic snapshots die with their group; those beyond a lowered limit go at once.');
  if (retention)
    warnings.push(
      'What the retention deletes can’t be brought back; it comes last, after the proof, and from there an abort keeps the new snapshot.',
    );
  return {
    kind: migration.kind,
    title: migration.description ?? (migration.snapshot ? `Snapshot of ${group}` : `Daily snapshots of ${group}`),
    summary: `ElastiCache ${group} → ${migration.snapshot ? `snapshot ${name}` : 'daily snapshots'}`,
    steps: [
      { id: 'preflight', kind: 'step', title: `${group} is available and can be backed up` },
      ...(migration.snapshot ? snapshotSteps(name) : []),
      ...exportSteps(migration, name),
      ...dailySteps(migration),
      ...(retention
        ? [
            {
              id: 'retention',
              kind: 'step' as const,
              title:
                'Delete the manual snapshots of this migration that the file does not keep; never the last good one',
              skip: 'old snapshots stay until a later run',
            },
          ]
        : []),
    ],
    warnings,
  };
}

/** Of `elasticache-retire` too, which takes the same proven snapshot first. */
export function snapshotSteps(name: string): PlannedStep[] {
  return [
    {
      id: 'snapshot',
      kind: 'step',
      title: `CreateSnapshot ${name}, from a replica where there is one, and wait; an event SnapshotFailed ends the wait`,
      undo: `the unfinished or unwanted snapshot ${name} is deleted`,
    },
    { id: 'verify', kind: 'step', title: 'Read it back: available, ours, one node snapshot for each shard' },
  ];
}

function exportSteps(migration: ElastiCacheBackup, name: string): PlannedStep[] {
  if (!migration.export) return [];
  const { bucket, prefix } = migration.export;
  return [
    {
      id: 'export',
      kind: 'step',
      title: `CopySnapshot to s3://${bucket}/${prefix}${name}-<shard>.rdb, and prove each object there`,
      undo: 'the objects of this export are deleted',
    },
  ];
}

function dailySteps({ daily }: ElastiCacheBackup): PlannedStep[] {
  if (!daily) return [];
  const what = daily.retentionLimit === 0 ? 'off' : `kept ${daily.retentionLimit} day(s)`;
  return [
    {
      id: 'daily',
      kind: 'step',
      title: `Automatic snapshots: ${what}${daily.window ? `, at ${daily.window} UTC` : ''} (ModifyReplicationGroup)`,
      undo: 'the former daily settings are put back; automatic snapshots that AWS deleted meanwhile are gone',
    },
  ];
}
