/** The preflight of `postgres`. Changes nothing: its sessions are read-only, and the slot it tries is temporary. */
import { cancellation } from '../../preflight/cancellation.ts';
import type { Postgres } from '../../../spec/kind-postgres.ts';
import type { TablePlan } from '../../../spec/postgres-plan.ts';
import { summarisePreflight, type PreflightReport } from '../../../spec/preflight.ts';
import { runChecks } from '../../preflight/run-checks.ts';
import { checksFor } from './catalogue.ts';
import { postgresContext } from './context.ts';

export interface PreflightPostgresInput {
  migration: Postgres;
  /** Right before the fence: the checks that take milliseconds, and whose answer may have changed since the start. */
  cheap?: boolean;
  /** With `cheap`: tables that were made since are found by it. */
  plan?: TablePlan;
}

/** For each check, in ms. They share a connection, so one waits for another; a scan of values ends by itself before. */
const DEADLINE_MS = 60_000;

/**
 * Runs every check of facts/postgres-dms 4.5 to 4.7. It can run as often as one likes.
 * It never throws for what it finds: a source that is down is a report with one `fail` and many `unknown`. Whether the
 * migration may go on is the caller's to judge, by `failed`.
 * @throws the cancellation's reason, where the activity is cancelled
 */
export async function preflightPostgres({ migration, cheap, plan }: PreflightPostgresInput): Promise<PreflightReport> {
  const signal = cancellation();
  const context = postgresContext(migration, cheap ? 'before-fence' : 'start', plan);
  try {
    const options = { deadlineMs: DEADLINE_MS, ...(signal ? { signal } : {}) };
    return summarisePreflight(await runChecks(checksFor(context), context, options));
  } finally {
    await Promise.all([context.source.close(), context.target.close()]);
  }
}
