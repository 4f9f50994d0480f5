/** A preflight's verdict: one failed check stops the migration, with every remedy said. */
import { ApplicationFailure } from '@temporalio/workflow';
import { ErrorType } from '../spec/errors.ts';
import type { PreflightReport } from '../spec/preflight.ts';
import type { Run } from './runbook.ts';

/** The step `preflight`: runs the checks, shows them under the report's `preflight`, and parks where one failed. */
export async function preflightStep(run: Run, look: () => Promise<PreflightReport>): Promise<void> {
  await run.step(
    'preflight',
    async () => {
      const report = await look();
      showAndRequire(run, 'preflight', report);
      return report;
    },
    (report) => `${report.passed} passed, ${report.warned} warnings, ${report.unknown} unknown`,
  );
}

/**
 * Before anything is fenced: what may have changed since the preflight.
 * @throws ApplicationFailure `cutover.Preflight` naming each failed check
 */
export async function requireStillReady(run: Run, look: () => Promise<PreflightReport>): Promise<void> {
  showAndRequire(run, 'before-fence', await look());
}

function showAndRequire(run: Run, name: 'preflight' | 'before-fence', report: PreflightReport): void {
  run.board.update((status) => {
    status.report[name] = report;
  });
  requirePassed(report);
}

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
