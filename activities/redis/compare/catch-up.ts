/** Waits until a replica has what its source had: what makes a reread on a lagging target meaningful. */
import type { Redis } from 'ioredis';
import { readSource, readTarget } from '../replication.ts';
import { CompareError } from './types.ts';

/**
 * Returns true when the target has applied everything up to the source's offset at the time of the call, and false at once where the
 * target is not a replica of the source (a dual-write target, a promoted one): nothing can be known there.
 * Offsets are compared only with the link up and equal replication ids: during a full sync the target shows a stale
 * one, and serves old data or none at all (facts/redis-aws 4.2 b, e).
 * @param timeoutMs how long the target may take
 * @throws CompareError TARGET_NOT_IN_SYNC, retryable
 */
export async function caughtUp(
  source: Redis,
  target: Redis,
  timeoutMs: number,
  wait: (ms: number) => Promise<void>,
): Promise<boolean> {
  const goal = await readSource(source);
  const deadline = Date.now() + timeoutMs;
  for (let pauseMs = 1; ; pauseMs = Math.min(100, pauseMs * 2)) {
    const state = await readTarget(target);
    if (state.role !== 'slave') return false;
    if (state.linkUp && !state.syncing) {
      // Another history: a replica of the target's own primary, or a source that failed over. Offsets say nothing then.
      if (state.replid !== goal.replid) return false;
      if (state.offset >= goal.offset) return true;
    }
    if (Date.now() > deadline) {
      const how =
        state.linkUp && !state.syncing
          ? `${goal.offset - state.offset} bytes behind`
          : 'its link to the source is down';
      throw new CompareError(
        'TARGET_NOT_IN_SYNC',
        `the target replica did not catch up with the source within ${timeoutMs} ms: ${how}. ` +
          `Wait until it is in sync (master_link_status:up, lag near 0) and compare again; a checkpoint keeps what is done.`,
        true,
      );
    }
    await wait(pauseMs);
  }
}
