/** The end of following, behind the fence: everything heard, everything copied, what was touched last compared once more. */
import type { Copier } from './copier.ts';
import { findStreams } from './find-streams.ts';
import type { Follower } from './follow.ts';
import { differing } from './reconcile.ts';
import type { Streams } from './recent.ts';
import { copyAll } from './scan-node.ts';
import type { Server } from './server.ts';
import type { Target } from './target.ts';
import { CopyError } from './types.ts';

export interface DrainContext {
  follower: Follower;
  target: Target;
  copier: Copier;
  streams: Streams;
  sources: readonly Server[];
  databasesOf: (server: Server) => Promise<Map<number, number>>;
  wait: (ms: number) => Promise<void>;
  signal: AbortSignal;
}

/** @throws CopyError DEADLINE where it is not done in time, DIFFERS where keys still move or are written on the target by others */
export async function drain(context: DrainContext, timeoutMs: number): Promise<void> {
  const { follower, wait } = context;
  const deadline = performance.now() + timeoutMs;
  const left = () => Math.max(1, deadline - performance.now());
  let differ = 0;
  for (let round = 0; ; round++) {
    const late = performance.now() > deadline;
    if (late && differ > 0) throw stillDiffers(differ);
    if (late) throw notDrained(follower, timeoutMs);
    follower.hurry(true);
    await follower.look();
    // Heard all: what was written before the call is queued, copied, or marked to be reconciled.
    for (const subscription of follower.subscriptions) {
      await subscription.barrier(await subscription.server.db(0), left());
    }
    while (!follower.quiet) {
      if (performance.now() > deadline) throw notDrained(follower, timeoutMs);
      await wait(5);
    }
    if (round === 0) await copyStreams(context);
    differ = await compareRecent(context);
    // Quiet still: nothing was heard, and no subscription lost, while that was done.
    if (differ === 0 && follower.quiet) return;
    await wait(5);
  }
}

const notDrained = (follower: Follower, timeoutMs: number) =>
  new CopyError(
    'DEADLINE',
    `copy: not drained within ${timeoutMs} ms: ${follower.queued} touched keys are left` +
      (follower.hearsAll ? '' : ', and a reconciling pass is under way'),
    { retryable: true, remedy: 'is the source fenced? Wait until it is in sync again, and give the drain more time' },
  );

const stillDiffers = (count: number) =>
  new CopyError('DIFFERS', `copy: ${count} keys that were touched last still differ between source and target`, {
    remedy: 'is the source fenced, and does nobody else write to the target?',
  });

/** Groups of streams move without an event; behind the fence they stand still. */
async function copyStreams({ streams, copier, wait, sources, databasesOf }: DrainContext): Promise<void> {
  if (streams.complete) {
    for (const { server, db, keys } of streams.groups()) await copyAll(copier, server, db, keys, wait);
    return;
  }
  await findStreams({ sources, databasesOf }, (server, db, keys) => copyAll(copier, server, db, keys, wait));
}

/** @returns how many keys differed; they have been copied again */
async function compareRecent({ follower, target, copier, wait }: DrainContext): Promise<number> {
  let count = 0;
  for (const { server, db, keys } of follower.recent.groups()) {
    for (let from = 0; from < keys.length; from += 500) {
      const differ = await differing(target, server, db, keys.slice(from, from + 500), 'full', false);
      count += differ.length;
      await copyAll(copier, server, db, differ, wait);
    }
  }
  return count;
}
