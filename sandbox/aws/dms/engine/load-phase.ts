/** The full load of all tables, and of one that is reloaded. */
import pLimit from 'p-limit';
import type { TableKey } from './decoding.ts';
import { Ended, isPassing, messageOf, TaskFailure } from './failures.ts';
import { suspendTable, tableState, type Run } from './run.ts';
import { withSession } from './sessions.ts';
import { noCounts } from './state.ts';
import { loadTable } from './table-load.ts';

/** Loads what is not loaded yet, MaxFullLoadSubTasks at once. A table that was in the middle begins again. */
export async function loadTables(run: Run, abort: (reason: unknown) => void): Promise<void> {
  const { state } = run;
  const limit = pLimit(run.settings.subTasks);
  const due = Object.entries(state.tables).filter(([, { state }]) => state === 'Before load' || state === 'Full load');
  for (const [, table] of due) Object.assign(table, { state: 'Before load', fullLoadRows: 0 });
  state.dates.loadStart ??= Date.now();
  const results = await Promise.allSettled(
    due.map(([key]) =>
      limit(async () => {
        if (run.ended.aborted) throw new Ended('stopped');
        try {
          await loadOne(run, key);
        } catch (error) {
          abort(error); // The others are cut off: the task ends, or all begin again with new connections.
          throw error;
        }
      }),
    ),
  );
  const failures = results.filter((result) => result.status === 'rejected').map(({ reason }): unknown => reason);
  const [first] = [...failures.filter((error) => !(error instanceof Ended)), ...failures];
  if (first !== undefined) throw first;
  state.dates.loadFinish = Date.now();
}

/**
 * Loads one; what is the table's own fault suspends it (TableErrorPolicy), the rest is thrown.
 * @param how `late` and `again` while the others follow already: it is `Table completed` once the changes that were kept
 *   meanwhile are applied, and whoever asked for the load says so
 */
export async function loadOne(run: Run, key: TableKey, how: 'in turn' | 'late' | 'again' = 'in turn'): Promise<void> {
  const reload = how === 'again';
  const table = tableState(run, key);
  Object.assign(table, {
    state: reload ? 'Table is being reloaded' : 'Full load',
    fullLoadRows: 0,
    loadStart: Date.now(),
    suspended: false,
    captured: noCounts(),
    applied: noCounts(),
  });
  delete table.loadEnd;
  delete table.error;
  delete table.snapshot;
  if (reload) {
    table.reloaded = true;
    await withSession(run.spec.target, 'target', run.spec.id, (client) => run.control.resumed(client, table));
  }
  run.file.write(run.state);
  try {
    await loadTable(run, key);
  } catch (error) {
    if (error instanceof TaskFailure) {
      // Not suspended: the task may be resumed, and then it is loaded again.
      table.state = reload ? 'Table is being reloaded' : 'Before load';
      throw error;
    }
    if (error instanceof Ended || isPassing(error)) throw error;
    await suspendTable(run, key, messageOf(error));
    if (run.settings.tableError === 'STOP_TASK') {
      const { schema, name } = table.table;
      throw new TaskFailure('FATAL_ERROR', `Table '${schema}'.'${name}' was errored/suspended: ${messageOf(error)}`, {
        cause: error,
      });
    }
    return;
  }
  table.loadEnd = Date.now();
  if (how === 'in turn') table.state = 'Table completed';
  run.file.write(run.state);
}
