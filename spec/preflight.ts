/** The result of a preflight check. A check that could not run is `unknown`, never a pass. */
export type CheckResult = 'pass' | 'warn' | 'fail' | 'unknown';

/** A mend as a script: SQL for psql on `source` and `target`, shell on `aws` and `worker`. It is printed, never run. */
export interface Fix {
  side: 'source' | 'target' | 'aws' | 'worker';
  /** What destroys something, or needs a decision, is commented out in it. */
  script: string;
}

export interface CheckReport {
  /** As in facts, `S3` for a source's AUTH. */
  id: string;
  title: string;
  result: CheckResult;
  found: string;
  /** The exact command that mends it, or how to check by hand where the result is unknown. */
  remedy?: string;
  /** The same as a script, where it is one. */
  fix?: Fix;
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
