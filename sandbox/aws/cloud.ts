import { join } from 'node:path';
import type { Background } from './background.ts';
import type { CustomerBuckets } from './customer-buckets.ts';
import type { DmsCloud } from './dms/engines.ts';
import { clusterNotFound, groupNotFound } from './faults.ts';
import type { NodePool } from './nodes.ts';
import type { Script } from './script.ts';
import type { GroupState, NodeState } from './state.ts';
import type { Store } from './store.ts';
import type { Timing } from './timing.ts';

/** One emulated account in one Region: what every action works with. */
export interface Cloud {
  readonly region: string;
  readonly account: string;
  readonly dir: string;
  readonly store: Store;
  readonly nodes: NodePool;
  readonly background: Background;
  readonly timing: Timing;
  readonly script: Script;
  readonly buckets: CustomerBuckets;
  readonly dms: DmsCloud;
}

/** @throws AwsFault ReplicationGroupNotFoundFault. */
export function findGroup(cloud: Cloud, id: string | undefined): GroupState {
  const key = (id ?? '').toLowerCase();
  const group = cloud.store.state.groups[key];
  if (group === undefined) throw groupNotFound(key);
  return group;
}

/** The group as it is now, or undefined once it is deleted: background work must not revive it. */
export function stillThere(cloud: Cloud, group: GroupState): boolean {
  return cloud.store.state.groups[group.id] === group;
}

/** @throws AwsFault CacheClusterNotFound. */
export function findNode(cloud: Cloud, id: string | undefined): { group: GroupState; node: NodeState } {
  const key = (id ?? '').toLowerCase();
  for (const group of Object.values(cloud.store.state.groups)) {
    const node = group.nodes.find((entry) => entry.id === key);
    if (node !== undefined) return { group, node };
  }
  throw clusterNotFound(key);
}

export function arn(cloud: Cloud, kind: string, name: string): string {
  return `arn:aws:elasticache:${cloud.region}:${cloud.account}:${kind}:${name}`;
}

export function nodeDir(cloud: Cloud, group: GroupState, node: NodeState): string {
  return join(cloud.dir, group.folder, node.id);
}

/** Sets a group's status, and that of its nodes that are in order. Nodes know no `migrating` (facts 3.1): there they stay available. */
export function setStatus(cloud: Cloud, group: GroupState, status: string): void {
  group.status = status;
  for (const node of group.nodes) {
    if (node.status !== 'restore-failed' && node.id !== group.replacing) {
      node.status = status === 'migrating' ? 'available' : status;
    }
  }
  cloud.store.save();
}
