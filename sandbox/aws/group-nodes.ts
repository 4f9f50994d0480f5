import { freePort, LOOPBACK, assertPortFree } from '../runtime/ports.ts';
import { memoryOf } from './catalogue.ts';
import { nodeDir } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { formCluster } from './group-cluster.ts';
import type { Upstream } from './node-config.ts';
import { directivesOf } from './parameters.ts';
import { spreadSeeds } from './seed-spreading.ts';
import { seedsToSpread } from './seeds.ts';
import { primaryOf } from './state.ts';
import type { GroupState, NodeState } from './state.ts';

const REPLICAS_SYNC_MS = 60_000;

/** Where a node replicates from: its primary; or the customer's node for the primary of a group under migration. */
function upstreamOf(group: GroupState, node: NodeState): Upstream | undefined {
  if (group.clusterEnabled) return undefined; // The nodes keep it in their nodes.conf.
  if (node.role === 'replica') return { host: LOOPBACK, port: primaryOf(group, node.shard).port, own: true };
  const { migration } = group;
  if (migration === undefined || migration.phase === 'attaching' || migration.phase === 'promoted') return undefined;
  return { host: migration.host, port: migration.port, own: false };
}

/**
 * Starts one node as the state has it.
 * @param options.empty with an empty dataset. @param options.seed with this RDB.
 */
export async function startNode(
  cloud: Cloud,
  group: GroupState,
  node: NodeState,
  options: { empty?: boolean; seed?: string | undefined } = {},
): Promise<void> {
  try {
    await assertPortFree(node.port, `node ${node.id}`);
  } catch {
    // Another program took it while the sandbox was down.
    node.port = await freePort();
    cloud.store.save();
  }
  const upstream = upstreamOf(group, node);
  await cloud.nodes.start({
    id: node.id,
    dir: nodeDir(cloud, group, node),
    port: node.port,
    engine: group.engine,
    authToken: group.authToken,
    maxMemoryBytes: memoryOf(group.nodeType),
    directives: directivesOf(cloud.store.state, group),
    ...(node.busPort === undefined ? {} : { cluster: { busPort: node.busPort } }),
    ...(upstream === undefined ? {} : { upstream }),
    ...options,
  });
}

/** Starts all nodes of a new group, from the RDB of each shard where there is one, and makes them one group. */
export async function startNewNodes(
  cloud: Cloud,
  group: GroupState,
  seeds: Readonly<Record<string, string>>,
): Promise<void> {
  const primaries = group.nodes.filter((node) => node.role === 'primary');
  await Promise.all(primaries.map((node) => startNode(cloud, group, node, { empty: true, seed: seeds[node.shard] })));
  const replicas = group.nodes.filter((node) => node.role === 'replica');
  await Promise.all(replicas.map((node) => startNode(cloud, group, node, { empty: true })));
  if (group.clusterEnabled) await formCluster(cloud, group);
  await spreadSeeds(cloud, group, seedsToSpread(seeds));
  await replicasInSync(cloud, group);
}

/** Starts all nodes of a group that the emulator knew before it was restarted, with the data they had. */
export async function startKnownNodes(cloud: Cloud, group: GroupState): Promise<void> {
  const inOrder = [...group.nodes].sort((a, b) => Number(b.role === 'primary') - Number(a.role === 'primary'));
  for (const node of inOrder) {
    if (node.status !== 'restore-failed') await startNode(cloud, group, node);
  }
}

/** Waits until every replica follows its primary. @throws Error when one does not within a minute. */
export async function replicasInSync(cloud: Cloud, group: GroupState): Promise<void> {
  for (const node of group.nodes.filter((entry) => entry.role === 'replica')) {
    const up = await cloud.background.until(REPLICAS_SYNC_MS, async () =>
      (await cloud.nodes.info(node.id, 'replication'))['master_link_status'] === 'up' ? true : undefined,
    );
    if (up === undefined) throw new Error(`node ${node.id} did not catch up with its primary within a minute`);
  }
}

/** Ends all nodes of a group, replicas first. */
export async function stopNodes(cloud: Cloud, group: GroupState): Promise<void> {
  for (const role of ['replica', 'primary']) {
    await Promise.all(group.nodes.filter((node) => node.role === role).map((node) => cloud.nodes.kill(node.id, true)));
  }
}
