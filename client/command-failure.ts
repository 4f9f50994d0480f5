/** Why a command came to nothing, told apart: refused, ended meanwhile, or not known. */
import {
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { REFUSED } from '../spec/contract.ts';
import { Failed, Refused, Unreachable } from './errors.ts';

export interface SentCommand {
  command: string;
  id: string;
  address: string;
  taskQueue: string;
  timeoutMs: number;
}

/** @returns the error to throw in the place of what the SDK threw */
export function commandFailure(error: unknown, sent: SentCommand): unknown {
  const { command, id, address, taskQueue, timeoutMs } = sent;
  if (error instanceof WorkflowUpdateFailedError && error.cause instanceof ApplicationFailure) {
    const { type, message } = error.cause;
    if (type === REFUSED) return new Refused(command, message, error);
    if (type === 'AcceptedUpdateCompletedWorkflow')
      return new Failed(`${command} was taken, but the migration ended before it answered`, {
        mend: `see how it ended: npx cutover report ${id}`,
        cause: error,
      });
    return new Failed(`${command} failed: ${message}`, { cause: error });
  }
  if (error instanceof WorkflowNotFoundError) return new Refused(command, 'the migration has ended', error);
  const late = error instanceof WorkflowUpdateRPCTimeoutOrCancelledError || error instanceof Unreachable;
  if (!late) return error;
  return new Unreachable(
    address,
    `${command} had no answer within ${timeoutMs / 1000} s; it may still be carried out once a worker takes it`,
    { mend: `see whether it was: npx cutover status ${id}; do workers of "${taskQueue}" run?`, cause: error },
  );
}
