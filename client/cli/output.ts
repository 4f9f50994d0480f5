/** What the commands print: text for people, or one JSON document for programs. */
import type { BasicOptions } from './command.ts';
import { ExitCode, exitCodeOf } from './exit-code.ts';

/** Prints `value` as JSON where that was asked for, and `text` otherwise. */
export function print(options: BasicOptions, value: unknown, text: () => string): void {
  process.stdout.write(`${options.json ? JSON.stringify(value, null, 2) : text().trimEnd()}\n`);
}

/** For people, beside what is printed: stays out of a pipe. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Prints the error to stderr, its mend, and every problem of a file. @returns the exit code */
export async function printError(error: unknown, options: BasicOptions): Promise<ExitCode> {
  const { lines, ...shown } = await describeError(error);
  if (options.json) {
    process.stderr.write(`${JSON.stringify({ error: shown }, null, 2)}\n`);
  } else if (lines) {
    for (const line of lines) note(line);
  } else {
    const { default: pc } = await import('picocolors');
    const color = pc.createColors(process.stderr.isTTY && pc.isColorSupported);
    note(`${color.red('error:')} ${shown.message}`);
    if (shown.mend) note(`${color.dim('mend: ')} ${shown.mend}`);
  }
  if (options.debug && error instanceof Error) note(stackOf(error));
  return shown.exitCode;
}

interface ShownError {
  type: string;
  message: string;
  mend?: string;
  problems?: unknown[];
  /** The problems as text; not in the JSON document, where the problems themselves are. */
  lines?: string[];
  exitCode: ExitCode;
}

async function describeError(error: unknown): Promise<ShownError> {
  const exitCode = exitCodeOf(error);
  const { CutoverError, WrongFile } = await import('../errors.ts');
  if (error instanceof WrongFile) {
    const { problemText } = await import('../file-problem.ts');
    const { message, problems } = error;
    return { type: error.name, message, problems, lines: problems.map(problemText), exitCode };
  }
  if (error instanceof CutoverError)
    return { type: error.name, message: error.message, ...(error.mend ? { mend: error.mend } : {}), exitCode };
  return describeOther(error, exitCode);
}

/** Activities, which unfence calls directly, throw failures of spec/errors.ts; all else is a bug of ours. */
async function describeOther(error: unknown, exitCode: ExitCode): Promise<ShownError> {
  const { reasonOf } = await import('../../workflows/failure-reason.ts');
  const { message, type, remedy } = reasonOf(error);
  const unreachable = type === 'cutover.Unreachable' || type === 'cutover.Denied' || type === 'cutover.Secret';
  return {
    type: type ?? (error instanceof Error ? error.name : 'Error'),
    message: type ? message : `${message} (--debug shows where)`,
    ...(remedy ? { mend: remedy } : {}),
    exitCode: unreachable ? ExitCode.unreachable : exitCode,
  };
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}
