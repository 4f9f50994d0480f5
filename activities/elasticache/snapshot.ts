/** Manual snapshots: made, adopted after a crash, removed on undo. Names are the guard, tags say whose (facts 3.2, 3.3). */
import {
  CreateSnapshotCommand,
  DeleteSnapshotCommand,
  DescribeSnapshotsCommand,
  type Snapshot,
} from '@aws-sdk/client-elasticache';
import { ErrorType } from '../../spec/errors.ts';
import { elasticache, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent, transient } from '../errors.ts';
import type { EventSource } from './events.ts';
import { describeGroup, regionFlag, type GroupFacts } from './replication-group.ts';
import { migrationTags, otherOwner, readTags } from './tags.ts';

export interface SnapshotArgs {
  snapshotName: string;
  migrationId: string;
  /** runIdentity's: what another run of the same file made is not ours. */
  run: string;
  aws?: AwsTarget;
}

interface Adopted {
  answer: 'adopted';
  status: string;
}

export interface SnapshotPlan {
  /** What is backed up: a node where cluster mode is disabled, else the group. */
  of: { cacheClusterId: string; role: 'replica' | 'primary' } | { replicationGroupId: string };
  /** One node snapshot is expected of each. */
  shards: number;
  /** Where a failure would be reported. */
  eventSources: EventSource[];
  /** Of the group, ISO: another one may have its name later. */
  createdAt?: string;
}

/**
 * What CreateSnapshot has to be called with: with cluster mode disabled a node, and a replica where there is one, so that
 * the primary is spared; with cluster mode enabled the group only.
 * @throws cutover.NotFound, cutover.Busy where no node is available, cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function planSnapshot(args: { id: string; aws?: AwsTarget }): Promise<SnapshotPlan> {
  const group = await describeGroup(args);
  const shards = Math.max(1, group.nodeGroups.length);
  const createdAt = group.createdAt === undefined ? {} : { createdAt: group.createdAt };
  if (group.clusterEnabled) {
    return { of: { replicationGroupId: group.id }, shards, eventSources: [{ id: group.id }], ...createdAt };
  }
  const node = spared(group);
  if (!node) {
    throw transient(ErrorType.busy, `replication group ${group.id} has no available node to take a snapshot of`, {
      remedy: `nodes: ${group.members.map((m) => `${m.id} ${m.role} ${m.status ?? 'gone'}`).join(', ') || 'none'}`,
      afterMs: 15_000,
      benign: true,
    });
  }
  return {
    of: { cacheClusterId: node.id, role: node.role === 'replica' ? 'replica' : 'primary' },
    shards,
    eventSources: [{ id: group.id }, { id: node.id, type: 'cache-cluster' }],
    ...createdAt,
  };
}

function spared(group: GroupFacts) {
  const usable = group.members.filter((member) => member.statusMeaning === 'ok');
  return usable.find((member) => member.role === 'replica') ?? usable.find((member) => member.role === 'primary');
}

/**
 * Starts a snapshot under its name, or adopts the one that an earlier attempt started. It is not waited for.
 * @throws cutover.NotOurs (the name is taken), cutover.Busy, cutover.Invalid (quota, node type), cutover.NotFound,
 *   cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function createSnapshot(
  args: SnapshotArgs & { plan: SnapshotPlan; kmsKeyId?: string },
): Promise<{ answer: 'created' | 'adopted'; status: string }> {
  const { snapshotName, plan, migrationId, run, kmsKeyId, aws = {} } = args;
  const { of } = plan;
  const what = `CreateSnapshot ${snapshotName} of ${'cacheClusterId' in of ? of.cacheClusterId : of.replicationGroupId}`;
  // While our own snapshot is under way, AWS may refuse for the group's state before it looks at the name.
  const existing = await findSnapshot(args);
  if (existing) return await adopt(args, what, existing);
  try {
    const { Snapshot: made } = await elasticache(aws).send(
      new CreateSnapshotCommand({
        SnapshotName: snapshotName,
        ...('cacheClusterId' in of
          ? { CacheClusterId: of.cacheClusterId }
          : { ReplicationGroupId: of.replicationGroupId }),
        ...(kmsKeyId === undefined ? {} : { KmsKeyId: kmsKeyId }),
        Tags: migrationTags(migrationId, run),
      }),
    );
    if (!made?.SnapshotName) throw transient(ErrorType.unreachable, `${what}: the answer is not ElastiCache's`);
    return { answer: 'created', status: made.SnapshotStatus ?? '' };
  } catch (error) {
    if (isCode(error, 'SnapshotAlreadyExists')) return await adopt(args, what, await findSnapshot(args));
    if (isCode(error, 'SnapshotQuotaExceeded')) {
      throw permanent(ErrorType.invalid, `${what}: too many manual snapshots`, {
        remedy:
          'AWS allows 20 per node in 24 hours, and a number per region: wait, or delete old ones; then retry the step',
      });
    }
    throw awsFailure(error, what);
  }
}

async function adopt(
  args: SnapshotArgs & { plan: SnapshotPlan },
  what: string,
  snapshot: Snapshot | undefined,
): Promise<Adopted> {
  if (!snapshot) {
    throw transient(ErrorType.busy, `${what}: AWS says it exists, and that it does not`, {
      afterMs: 5_000,
      benign: true,
    });
  }
  await requireOurs(args, snapshot);
  if (snapshot.SnapshotStatus === 'deleting') {
    throw transient(ErrorType.busy, `${what}: the former one is being deleted`, { afterMs: 10_000, benign: true });
  }
  const shards = snapshot.NodeSnapshots?.length ?? 0;
  if (snapshot.SnapshotStatus === 'available' && shards < args.plan.shards) {
    // Waited for already, or its list lags behind: an incomplete one adopted again would fail again for ever.
    await deleteSnapshot(args);
    throw transient(ErrorType.busy, `${what}: the former one holds ${shards} of ${args.plan.shards} shards and goes`, {
      afterMs: 5_000,
      benign: true,
    });
  }
  return { answer: 'adopted', status: snapshot.SnapshotStatus ?? '' };
}

/**
 * Removes a snapshot that this migration made, for undo. Safe to run twice; it is not waited for.
 * @throws cutover.NotOurs, cutover.Busy (it is still being made), cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function deleteSnapshot(args: SnapshotArgs): Promise<{ answer: 'deleting' | 'gone' }> {
  const { snapshotName, aws = {} } = args;
  const snapshot = await findSnapshot(args);
  if (!snapshot) return { answer: 'gone' };
  if (snapshot.SnapshotStatus === 'deleting') return { answer: 'deleting' };
  await requireOurs(args, snapshot);
  try {
    await elasticache(aws).send(new DeleteSnapshotCommand({ SnapshotName: snapshotName }));
    return { answer: 'deleting' };
  } catch (error) {
    if (isCode(error, 'SnapshotNotFound')) return { answer: 'gone' };
    throw awsFailure(error, `DeleteSnapshot ${snapshotName}`);
  }
}

/** The snapshot as AWS has it; undefined where there is none of this name. */
export async function findSnapshot(args: { snapshotName: string; aws?: AwsTarget }): Promise<Snapshot | undefined> {
  const { snapshotName, aws = {} } = args;
  try {
    const answer = await elasticache(aws).send(
      new DescribeSnapshotsCommand({ SnapshotName: snapshotName, ShowNodeGroupConfig: true }),
    );
    return answer.Snapshots?.find((s) => s.SnapshotName?.toLowerCase() === snapshotName.toLowerCase());
  } catch (error) {
    if (isCode(error, 'SnapshotNotFound')) return undefined;
    throw awsFailure(error, `DescribeSnapshots ${snapshotName}`);
  }
}

/** @throws cutover.NotOurs where its tags are not this run's; cutover.Busy where AWS does not tell them yet */
export async function requireOurs(args: SnapshotArgs, snapshot: Snapshot): Promise<void> {
  const { snapshotName, migrationId, run, aws = {} } = args;
  const tags = await readTags(aws, snapshot.ARN ?? '');
  if (tags === undefined) {
    throw transient(
      ErrorType.busy,
      `snapshot ${snapshotName} is ${snapshot.SnapshotStatus}: AWS does not tell its tags yet`,
      {
        afterMs: 10_000,
        benign: true,
      },
    );
  }
  const whose = otherOwner(tags, migrationId, run);
  if (whose === undefined) return;
  throw permanent(ErrorType.notOurs, `there is a snapshot ${snapshotName} already, and it ${whose}`, {
    remedy: `leave snapshotName out of the file (then each run has a name of its own), give another, or remove it: aws elasticache delete-snapshot${regionFlag(aws)} --snapshot-name ${snapshotName}`,
  });
}
