/** Every row of every table: by checksums of a part of the table first, and row by row where those differ. */
import { type ClientBase, escapeIdentifier } from 'pg';
import { NOT_COMPARED, type DatabaseDifference } from './compared.ts';
import type { TouchedRows } from './expected-rows.ts';

interface Table {
  schema: string;
  name: string;
  columns: string[];
  /** All columns where there is none: equal rows are counted then. */
  key: string[];
}

interface Part {
  part: number;
  rows: number;
  sum: string;
}

const EXAMPLES = 3;

const TABLES = `
  SELECT n.nspname AS schema, c.relname AS name,
    (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
    (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_index i JOIN pg_attribute a
      ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey) WHERE i.indrelid = c.oid AND i.indisprimary) AS key
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND ${NOT_COMPARED} ORDER BY 1, 2`;

export async function compareRows(
  source: ClientBase,
  target: ClientBase,
  writtenSince: TouchedRows,
): Promise<{ tables: number; rows: number; differences: DatabaseDifference[] }> {
  const [from, to] = await Promise.all([source, target].map(tablesOf));
  const differences: DatabaseDifference[] = [];
  let rows = 0;
  for (const [name, table] of from!) {
    const there = to!.get(name);
    to!.delete(name);
    const missing = table.columns.filter((column) => !there?.columns.includes(column));
    if (!there || missing.length > 0) {
      const what = there ? `a table without ${missing.join(', ')}` : 'nothing';
      differences.push({ kind: 'rows', name, source: 'a table', target: what });
      continue;
    }
    const apart = table.schema === 'public' ? (writtenSince.get(table.name) ?? []) : [];
    const compared = await compareTable(source, target, table, apart);
    rows += compared.rows;
    if (compared.differs) differences.push({ kind: 'rows', name, ...compared.differs });
  }
  for (const name of to!.keys()) differences.push({ kind: 'rows', name, source: 'nothing', target: 'a table' });
  return { tables: from!.size, rows, differences };
}

async function tablesOf(client: ClientBase): Promise<Map<string, Table>> {
  const { rows } = await client.query<Omit<Table, 'key'> & { key: string[] | null }>(TABLES);
  return new Map(rows.map((table) => [`${table.schema}.${table.name}`, { ...table, key: table.key ?? table.columns }]));
}

async function compareTable(
  source: ClientBase,
  target: ClientBase,
  table: Table,
  apart: number[],
): Promise<{ rows: number; differs?: { source: string; target: string } }> {
  const sums = partsQuestion(table, apart);
  const [from, to] = await Promise.all(
    [source, target].map(async (client) => (await client.query<Part>(...sums)).rows),
  );
  const rows = from!.reduce((sum, part) => sum + part.rows, 0);
  const textOf = ({ rows, sum }: Part): string => `${rows} ${sum}`;
  const there = new Map(to!.map((part) => [part.part, textOf(part)]));
  const unequal = from!.filter((part) => there.get(part.part) !== textOf(part)).map(({ part }) => part);
  const here = new Set(from!.map(({ part }) => part));
  unequal.push(...to!.filter(({ part }) => !here.has(part)).map(({ part }) => part));
  if (unequal.length === 0) return { rows };
  const question = rowsQuestion(table, apart, unequal);
  const [a, b] = await Promise.all(
    [source, target].map(async (client) => {
      const { rows: found } = await client.query<{ key: string; digest: string }>(...question);
      return new Map(found.map(({ key, digest }) => [key, digest]));
    }),
  );
  return { rows, differs: inWords(a!, b!) };
}

function inWords(source: Map<string, string>, target: Map<string, string>): { source: string; target: string } {
  const missing = [...source.keys()].filter((key) => !target.has(key));
  const extra = [...target.keys()].filter((key) => !source.has(key));
  const changed = [...source]
    .filter(([key, digest]) => target.has(key) && target.get(key) !== digest)
    .map(([key]) => key);
  const list = (keys: string[], what: string): string[] =>
    keys.length === 0
      ? []
      : [`${keys.length} ${what}: ${keys.slice(0, EXAMPLES).join(' ')}${keys.length > EXAMPLES ? ' …' : ''}`];
  return {
    source: list(missing, 'rows that the target has not').join('') || 'the rows',
    target:
      [...list(changed, 'rows with other values'), ...list(extra, 'rows that the source has not')].join(', ') ||
      'less rows',
  };
}

const PARTS = 256;

/** The text of each value says more than enough: every connection here writes it in the same way. */
const rowText = (columns: string[]): string => `ROW(${columns.map((name) => escapeIdentifier(name)).join(', ')})::text`;
const partOf = ({ key }: Table): string => `(hashtextextended(${rowText(key)}, 0) & ${PARTS - 1})::int`;
const tableName = ({ schema, name }: Table): string => `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`;

function partsQuestion(table: Table, apart: number[]): [string, unknown[]] {
  const text = `
    SELECT ${partOf(table)} AS part, count(*)::int AS rows, sum(hashtextextended(${rowText(table.columns)}, 1)::numeric)::text AS sum
    FROM ${tableName(table)} ${without(apart)} GROUP BY 1`;
  return [text, apart.length > 0 ? [apart] : []];
}

function rowsQuestion(table: Table, apart: number[], parts: number[]): [string, unknown[]] {
  const text = `
    SELECT ${rowText(table.key)} AS key, count(*) || md5(string_agg(${rowText(table.columns)}, '' ORDER BY ${rowText(table.columns)})) AS digest
    FROM ${tableName(table)} ${without(apart)} ${apart.length > 0 ? 'AND' : 'WHERE'} ${partOf(table)} = ANY ('{${parts.join(',')}}') GROUP BY 1`;
  return [text, apart.length > 0 ? [apart] : []];
}

const without = (apart: number[]): string => (apart.length > 0 ? 'WHERE NOT (id = ANY ($1))' : '');
