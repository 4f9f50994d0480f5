import type { ReplicationInstance } from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import type { InstanceState } from './state.ts';
import { viewOf } from './subnet-groups.ts';

export function instanceView(cloud: Cloud, instance: InstanceState): ReplicationInstance {
  const { pending } = instance;
  // The address is there once the machine is.
  const addresses = instance.status === 'creating' ? [] : ['127.0.0.1'];
  return {
    ReplicationInstanceIdentifier: instance.id,
    ReplicationInstanceClass: instance.instanceClass,
    ReplicationInstanceStatus: instance.status,
    AllocatedStorage: instance.allocatedStorage,
    InstanceCreateTime: new Date(instance.createdAt),
    VpcSecurityGroups: instance.securityGroupIds.map((id) => ({ VpcSecurityGroupId: id, Status: 'active' })),
    AvailabilityZone: instance.availabilityZone,
    ...(instance.multiAz ? { SecondaryAvailabilityZone: `${cloud.region}b` } : {}),
    ReplicationSubnetGroup: viewOf(cloud, instance.subnetGroup),
    PreferredMaintenanceWindow: instance.maintenanceWindow,
    PendingModifiedValues: {
      ReplicationInstanceClass: pending.instanceClass,
      AllocatedStorage: pending.allocatedStorage,
      MultiAZ: pending.multiAz,
      EngineVersion: pending.engineVersion,
    },
    MultiAZ: instance.multiAz,
    EngineVersion: instance.engineVersion,
    AutoMinorVersionUpgrade: instance.autoMinorVersionUpgrade,
    KmsKeyId: instance.kmsKeyId,
    ReplicationInstanceArn: instance.arn,
    ReplicationInstancePrivateIpAddress: addresses[0],
    ReplicationInstancePrivateIpAddresses: addresses,
    ...(instance.publiclyAccessible
      ? { ReplicationInstancePublicIpAddress: addresses[0], ReplicationInstancePublicIpAddresses: addresses }
      : {}),
    PubliclyAccessible: instance.publiclyAccessible,
    NetworkType: instance.networkType,
  };
}
