/** Waits for a snapshot. Its failure has no state: it vanishes, or an event tells (facts/redis-aws 3.3). */
import { sleep } from '@temporalio/activity';
import type { Snapshot } from '@aws-sdk/client-elasticache';
import { ErrorType } from '../../spec/errors.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { keep, kept } from '../aws/kept.ts';
import { NOT_YET_VISIBLE_MS } from '../aws/not-yet-visible.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { eventsSince, type EventSource, type ServiceEvent, type Watermark } from './events.ts';
import { findSnapshot } from './snapshot.ts';
import { snapshotStatusMeaning } from './status-table.ts';

/** Readings of `available` with a node snapshot missing before that counts: the list may lag behind the status. */
const INCOMPLETE_READINGS = 3;

export interface SnapshotResult {
  name: string;
  arn: string;
  status: string;
  /** One per shard. */
  nodeSnapshots: { cacheClusterId: string; nodeGroupId?: string; size?: string; createdAt?: string }[];
  engine?: string;
  engineVersion?: string;
  events: ServiceEvent[];
}

export interface AwaitSnapshotArgs {
  snapshotName: string;
  /** From planSnapshot. */
  shards: number;
  eventSources: EventSource[];
  /** From eventWatermark over those sources, taken before createSnapshot. */
  since: Watermark;
  /** ms. */
  intervalMs: number;
  /** ms in all; attempts of the activity that were lost count. */
  timeoutMs: number;
  aws?: AwsTarget;
}

interface Checkpoint {
  deadlineAt: number;
  firstSeen: boolean;
  beganAt: number;
}

/**
 * Ends when the snapshot is `available` with one node snapshot per shard.
 * @throws cutover.ServiceFailed with the event's text (it vanished, an event reports failure, shards are missing),
 *   cutover.Deadline; CancelledFailure
 */
export async function awaitSnapshot(args: AwaitSnapshotArgs): Promise<SnapshotResult> {
  const carried = kept<{ snapshot: Checkpoint }>().snapshot;
  const beganAt = carried?.beganAt ?? Date.now();
  const deadlineAt = carried?.deadlineAt ?? beganAt + args.timeoutMs;
  let firstSeen = carried?.firstSeen ?? false;
  let incomplete = 0;
  for (;;) {
    const snapshot = await findSnapshot(args);
    const events = await ownEvents(args);
    const failure = events.findLast((event) => event.kind === 'snapshot-failed');
    const now = Date.now();
    const meaning = snapshotStatusMeaning(args.snapshotName, snapshot?.SnapshotStatus);
    firstSeen ||= snapshot !== undefined;
    if (failure) throw failed(args, failure.message, events);
    if (!snapshot && (firstSeen || now - beganAt > NOT_YET_VISIBLE_MS)) {
      throw failed(args, firstSeen ? 'it was there and is gone' : 'it never appeared', events);
    }
    if (snapshot && meaning.meaning === 'failed') throw failed(args, `it is ${snapshot.SnapshotStatus}`, events);
    if (snapshot && meaning.meaning === 'ok') {
      const found = nodeSnapshotsOf(snapshot);
      if (found.length >= args.shards) return result(args, snapshot, events);
      if (++incomplete >= INCOMPLETE_READINGS) {
        const of = `${found.length} of ${args.shards} shards`;
        throw failed(args, `it is available and holds ${of}: ${found.map((n) => n.cacheClusterId).join(', ')}`, events);
      }
    }
    const status = snapshot?.SnapshotStatus ?? 'not listed yet';
    if (now >= deadlineAt) throw late(args, status, meaning.warning);
    const progress = { text: `snapshot ${args.snapshotName}: ${status} (${Math.round((now - beganAt) / 1000)} s)` };
    keep({ snapshot: { deadlineAt, firstSeen, beganAt } satisfies Checkpoint });
    beat({ progress });
    await sleep(Math.max(1, Math.min(args.intervalMs, deadlineAt - now)));
  }
}

/** Events of the nodes and the group; those that name another snapshot (the nightly one) are none of ours. */
async function ownEvents(args: AwaitSnapshotArgs): Promise<ServiceEvent[]> {
  const { eventSources: sources, since, aws = {}, snapshotName } = args;
  const events = await eventsSince({ sources, since, aws });
  return events.filter(({ message }) => {
    const named = /snapshot with ID ['"]?([\w-]+)/i.exec(message)?.[1];
    return named === undefined || named.toLowerCase() === snapshotName.toLowerCase();
  });
}

function nodeSnapshotsOf(snapshot: Snapshot): SnapshotResult['nodeSnapshots'] {
  return (snapshot.NodeSnapshots ?? []).map((node) => ({
    cacheClusterId: node.CacheClusterId ?? '',
    ...(node.NodeGroupId === undefined ? {} : { nodeGroupId: node.NodeGroupId }),
    ...(node.CacheSize === undefined ? {} : { size: node.CacheSize }),
    ...(node.SnapshotCreateTime === undefined ? {} : { createdAt: node.SnapshotCreateTime.toISOString() }),
  }));
}

function result(args: AwaitSnapshotArgs, snapshot: Snapshot, events: ServiceEvent[]): SnapshotResult {
  return {
    name: snapshot.SnapshotName ?? args.snapshotName,
    arn: snapshot.ARN ?? '',
    status: snapshot.SnapshotStatus ?? '',
    nodeSnapshots: nodeSnapshotsOf(snapshot),
    ...(snapshot.Engine === undefined ? {} : { engine: snapshot.Engine }),
    ...(snapshot.EngineVersion === undefined ? {} : { engineVersion: snapshot.EngineVersion }),
    events,
  };
}

function failed(args: AwaitSnapshotArgs, why: string, events: ServiceEvent[]): Error {
  return permanent(ErrorType.serviceFailed, `snapshot ${args.snapshotName} failed: ${why}`, {
    remedy:
      'the usual reason is too little reserved memory: raise reserved-memory-percent (default 25), or take it at a quieter time; then retry the step',
    facts: { snapshot: args.snapshotName, events: events.slice(-20) },
  });
}

function late(args: AwaitSnapshotArgs, status: string, warning: string | undefined): Error {
  const within = `${Math.round(args.timeoutMs / 1000)} s`;
  return permanent(
    ErrorType.deadline,
    `snapshot ${args.snapshotName} is not available within ${within}: ${status}${warning ? ` (${warning})` : ''}`,
    { remedy: 'AWS goes on with it: retry the step to wait on', facts: { snapshot: args.snapshotName } },
  );
}
