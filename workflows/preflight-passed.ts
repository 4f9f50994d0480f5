/** A preflight's verdict: one failed check stops the migration, with every remedy said. */
import { ApplicationFailure } from '@temporalio/workflow';
import { ErrorType } from '../spec/errors.ts';
import type { PreflightReport } from '../spec/preflight.ts';

/** @throws ApplicationFailure `cutover.Preflight` naming each failed check */
export function requirePassed(report: PreflightReport): void {
  const failed = report.checks.filter((check) => check.result === 'fail');
  if (failed.length === 0) return;
  throw ApplicationFailure.create({
    type: ErrorType.preflight,
    nonRetryable: true,
    message: failed.map((check) => `${check.id} ${check.title}: ${check.found}`).join('; '),
    details: [{ remedy: failed.map((check) => check.remedy).join('; ') }],
  });
}
