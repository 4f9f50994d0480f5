import type {
  CacheClusterMessage,
  DeleteReplicationGroupMessage,
  DeleteReplicationGroupResult,
  DescribeCacheClustersMessage,
  DescribeReplicationGroupsMessage,
  ReplicationGroupMessage,
} from '@aws-sdk/client-elasticache';
import { findGroup, setStatus } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { AwsFault, clusterNotFound, groupNotFound, invalidCombination } from './faults.ts';
import { tearDown } from './group-lifecycle.ts';
import { clusterView, groupView } from './group-view.ts';
import { page } from './paging.ts';
import { newSnapshot, takeSnapshot } from './snapshot-taking.ts';
import type { GroupState } from './state.ts';

export function describeGroups(cloud: Cloud, input: DescribeReplicationGroupsMessage): ReplicationGroupMessage {
  const { groups } = cloud.store.visible();
  const id = input.ReplicationGroupId?.toLowerCase();
  const found = Object.values(groups).filter((group) => id === undefined || group.id === id);
  if (id !== undefined && found.length === 0) throw groupNotFound(id);
  const { items, ...marker } = page(found, (group) => group.id, input);
  return { ReplicationGroups: items.map((group) => groupView(cloud, group)), ...marker };
}

export function describeClusters(cloud: Cloud, input: DescribeCacheClustersMessage): CacheClusterMessage {
  const id = input.CacheClusterId?.toLowerCase();
  const all = Object.values(cloud.store.visible().groups).flatMap((group) =>
    group.nodes.map((node) => ({ group, node })),
  );
  const found = all.filter(({ node }) => id === undefined || node.id === id);
  if (id !== undefined && found.length === 0) throw clusterNotFound(id);
  // Every node of the sandbox is in a replication group.
  const shown = input.ShowCacheClustersNotInReplicationGroups === true ? [] : found;
  const { items, ...marker } = page(shown, ({ node }) => node.id, input);
  return {
    CacheClusters: items.map(({ group, node }) => clusterView(cloud, group, node, input.ShowCacheNodeInfo ?? false)),
    ...marker,
  };
}

export function deleteGroup(cloud: Cloud, input: DeleteReplicationGroupMessage): DeleteReplicationGroupResult {
  const group = findGroup(cloud, input.ReplicationGroupId);
  if (input.RetainPrimaryCluster === true) {
    throw invalidCombination('RetainPrimaryCluster is not supported by the sandbox.');
  }
  requireDeletable(group);
  const finalName = input.FinalSnapshotIdentifier;
  const snapshot =
    finalName === undefined ? undefined : newSnapshot(cloud, { name: finalName, group, quota: false, tags: {} });
  setStatus(cloud, group, 'deleting');
  cloud.background.run(`delete ${group.id}`, group.id, async () => {
    // Always from the primary (facts 3.3). Without its final snapshot the group is not deleted.
    if (snapshot !== undefined && !(await takeSnapshot(cloud, group, snapshot, primaries(group)))) return;
    await tearDown(cloud, group);
  });
  return { ReplicationGroup: groupView(cloud, group) };
}

function primaries(group: GroupState): GroupState['nodes'] {
  return group.nodes.filter((node) => node.role === 'primary');
}

function requireDeletable(group: GroupState): void {
  const restoreFailed = group.nodes.some((node) => node.status === 'restore-failed');
  if (group.status === 'available' || group.status === 'create-failed' || restoreFailed) return;
  throw new AwsFault(
    'InvalidReplicationGroupState',
    `Replication group ${group.id} has status ${group.status} which is not valid for deletion.`,
  );
}
