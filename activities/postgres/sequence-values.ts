/** Sequences as they are: position and parameters, read the same way on both sides. Values are bigint, so text. */
import type pg from 'pg';
import type { TableId } from '../../spec/postgres-plan.ts';
import { quotedTable, tableKey } from './names.ts';
import { serverVersion } from './server-version.ts';
import { isNoExtensionMember, isUserSchema } from './user-schemas.ts';

export interface SequenceState extends TableId {
  lastValue: bigint;
  /** False: the next value is lastValue itself. */
  isCalled: boolean;
  increment: bigint;
  min: bigint;
  max: bigint;
  start: bigint;
  cache: bigint;
  cycle: boolean;
  type: string;
  /** The table whose column owns it, identity columns too. */
  owner?: TableId & { column: string; columnType: string };
}

/** So many sequences in one statement: each is a relation that it must open. */
const IN_ONE_STATEMENT = 400;

export const sequenceKey = tableKey;

interface CatalogRow {
  schema: string;
  name: string;
  type: string;
  owner_schema: string | null;
  owner_table: string | null;
  owner_column: string | null;
  owner_type: string | null;
}

/** Every sequence of the user's schemas, owned or not, by name. */
export async function readAllSequences(client: pg.ClientBase): Promise<SequenceState[]> {
  const version = await serverVersion(client);
  const { rows } = await client.query<CatalogRow>(
    `SELECT n.nspname AS schema, c.relname AS name,
            ${version >= 100_000 ? `(SELECT format_type(s.seqtypid, NULL) FROM pg_sequence s WHERE s.seqrelid = c.oid)` : `'bigint'`} AS type,
            tn.nspname AS owner_schema, t.relname AS owner_table, a.attname AS owner_column,
            format_type(a.atttypid, NULL) AS owner_type
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
                            AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
       LEFT JOIN pg_class t ON t.oid = d.refobjid
       LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
       LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ${isUserSchema('n')} AND ${isNoExtensionMember('c')}
      ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`,
  );
  const found: SequenceState[] = [];
  for (let at = 0; at < rows.length; at += IN_ONE_STATEMENT) {
    found.push(...(await readChunk(client, rows.slice(at, at + IN_ONE_STATEMENT), version)));
  }
  return found;
}

async function readChunk(client: pg.ClientBase, wanted: CatalogRow[], version: number): Promise<SequenceState[]> {
  // Parameters moved from the sequence itself into pg_sequence with Postgres 10.
  const selects = wanted.map((row, index) =>
    version >= 100_000
      ? `SELECT ${index} AS i, s.last_value::text AS last, s.is_called AS called, p.seqincrement::text AS increment,
                p.seqmin::text AS min, p.seqmax::text AS max, p.seqstart::text AS start, p.seqcache::text AS cache,
                p.seqcycle AS cycle
           FROM ${quotedTable(row)} s, pg_sequence p WHERE p.seqrelid = $${index + 1}::regclass`
      : `SELECT ${index} AS i, last_value::text AS last, is_called AS called, increment_by::text AS increment,
                min_value::text AS min, max_value::text AS max, start_value::text AS start, cache_value::text AS cache,
                is_cycled AS cycle
           FROM ${quotedTable(row)} WHERE $${index + 1}::text IS NOT NULL`,
  );
  const { rows } = await client.query<Record<string, string | boolean | number>>(
    selects.join(' UNION ALL '),
    wanted.map(quotedTable),
  );
  return rows.map((row) => {
    const { schema, name, type, owner_schema, owner_table, owner_column, owner_type } = wanted[Number(row['i'])]!;
    return {
      schema,
      name,
      type,
      lastValue: BigInt(String(row['last'])),
      isCalled: row['called'] === true,
      increment: BigInt(String(row['increment'])),
      min: BigInt(String(row['min'])),
      max: BigInt(String(row['max'])),
      start: BigInt(String(row['start'])),
      cache: BigInt(String(row['cache'])),
      cycle: row['cycle'] === true,
      ...(owner_schema && owner_table && owner_column && owner_type
        ? { owner: { schema: owner_schema, name: owner_table, column: owner_column, columnType: owner_type } }
        : {}),
    };
  });
}

/** What must be the same on both sides; undefined where it is. */
export function parametersDiffer(source: SequenceState, target: SequenceState): string | undefined {
  const fields = ['increment', 'min', 'max', 'start', 'cache', 'cycle', 'type'] as const;
  const differing = fields.filter((field) => source[field] !== target[field]);
  if (differing.length === 0) return undefined;
  return differing.map((field) => `${field} ${source[field]} on the source, ${target[field]} on the target`).join('; ');
}

export interface Position {
  value: bigint;
  isCalled: boolean;
}

/**
 * The source's position, `margin` steps further in the sequence's own direction. A sequence that cycles goes round; one
 * that does not, and would be used up by the margin, is set exactly.
 */
export function positionWithMargin(sequence: SequenceState, margin: number): Position {
  const { lastValue, isCalled, increment, min, max, cycle } = sequence;
  const steps = BigInt(margin);
  const room = increment > 0n ? (max - lastValue) / increment : (lastValue - min) / -increment;
  if (steps <= room) return { value: lastValue + steps * increment, isCalled };
  if (!cycle) return { value: lastValue, isCalled };
  const round = increment > 0n ? (max - min) / increment + 1n : (max - min) / -increment + 1n;
  const rest = (steps - room - 1n) % round;
  return { value: (increment > 0n ? min : max) + rest * increment, isCalled };
}
