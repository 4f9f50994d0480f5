/** Freezes a machine by the file's commands, and thaws it. */
import { createHash } from 'node:crypto';
import { ErrorType } from '../../spec/errors.ts';
import type { MachineBackup } from '../../spec/kind-machine-backup.ts';
import type { Ours } from '../ec2/tags.ts';
import { permanent } from '../errors.ts';
import { commandFailure, shownOutput } from '../ssm/command-failure.ts';
import { runOnMachine } from '../ssm/run-command.ts';
import { freezeScript, HELD_BY_ANOTHER, OWNER_FILE, thawScript, type FreezePlan } from './freeze-scripts.ts';

export interface FreezeArgs {
  ours: Ours;
  instanceId: string;
  /** Of the step: each try is a freeze of its own. */
  attempt: number;
  migration: Pick<MachineBackup, 'before' | 'after' | 'guard' | 'agentTimeout' | 'output'>;
}

const NOTES: Readonly<Record<string, string>> = {
  asked: 'thawed',
  guard: 'its own guard had thawed it',
  restart: 'the machine has forgotten its freeze (was it restarted?)',
};

/** What a command needs beside its own timeouts, ms: to be started, to end what hangs. */
const SLACK_MS = 30_000;

function planOf({ ours, attempt, migration }: FreezeArgs): FreezePlan {
  const key = createHash('sha256').update(`${ours.run} ${attempt}`).digest('hex').slice(0, 16);
  return { key, before: migration.before, after: migration.after, guardMs: migration.guard };
}

const ANOTHER_HOLDS = `wait for the end of the other backup of this machine, then retry; one whose after failed holds it until its after was run: where nothing is frozen for certain, remove ${OWNER_FILE} on the machine`;

const sum = (commands: { timeout: number }[]) => commands.reduce((all, { timeout }) => all + timeout, 0);

/**
 * Runs `before`, under the machine's own guard where there is an `after`. May run twice: it is sent and run once.
 * @throws cutover.ServiceFailed with the output of the command that failed, or where another backup holds the machine;
 *   as runOnMachine
 */
export async function freezeMachine(args: FreezeArgs): Promise<{ note: string }> {
  const { ours, instanceId, attempt, migration } = args;
  const result = await runOnMachine({
    ours,
    instanceId,
    label: `before#${attempt}`,
    script: freezeScript(planOf(args)),
    timeoutMs: sum(migration.before) + SLACK_MS,
    agentTimeoutMs: migration.agentTimeout,
    output: migration.output,
  });
  if (result.meaning !== 'ok') {
    throw commandFailure('before', instanceId, result, {
      output: migration.output,
      ...(result.exitCode === HELD_BY_ANOTHER ? { remedy: ANOTHER_HOLDS } : {}),
    });
  }
  return { note: migration.before.map(({ name }) => name).join(', ') };
}

/**
 * Runs `after`, once however often it is asked; ends what is still running of `before` first.
 * @returns `heldUntilNow`: nobody, and no guard, had thawed it before
 * @throws cutover.ServiceFailed where a command of `after` failed; cutover.Deadline where the machine is not reached:
 *   both name when its own guard does it
 */
export async function thawMachine(
  args: FreezeArgs & { known: boolean },
): Promise<{ heldUntilNow: boolean; note: string }> {
  const { ours, instanceId, attempt, migration, known } = args;
  const guard = `the machine’s own guard runs them too, ${Math.ceil(migration.guard / 1000)} s after the freeze was begun`;
  const result = await runOnMachine({
    ours,
    instanceId,
    label: `after#${attempt}`,
    script: thawScript(planOf(args), known),
    timeoutMs: sum(migration.after) + SLACK_MS,
    agentTimeoutMs: migration.agentTimeout,
    output: migration.output,
    repeatable: true,
  });
  if (result.exitCode === HELD_BY_ANOTHER) {
    throw commandFailure('after', instanceId, result, { remedy: ANOTHER_HOLDS, output: migration.output });
  }
  if (result.meaning !== 'ok') {
    throw commandFailure('after (the machine may be frozen still)', instanceId, result, {
      remedy: `run the file's after by hand on the machine at once; ${guard}`,
      output: migration.output,
    });
  }
  const by = /^thawed by: (.*)$/m.exec(result.stdout)?.[1];
  if (by === undefined) {
    throw permanent(
      ErrorType.serviceFailed,
      `after on ${instanceId}: it does not say that it is thawed: ${shownOutput(result)}`,
      {
        remedy: guard,
      },
    );
  }
  return {
    heldUntilNow: by === 'asked',
    note: NOTES[by] ?? by,
  };
}
