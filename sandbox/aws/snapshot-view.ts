import type { Snapshot } from '@aws-sdk/client-elasticache';
import { arn } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import type { SnapshotState } from './state.ts';

/** A snapshot as DescribeSnapshots shows it. */
export function snapshotView(cloud: Cloud, snapshot: SnapshotState, withShards: boolean): Snapshot {
  return {
    SnapshotName: snapshot.name,
    ReplicationGroupId: snapshot.groupId,
    ReplicationGroupDescription: snapshot.groupDescription,
    CacheClusterId: snapshot.clusterId,
    SnapshotStatus: snapshot.status,
    SnapshotSource: snapshot.source,
    CacheNodeType: snapshot.nodeType,
    Engine: snapshot.engine,
    EngineVersion: snapshot.engineVersion,
    NumCacheNodes: 1,
    PreferredAvailabilityZone: snapshot.nodes[0]?.zone,
    CacheClusterCreateTime: new Date(snapshot.clusterCreatedAt),
    PreferredMaintenanceWindow: snapshot.maintenanceWindow,
    Port: snapshot.port,
    CacheParameterGroupName: snapshot.parameterGroup,
    CacheSubnetGroupName: snapshot.subnetGroup,
    AutoMinorVersionUpgrade: snapshot.autoMinorVersionUpgrade,
    SnapshotRetentionLimit: snapshot.snapshotRetentionLimit,
    SnapshotWindow: snapshot.snapshotWindow,
    NumNodeGroups: Math.max(1, snapshot.nodes.length),
    AutomaticFailover: snapshot.automaticFailover,
    NodeSnapshots: snapshot.nodes.map((node) => ({
      CacheClusterId: node.clusterId,
      NodeGroupId: node.shard,
      CacheNodeId: '0001',
      NodeGroupConfiguration: withShards
        ? {
            NodeGroupId: node.shard,
            Slots: node.slots,
            ReplicaCount: node.replicas,
            PrimaryAvailabilityZone: node.zone,
          }
        : undefined,
      CacheSize: `${Math.max(1, Math.ceil(node.bytes / 1024 ** 2))} MB`,
      CacheNodeCreateTime: new Date(snapshot.clusterCreatedAt),
      SnapshotCreateTime: new Date(node.takenAt),
    })),
    KmsKeyId: snapshot.kmsKeyId,
    ARN: arn(cloud, 'snapshot', snapshot.name),
    DataTiering: 'disabled',
  };
}
