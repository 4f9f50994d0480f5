/** Every sequence, owned by a column or not: the target's next value must not be one that the source has given out. */
import { type ClientBase, escapeIdentifier } from 'pg';
import { NOT_COMPARED, type DatabaseDifference } from './compared.ts';

interface Sequence {
  name: string;
  parameters: string;
  increment: bigint;
  next: bigint;
  called: boolean;
  last: bigint;
}

const SEQUENCES = `
  SELECT n.nspname AS schema, c.relname AS name, s.seqincrement AS increment,
    format('%s from %s by %s, %s to %s, cache %s%s', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
      s.seqcache, CASE WHEN s.seqcycle THEN ', cycles' ELSE '' END) AS parameters
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE ${NOT_COMPARED} ORDER BY 1, 2`;

export async function compareSequences(
  source: ClientBase,
  target: ClientBase,
): Promise<{ compared: number; differences: DatabaseDifference[] }> {
  const [from, to] = await Promise.all([source, target].map(sequencesOf));
  const differences: DatabaseDifference[] = [];
  for (const [name, here] of from!) {
    const there = to!.get(name);
    to!.delete(name);
    const state = ({ last, called }: Sequence): string => `${last}${called ? '' : ', not yet given out'}`;
    const add = (sourceText: string, targetText: string): void => {
      differences.push({ kind: 'sequences', name, source: sourceText, target: targetText });
    };
    if (!there) add(state(here), 'nothing');
    else if (there.parameters !== here.parameters) add(here.parameters, there.parameters);
    else if (here.increment > 0n ? there.next < here.next : there.next > here.next)
      add(state(here), `${state(there)}: behind`);
  }
  for (const name of to!.keys()) differences.push({ kind: 'sequences', name, source: 'nothing', target: 'a sequence' });
  return { compared: from!.size, differences };
}

async function sequencesOf(client: ClientBase): Promise<Map<string, Sequence>> {
  const { rows } = await client.query<{ schema: string; name: string; increment: string; parameters: string }>(
    SEQUENCES,
  );
  const found = new Map<string, Sequence>();
  for (const { schema, name, increment, parameters } of rows) {
    const { rows: state } = await client.query<{ last_value: string; is_called: boolean }>(
      `SELECT last_value, is_called FROM ${escapeIdentifier(schema)}.${escapeIdentifier(name)}`,
    );
    const [last, step, called] = [BigInt(state[0]!.last_value), BigInt(increment), state[0]!.is_called];
    found.set(`${schema}.${name}`, {
      name,
      parameters,
      increment: step,
      last,
      called,
      next: called ? last + step : last,
    });
  }
  return found;
}

const FED_COLUMNS = `
  SELECT n.nspname AS schema, c.relname AS table, a.attname AS column, sn.nspname AS sequence_schema, s.relname AS sequence,
    q.seqincrement > 0 AS rising
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  JOIN pg_depend p ON (p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass)
    OR (a.attidentity <> '' AND p.classid = 'pg_class'::regclass AND p.deptype = 'i' AND p.refobjid = c.oid AND p.refobjsubid = a.attnum)
  JOIN pg_class s ON s.relkind = 'S' AND s.oid = CASE WHEN p.classid = 'pg_attrdef'::regclass THEN p.refobjid ELSE p.objid END
  JOIN pg_namespace sn ON sn.oid = s.relnamespace JOIN pg_sequence q ON q.seqrelid = s.oid
  WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND ${NOT_COMPARED} ORDER BY 1, 2, 3`;

export interface FedColumns {
  columns: number;
  /** Columns of which a row already has the value that the sequence gives next, or one beyond it: the next inserts meet a key conflict. */
  behind: string[];
}

/** Looks at every column that a sequence fills, and whether the sequence is ahead of all that is in it. */
export async function columnsAheadOfTheirSequence(client: ClientBase): Promise<FedColumns> {
  const { rows } = await client.query<
    Record<'schema' | 'table' | 'column' | 'sequence_schema' | 'sequence', string> & { rising: boolean }
  >(FED_COLUMNS);
  const quoted = (...parts: string[]): string => parts.map((part) => escapeIdentifier(part)).join('.');
  const behind: string[] = [];
  for (const { schema, table, column, sequence_schema, sequence, rising } of rows) {
    const [extreme, within] = rising ? ['max', '>'] : ['min', '<'];
    const { rows: found } = await client.query<{ text: string; behind: boolean }>(`
      SELECT format('%s, and the sequence is at %s', ${extreme}(${quoted(column)}), (SELECT last_value FROM ${quoted(sequence_schema, sequence)})) AS text,
        ${extreme}(${quoted(column)}) ${within} (SELECT last_value FROM ${quoted(sequence_schema, sequence)})
          OR (${extreme}(${quoted(column)}) = (SELECT last_value FROM ${quoted(sequence_schema, sequence)})
            AND NOT (SELECT is_called FROM ${quoted(sequence_schema, sequence)})) AS behind
      FROM ${quoted(schema, table)}`);
    if (found[0]?.behind) behind.push(`${schema}.${table}.${column} has ${found[0].text}`);
  }
  return { columns: rows.length, behind };
}
