import type { DescribeAccountAttributesResponse } from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { quotaExceeded } from './faults.ts';

/** DMS-2023/CHAP_Limits (facts/postgres-dms 4.3). Storage is in GiB over all instances. */
const QUOTAS = {
  ReplicationInstances: 60,
  AllocatedStorage: 30_000,
  Endpoints: 1000,
  ReplicationSubnetGroups: 60,
  SubnetsPerReplicationSubnetGroup: 60,
  ReplicationTasks: 600,
  TasksPerReplicationInstance: 200,
  EndpointsPerReplicationInstance: 100,
} as const;

/** @throws AwsFault ResourceQuotaExceededFault when there are as many as allowed already. */
export function checkQuota(name: keyof typeof QUOTAS, used: number): void {
  if (used >= QUOTAS[name]) {
    throw quotaExceeded(`The quota ${name} is reached: ${used} of ${QUOTAS[name]} are in use.`);
  }
}

export function describeAccountAttributes(cloud: Cloud): DescribeAccountAttributesResponse {
  const { dms } = cloud.store.visible();
  const instances = Object.values(dms.instances);
  const count = (what: object): number => Object.keys(what).length;
  const used: Record<keyof typeof QUOTAS, number> = {
    ReplicationInstances: instances.length,
    AllocatedStorage: instances.reduce((sum, instance) => sum + instance.allocatedStorage, 0),
    Endpoints: count(dms.endpoints),
    ReplicationSubnetGroups: count(dms.subnetGroups),
    SubnetsPerReplicationSubnetGroup: Math.max(
      0,
      ...Object.values(dms.subnetGroups).map((group) => group.subnetIds.length),
    ),
    ReplicationTasks: count(dms.tasks),
    TasksPerReplicationInstance: most(Object.values(dms.tasks).map((task) => task.instanceArn)),
    EndpointsPerReplicationInstance: most(Object.values(dms.connections).map((connection) => connection.instanceArn)),
  };
  return {
    AccountQuotas: Object.entries(QUOTAS).map(([name, max]) => ({
      AccountQuotaName: name,
      Used: used[name as keyof typeof QUOTAS],
      Max: max,
    })),
    UniqueAccountIdentifier: `${cloud.region}-${cloud.account}`,
  };
}

/** How often the most frequent one is there. */
function most(keys: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return Math.max(0, ...counts.values());
}
