/**
 * What was just asked for may not be listed or found yet (ansible amazon.aws#1321). An undo that took the first "there is
 * none" would leave it behind.
 */
import { POLL_MS, pollInterval } from './poll-interval.ts';

/** AWS publishes no time; ms. */
export const NOT_YET_VISIBLE_MS = 120_000;

/**
 * The same, for what is looked at again and again: 120 s. A sandbox shows at once what was made, and is asked so much more
 * often: the time goes with the poll interval.
 */
export function notYetVisibleMs(): number {
  return NOT_YET_VISIBLE_MS * (pollInterval() / POLL_MS);
}

/** Whether what was asked for at `begunAt` (epoch ms; absent: long ago) may still appear. */
export function mayStillAppear(begunAt: number | undefined): boolean {
  return begunAt !== undefined && Date.now() - begunAt < notYetVisibleMs();
}
