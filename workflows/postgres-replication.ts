/**
 * What a replication engine does for `kind: postgres`. The runbook (postgres.ts) knows no more of it than this: DMS is
 * the first one, native logical replication fits beside it.
 */
import type { PlannedTable, PostgresFence, ReplicationState, TableId, TablePlan } from '../spec/postgres-plan.ts';
import type { PlannedStep } from '../spec/status.ts';
import type { Run } from './runbook.ts';

export type WatchUntil = 'load-done' | 'ready';

export interface ReplicationEngine {
  /** The steps of `prepare`, declared up front. */
  readonly steps: PlannedStep[];
  /** What an operator must know before the start. */
  readonly warnings: string[];
  /** Makes or adopts what the engine needs, as steps of the run. Arms `clean-up-replication` before the first of them. */
  prepare(run: Run, plan: TablePlan): Promise<void>;
  /** Starts it, or lets it go on from where it stopped; nothing where it runs. */
  start(): Promise<void>;
  /** One long look that returns at a material change. Changes nothing but its own marker. */
  watch(plan: TablePlan, until: WatchUntil, last: ReplicationState | undefined): Promise<ReplicationState>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Loads single tables again while the others go on; returns once they are loaded. No foreign key may point at them. */
  reload(tables: TableId[]): Promise<void>;
  /** Has single tables compared again; the watch shows what comes of it. */
  revalidate(tables: TableId[]): Promise<void>;
  /** Takes a table out of the replication. */
  leaveOut(plan: TablePlan, table: TableId): Promise<void>;
  /** Tables whose equality the engine does not prove itself. */
  unproven(plan: TablePlan, state: ReplicationState): PlannedTable[];
  /** Returns once everything written before the fence is on the target, and proven so. */
  drain(plan: TablePlan, fence: PostgresFence, budgetMs: number): Promise<void>;
  /** Ends the replication for good: from here on the target is on its own. */
  stop(budgetMs: number): Promise<void>;
  /** Makes a way back before the target opens: absent where the engine has none. */
  reverse?(plan: TablePlan, budgetMs: number): Promise<void>;
  /** Removes what `prepare` made. Answers what stays. */
  cleanUp(): Promise<{ note?: string; leftovers?: string[] }>;
}
