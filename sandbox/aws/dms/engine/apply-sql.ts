/** The statements by which changes are applied: many rows of one kind in one statement. */
import { createHash } from 'node:crypto';
import type { Change } from './change-stream.ts';
import { movedValue } from './column-moves.ts';
import { castOf, columnList, type PlannedColumn, type TablePlan } from './table-plan.ts';

export interface Statement {
  name: string;
  text: string;
  values: (string | null)[][];
  rows: number;
}

/** One change, made ready: the columns it sets and by which it is found. Values are as they arrive. */
export interface Ready {
  op: 'insert' | 'update' | 'delete';
  plan: TablePlan;
  set: PlannedColumn[];
  values: (string | null)[];
  key: (string | null)[];
  /** A LOB was cut to LobMaxSize. */
  cut?: string;
}

/** Why DMS passes a change over: it is read and counted, and never applied (facts 4.5). */
export type PassedOver = 'no primary key' | 'primary key updated' | 'nothing to set' | 'truncate';

export function readyChange(plan: TablePlan, change: Change): Ready | PassedOver {
  const { row, old } = change;
  if (change.op === 'truncate') return 'truncate';
  if (change.op === 'insert') {
    const { set, values, cut } = valuesOf(plan.columns, row);
    return { op: 'insert', plan, set, values, key: keyOf(plan, row) ?? [], ...cut };
  }
  const key = keyOf(plan, change.op === 'delete' ? old : row);
  if (plan.key.length === 0 || key === undefined) return 'no primary key';
  if (change.op === 'delete') return { op: 'delete', plan, set: [], values: [], key };
  const before = old === undefined ? undefined : keyOf(plan, old);
  if (before !== undefined && before.some((value, index) => value !== key[index])) return 'primary key updated';
  const { set, values, cut } = valuesOf(
    plan.columns.filter((column) => !column.inKey && !column.fixed),
    row,
  );
  return set.length === 0 ? 'nothing to set' : { op: 'update', plan, set, values, key, ...cut };
}

function valuesOf(
  columns: PlannedColumn[],
  row: Change['row'],
): { set: PlannedColumn[]; values: (string | null)[]; cut: { cut?: string } } {
  const set: PlannedColumn[] = [];
  const values: (string | null)[] = [];
  let cut: { cut?: string } = {};
  for (const column of columns) {
    const value = row?.get(column.name);
    if (value === undefined) continue; // Untouched in TOAST, or a column that is newer than the task.
    const moved = movedValue(column.move, value);
    if (moved.wasCut) cut = { cut: column.name };
    set.push(column);
    values.push(moved.value);
  }
  return { set, values, cut };
}

function keyOf(plan: TablePlan, row: Change['row']): (string | null)[] | undefined {
  if (row === undefined || plan.key.length === 0) return undefined;
  const key: (string | null)[] = [];
  for (const column of plan.key) {
    const value = row.get(column.name);
    if (value === undefined) return undefined;
    key.push(movedValue(column.move, value).value);
  }
  return key;
}

/**
 * Puts changes of the same kind together.
 * @param free the order of different rows is no matter (no foreign key, no trigger is in force on the target): then also
 *   those that are no neighbours. The order of one row's changes is kept in any case. What this may still upset, a unique
 *   value that went from one row to another, fails, and is then applied one by one in the true order.
 */
export function statementsOf(changes: readonly Ready[], free = false): { statement: Statement; changes: Ready[] }[] {
  const groups: Ready[][] = [];
  /** The last group that has a change of the row. */
  const touched = new Map<string, number>();
  const latest = new Map<string, number>();
  for (const change of changes) {
    const kind = `${change.op} ${change.plan.target} ${columnList(change.set)}`;
    // Without a key only rows are added, and these are all different.
    const row = change.key.length === 0 ? undefined : `${change.plan.target} ${JSON.stringify(change.key)}`;
    const last = row === undefined ? -1 : (touched.get(row) ?? -1);
    let at = latest.get(kind) ?? -1;
    if (at <= last || (!free && at !== groups.length - 1)) {
      at = groups.push([]) - 1;
      latest.set(kind, at);
    }
    groups[at]?.push(change);
    if (row !== undefined) touched.set(row, at);
  }
  return groups.map((group) => ({ statement: statementOf(group), changes: group }));
}

function statementOf(group: Ready[]): Statement {
  const [first] = group;
  if (first === undefined) throw new Error('no changes');
  const { plan, op, set } = first;
  const columns = op === 'insert' ? set : [...set, ...plan.key];
  const aliases = columns.map((_, index) => `c${index}`);
  // Text throughout, cast by the target: one shape for all types, arrays included.
  const from = `unnest(${columns.map((_, index) => `$${index + 1}::text[]`).join(', ')}) AS v(${aliases.join(', ')})`;
  const cast = (column: PlannedColumn, index: number): string => castOf(column, `v.c${index}`);
  const where = plan.key.map((column, index) => `t.${column.sql} = ${cast(column, set.length + index)}`).join(' AND ');
  let text: string;
  if (op === 'insert') {
    text = `INSERT INTO ${plan.target} (${columnList(set)}) OVERRIDING SYSTEM VALUE SELECT ${set.map(cast).join(', ')} FROM ${from}`;
  } else if (op === 'update') {
    const assignments = set.map((column, index) => `${column.sql} = ${cast(column, index)}`).join(', ');
    text = `UPDATE ${plan.target} AS t SET ${assignments} FROM ${from} WHERE ${where}`;
  } else text = `DELETE FROM ${plan.target} AS t USING ${from} WHERE ${where}`;
  const rowsOf = (change: Ready): (string | null)[] =>
    op === 'insert' ? change.values : [...change.values, ...change.key];
  const rows = group.map(rowsOf);
  return {
    name: createHash('sha256').update(text).digest('hex').slice(0, 32),
    text,
    values: columns.map((_, index) => rows.map((row) => row[index] ?? null)),
    rows: group.length,
  };
}
