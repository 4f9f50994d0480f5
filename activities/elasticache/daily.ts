/** AWS's own daily snapshots: the settings of a group, changed, waited for, and put back. */
import {
  DescribeReplicationGroupsCommand,
  ModifyReplicationGroupCommand,
  type ReplicationGroup,
} from '@aws-sdk/client-elasticache';
import { ErrorType } from '../../spec/errors.ts';
import { elasticache, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { keep, kept } from '../aws/kept.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { permanent, transient } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { inRegion, regionFlag } from './replication-group.ts';
import { groupStatusMeaning } from './status-table.ts';

export interface DailySettings {
  /** Days; 0 is off. */
  retentionLimit: number;
  /** UTC. */
  window?: string | undefined;
}

/** `7 days, at 15:00-16:00 UTC`; `off`. */
export function dailyText({ retentionLimit, window }: DailySettings): string {
  if (retentionLimit === 0) return 'off';
  return `kept ${retentionLimit} day(s)${window ? `, taken ${window} UTC` : ''}`;
}

/** What the group has now. @throws cutover.NotFound, cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function readDaily(args: { id: string; aws?: AwsTarget }): Promise<DailySettings> {
  return settingsOf(await read(args));
}

/**
 * ModifyReplicationGroup at once, and waits until the group is available with these settings. Nothing is called where it
 * has them already, so it runs as often as it likes.
 * With cluster mode disabled AWS wants to know of which node the snapshots are: a replica, so that the primary is spared;
 * with it enabled AWS refuses to be told (facts/redis-aws 2.5).
 * @param args.unlessNot what they were set to last: where they are neither that nor what is wanted, somebody else has
 *   changed them since, and nothing is called
 * @throws cutover.Deadline, cutover.Invalid (the windows meet), cutover.NotFound, cutover.Denied
 */
export async function applyDaily(args: {
  id: string;
  wanted: DailySettings;
  unlessNot?: DailySettings;
  timeoutMs: number;
  aws?: AwsTarget;
}): Promise<{ after: DailySettings; changed: boolean; others?: true }> {
  const { id, wanted, unlessNot, aws = {} } = args;
  const deadlineAt = kept<{ daily: { deadlineAt: number } }>().daily?.deadlineAt ?? Date.now() + args.timeoutMs;
  keep({ daily: { deadlineAt } });
  let changed = false;
  // Judged only where the group is available: before that our own change may be half-way.
  const isOthers = (now: ReplicationGroup) =>
    unlessNot !== undefined &&
    !changed &&
    now.Status === 'available' &&
    !fulfils(now, wanted) &&
    !fulfils(now, unlessNot);
  const group = await waitUntil({
    intervalMs: pollInterval(),
    read: async () => {
      const now = await read({ id, aws });
      if (groupStatusMeaning(id, now.Status).meaning === 'failed') {
        throw permanent(ErrorType.serviceFailed, `replication group ${id} is ${now.Status}`);
      }
      if (isOthers(now)) return now;
      const open = now.Status !== 'available' || !fulfils(now, wanted);
      // Before the call: AWS may take it again and again, and never do it.
      if (open && Date.now() >= deadlineAt) throw late(id, wanted, now);
      // AWS refuses changes of a group that is not available: its snapshot, or somebody's change, is waited for.
      if (open && now.Status === 'available') {
        await modify(now, id, wanted, aws);
        changed = true;
        return { ...now, Status: 'modifying' };
      }
      return now;
    },
    done: (now) => isOthers(now) || (now.Status === 'available' && fulfils(now, wanted)),
    progress: (now) => ({ text: `daily snapshots of ${id}: ${dailyText(wanted)}; the group is ${now.Status}` }),
  });
  return { after: settingsOf(group), changed, ...(isOthers(group) ? { others: true } : {}) };
}

async function modify(group: ReplicationGroup, id: string, wanted: DailySettings, aws: AwsTarget): Promise<void> {
  try {
    await elasticache(aws).send(
      new ModifyReplicationGroupCommand({
        ReplicationGroupId: id,
        ApplyImmediately: true,
        SnapshotRetentionLimit: wanted.retentionLimit,
        ...(wanted.window === undefined ? {} : { SnapshotWindow: wanted.window }),
        ...snapshotting(group),
      }),
    );
  } catch (error) {
    // Somebody's change came between our look and our call: the next turn waits for it.
    if (isCode(error, 'InvalidReplicationGroupState') || isCode(error, 'InvalidCacheClusterState')) return;
    throw awsFailure(error, `ModifyReplicationGroup of ${id} (daily snapshots ${dailyText(wanted)})`);
  }
}

function snapshotting(group: ReplicationGroup): { SnapshottingClusterId?: string } {
  if (group.ClusterEnabled) return {};
  const members = group.NodeGroups?.[0]?.NodeGroupMembers ?? [];
  const node =
    members.find(({ CurrentRole: role }) => role === 'replica') ??
    members.find(({ CurrentRole: role }) => role === 'primary');
  return node?.CacheClusterId ? { SnapshottingClusterId: node.CacheClusterId } : {};
}

function fulfils(group: ReplicationGroup, wanted: DailySettings): boolean {
  const has = settingsOf(group);
  return has.retentionLimit === wanted.retentionLimit && (wanted.window === undefined || has.window === wanted.window);
}

function settingsOf(group: ReplicationGroup): DailySettings {
  return {
    retentionLimit: group.SnapshotRetentionLimit ?? 0,
    ...(group.SnapshotWindow === undefined ? {} : { window: group.SnapshotWindow }),
  };
}

async function read({ id, aws = {} }: { id: string; aws?: AwsTarget }): Promise<ReplicationGroup> {
  try {
    const answer = await elasticache(aws).send(new DescribeReplicationGroupsCommand({ ReplicationGroupId: id }));
    const group = answer.ReplicationGroups?.[0];
    if (group) return group;
    throw transient(ErrorType.unreachable, `DescribeReplicationGroups of ${id}: the answer does not hold the group`);
  } catch (error) {
    if (isCode(error, 'ReplicationGroupNotFound')) {
      throw permanent(ErrorType.notFound, `there is no replication group ${id}${inRegion(aws)}`, {
        remedy: `check the name: aws elasticache describe-replication-groups${regionFlag(aws)}`,
      });
    }
    throw awsFailure(error, `DescribeReplicationGroups of ${id}`);
  }
}

function late(id: string, wanted: DailySettings, now: ReplicationGroup): Error {
  return permanent(
    ErrorType.deadline,
    `the daily snapshots of ${id} are not ${dailyText(wanted)} in time: the group is ${now.Status}, they are ${dailyText(settingsOf(now))}`,
    { remedy: 'AWS may still be at it: retry the step to wait on' },
  );
}
