import { copyFileSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { nodeDir, setStatus, stillThere } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { emit } from './events.ts';
import { AwsFault } from './faults.ts';
import { checkName } from './names.ts';
import { primaryOf } from './state.ts';
import type { GroupState, NodeSnapshotState, NodeState, SnapshotState } from './state.ts';

/** Manual snapshots of one node within 24 hours (facts 3.3). */
const QUOTA = 20;
const DAY = 24 * 3_600_000;
const SAVE_MS = 120_000;

/** Puts a new snapshot on the books, `creating`. @throws AwsFault for its name or the quota. */
export function newSnapshot(
  cloud: Cloud,
  wanted: {
    name: string;
    group: GroupState;
    clusterId?: string;
    quota: boolean;
    /** Made by AWS's own daily schedule: its name is AWS's own, too. */
    automatic?: boolean;
    kmsKeyId?: string | undefined;
    tags: Record<string, string>;
  },
): SnapshotState {
  const { group, clusterId } = wanted;
  const { snapshots } = cloud.store.state;
  const name = wanted.automatic === true ? wanted.name : checkName('SnapshotName', wanted.name);
  if (snapshots[name] !== undefined)
    throw new AwsFault('SnapshotAlreadyExistsFault', `Snapshot ${name} already exists.`);
  const recent = Object.values(snapshots).filter(
    (other) =>
      other.groupId === group.id && other.source === 'manual' && Date.parse(other.createdAt) > Date.now() - DAY,
  );
  if (wanted.quota && recent.length >= QUOTA) {
    throw new AwsFault(
      'SnapshotQuotaExceededFault',
      `The request cannot be processed because it would exceed the maximum number of ${QUOTA} manual snapshots per node in 24 hours.`,
    );
  }
  const snapshot: SnapshotState = {
    name,
    status: 'creating',
    source: wanted.automatic === true ? 'automated' : 'manual',
    groupId: group.id,
    groupDescription: group.description,
    ...(clusterId === undefined ? {} : { clusterId }),
    engine: group.engine,
    engineVersion: group.engineVersion,
    nodeType: group.nodeType,
    parameterGroup: group.parameterGroup,
    subnetGroup: group.subnetGroup,
    port: primaryOf(group).port,
    automaticFailover: group.automaticFailover === 'enabled' ? 'enabled' : 'disabled',
    autoMinorVersionUpgrade: group.autoMinorVersionUpgrade,
    maintenanceWindow: group.maintenanceWindow,
    snapshotRetentionLimit: group.snapshotRetentionLimit,
    snapshotWindow: group.snapshotWindow,
    clusterCreatedAt: group.createdAt,
    nodes: [],
    ...(wanted.kmsKeyId === undefined ? {} : { kmsKeyId: wanted.kmsKeyId }),
    tags: wanted.tags,
    createdAt: new Date().toISOString(),
  };
  snapshots[name] = snapshot;
  cloud.store.save();
  return snapshot;
}

/**
 * Background work of CreateSnapshot and of a final snapshot: a real BGSAVE on each node, its RDB kept.
 * @returns false when it failed: then the snapshot is gone, and only an event tells (facts 3.3).
 */
export async function takeSnapshot(
  cloud: Cloud,
  group: GroupState,
  snapshot: SnapshotState,
  nodes: readonly NodeState[],
): Promise<boolean> {
  const kind = snapshot.clusterId === undefined ? 'replication group' : 'cache cluster';
  const subject = `snapshot with ID '${snapshot.name}' of ${kind} with ID '${snapshot.clusterId ?? group.id}'`;
  const tell = (message: string): void => {
    emit(cloud, 'replication-group', group.id, message);
    for (const node of nodes) emit(cloud, 'cache-cluster', node.id, message);
  };
  try {
    await cloud.background.sleep(cloud.timing.snapshotting);
    if (cloud.script.takeSnapshotFailure()) throw new Error('there was not enough memory for the snapshot');
    const taken: NodeSnapshotState[] = [];
    for (const node of nodes) taken.push(await saveNode(cloud, group, snapshot, node));
    snapshot.nodes = taken;
    snapshot.status = 'available';
  } catch (error) {
    if (cloud.background.stopped) throw error;
    dropSnapshot(cloud, snapshot.name);
    if (stillThere(cloud, group)) setStatus(cloud, group, 'available');
    tell(
      `ElastiCache:SnapshotFailed. Snapshot failed for ${subject}: ${error instanceof Error ? error.message : String(error)}`,
    );
    return false;
  }
  if (group.status === 'snapshotting') setStatus(cloud, group, 'available');
  cloud.store.save();
  tell(`Snapshot succeeded for ${subject}`);
  return true;
}

async function saveNode(
  cloud: Cloud,
  group: GroupState,
  snapshot: SnapshotState,
  node: NodeState,
): Promise<NodeSnapshotState> {
  // A node that feeds a new replica has a child process already and refuses for now.
  const started = await cloud.background.until(SAVE_MS, async () => {
    try {
      return await cloud.nodes.restricted(node.id, 'bgsave');
    } catch (error) {
      if (error instanceof Error && /in progress|child|another/i.test(error.message)) return undefined;
      throw error;
    }
  });
  if (started === undefined) throw new Error(`node ${node.id} did not start to save`);
  const result = await cloud.background.until(SAVE_MS, async () => {
    const info = await cloud.nodes.info(node.id, 'persistence');
    return info['rdb_bgsave_in_progress'] === '0' ? (info['rdb_last_bgsave_status'] ?? '') : undefined;
  });
  if (result !== 'ok') throw new Error(`node ${node.id} could not save its data (${result ?? 'it took too long'})`);
  const file = join('snapshots', snapshot.name, `${node.shard}.rdb`);
  const path = join(cloud.dir, file);
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(join(nodeDir(cloud, group, node), 'dump.rdb'), path);
  const slots = group.shards.find((shard) => shard.id === node.shard)?.slots;
  return {
    shard: node.shard,
    clusterId: node.id,
    ...(slots === undefined ? {} : { slots }),
    replicas: group.nodes.filter((other) => other.shard === node.shard && other.role === 'replica').length,
    zone: node.zone,
    file,
    bytes: statSync(path).size,
    takenAt: new Date().toISOString(),
  };
}

export function dropSnapshot(cloud: Cloud, name: string): void {
  delete cloud.store.state.snapshots[name];
  rmSync(join(cloud.dir, 'snapshots', name), { recursive: true, force: true });
  cloud.store.save();
}
