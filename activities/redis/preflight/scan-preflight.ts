/** The preflight of `redis-online` with `engine: scan`. Changes nothing. */
import type { RedisOnlineScan } from '../../../spec/kind-redis-online.ts';
import { summarisePreflight, type PreflightReport } from '../../../spec/preflight.ts';
import { cancellation } from '../../preflight/cancellation.ts';
import { runChecks } from '../../preflight/run-checks.ts';
import { scanContext, type ScanCheck } from './scan-context.ts';
import { dataChecks } from './scan-data-checks.ts';
import { scanFenceChecks } from './scan-fence-checks.ts';
import { memoryChecks } from './scan-memory-checks.ts';
import { notificationChecks } from './scan-notification-checks.ts';
import { permissionChecks } from './scan-permission-checks.ts';
import { reachChecks } from './scan-reach-checks.ts';
import { scanTargetChecks } from './scan-target-checks.ts';

export interface ScanPreflightInput {
  migration: RedisOnlineScan;
  /** Right before the fence: the checks that take milliseconds, of a target that this migration has filled by now. */
  cheap?: boolean;
}

const SCAN_CHECKS: readonly ScanCheck[] = [
  ...reachChecks,
  ...dataChecks,
  ...memoryChecks,
  ...notificationChecks,
  ...scanTargetChecks,
  ...permissionChecks,
  ...scanFenceChecks,
];

/**
 * Runs every check on every primary of both sides, side by side.
 * It never throws for what it finds: a side that is down is a report with one `fail` and many `unknown`.
 * @throws the cancellation's reason, where the activity is cancelled
 */
export async function preflightScan({ migration, cheap = false }: ScanPreflightInput): Promise<PreflightReport> {
  const context = scanContext(migration, cheap ? 'before-fence' : 'before-attach');
  const checks = cheap ? SCAN_CHECKS.filter((check) => check.cheap) : SCAN_CHECKS;
  const signal = cancellation();
  try {
    return summarisePreflight(await runChecks(checks, context, signal ? { signal } : {}));
  } finally {
    context.source.close();
    context.target.close();
  }
}
