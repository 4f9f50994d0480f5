/** What CreateReplicationGroup has to be called with to restore: the file, and where it says nothing, the snapshot. Pure. */
import type { CreateReplicationGroupCommandInput, NodeGroupConfiguration } from '@aws-sdk/client-elasticache';
import type { ElastiCacheRestore } from '../../spec/kind-elasticache-restore.ts';
import { evenSlots } from '../../spec/slots.ts';
import { askedVersion, familyOf } from './engine-versions.ts';
import type { RestoreSource } from './restore-source.ts';
import type { SnapshotFacts } from './snapshot-facts.ts';

export interface RestoreShape {
  clusterEnabled: boolean;
  /** With cluster mode enabled, each with its slots: AWS wants them for RDB files, and takes them for snapshots. */
  shards: { slots?: string; replicas: number; zones?: string[] }[];
  nodeType: string;
  engine: string;
  /** Absent where neither the file nor the source tells one: AWS takes its newest. */
  engineVersion?: string;
  /** Absent: AWS takes its default for the engine. */
  parameterGroup?: string;
}

export function restoreShape(migration: ElastiCacheRestore, source: RestoreSource): RestoreShape {
  const { to } = migration;
  const snapshot = 'snapshot' in source ? source.snapshot : undefined;
  const clusterEnabled =
    to.clusterMode === undefined
      ? (snapshot?.clusterEnabled ?? false) || to.shards !== undefined
      : to.clusterMode === 'enabled';
  const engine = to.engine ?? snapshot?.engine ?? 'redis';
  const version = to.engineVersion ?? (engine === snapshot?.engine ? snapshot.engineVersion : undefined);
  const parameterGroup = to.parameterGroup ?? parameterGroupFor(snapshot, { engine, version, clusterEnabled });
  return {
    clusterEnabled,
    shards: shardsFor(migration, snapshot, clusterEnabled),
    nodeType: to.nodeType ?? snapshot?.nodeType ?? '',
    engine,
    ...(version === undefined ? {} : { engineVersion: askedVersion(version) }),
    ...(parameterGroup === undefined ? {} : { parameterGroup }),
  };
}

/** The snapshot's own, while it still fits; else AWS's default, which has to be named where cluster mode is on. */
function parameterGroupFor(
  snapshot: SnapshotFacts | undefined,
  to: { engine: string; version: string | undefined; clusterEnabled: boolean },
): string | undefined {
  const { engine, version, clusterEnabled } = to;
  const family = version === undefined ? undefined : familyOf(engine, version);
  const sameFamily =
    snapshot?.engine === engine &&
    snapshot.engineVersion !== undefined &&
    familyOf(engine, snapshot.engineVersion) === family;
  if (sameFamily && snapshot.clusterEnabled === clusterEnabled) return snapshot.parameterGroup;
  if (family === undefined) return undefined;
  return `default.${family}${clusterEnabled ? '.cluster.on' : ''}`;
}

function shardsFor(
  { to }: ElastiCacheRestore,
  snapshot: SnapshotFacts | undefined,
  clusterEnabled: boolean,
): RestoreShape['shards'] {
  const usual = to.replicasPerShard ?? snapshot?.shards[0]?.replicas ?? (snapshot?.automaticFailover ? 1 : 0);
  if (!clusterEnabled) return [{ replicas: usual }];
  if (Array.isArray(to.shards)) {
    return to.shards.map(({ slots, replicas, availabilityZones: zones }) => ({
      slots,
      replicas: replicas ?? usual,
      ...(zones ? { zones } : {}),
    }));
  }
  const own = snapshot?.clusterEnabled ? snapshot.shards : [];
  const count = to.shards ?? Math.max(1, own.length);
  if (count === own.length && own.every(({ slots }) => slots !== undefined)) {
    // The source's own slots, which need not be even: so each shard's data stays together.
    return own.map(({ slots, replicas }) => ({ slots: slots!, replicas: to.replicasPerShard ?? replicas ?? usual }));
  }
  return evenSlots(count).map((slots) => ({ slots, replicas: usual }));
}

/** Without auth token and tags, which its caller adds: the token must be in no history. */
export function createInput(
  migration: ElastiCacheRestore,
  source: RestoreSource,
  target: string,
): CreateReplicationGroupCommandInput {
  const { to } = migration;
  const shape = restoreShape(migration, source);
  const snapshot = 'snapshot' in source ? source.snapshot : undefined;
  const fewest = Math.min(...shape.shards.map(({ replicas }) => replicas));
  const failover = shape.clusterEnabled || fewest > 0;
  const atRest = to.atRestEncryption ?? (to.kmsKeyId ?? snapshot?.kmsKeyId) !== undefined;
  const kmsKeyId = to.kmsKeyId ?? (atRest ? snapshot?.kmsKeyId : undefined);
  const subnetGroup = to.subnetGroup ?? snapshot?.subnetGroup;
  const port = to.port ?? snapshot?.port;
  return {
    ReplicationGroupId: target,
    ReplicationGroupDescription: to.description ?? `restored by cutover from ${sourceText(source)}`.slice(0, 120),
    ...('snapshot' in source ? { SnapshotName: source.snapshot.name } : { SnapshotArns: source.s3 }),
    CacheNodeType: shape.nodeType,
    Engine: shape.engine,
    ...(shape.engineVersion === undefined ? {} : { EngineVersion: shape.engineVersion }),
    ...(shape.parameterGroup === undefined ? {} : { CacheParameterGroupName: shape.parameterGroup }),
    ...(subnetGroup === undefined ? {} : { CacheSubnetGroupName: subnetGroup }),
    ...(to.securityGroups === undefined ? {} : { SecurityGroupIds: to.securityGroups }),
    ...(port === undefined ? {} : { Port: port }),
    ...(shape.clusterEnabled
      ? { NumNodeGroups: shape.shards.length, NodeGroupConfiguration: shape.shards.map(nodeGroup) }
      : { NumCacheClusters: 1 + (shape.shards[0]?.replicas ?? 0) }),
    AutomaticFailoverEnabled: failover,
    ...(to.multiAz === undefined ? {} : { MultiAZEnabled: to.multiAz }),
    TransitEncryptionEnabled: to.tls ?? false,
    AtRestEncryptionEnabled: atRest,
    ...(kmsKeyId === undefined ? {} : { KmsKeyId: kmsKeyId }),
    ...(to.userGroups === undefined ? {} : { UserGroupIds: to.userGroups }),
    ...(snapshot?.dataTiering ? { DataTieringEnabled: true } : {}),
  };
}

function nodeGroup({ slots, replicas, zones }: RestoreShape['shards'][number]): NodeGroupConfiguration {
  return {
    ...(slots === undefined ? {} : { Slots: slots }),
    ReplicaCount: replicas,
    ...(zones?.[0] === undefined ? {} : { PrimaryAvailabilityZone: zones[0] }),
    ...(zones && zones.length > 1 ? { ReplicaAvailabilityZones: zones.slice(1) } : {}),
  };
}

export function sourceText(source: RestoreSource): string {
  return 'snapshot' in source ? source.snapshot.name : source.s3.join(', ');
}
