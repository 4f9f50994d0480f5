import type { CacheCluster, Endpoint, NodeGroup, NodeGroupMember, ReplicationGroup } from '@aws-sdk/client-elasticache';
import { LOOPBACK } from '../runtime/ports.ts';
import { arn } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { nodesOf } from './state.ts';
import type { GroupState, NodeState, ShardState } from './state.ts';

const endpoint = (port: number): Endpoint => ({ Address: LOOPBACK, Port: port });

/** A group as DescribeReplicationGroups shows it. Like on AWS there are no endpoints before it is available. */
export function groupView(cloud: Cloud, group: GroupState): ReplicationGroup {
  const up = group.status !== 'creating' && group.status !== 'create-failed';
  return {
    ReplicationGroupId: group.id,
    Description: group.description,
    GlobalReplicationGroupInfo:
      group.globalGroupId === undefined
        ? {}
        : { GlobalReplicationGroupId: group.globalGroupId, GlobalReplicationGroupMemberRole: 'PRIMARY' },
    Status: group.status,
    PendingModifiedValues:
      group.pending.automaticFailover === undefined ? {} : { AutomaticFailoverStatus: group.pending.automaticFailover },
    MemberClusters: group.nodes.map((node) => node.id),
    NodeGroups: up ? group.shards.map((shard) => shardView(group, shard)) : [],
    SnapshottingClusterId: group.snapshottingClusterId,
    AutomaticFailover: group.automaticFailover,
    MultiAZ: group.multiAz ? 'enabled' : 'disabled',
    ConfigurationEndpoint: up && group.clusterEnabled ? endpoint(group.nodes[0]?.port ?? 0) : undefined,
    SnapshotRetentionLimit: group.snapshotRetentionLimit,
    SnapshotWindow: group.snapshotWindow,
    ClusterEnabled: group.clusterEnabled,
    CacheNodeType: group.nodeType,
    AuthTokenEnabled: group.authToken !== undefined,
    AuthTokenLastModifiedDate: group.authTokenAt === undefined ? undefined : new Date(group.authTokenAt),
    TransitEncryptionEnabled: group.transitEncryption,
    AtRestEncryptionEnabled: group.atRestEncryption,
    KmsKeyId: group.kmsKeyId,
    ARN: arn(cloud, 'replicationgroup', group.id),
    UserGroupIds: group.userGroupIds.length > 0 ? group.userGroupIds : undefined,
    LogDeliveryConfigurations: [],
    ReplicationGroupCreateTime: new Date(group.createdAt),
    DataTiering: group.dataTiering ? 'enabled' : 'disabled',
    AutoMinorVersionUpgrade: group.autoMinorVersionUpgrade,
    NetworkType: 'ipv4',
    IpDiscovery: 'ipv4',
    TransitEncryptionMode: group.transitEncryptionMode,
    ClusterMode: group.clusterMode,
    Engine: group.engine,
  };
}

function shardView(group: GroupState, shard: ShardState): NodeGroup {
  const nodes = nodesOf(group, shard.id);
  const primary = nodes.find((node) => node.role === 'primary');
  const readers = nodes.filter((node) => node.role === 'replica');
  return {
    NodeGroupId: shard.id,
    Status: group.status === 'migrating' ? 'available' : group.status,
    PrimaryEndpoint: group.clusterEnabled || primary === undefined ? undefined : endpoint(primary.port),
    ReaderEndpoint: group.clusterEnabled || primary === undefined ? undefined : endpoint((readers[0] ?? primary).port),
    Slots: shard.slots,
    NodeGroupMembers: nodes.map((node) => memberView(group, node)),
  };
}

function memberView(group: GroupState, node: NodeState): NodeGroupMember {
  return {
    CacheClusterId: node.id,
    CacheNodeId: '0001',
    ReadEndpoint: group.clusterEnabled ? undefined : endpoint(node.port),
    PreferredAvailabilityZone: node.zone,
    // AWS gives no role in cluster mode.
    CurrentRole: group.clusterEnabled ? undefined : node.role,
  };
}

/** A node as DescribeCacheClusters shows it: engine version and parameter group are to be had only here (facts 3.1). */
export function clusterView(cloud: Cloud, group: GroupState, node: NodeState, withNodes: boolean): CacheCluster {
  const createdAt = new Date(node.createdAt);
  return {
    CacheClusterId: node.id,
    ClientDownloadLandingPage: 'https://console.aws.amazon.com/elasticache/home#client-download:',
    CacheNodeType: group.nodeType,
    Engine: group.engine,
    EngineVersion: group.engineVersion,
    CacheClusterStatus: node.status,
    NumCacheNodes: 1,
    PreferredAvailabilityZone: node.zone,
    CacheClusterCreateTime: createdAt,
    PreferredMaintenanceWindow: group.maintenanceWindow,
    PendingModifiedValues: {},
    NotificationConfiguration:
      group.notificationTopic === undefined ? undefined : { TopicArn: group.notificationTopic, TopicStatus: 'active' },
    CacheSecurityGroups: [],
    CacheParameterGroup: {
      CacheParameterGroupName: group.parameterGroup,
      ParameterApplyStatus: 'in-sync',
      CacheNodeIdsToReboot: [],
    },
    CacheSubnetGroupName: group.subnetGroup,
    CacheNodes: withNodes
      ? [
          {
            CacheNodeId: '0001',
            CacheNodeStatus: node.status,
            CacheNodeCreateTime: createdAt,
            Endpoint: node.status === 'creating' ? undefined : endpoint(node.port),
            ParameterGroupStatus: 'in-sync',
            CustomerAvailabilityZone: node.zone,
          },
        ]
      : undefined,
    AutoMinorVersionUpgrade: group.autoMinorVersionUpgrade,
    SecurityGroups: group.securityGroupIds.map((id) => ({ SecurityGroupId: id, Status: 'active' })),
    ReplicationGroupId: group.id,
    SnapshotRetentionLimit: node.id === group.snapshottingClusterId ? group.snapshotRetentionLimit : 0,
    SnapshotWindow: group.snapshotWindow,
    AuthTokenEnabled: group.authToken !== undefined,
    TransitEncryptionEnabled: group.transitEncryption,
    AtRestEncryptionEnabled: group.atRestEncryption,
    ARN: arn(cloud, 'cluster', node.id),
    ReplicationGroupLogDeliveryEnabled: false,
    LogDeliveryConfigurations: [],
    NetworkType: 'ipv4',
    IpDiscovery: 'ipv4',
    TransitEncryptionMode: group.transitEncryptionMode,
  };
}
