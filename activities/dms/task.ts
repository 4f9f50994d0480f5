/** The replication task: made once, adopted afterwards, brought to what the file says as long as it has never run. */
import {
  CreateReplicationTaskCommand,
  ModifyReplicationTaskCommand,
  type ReplicationTask,
} from '@aws-sdk/client-database-migration-service';
import { selectionOf, tableMappingsOf } from '../../spec/dms-table-mappings.ts';
import { taskSettingsOf } from '../../spec/dms-task-settings.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { MARKER_TABLE, tableText, type TablePlan } from '../../spec/postgres-plan.ts';
import { dms } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { giveDmsItsRights } from './database-rights.ts';
import { findTask } from './describe.ts';
import { isCovered } from './is-covered.ts';
import { dmsNames, regionFlag, type DmsResources } from './resources.ts';
import { migrationTags, requireOurs } from './tags.ts';
import { awaitTask } from './task-state.ts';

type Parts = Pick<DmsResources, 'instanceArn' | 'sourceArn' | 'targetArn'>;

/**
 * Makes the task (full load and CDC), or adopts our own: with the file's mappings and settings as long as it has never
 * run, with its own afterwards. Safe to run twice.
 * @throws cutover.NotOurs; cutover.Differs where a task that ran does not take a table of the plan, or has other
 *   endpoints; cutover.ServiceFailed, cutover.Invalid, cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function ensureDmsTask(args: {
  migration: Postgres;
  plan: TablePlan;
  resources: Parts;
}): Promise<{ taskArn: string; taskId: string }> {
  const { migration, plan, resources } = args;
  const { aws } = migration.replication;
  const taskId = dmsNames(migration.id).task;
  const mappings = tableMappingsOf(migration, plan);
  const settings = taskSettingsOf(migration, plan);
  await giveDmsItsRights(migration);
  const before = await findTask(aws, taskId, { settings: true });
  if (before) await adopt(args, before, mappings, settings);
  else {
    const command = new CreateReplicationTaskCommand({
      ReplicationTaskIdentifier: taskId,
      MigrationType: 'full-load-and-cdc',
      ReplicationInstanceArn: resources.instanceArn,
      SourceEndpointArn: resources.sourceArn,
      TargetEndpointArn: resources.targetArn,
      TableMappings: JSON.stringify(mappings),
      ReplicationTaskSettings: JSON.stringify(settings),
      Tags: migrationTags(migration.id),
    });
    try {
      await dms(aws).send(command);
    } catch (error) {
      if (!isCode(error, 'ResourceAlreadyExistsFault')) throw awsFailure(error, `CreateReplicationTask ${taskId}`);
    }
  }
  const task = await awaitTask(aws, taskId, { what: 'to be there', done: ({ settled }) => settled });
  const taskArn = task.ReplicationTaskArn ?? '';
  await requireOurs(aws, migration.id, `the replication task ${taskId}`, taskArn);
  return { taskArn, taskId };
}

async function adopt(
  { migration, plan, resources }: { migration: Postgres; plan: TablePlan; resources: Parts },
  task: ReplicationTask,
  mappings: object,
  settings: object,
): Promise<void> {
  const { aws } = migration.replication;
  const taskId = task.ReplicationTaskIdentifier ?? '';
  const taskArn = task.ReplicationTaskArn ?? '';
  await requireOurs(aws, migration.id, `the replication task ${taskId}`, taskArn);
  const same =
    task.ReplicationInstanceArn === resources.instanceArn &&
    task.SourceEndpointArn === resources.sourceArn &&
    task.TargetEndpointArn === resources.targetArn &&
    task.MigrationType === 'full-load-and-cdc';
  if (!same) {
    throw permanent(ErrorType.differs, `task ${taskId} has another instance, other endpoints or another type`, {
      remedy: `none of that can be modified: aws dms delete-replication-task${regionFlag(aws)} --replication-task-arn ${taskArn}, then retry the step`,
    });
  }
  const present = parse(task.TableMappings);
  if (task.ReplicationTaskStats?.FreshStartDate) {
    // It has run: tables may have been taken out of it since on purpose, but none that the plan still counts on.
    const takes = selectionOf(present);
    const wanted = [...plan.tables.filter(({ treatment }) => treatment === 'replicated'), MARKER_TABLE];
    const takesByFile = selectionOf(mappings);
    const missing = wanted.filter((table) => takesByFile(table) && !takes(table)).map(tableText);
    if (missing.length === 0) return;
    throw permanent(ErrorType.differs, `task ${taskId} has run, and does not take ${missing.join(', ')}`, {
      remedy: `leave the tables out in the file, or delete the task for a load from the start: aws dms delete-replication-task${regionFlag(aws)} --replication-task-arn ${taskArn}`,
    });
  }
  if (isCovered(mappings, present) && isCovered(settings, parse(task.ReplicationTaskSettings))) return;
  await modifyTask(aws, task, {
    TableMappings: JSON.stringify(mappings),
    ReplicationTaskSettings: JSON.stringify(settings),
  });
}

/** Modifies a task that is at rest, and waits until it is again. @throws cutover.Busy, cutover.Invalid, … */
export async function modifyTask(
  aws: { region?: string | undefined },
  task: Pick<ReplicationTask, 'ReplicationTaskArn' | 'ReplicationTaskIdentifier'>,
  changes: { TableMappings?: string; ReplicationTaskSettings?: string },
): Promise<void> {
  const taskId = task.ReplicationTaskIdentifier ?? '';
  try {
    await dms(aws).send(new ModifyReplicationTaskCommand({ ReplicationTaskArn: task.ReplicationTaskArn, ...changes }));
  } catch (error) {
    throw awsFailure(error, `ModifyReplicationTask ${taskId}`);
  }
  await awaitTask(aws, taskId, { what: 'to be modified', done: ({ atRest }) => atRest });
}

export function parse(document: string | undefined): object {
  const value: unknown = JSON.parse(document ?? '{}');
  return typeof value === 'object' && value !== null ? value : {};
}
