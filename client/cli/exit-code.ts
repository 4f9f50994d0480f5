/** The exit codes, which scripts and CI rely on. */
import type * as Errors from '../errors.ts';

export const ExitCode = { done: 0, failed: 1, usage: 2, operator: 3, unreachable: 4 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export const EXIT_CODES_HELP = `Exit codes:
  0  done
  1  failed, refused or aborted
  2  wrong usage, or a wrong file
  3  waits for the operator
  4  unreachable: Temporal, a worker, or (unfence) the source`;

/** By name, so that a plain usage error need not load the library. */
const BY_NAME: Partial<Record<keyof typeof Errors, ExitCode>> = {
  WrongFile: ExitCode.usage,
  WrongUsage: ExitCode.usage,
  Unreachable: ExitCode.unreachable,
  NoWorker: ExitCode.unreachable,
};

export function exitCodeOf(error: unknown): ExitCode {
  const name = error instanceof Error ? (error.name as keyof typeof Errors) : undefined;
  return (name && BY_NAME[name]) ?? ExitCode.failed;
}
