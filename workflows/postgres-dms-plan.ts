/** The steps and warnings that DMS adds to the plan of `postgres`. Pure. */
import type { Postgres } from '../spec/kind-postgres.ts';
import type { ReplicationEngine } from './postgres-replication.ts';

export function dmsSteps(migration: Postgres): Pick<ReplicationEngine, 'steps' | 'warnings'> {
  const { instance } = migration.replication;
  const existing = 'existing' in instance ? instance.existing : undefined;
  return {
    steps: [
      {
        id: 'dms-instance',
        kind: 'step',
        title: existing ? `DMS replication instance ${existing}, which is there` : 'Make the DMS replication instance',
        undo: existing ? `${existing} stays` : 'the replication instance is deleted',
      },
      {
        id: 'dms-endpoints',
        kind: 'step',
        title: 'Make the DMS endpoints and test their connections',
        undo: 'the endpoints are deleted',
      },
      {
        id: 'dms-task',
        kind: 'step',
        title: 'Make the DMS task (full load and CDC) with table mappings and settings',
        undo: 'the task and its replication slot on the source are deleted',
      },
    ],
    warnings: [
      'DMS has no way back: once the target has taken writes they are not on the source.',
      'A stopped DMS task keeps its replication slot, and the source keeps its WAL for it.',
    ],
  };
}
