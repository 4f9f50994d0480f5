/** DeleteReplicationGroup with a final snapshot, to its proven end: the group gone, and the snapshot whole. */
import { DeleteReplicationGroupCommand } from '@aws-sdk/client-elasticache';
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { ErrorType } from '../../spec/errors.ts';
import { elasticache, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode, wasRefused } from '../aws/failure.ts';
import { keep, kept } from '../aws/kept.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { permanent, transient } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { eventsSince, type EventSource, type Watermark } from './events.ts';
import { groupStatus, isAnotherGroup } from './replication-group.ts';
import { findSnapshot } from './snapshot.ts';
import { snapshotFacts, type SnapshotFacts } from './snapshot-facts.ts';
import { readTags, setMigrationTag } from './tags.ts';

export interface RetireState {
  /** AWS's own string; `gone` where there is no such group, or another one that has its name. */
  group: string;
  /** How many it has; absent unless it is available: in another state AWS may be taking them away. */
  shards?: number;
  /** Of the final snapshot; absent where there is none. */
  finalStatus?: string;
}

interface RetireArgs {
  id: string;
  finalName: string;
  /** Of the group that was snapshotted and approved, ISO. One of another time is another group: it is never deleted. */
  createdAt?: string | undefined;
  aws?: AwsTarget;
}

/** How far it is. @throws cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function retireState({ id, finalName, createdAt, aws = {} }: RetireArgs): Promise<RetireState> {
  const { group, shards } = await stateOrGone(id, createdAt, aws);
  const snapshot = await findSnapshot({ snapshotName: finalName, aws });
  return {
    group,
    ...(group === 'available' ? { shards } : {}),
    ...(snapshot ? { finalStatus: snapshot.SnapshotStatus ?? '' } : {}),
  };
}

/**
 * The call. A group that is being deleted, or gone, is left to the wait to judge: so it runs as often as it likes.
 * @throws cutover.Invalid (the final snapshot's name is taken), cutover.Busy (AWS deletes only an available group),
 *   cutover.Denied, cutover.Throttled, cutover.Unreachable. Where it is certain that AWS refused, and no earlier attempt
 *   can have been taken, the failure's facts have the `group`'s state: only then it may be kept after all.
 */
export async function deleteGroupFinally(args: RetireArgs): Promise<{ answer: string }> {
  const { id, finalName, createdAt, aws = {} } = args;
  const what = `DeleteReplicationGroup of ${id} with the final snapshot ${finalName}`;
  // Right before: the name may belong to another group by now, and AWS deletes whatever has it.
  const before = await stateOrGone(id, createdAt, aws);
  if (before.group === 'gone') return { answer: 'gone' };
  if (createdAt !== undefined && before.createdAt === undefined) {
    throw transient(ErrorType.unreachable, `${what}: AWS does not tell when the group was made, so it may be another`);
  }
  try {
    await elasticache(aws).send(
      new DeleteReplicationGroupCommand({ ReplicationGroupId: id, FinalSnapshotIdentifier: finalName }),
    );
    return { answer: 'deleting' };
  } catch (error) {
    if (isCode(error, 'ReplicationGroupNotFound')) return { answer: 'gone' };
    const { group, finalStatus } = await retireState(args);
    if (group === 'deleting' || group === 'gone') return { answer: group };
    const refused = wasRefused(error) && Context.current().info.attempt === 1;
    if (isCode(error, 'SnapshotAlreadyExists')) {
      // Describe may lag behind: a final snapshot that is being taken is our own call's.
      if (finalStatus === 'creating') return { answer: 'deleting' };
      throw permanent(
        ErrorType.invalid,
        `${what}: there is a snapshot of that name already (${finalStatus ?? 'not listed'})`,
        {
          remedy: 'the group is as it was; retry the step: another name is taken for the final snapshot',
          ...(refused ? { facts: { group } } : {}),
        },
      );
    }
    const failure = awsFailure(error, what);
    if (refused && failure instanceof ApplicationFailure && failure.nonRetryable) {
      throw permanent(failure.type as ErrorType, failure.message, {
        facts: { ...(failure.details?.[0] as Record<string, unknown> | undefined), group },
      });
    }
    throw failure;
  }
}

/** Readings of a state that can't be the end before it counts: lists and events lag behind. */
const SETTLED_READINGS = 3;
const EVENT_LAG_MS = 30_000;

/**
 * Ends where the group is gone and the final snapshot is available with all shards.
 * @param args.since from eventWatermark, taken before the call
 * @throws cutover.ServiceFailed with the event's text (SnapshotFailed; the group is back; the snapshot is missing or not
 *   whole), cutover.Deadline
 */
export async function awaitRetired(
  args: RetireArgs & { shards: number; eventSources: EventSource[]; since: Watermark; timeoutMs: number },
): Promise<SnapshotFacts> {
  const { id, finalName, createdAt, shards, timeoutMs, aws = {} } = args;
  const deadlineAt = kept<{ retiring: { deadlineAt: number } }>().retiring?.deadlineAt ?? Date.now() + timeoutMs;
  keep({ retiring: { deadlineAt } });
  let settled = 0;
  let availableSince: number | undefined;
  let failedSince: number | undefined;
  const { final } = await waitUntil<{ group: string; final?: SnapshotFacts }>({
    intervalMs: pollInterval(),
    read: async () => {
      const failure = await finalFailure(args);
      // First the group, then the snapshot: so a snapshot that is missing was missing after the group had gone.
      const { group } = await stateOrGone(id, createdAt, aws);
      const raw = await findSnapshot({ snapshotName: finalName, aws });
      const final = raw && snapshotFacts(raw);
      if (failure) {
        // What becomes of the group decides what an operator may do next; its status may lag behind the event.
        failedSince ??= Date.now();
        if (group === 'available' || group === 'gone' || Date.now() - failedSince >= EVENT_LAG_MS)
          throw failed(id, failure, group);
        return { group };
      }
      // Of another group of that name it would prove nothing.
      if (final?.replicationGroup !== undefined && final.replicationGroup !== id) {
        throw failed(id, `the snapshot ${finalName} is of ${final.replicationGroup}`, group);
      }
      const whole = isWhole(final, shards);
      if (group === 'available') {
        // Back, as if nothing had happened: the event, which comes late, is the only one who knows why.
        availableSince ??= Date.now();
        if (Date.now() - availableSince >= EVENT_LAG_MS)
          throw failed(id, 'the deletion was given up, without an event', group);
      } else availableSince = undefined;
      const lost = group === 'gone' && (final === undefined || (final.status === 'available' && !whole));
      settled = lost ? settled + 1 : 0;
      if (settled >= SETTLED_READINGS) {
        const what = final ? `holds ${final.shards.length} of ${shards} shards` : 'does not exist';
        throw failed(id, `the group is gone, and the final snapshot ${finalName} ${what}`, group);
      }
      if (Date.now() >= deadlineAt) {
        throw permanent(
          ErrorType.deadline,
          `${id} is ${group}, its final snapshot ${finalName} ${final?.status ?? 'not there'}: no end in time`,
          {
            remedy: 'AWS goes on with it: retry the step to wait on',
          },
        );
      }
      return { group, ...(final ? { final } : {}) };
    },
    done: ({ group, final }) => group === 'gone' && isWhole(final, shards),
    progress: ({ group, final }) => ({
      text: `${id} is ${group}; final snapshot ${finalName}: ${final?.status ?? 'not there yet'}`,
    }),
  });
  return final!;
}

const isWhole = (final: SnapshotFacts | undefined, shards: number) =>
  final?.status === 'available' && final.complete && final.shards.length >= shards;

async function finalFailure(args: RetireArgs & { eventSources: EventSource[]; since: Watermark }) {
  const { finalName, eventSources: sources, since, aws = {} } = args;
  const events = await eventsSince({ sources, since, aws });
  return events.findLast(({ kind, message }) => {
    if (kind !== 'snapshot-failed') return false;
    const named = /snapshot with ID ['"]?([\w-]+)/i.exec(message)?.[1];
    return named === undefined || named.toLowerCase() === finalName;
  })?.message;
}

function failed(id: string, why: string, group: string): Error {
  return permanent(ErrorType.serviceFailed, `${id} was not retired: ${why}`, {
    remedy:
      group === 'gone'
        ? 'the first snapshot, which was proven, has all but the last writes; nothing more can be done for those: retry the step to look again, or abort, which ends it and names that snapshot'
        : `the group is still there. The usual reason is too little reserved memory (reserved-memory-percent), or load: retry the step${group === 'available' ? ', or abort and keep the group' : ''}`,
    facts: { group },
  });
}

/**
 * A final snapshot can't be tagged by the call that takes it. Runs as often as it likes.
 * @throws cutover.NotFound, cutover.Busy, cutover.Denied
 */
export async function tagFinalSnapshot(args: {
  snapshotName: string;
  migrationId: string;
  run: string;
  aws?: AwsTarget;
}): Promise<void> {
  const { snapshotName, migrationId, run, aws = {} } = args;
  const snapshot = await findSnapshot({ snapshotName, aws });
  if (!snapshot?.ARN) throw permanent(ErrorType.notFound, `the final snapshot ${snapshotName} is gone`);
  if ((await readTags(aws, snapshot.ARN)) === undefined) {
    throw transient(ErrorType.busy, `AWS does not tell the tags of ${snapshotName} yet`, {
      afterMs: 5_000,
      benign: true,
    });
  }
  await setMigrationTag(aws, snapshot.ARN, migrationId, run);
}

async function stateOrGone(
  id: string,
  createdAt: string | undefined,
  aws: AwsTarget,
): Promise<{ group: string; shards: number; createdAt?: string }> {
  try {
    const group = await groupStatus({ id, aws });
    // Somebody restored under the old name, say.
    if (isAnotherGroup(group, createdAt)) return { group: 'gone', shards: 0 };
    return {
      group: group.status,
      shards: Math.max(1, group.nodeGroups.length),
      ...(group.createdAt === undefined ? {} : { createdAt: group.createdAt }),
    };
  } catch (error) {
    if (error instanceof ApplicationFailure && error.type === ErrorType.notFound) return { group: 'gone', shards: 0 };
    throw error;
  }
}
