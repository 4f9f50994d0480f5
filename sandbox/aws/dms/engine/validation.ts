/** ROW_LEVEL validation: compares the rows of both servers, after the load and whenever they change. */
import pLimit from 'p-limit';
import type pg from 'pg';
import { setTimeout as delay } from 'node:timers/promises';
import type { TableKey } from './decoding.ts';
import { isPassing, messageOf } from './failures.ts';
import { logEnd } from './follower.ts';
import { lsnOf } from './lsn.ts';
import { tableState, type Run } from './run.ts';
import { closeSession, destroy, openSession } from './sessions.ts';
import { planTable } from './table-plan.ts';
import type { FailureType, ValidatedTable } from './validated-table.ts';
import { recordFailure, forgetFailures } from './validation-failures.ts';
import {
  digestsOf,
  partitionDigest,
  partitionEnd,
  partitionRows,
  type Key,
  type ValidationQueries,
} from './validation-sql.ts';

const ROUND_MS = 1_000;
const KEYS = 1_000;
const CATCH_UP_MS = 5_000;

/** The two sessions of a thread. */
interface Pair {
  source: pg.Client;
  target: pg.Client;
}

/**
 * A difference is no failure while changes are on their way. It is one when the source's row stayed the same from before a
 * position of the log to after that was applied, and the target's still differs. AWS waits RecordFailureDelayInMinutes
 * instead; here it is told as soon as it is proven.
 */
export async function validateRound(run: Run, tables: Map<TableKey, ValidatedTable>): Promise<void> {
  const limit = pLimit(run.settings.validationThreads);
  const due = [...tables].filter(
    ([key, table]) => comparableNow(run, key) && !table.suspended && table.error === undefined && !table.settled,
  );
  await Promise.all(due.map(([key, table]) => limit(() => validateTable(run, tables, key, table))));
}

/** Rows of a table that is being loaded are no matter yet. */
function comparableNow(run: Run, key: TableKey): boolean {
  const { state, table, suspended } = tableState(run, key);
  const applied = run.state.phase === 'cdc' || run.spec.migrationType === 'full-load';
  return state === 'Table completed' && !suspended && applied && table.key.length > 0;
}

async function validateTable(
  run: Run,
  tables: Map<TableKey, ValidatedTable>,
  key: TableKey,
  table: ValidatedTable,
): Promise<void> {
  if (run.ended.aborted) return;
  const sessions: pg.Client[] = [];
  const cut = (): void => sessions.forEach(destroy);
  run.ended.addEventListener('abort', cut);
  try {
    const source = await openSession(run.spec.source, 'source', run.spec.id);
    sessions.push(source);
    const target = await openSession(run.spec.target, 'target', run.spec.id);
    sessions.push(target);
    const pair = { source, target };
    const plan = await planTable(target, tableState(run, key).table, run.settings.targetSchema, run.moves);
    const queries: ValidationQueries = {
      plan,
      skipLobs: run.settings.skipLobs,
      collationDiff: run.settings.collationDiff,
    };
    if (plan.key.length === 0) throw new Error('its primary key is of a type that is not moved');
    if (!table.scanned) await scan(run, pair, queries, key, table);
    while (table.pending.size > 0 && !run.ended.aborted) {
      const before = table.pending.size;
      await compareKeys(run, pair, queries, key, table);
      suspendAboveLimits(run, tables, table);
      if (table.pending.size >= before || table.suspended) break; // Rows that go on changing: next round.
    }
  } catch (error) {
    if (run.ended.aborted || isPassing(error)) return; // The next round has new connections.
    table.error = messageOf(error);
  } finally {
    run.ended.removeEventListener('abort', cut);
    await Promise.all(sessions.map(closeSession));
  }
}

async function scan(
  run: Run,
  pair: Pair,
  queries: ValidationQueries,
  key: TableKey,
  table: ValidatedTable,
): Promise<void> {
  table.scanning = true;
  table.failed.clear();
  await forgetFailures(run, pair.target, tableState(run, key));
  let from: Key | undefined;
  do {
    const to = await partitionEnd(pair.source, queries, from, run.settings.validationPartition);
    const range = { from, to };
    const [source, target] = await Promise.all([
      partitionDigest(pair.source, queries, 'source', range),
      partitionDigest(pair.target, queries, 'target', range),
    ]);
    if (source !== target) {
      const [sources, targets] = await Promise.all([
        partitionRows(pair.source, queries, 'source', range),
        partitionRows(pair.target, queries, 'target', range),
      ]);
      for (const [row, digest] of sources) if (targets.get(row) !== digest) table.touch(JSON.parse(row) as Key);
      for (const row of targets.keys()) if (!sources.has(row)) table.touch(JSON.parse(row) as Key);
    }
    from = to;
  } while (from !== undefined && !run.ended.aborted && !table.again);
  // `again`: a revalidation was asked for in the middle.
  table.scanned = !table.again || from === undefined;
  table.again = false;
  table.scanning = false;
}

async function compareKeys(
  run: Run,
  pair: Pair,
  queries: ValidationQueries,
  key: TableKey,
  table: ValidatedTable,
): Promise<void> {
  const batch = [...table.pending].slice(0, KEYS);
  const keys = batch.map(([, values]) => values);
  const before = await digestsOf(pair.source, queries, 'source', keys);
  await applied(run, await logEnd(pair.source));
  // What changes from here on is put back among the pending ones.
  for (const [name] of batch) table.pending.delete(name);
  const target = await digestsOf(pair.target, queries, 'target', keys);
  const after = await digestsOf(pair.source, queries, 'source', keys);
  for (const [index, [name, values]] of batch.entries()) {
    if (after[index] === target[index]) {
      if (table.failed.delete(name)) await forgetFailures(run, pair.target, tableState(run, key), values);
    } else if (before[index] === after[index]) {
      const type: FailureType =
        target[index] === undefined ? 'MISSING_TARGET' : after[index] === undefined ? 'MISSING_SOURCE' : 'RECORD_DIFF';
      if (table.failed.get(name) !== type) {
        table.failed.set(name, type);
        await recordFailure(run, pair.target, tableState(run, key), queries.plan, values, type);
      }
    } else table.touch(values);
  }
}

/** Until the log was applied that far; without a stream of changes at once. @throws when that takes too long: later then */
async function applied(run: Run, lsn: bigint): Promise<void> {
  if (run.spec.migrationType === 'full-load') return;
  const patience = Date.now() + CATCH_UP_MS;
  while (lsnOf(run.state.position) < lsn) {
    if (Date.now() > patience) throw new Error('timeout: the changes are not applied yet');
    await delay(50, undefined, { signal: run.ended });
  }
}

function suspendAboveLimits(run: Run, tables: Map<TableKey, ValidatedTable>, table: ValidatedTable): void {
  const { validationFailureMax, validationTableFailureMax } = run.settings;
  if (table.failed.size >= validationTableFailureMax) table.suspended = true;
  const all = [...tables.values()].reduce((sum, { failed }) => sum + failed.size, 0);
  if (all >= validationFailureMax) for (const one of tables.values()) one.suspended = true;
}

/** Rounds until the signal, one after the other. */
export async function validateOn(run: Run, tables: Map<TableKey, ValidatedTable>): Promise<void> {
  while (!run.ended.aborted) {
    await validateRound(run, tables);
    await delay(ROUND_MS, undefined, { signal: run.ended }).catch(() => {});
  }
}
