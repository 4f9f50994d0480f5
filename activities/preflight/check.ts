/** A preflight check is data. This is its shape, and the ways in which running one can end. */
import type { Fix } from '../../spec/preflight.ts';

/** What a check found out. An error thrown instead means that it could not run, and its result is `unknown`. */
export interface Finding {
  /** `unmet`: not as it has to be; how bad that is says the check's severity. `warn` and `fail` override it. */
  result: 'pass' | 'unmet' | 'warn' | 'fail' | 'unknown';
  /** What was found, with the values; never a secret. */
  found: string;
  /** Instead of the check's own remedy, where what was found has a mend of its own. */
  remedy?: string;
  /** The mend as a script, for `cutover preflight --fix`. */
  fix?: Fix;
}

export interface Check<C> {
  /**
   * As in facts/redis-aws 4.1 (`S3`), with a suffix where one row is several checks (`S9.disk`). `C…` are the cutover's
   * own. Of Postgres (facts/postgres-dms 4.7): `P.…`, and `D.…` for AWS DMS.
   */
  id: string;
  title: string;
  /** What an unmet requirement is. After a `warn` the migration goes on. */
  severity: 'fail' | 'warn';
  /** Repeated right before the fence: it takes milliseconds, and what it looks at may have changed since the start. */
  cheap?: boolean;
  /** The exact command that mends it, with the migration's own hosts and names filled in. */
  remedy(context: C): string;
  /** How to look by hand where it can't be checked from the worker. */
  byHand(context: C): string;
  /** @throws CannotCheck, or anything: the result is then `unknown`. */
  run(context: C): Promise<Finding>;
}

const finding =
  (result: Finding['result']) =>
  (found: string, mend?: string | Fix): Finding => ({
    result,
    found,
    ...(mend === undefined ? {} : typeof mend === 'string' ? { remedy: mend } : { remedy: mend.script, fix: mend }),
  });

export const pass = (found: string): Finding => ({ result: 'pass', found });
/** Each with what mends it: words, or a script, which is then the remedy too. */
export const unmet = finding('unmet');
export const warn = finding('warn');
export const fail = finding('fail');
export const unknown = finding('unknown');

/**
 * The check could not run: a command is blocked or renamed, a permission is missing, the server can't be reached.
 * Becomes `unknown`, never a pass.
 */
export class CannotCheck extends Error {
  override name = 'CannotCheck';
}
