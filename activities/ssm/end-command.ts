/** A command whose activity is cancelled: ended on the machine too, and seen to be ended, before an undo begins. */
import { setTimeout as delay } from 'node:timers/promises';
import { CancelCommandCommand } from '@aws-sdk/client-ssm';
import { ssm } from '../aws/clients.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { beat } from '../beat.ts';
import type { CommandArgs } from './run-command.ts';
import { readInvocation, sentCommands } from './sent-commands.ts';
import { commandState } from './status-table.ts';

/** How long the end of a cancelled command is waited for, ms: an abort must go on. */
export const CANCEL_WAIT_MS = 30_000;

/**
 * Cancels all that was sent of this command, and waits until none of it is under way. AWS promises no more of
 * CancelCommand than to try, so the end is read.
 * @param known the id that SendCommand answered. Undefined: its answer was lost, and it is looked for by its comment
 * @returns undefined where all of it has ended; else what may still run, for people. Throws nothing.
 */
export async function endSent(
  args: CommandArgs,
  known: string | undefined,
  waitMs: number,
): Promise<string | undefined> {
  const ending = new Ending(args, known);
  // Not sleep() of Temporal's: in an activity that is cancelled it ends at once.
  for (const deadline = Date.now() + waitMs; ; await delay(Math.min(pollInterval(), waitMs))) {
    const left = await ending.look();
    if (left === undefined) return undefined;
    beat({ progress: { text: `cancelled: ${left}` } });
    if (Date.now() >= deadline) return `${left}, ${waitMs / 1000} s after it was cancelled`;
  }
}

class Ending {
  private readonly args: CommandArgs;
  private readonly open = new Set<string>();
  private readonly cancelled = new Set<string>();
  private found: boolean;

  constructor(args: CommandArgs, known: string | undefined) {
    this.args = args;
    this.found = known !== undefined;
    if (known !== undefined) this.open.add(known);
  }

  /** Undefined where nothing of it is under way any more. */
  async look(): Promise<string | undefined> {
    const { label, instanceId, repeatable } = this.args;
    try {
      const sent = new Map((await sentCommands(this.args)).map(({ id, meaning }) => [id, meaning]));
      for (const [id, meaning] of sent) {
        if (meaning === 'pending') this.open.add(id);
        // One that has ended may be an earlier one, where it may be sent again.
        if (meaning === 'pending' || repeatable !== true) this.found = true;
      }
      for (const id of this.open) {
        await this.cancel(id);
        const invocation = await readInvocation(this.args, id);
        const meaning = invocation
          ? commandState(invocation.Status, invocation.StatusDetails).meaning
          : (sent.get(id) ?? 'pending');
        if (meaning !== 'pending') this.open.delete(id);
      }
    } catch (error) {
      return `${label}: it could not be told whether its command on ${instanceId} has ended: ${(error as Error).message}`;
    }
    if (!this.found) return `${label}: SendCommand's answer was lost, and SSM shows no command of it on ${instanceId}`;
    return this.open.size === 0
      ? undefined
      : `${label}: the command ${[...this.open].join(', ')} still runs on ${instanceId}`;
  }

  private async cancel(id: string): Promise<void> {
    if (this.cancelled.has(id)) return;
    const { ours, instanceId } = this.args;
    try {
      await ssm(ours.aws).send(new CancelCommandCommand({ CommandId: id, InstanceIds: [instanceId] }));
      this.cancelled.add(id);
    } catch {
      // It has ended, which is read next; or AWS did not take it, and it is tried again at the next look.
    }
  }
}
