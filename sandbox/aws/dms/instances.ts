import type {
  CreateReplicationInstanceMessage,
  CreateReplicationInstanceResponse,
  DeleteReplicationInstanceMessage,
  DeleteReplicationInstanceResponse,
  DescribeReplicationInstancesMessage,
  DescribeReplicationInstancesResponse,
  ModifyReplicationInstanceMessage,
  ModifyReplicationInstanceResponse,
} from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { checkQuota } from './account.ts';
import { arnPrefix, resourceId } from './arns.ts';
import { DEFAULT_ENGINE_VERSION, STORAGE, checkClass, checkEngineVersion } from './catalogue.ts';
import { emitDms } from './events.ts';
import { alreadyExists, invalidCombination, invalidState, invalidValue } from './faults.ts';
import { dmsPage, filtered } from './filters.ts';
import { findInstance } from './find.ts';
import { bringUpInstance, removeInstance, settleInstance } from './instance-lifecycle.ts';
import { instanceView } from './instance-view.ts';
import type { InstanceChange, InstanceState } from './state.ts';
import { findSubnetGroup } from './subnet-groups.ts';
import { dmsTags } from './tag-rules.ts';
import { checkIdentifier, inRange, oneOf, required } from './validation.ts';

export function createInstance(
  cloud: Cloud,
  input: CreateReplicationInstanceMessage,
): CreateReplicationInstanceResponse {
  const { instances } = cloud.store.state.dms;
  const id = checkIdentifier('ReplicationInstanceIdentifier', input.ReplicationInstanceIdentifier, 63);
  const arn = arnPrefix(cloud, 'rep') + resourceId(input.ResourceIdentifier);
  const subnetGroup =
    input.ReplicationSubnetGroupIdentifier === undefined
      ? undefined
      : findSubnetGroup(cloud, input.ReplicationSubnetGroupIdentifier).id;
  if (input.MultiAZ === true && input.AvailabilityZone !== undefined) {
    throw invalidCombination('AvailabilityZone cannot be specified when MultiAZ is true.');
  }
  const instance: InstanceState = {
    id,
    arn,
    status: 'creating',
    instanceClass: checkClass(required('ReplicationInstanceClass', input.ReplicationInstanceClass)),
    allocatedStorage: checkStorage(input.AllocatedStorage ?? STORAGE.standard),
    multiAz: input.MultiAZ ?? false,
    engineVersion: checkEngineVersion(input.EngineVersion ?? DEFAULT_ENGINE_VERSION),
    ...(subnetGroup === undefined ? {} : { subnetGroup }),
    securityGroupIds: checkSecurityGroups(input.VpcSecurityGroupIds ?? ['sg-default']),
    availabilityZone: checkZone(cloud, input.AvailabilityZone ?? `${cloud.region}a`),
    maintenanceWindow: input.PreferredMaintenanceWindow ?? 'sun:06:00-sun:06:30',
    autoMinorVersionUpgrade: input.AutoMinorVersionUpgrade ?? true,
    publiclyAccessible: input.PubliclyAccessible ?? true,
    kmsKeyId: input.KmsKeyId ?? `arn:aws:kms:${cloud.region}:${cloud.account}:key/aws-dms`,
    networkType: oneOf('NetworkType', input.NetworkType ?? 'IPV4', ['IPV4', 'DUAL']),
    pending: {},
    tags: dmsTags(input.Tags),
    createdAt: new Date().toISOString(),
  };
  if (instances[arn] !== undefined || Object.values(instances).some((other) => other.id === id)) {
    throw alreadyExists(`Replication Instance already exists: ${id}`);
  }
  checkQuota('ReplicationInstances', Object.keys(instances).length);
  instances[arn] = instance;
  cloud.store.save();
  emitDms(cloud, 'replication-instance', id, 'creation', 'Replication instance is being created.');
  bringUpInstance(cloud, instance);
  return { ReplicationInstance: instanceView(cloud, instance) };
}

export function describeInstances(
  cloud: Cloud,
  input: DescribeReplicationInstancesMessage,
): DescribeReplicationInstancesResponse {
  const found = filtered(
    Object.values(cloud.store.visible().dms.instances),
    input.Filters,
    {
      'replication-instance-arn': (instance) => [instance.arn],
      'replication-instance-id': (instance) => [instance.id],
      'replication-instance-class': (instance) => [instance.instanceClass],
      'engine-version': (instance) => [instance.engineVersion],
    },
    'replication instances',
  );
  const { items, ...marker } = dmsPage(found, (instance) => instance.arn, input);
  return { ReplicationInstances: items.map((instance) => instanceView(cloud, instance)), ...marker };
}

/** Changes wait for the maintenance window without ApplyImmediately; the sandbox has none, so they stay pending. */
export function modifyInstance(
  cloud: Cloud,
  input: ModifyReplicationInstanceMessage,
): ModifyReplicationInstanceResponse {
  const instance = findInstance(cloud, input.ReplicationInstanceArn ?? '');
  const change = changeOf(input, instance);
  const newId =
    input.ReplicationInstanceIdentifier === undefined
      ? instance.id
      : checkIdentifier('ReplicationInstanceIdentifier', input.ReplicationInstanceIdentifier, 63);
  const others = Object.values(cloud.store.state.dms.instances).filter((other) => other !== instance);
  if (others.some((other) => other.id === newId)) throw alreadyExists(`Replication Instance already exists: ${newId}`);
  const groups = input.VpcSecurityGroupIds === undefined ? undefined : checkSecurityGroups(input.VpcSecurityGroupIds);
  if (instance.status !== 'available') {
    throw invalidState(`Replication instance ${instance.id} is not in available state: ${instance.status}.`);
  }
  instance.id = newId;
  instance.securityGroupIds = groups ?? instance.securityGroupIds;
  instance.maintenanceWindow = input.PreferredMaintenanceWindow ?? instance.maintenanceWindow;
  instance.autoMinorVersionUpgrade = input.AutoMinorVersionUpgrade ?? instance.autoMinorVersionUpgrade;
  instance.pending = { ...instance.pending, ...change };
  if (input.ApplyImmediately === true && Object.keys(instance.pending).length > 0) {
    instance.status = 'modifying';
    settleInstance(cloud, instance);
  }
  cloud.store.save();
  emitDms(
    cloud,
    'replication-instance',
    instance.id,
    'configuration change',
    'Replication instance is being modified.',
  );
  return { ReplicationInstance: instanceView(cloud, instance) };
}

function changeOf(input: ModifyReplicationInstanceMessage, instance: InstanceState): InstanceChange {
  const change: InstanceChange = {};
  if (input.ReplicationInstanceClass !== undefined) change.instanceClass = checkClass(input.ReplicationInstanceClass);
  if (input.AllocatedStorage !== undefined) change.allocatedStorage = checkStorage(input.AllocatedStorage);
  if (change.allocatedStorage !== undefined && change.allocatedStorage < instance.allocatedStorage) {
    throw invalidValue(
      `Invalid storage size ${change.allocatedStorage}: it cannot be less than the ${instance.allocatedStorage} GiB there are.`,
    );
  }
  if (input.MultiAZ !== undefined) change.multiAz = input.MultiAZ;
  if (input.EngineVersion !== undefined) change.engineVersion = checkEngineVersion(input.EngineVersion);
  return change;
}

export function deleteInstance(
  cloud: Cloud,
  input: DeleteReplicationInstanceMessage,
): DeleteReplicationInstanceResponse {
  const instance = findInstance(cloud, input.ReplicationInstanceArn ?? '');
  const tasks = Object.values(cloud.store.state.dms.tasks).filter((task) => task.instanceArn === instance.arn);
  if (tasks.length > 0) {
    throw invalidState(`Replication Instance "${instance.arn}" has one or more replication tasks.`);
  }
  if (instance.status !== 'available') {
    throw invalidState(`Replication instance ${instance.id} cannot be deleted while it is ${instance.status}.`);
  }
  instance.status = 'deleting';
  cloud.store.save();
  emitDms(cloud, 'replication-instance', instance.id, 'deletion', 'Replication instance is being deleted.');
  removeInstance(cloud, instance);
  return { ReplicationInstance: instanceView(cloud, instance) };
}

function checkStorage(size: number): number {
  return inRange('AllocatedStorage', size, STORAGE.min, STORAGE.max);
}

function checkSecurityGroups(ids: readonly string[]): string[] {
  for (const id of ids) {
    if (!/^sg-[a-zA-Z0-9-]+$/.test(id)) throw invalidValue(`Invalid security group id '${id}'.`);
  }
  return [...ids];
}

function checkZone(cloud: Cloud, zone: string): string {
  if (zone.startsWith(cloud.region) && /^[a-f]$/.test(zone.slice(cloud.region.length))) return zone;
  throw invalidValue(`Invalid availability zone '${zone}' in ${cloud.region}.`);
}
