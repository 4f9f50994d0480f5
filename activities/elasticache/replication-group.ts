/** What a replication group is: the facts that gates, checks and undo need, in our own small type. */
import {
  DescribeCacheClustersCommand,
  DescribeReplicationGroupsCommand,
  type CacheCluster,
  type Endpoint,
  type ReplicationGroup,
  type ReplicationGroupPendingModifiedValues,
} from '@aws-sdk/client-elasticache';
import pLimit from 'p-limit';
import { ErrorType } from '../../spec/errors.ts';
import { elasticache, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent, transient } from '../errors.ts';
import { groupStatusMeaning, nodeStatusMeaning, type StatusMeaning } from './status-table.ts';
import { readTags } from './tags.ts';

export interface Address {
  host: string;
  port: number;
}

export interface GroupMember {
  /** The cache cluster's id, `orders-001`. */
  id: string;
  nodeGroup: string;
  /** `unknown` with cluster mode enabled, where AWS does not say. */
  role: 'primary' | 'replica' | 'unknown';
  endpoint?: Address;
  availabilityZone?: string;
  /** Missing where the node could not be described (it is being replaced). */
  status?: string;
  statusMeaning?: StatusMeaning;
}

export interface NodeGroupFacts {
  id: string;
  status: string;
  primary?: Address;
  reader?: Address;
  slots?: string;
  members: number;
}

/** The cheap part: one call, for polling. */
export interface GroupStatus {
  id: string;
  arn: string;
  /** What it was created with; told in every state, unlike tags. */
  description?: string;
  /** ISO. A name can be given again; this tells one group from another that has its name. */
  createdAt?: string;
  /** AWS's own string. */
  status: string;
  statusMeaning: StatusMeaning;
  /** What an operator should know, such as a status nobody has heard of. */
  warnings: string[];
  /** Each change that is under way or waits for the maintenance window, in words; empty when settled. */
  pendingModifications: string[];
  clusterEnabled: boolean;
  /** Where to write: the primary's endpoint, or the configuration endpoint with cluster mode enabled. */
  primary?: Address;
  members: GroupMember[];
  nodeGroups: NodeGroupFacts[];
}

export interface GroupFacts extends GroupStatus {
  multiAz: boolean;
  automaticFailover: 'enabled' | 'disabled' | 'enabling' | 'disabling';
  transitEncryption: boolean;
  atRestEncryption: boolean;
  authToken: boolean;
  userGroups: string[];
  dataTiering: boolean;
  globalDatastore?: string;
  cacheNodeType: string;
  /** `redis` or `valkey`. */
  engine?: string;
  engineVersion?: string;
  parameterGroup?: string;
  /** Days; 0 is off. */
  snapshotRetention: number;
  /** UTC, `05:00-06:00`. */
  snapshotWindow?: string;
  /** UTC, `sun:23:00-mon:01:30`. */
  maintenanceWindow?: string;
  /** Missing where AWS would not tell: tags can't be read unless the group is `available`. */
  tags?: Record<string, string>;
}

/**
 * Status, endpoints and members of a group, by one call.
 * @throws cutover.NotFound, cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function groupStatus(args: { id: string; aws?: AwsTarget }): Promise<GroupStatus> {
  return statusOf(await rawGroup(args.aws ?? {}, args.id), args.id);
}

/** Whether the name belongs to another group than the one of that time. False where either time is not known. */
export function isAnotherGroup(group: GroupStatus, createdAt: string | undefined): boolean {
  return createdAt !== undefined && group.createdAt !== undefined && group.createdAt !== createdAt;
}

/** Everything about a group: also its nodes' engine, parameter group, windows, and its tags. @throws as groupStatus */
export async function describeGroup(args: { id: string; aws?: AwsTarget }): Promise<GroupFacts> {
  const { id, aws = {} } = args;
  const raw = await rawGroup(aws, id);
  const status = statusOf(raw, id);
  const limit = pLimit(4);
  const [nodes, tags] = await Promise.all([
    Promise.all(status.members.map((member) => limit(() => rawNode(aws, member.id)))),
    readTags(aws, status.arn),
  ]);
  const members = status.members.map((member, index) => withNode(member, nodes[index]));
  const warnings = [...status.warnings];
  for (const member of members) {
    const { warning } = member.status === undefined ? {} : nodeStatusMeaning(member.id, member.status);
    if (warning) warnings.push(warning);
  }
  const node = nodes.find((n) => n !== undefined);
  return {
    ...status,
    warnings,
    members,
    multiAz: raw.MultiAZ === 'enabled',
    automaticFailover: raw.AutomaticFailover ?? 'disabled',
    transitEncryption: raw.TransitEncryptionEnabled ?? false,
    atRestEncryption: raw.AtRestEncryptionEnabled ?? false,
    authToken: raw.AuthTokenEnabled ?? false,
    userGroups: raw.UserGroupIds ?? [],
    dataTiering: raw.DataTiering === 'enabled',
    cacheNodeType: raw.CacheNodeType ?? node?.CacheNodeType ?? '',
    snapshotRetention: raw.SnapshotRetentionLimit ?? 0,
    ...given('globalDatastore', raw.GlobalReplicationGroupInfo?.GlobalReplicationGroupId),
    ...given('engine', node?.Engine ?? raw.Engine),
    ...given('engineVersion', node?.EngineVersion),
    ...given('parameterGroup', node?.CacheParameterGroup?.CacheParameterGroupName),
    ...given('snapshotWindow', raw.SnapshotWindow),
    ...given('maintenanceWindow', node?.PreferredMaintenanceWindow),
    ...given('tags', tags),
  };
}

async function rawGroup(aws: AwsTarget, id: string): Promise<ReplicationGroup> {
  let groups: ReplicationGroup[] | undefined;
  try {
    const answer = await elasticache(aws).send(new DescribeReplicationGroupsCommand({ ReplicationGroupId: id }));
    groups = answer.ReplicationGroups;
  } catch (error) {
    if (isCode(error, 'ReplicationGroupNotFound')) {
      throw permanent(ErrorType.notFound, `there is no replication group ${id}${inRegion(aws)}`, {
        remedy: `check the name: aws elasticache describe-replication-groups${regionFlag(aws)}`,
      });
    }
    throw awsFailure(error, `DescribeReplicationGroups of ${id}`);
  }
  const group = groups?.find((g) => g.ReplicationGroupId?.toLowerCase() === id.toLowerCase());
  // The SDK makes an empty answer of anything that is not the service's XML, without an error (facts 5.1).
  if (!group) {
    throw transient(ErrorType.unreachable, `DescribeReplicationGroups of ${id}: the answer does not hold the group`, {
      remedy: 'does something between the worker and AWS (a proxy, a wrong endpoint) answer in its place?',
    });
  }
  return group;
}

/** A node; undefined where it is gone, as it is for minutes while AWS replaces it. */
async function rawNode(aws: AwsTarget, id: string): Promise<CacheCluster | undefined> {
  try {
    const answer = await elasticache(aws).send(
      new DescribeCacheClustersCommand({ CacheClusterId: id, ShowCacheNodeInfo: true }),
    );
    return answer.CacheClusters?.[0];
  } catch (error) {
    if (isCode(error, 'CacheClusterNotFound')) return undefined;
    throw awsFailure(error, `DescribeCacheClusters of ${id}`);
  }
}

function statusOf(raw: ReplicationGroup, id: string): GroupStatus {
  const reading = groupStatusMeaning(id, raw.Status);
  const clusterEnabled = raw.ClusterEnabled ?? false;
  const nodeGroups = (raw.NodeGroups ?? []).map((group) => ({
    id: group.NodeGroupId ?? '',
    status: group.Status ?? '',
    members: group.NodeGroupMembers?.length ?? 0,
    ...given('primary', address(group.PrimaryEndpoint)),
    ...given('reader', address(group.ReaderEndpoint)),
    ...given('slots', group.Slots),
  }));
  const primary = address(clusterEnabled ? raw.ConfigurationEndpoint : raw.NodeGroups?.[0]?.PrimaryEndpoint);
  return {
    id: raw.ReplicationGroupId ?? id,
    arn: raw.ARN ?? '',
    status: raw.Status ?? '',
    statusMeaning: reading.meaning,
    warnings: reading.warning === undefined ? [] : [reading.warning],
    pendingModifications: pendingOf(raw.PendingModifiedValues),
    clusterEnabled,
    ...given('primary', primary),
    members: membersOf(raw),
    nodeGroups,
    ...given('description', raw.Description),
    ...given('createdAt', raw.ReplicationGroupCreateTime?.toISOString()),
  };
}

function membersOf(raw: ReplicationGroup): GroupMember[] {
  const placed = (raw.NodeGroups ?? []).flatMap((group) =>
    (group.NodeGroupMembers ?? []).map((member): GroupMember => ({
      id: member.CacheClusterId ?? '',
      nodeGroup: group.NodeGroupId ?? '',
      role: member.CurrentRole === 'primary' || member.CurrentRole === 'replica' ? member.CurrentRole : 'unknown',
      ...given('endpoint', address(member.ReadEndpoint)),
      ...given('availabilityZone', member.PreferredAvailabilityZone),
    })),
  );
  // While a group is being made or changed, MemberClusters names nodes that are in no node group yet.
  const others = (raw.MemberClusters ?? []).filter((id) => !placed.some((member) => member.id === id));
  return [...placed, ...others.map((id): GroupMember => ({ id, nodeGroup: '', role: 'unknown' }))];
}

function withNode(member: GroupMember, node: CacheCluster | undefined): GroupMember {
  if (!node) return member;
  const endpoint = member.endpoint ?? address(node.CacheNodes?.[0]?.Endpoint);
  const status = node.CacheClusterStatus ?? '';
  return {
    ...member,
    ...given('endpoint', endpoint),
    status,
    statusMeaning: nodeStatusMeaning(member.id, status).meaning,
  };
}

function pendingOf(values: ReplicationGroupPendingModifiedValues | undefined): string[] {
  return Object.entries(values ?? {}).flatMap(([name, value]: [string, unknown]) => {
    const empty = value === undefined || value === null || (Array.isArray(value) && value.length === 0);
    return empty ? [] : [`${name}: ${JSON.stringify(value)}`];
  });
}

function address(endpoint: Endpoint | undefined): Address | undefined {
  return endpoint?.Address && endpoint.Port ? { host: endpoint.Address, port: endpoint.Port } : undefined;
}

/** A property where there is a value, none where there is not (exactOptionalPropertyTypes). */
function given<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  const made: { [P in K]?: V } = {};
  if (value !== undefined) made[key] = value;
  return made;
}

export const inRegion = (aws: AwsTarget) => (aws.region ? ` in ${aws.region}` : " in the worker's region");
export const regionFlag = (aws: AwsTarget) => (aws.region ? ` --region ${aws.region}` : '');
