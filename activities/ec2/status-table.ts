/**
 * What every state of EC2's means (facts/redis-aws 3.5). An unknown one is "pending, with a warning": AWS adds to them.
 */

/** - `ask`: neither time nor a retry mends it; an operator has to look. */
export type StateMeaning = 'pending' | 'ok' | 'failed' | 'ask';

export interface StateReading {
  meaning: StateMeaning;
  /** Set where the string is not in the table. */
  warning?: string;
}

const IMAGE: Readonly<Record<string, StateMeaning>> = {
  available: 'ok',
  pending: 'pending',
  transient: 'pending',
  // The SDK's waiter fails only on `failed`, and waits for ever on the others.
  invalid: 'failed',
  deregistered: 'failed',
  failed: 'failed',
  error: 'failed',
  disabled: 'ask',
};

const SNAPSHOT: Readonly<Record<string, StateMeaning>> = {
  completed: 'ok',
  pending: 'pending',
  recovering: 'pending',
  error: 'failed',
  // In the recycle bin: somebody deleted it.
  recoverable: 'failed',
};

const INSTANCE: Readonly<Record<string, StateMeaning>> = {
  running: 'ok',
  pending: 'pending',
  'shutting-down': 'failed',
  terminated: 'failed',
  stopping: 'ask',
  stopped: 'ask',
};

/** Of one of the checks in DescribeInstanceStatus. */
const CHECK: Readonly<Record<string, StateMeaning>> = {
  ok: 'ok',
  initializing: 'pending',
  'insufficient-data': 'pending',
  'not-applicable': 'pending',
  impaired: 'ask',
};

function read(table: Readonly<Record<string, StateMeaning>>, what: string, state: string | undefined): StateReading {
  const meaning = state === undefined ? undefined : new Map(Object.entries(table)).get(state);
  if (meaning) return { meaning };
  return { meaning: 'pending', warning: `unknown state of ${what}: ${state ?? '(none)'}; taken as not ready yet` };
}

export const imageState = (id: string, state?: string) => read(IMAGE, `image ${id}`, state);
export const snapshotState = (id: string, state?: string) => read(SNAPSHOT, `snapshot ${id}`, state);
export const instanceState = (id: string, state?: string) => read(INSTANCE, `instance ${id}`, state);
export const checkState = (what: string, state?: string) => read(CHECK, what, state);
