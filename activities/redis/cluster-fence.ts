/** The fence on every primary of a cluster: recorded first, then raised, then each proven to refuse. */
import { recordOnCluster, type NodeBefore } from './cluster-record.ts';
import { liftOnCluster } from './cluster-lift.ts';
import { proveRefusing, setFence } from './fence.ts';
import { FENCE_KEY, readFenceSettings } from './fence-record.ts';
import { keyOn, nameOf, nodeFailure, type Primaries, type PrimaryNode } from './primaries.ts';
import { parseInfo } from './replication.ts';
import type { RaisedSourceFence } from './source-fence.ts';

/** As `raiseSourceFence`, of which this is the part for clusters. */
export async function raiseOnCluster(
  primaries: Primaries,
  migration: string,
  generation: number,
): Promise<RaisedSourceFence> {
  const { nodes, unreached, signature } = primaries;
  // A primary without the fence goes on taking writes: better none has it.
  if (unreached[0]) throw unreached[0].why;
  const all = await Promise.all(nodes.map(before));
  const { since, unrecorded } = await recordOnCluster(all, migration);
  // The first of them refuses from about now on.
  const raisedAt = since === undefined ? Date.now() : Date.parse(since);
  const raised = await Promise.allSettled(all.map((one) => raiseOn(one, primaries, generation)));
  const failed = raised.find((one) => one.status === 'rejected');
  if (failed) {
    await liftOnCluster(primaries, { migration, generation }).catch(() => {
      // The workflow lifts it, with retries, and says why where it can't.
    });
    throw failed.reason;
  }
  return {
    raisedAt,
    nodes: all.map(({ node: { id }, runId }) => ({ id, runId })),
    signature,
    ...(unrecorded.length > 0 ? { note: `not in the fence's record: ${unrecorded.join(', ')}` } : {}),
  };
}

async function before(node: PrimaryNode): Promise<NodeBefore> {
  try {
    // The process first: one that replaces it afterwards has another connection.
    const runId = parseInfo(await node.redis.info('server'))['run_id'] ?? '';
    return { node, runId, settings: await readFenceSettings(node.redis) };
  } catch (error) {
    throw nodeFailure(error, node);
  }
}

async function raiseOn({ node, settings }: NodeBefore, primaries: Primaries, generation: number): Promise<void> {
  try {
    await setFence(node.redis, settings, generation);
    await proveRefusing(node.redis, { key: keyOn(`${FENCE_KEY}:probe`, primaries, node), where: nameOf(node) });
  } catch (error) {
    throw nodeFailure(error, node);
  }
}
