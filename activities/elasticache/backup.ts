/** The activities of `elasticache-backup`, over snapshot.ts and await-snapshot.ts. */
import { ApplicationFailure } from '@temporalio/common';
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { pollInterval } from './attach-group.ts';
import { awaitSnapshot, type AwaitSnapshotArgs, type SnapshotResult } from './await-snapshot.ts';
import { deleteSnapshot, findSnapshot, requireOurs, type SnapshotArgs } from './snapshot.ts';

/** @throws as awaitSnapshot */
export async function awaitGroupSnapshot(args: Omit<AwaitSnapshotArgs, 'intervalMs'>): Promise<SnapshotResult> {
  return awaitSnapshot({ ...args, intervalMs: pollInterval() });
}

/**
 * Deletes our snapshot and waits until it is gone; one that is not ours is left alone: then ours was never made. Runs as
 * often as it likes. @throws as deleteSnapshot
 */
export async function removeSnapshot(args: SnapshotArgs): Promise<void> {
  await waitUntil({
    intervalMs: pollInterval(),
    read: () =>
      deleteSnapshot(args).catch((error: unknown) => {
        const type = error instanceof ApplicationFailure ? error.type : undefined;
        if (type === ErrorType.notOurs) return { answer: 'gone' as const };
        // AWS deletes none that is being taken or copied: asked again at the next turn.
        if (type === ErrorType.busy) return { answer: 'deleting' as const };
        throw error;
      }),
    done: ({ answer }) => answer === 'gone',
    progress: () => ({ text: `${args.snapshotName} is being deleted` }),
  });
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
