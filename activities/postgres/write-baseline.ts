/**
 * Has anybody written to the target since it was opened? Two kinds of evidence: transaction ids, which are exact (no id was
 * given out, so nothing was written), and, where ids were given out (autovacuum takes some, and so do other databases of
 * the server), the counters of every table, the catalog's among them, the files behind the tables, and the sequences.
 */
import type pg from 'pg';
import { tableText } from '../../spec/postgres-plan.ts';
import { readAllSequences } from './sequence-values.ts';
import { isNoDmsTable, isUserSchema } from './user-schemas.ts';

export interface WriteBaseline {
  /** Rows inserted, updated and deleted so far, by table. Counted even where the transaction is rolled back. */
  counters: Record<string, number>;
  /** TRUNCATE and rewrites give a table another file; no counter tells. */
  files: Record<string, string>;
  sequences: Record<string, string>;
  /** Counters begin anew with the first, and after a crash with the second. */
  statsReset: string;
  /** False where the server counts nothing (track_counts). */
  counted: boolean;
  startedAt: string;
}

/** Changed by ANALYZE and by our own opening and closing, so no evidence. */
const NOT_EVIDENCE = `'pg_statistic', 'pg_statistic_ext_data', 'pg_authid', 'pg_auth_members', 'pg_stat_statements'`;

export async function readBaseline(client: pg.ClientBase): Promise<WriteBaseline> {
  const counters = await client.query<{ table: string; count: string }>(
    `SELECT format('%I.%I', s.schemaname, s.relname) AS table,
            (s.n_tup_ins + s.n_tup_upd + s.n_tup_del)::text AS count
       FROM pg_stat_all_tables s
       JOIN pg_class c ON c.oid = s.relid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE (${isUserSchema('n')} AND ${isNoDmsTable('c')})
         OR (s.schemaname = 'pg_catalog' AND s.relname NOT IN (${NOT_EVIDENCE}))`,
  );
  const files = await client.query<{ table: string; file: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS table, pg_relation_filenode(c.oid)::text AS file
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'm') AND ${isUserSchema('n')} AND ${isNoDmsTable('c')}`,
  );
  const life = await client.query<{ reset: string | null; started: string; counted: boolean }>(
    `SELECT stats_reset::text AS reset, pg_postmaster_start_time()::text AS started,
            current_setting('track_counts')::boolean AS counted
       FROM pg_stat_database WHERE datname = current_database()`,
  );
  const sequences = await readAllSequences(client);
  return {
    counters: Object.fromEntries(counters.rows.map((row) => [row.table, Number(row.count)])),
    files: Object.fromEntries(files.rows.map((row) => [row.table, row.file])),
    sequences: Object.fromEntries(
      sequences.map((sequence) => [tableText(sequence), `${sequence.lastValue} ${sequence.isCalled}`]),
    ),
    statsReset: life.rows[0]?.reset ?? '',
    startedAt: life.rows[0]!.started,
    counted: life.rows[0]!.counted,
  };
}

export interface Written {
  /** What can't be told, and why. */
  unknown?: string;
  rows: { table: string; rows: number }[];
  /** Besides rows: sequences that moved, tables made, dropped or emptied. */
  other: string[];
}

export function compareBaselines(before: WriteBaseline, now: WriteBaseline): Written {
  const rows: Written['rows'] = [];
  const other: string[] = [];
  let fellBack = false;
  for (const [table, count] of Object.entries(now.counters)) {
    const grown = count - (before.counters[table] ?? 0);
    if (grown > 0) rows.push({ table, rows: grown });
    if (grown < 0) fellBack = true;
  }
  for (const table of new Set([...Object.keys(before.files), ...Object.keys(now.files)])) {
    if (before.files[table] === now.files[table]) continue;
    const what =
      now.files[table] === undefined
        ? 'dropped'
        : before.files[table] === undefined
          ? 'created'
          : 'emptied or rewritten';
    other.push(`${table} was ${what}`);
  }
  for (const [name, value] of Object.entries(now.sequences)) {
    if (before.sequences[name] !== value) other.push(`the sequence ${name} has moved`);
  }
  const written = rows.length > 0 || other.length > 0;
  if (written) return { rows, other };
  if (!before.counted || !now.counted) {
    return { rows, other, unknown: 'track_counts is off on the target: nothing is counted there' };
  }
  const restarted = before.startedAt !== now.startedAt;
  // A clean restart keeps the counters; a crash sets all of them back, those that were above 0 visibly.
  const lost = fellBack || (restarted && Object.values(before.counters).every((count) => count === 0));
  if (!lost && before.statsReset === now.statsReset) return { rows, other };
  const why = restarted ? 'the target was restarted' : 'its statistics were reset';
  return { rows, other, unknown: `${why} since it was opened, so its counters prove nothing` };
}
