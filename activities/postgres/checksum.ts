/**
 * Count and checksum of a table, the same on both sides where the rows are: the sum over the rows of a 64-bit hash of each
 * row's text. Order does not matter, no row is sent, and a changed, lost or doubled row changes it.
 */
import type pg from 'pg';
import type { TableId } from '../../spec/postgres-plan.ts';
import type { Column } from './columns.ts';
import { quoted, quotedTable } from './names.ts';

export interface TableSum {
  rows: number;
  /** Empty in mode `count`. */
  sum: string;
}

export interface SumOf extends TableId {
  partitioned: boolean;
  columns: Column[];
}

/** hashtextextended came with Postgres 11; where one side is older, both use md5. */
export type HashName = 'hashtextextended' | 'md5';

export function hashFor(versions: readonly number[]): HashName {
  return Math.min(...versions) >= 110_000 ? 'hashtextextended' : 'md5';
}

/** SQL: a bigint of the row's text. The session's formats are pinned by connect.ts; floats are taken bit by bit. */
export function rowHash(columns: readonly Column[], hash: HashName): string {
  const parts = columns.map(({ name, float }) => (float ? `float${float}send(${quoted(name)})` : quoted(name)));
  return textHash(parts.length > 0 ? `ROW(${parts.join(', ')})::text` : `''`, hash);
}

export function textHash(text: string, hash: HashName): string {
  return hash === 'md5'
    ? `('x' || substr(md5(${text}), 1, 16))::bit(64)::bigint`
    : `hashtextextended(${text} COLLATE "C", 0)`;
}

/** A child that inherits from an ordinary table is a table of its own; partitions are part of theirs. */
export function fromTable(table: TableId & { partitioned: boolean }): string {
  return `${table.partitioned ? '' : 'ONLY '}${quotedTable(table)}`;
}

export async function sumOf(
  client: pg.ClientBase,
  table: SumOf,
  how: { mode: 'checksum' | 'count'; hash: HashName },
): Promise<TableSum> {
  const sum = how.mode === 'count' ? `''` : `coalesce(sum(${rowHash(table.columns, how.hash)}::numeric), 0)::text`;
  const { rows } = await client.query<{ rows: string; sum: string }>(
    `SELECT count(*)::text AS rows, ${sum} AS sum FROM ${fromTable(table)}`,
  );
  return { rows: Number(rows[0]!.rows), sum: rows[0]!.sum };
}
