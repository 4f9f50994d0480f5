/** What is said of a command that did not do what it was for. */
import type { ApplicationFailure } from '@temporalio/common';
import { ErrorType } from '../../spec/errors.ts';
import type { CommandOutput } from '../../spec/machine.ts';
import { permanent } from '../errors.ts';
import type { CommandResult } from './run-command.ts';

/** Characters of an output that are shown, its end: there it says what went wrong. They are kept in Temporal's history. */
const SHOWN = 1_000;

/** The end of a command's output, for people and history. */
export function shownOutput({ stdout, stderr }: CommandResult, limit = SHOWN): string {
  return [stdout, stderr]
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .join('\n')
    .slice(-limit);
}

/** `exit code 3`, `Execution Timed Out`. */
function howItEnded({ meaning, status, exitCode }: CommandResult): string {
  if (meaning === 'failed' && exitCode !== undefined) return `exit code ${exitCode}`;
  if (meaning === 'not-run') return `${status}, so nothing of it was done`;
  return status;
}

/** To be thrown where a command failed. The end of its output goes into the history: docs/machines.md says so. */
export function commandFailure(
  what: string,
  instanceId: string,
  result: CommandResult,
  options: { remedy?: string; output?: CommandOutput | undefined } = {},
): ApplicationFailure {
  const shown = shownOutput(result);
  const { output } = options;
  const whole = output ? `; all of its output: s3://${output.bucket}/${output.prefix ?? ''}` : '';
  return permanent(
    ErrorType.serviceFailed,
    `${what} on ${instanceId}: ${howItEnded(result)}${shown === '' ? ', no output' : `: ${shown}`}`,
    {
      remedy: `${options.remedy ?? 'look at the machine, mend the cause or the command in the file, then retry the step'} (command ${result.commandId}${whole})`,
      facts: { commandId: result.commandId, status: result.status, exitCode: result.exitCode },
    },
  );
}
