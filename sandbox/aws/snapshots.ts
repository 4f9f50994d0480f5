import type {
  CreateSnapshotMessage,
  CreateSnapshotResult,
  DeleteSnapshotMessage,
  DeleteSnapshotResult,
  DescribeSnapshotsListMessage,
  DescribeSnapshotsMessage,
} from '@aws-sdk/client-elasticache';
import { findGroup, findNode, setStatus } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { AwsFault, invalidCombination, invalidValue, snapshotNotFound } from './faults.ts';
import { page } from './paging.ts';
import { dropSnapshot, newSnapshot, takeSnapshot } from './snapshot-taking.ts';
import { snapshotView } from './snapshot-view.ts';
import { primaryOf } from './state.ts';
import type { GroupState, NodeState, SnapshotState } from './state.ts';
import { tagRecord } from './tag-rules.ts';

export function createSnapshot(cloud: Cloud, input: CreateSnapshotMessage): CreateSnapshotResult {
  const { group, nodes, clusterId } = subjectOf(cloud, input);
  if (group.nodeType.startsWith('cache.t1.')) {
    throw new AwsFault('SnapshotFeatureNotSupportedFault', `Snapshots are not supported on ${group.nodeType}.`);
  }
  const snapshot = newSnapshot(cloud, {
    name: input.SnapshotName ?? '',
    group,
    ...(clusterId === undefined ? {} : { clusterId }),
    quota: true,
    kmsKeyId: input.KmsKeyId,
    tags: tagRecord(input.Tags),
  });
  setStatus(cloud, group, 'snapshotting');
  cloud.background.run(`snapshot ${snapshot.name}`, group.id, async () => {
    await takeSnapshot(cloud, group, snapshot, nodes);
  });
  return { Snapshot: snapshotView(cloud, snapshot, false) };
}

/** What AWS does in the daily window: `automatic.<group>-2026-11-21-15-00`. @returns its name */
export function takeAutomaticSnapshot(cloud: Cloud, id: string): string {
  const group = findGroup(cloud, id);
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[T:]/g, '-');
  const nodes = group.shards.map((shard) => snapshotNode(group, shard.id));
  const snapshot = newSnapshot(cloud, {
    name: `automatic.${group.id}-${stamp}`,
    group,
    ...(group.clusterEnabled ? {} : { clusterId: nodes[0]?.id ?? '' }),
    quota: false,
    automatic: true,
    tags: {},
  });
  setStatus(cloud, group, 'snapshotting');
  cloud.background.run(`snapshot ${snapshot.name}`, group.id, async () => {
    await takeSnapshot(cloud, group, snapshot, nodes);
  });
  return snapshot.name;
}

/** With cluster mode off a backup is of one node, with it on of the whole group (facts 3.3). */
function subjectOf(
  cloud: Cloud,
  input: CreateSnapshotMessage,
): { group: GroupState; nodes: NodeState[]; clusterId?: string } {
  if ((input.CacheClusterId === undefined) === (input.ReplicationGroupId === undefined)) {
    throw invalidCombination('Exactly one of CacheClusterId and ReplicationGroupId must be provided.');
  }
  if (input.CacheClusterId !== undefined) {
    const { group, node } = findNode(cloud, input.CacheClusterId);
    if (group.clusterEnabled) {
      throw invalidCombination(
        `Cache cluster ${node.id} is part of a replication group with cluster mode enabled; use ReplicationGroupId ${group.id}.`,
      );
    }
    if (node.status !== 'available' || group.status !== 'available') {
      throw new AwsFault(
        'InvalidCacheClusterState',
        `Cache cluster ${node.id} has status ${node.status}, its replication group ${group.status}; both must be available for a snapshot.`,
      );
    }
    return { group, nodes: [node], clusterId: node.id };
  }
  const group = findGroup(cloud, input.ReplicationGroupId);
  if (!group.clusterEnabled) {
    throw invalidCombination(
      `Replication group ${group.id} has cluster mode disabled; use the CacheClusterId of one of its nodes.`,
    );
  }
  if (group.status !== 'available') {
    throw new AwsFault(
      'InvalidReplicationGroupState',
      `Replication group ${group.id} has status ${group.status}; it must be available for a snapshot.`,
    );
  }
  return { group, nodes: group.shards.map((shard) => snapshotNode(group, shard.id)) };
}

/** A replica if there is one, so that the primary is spared. */
function snapshotNode(group: GroupState, shard: string): NodeState {
  return group.nodes.find((node) => node.shard === shard && node.role === 'replica') ?? primaryOf(group, shard);
}

export function describeSnapshots(cloud: Cloud, input: DescribeSnapshotsMessage): DescribeSnapshotsListMessage {
  const source = input.SnapshotSource;
  if (source !== undefined && source !== 'system' && source !== 'user') {
    throw invalidValue(`Invalid value '${source}' for SnapshotSource. Must be one of: system, user.`);
  }
  const [name, group, cluster] = [input.SnapshotName, input.ReplicationGroupId, input.CacheClusterId].map((value) =>
    value?.toLowerCase(),
  );
  const found = Object.values(cloud.store.visible().snapshots).filter(
    (snapshot) =>
      (name === undefined || snapshot.name === name) &&
      (group === undefined || snapshot.groupId === group) &&
      (cluster === undefined || snapshot.clusterId === cluster) &&
      (source === undefined || (source === 'user') === (snapshot.source === 'manual')),
  );
  if (name !== undefined && found.length === 0) throw snapshotNotFound(name);
  const { items, ...marker } = page(found, (snapshot) => snapshot.name, input, { min: 20, max: 50 });
  return {
    Snapshots: items.map((snapshot) => snapshotView(cloud, snapshot, input.ShowNodeGroupConfig ?? false)),
    ...marker,
  };
}

export function deleteSnapshot(cloud: Cloud, input: DeleteSnapshotMessage): DeleteSnapshotResult {
  const snapshot = findSnapshot(cloud, input.SnapshotName);
  requireAvailable(snapshot);
  snapshot.status = 'deleting';
  cloud.store.save();
  cloud.background.run(`delete snapshot ${snapshot.name}`, `snapshot:${snapshot.name}`, async () => {
    await cloud.background.sleep(cloud.timing.deleting);
    dropSnapshot(cloud, snapshot.name);
  });
  return { Snapshot: snapshotView(cloud, snapshot, false) };
}

/** @throws AwsFault SnapshotNotFoundFault. */
export function findSnapshot(cloud: Cloud, name: string | undefined): SnapshotState {
  const key = (name ?? '').toLowerCase();
  const snapshot = cloud.store.state.snapshots[key];
  if (snapshot === undefined) throw snapshotNotFound(key);
  return snapshot;
}

/** @throws AwsFault InvalidSnapshotState. */
export function requireAvailable(snapshot: SnapshotState): void {
  if (snapshot.status === 'available') return;
  throw new AwsFault(
    'InvalidSnapshotState',
    `Snapshot ${snapshot.name} has status ${snapshot.status}; it must be available.`,
  );
}
