import type { CreateReplicationGroupMessage } from '@aws-sdk/client-elasticache';
import { chooseEngine } from './catalogue.ts';
import type { EngineVersion } from './catalogue.ts';
import type { Cloud } from './cloud.ts';
import { AwsFault, invalidCombination, invalidValue } from './faults.ts';
import { evenSlots } from './group-cluster.ts';
import { defaultGroupName, findParameterGroup, parameterValue } from './parameters.ts';

/** AWS allows 500 nodes; each is a process here. */
const MOST_NODES = 30;

export interface Shape {
  clusterEnabled: boolean;
  engine: EngineVersion;
  parameterGroup: string;
  shards: { slots?: string; replicas: number }[];
}

/** Engine, parameter group, shards and replicas, as AWS derives them from what a call says and leaves out. */
export function shapeOf(cloud: Cloud, input: CreateReplicationGroupMessage): Shape {
  const engine = chooseEngine(input.Engine, input.EngineVersion);
  const wantsCluster = input.ClusterMode === 'enabled' || (input.NumNodeGroups ?? 1) > 1;
  const parameterGroup = (input.CacheParameterGroupName ?? defaultGroupName(engine.family, wantsCluster)).toLowerCase();
  const parameters = findParameterGroup(cloud.store.state, parameterGroup);
  if (parameters.family !== engine.family) {
    throw invalidCombination(
      `Expected a parameter group of family ${engine.family} but found one of family ${parameters.family}`,
    );
  }
  const clusterEnabled = parameterValue(parameters, 'cluster-enabled') === 'yes';
  if (wantsCluster && !clusterEnabled) {
    throw invalidCombination(
      `Cluster mode needs a parameter group with cluster-enabled set to yes; ${parameterGroup} has it set to no.`,
    );
  }
  const shards = clusterEnabled ? clusterShards(input) : [{ replicas: plainReplicas(input) }];
  const nodes = shards.reduce((sum, shard) => sum + 1 + shard.replicas, 0);
  if (nodes > MOST_NODES) {
    throw new AwsFault(
      'InsufficientCacheClusterCapacity',
      `The sandbox runs each node as a process and takes at most ${MOST_NODES} per group, not ${nodes}.`,
    );
  }
  return { clusterEnabled, engine, parameterGroup, shards };
}

function plainReplicas(input: CreateReplicationGroupMessage): number {
  if (input.NumCacheClusters !== undefined && (input.NumNodeGroups ?? input.ReplicasPerNodeGroup) !== undefined) {
    throw invalidCombination('NumCacheClusters cannot be used together with NumNodeGroups or ReplicasPerNodeGroup.');
  }
  if (input.NodeGroupConfiguration !== undefined && input.NodeGroupConfiguration.length > 1) {
    throw invalidCombination('Only one node group can be configured with cluster mode disabled.');
  }
  const replicas = input.ReplicasPerNodeGroup ?? input.NodeGroupConfiguration?.[0]?.ReplicaCount;
  const nodes = input.NumCacheClusters ?? (replicas === undefined ? 1 : replicas + 1);
  if (nodes < 1 || nodes > 6) throw invalidValue(`NumCacheClusters must be between 1 and 6, not ${nodes}.`);
  const zones = input.PreferredCacheClusterAZs;
  if (zones !== undefined && zones.length !== nodes) {
    throw invalidCombination(
      `PreferredCacheClusterAZs must name one Availability Zone per node: ${nodes} nodes, ${zones.length} zones.`,
    );
  }
  return nodes - 1;
}

function clusterShards(input: CreateReplicationGroupMessage): { slots?: string; replicas: number }[] {
  if (input.NumCacheClusters !== undefined) {
    throw invalidCombination(
      'NumCacheClusters cannot be used with cluster mode enabled; use NumNodeGroups and ReplicasPerNodeGroup.',
    );
  }
  const configured = input.NodeGroupConfiguration;
  const count = input.NumNodeGroups ?? configured?.length ?? 1;
  if (count < 1 || count > 500) throw invalidValue(`NumNodeGroups must be between 1 and 500, not ${count}.`);
  if (configured !== undefined && configured.length !== count) {
    throw invalidCombination(`NodeGroupConfiguration has ${configured.length} entries, but NumNodeGroups is ${count}.`);
  }
  const slots = configured?.map((shard) => shard.Slots);
  if (slots?.some((entry) => entry !== undefined) === true && slots.includes(undefined)) {
    throw invalidCombination('Slots must be provided for all node groups or for none.');
  }
  if (input.SnapshotArns !== undefined && slots?.every((entry) => entry !== undefined) !== true && count > 1) {
    throw invalidCombination('Slots must be provided when restoring from snapshot ARNs with cluster mode enabled.');
  }
  const even = evenSlots(count);
  const shards = Array.from({ length: count }, (_, i) => ({
    slots: slots?.[i] ?? even[i] ?? '',
    replicas: configured?.[i]?.ReplicaCount ?? input.ReplicasPerNodeGroup ?? 1,
  }));
  for (const { replicas } of shards) {
    if (replicas < 0 || replicas > 5)
      throw invalidValue(`ReplicasPerNodeGroup must be between 0 and 5, not ${replicas}.`);
  }
  checkSlots(shards.map((shard) => shard.slots));
  return shards;
}

/** All 16,384 slots, each once. */
function checkSlots(shards: string[]): void {
  const owned = new Set<number>();
  for (const range of shards.flatMap((slots) => slots.split(','))) {
    const found = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range.trim());
    const low = Number(found?.[1] ?? -1);
    const high = Number(found?.[2] ?? low);
    if (found === null || low > high || high > 16_383) throw invalidValue(`Invalid slots '${range}'.`);
    for (let slot = low; slot <= high; slot++) {
      if (owned.has(slot)) throw invalidValue(`Slot ${slot} is given to more than one node group.`);
      owned.add(slot);
    }
  }
  if (owned.size !== 16_384) throw invalidValue(`Node groups must own all 16384 slots, not ${owned.size}.`);
}
