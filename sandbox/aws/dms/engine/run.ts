/** What the parts of a running task share. */
import type { EngineScript, TaskSpec } from './contract.ts';
import type { ControlTables } from './control-tables.ts';
import type { TableKey } from './decoding.ts';
import type { StateFile, TableState, TaskState } from './state.ts';
import type { TablePlan } from './table-plan.ts';
import type { MoveSettings } from './column-moves.ts';
import type { TaskSettings } from './task-settings.ts';

export interface Run {
  readonly spec: TaskSpec;
  readonly settings: TaskSettings;
  readonly moves: Omit<MoveSettings, 'hasKey'>;
  readonly state: TaskState;
  readonly file: StateFile;
  readonly control: ControlTables;
  /** Made when a table is first worked on; dropped with every reconnection. */
  readonly plans: Map<TableKey, TablePlan>;
  readonly script: EngineScript;
  /** Aborted by stop() and remove(). */
  readonly ended: AbortSignal;
  /** Rows loaded over all tables since the start; what `failAfterRows` counts. */
  loadedRows: number;
}

export function tableState(run: Run, key: TableKey): TableState {
  const found = run.state.tables[key];
  if (found === undefined) throw new Error(`table ${key} is none of the task's`);
  return found;
}

/** A table that ends with `Table error`. Its changes are passed over until it is reloaded. */
export async function suspendTable(run: Run, key: TableKey, why: string): Promise<void> {
  const table = tableState(run, key);
  table.state = 'Table error';
  table.suspended = true;
  table.error = why;
  run.file.write(run.state);
  await run.control.suspended(table, why);
}
