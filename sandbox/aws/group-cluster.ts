import { LOOPBACK } from '../runtime/ports.ts';
import type { Cloud } from './cloud.ts';
import { primaryOf } from './state.ts';
import type { GroupState } from './state.ts';

const SLOTS = 16_384;
const CONVERGE_MS = 60_000;

/** Even shares of the slots, as AWS cuts them: `0-8191`, `8192-16383`. */
export function evenSlots(shards: number): string[] {
  const share = SLOTS / shards;
  return Array.from({ length: shards }, (_, i) => `${Math.round(i * share)}-${Math.round((i + 1) * share) - 1}`);
}

/** The slots of a list of ranges: `0-100,200` is how AWS writes it. */
function slotsIn(ranges: string): Set<number> {
  const slots = new Set<number>();
  for (const [, low, high = low] of ranges.matchAll(/(\d+)(?:-(\d+))?/g)) {
    for (let slot = Number(low); slot <= Number(high); slot++) slots.add(slot);
  }
  return slots;
}

/** Makes running nodes one Redis Cluster: slots, meeting, replicas. */
export async function formCluster(cloud: Cloud, group: GroupState): Promise<void> {
  const first = group.nodes[0];
  if (first === undefined) throw new Error(`sandbox: group ${group.id} has no nodes`);
  for (const shard of group.shards) {
    const { id } = primaryOf(group, shard.id);
    // A node that starts from an RDB has taken the slots of its keys by itself, and refuses to be given them again.
    const own = slotsIn(
      String(await cloud.nodes.call(id, 'cluster', 'NODES'))
        .split(' ')
        .slice(8)
        .join(','),
    );
    const missing = [...slotsIn(shard.slots ?? '')].filter((slot) => !own.has(slot));
    if (missing.length > 0) await cloud.nodes.call(id, 'cluster', 'ADDSLOTS', ...missing.map(String));
  }
  for (const node of group.nodes.slice(1)) {
    await cloud.nodes.call(node.id, 'cluster', 'MEET', LOOPBACK, String(first.port), String(first.busPort));
  }
  await everyNode(cloud, group, async (id) => {
    const info = await clusterInfo(cloud, id);
    return info.includes(`cluster_known_nodes:${group.nodes.length}`);
  });
  for (const node of group.nodes.filter((entry) => entry.role === 'replica')) {
    const primary = await cloud.nodes.call(primaryOf(group, node.shard).id, 'cluster', 'MYID');
    // Gossip may not have told this node yet that the other is a primary.
    const done = await cloud.background.until(CONVERGE_MS, async () => {
      try {
        return await cloud.nodes.call(node.id, 'cluster', 'REPLICATE', String(primary));
      } catch {
        return undefined;
      }
    });
    if (done === undefined) throw new Error(`node ${node.id} could not become a replica in its cluster`);
  }
  await everyNode(cloud, group, async (id) => (await clusterInfo(cloud, id)).includes('cluster_state:ok'));
}

async function clusterInfo(cloud: Cloud, id: string): Promise<string> {
  return String(await cloud.nodes.call(id, 'cluster', 'INFO'));
}

async function everyNode(cloud: Cloud, group: GroupState, holds: (id: string) => Promise<boolean>): Promise<void> {
  for (const { id } of group.nodes) {
    const found = await cloud.background.until(CONVERGE_MS, async () => ((await holds(id)) ? true : undefined));
    if (found === undefined) throw new Error(`the nodes of ${group.id} did not become one cluster within a minute`);
  }
}
