/** The plan of `dynamodb-restore`. Pure. */
import type { DynamoDbRestore } from '../spec/kind-dynamodb-restore.ts';
import type { Plan } from '../spec/status.ts';

export function dynamodbRestorePlan(migration: DynamoDbRestore): Plan {
  const { from, drill } = migration;
  const table = migration.table ?? `${migration.id}-<time>`;
  const source = 'table' in from ? `${from.table} at ${from.at}` : from.export;
  return {
    kind: migration.kind,
    title: migration.description ?? `${drill ? 'Rehearsal: restore' : 'Restore'} of ${source}`,
    summary: `DynamoDB ${source} → table ${table}${drill ? ', deleted at the end' : ''}`,
    steps: [
      { id: 'preflight', kind: 'step', title: 'What is restored from is there and whole, and the new name is free' },
      {
        id: 'restore',
        kind: 'step',
        title:
          'table' in from
            ? `RestoreTableToPointInTime to ${table}, and wait until it is ACTIVE`
            : `ImportTable to ${table}, and wait until it is COMPLETED without an error`,
        undo: `the table ${table} is deleted, if it is the one that was made`,
      },
      {
        id: 'verify',
        kind: 'step',
        title:
          'table' in from
            ? 'Read the table from end to end: nothing tells what it held at that time'
            : `Count the table, and compare ${migration.verify === 'full' ? 'every item' : migration.verify === 'sample' ? 'one item in a hundred' : 'no item'} with the export's`,
        // A rehearsal that proves nothing must not end as done.
        ...(drill ? {} : { skip: 'the table is not known to be what was exported' }),
      },
      ...(drill
        ? [{ id: 'delete', kind: 'step' as const, title: `Delete ${table}, and report how long it took` }]
        : []),
    ],
    warnings: [
      'A restore brings items and indexes back, and no tags, time to live, stream, auto scaling, alarms or policies.',
    ],
  };
}
