/**
 * A replication group that this run made: found again, adopted, deleted. While it is not available AWS does not tell its
 * tags, and a restore that failed never becomes available; so its description says whose it is, too.
 */
import { DeleteReplicationGroupCommand } from '@aws-sdk/client-elasticache';
import { ApplicationFailure } from '@temporalio/common';
import { ErrorType } from '../../spec/errors.ts';
import { elasticache, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { keep, kept } from '../aws/kept.ts';
import { mayStillAppear } from '../aws/not-yet-visible.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { describeGroup, type GroupFacts } from './replication-group.ts';
import { otherOwner } from './tags.ts';

export interface MadeGroup {
  id: string;
  migrationId: string;
  run: string;
  aws?: AwsTarget;
}

/** How an undo ended. Neither: there was none. */
export interface Removed {
  /** It was there, was ours, and is gone. */
  removed: boolean;
  /** Another has the name, and was left alone. */
  notOurs?: true;
}

/** At the description's end. */
export const ownerMark = ({ migrationId, run }: Pick<MadeGroup, 'migrationId' | 'run'>) =>
  `[cutover ${migrationId} ${run}]`;

/** The group, if there is one. @throws cutover.NotOurs where another made it; cutover.Denied, cutover.Unreachable */
export async function findMade(made: MadeGroup): Promise<GroupFacts | undefined> {
  const group = await describeGroup({ id: made.id, aws: made.aws ?? {} }).catch((error: unknown) => {
    if (error instanceof ApplicationFailure && error.type === ErrorType.notFound) return undefined;
    throw error;
  });
  if (!group) return undefined;
  const byTags = group.tags && otherOwner(group.tags, made.migrationId, made.run) === undefined;
  if (byTags || group.description?.endsWith(ownerMark(made))) return group;
  const whose = group.tags ? otherOwner(group.tags, made.migrationId, made.run) : 'has another description than ours';
  throw permanent(
    ErrorType.notOurs,
    `there is a replication group ${made.id} already, and it ${whose ?? 'is not ours'}`,
    {
      remedy: 'give another name under `to: { replicationGroup }`: ElastiCache restores to new groups only',
    },
  );
}

/** Nodes that will never be in order, with their status: `orders-001 restore-failed`. */
export function brokenNodes(group: GroupFacts): string[] {
  return group.members
    .filter(({ statusMeaning }) => statusMeaning === 'failed' || statusMeaning === 'ask')
    .map(({ id, status }) => `${id} ${status}`);
}

/**
 * Deletes the group that this run made, and waits until it is gone. AWS deletes no group that is being created, so that
 * is waited for first. Another's is left alone: then ours was never made. Runs as often as it likes.
 * @param made.begunAt epoch ms: until when the call to make it may have been under way. So long after it that one may
 *   still appear, its absence is waited out
 * @returns whether there was one; `notOurs` where another has the name
 * @throws cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function removeMadeGroup(made: MadeGroup & { begunAt?: number }): Promise<Removed> {
  // Of an attempt that was lost, too: what it deleted is gone by now, and was there.
  let removed = kept<{ removing: boolean }>().removing ?? false;
  const last = await waitUntil({
    intervalMs: pollInterval(),
    read: async () => {
      const group = await findMade(made).catch((error: unknown) => {
        if (error instanceof ApplicationFailure && error.type === ErrorType.notOurs) return 'not ours' as const;
        throw error;
      });
      if (group === 'not ours') return group;
      if (!group) return 'gone';
      removed = true;
      keep({ removing: true });
      if (group.status !== 'deleting') await askToDelete(made);
      return group.status;
    },
    done: (status) => status === 'not ours' || (status === 'gone' && (removed || !mayStillAppear(made.begunAt))),
    progress: (status) => ({ text: `${made.id} is ${status}, and is to be deleted` }),
  });
  return { removed, ...(last === 'not ours' ? { notOurs: true as const } : {}) };
}

async function askToDelete({ id, aws = {} }: MadeGroup): Promise<void> {
  try {
    await elasticache(aws).send(new DeleteReplicationGroupCommand({ ReplicationGroupId: id }));
  } catch (error) {
    if (isCode(error, 'ReplicationGroupNotFound') || isCode(error, 'InvalidReplicationGroupState')) return;
    throw awsFailure(error, `DeleteReplicationGroup of ${id}`);
  }
}

/**
 * Before another try: what an earlier one left behind is deleted, if it can't come to anything any more.
 * @returns whether a group that may still come to something is there
 * @throws cutover.NotOurs where the name is another's
 */
export async function clearBroken(made: MadeGroup): Promise<{ left: boolean }> {
  const group = await findMade(made);
  if (!group) return { left: false };
  if (group.statusMeaning !== 'failed' && brokenNodes(group).length === 0) return { left: true };
  await removeMadeGroup(made);
  return { left: false };
}
