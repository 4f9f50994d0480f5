import { emptyDmsState } from './dms/state.ts';
import type { DmsState } from './dms/state.ts';
import { emptyDynamoDbState } from './dynamodb/state.ts';
import type { DynamoDbState } from './dynamodb/state.ts';
import { emptyEc2State } from './ec2/state.ts';
import type { Ec2State } from './ec2/state.ts';
import { emptySsmState } from './ssm/state.ts';
import type { SsmState } from './ssm/state.ts';

/** What the emulated account holds. All of it is plain JSON: it is written to `state.json` at every change. */
export interface CloudState {
  version: 1;
  groups: Record<string, GroupState>;
  snapshots: Record<string, SnapshotState>;
  parameterGroups: Record<string, ParameterGroupState>;
  events: EventState[];
  dms: DmsState;
  dynamodb: DynamoDbState;
  ec2: Ec2State;
  ssm: SsmState;
  /** Number of the next event; events carry no id on the wire. */
  nextEvent: number;
}

export type EngineName = 'redis' | 'valkey';

export interface GroupState {
  id: string;
  description: string;
  /** As on the wire: creating, available, modifying, migrating, snapshotting, deleting, create-failed (facts 3.1). */
  status: string;
  engine: EngineName;
  engineVersion: string;
  nodeType: string;
  parameterGroup: string;
  subnetGroup: string;
  securityGroupIds: string[];
  clusterEnabled: boolean;
  clusterMode: 'enabled' | 'disabled' | 'compatible';
  multiAz: boolean;
  automaticFailover: 'enabled' | 'disabled' | 'enabling' | 'disabling';
  transitEncryption: boolean;
  transitEncryptionMode?: 'preferred' | 'required';
  atRestEncryption: boolean;
  /** Why its engine can't load the file from S3 that it is made from. */
  unreadable?: string;
  kmsKeyId?: string;
  /** Really asked for by the nodes. */
  authToken?: string;
  authTokenAt?: string;
  userGroupIds: string[];
  globalGroupId?: string;
  dataTiering: boolean;
  autoMinorVersionUpgrade: boolean;
  maintenanceWindow: string;
  snapshotRetentionLimit: number;
  snapshotWindow: string;
  snapshottingClusterId?: string;
  notificationTopic?: string;
  shards: ShardState[];
  nodes: NodeState[];
  migration?: MigrationState;
  /** Changes asked for without ApplyImmediately. */
  pending: { automaticFailover?: 'enabled' | 'disabled' };
  /** The node that is being replaced, if one is: meanwhile CompleteMigration fails (facts 3.1). */
  replacing?: string;
  tags: Record<string, string>;
  createdAt: string;
  /** Folder of this group's nodes, below the emulator's: another one for each group that ever had this name. */
  folder: string;
}

export interface ShardState {
  id: string;
  slots?: string;
}

export interface NodeState {
  /** CacheClusterId, e.g. rg-001 or rg-0002-001. */
  id: string;
  shard: string;
  port: number;
  /** Of the cluster bus, where cluster mode is on. */
  busPort?: number;
  role: 'primary' | 'replica';
  /** creating, available, modifying, snapshotting, restore-failed, deleting (facts 3.1). */
  status: string;
  zone: string;
  createdAt: string;
}

export interface MigrationState {
  host: string;
  port: number;
  /** attaching: modifying on the wire. completing: Complete was accepted. promoted: on disk *before* the promotion. */
  phase: 'attaching' | 'migrating' | 'completing' | 'promoted';
  force: boolean;
  /** How often the primary died since the start. */
  deaths: number;
}

export interface SnapshotState {
  name: string;
  /** creating, available, copying, deleting (facts 3.3); a failed one is gone. */
  status: string;
  source: 'manual' | 'automated';
  groupId: string;
  groupDescription: string;
  /** Where it was taken by CacheClusterId. */
  clusterId?: string;
  engine: EngineName;
  engineVersion: string;
  nodeType: string;
  parameterGroup: string;
  subnetGroup: string;
  port: number;
  automaticFailover: 'enabled' | 'disabled';
  autoMinorVersionUpgrade: boolean;
  maintenanceWindow: string;
  snapshotRetentionLimit: number;
  snapshotWindow: string;
  clusterCreatedAt: string;
  nodes: NodeSnapshotState[];
  kmsKeyId?: string;
  tags: Record<string, string>;
  createdAt: string;
}

export interface NodeSnapshotState {
  shard: string;
  clusterId: string;
  slots?: string;
  replicas: number;
  zone: string;
  /** Path of the RDB below the emulator's folder. */
  file: string;
  bytes: number;
  takenAt: string;
}

export interface ParameterGroupState {
  name: string;
  family: string;
  description: string;
  values: Record<string, string>;
  tags: Record<string, string>;
}

export type EventSource = 'replication-group' | 'cache-cluster' | 'cache-parameter-group';

export interface EventState {
  number: number;
  sourceType: EventSource;
  sourceId: string;
  message: string;
  date: string;
}

export function emptyState(): CloudState {
  return {
    version: 1,
    groups: {},
    snapshots: {},
    parameterGroups: {},
    events: [],
    nextEvent: 1,
    dms: emptyDmsState(),
    dynamodb: emptyDynamoDbState(),
    ec2: emptyEc2State(),
    ssm: emptySsmState(),
  };
}

/** Nodes of a group in one shard, primary first. */
export function nodesOf(group: GroupState, shard: string): NodeState[] {
  return group.nodes
    .filter((node) => node.shard === shard)
    .sort((a, b) => Number(b.role === 'primary') - Number(a.role === 'primary'));
}

/** The primary of a group's first shard; the only one where cluster mode is off. */
export function primaryOf(group: GroupState, shard: string = group.shards[0]?.id ?? '0001'): NodeState {
  const primary = group.nodes.find((node) => node.shard === shard && node.role === 'primary');
  if (primary === undefined) throw new Error(`sandbox: replication group ${group.id} has no primary in shard ${shard}`);
  return primary;
}
