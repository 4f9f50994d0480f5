/** The plan of `elasticache-restore`. Pure. */
import { hookTitle } from '../spec/hooks.ts';
import type { ElastiCacheRestore } from '../spec/kind-elasticache-restore.ts';
import type { Plan, PlannedStep } from '../spec/status.ts';
import { nameForPlan } from './elasticache-backup-plan.ts';
import { gateOpens } from './plan-text.ts';

export function elasticacheRestorePlan(migration: ElastiCacheRestore): Plan {
  const target = nameForPlan(migration.to.replicationGroup, migration.id);
  const from = fromText(migration.from);
  return {
    kind: migration.kind,
    title: migration.description ?? `${migration.drill ? 'Restore drill of' : 'Restore'} ${from}`,
    summary: `${from} → ElastiCache ${target}${migration.drill ? ', and deleted again' : ''}`,
    steps: [
      { id: 'preflight', kind: 'step', title: 'The snapshot is complete, and the file fits it' },
      {
        id: 'restore',
        kind: 'step',
        title: `CreateReplicationGroup ${target} from it, until every node is available`,
        undo: `${target} is deleted, and proven gone${migration.switch.length > 0 ? '; once the switch has begun it stays' : ''}`,
      },
      {
        id: 'verify',
        kind: 'step',
        title: 'Every node answers; keys counted by shard and database; sample keys looked up',
        // A drill that proves nothing is none.
        ...(migration.drill ? {} : { skip: 'what the new group holds is not proven' }),
      },
      ...lastSteps(migration, target),
    ],
    warnings: [
      'A restore is of the time of its snapshot: what was written since is not in it.',
      ...(migration.switch.length > 0
        ? [
            `An abort once the switch has begun sends the application back, and leaves ${target}: it may have been written to.`,
          ]
        : []),
    ],
  };
}

function lastSteps(migration: ElastiCacheRestore, target: string): PlannedStep[] {
  if (migration.drill) {
    return [
      { id: 'delete', kind: 'step', title: `${target} is deleted, and proven gone; the times are in the report` },
    ];
  }
  if (migration.switch.length === 0) return [];
  return [
    { id: 'approve-switch', kind: 'gate', title: `Gate: ${gateOpens(migration.gate)}, while ${target} is available` },
    {
      id: 'switch',
      kind: 'step',
      title: `Switch: ${migration.switch.map(hookTitle).join(', then ')}`,
      undo: 'the hooks that ran are undone, the last one first',
      skip: 'the hooks that did not run are left to you',
    },
  ];
}

function fromText(from: ElastiCacheRestore['from']): string {
  if ('snapshot' in from) return `snapshot ${from.snapshot}`;
  if ('latestOf' in from) return `the newest snapshot of ${from.latestOf}`;
  return `${from.s3.length} file(s) in S3`;
}
