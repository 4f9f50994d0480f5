/** The result of a preflight check. A check that could not run is `unknown`, never a pass. */
export type CheckResult = 'pass' | 'warn' | 'fail' | 'unknown';

export interface CheckReport {
  /** As in facts, `S3` for a source's AUTH. */
  id: string;
  title: string;
  result: CheckResult;
  found: string;
  /** The exact command that mends it, or how to check by hand where the result is unknown. */
  remedy?: string;
}

export interface PreflightReport {
  checks: CheckReport[];
  passed: number;
  warned: number;
  failed: number;
  unknown: number;
}

export function summarisePreflight(checks: CheckReport[]): PreflightReport {
  const count = (result: CheckResult) => checks.filter((check) => check.result === result).length;
  return { checks, passed: count('pass'), warned: count('warn'), failed: count('fail'), unknown: count('unknown') };
}
