/** The activities of `elasticache-backup`, over snapshot.ts and await-snapshot.ts. */
import { ApplicationFailure } from '@temporalio/common';
import { ErrorType } from '../../spec/errors.ts';
import { keep, kept } from '../aws/kept.ts';
import { mayStillAppear } from '../aws/not-yet-visible.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { awaitSnapshot, type AwaitSnapshotArgs, type SnapshotResult } from './await-snapshot.ts';
import type { Removed } from './made-group.ts';
import { deleteSnapshot, findSnapshot, requireOurs, type SnapshotArgs } from './snapshot.ts';

/** @throws as awaitSnapshot */
export async function awaitGroupSnapshot(args: Omit<AwaitSnapshotArgs, 'intervalMs'>): Promise<SnapshotResult> {
  return awaitSnapshot({ ...args, intervalMs: pollInterval() });
}

/**
 * Deletes our snapshot and waits until it is gone; one that is not ours is left alone: then ours was never made. Runs as
 * often as it likes.
 * @param args.begunAt as removeMadeGroup's
 * @throws as deleteSnapshot
 */
export async function removeSnapshot(args: SnapshotArgs & { begunAt?: number }): Promise<Removed> {
  // Of an attempt that was lost, too: what it deleted is gone by now, and was there.
  let removed = kept<{ removing: boolean }>().removing ?? false;
  let seen = removed;
  const last = await waitUntil({
    intervalMs: pollInterval(),
    read: async () => {
      const { answer } = await deleteSnapshot(args).catch((error: unknown) => {
        const type = error instanceof ApplicationFailure ? error.type : undefined;
        if (type === ErrorType.notOurs) return { answer: 'not ours' as const };
        // AWS deletes none that is being taken or copied: asked again at the next turn.
        if (type === ErrorType.busy) return { answer: 'busy' as const };
        throw error;
      });
      if (answer === 'deleting') {
        removed = true;
        keep({ removing: true });
      }
      // One that fails while it is being taken vanishes by itself.
      seen ||= answer === 'deleting' || answer === 'busy';
      return answer;
    },
    done: (answer) => answer === 'not ours' || (answer === 'gone' && (seen || !mayStillAppear(args.begunAt))),
    progress: (answer) => ({
      text: answer === 'gone' ? `${args.snapshotName} may still appear` : `${args.snapshotName} is being deleted`,
    }),
  });
  return { removed, ...(last === 'not ours' ? { notOurs: true as const } : {}) };
}

/**
 * Reads the snapshot back.
 * @throws cutover.ServiceFailed where it is not available, or a shard is missing; cutover.NotOurs where another made it
 */
export async function verifySnapshot(args: SnapshotArgs & { shards: number }): Promise<{ note: string }> {
  const snapshot = await findSnapshot(args);
  const nodes = snapshot?.NodeSnapshots?.length ?? 0;
  if (snapshot?.SnapshotStatus !== 'available') {
    throw permanent(
      ErrorType.serviceFailed,
      `the snapshot ${args.snapshotName} is ${snapshot?.SnapshotStatus ?? 'gone'}`,
    );
  }
  if (nodes !== args.shards) {
    throw permanent(
      ErrorType.serviceFailed,
      `the snapshot ${args.snapshotName} has ${nodes} node snapshots for ${args.shards} shards`,
    );
  }
  await requireOurs(args, snapshot);
  return { note: `available, ${nodes} node snapshot(s) for ${args.shards} shard(s)` };
}
