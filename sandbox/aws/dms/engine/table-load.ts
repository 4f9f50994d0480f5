/** The full load of one table: COPY to COPY, committed every CommitRate rows. */
import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { cutCondition } from './column-moves.ts';
import type { TableKey } from './decoding.ts';
import { Ended, isDataError, messageOf, TaskFailure } from './failures.ts';
import { tableState, type Run } from './run.ts';
import { closeSession, destroy, openSession } from './sessions.ts';
import type { Snapshot, TableState } from './state.ts';
import { columnList, planTable, TableSuspended, unloadQuery, type TablePlan } from './table-plan.ts';
import { prepareTable } from './table-prep.ts';
import { endpointFlag } from './task-settings.ts';

const CHUNK_BYTES = 8 * 1024 * 1024;
const NEWLINE = 10;

/**
 * Loads a table from one snapshot of the source, and keeps which transactions that has seen: their changes are passed over
 * later, all others are applied, so that the load and the log meet without a gap and without an overlap.
 */
export async function loadTable(run: Run, key: TableKey): Promise<void> {
  const table = tableState(run, key);
  const { spec } = run;
  const sessions: pg.Client[] = [];
  const cut = (): void => sessions.forEach(destroy);
  run.ended.addEventListener('abort', cut);
  try {
    const target = await openSession(spec.target, 'target', spec.id);
    sessions.push(target);
    const source = await openSession(spec.source, 'source', spec.id);
    sessions.push(source);
    if (run.ended.aborted) throw new Ended('stopped');
    await prepareTable(run, target, table);
    const plan = await planTable(target, table.table, run.settings.targetSchema, run.moves);
    run.plans.set(key, plan);
    await source.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
    table.snapshot = await snapshotOf(source);
    await refuseCutLobs(run, source, plan);
    await copyRows(run, source, target, plan, table);
    await source.query('COMMIT');
  } catch (error) {
    if (run.ended.aborted) throw new Ended('stopped', { cause: error });
    throw error;
  } finally {
    run.ended.removeEventListener('abort', cut);
    await Promise.all(sessions.map(closeSession));
  }
}

async function snapshotOf(source: pg.Client): Promise<Snapshot> {
  const { rows } = await source.query<{ xmax: string; running: string[] }>(
    `SELECT txid_snapshot_xmax(s)::text AS xmax, ARRAY(SELECT txid_snapshot_xip(s)::text) AS running
       FROM txid_current_snapshot() AS s`,
  );
  const [snapshot] = rows;
  if (snapshot === undefined) throw new Error('the source gave no snapshot');
  return snapshot;
}

/** FailTasksOnLobTruncation: the task ends rather than that a value is cut. */
async function refuseCutLobs(run: Run, source: pg.Client, plan: TablePlan): Promise<void> {
  const either = [run.spec.source, run.spec.target].some(({ settings }) =>
    endpointFlag(settings, 'FailTasksOnLobTruncation'),
  );
  if (!either) return;
  for (const { move, name } of plan.columns) {
    const condition = cutCondition(move);
    if (condition === undefined) continue;
    const { rows } = await source.query<{ cut: boolean }>(
      `SELECT EXISTS (SELECT FROM ${plan.source} WHERE ${condition}) AS cut`,
    );
    if (rows[0]?.cut === true) throw lobCut(plan, name, run.settings.lobMaxSize);
  }
}

export function lobCut(plan: { schema: string; name: string }, column: string, limit: number): TaskFailure {
  return new TaskFailure(
    'FATAL_ERROR',
    `LOB data truncation error: column '${column}' of table '${plan.schema}'.'${plan.name}' exceeds LobMaxSize (${limit / 1024} KB) and FailTasksOnLobTruncation is on`,
  );
}

async function copyRows(
  run: Run,
  source: pg.Client,
  target: pg.Client,
  plan: TablePlan,
  table: TableState,
): Promise<void> {
  const unload = source.query(copyTo(`COPY (${unloadQuery(plan)}) TO STDOUT`, { highWaterMark: 1024 * 1024 }));
  const begun = Date.now();
  let sent = 0;
  let writing: Promise<void> = Promise.resolve();
  const write = async (chunk: Buffer, rows: number): Promise<void> => {
    const landed = await writeRows(run, target, plan, table, chunk, rows);
    table.fullLoadRows += landed;
    run.loadedRows += landed;
    const fail = run.script.failAfterRows;
    if (fail !== undefined && run.loadedRows >= fail.rows) {
      delete run.script.failAfterRows; // Once: the task can be started again.
      throw new TaskFailure(fail.reason, fail.message);
    }
    const { failTable } = run.script;
    if (failTable?.schema === plan.schema && failTable.table === plan.name) throw new TableSuspended(failTable.message);
  };
  let parts: Buffer[] = [];
  let size = 0;
  let rows = 0;
  const handOver = async (): Promise<void> => {
    await writing; // One chunk is on its way while the next one is read: no more than two are in memory.
    writing = write(Buffer.concat(parts), rows);
    writing.catch(() => {});
    sent += rows;
    [parts, size, rows] = [[], 0, 0];
    const pace = run.script.loadRowsPerSecond;
    if (pace !== undefined) await pause((sent / pace) * 1_000 - (Date.now() - begun), run.ended);
  };
  try {
    for await (const piece of unload as AsyncIterable<Buffer>) {
      let from = 0;
      const most = chunkRows(run);
      for (let end = piece.indexOf(NEWLINE); end !== -1; end = piece.indexOf(NEWLINE, end + 1)) {
        rows++;
        if (rows < most && size + end - from < CHUNK_BYTES) continue;
        parts.push(piece.subarray(from, end + 1));
        from = end + 1;
        await handOver();
      }
      if (from < piece.length) parts.push(piece.subarray(from));
      size += piece.length - from;
    }
    if (rows > 0) await handOver();
    await writing;
    // The last check for a table without rows.
    const { failTable } = run.script;
    if (failTable?.schema === plan.schema && failTable.table === plan.name) throw new TableSuspended(failTable.message);
  } catch (error) {
    unload.destroy();
    destroy(source);
    throw error;
  }
}

function chunkRows(run: Run): number {
  const pace = run.script.loadRowsPerSecond;
  return pace === undefined
    ? run.settings.commitRate
    : Math.max(1, Math.min(run.settings.commitRate, Math.ceil(pace / 10)));
}

async function pause(ms: number, ended: AbortSignal): Promise<void> {
  if (ms > 0) await delay(ms, undefined, { signal: ended });
}

/** @returns how many rows landed; the others went the way of DataErrorPolicy */
async function writeRows(
  run: Run,
  target: pg.Client,
  plan: TablePlan,
  table: TableState,
  chunk: Buffer,
  rows: number,
): Promise<number> {
  try {
    await copyIn(target, plan, chunk);
    return rows;
  } catch (error) {
    if (!isDataError(error)) throw error;
    if (rows > 1) {
      // The bad ones are found by halves: COPY names a line at most, and none at all for some constraints.
      const middle = afterRow(chunk, Math.floor(rows / 2));
      const first = await writeRows(run, target, plan, table, chunk.subarray(0, middle), Math.floor(rows / 2));
      return first + (await writeRows(run, target, plan, table, chunk.subarray(middle), rows - Math.floor(rows / 2)));
    }
    await badRow(run, target, plan, table, chunk, error);
    return 0;
  }
}

async function badRow(
  run: Run,
  target: pg.Client,
  plan: TablePlan,
  table: TableState,
  row: Buffer,
  error: unknown,
): Promise<void> {
  const said = messageOf(error);
  switch (run.settings.dataError) {
    case 'IGNORE_RECORD':
      return;
    case 'LOG_ERROR':
      await run.control.exception(
        target,
        table,
        `INSERT INTO ${plan.target} (${columnList(plan.columns)}) VALUES ${row.toString()}`,
        said,
      );
      return;
    case 'SUSPEND_TABLE':
      throw new TableSuspended(said, { cause: error });
    default:
      throw new TaskFailure(
        'FATAL_ERROR',
        `Error executing command on table '${plan.schema}'.'${plan.name}': ${said}`,
        {
          cause: error,
        },
      );
  }
}

async function copyIn(target: pg.Client, plan: TablePlan, rows: Buffer): Promise<void> {
  const stream = target.query(copyFrom(`COPY ${plan.target} (${columnList(plan.columns)}) FROM STDIN`));
  const done = finished(stream);
  done.catch(() => {});
  // In pieces: one message of the protocol must not be of any size.
  for (let at = 0; at < rows.length; at += 1024 * 1024) {
    if (stream.destroyed) break;
    if (!stream.write(rows.subarray(at, at + 1024 * 1024))) await Promise.race([once(stream, 'drain'), done]);
  }
  stream.end();
  await done;
}

function afterRow(chunk: Buffer, rows: number): number {
  let at = -1;
  for (let row = 0; row < rows; row++) at = chunk.indexOf(NEWLINE, at + 1);
  return at + 1;
}
