/** Looks for values in the source's tables, where the table is small enough to be read for it. */
import { tableText } from '../../../spec/postgres-plan.ts';
import { fileEntries, ident, relation } from './scripts.ts';
import type { PostgresContext } from './context.ts';
import type { SourceColumn, SourceTable } from './source-tables.ts';

/** Read whole without a thought on a production server; a larger table is left to the operator. Bytes. */
export const CHEAP_BYTES = 256 * 1024 ** 2;

export interface ScannedColumn {
  table: SourceTable;
  column: SourceColumn;
}

export interface Scan {
  /** Columns with such a value. */
  hits: ScannedColumn[];
  /** Too large to be read; how to do it by hand. */
  skipped: { where: ScannedColumn[]; sql: string }[];
  scanned: number;
}

/**
 * Searches for values that fit `condition`, which is given the quoted column: one reading of each table for all its columns.
 * @throws CannotCheck where a table can't be read
 */
export async function scan(
  c: Pick<PostgresContext, 'source' | 'tables'>,
  columns: ScannedColumn[],
  condition: (column: string) => string,
): Promise<Scan> {
  const result: Scan = { hits: [], skipped: [], scanned: 0 };
  for (const table of new Set(columns.map((column) => column.table))) {
    const own = columns.filter((column) => column.table === table);
    const found = own.map(({ column }) => `coalesce(bool_or(${condition(ident(column.name))}), false)`);
    const query = `SELECT ARRAY[${found.join(', ')}] AS hits FROM ${relation(table)}`;
    if ((await sizeOf(c, table)) > CHEAP_BYTES) {
      result.skipped.push({ where: own, sql: `${query};` });
      continue;
    }
    const [row] = await c.source.rows<{ hits: boolean[] }>(query);
    result.scanned += own.length;
    result.hits.push(...own.filter((_column, at) => row?.hits[at] === true));
  }
  return result;
}

/** A partitioned table has its bytes in its partitions. */
export async function sizeOf(c: Pick<PostgresContext, 'tables'>, table: SourceTable): Promise<number> {
  if (table.kind !== 'p') return table.bytes;
  const { all } = await c.tables();
  const below = (oid: number): number =>
    all.filter((t) => t.partitionOf === oid).reduce((sum, t) => sum + t.bytes + below(t.oid), 0);
  return below(table.oid);
}

export async function replicatedColumns(
  c: PostgresContext,
  which: (column: SourceColumn) => boolean,
): Promise<ScannedColumn[]> {
  const { replicated } = await c.tables();
  return replicated.flatMap((table) => table.columns.filter(which).map((column) => ({ table, column })));
}

export const columnText = ({ table, column }: ScannedColumn) => `${tableText(table)}.${column.name}`;

export const byHandEntry = (columns: ScannedColumn[]) =>
  fileEntries('copyByHand', [...new Set(columns.map(({ table }) => table))]);
