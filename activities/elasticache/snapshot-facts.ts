/** What a snapshot is, as far as AWS tells it: shards, slots, size, whether it is complete. Pure. */
import type { Snapshot } from '@aws-sdk/client-elasticache';

export interface SnapshotShard {
  /** `0001`; with cluster mode disabled there is one, and it has none. */
  nodeGroup?: string;
  cacheClusterId?: string;
  /** Only with cluster mode enabled. */
  slots?: string;
  replicas?: number;
  primaryZone?: string;
  replicaZones?: string[];
  bytes?: number;
}

export interface SnapshotFacts {
  name: string;
  arn: string;
  /** AWS's own word. */
  status: string;
  complete: boolean;
  /** Why it is not complete. */
  problem?: string;
  automatic: boolean;
  /** Of the data: the oldest of its parts, ISO. */
  createdAt?: string;
  replicationGroup?: string;
  clusterEnabled: boolean;
  shards: SnapshotShard[];
  sizeBytes?: number;
  nodeType?: string;
  engine?: string;
  engineVersion?: string;
  parameterGroup?: string;
  subnetGroup?: string;
  port?: number;
  kmsKeyId?: string;
  automaticFailover: boolean;
  dataTiering: boolean;
}

/** @param snapshot from DescribeSnapshots with ShowNodeGroupConfig: without it nobody tells the slots */
export function snapshotFacts(snapshot: Snapshot): SnapshotFacts {
  const parts = snapshot.NodeSnapshots ?? [];
  const expected = Math.max(1, snapshot.NumNodeGroups ?? 1);
  const status = snapshot.SnapshotStatus ?? '';
  const times = parts.flatMap(({ SnapshotCreateTime: at }) => (at ? [at.getTime()] : []));
  const shards = parts.map((part): SnapshotShard => {
    const config = part.NodeGroupConfiguration;
    return {
      ...given('nodeGroup', part.NodeGroupId ?? config?.NodeGroupId),
      ...given('cacheClusterId', part.CacheClusterId),
      ...given('slots', config?.Slots),
      ...given('replicas', config?.ReplicaCount),
      ...given('primaryZone', config?.PrimaryAvailabilityZone),
      ...given('replicaZones', config?.ReplicaAvailabilityZones),
      ...given('bytes', cacheSize(part.CacheSize)),
    };
  });
  const sizes = shards.flatMap(({ bytes }) => (bytes === undefined ? [] : [bytes]));
  // `copying` and `restoring` are of snapshots that are whole.
  const whole = ['available', 'copying', 'restoring'].includes(status);
  const problem =
    status === 'creating'
      ? 'it is still being taken'
      : !whole
        ? `it is ${status || 'in no state that AWS tells'}`
        : parts.length < expected
          ? `it holds ${parts.length} of ${expected} shards`
          : undefined;
  return {
    name: snapshot.SnapshotName ?? '',
    arn: snapshot.ARN ?? '',
    status,
    complete: problem === undefined,
    ...given('problem', problem),
    automatic: snapshot.SnapshotSource === 'automated',
    ...(times.length > 0 ? { createdAt: new Date(Math.min(...times)).toISOString() } : {}),
    ...given('replicationGroup', groupOf(snapshot)),
    clusterEnabled:
      shards.some(({ slots }) => slots !== undefined) ||
      expected > 1 ||
      (snapshot.CacheParameterGroupName ?? '').endsWith('.cluster.on'),
    shards,
    ...(sizes.length > 0 ? { sizeBytes: sizes.reduce((sum, bytes) => sum + bytes, 0) } : {}),
    ...given('nodeType', snapshot.CacheNodeType),
    ...given('engine', snapshot.Engine),
    ...given('engineVersion', snapshot.EngineVersion),
    ...given('parameterGroup', snapshot.CacheParameterGroupName),
    ...given('subnetGroup', snapshot.CacheSubnetGroupName),
    ...given('port', snapshot.Port),
    ...given('kmsKeyId', snapshot.KmsKeyId),
    automaticFailover: snapshot.AutomaticFailover === 'enabled',
    dataTiering: snapshot.DataTiering === 'enabled',
  };
}

/**
 * Where AWS names only the node, as it does with cluster mode disabled, it is in the node's name: `orders-001`. A shard's
 * number is not looked for: `sessions-2024-001` is of `sessions-2024`, and with cluster mode enabled AWS names the group.
 */
function groupOf(snapshot: Snapshot): string | undefined {
  return snapshot.ReplicationGroupId ?? snapshot.CacheClusterId?.replace(/-\d{3}$/, '');
}

const UNITS: Readonly<Record<string, number>> = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 };

/** `12 MB`, as AWS writes it, in bytes; undefined for any other form. */
function cacheSize(text: string | undefined): number | undefined {
  const found = /^([\d.]+)\s*([KMGT]?B)$/i.exec(text?.trim() ?? '');
  const unit = UNITS[found?.[2]?.toUpperCase() ?? ''];
  return found?.[1] === undefined || unit === undefined ? undefined : Math.round(Number(found[1]) * unit);
}

function given<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  const made: { [P in K]?: V } = {};
  if (value !== undefined) made[key] = value;
  return made;
}
