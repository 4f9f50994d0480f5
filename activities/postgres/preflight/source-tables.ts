/** The source's tables and columns as the checks need them: two queries, whatever the number of checks. */
import type { Postgres } from '../../../spec/kind-postgres.ts';
import { treatmentOf, type Treatment } from '../../../spec/postgres-tables.ts';
import { selectionOf } from '../../../spec/dms-table-mappings.ts';
import { isNoDmsTable, isNoExtensionMember, isUserSchema } from '../user-schemas.ts';
import type { PostgresProbe } from './probe.ts';

export interface SourceTable {
  oid: number;
  schema: string;
  name: string;
  /** Of pg_class: `r`, `p` (partitioned). */
  kind: string;
  /** `p`, or `u` for unlogged. */
  persistence: string;
  owner: string;
  rls: boolean;
  forceRls: boolean;
  /** Of the table it is a partition of. */
  partitionOf: number | null;
  /** Of the tables it inherits from, partitions aside. */
  inherits: number[];
  /** Empty where there is none. */
  primaryKey: string[];
  /** Whether an UPDATE or DELETE in the WAL says which row it was of. */
  identified: boolean;
  identityFull: boolean;
  /** From statistics; -1 where there are none. */
  rows: number;
  /** Its own files, with TOAST. */
  bytes: number;
  /** A partition goes the way of its root. */
  treatment: Treatment;
  columns: SourceColumn[];
}

export interface SourceColumn {
  table: number;
  name: string;
  /** As format_type says it. */
  type: string;
  typmod: number;
  /** Domains followed to what they are made of. */
  base: BaseType;
  /** Of an array's elements, domains followed. */
  element: BaseType | null;
  isDomain: boolean;
  /** `a` ALWAYS, `d` BY DEFAULT, empty. */
  identity: string;
  generated: boolean;
}

export interface BaseType {
  schema: string;
  name: string;
  /** Of pg_type: b, c, d, e, p, r, m. */
  kind: string;
}

export interface SourceTables {
  /** Partitions are among them. */
  all: SourceTable[];
  /** Those that the plan names: no partitions. */
  roots: SourceTable[];
  /** Replicated, no partitions: what DMS's rules name. */
  replicated: SourceTable[];
  /** To be moved in any way. */
  moved: SourceTable[];
}

/** Of the user, on the aliases `c` and `n`: not the system's, not ours, not DMS's, not an extension's. */
export const USER_RELATION = `${isUserSchema('n')} AND ${isNoExtensionMember('c')} AND ${isNoDmsTable('c')}`;

const TABLES = `
SELECT c.oid::int8::float8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
  c.relpersistence::text AS persistence, pg_get_userbyid(c.relowner) AS owner,
  coalesce((row_to_json(c)->>'relrowsecurity')::bool, false) AS rls,
  coalesce((row_to_json(c)->>'relforcerowsecurity')::bool, false) AS "forceRls",
  CASE WHEN (row_to_json(c)->>'relispartition')::bool
    THEN (SELECT i.inhparent::int8::float8 FROM pg_inherits i WHERE i.inhrelid = c.oid LIMIT 1) END AS "partitionOf",
  CASE WHEN (row_to_json(c)->>'relispartition')::bool THEN '{}'
    ELSE ARRAY(SELECT i.inhparent::int8::float8 FROM pg_inherits i WHERE i.inhrelid = c.oid) END AS inherits,
  ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY a.attnum) AS "primaryKey",
  CASE c.relreplident WHEN 'f' THEN true
    WHEN 'i' THEN EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident)
    WHEN 'd' THEN EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
    ELSE false END AS identified,
  c.relreplident = 'f' AS "identityFull",
  c.reltuples::float8 AS rows, pg_table_size(c.oid)::float8 AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND ${USER_RELATION}
ORDER BY n.nspname, c.relname`;

/** Follows domains to their base type, and an array to its element's. */
const COLUMNS = `
WITH RECURSIVE base AS (
  SELECT t.oid AS of, t.oid AS is FROM pg_type t
  UNION ALL
  SELECT b.of, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.is WHERE t.typtype = 'd'
), resolved AS (
  SELECT b.of, t.oid, t.typname::text AS name, t.typtype::text AS kind, n.nspname::text AS schema, t.typelem, t.typcategory
  FROM base b JOIN pg_type t ON t.oid = b.is JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype <> 'd'
)
SELECT a.attrelid::int8::float8 AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.atttypmod AS typmod,
  json_build_object('schema', r.schema, 'name', r.name, 'kind', r.kind) AS base,
  CASE WHEN r.typcategory = 'A' AND e.oid IS NOT NULL
    THEN json_build_object('schema', e.schema, 'name', e.name, 'kind', e.kind) END AS element,
  r.oid <> a.atttypid AS "isDomain",
  coalesce(row_to_json(a)->>'attidentity', '') AS identity,
  coalesce(row_to_json(a)->>'attgenerated', '') <> '' AS generated
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN resolved r ON r.of = a.atttypid LEFT JOIN resolved e ON e.of = r.typelem
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND ${USER_RELATION}
ORDER BY a.attrelid, a.attnum`;

/** @throws CannotCheck */
export async function tablesOf(migration: Postgres, source: PostgresProbe): Promise<SourceTables> {
  const [found, columns] = await Promise.all([
    source.rows<Omit<SourceTable, 'columns' | 'treatment'>>(TABLES),
    source.rows<SourceColumn>(COLUMNS),
  ]);
  const mappings = migration.replication.tableMappings;
  const selection = mappings ? selectionOf(mappings) : undefined;
  const byOid = new Map(found.map((table) => [table.oid, table]));
  const rootOf = (table: (typeof found)[number]): (typeof found)[number] => {
    const parent = table.partitionOf === null ? undefined : byOid.get(table.partitionOf);
    return parent ? rootOf(parent) : table;
  };
  const columnsOf = new Map<number, SourceColumn[]>();
  for (const column of columns) {
    const list = columnsOf.get(column.table);
    if (list) list.push(column);
    else columnsOf.set(column.table, [column]);
  }
  const all = found.map((table) => ({
    ...table,
    treatment: treatmentOf(migration.tables, rootOf(table), selection),
    columns: columnsOf.get(table.oid) ?? [],
  }));
  const roots = all.filter(({ partitionOf }) => partitionOf === null);
  return {
    all,
    roots,
    replicated: roots.filter(({ treatment }) => treatment === 'replicated'),
    moved: roots.filter(({ treatment }) => treatment === 'replicated' || treatment === 'by-hand'),
  };
}

/** What DMS treats as LOB: fetched apart, truncated in limited mode, and lost without a key (facts 4.5). */
export function isLob({ base, element, typmod }: SourceColumn): boolean {
  if (element) return true;
  if (base.schema !== 'pg_catalog') return false;
  if (base.name === 'varchar') return typmod === -1;
  return ['text', 'bytea', 'json', 'jsonb', 'xml'].includes(base.name);
}
