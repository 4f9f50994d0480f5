/** How one table is moved: its columns on both sides, made from the catalogues when the task starts to work on it. */
import { escapeIdentifier } from 'pg';
import type pg from 'pg';
import { type SourceTable, targetTable } from './catalog.ts';
import {
  arrivingCast,
  isArray,
  leftOut,
  moveOf,
  movedExpression,
  type ColumnMove,
  type MoveSettings,
} from './column-moves.ts';

export interface PlannedColumn {
  move: ColumnMove;
  name: string;
  /** Quoted. */
  sql: string;
  inKey: boolean;
  /** The target's type; what the log's text is cast to. */
  targetType: string;
  /** GENERATED ALWAYS on the target: can be inserted, not updated. */
  fixed: boolean;
}

export interface TablePlan {
  schema: string;
  name: string;
  /** Qualified and quoted. */
  source: string;
  target: string;
  columns: PlannedColumn[];
  key: PlannedColumn[];
  byName: Map<string, PlannedColumn>;
  /** Columns that DMS leaves out, and why. */
  omitted: { name: string; why: string }[];
}

/** The table can't be moved; DMS suspends it (`Table error`). */
export class TableSuspended extends Error {
  override readonly name = 'TableSuspended';
}

export function qualified(schema: string, name: string): string {
  return `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`;
}

/** @throws TableSuspended for an array in a table without a primary key (facts 4.5), and where no column is left */
export function movesOf(
  table: SourceTable,
  settings: Omit<MoveSettings, 'hasKey'>,
): {
  moves: ColumnMove[];
  omitted: { name: string; why: string }[];
} {
  const all = { ...settings, hasKey: table.key.length > 0 };
  const array = table.columns.find((column) => isArray(column));
  if (!all.hasKey && array !== undefined) {
    throw new TableSuspended(`column '${array.name}' is an array and the table has no primary key`);
  }
  const omitted: { name: string; why: string }[] = [];
  const moves: ColumnMove[] = [];
  for (const column of table.columns) {
    const why = leftOut(column, all);
    if (why === undefined) moves.push(moveOf(column, all));
    else omitted.push({ name: column.name, why });
  }
  if (moves.length === 0) throw new TableSuspended('none of its columns is of a type that can be moved');
  return { moves, omitted };
}

/**
 * Reads the target's side.
 * @throws TableSuspended where the target has no such table or lacks a column
 */
export async function planTable(
  client: pg.Client,
  table: SourceTable,
  targetSchema: string,
  settings: Omit<MoveSettings, 'hasKey'>,
): Promise<TablePlan> {
  const { moves, omitted } = movesOf(table, settings);
  const schema = targetSchema === '' ? table.schema : targetSchema;
  const there = await targetTable(client, schema, table.name);
  if (there === undefined)
    throw new TableSuspended(`relation ${qualified(schema, table.name)} does not exist on the target`);
  const columns = moves.map((move): PlannedColumn => {
    const column = there.columns.find(({ name }) => name === move.facts.name);
    if (column === undefined) {
      throw new TableSuspended(
        `column '${move.facts.name}' of ${qualified(schema, table.name)} does not exist on the target`,
      );
    }
    return {
      move,
      name: column.name,
      sql: escapeIdentifier(column.name),
      inKey: table.key.includes(column.name),
      targetType: column.type,
      fixed: column.identityAlways,
    };
  });
  const byName = new Map(columns.map((column) => [column.name, column]));
  return {
    schema: table.schema,
    name: table.name,
    source: qualified(table.schema, table.name),
    target: qualified(schema, table.name),
    columns,
    // A key whose column does not travel tells no row from another.
    key: table.key.every((name) => byName.has(name)) ? table.key.map((name) => byName.get(name)!) : [],
    byName,
    omitted,
  };
}

/** `SELECT …` of the rows as they arrive. */
export function unloadQuery(plan: TablePlan): string {
  return `SELECT ${plan.columns.map(({ move }) => movedExpression(move)).join(', ')} FROM ${plan.source}`;
}

export function columnList(columns: readonly PlannedColumn[]): string {
  return columns.map(({ sql }) => sql).join(', ');
}

/** `v.<alias>` cast to the column's type. */
export function castOf(column: PlannedColumn, alias: string): string {
  return arrivingCast(alias, column.move, column.targetType);
}
