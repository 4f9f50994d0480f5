/**
 * What every status of a command on a machine means (facts/redis-aws 3.6). `Status` says too little (`Failed`, for a
 * command that ran and for one that never did), so `StatusDetails` is read; it is written with spaces or without.
 */

/**
 * - `ok`, `failed`: it ran to its end
 * - `ended`: it was ended in the middle
 * - `not-run`: nothing of it was done
 */
export type CommandMeaning = 'pending' | 'ok' | 'failed' | 'ended' | 'not-run';

export interface CommandReading {
  meaning: CommandMeaning;
  /** Set where the string is not in the table. */
  warning?: string;
}

const DETAILS: Readonly<Record<string, CommandMeaning>> = {
  pending: 'pending',
  inprogress: 'pending',
  delayed: 'pending',
  cancelling: 'pending',
  success: 'ok',
  failed: 'failed',
  cancelled: 'ended',
  canceled: 'ended',
  executiontimedout: 'ended',
  timedout: 'ended',
  deliverytimedout: 'not-run',
  undeliverable: 'not-run',
  terminated: 'not-run',
  invalidplatform: 'not-run',
  accessdenied: 'not-run',
};

export function commandState(status: string | undefined, details: string | undefined): CommandReading {
  for (const text of [details, status]) {
    const meaning = text && new Map(Object.entries(DETAILS)).get(text.replaceAll(/\s/g, '').toLowerCase());
    if (meaning) return { meaning };
  }
  return {
    meaning: 'pending',
    warning: `unknown status of a command: ${details ?? status ?? '(none)'}; taken as not ended yet`,
  };
}
