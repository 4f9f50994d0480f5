import type { ModifyReplicationGroupMessage, ModifyReplicationGroupResult } from '@aws-sdk/client-elasticache';
import { chooseEngine, memoryOf } from './catalogue.ts';
import { findGroup, setStatus } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { AwsFault, clusterNotFound, invalidCombination, invalidValue } from './faults.ts';
import { settle } from './group-lifecycle.ts';
import { checkAuthToken, checkFailover, checkRetention, checkWindows } from './group-rules.ts';
import { groupView } from './group-view.ts';
import { directivesOf, findParameterGroup } from './parameters.ts';
import type { GroupState } from './state.ts';

const UNSUPPORTED = [
  'PrimaryClusterId',
  'NodeGroupId',
  'Engine',
  'UserGroupIdsToAdd',
  'UserGroupIdsToRemove',
  'RemoveUserGroups',
  'LogDeliveryConfigurations',
  'IpDiscovery',
  'ClusterMode',
  'NotificationTopicStatus',
  'CacheSecurityGroupNames',
] as const;

/** Everything is checked before anything is changed. */
export function modifyGroup(cloud: Cloud, input: ModifyReplicationGroupMessage): ModifyReplicationGroupResult {
  const group = findGroup(cloud, input.ReplicationGroupId);
  for (const name of UNSUPPORTED) {
    if (input[name] !== undefined) throw invalidValue(`${name} is not supported by the sandbox.`);
  }
  if (group.status !== 'available') {
    throw new AwsFault(
      'InvalidReplicationGroupState',
      `Replication group ${group.id} has status ${group.status}; it must be available to be modified.`,
    );
  }
  const change = changeOf(cloud, group, input);
  const parametersChanged = change.parameterGroup !== undefined;
  Object.assign(group, change);
  const failover = input.AutomaticFailoverEnabled;
  if (failover !== undefined && failover !== (group.automaticFailover === 'enabled')) {
    if (input.ApplyImmediately === true) group.automaticFailover = failover ? 'enabling' : 'disabling';
    else group.pending.automaticFailover = failover ? 'enabled' : 'disabled';
  }
  setStatus(cloud, group, 'modifying');
  cloud.background.run(`modify ${group.id}`, group.id, async () => {
    if (parametersChanged) await applyParameters(cloud, group);
    if (input.CacheNodeType !== undefined) await applyMemory(cloud, group);
    if (input.AuthToken !== undefined) await applyAuthToken(cloud, group);
    await settle(cloud, group);
  });
  return { ReplicationGroup: groupView(cloud, group) };
}

function changeOf(cloud: Cloud, group: GroupState, input: ModifyReplicationGroupMessage): Partial<GroupState> {
  const replicas = group.nodes.filter((node) => node.role === 'replica').length / group.shards.length;
  const failover = input.AutomaticFailoverEnabled ?? group.automaticFailover === 'enabled';
  checkFailover(failover, input.MultiAZEnabled ?? group.multiAz, Math.floor(replicas));
  if (group.clusterEnabled && input.SnapshottingClusterId !== undefined) {
    throw invalidCombination('Cannot set snapshotting cluster with cluster mode enabled.');
  }
  const change: Partial<GroupState> = {
    ...checkWindows(
      input.SnapshotWindow ?? group.snapshotWindow,
      input.PreferredMaintenanceWindow ?? group.maintenanceWindow,
    ),
    ...retentionChange(group, input),
    ...encryptionChange(group, input),
  };
  if (input.ReplicationGroupDescription !== undefined) change.description = input.ReplicationGroupDescription;
  if (input.MultiAZEnabled !== undefined) change.multiAz = input.MultiAZEnabled;
  if (input.AutoMinorVersionUpgrade !== undefined) change.autoMinorVersionUpgrade = input.AutoMinorVersionUpgrade;
  if (input.SecurityGroupIds !== undefined) change.securityGroupIds = input.SecurityGroupIds;
  if (input.NotificationTopicArn !== undefined) change.notificationTopic = input.NotificationTopicArn;
  if (input.CacheNodeType !== undefined) {
    memoryOf(input.CacheNodeType);
    change.nodeType = input.CacheNodeType;
  }
  if (input.EngineVersion !== undefined) {
    const version = chooseEngine(group.engine, input.EngineVersion);
    if (version.reported.localeCompare(group.engineVersion, undefined, { numeric: true }) < 0) {
      throw invalidCombination(`Cannot downgrade from ${group.engineVersion} to ${version.reported}.`);
    }
    change.engineVersion = version.reported;
  }
  if (input.CacheParameterGroupName !== undefined) {
    change.parameterGroup = otherParameterGroup(cloud, group, input.CacheParameterGroupName, change.engineVersion);
  }
  return change;
}

function otherParameterGroup(cloud: Cloud, group: GroupState, name: string, version: string | undefined): string {
  const { state } = cloud.store;
  const { family } = chooseEngine(group.engine, version ?? group.engineVersion);
  const wanted = findParameterGroup(state, name);
  if (wanted.family !== family) {
    throw invalidCombination(`Expected a parameter group of family ${family} but found one of family ${wanted.family}`);
  }
  const before = findParameterGroup(state, group.parameterGroup);
  for (const fixed of ['cluster-enabled', 'databases']) {
    if (wanted.values[fixed] !== before.values[fixed]) {
      throw invalidCombination(`The parameter ${fixed} cannot change while the cache clusters exist.`);
    }
  }
  return wanted.name;
}

function retentionChange(group: GroupState, input: ModifyReplicationGroupMessage): Partial<GroupState> {
  const change: Partial<GroupState> = {};
  if (input.SnapshottingClusterId !== undefined) {
    const id = input.SnapshottingClusterId.toLowerCase();
    if (!group.nodes.some((node) => node.id === id)) throw clusterNotFound(id);
    change.snapshottingClusterId = id;
  }
  if (input.SnapshotRetentionLimit === undefined) return change;
  change.snapshotRetentionLimit = checkRetention(input.SnapshotRetentionLimit);
  const snapshotting = change.snapshottingClusterId ?? group.snapshottingClusterId;
  if (!group.clusterEnabled && input.SnapshotRetentionLimit > 0 && snapshotting === undefined) {
    throw invalidCombination('Must specify both SnapshotRetentionLimit and SnapshottingClusterId.');
  }
  return change;
}

function encryptionChange(group: GroupState, input: ModifyReplicationGroupMessage): Partial<GroupState> {
  const encrypted = input.TransitEncryptionEnabled ?? group.transitEncryption;
  checkAuthToken(input.AuthToken, encrypted);
  if (input.AuthToken !== undefined && input.ApplyImmediately !== true) {
    throw invalidCombination('ApplyImmediately must be true when AuthToken is specified.');
  }
  const change: Partial<GroupState> = { transitEncryption: encrypted };
  if (encrypted) {
    change.transitEncryptionMode = input.TransitEncryptionMode ?? group.transitEncryptionMode ?? 'required';
  }
  if (input.AuthToken !== undefined) {
    change.authToken = input.AuthToken;
    change.authTokenAt = new Date().toISOString();
  }
  return change;
}

async function applyParameters(cloud: Cloud, group: GroupState): Promise<void> {
  for (const [directive, value] of Object.entries(directivesOf(cloud.store.state, group))) {
    if (directive === 'databases' || directive === 'activerehashing') continue; // Only in nodes started later.
    for (const { id } of group.nodes) {
      await cloud.nodes.restricted(id, 'config', 'SET', directive, value === '""' ? '' : value);
    }
  }
}

async function applyMemory(cloud: Cloud, group: GroupState): Promise<void> {
  for (const { id } of group.nodes) {
    await cloud.nodes.restricted(id, 'config', 'SET', 'maxmemory', String(memoryOf(group.nodeType)));
  }
}

async function applyAuthToken(cloud: Cloud, group: GroupState): Promise<void> {
  for (const { id } of group.nodes) {
    await cloud.nodes.call(id, 'acl', 'SETUSER', 'default', 'resetpass', `>${group.authToken ?? ''}`);
  }
}
