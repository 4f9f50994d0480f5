/** The plan of `dynamodb-export`. Pure. */
import type { Setting } from '../spec/dynamodb.ts';
import { recoveryDaysOf, type DynamoDbExport } from '../spec/kind-dynamodb-export.ts';
import type { Plan } from '../spec/status.ts';

const shown = (given: Setting<string | number>): string =>
  typeof given === 'object' ? `SSM ${given.ssm}` : `${given}`;

export function dynamodbExportPlan(migration: DynamoDbExport): Plan {
  const { tables, at, type } = migration;
  const from = Array.isArray(tables) ? tables.map(shown).join(', ') : shown(tables);
  const { enable } = recoveryDaysOf(migration);
  const when =
    type !== 'full'
      ? `changes from ${type.incremental.from} to ${type.incremental.to}`
      : typeof at === 'string'
        ? `as of ${at}`
        : `as of day ${shown(at.day)}, ${[at.hour, at.minute, at.second].map(shown).join(':')} ${shown(at.timeZone)}`;
  return {
    kind: migration.kind,
    title: migration.description ?? `Export of ${from}`,
    summary: `DynamoDB ${from} → s3://${shown(migration.bucket)}/${migration.prefix}, ${when}`,
    steps: [
      { id: 'settings', kind: 'step', title: 'Read the settings that are kept in SSM, and work out the point in time' },
      {
        id: 'preflight',
        kind: 'step',
        title: 'Identity, bucket, limits, and each table with its point-in-time recovery',
      },
      ...(enable
        ? [
            {
              id: 'recovery',
              kind: 'step' as const,
              title: 'Switch point-in-time recovery on where it is off',
              undo: 'switched off again where it was off before; once it is on everywhere it stays on, and is named',
            },
          ]
        : []),
      {
        id: 'export',
        kind: 'step',
        title: `Export each table by itself, at most ${migration.concurrency} at once, wait for it, and verify its manifests and ${migration.verify === 'full' ? 'every line of its files' : "its files' ETags"}`,
        undo: 'no export can be stopped or deleted by AWS: those that were begun are named, with their objects',
        skip: 'the tables that failed have no export; those that did not are kept',
      },
      ...(migration.retention
        ? [
            {
              id: 'retention',
              kind: 'step' as const,
              title:
                "Delete the objects of this migration's older exports that no rule keeps, never those of a table's newest",
              skip: 'older exports stay',
              warning: 'objects that were deleted do not come back (but as old versions, where the bucket keeps them)',
            },
          ]
        : []),
    ],
    warnings: [
      'An export is of one point in time within about a minute, and not transactionally consistent.',
      ...(type === 'full' ? [] : ['An incremental export is of use only with every export before it.']),
    ],
  };
}
