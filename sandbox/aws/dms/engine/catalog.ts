/** What the servers' catalogues say of tables and columns. */
import type pg from 'pg';
import type { ColumnFacts } from './column-moves.ts';
import { tableKey, type TableKey } from './decoding.ts';

export interface SourceTable {
  schema: string;
  name: string;
  columns: ColumnFacts[];
  /** Names, in the key's order; empty without one. */
  key: string[];
  /** The planner's; an estimate. */
  estimatedRows: number;
}

/**
 * The log names a partition, never the table it belongs to. DMS knows nothing of that: it takes the partitions that its
 * mappings select, as plain tables, and a root that is selected beside them is loaded too, which doubles its rows (facts
 * 4.5). Where the root alone is selected, its load reads all partitions; the sandbox then gives it their changes as well,
 * so that such a task is of use. (On AWS they would have to be selected by their names.)
 */
export interface Discovery {
  tables: SourceTable[];
  /** Of a partition that is not selected: the selected table above it. */
  standIns: Map<TableKey, TableKey>;
}

const COLUMNS = `
  SELECT n.nspname AS schema, c.relname AS table, c.relkind AS kind, greatest(c.reltuples, 0)::float8 AS estimate,
         coalesce(array_agg(a.attname ORDER BY array_position(i.indkey::int2[], a.attnum))
                    FILTER (WHERE a.attnum = ANY (i.indkey::int2[])), '{}')::text[] AS key,
         coalesce(json_agg(json_build_object(
           'name', a.attname, 'type', format_type(a.atttypid, -1), 'fullType', format_type(b.oid, b.modifier),
           'baseName', b.typname, 'baseKind', b.typtype, 'category', b.typcategory, 'modifier', b.modifier,
           'notNull', a.attnotnull, 'generated', a.attgenerated <> '', 'identityAlways', a.attidentity = 'a')
           ORDER BY a.attnum) FILTER (WHERE a.attnum IS NOT NULL), '[]') AS columns
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    LEFT JOIN LATERAL (
      WITH RECURSIVE base AS (
        SELECT t.oid, t.typname, t.typtype, t.typcategory, t.typbasetype, t.typtypmod, a.atttypmod AS modifier
          FROM pg_type t WHERE t.oid = a.atttypid
        UNION ALL
        SELECT t.oid, t.typname, t.typtype, t.typcategory, t.typbasetype, t.typtypmod, base.typtypmod
          FROM base JOIN pg_type t ON t.oid = base.typbasetype WHERE base.typtype = 'd')
      SELECT * FROM base WHERE typtype <> 'd') b ON true
   WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`;

const GROUPING = ` GROUP BY n.nspname, c.relname, c.relkind, c.reltuples ORDER BY 1, 2`;

interface Row {
  schema: string;
  table: string;
  estimate: number;
  key: string[];
  columns: ColumnFacts[];
}

function tableOf({ schema, table, estimate, key, columns }: Row): SourceTable {
  return { schema, name: table, columns, key, estimatedRows: estimate };
}

/** The tables that are selected, and which partitions they stand in for. DMS's own (`awsdms_…`) are never taken. */
export async function discover(
  client: pg.Client,
  selected: (schema: string, table: string) => boolean,
): Promise<Discovery> {
  const { rows } = await client.query<Row>(COLUMNS + GROUPING);
  const taken = rows.filter(({ schema, table }) => !table.startsWith('awsdms_') && selected(schema, table));
  const keys = new Set(taken.map(({ schema, table }) => tableKey(schema, table)));
  const parents = await client.query<Record<'schema' | 'name' | 'parentSchema' | 'parentName', string>>(
    `SELECT n.nspname AS schema, c.relname AS name, pn.nspname AS "parentSchema", p.relname AS "parentName"
       FROM pg_inherits h
       JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_class p ON p.oid = h.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
      WHERE p.relkind = 'p'`,
  );
  const above = new Map(
    parents.rows.map((row) => [tableKey(row.schema, row.name), tableKey(row.parentSchema, row.parentName)]),
  );
  const standIns = new Map<TableKey, TableKey>();
  for (const leaf of above.keys()) {
    if (keys.has(leaf)) continue;
    let up = above.get(leaf);
    while (up !== undefined && !keys.has(up)) up = above.get(up);
    if (up !== undefined) standIns.set(leaf, up);
  }
  return { tables: taken.map(tableOf), standIns };
}

/** A table of the target, or undefined where there is none. */
export async function targetTable(client: pg.Client, schema: string, name: string): Promise<SourceTable | undefined> {
  const { rows } = await client.query<Row>(`${COLUMNS} AND n.nspname = $1 AND c.relname = $2 ${GROUPING}`, [
    schema,
    name,
  ]);
  return rows[0] === undefined ? undefined : tableOf(rows[0]);
}
