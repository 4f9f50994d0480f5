/** What was just asked for may not be listed yet. An undo that took the first "there is none" would leave it behind. */
import { pollInterval, POLL_MS } from './attach-group.ts';

/** AWS publishes no time; ms. */
export const NOT_YET_LISTED_MS = 120_000;

/**
 * Whether what was asked for at `begunAt` (epoch ms; absent: long ago) may still appear. A sandbox lists at once, and is
 * asked so much more often: the time goes with the poll interval.
 */
export function mayStillAppear(begunAt: number | undefined): boolean {
  return begunAt !== undefined && Date.now() - begunAt < NOT_YET_LISTED_MS * (pollInterval() / POLL_MS);
}
