import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { memoryOf } from './catalogue.ts';
import { setStatus, stillThere } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { emit } from './events.ts';
import { replicasInSync, startNewNodes, stopNodes } from './group-nodes.ts';
import { findParameterGroup, parameterValue } from './parameters.ts';
import { dropSnapshot } from './snapshot-taking.ts';
import type { GroupState } from './state.ts';

/** Background work of CreateReplicationGroup: `creating` to `available`, `create-failed`, or nodes in `restore-failed`. */
export async function bringUp(cloud: Cloud, group: GroupState, seeds: Readonly<Record<string, string>>): Promise<void> {
  const seeded = Object.keys(seeds).length > 0;
  try {
    await cloud.background.sleep(cloud.timing.creating);
    if (group.unreadable !== undefined) throw new Error(group.unreadable);
    await startNewNodes(cloud, group, seeds);
    if (seeded && (await tooLarge(cloud, group))) throw new Error('the data does not fit the node type');
  } catch (error) {
    if (cloud.background.stopped) throw error;
    await stopNodes(cloud, group);
    await failed(cloud, group, seeded, error);
    return;
  }
  for (const node of group.nodes) emit(cloud, 'cache-cluster', node.id, 'Cache cluster created');
  emit(cloud, 'replication-group', group.id, `Replication group ${group.id} created`);
  setStatus(cloud, group, 'available');
}

async function failed(cloud: Cloud, group: GroupState, seeded: boolean, error: unknown): Promise<void> {
  const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
  if (!seeded) {
    setStatus(cloud, group, 'create-failed');
    emit(cloud, 'replication-group', group.id, `Failed to create replication group ${group.id}: ${why}`);
    return;
  }
  // As on AWS it is the cache cluster that says so; its group stays `creating` for ever (facts 3.1).
  for (const node of group.nodes) {
    node.status = 'restore-failed';
    emit(cloud, 'cache-cluster', node.id, `Failed to restore the cache cluster ${node.id} from its snapshot: ${why}`);
  }
  cloud.store.save();
}

async function tooLarge(cloud: Cloud, group: GroupState): Promise<boolean> {
  const reserved = Number(
    parameterValue(findParameterGroup(cloud.store.state, group.parameterGroup), 'reserved-memory-percent') ?? 25,
  );
  const room = memoryOf(group.nodeType) * (1 - reserved / 100);
  for (const node of group.nodes.filter((entry) => entry.role === 'primary')) {
    if (Number((await cloud.nodes.info(node.id, 'memory'))['used_memory']) > room) return true;
  }
  return false;
}

/** Background work of DeleteReplicationGroup, after the final snapshot if there was one. */
export async function tearDown(cloud: Cloud, group: GroupState): Promise<void> {
  await cloud.background.sleep(cloud.timing.deleting);
  if (!stillThere(cloud, group)) return;
  await stopNodes(cloud, group);
  rmSync(join(cloud.dir, group.folder), { recursive: true, force: true });
  delete cloud.store.state.groups[group.id];
  // Automatic snapshots die with their group.
  for (const { name, groupId, source } of Object.values(cloud.store.state.snapshots)) {
    if (groupId === group.id && source === 'automated') dropSnapshot(cloud, name);
  }
  cloud.store.save();
  for (const node of group.nodes) emit(cloud, 'cache-cluster', node.id, 'Cache cluster deleted');
  emit(cloud, 'replication-group', group.id, `Replication group ${group.id} deleted`);
}

/** Ends a time of `modifying`: the nodes are in order again, and the group available. */
export async function settle(cloud: Cloud, group: GroupState): Promise<void> {
  await cloud.background.sleep(cloud.timing.modifying);
  if (!stillThere(cloud, group)) return;
  try {
    if (!group.clusterEnabled) await replicasInSync(cloud, group);
  } catch (error) {
    // A node died meanwhile; its replacement waits for us to end.
    if (cloud.background.stopped) throw error;
  }
  if (group.automaticFailover === 'enabling') group.automaticFailover = 'enabled';
  if (group.automaticFailover === 'disabling') group.automaticFailover = 'disabled';
  setStatus(cloud, group, 'available');
}
