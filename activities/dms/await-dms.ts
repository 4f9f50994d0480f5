/**
 * One loop for every wait on DMS. The SDK's waiters are not used: they give up too early, fail on states that pass, and
 * spin on AccessDenied (facts/postgres-dms 4.2).
 */
import { sleep } from '@temporalio/activity';
import { ErrorType } from '../../spec/errors.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';

const DEFAULT_POLL_MS = 15_000;

/**
 * Between two calls of one wait, ms. DMS allows 8 requests a second for all of an account's region, and no more is to be
 * had (facts 4.3); CUTOVER_AWS_POLL_MS changes it, for a sandbox or for a very large fleet.
 */
export function pollMs(): number {
  return pollInterval(DEFAULT_POLL_MS);
}

export interface DmsWait<T> {
  /** For people: `replication instance cutover-orders`. */
  what: string;
  timeoutMs: number;
  /** Where polling must be faster than pollMs(): inside the fence. */
  intervalMs?: number;
  read(): Promise<T>;
  /** The state as DMS calls it. */
  state(value: T): string;
  /** True when it is reached. Throws where it never will be. */
  done(value: T): boolean;
}

/** @throws cutover.Deadline with the last state; what `read` and `done` throw; CancelledFailure */
export async function awaitDms<T>(wait: DmsWait<T>): Promise<T> {
  const began = performance.now();
  for (;;) {
    const value = await wait.read();
    if (wait.done(value)) return value;
    const waited = performance.now() - began;
    const text = `${wait.what} is ${wait.state(value)} (${Math.round(waited / 1000)} s)`;
    beat({ progress: { text } });
    if (waited >= wait.timeoutMs) {
      throw permanent(ErrorType.deadline, `${text}, and did not get where it should`, {
        remedy: 'look at its events in the DMS console (aws dms describe-events), then retry the step',
      });
    }
    await sleep(Math.max(1, Math.min(wait.intervalMs ?? pollMs(), wait.timeoutMs - waited)));
  }
}
