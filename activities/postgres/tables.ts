/** What tables the source has, and which way each one goes. */
import pLimit from 'p-limit';
import type pg from 'pg';
import { selectionOf } from '../../spec/dms-table-mappings.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { tableText, type PlannedTable, type TableId, type TablePlan } from '../../spec/postgres-plan.ts';
import { treatmentOf, type Selection } from '../../spec/postgres-tables.ts';
import { beat } from '../beat.ts';
import { sessionName, withPostgres } from './connect.ts';
import { largestValue, lobColumns } from './lob-size.ts';
import { isNoDmsTable, isNoExtensionMember, isUserSchema } from './user-schemas.ts';

/**
 * Reads the source; changes nothing, can run any number of times. Every value of a LOB column is looked at, which takes
 * as long as reading the tables does.
 * @throws what `withPostgres` throws
 */
export async function planTables({ migration }: { migration: Postgres }): Promise<TablePlan> {
  const options = { name: sessionName(migration.id, 'plan') };
  const { tables, columns } = await withPostgres(migration.source, options, async (client) => {
    const found = await readPlannedTables(client, migration);
    return { tables: found, columns: await lobColumns(client, found) };
  });
  const connections = pLimit(LOB_TABLES_AT_ONCE);
  let done = 0;
  const sizes = columns.map((table) =>
    connections(async () => {
      const size = await withPostgres(migration.source, options, (client) => largestValue(client, table));
      done += 1;
      const text = `largest value looked for in ${tableText(table)}`;
      beat({ progress: { text, done, total: columns.length } });
      return size;
    }),
  );
  return { tables, largestLob: Math.max(0, ...(await Promise.all(sizes))) };
}

const LOB_TABLES_AT_ONCE = 3;

/** The tables alone, without the look for large values: for the preflight, and wherever it must be quick. */
export async function readPlannedTables(client: pg.ClientBase, migration: Postgres): Promise<PlannedTable[]> {
  const selection = selectionIn(migration);
  return (await readTables(client)).map((table) => {
    const treatment = treatmentOf(migration.tables, table, selection);
    const { partitioned, partitions, ...rest } = table;
    return { ...rest, treatment, ...(partitioned ? { partitioned, partitions } : {}) };
  });
}

/** A file's own table mappings say themselves what DMS takes. */
function selectionIn({ replication }: Postgres): Selection | undefined {
  return replication.tableMappings ? selectionOf(replication.tableMappings) : undefined;
}

export type SourceTable = Omit<PlannedTable, 'treatment' | 'partitioned' | 'partitions'> & {
  partitioned: boolean;
  partitions: TableId[];
};

/**
 * Every ordinary, unlogged and partitioned table of the user's schemas, by name; the partitions of a table are counted
 * with it. Rows and bytes are from statistics.
 */
async function readTables(client: pg.ClientBase): Promise<SourceTable[]> {
  const { rows } = await client.query<{
    schema: string;
    name: string;
    rows: string;
    bytes: string;
    primary_key: string[];
    partitioned: boolean;
    partitions: TableId[];
  }>(
    // relispartition is read by its name in JSON, because there is no such column before Postgres 10.
    `WITH RECURSIVE tables AS (
       SELECT c.oid, n.nspname, c.relname, c.relkind
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
          AND NOT coalesce((row_to_json(c)->>'relispartition')::boolean, false)
          AND ${isUserSchema('n')} AND ${isNoExtensionMember('c')} AND ${isNoDmsTable('c')}
     ), members AS (
       SELECT oid AS root, oid FROM tables
       UNION ALL
       SELECT m.root, i.inhrelid FROM members m
         JOIN tables t ON t.oid = m.root AND t.relkind = 'p'
         JOIN pg_inherits i ON i.inhparent = m.oid
     ), sizes AS (
       SELECT m.root,
              sum(CASE WHEN c.relkind = 'p' THEN 0
                       WHEN c.reltuples > 0 THEN c.reltuples::bigint
                       ELSE pg_stat_get_live_tuples(c.oid) END) AS rows,
              sum(coalesce(pg_total_relation_size(c.oid), 0)) AS bytes
         FROM members m JOIN pg_class c ON c.oid = m.oid
        GROUP BY m.root
     )
     SELECT t.nspname AS schema, t.relname AS name, s.rows::text AS rows, s.bytes::text AS bytes,
            t.relkind = 'p' AS partitioned,
            ARRAY(SELECT a.attname::text
                    FROM pg_index i
                    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS key(attnum, position)
                    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key.attnum
                   WHERE i.indrelid = t.oid AND i.indisprimary
                   ORDER BY key.position) AS primary_key,
            (SELECT coalesce(json_agg(json_build_object('schema', pn.nspname, 'name', p.relname)
                                      ORDER BY pn.nspname COLLATE "C", p.relname COLLATE "C"), '[]')
               FROM members m JOIN pg_class p ON p.oid = m.oid JOIN pg_namespace pn ON pn.oid = p.relnamespace
              WHERE m.root = t.oid AND t.relkind = 'p' AND p.relkind = 'r') AS partitions
       FROM tables t JOIN sizes s ON s.root = t.oid
      ORDER BY t.nspname COLLATE "C", t.relname COLLATE "C"`,
  );
  return rows.map((row) => ({
    schema: row.schema,
    name: row.name,
    rows: Number(row.rows),
    bytes: Number(row.bytes),
    primaryKey: row.primary_key,
    partitioned: row.partitioned,
    partitions: row.partitions,
  }));
}

/** The tables whose rows are to be on the target in the end. */
export function movedTables(plan: TablePlan): PlannedTable[] {
  return plan.tables.filter((table) => table.treatment === 'replicated' || table.treatment === 'by-hand');
}
