/** The largest value of the columns that DMS takes as LOB: it cuts off what is longer than its LobMaxSize. */
import type pg from 'pg';
import type { PlannedTable, TableId } from '../../spec/postgres-plan.ts';
import { quoted, quotedTable, tableKey } from './names.ts';

export interface LobTable extends TableId {
  partitioned: boolean;
  /** `direct`: its length is known without reading the value itself (text, bytea). */
  columns: { name: string; direct: boolean }[];
}

/** Of the replicated tables, those with LOB columns; tables without a single page are left out: they are empty. */
export async function lobColumns(client: pg.ClientBase, tables: PlannedTable[]): Promise<LobTable[]> {
  const replicated = tables.filter((table) => table.treatment === 'replicated' && table.bytes > 0);
  const { rows } = await client.query<{ schema: string; name: string; column: string; direct: boolean }>(
    `WITH RECURSIVE base AS (
       SELECT oid, oid AS type, typbasetype, typtype FROM pg_type
       UNION ALL
       SELECT b.oid, t.oid, t.typbasetype, t.typtype FROM base b JOIN pg_type t ON t.oid = b.typbasetype
        WHERE b.typtype = 'd'
     )
     SELECT n.nspname AS schema, c.relname AS name, a.attname AS column,
            t.oid IN ('text'::regtype, 'varchar'::regtype, 'bytea'::regtype) AS direct
       FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
       JOIN pg_namespace n ON n.nspname = wanted.schema
       JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       JOIN base b ON b.oid = a.atttypid AND b.typtype <> 'd'
       JOIN pg_type t ON t.oid = b.type
      WHERE t.typlen = -1
        AND (t.oid IN ('text'::regtype, 'bytea'::regtype, 'json'::regtype, 'jsonb'::regtype, 'xml'::regtype)
             OR (t.oid = 'varchar'::regtype AND a.atttypmod = -1)
             OR t.typcategory = 'A'
             OR (t.oid >= 16384 AND t.typtype = 'b'))
      ORDER BY 1, 2, a.attnum`,
    [replicated.map((table) => table.schema), replicated.map((table) => table.name)],
  );
  const found = new Map<string, LobTable>();
  for (const { schema, name, column, direct } of rows) {
    const key = tableKey({ schema, name });
    const partitioned = replicated.some((table) => tableKey(table) === key && table.partitioned === true);
    const table = found.get(key) ?? { schema, name, partitioned, columns: [] };
    table.columns.push({ name: column, direct });
    found.set(key, table);
  }
  return [...found.values()];
}

/** Bytes. Reads the whole table, but of text and bytea only where the value lies. */
export async function largestValue(client: pg.ClientBase, table: LobTable): Promise<number> {
  const sizes = table.columns.map(
    ({ name, direct }) => `max(octet_length(${quoted(name)}${direct ? '' : '::text'}))::bigint`,
  );
  // A single argument: greatest() passes NULLs over, which is what max() gives of an empty table.
  const from = `${table.partitioned ? '' : 'ONLY '}${quotedTable(table)}`;
  const { rows } = await client.query<{ size: string | null }>(
    `SELECT greatest(${sizes.join(', ')})::text AS size FROM ${from}`,
  );
  return Number(rows[0]?.size ?? 0);
}
