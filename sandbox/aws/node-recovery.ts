import { LOOPBACK } from '../runtime/ports.ts';
import { stillThere } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { emit } from './events.ts';
import { startNode } from './group-nodes.ts';
import { failMigration } from './migration-work.ts';
import type { GroupState, NodeState } from './state.ts';

/** A source that our nodes cannot load kills each of them in turn; after so many the service gives up. */
const MOST_DEATHS = 3;
const RETRY_MS = 1_000;

/** A node's process ended by itself or was killed: it is replaced, and a replica takes over from a primary. */
export function onNodeDeath(cloud: Cloud, nodeId: string): void {
  const group = Object.values(cloud.store.state.groups).find((entry) => entry.nodes.some((node) => node.id === nodeId));
  const node = group?.nodes.find((entry) => entry.id === nodeId);
  if (group === undefined || node === undefined || cloud.background.stopped) return;
  if (['creating', 'deleting', 'create-failed'].includes(group.status)) return;
  group.replacing = nodeId;
  node.status = 'modifying';
  cloud.store.save();
  emit(cloud, 'cache-cluster', nodeId, 'Recovering cache nodes 0001');
  cloud.background.run(`replace ${nodeId}`, group.id, () => replace(cloud, group, node));
}

async function replace(cloud: Cloud, group: GroupState, node: NodeState): Promise<void> {
  if (!stillThere(cloud, group) || cloud.nodes.runs(node.id)) return;
  const wasAvailable = group.status === 'available';
  if (wasAvailable) group.status = 'modifying';
  cloud.store.save();
  if (node.role === 'primary') {
    const { migration } = group;
    if (migration !== undefined) migration.deaths += 1;
    try {
      await failOver(cloud, group, node);
    } catch (error) {
      // The heir died as well: the old primary comes back.
      if (cloud.background.stopped) throw error;
    }
    if (migration !== undefined && migration.deaths >= MOST_DEATHS && migration.phase === 'migrating') {
      await failMigration(cloud, group, 'the nodes could not load the data of the customer node');
    }
  }
  await cloud.background.sleep(cloud.timing.recovering);
  await bringBack(cloud, group, node);
  if (group.replacing === node.id) delete group.replacing;
  node.status = 'available';
  if (wasAvailable) group.status = 'available';
  cloud.store.save();
  emit(cloud, 'cache-cluster', node.id, 'Finished recovery for cache nodes 0001');
}

/** Memory is lost with a node: the new one starts empty, and a replica fills from its primary. */
async function bringBack(cloud: Cloud, group: GroupState, node: NodeState): Promise<void> {
  for (;;) {
    try {
      // In cluster mode the node must keep its identity, which is in its folder.
      await startNode(cloud, group, node, { empty: !group.clusterEnabled });
      return;
    } catch {
      await cloud.background.sleep(RETRY_MS);
      if (!stillThere(cloud, group)) return;
    }
  }
}

/** The replica that is furthest takes over, and with it the primary's endpoint. Without one, the primary comes back empty. */
async function failOver(cloud: Cloud, group: GroupState, old: NodeState): Promise<void> {
  if (group.clusterEnabled || group.automaticFailover !== 'enabled') return;
  const heir = await furthest(cloud, group, old);
  if (heir === undefined) return;
  const { migration } = group;
  if (migration !== undefined && migration.phase !== 'promoted') {
    await cloud.nodes.follow(heir.id, migration.host, migration.port, false);
  } else {
    await cloud.nodes.promote(heir.id);
  }
  old.role = 'replica';
  heir.role = 'primary';
  // On AWS the primary endpoint is a name that moves to the new primary. Here the new primary moves to its port.
  if (await cloud.nodes.movePort(heir.id, old.port)) [heir.port, old.port] = [old.port, heir.port];
  cloud.store.save();
  for (const other of group.nodes) {
    if (other !== heir && other !== old && cloud.nodes.runs(other.id)) {
      await cloud.nodes.follow(other.id, LOOPBACK, heir.port, true);
    }
  }
  emit(cloud, 'replication-group', group.id, `Failover to replica node ${heir.id} completed`);
}

async function furthest(cloud: Cloud, group: GroupState, old: NodeState): Promise<NodeState | undefined> {
  let best: { node: NodeState; offset: bigint } | undefined;
  for (const node of group.nodes) {
    if (node === old || !cloud.nodes.runs(node.id)) continue;
    try {
      const offset = BigInt((await cloud.nodes.info(node.id, 'replication'))['slave_repl_offset'] ?? '0');
      if (best === undefined || offset > best.offset) best = { node, offset };
    } catch {
      // It died as well.
    }
  }
  return best?.node;
}
