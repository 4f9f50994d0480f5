/** Which operator command is allowed when. Pure: an Update's validator asks here before anything is written to history. */
import type { Command, CommandInput } from '../spec/contract.ts';
import { ENDED, type MigrationStatus } from '../spec/status.ts';

/** What the engine knows beside the status. */
export interface CommandContext {
  /** True from the moment that the target is known to be the primary: from there the way leads forward only. */
  switched: boolean;
  /** True while a call that may have switched is under way. */
  committing: boolean;
  /** True from an approval until its gate has opened. */
  approved: boolean;
  /** True from an operator's decision until the workflow has taken it up. */
  decided: boolean;
}

/** Why `command` is refused now, as a sentence for the operator; undefined where it is allowed. */
export function refusal(
  status: MigrationStatus,
  context: CommandContext,
  command: Command,
  input: CommandInput,
): string | undefined {
  if (ENDED.includes(status.phase)) return `the migration has ended (${status.phase})`;
  if (isAborting(status) && command !== 'retry' && command !== 'skip') {
    return `the migration is being aborted${status.abortedBy ? `, by ${status.abortedBy.by}` : ''}`;
  }
  switch (command) {
    case 'approve':
      return context.approved ? 'it is approved already' : refuseApproval(status, input);
    case 'pause':
      return status.pausedBy ? `it is paused already, by ${status.pausedBy.by}` : undefined;
    case 'resume':
      return status.pausedBy ? undefined : 'it is not paused';
    case 'retry':
    case 'skip':
      return context.decided ? 'it is decided already' : refuseDecision(status, command, input);
    case 'abort':
      return refuseAbort(status, context);
  }
}

/** In doubt an abort may have failed to make the target give up, and is then given again. */
function isAborting(status: MigrationStatus): boolean {
  return status.phase === 'aborting' || (status.abortedBy !== undefined && status.phase !== 'in-doubt');
}

function refuseApproval(status: MigrationStatus, input: CommandInput): string | undefined {
  const gate = status.gate;
  if (!gate) return `no gate waits for approval; it is at ${status.step ?? 'the start'} (${status.phase})`;
  if (input.step && input.step !== gate.id) return `the gate that waits is ${gate.id}, not ${input.step}`;
  if (!gate.ready) return `${gate.id} is not ready: ${gate.notReady ?? 'no reading yet'}`;
  return refuseConfirmation(gate.id, gate.confirm, input.confirm);
}

/** Exactly as it is written: a name that is nearly right is another name. */
function refuseConfirmation(gate: string, asked: string | undefined, typed: string | undefined): string | undefined {
  if (asked === undefined) {
    return typed === undefined
      ? undefined
      : `${gate} asks for no name, and ${typed} was given: is this the gate that is meant?`;
  }
  if (typed === asked) return undefined;
  const how = `${gate} can't be taken back, and asks for its name: --confirm ${asked}`;
  return typed === undefined ? how : `${how}; ${typed} is not it`;
}

function refuseDecision(status: MigrationStatus, command: 'retry' | 'skip', input: CommandInput): string | undefined {
  const request = status.operator;
  if (!request) return `nothing waits for a decision; it is at ${status.step ?? 'the start'} (${status.phase})`;
  if (input.step && input.step !== request.step) return `the step that waits is ${request.step}, not ${input.step}`;
  if (!request.choices.includes(command)) {
    return `${request.step} can't be ${command === 'skip' ? 'skipped' : 'retried'}; it takes ${request.choices.join(' or ')}`;
  }
  return undefined;
}

function refuseAbort(status: MigrationStatus, context: CommandContext): string | undefined {
  if (context.switched && status.kind === 'elasticache-retire') {
    return 'the deletion has been asked for and can’t be called back; both snapshots stay. Retry the step that failed';
  }
  if (context.switched) {
    return 'the target is the primary: there is no way back by an abort. Writes that it took would be lost. Retry or skip the step that failed';
  }
  if (context.committing && status.phase !== 'in-doubt') {
    return 'the call that switches has been made and its outcome is not known yet; wait until it is';
  }
  return undefined;
}
