/** Applies changes on the target: whole source transactions, in their order, and exactly once. */
import type pg from 'pg';
import { setTimeout as delay } from 'node:timers/promises';
import { readyChange, statementsOf, type Ready } from './apply-sql.ts';
import { applyAlone } from './apply-alone.ts';
import type { Change } from './change-stream.ts';
import { tableKey, type TableKey } from './decoding.ts';
import { isDataError, isPassing, sqlState } from './failures.ts';
import { lobCut } from './table-load.ts';
import { suspendTable, tableState, type Run } from './run.ts';
import { closeSession, destroy, openSession } from './sessions.ts';
import { noCounts, sawTransaction, type Counters, type Progress } from './state.ts';
import { planTable, TableSuspended, type TablePlan } from './table-plan.ts';
import { endpointFlag } from './task-settings.ts';

/** A key whose row was changed, for the validation. */
export type Touched = (table: TableKey, key: (string | null)[]) => void;

/** Changes that go to the target in one go. */
const PIECE = 2_000;
const COUNTERS = { insert: 'inserts', update: 'updates', delete: 'deletes', truncate: 'ddls' } as const;

interface Staged {
  captured: Counters;
  applied: Counters;
}

export class Applier {
  private readonly run: Run;
  private readonly client: pg.Client;
  private readonly touched: Touched;
  private inTransaction = false;
  private staged = new Map<TableKey, Staged>();
  private buffer: Ready[] = [];
  private cached = false;
  private freeOrder = false;
  private touches: [TableKey, (string | null)[]][] = [];
  /** Source transactions and changes in the open transaction. */
  size = 0;

  private constructor(run: Run, client: pg.Client, touched: Touched) {
    this.run = run;
    this.client = client;
    this.touched = touched;
  }

  static async open(run: Run, touched: Touched): Promise<Applier> {
    const client = await openSession(run.spec.target, 'target', run.spec.id, { pipeline: true });
    const applier = new Applier(run, client, touched);
    applier.freeOrder = await ordersFreely(client);
    return applier;
  }

  async close(): Promise<void> {
    if (this.inTransaction) destroy(this.client);
    await closeSession(this.client);
  }

  cutOff(): void {
    destroy(this.client);
  }

  /** A piece of a transaction; the target's transaction stays open until commit(). */
  async apply(xid: number, changes: readonly Change[], cached: boolean): Promise<void> {
    const ready: Ready[] = [];
    for (const change of changes) {
      const table = tableState(this.run, change.table);
      if (table.suspended || sawTransaction(table.snapshot, xid)) continue;
      const plan = await this.planOf(change.table);
      if (plan === undefined) continue;
      this.count('captured', change.table, change.op);
      const one = readyChange(plan, change);
      if (typeof one === 'string') continue;
      if (one.cut !== undefined && this.failsOnCut()) throw lobCut(plan, one.cut, this.run.settings.lobMaxSize);
      ready.push(one);
    }
    this.size += Math.max(1, changes.length);
    this.buffer.push(...ready);
    this.cached = cached;
    if (this.buffer.length >= PIECE) await this.flush();
  }

  private async flush(): Promise<void> {
    const ready = this.buffer;
    this.buffer = [];
    if (ready.length > 0) await this.write(ready, this.cached);
  }

  private failsOnCut(): boolean {
    const { source, target } = this.run.spec;
    return [source, target].some(({ settings }) => endpointFlag(settings, 'FailTasksOnLobTruncation'));
  }

  private async planOf(key: TableKey): Promise<TablePlan | undefined> {
    const known = this.run.plans.get(key);
    if (known !== undefined) return known;
    const { settings, moves } = this.run;
    try {
      const plan = await planTable(this.client, tableState(this.run, key).table, settings.targetSchema, moves);
      this.run.plans.set(key, plan);
      return plan;
    } catch (error) {
      if (!(error instanceof TableSuspended)) throw error;
      await suspendTable(this.run, key, error.message);
      return undefined;
    }
  }

  private async write(ready: Ready[], cached: boolean): Promise<void> {
    await this.begin();
    const groups = statementsOf(ready, this.freeOrder);
    const statements = groups.map(({ statement }) => statement);
    const results = await Promise.allSettled([
      this.client.query('SAVEPOINT piece'),
      ...statements.map(({ name, text, values }) => this.client.query({ name, text, values })),
    ]);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) {
      const counts = results
        .slice(1)
        .map((result) => (result.status === 'fulfilled' ? (result.value.rowCount ?? 0) : 0));
      if (counts.every((count, index) => count === statements[index]?.rows)) {
        for (const change of ready) this.landed(change);
        return;
      }
    } else if (!isRowsFault(failed.reason)) throw failed.reason;
    // One of them failed or found no row: which, and what then, is told one by one.
    await this.client.query('ROLLBACK TO SAVEPOINT piece');
    await this.alone(ready, cached);
  }

  private async alone(ready: Ready[], cached: boolean): Promise<void> {
    for (const change of ready) {
      const key = tableKey(change.plan.schema, change.plan.name);
      const table = tableState(this.run, key);
      if (table.suspended) continue;
      const outcome = await applyAlone(this.run, this.client, table, change, cached);
      if (outcome === 'applied') this.landed(change);
      else if (typeof outcome === 'object') await suspendTable(this.run, key, outcome.suspend);
    }
  }

  private landed(change: Ready): void {
    const key = tableKey(change.plan.schema, change.plan.name);
    this.count('applied', key, change.op);
    this.touches.push([key, change.key]);
  }

  private count(what: keyof Staged, key: TableKey, op: Change['op']): void {
    const staged = this.staged.get(key) ?? { captured: noCounts(), applied: noCounts() };
    this.staged.set(key, staged);
    staged[what][COUNTERS[op]]++;
  }

  private async begin(): Promise<void> {
    if (this.inTransaction) return;
    this.inTransaction = true;
    await this.client.query('BEGIN');
  }

  /** @param position the end of the last source transaction that was applied in it */
  async commit(position: string): Promise<void> {
    const { run } = this;
    await this.flush();
    const progress = this.progress(position);
    if (this.inTransaction) {
      const [xid] = await Promise.all([
        this.client.query<{ xid: string }>('SELECT txid_current()::text AS xid'),
        run.settings.recoveryTable ? run.control.checkpoint(this.client, position) : undefined,
      ]);
      run.file.write({ ...run.state, pending: { xid: xid.rows[0]?.xid ?? '', progress } });
      await this.client.query('COMMIT');
    }
    this.inTransaction = false;
    adopt(run, progress);
    for (const [table, key] of this.touches) this.touched(table, key);
    this.touches = [];
    this.staged.clear();
    this.size = 0;
  }

  private progress(position: string): Progress {
    const tables: Progress['tables'] = {};
    for (const [key, staged] of this.staged) {
      const { captured, applied } = tableState(this.run, key);
      tables[key] = { captured: sum(captured, staged.captured), applied: sum(applied, staged.applied) };
    }
    return { position, tables };
  }
}

/** Whether nothing on the target minds in which order different rows change. */
async function ordersFreely(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ free: boolean }>(
    `SELECT current_setting('session_replication_role') = 'replica'
         OR NOT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f')
            AND NOT EXISTS (SELECT FROM pg_trigger WHERE NOT tgisinternal) AS free`,
  );
  return rows[0]?.free === true;
}

/** A fault of the rows; everything else (the server, the way to it, a missing right) is not mended one by one. */
function isRowsFault(error: unknown): boolean {
  return isDataError(error) || (!isPassing(error) && sqlState(error) !== undefined);
}

function sum(one: Counters, other: Counters): Counters {
  return {
    inserts: one.inserts + other.inserts,
    updates: one.updates + other.updates,
    deletes: one.deletes + other.deletes,
    ddls: one.ddls + other.ddls,
  };
}

function adopt(run: Run, progress: Progress): void {
  run.state.position = progress.position;
  for (const [key, counters] of Object.entries(progress.tables)) {
    const table = run.state.tables[key];
    // A commit that is settled at a resume may name a table that the mappings take no more.
    if (table !== undefined) Object.assign(table, counters);
  }
}

/**
 * After a kill or a lost connection: was the last transaction on the target committed? The target itself is asked, until it
 * knows.
 */
export async function settlePending(run: Run, client: pg.Client): Promise<void> {
  const { pending } = run.state;
  if (pending === undefined) return;
  for (;;) {
    const { rows } = await client.query<{ status: string | null }>('SELECT txid_status($1::bigint) AS status', [
      pending.xid,
    ]);
    const status = rows[0]?.status;
    if (status !== 'in progress') {
      // null: so old that the server has forgotten it. It was written before the commit, which then is long past.
      if (status !== 'aborted') adopt(run, pending.progress);
      break;
    }
    await delay(100, undefined, { signal: run.ended });
  }
  delete run.state.pending;
  run.file.write(run.state);
}
