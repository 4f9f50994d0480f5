import type { Operation, Shape } from './shapes.ts';

/**
 * The inputs of each call served here, from AWS's service model 2015-02-02: names, types, list element names,
 * and what is required. A call that is missing here is answered with `InvalidAction`.
 */
const list = (element: string, of: Shape = 'string'): Shape => ({ list: element, of });
const oneOf = (...values: string[]): Shape => ({ oneOf: values });

const tags = list('Tag', { struct: { Key: 'string', Value: 'string' } });
const page = { MaxRecords: 'integer', Marker: 'string' } as const;
const customerNodes = list('member', { struct: { Address: 'string', Port: 'integer' } });
const ipVersion = oneOf('ipv4', 'ipv6');
const networkType = oneOf('ipv4', 'ipv6', 'dual_stack');
const encryptionMode = oneOf('preferred', 'required');
const clusterMode = oneOf('enabled', 'disabled', 'compatible');
const sourceType = oneOf(
  'cache-cluster',
  'cache-parameter-group',
  'cache-security-group',
  'cache-subnet-group',
  'replication-group',
  'serverless-cache',
  'serverless-cache-snapshot',
  'user',
  'user-group',
);
const shard: Shape = {
  struct: {
    NodeGroupId: 'string',
    Slots: 'string',
    ReplicaCount: 'integer',
    PrimaryAvailabilityZone: 'string',
    ReplicaAvailabilityZones: list('AvailabilityZone'),
    PrimaryOutpostArn: 'string',
    ReplicaOutpostArns: list('OutpostArn'),
  },
};
const logDelivery = list('LogDeliveryConfigurationRequest', {
  struct: {
    LogType: oneOf('slow-log', 'engine-log'),
    DestinationType: oneOf('cloudwatch-logs', 'kinesis-firehose'),
    DestinationDetails: {
      struct: {
        CloudWatchLogsDetails: { struct: { LogGroup: 'string' } },
        KinesisFirehoseDetails: { struct: { DeliveryStream: 'string' } },
      },
    },
    LogFormat: oneOf('text', 'json'),
    Enabled: 'boolean',
  },
});

export const OPERATIONS = {
  CreateReplicationGroup: {
    required: ['ReplicationGroupId', 'ReplicationGroupDescription'],
    members: {
      ReplicationGroupId: 'string',
      ReplicationGroupDescription: 'string',
      GlobalReplicationGroupId: 'string',
      PrimaryClusterId: 'string',
      AutomaticFailoverEnabled: 'boolean',
      MultiAZEnabled: 'boolean',
      NumCacheClusters: 'integer',
      PreferredCacheClusterAZs: list('AvailabilityZone'),
      NumNodeGroups: 'integer',
      ReplicasPerNodeGroup: 'integer',
      NodeGroupConfiguration: list('NodeGroupConfiguration', shard),
      CacheNodeType: 'string',
      Engine: 'string',
      EngineVersion: 'string',
      CacheParameterGroupName: 'string',
      CacheSubnetGroupName: 'string',
      CacheSecurityGroupNames: list('CacheSecurityGroupName'),
      SecurityGroupIds: list('SecurityGroupId'),
      Tags: tags,
      SnapshotArns: list('SnapshotArn'),
      SnapshotName: 'string',
      PreferredMaintenanceWindow: 'string',
      Port: 'integer',
      NotificationTopicArn: 'string',
      AutoMinorVersionUpgrade: 'boolean',
      SnapshotRetentionLimit: 'integer',
      SnapshotWindow: 'string',
      AuthToken: 'string',
      TransitEncryptionEnabled: 'boolean',
      AtRestEncryptionEnabled: 'boolean',
      KmsKeyId: 'string',
      UserGroupIds: list('member'),
      LogDeliveryConfigurations: logDelivery,
      DataTieringEnabled: 'boolean',
      NetworkType: networkType,
      IpDiscovery: ipVersion,
      TransitEncryptionMode: encryptionMode,
      ClusterMode: clusterMode,
      ServerlessCacheSnapshotName: 'string',
    },
  },
  DescribeReplicationGroups: { required: [], members: { ReplicationGroupId: 'string', ...page } },
  ModifyReplicationGroup: {
    required: ['ReplicationGroupId'],
    members: {
      ReplicationGroupId: 'string',
      ReplicationGroupDescription: 'string',
      PrimaryClusterId: 'string',
      SnapshottingClusterId: 'string',
      AutomaticFailoverEnabled: 'boolean',
      MultiAZEnabled: 'boolean',
      NodeGroupId: 'string',
      CacheSecurityGroupNames: list('CacheSecurityGroupName'),
      SecurityGroupIds: list('SecurityGroupId'),
      PreferredMaintenanceWindow: 'string',
      NotificationTopicArn: 'string',
      CacheParameterGroupName: 'string',
      NotificationTopicStatus: 'string',
      ApplyImmediately: 'boolean',
      Engine: 'string',
      EngineVersion: 'string',
      AutoMinorVersionUpgrade: 'boolean',
      SnapshotRetentionLimit: 'integer',
      SnapshotWindow: 'string',
      CacheNodeType: 'string',
      AuthToken: 'string',
      AuthTokenUpdateStrategy: oneOf('SET', 'ROTATE', 'DELETE'),
      UserGroupIdsToAdd: list('member'),
      UserGroupIdsToRemove: list('member'),
      RemoveUserGroups: 'boolean',
      LogDeliveryConfigurations: logDelivery,
      IpDiscovery: ipVersion,
      TransitEncryptionEnabled: 'boolean',
      TransitEncryptionMode: encryptionMode,
      ClusterMode: clusterMode,
    },
  },
  DeleteReplicationGroup: {
    required: ['ReplicationGroupId'],
    members: { ReplicationGroupId: 'string', RetainPrimaryCluster: 'boolean', FinalSnapshotIdentifier: 'string' },
  },
  DescribeCacheClusters: {
    required: [],
    members: {
      CacheClusterId: 'string',
      ShowCacheNodeInfo: 'boolean',
      ShowCacheClustersNotInReplicationGroups: 'boolean',
      ...page,
    },
  },
  DescribeCacheParameters: {
    required: ['CacheParameterGroupName'],
    members: { CacheParameterGroupName: 'string', Source: 'string', ...page },
  },
  DescribeCacheParameterGroups: { required: [], members: { CacheParameterGroupName: 'string', ...page } },
  CreateCacheParameterGroup: {
    required: ['CacheParameterGroupName', 'CacheParameterGroupFamily', 'Description'],
    members: {
      CacheParameterGroupName: 'string',
      CacheParameterGroupFamily: 'string',
      Description: 'string',
      Tags: tags,
    },
  },
  ModifyCacheParameterGroup: {
    required: ['CacheParameterGroupName', 'ParameterNameValues'],
    members: {
      CacheParameterGroupName: 'string',
      ParameterNameValues: list('ParameterNameValue', {
        struct: { ParameterName: 'string', ParameterValue: 'string' },
      }),
    },
  },
  DeleteCacheParameterGroup: {
    required: ['CacheParameterGroupName'],
    members: { CacheParameterGroupName: 'string' },
  },
  TestMigration: {
    required: ['ReplicationGroupId', 'CustomerNodeEndpointList'],
    members: { ReplicationGroupId: 'string', CustomerNodeEndpointList: customerNodes },
  },
  StartMigration: {
    required: ['ReplicationGroupId', 'CustomerNodeEndpointList'],
    members: { ReplicationGroupId: 'string', CustomerNodeEndpointList: customerNodes },
  },
  CompleteMigration: {
    required: ['ReplicationGroupId'],
    members: { ReplicationGroupId: 'string', Force: 'boolean' },
  },
  DescribeEvents: {
    required: [],
    members: {
      SourceIdentifier: 'string',
      SourceType: sourceType,
      StartTime: 'timestamp',
      EndTime: 'timestamp',
      Duration: 'integer',
      ...page,
    },
  },
  CreateSnapshot: {
    required: ['SnapshotName'],
    members: {
      ReplicationGroupId: 'string',
      CacheClusterId: 'string',
      SnapshotName: 'string',
      KmsKeyId: 'string',
      Tags: tags,
    },
  },
  DescribeSnapshots: {
    required: [],
    members: {
      ReplicationGroupId: 'string',
      CacheClusterId: 'string',
      SnapshotName: 'string',
      SnapshotSource: 'string',
      ShowNodeGroupConfig: 'boolean',
      ...page,
    },
  },
  DeleteSnapshot: { required: ['SnapshotName'], members: { SnapshotName: 'string' } },
  CopySnapshot: {
    required: ['SourceSnapshotName', 'TargetSnapshotName'],
    members: {
      SourceSnapshotName: 'string',
      TargetSnapshotName: 'string',
      TargetBucket: 'string',
      KmsKeyId: 'string',
      Tags: tags,
    },
  },
  AddTagsToResource: { required: ['ResourceName', 'Tags'], members: { ResourceName: 'string', Tags: tags } },
  ListTagsForResource: { required: ['ResourceName'], members: { ResourceName: 'string' } },
  RemoveTagsFromResource: {
    required: ['ResourceName', 'TagKeys'],
    members: { ResourceName: 'string', TagKeys: list('member') },
  },
  DescribeCacheEngineVersions: {
    required: [],
    members: {
      Engine: 'string',
      EngineVersion: 'string',
      CacheParameterGroupFamily: 'string',
      DefaultOnly: 'boolean',
      ...page,
    },
  },
} satisfies Record<string, Operation>;

export type Action = keyof typeof OPERATIONS;

export function isAction(name: string): name is Action {
  return Object.hasOwn(OPERATIONS, name);
}
