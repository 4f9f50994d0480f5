/** Takes one table out of a task that runs: stopped, its mappings changed, resumed. The others lose nothing by it. */
import { selectionOf, withoutTable } from '../../spec/dms-table-mappings.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { tableText, type TableId, type TablePlan } from '../../spec/postgres-plan.ts';
import { keep, kept } from '../aws/kept.ts';
import { permanent } from '../errors.ts';
import type { DmsResources } from './resources.ts';
import { startDms } from './start.ts';
import { stopMeaning } from './status-table.ts';
import { pauseDms } from './stop.ts';
import { modifyTask, parse } from './task.ts';
import { readTask } from './task-state.ts';

/**
 * Safe to run twice: the mappings say whether it was done, the heartbeat whether the task ran before.
 * What of the table is on the target stays there; the caller's plan decides what becomes of it.
 * @throws cutover.Invalid where it would be the last table; as startDms and pauseDms
 */
export async function leaveOutDmsTable(args: {
  migration: Postgres;
  plan: TablePlan;
  resources: DmsResources;
  table: TableId;
}): Promise<{ state: string }> {
  const { migration, plan, resources, table } = args;
  const { aws } = migration.replication;
  const others = plan.tables.filter(
    ({ schema, name, treatment }) => treatment === 'replicated' && !(schema === table.schema && name === table.name),
  );
  if (others.length === 0) {
    throw permanent(ErrorType.invalid, `${tableText(table)} is the last table that is replicated`, {
      remedy: 'abort the migration in place of it',
    });
  }
  const { task, status } = await readTask(aws, resources.taskArn, true);
  const ran = kept<{ ran: boolean }>().ran ?? (status === 'running' || status === 'starting');
  keep({ ran });
  const mappings = parse(task.TableMappings);
  if (selectionOf(mappings)(table)) {
    await pauseDms(args);
    await modifyTask(aws, task, { TableMappings: JSON.stringify(withoutTable(mappings, table)) });
  }
  // One that stands between load and CDC goes on by its own step.
  const now = await readTask(aws, resources.taskArn);
  const rests = stopMeaning(task.StopReason) === 'load-done' && status === 'stopped';
  if (ran && !rests) return await startDms(args);
  return { state: now.status };
}
