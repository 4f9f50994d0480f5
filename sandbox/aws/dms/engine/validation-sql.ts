/** The queries of the row validation: the same rows, the same digest, on both servers. */
import type pg from 'pg';
import { movedExpression } from './column-moves.ts';
import type { PlannedColumn, TablePlan } from './table-plan.ts';

export type Key = string[];

export interface Range {
  /** Exclusive. */
  from?: Key | undefined;
  /** Inclusive. */
  to?: Key | undefined;
}

export interface ValidationQueries {
  plan: TablePlan;
  skipLobs: boolean;
  collationDiff: boolean;
}

type Side = 'source' | 'target';

/** One text for a value, however its type writes it on either side. */
function comparable(column: PlannedColumn, side: Side): string {
  const { move, sql, targetType } = column;
  let value = side === 'source' ? movedExpression(move) : sql;
  if (move.facts.baseName === 'numeric') {
    const text = `(${value})::text`;
    return `CASE WHEN strpos(${text}, '.') > 0 THEN rtrim(rtrim(${text}, '0'), '.') ELSE ${text} END`;
  }
  // A table that DMS made has types of its own.
  if (side === 'source' && targetType !== move.facts.type) value = `(${value})::text::${targetType}`;
  return `(${value})::text`;
}

function digest({ plan, skipLobs }: ValidationQueries, side: Side): string {
  const compared = plan.columns.filter(({ move }) => !(skipLobs && move.lob));
  return `md5(ROW(${compared.map((column) => comparable(column, side)).join(', ')})::text)`;
}

/** The key as both servers order it: by bytes where their collations differ (HandleCollationDiff). */
function ordered({ collationDiff }: ValidationQueries, column: PlannedColumn): string {
  return collationDiff && column.move.facts.category === 'S' ? `${column.sql} COLLATE "C"` : column.sql;
}

function keyType(column: PlannedColumn, side: Side): string {
  return side === 'source' ? column.move.facts.type : column.targetType;
}

function within(queries: ValidationQueries, side: Side, range: Range): { where: string; values: string[] } {
  const { key } = queries.plan;
  const values: string[] = [];
  const row = `(${key.map((column) => ordered(queries, column)).join(', ')})`;
  const bound = (operator: string, at: Key): string => {
    const parameters = key.map((column, index) => `$${values.push(at[index] ?? '')}::text::${keyType(column, side)}`);
    return `${row} ${operator} (${parameters.join(', ')})`;
  };
  const conditions: string[] = [];
  if (range.from !== undefined) conditions.push(bound('>', range.from));
  if (range.to !== undefined) conditions.push(bound('<=', range.to));
  return { where: conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`, values };
}

function relation(plan: TablePlan, side: Side): string {
  return side === 'source' ? plan.source : plan.target;
}

function keyText(plan: TablePlan): string {
  return `ARRAY[${plan.key.map(({ sql }) => `${sql}::text`).join(', ')}]`;
}

/** The last key of the next partition of the source; undefined when fewer rows are left than it holds. */
export async function partitionEnd(
  client: pg.Client,
  queries: ValidationQueries,
  from: Key | undefined,
  size: number,
): Promise<Key | undefined> {
  const { plan } = queries;
  const { where, values } = within(queries, 'source', { from });
  const order = plan.key.map((column) => ordered(queries, column)).join(', ');
  const { rows } = await client.query<{ key: Key }>(
    `SELECT ${keyText(plan)} AS key FROM ${plan.source} ${where} ORDER BY ${order} OFFSET ${size - 1} LIMIT 1`,
    values,
  );
  return rows[0]?.key;
}

/** Equal for equal rows, whatever order they come in. */
export async function partitionDigest(
  client: pg.Client,
  queries: ValidationQueries,
  side: Side,
  range: Range,
): Promise<string> {
  const { where, values } = within(queries, side, range);
  const { rows } = await client.query<{ sum: string }>(
    `SELECT count(*)::text || ' ' || coalesce(sum(('x' || substr(d, 1, 15))::bit(60)::bigint), 0)::text AS sum
       FROM (SELECT ${digest(queries, side)} AS d FROM ${relation(queries.plan, side)} ${where}) AS rows`,
    values,
  );
  return rows[0]?.sum ?? '';
}

/** Digest by key (as JSON). */
export async function partitionRows(
  client: pg.Client,
  queries: ValidationQueries,
  side: Side,
  range: Range,
): Promise<Map<string, string>> {
  const { where, values } = within(queries, side, range);
  const { rows } = await client.query<{ key: Key; digest: string }>(
    `SELECT ${keyText(queries.plan)} AS key, ${digest(queries, side)} AS digest FROM ${relation(queries.plan, side)} ${where}`,
    values,
  );
  return new Map(rows.map(({ key, digest }) => [JSON.stringify(key), digest]));
}

/** The digests of these rows, undefined for one that is not there. */
export async function digestsOf(
  client: pg.Client,
  queries: ValidationQueries,
  side: Side,
  keys: readonly Key[],
): Promise<(string | undefined)[]> {
  const { plan } = queries;
  const columns = plan.key.map((_, index) => `c${index}`);
  const on = plan.key.map((column, index) => `${column.sql} = v.c${index}::${keyType(column, side)}`).join(' AND ');
  const { rows } = await client.query<{ at: string; digest: string }>(
    `SELECT v.ordinal::text AS at, ${digest(queries, side)} AS digest
       FROM unnest(${columns.map((_, index) => `$${index + 1}::text[]`).join(', ')}) WITH ORDINALITY AS v(${columns.join(', ')}, ordinal)
       JOIN ${relation(plan, side)} ON ${on}`,
    columns.map((_, index) => keys.map((key) => key[index] ?? null)),
  );
  const found: (string | undefined)[] = keys.map(() => undefined);
  for (const { at, digest } of rows) found[Number(at) - 1] = digest;
  return found;
}
