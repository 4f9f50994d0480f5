import type { CreateReplicationGroupMessage, CreateReplicationGroupResult } from '@aws-sdk/client-elasticache';
import { randomBytes } from 'node:crypto';
import { freePort } from '../runtime/ports.ts';
import { memoryOf } from './catalogue.ts';
import { findNode } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { AwsFault, invalidCombination, invalidValue } from './faults.ts';
import { bringUp } from './group-lifecycle.ts';
import { checkAuthToken, checkFailover, checkRetention, checkWindows } from './group-rules.ts';
import { shapeOf } from './group-shape.ts';
import type { Shape } from './group-shape.ts';
import { groupView } from './group-view.ts';
import { checkName } from './names.ts';
import { dropSeeds, seedsOf } from './seeds.ts';
import type { GroupState, NodeState, ShardState } from './state.ts';
import { tagRecord } from './tag-rules.ts';

export async function createGroup(
  cloud: Cloud,
  input: CreateReplicationGroupMessage,
): Promise<CreateReplicationGroupResult> {
  const id = checkName('ReplicationGroupId', input.ReplicationGroupId);
  refuseUnsupported(input);
  refuseExisting(cloud, id);
  const shape = shapeOf(cloud, input);
  const group = await newGroup(cloud, id, input, shape);
  const seeds = await seedsOf(cloud, input, group);
  // While we looked into the customer's bucket or for free ports, another call may have taken the name.
  refuseExisting(cloud, id);
  cloud.store.state.groups[id] = group;
  cloud.store.save();
  cloud.background.run(`create ${id}`, id, async () => {
    await bringUp(cloud, group, seeds);
    dropSeeds(cloud, group);
  });
  return { ReplicationGroup: groupView(cloud, group) };
}

function refuseExisting(cloud: Cloud, id: string): void {
  if (cloud.store.state.groups[id] !== undefined) {
    throw new AwsFault('ReplicationGroupAlreadyExists', `Replication group ${id} already exists.`);
  }
}

function refuseUnsupported(input: CreateReplicationGroupMessage): void {
  for (const name of ['PrimaryClusterId', 'GlobalReplicationGroupId', 'ServerlessCacheSnapshotName'] as const) {
    if (input[name] !== undefined) throw invalidValue(`${name} is not supported by the sandbox.`);
  }
}

async function newGroup(
  cloud: Cloud,
  id: string,
  input: CreateReplicationGroupMessage,
  shape: Shape,
): Promise<GroupState> {
  if (input.CacheNodeType === undefined) {
    throw invalidValue('The parameter CacheNodeType must be provided and must not be blank.');
  }
  memoryOf(input.CacheNodeType);
  const replicas = Math.min(...shape.shards.map((shard) => shard.replicas));
  const failover = input.AutomaticFailoverEnabled ?? shape.clusterEnabled;
  if (shape.clusterEnabled && !failover) {
    throw invalidCombination('Automatic failover must be enabled with cluster mode enabled.');
  }
  checkFailover(failover, input.MultiAZEnabled ?? false, shape.clusterEnabled ? Math.max(replicas, 1) : replicas);
  const encrypted = input.TransitEncryptionEnabled ?? false;
  checkAuthToken(input.AuthToken, encrypted);
  if (input.TransitEncryptionMode !== undefined && !encrypted) {
    throw invalidCombination('TransitEncryptionMode needs TransitEncryptionEnabled.');
  }
  const createdAt = new Date().toISOString();
  return {
    id,
    description: input.ReplicationGroupDescription ?? '',
    status: 'creating',
    engine: shape.engine.engine,
    engineVersion: shape.engine.reported,
    nodeType: input.CacheNodeType,
    parameterGroup: shape.parameterGroup,
    subnetGroup: input.CacheSubnetGroupName ?? 'default',
    securityGroupIds: input.SecurityGroupIds ?? [],
    clusterEnabled: shape.clusterEnabled,
    clusterMode: shape.clusterEnabled ? 'enabled' : (input.ClusterMode ?? 'disabled'),
    multiAz: input.MultiAZEnabled ?? false,
    automaticFailover: failover ? 'enabled' : 'disabled',
    transitEncryption: encrypted,
    ...(encrypted ? { transitEncryptionMode: input.TransitEncryptionMode ?? 'required' } : {}),
    atRestEncryption: input.AtRestEncryptionEnabled ?? false,
    ...(input.KmsKeyId === undefined ? {} : { kmsKeyId: input.KmsKeyId }),
    ...(input.AuthToken === undefined ? {} : { authToken: input.AuthToken, authTokenAt: createdAt }),
    userGroupIds: input.UserGroupIds ?? [],
    dataTiering: input.DataTieringEnabled ?? input.CacheNodeType.includes('.r6gd.'),
    autoMinorVersionUpgrade: input.AutoMinorVersionUpgrade ?? true,
    ...checkWindows(input.SnapshotWindow, input.PreferredMaintenanceWindow),
    snapshotRetentionLimit: checkRetention(input.SnapshotRetentionLimit ?? 0),
    ...(input.NotificationTopicArn === undefined ? {} : { notificationTopic: input.NotificationTopicArn }),
    ...(await newNodes(cloud, id, input, shape, createdAt)),
    pending: {},
    tags: tagRecord(input.Tags),
    createdAt,
    folder: `nodes/${id}-${randomBytes(4).toString('hex')}`,
  };
}

async function newNodes(
  cloud: Cloud,
  id: string,
  input: CreateReplicationGroupMessage,
  shape: Shape,
  createdAt: string,
): Promise<{ shards: ShardState[]; nodes: NodeState[] }> {
  const shards: ShardState[] = [];
  const nodes: NodeState[] = [];
  for (const [i, wanted] of shape.shards.entries()) {
    const shard = String(i + 1).padStart(4, '0');
    shards.push({ id: shard, ...(wanted.slots === undefined ? {} : { slots: wanted.slots }) });
    for (let n = 0; n <= wanted.replicas; n++) {
      const number = String(n + 1).padStart(3, '0');
      const zone = input.PreferredCacheClusterAZs?.[n] ?? `${cloud.region}${'abc'[n % 3]}`;
      if (!zone.startsWith(cloud.region)) throw invalidValue(`${zone} is not a valid availability zone.`);
      const nodeId = shape.clusterEnabled ? `${id}-${shard}-${number}` : `${id}-${number}`;
      refuseTakenNode(cloud, nodeId);
      nodes.push({
        id: nodeId,
        shard,
        port: n === 0 && i === 0 ? await wantedPort(input.Port) : await freePort(),
        ...(shape.clusterEnabled ? { busPort: await freePort() } : {}),
        role: n === 0 ? 'primary' : 'replica',
        status: 'creating',
        zone,
        createdAt,
      });
    }
  }
  return { shards, nodes };
}

function refuseTakenNode(cloud: Cloud, nodeId: string): void {
  try {
    findNode(cloud, nodeId);
  } catch {
    return;
  }
  throw new AwsFault('CacheClusterAlreadyExists', `Cache cluster ${nodeId} already exists.`);
}

/**
 * On AWS all nodes listen on the same port; here they share one address, so each has its own. A port that is asked for is
 * the primary's. startNode chooses another where it is taken.
 */
async function wantedPort(port: number | undefined): Promise<number> {
  if (port === undefined) return freePort();
  if (port < 1150 || port > 65_535) throw invalidValue(`Port must be between 1150 and 65535, not ${port}.`);
  return port;
}
