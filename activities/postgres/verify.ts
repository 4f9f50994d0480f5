/** Are the tables equal? Count and checksum of each, both sides at once, a few tables at a time. */
import pLimit from 'p-limit';
import type pg from 'pg';
import type { Postgres } from '../../spec/kind-postgres.ts';
import {
  tableText,
  type PlannedTable,
  type TableId,
  type TablePlan,
  type VerifyResult,
} from '../../spec/postgres-plan.ts';
import { beat } from '../beat.ts';
import { hashFor, sumOf, type HashName, type SumOf } from './checksum.ts';
import { readColumns, sameColumns } from './columns.ts';
import { sessionName, withPostgres } from './connect.ts';
import { differingKeys } from './differing-keys.ts';
import { tableKey } from './names.ts';
import { serverVersion } from './server-version.ts';
import { endEarlierSessions } from './sessions.ts';
import { movedTables, readPlannedTables } from './tables.ts';

export interface VerifyInput {
  migration: Postgres;
  plan: TablePlan;
  /** `all`: what is replicated and what is copied by hand. */
  which: 'all' | TableId[];
  mode: 'checksum' | 'count';
}

const AT_ONCE = 3;
const SHOWN_DIFFERENCES = 20;
/** Tables whose differing keys are looked for: it reads them once more. */
const EXPLAINED = 3;
const SHOWN_KEYS = 5;

interface Both {
  source: pg.Client;
  target: pg.Client;
  hash: HashName;
}

/**
 * Reads both sides; changes nothing, can run any number of times. Tables that are written meanwhile differ: it proves
 * something only behind the fence.
 * @throws cutover.Differs where a table's columns are others; cutover.NotFound where a table is missing
 */
export async function verifyTables(input: VerifyInput): Promise<VerifyResult> {
  const { migration } = input;
  const began = performance.now();
  const tables = wantedTables(input);
  const progress = new VerifyProgress(tables);
  const name = sessionName(migration.id, 'verify');
  // A query of an attempt that was given up would read on, and slow this one down.
  await Promise.all(
    [migration.source, migration.target].map((side) =>
      withPostgres(side, { name }, (client) => endEarlierSessions(client, name)),
    ),
  );
  const atOnce = pLimit(AT_ONCE);
  const found = await Promise.all(
    tables.map((table) =>
      atOnce(() => withBoth(migration, name, (both) => compare(both, table, input.mode, progress))),
    ),
  );
  const unplanned = input.which === 'all' ? await tablesSincePlan(input) : [];
  const differences = [
    ...unplanned.map((table) => ({ table, source: 'made after the plan', target: 'not moved' })),
    ...found.flatMap(({ difference }) => difference ?? []),
  ];
  return {
    equal: differences.length === 0,
    tables: tables.length,
    rows: found.reduce((sum, { rows }) => sum + rows, 0),
    ms: Math.round(performance.now() - began),
    differences: differences.slice(0, SHOWN_DIFFERENCES),
  };
}

/**
 * Tables that came to the source after the plan was made, and are not left out by the file: the replication does not know
 * them, and they would be lost without a word.
 */
async function tablesSincePlan({ migration, plan }: Pick<VerifyInput, 'migration' | 'plan'>): Promise<string[]> {
  const planned = new Set(plan.tables.map(tableKey));
  const now = await withPostgres(migration.source, { name: sessionName(migration.id, 'verify') }, (client) =>
    readPlannedTables(client, migration),
  );
  return now.filter((table) => table.treatment !== 'left-out' && !planned.has(tableKey(table))).map(tableText);
}

function wantedTables({ plan, which }: VerifyInput): PlannedTable[] {
  if (which === 'all') return movedTables(plan);
  const keys = new Set(which.map(tableKey));
  return plan.tables.filter((table) => keys.has(tableKey(table)));
}

function withBoth<T>(migration: Postgres, name: string, use: (both: Both) => Promise<T>): Promise<T> {
  return withPostgres(migration.source, { name }, (source) =>
    withPostgres(migration.target, { name }, async (target) => {
      const versions = await Promise.all([serverVersion(source), serverVersion(target)]);
      return use({ source, target, hash: hashFor(versions) });
    }),
  );
}

/** The table as both sides' sums need it. @throws cutover.Differs, cutover.NotFound */
async function readBoth({ source, target }: Both, table: PlannedTable): Promise<SumOf> {
  const [here, there] = await Promise.all([readColumns(source, table), readColumns(target, table)]);
  return {
    schema: table.schema,
    name: table.name,
    partitioned: table.partitioned === true,
    columns: sameColumns(table, here, there),
  };
}

interface Compared {
  rows: number;
  difference?: VerifyResult['differences'][number];
}

async function compare(
  both: Both,
  table: PlannedTable,
  mode: VerifyInput['mode'],
  progress: VerifyProgress,
): Promise<Compared> {
  const sum = await readBoth(both, table);
  const how = { mode, hash: both.hash };
  const [source, target] = await Promise.all([sumOf(both.source, sum, how), sumOf(both.target, sum, how)]);
  progress.done(table, source.rows);
  if (source.rows === target.rows && source.sum === target.sum) return { rows: source.rows };
  const [here, there] = [`${source.rows} rows`, `${target.rows} rows`];
  const text = source.rows === target.rows ? `${there} with other values` : there;
  const keys = mode === 'checksum' && progress.mayExplain() ? await keysOf(both, table, sum, source.rows) : [];
  return {
    rows: source.rows,
    difference: {
      table: tableText(table),
      source: here,
      target: keys.length > 0 ? `${text}: ${keys.join('; ')}` : text,
    },
  };
}

function keysOf(both: Both, table: PlannedTable, sum: SumOf, rows: number): Promise<string[]> {
  return differingKeys(both, { ...sum, primaryKey: table.primaryKey, rows }, both.hash, SHOWN_KEYS);
}

/** True where the table has the same rows on both sides. For a table that was copied ahead. */
export async function isSame(migration: Postgres, table: PlannedTable): Promise<boolean> {
  return withBoth(migration, sessionName(migration.id, 'verify'), async (both) => {
    const sum = await readBoth(both, table);
    const how = { mode: 'checksum' as const, hash: both.hash };
    const [source, target] = await Promise.all([sumOf(both.source, sum, how), sumOf(both.target, sum, how)]);
    return source.rows === target.rows && source.sum === target.sum;
  });
}

class VerifyProgress {
  private readonly began = performance.now();
  private readonly total: number;
  private readonly tables: number;
  private rows = 0;
  private finished = 0;
  private explained = 0;

  constructor(tables: PlannedTable[]) {
    this.total = tables.reduce((sum, { rows }) => sum + rows, 0);
    this.tables = tables.length;
  }

  done(table: PlannedTable, rows: number): void {
    this.rows += rows;
    this.finished += 1;
    const seconds = Math.max(0.001, (performance.now() - this.began) / 1000);
    const perSecond = Math.round(this.rows / seconds);
    const left = Math.max(0, this.total - this.rows);
    beat({
      progress: {
        text: `compared ${this.finished} of ${this.tables} tables, ${tableText(table)} last`,
        done: this.rows,
        // Of statistics, so about; never less than what is done.
        total: Math.max(this.total, this.rows),
        unit: 'rows',
        perSecond,
        ...(perSecond > 0 ? { etaMs: Math.round((left / perSecond) * 1000) } : {}),
      },
    });
  }

  mayExplain(): boolean {
    this.explained += 1;
    return this.explained <= EXPLAINED;
  }
}
