/** One change by itself, and the policies for what does not go through (ApplyError*Policy). */
import type pg from 'pg';
import { statementsOf, type Ready } from './apply-sql.ts';
import { isPassing, messageOf, sqlState, TaskFailure } from './failures.ts';
import type { Run } from './run.ts';
import type { TableState } from './state.ts';
import type { ApplyPolicy } from './task-settings.ts';

export type Outcome = 'applied' | 'passed over' | { suspend: string };

const UNIQUE = '23505';

/** In the open transaction, behind a savepoint. `cached`: while the changes of the load's time are applied. */
export async function applyAlone(
  run: Run,
  client: pg.Client,
  table: TableState,
  change: Ready,
  cached: boolean,
): Promise<Outcome> {
  const [group] = statementsOf([change]);
  if (group === undefined) return 'passed over';
  const { name, text, values } = group.statement;
  await client.query('SAVEPOINT one');
  try {
    const { rowCount } = await client.query({ name, text, values });
    await client.query('RELEASE SAVEPOINT one');
    if (rowCount !== 0) return 'applied';
    return await judge(run, client, table, change, cached, {
      text,
      said: `No record found for applying an '${change.op.toUpperCase()}'`,
      conflict: true,
    });
  } catch (error) {
    if (error instanceof TaskFailure || isPassing(error) || sqlState(error) === undefined) throw error;
    await client.query('ROLLBACK TO SAVEPOINT one');
    return judge(run, client, table, change, cached, {
      text,
      said: messageOf(error),
      conflict: sqlState(error) === UNIQUE,
    });
  }
}

async function judge(
  run: Run,
  client: pg.Client,
  table: TableState,
  change: Ready,
  cached: boolean,
  fault: { text: string; said: string; conflict: boolean },
): Promise<Outcome> {
  const { settings } = run;
  // FullLoadIgnoreConflicts: what the load brought already, or what it never had, is no error.
  if (cached && settings.ignoreConflicts && fault.conflict) return 'passed over';
  const policies: Record<Ready['op'], ApplyPolicy> = {
    insert: settings.applyInsert,
    update: settings.applyUpdate,
    delete: settings.applyDelete,
  };
  const where = `'${change.plan.schema}'.'${change.plan.name}'`;
  switch (policies[change.op]) {
    case 'IGNORE_RECORD':
      return 'passed over';
    case 'SUSPEND_TABLE':
      return { suspend: fault.said };
    case 'STOP_TASK':
      throw new TaskFailure('FATAL_ERROR', `Failed to apply a change to table ${where}: ${fault.said}`);
    case 'INSERT_RECORD':
      if (change.op === 'update') return instead(client, change, 'insert');
      break;
    case 'UPDATE_RECORD':
      if (change.op === 'insert' && fault.conflict) return instead(client, change, 'update');
      break;
    default:
  }
  await run.control.exception(client, table, statementFor(change, fault.text), fault.said);
  return 'passed over';
}

async function instead(client: pg.Client, change: Ready, op: 'insert' | 'update'): Promise<Outcome> {
  const { plan } = change;
  const byColumn = new Map(change.set.map((column, index) => [column, change.values[index] ?? null]));
  plan.key.forEach((column, index) => byColumn.set(column, change.key[index] ?? null));
  const set = [...byColumn.keys()].filter((column) => op === 'insert' || (!column.inKey && !column.fixed));
  const [group] = statementsOf([{ ...change, op, set, values: set.map((column) => byColumn.get(column) ?? null) }]);
  if (group === undefined || set.length === 0) return 'passed over';
  const { text, values } = group.statement;
  const { rowCount } = await client.query(text, values);
  return rowCount === 0 ? 'passed over' : 'applied';
}

/** As DMS writes it into awsdms_apply_exceptions: the statement with its values. */
function statementFor(change: Ready, text: string): string {
  const verb = change.op.toUpperCase();
  const values = change.op === 'insert' ? change.values : change.key;
  const columns = change.op === 'insert' ? change.set : change.plan.key;
  const shown = columns.map(({ sql }, index) => `${sql}=${JSON.stringify(values[index] ?? null)}`).join(', ');
  return `${verb} ${change.plan.target} ${shown} /* ${text.slice(0, 200)} */`;
}
