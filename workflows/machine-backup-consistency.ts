/** How consistent a backup is known to be. Never more than was proven. Pure. */
import { ApplicationFailure } from '@temporalio/common';
import type { Taken } from '../activities/machine/take-backup.ts';
import { ErrorType } from '../spec/errors.ts';
import type { MachineBackup } from '../spec/kind-machine-backup.ts';

export interface Held {
  taken: Taken;
  consistency: 'application' | 'crash' | 'shut-down';
  /** Why it is not more. */
  why?: string;
}

/** By the file's commands, and by whether the machine was held until the call had returned. */
export function judge(
  migration: Pick<MachineBackup, 'reboot' | 'before'>,
  taken: Taken,
  thawed: { heldUntilNow: boolean; note: string },
): Held {
  if (migration.reboot) return { taken, consistency: 'shut-down' };
  if (migration.before.length === 0) return { taken, consistency: 'crash' };
  if (thawed.heldUntilNow) return { taken, consistency: 'application' };
  return { taken, consistency: 'crash', why: `${thawed.note} before the backup was known to be begun` };
}

/** It was asked to be held: that it was not is for the operator to decide. */
export function notHeld({ taken, why }: Held): ApplicationFailure {
  return ApplicationFailure.create({
    type: ErrorType.serviceFailed,
    nonRetryable: true,
    message: `the backup ${taken.name} is only crash-consistent: ${why ?? 'it was not held'}`,
    details: [
      {
        remedy:
          'retry: it is removed and another one is taken; skip: it is kept as it is. A longer guard may be needed',
      },
    ],
  });
}

export function consistencyNote({ consistency, why }: Held): string {
  if (consistency === 'application') return 'application-consistent, by the file’s commands';
  if (consistency === 'shut-down') return 'consistent: the machine was shut down for it';
  return `crash-consistent${why ? `: ${why}` : ''}`;
}
