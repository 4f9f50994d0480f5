/** What a gate before a switch or a deletion looks at: the group, and the snapshot that all rests on. */
import { ErrorType } from '../../spec/errors.ts';
import type { Progress } from '../../spec/status.ts';
import { ApplicationFailure } from '@temporalio/common';
import type { AwsTarget } from '../aws/clients.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { waitUntil } from '../wait-until.ts';
import { groupStatus, isAnotherGroup } from './replication-group.ts';
import { findSnapshot } from './snapshot.ts';

export interface GroupReading {
  ready: boolean;
  notReady?: string;
  progress: Progress;
}

/**
 * The first reading at once (without `last`), then each that is another one.
 * @param args.snapshotName has to be available, too, where given
 * @param args.createdAt of the group that is meant: another one that has its name now is never ready
 * @throws cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function watchGroup(args: {
  id: string;
  snapshotName?: string;
  createdAt?: string | undefined;
  last?: GroupReading | undefined;
  aws?: AwsTarget;
}): Promise<GroupReading> {
  const { id, snapshotName, createdAt, last, aws = {} } = args;
  return waitUntil({
    intervalMs: pollInterval(),
    read: async (): Promise<GroupReading> => {
      const { status: group, another } = await stateOf(id, createdAt, aws);
      const snapshot = snapshotName === undefined ? undefined : await findSnapshot({ snapshotName, aws });
      const notReady = another
        ? `another group has the name ${id} now: the one that this run looked at is gone`
        : group !== 'available'
          ? `${id} is ${group}`
          : snapshotName !== undefined && snapshot?.SnapshotStatus !== 'available'
            ? `the snapshot ${snapshotName} is ${snapshot?.SnapshotStatus ?? 'gone'}`
            : undefined;
      const text = notReady ?? `${id} is available${snapshotName === undefined ? '' : `, and so is ${snapshotName}`}`;
      return { ready: notReady === undefined, ...(notReady === undefined ? {} : { notReady }), progress: { text } };
    },
    done: (now) => now.ready !== last?.ready || now.notReady !== last.notReady,
    progress: (now) => now.progress,
  });
}

async function stateOf(
  id: string,
  createdAt: string | undefined,
  aws: AwsTarget,
): Promise<{ status: string; another: boolean }> {
  try {
    const group = await groupStatus({ id, aws });
    return { status: group.status, another: isAnotherGroup(group, createdAt) };
  } catch (error) {
    if (error instanceof ApplicationFailure && error.type === ErrorType.notFound) {
      return { status: 'gone', another: false };
    }
    throw error;
  }
}
