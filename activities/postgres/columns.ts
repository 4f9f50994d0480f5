/** A table's columns as copying and comparing need them: in order, with what their types allow. */
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import { tableText, type TableId } from '../../spec/postgres-plan.ts';
import { permanent } from '../errors.ts';
import { quotedTable } from './names.ts';

export interface Column {
  name: string;
  type: string;
  /** Computed by the server itself from the others. */
  generated: boolean;
  /** Its binary form means the same on another server: no object ids of user-made types inside. */
  binarySafe: boolean;
  /** Their text depends on the version: before Postgres 12 it has more digits. */
  float: 4 | 8 | undefined;
}

/** @throws cutover.NotFound where there is no such table */
export async function readColumns(client: pg.Client, table: TableId): Promise<Column[]> {
  const { rows } = await client.query<{
    name: string;
    type: string;
    generated: boolean;
    binary_safe: boolean;
    float: 4 | 8 | null;
  }>(
    `WITH RECURSIVE base AS (
       SELECT a.attnum, t.oid, t.typtype, t.typbasetype, t.typelem, t.typcategory, t.typsend
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped
       UNION ALL
       SELECT b.attnum, t.oid, t.typtype, t.typbasetype, t.typelem, t.typcategory, t.typsend
         FROM base b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
     )
     SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
            coalesce(row_to_json(a)->>'attgenerated', '') <> '' AS generated,
            -- Object ids of built-in types are the same everywhere; of others only an enum's form has none inside.
            -- The reg* types are ids themselves, of objects that have others over there.
            (b.oid < 16384 OR b.typtype = 'e') AND b.typsend <> 0 AND b.typtype <> 'c'
              AND NOT EXISTS (SELECT FROM pg_type r WHERE r.typname ~ '^_?reg' AND r.oid < 16384 AND r.oid IN (b.oid, b.typelem))
              AS binary_safe,
            CASE b.oid WHEN 'float4'::regtype THEN 4 WHEN 'float8'::regtype THEN 8 END AS float
       FROM pg_attribute a JOIN base b ON b.attnum = a.attnum AND b.typtype <> 'd'
      WHERE a.attrelid = to_regclass($1::text)
      ORDER BY a.attnum`,
    [quotedTable(table)],
  );
  if (rows.length === 0 && !(await exists(client, table))) {
    throw permanent(ErrorType.notFound, `there is no table ${tableText(table)} on ${client.host}:${client.port}`);
  }
  return rows.map((row) => ({
    name: row.name,
    type: row.type,
    generated: row.generated,
    binarySafe: row.binary_safe,
    float: row.float ?? undefined,
  }));
}

async function exists(client: pg.ClientBase, table: TableId): Promise<boolean> {
  const { rows } = await client.query<{ there: boolean }>(`SELECT to_regclass($1::text) IS NOT NULL AS there`, [
    quotedTable(table),
  ]);
  return rows[0]!.there;
}

/**
 * The columns of both sides, in the source's order. @throws cutover.Differs where a column is on one side only.
 */
export function sameColumns(table: TableId, source: Column[], target: Column[]): Column[] {
  const names = (columns: Column[]) => new Set(columns.map(({ name }) => name));
  const [here, there] = [names(source), names(target)];
  const onlySource = source.filter(({ name }) => !there.has(name)).map(({ name }) => name);
  const onlyTarget = target.filter(({ name }) => !here.has(name)).map(({ name }) => name);
  if (onlySource.length === 0 && onlyTarget.length === 0) return source;
  const what = [
    onlySource.length > 0 ? `missing on the target: ${onlySource.join(', ')}` : '',
    onlyTarget.length > 0 ? `only on the target: ${onlyTarget.join(', ')}` : '',
  ];
  throw permanent(ErrorType.differs, `columns of ${tableText(table)} ${what.filter(Boolean).join('; ')}`, {
    remedy: 'make the table on the target as it is on the source',
  });
}
