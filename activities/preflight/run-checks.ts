/** Runs preflight checks side by side, each with a deadline, and makes their reports. */
import type { CheckReport } from '../../spec/preflight.ts';
import { redact } from '../secrets/redact.ts';
import { CannotCheck, type Check, type Finding } from './check.ts';

const DEADLINE_MS = 20_000;

/**
 * Every check's report, in the order given. Never throws for a check: one that could not run, or not within its
 * deadline, is `unknown` with what stood in its way and how to look by hand.
 * @param options.deadlineMs For each check, in ms.
 * @throws the signal's reason once `options.signal` is aborted.
 */
export async function runChecks<C>(
  checks: readonly Check<C>[],
  context: C,
  options: { deadlineMs?: number; signal?: AbortSignal } = {},
): Promise<CheckReport[]> {
  options.signal?.throwIfAborted();
  const stopped = new Promise<never>((_resolve, reject) => {
    options.signal?.addEventListener('abort', () => reject(stopReason(options.signal)), { once: true });
  });
  const all = Promise.all(checks.map((check) => runCheck(check, context, options.deadlineMs ?? DEADLINE_MS)));
  return Promise.race([all, stopped]);
}

async function runCheck<C>(check: Check<C>, context: C, deadlineMs: number): Promise<CheckReport> {
  const finding = await withinDeadline(check, context, deadlineMs).catch((error: unknown): Finding => ({
    result: 'unknown',
    found: `could not be checked: ${reason(error)}`,
  }));
  const result = finding.result === 'unmet' ? check.severity : finding.result;
  const remedy = finding.remedy ?? (result === 'unknown' ? check.byHand(context) : check.remedy(context));
  return {
    id: check.id,
    title: check.title,
    result,
    // Servers quote what they were sent in their errors: `unknown command 'AUTH', with args beginning with: …`.
    found: redact(finding.found),
    ...(result === 'pass' ? {} : { remedy: redact(remedy) }),
    ...(result === 'pass' || !finding.fix ? {} : { fix: { ...finding.fix, script: redact(finding.fix.script) } }),
  };
}

async function withinDeadline<C>(check: Check<C>, context: C, deadlineMs: number): Promise<Finding> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new CannotCheck(`no result within ${deadlineMs / 1000} s`)), deadlineMs);
  });
  try {
    return await Promise.race([check.run(context), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whatever was given to abort(), as an error. */
function stopReason(signal: AbortSignal | undefined): Error {
  const given: unknown = signal?.reason;
  return given instanceof Error ? given : new Error('the preflight was cancelled', { cause: given });
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
