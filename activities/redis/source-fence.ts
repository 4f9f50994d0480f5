/**
 * The fence of a source, be it a single server or a cluster. On a single server it is that of fence.ts; on a cluster each
 * primary has it, and one record tells of all (cluster-fence.ts, cluster-lift.ts).
 */
import type { RedisEndpoint } from '../../spec/values.ts';
import type { OtherNode } from './cluster-view.ts';
import { raiseOnCluster } from './cluster-fence.ts';
import { liftOnCluster } from './cluster-lift.ts';
import { liftFence, proveWritable, raiseFence, type LiftedFence, type LiftOptions } from './fence.ts';
import { cutoverOfFence, FENCE_KEY, fenceValue, readFenceSettings } from './fence-record.ts';
import { keyOn, nameOf, nodeFailure, withPrimaries, type Primaries, type PrimaryNode } from './primaries.ts';
import { parseInfo } from './replication.ts';
import { endEarlierFencers, readRole, replicaOf } from './role.ts';

export interface RaisedSourceFence {
  /** Since when no write is acknowledged by all of it; from the first primary on where there are several. Epoch ms. */
  raisedAt: number;
  /** The primaries that were fenced, and their processes: another process has no fence. */
  nodes: { id: string; runId: string }[];
  signature: string;
  /** What lifting can't put back, for the operator. */
  note?: string;
}

/**
 * Raises the fence on every primary, or takes it over from an earlier attempt with a generation of its own. Where one
 * can't be fenced, those that were are lifted again at once.
 * @param primaries of `withPrimaries` without `patchy`
 * @throws cutover.NotOurs where another migration's fence is up; cutover.Invalid where writes are still accepted;
 *   cutover.Busy, cutover.Unreachable with the node's name
 */
export async function raiseSourceFence(
  primaries: Primaries,
  migration: string,
  generation: number,
): Promise<RaisedSourceFence> {
  const { cluster, signature, nodes } = primaries;
  if (cluster) return raiseOnCluster(primaries, migration, generation);
  const { id, redis } = single(nodes);
  const { raisedAt, runId } = await raiseFence(redis, migration, generation);
  return { raisedAt, nodes: [{ id, runId }], signature };
}

/**
 * Whether every primary of now is one of those that were fenced, still the same process, and under this generation's
 * fence; `why` says what is not so. Asked right before the step that can't be undone.
 * @throws cutover.Unreachable, cutover.Busy where it can't be known: a node is away, a failover or a resharding is under way
 */
export async function sourceFenceHolds(
  endpoint: RedisEndpoint,
  name: string,
  fence: RaisedSourceFence,
  generation: number,
): Promise<{ holds: boolean; why?: string }> {
  return withPrimaries(endpoint, 'source', name, async ({ nodes, others, signature, open }) => {
    const found = await Promise.all([
      ...nodes.map((node) => faultOf(node, fence, generation)),
      ...others.map((other) => promotedIn(other, open)),
    ]);
    const why = found.filter((fault) => fault !== undefined);
    if (signature !== fence.signature) why.push('slots of the source have changed hands since it was fenced');
    return why.length === 0 ? { holds: true } : { holds: false, why: why.join('; ') };
  });
}

/** What is not asked in time is no primary as far as its cluster knows; it must not hold the cutover up. */
const REPLICA_TIMEOUT_MS = 1_000;

/** For some milliseconds after a failover only the new primary itself knows of it: all others still name the fenced one. */
async function promotedIn({ at, failed }: OtherNode, open: Primaries['open']): Promise<string | undefined> {
  if (failed) return undefined;
  const role = await open(at, REPLICA_TIMEOUT_MS)
    .then(readRole)
    .catch(() => undefined);
  return role?.role === 'master' ? notFenced(nameOf({ at })) : undefined;
}

const notFenced = (where: string) => `${where} is a primary by now and was not fenced`;

async function faultOf(node: PrimaryNode, fence: RaisedSourceFence, generation: number): Promise<string | undefined> {
  const where = nameOf(node);
  const fenced = fence.nodes.find(({ id }) => id === node.id);
  if (!fenced) return notFenced(where);
  try {
    const [server, settings, primary] = await Promise.all([
      node.redis.info('server'),
      readFenceSettings(node.redis),
      replicaOf(node.redis),
    ]);
    if ((parseInfo(server)['run_id'] ?? '') !== fenced.runId)
      return `${where} was restarted or replaced since it was fenced, and takes writes again`;
    if (primary) return `${where} is a replica of ${primary} by now, which was not fenced`;
    const { toWrite, toWriteName, maxLag, maxLagName } = settings;
    if (toWrite !== fenceValue(generation))
      return `the fence of ${where} is not this attempt’s: ${toWriteName} is ${toWrite}`;
    return maxLag === 0 ? `${maxLagName} of ${where} is 0, which switches the fence off` : undefined;
  } catch (error) {
    throw nodeFailure(error, node);
  }
}

/** Whether every primary of now is under a fence of this pass through the critical section. @throws as sourceFenceHolds */
export async function sourceFenceOfCutover(
  endpoint: RedisEndpoint,
  name: string,
  cutover: number,
): Promise<{ up: boolean; why?: string }> {
  return withPrimaries(endpoint, 'source', name, async ({ nodes }) => {
    const faults = await Promise.all(
      nodes.map(async (node) => {
        const { toWrite, toWriteName } = await readFenceSettings(node.redis).catch((error: unknown) => {
          throw nodeFailure(error, node);
        });
        return cutoverOfFence(toWrite) === cutover
          ? []
          : [`${nameOf(node)} is under no fence of this cutover: ${toWriteName} is ${toWrite}`];
      }),
    );
    const why = faults.flat();
    return why.length === 0 ? { up: true } : { up: false, why: why.join('; ') };
  });
}

/**
 * Puts the old settings back on every primary of now, proves that each takes writes, and removes the record last. Runs as
 * often as it likes. Where a node can't be reached, the others are lifted first.
 * @param primaries of `withPrimaries` with `patchy`
 * @throws cutover.NotOurs; cutover.Unreachable, cutover.Busy, cutover.Invalid with the names of the nodes that are not lifted
 */
export async function liftSourceFences(primaries: Primaries, options: LiftOptions = {}): Promise<LiftedFence> {
  return primaries.cluster ? liftOnCluster(primaries, options) : liftFence(single(primaries.nodes).redis, options);
}

/** @throws cutover.Invalid with the server's reason where one of them does not take writes; cutover.Unreachable */
export async function proveSourceWritableEverywhere(primaries: Primaries): Promise<void> {
  const { cluster, nodes, unreached } = primaries;
  if (!cluster) return proveWritable(single(nodes).redis);
  if (unreached[0]) throw unreached[0].why;
  await Promise.all(
    nodes.map((node) =>
      proveWritable(node.redis, { key: keyOn(`${FENCE_KEY}:probe`, primaries, node), where: nameOf(node) }),
    ),
  );
}

/**
 * Ends what earlier attempts of this migration may have in flight on any primary (see `endEarlierFencers`).
 * @returns the same primaries; one that could not be told so counts as not reached
 * @throws cutover.Unreachable where it is a single server
 */
export async function endEarlierFencersEverywhere(primaries: Primaries, migration: string): Promise<Primaries> {
  if (!primaries.cluster) {
    await endEarlierFencers(single(primaries.nodes).redis, migration);
    return primaries;
  }
  const nodes: PrimaryNode[] = [];
  const unreached = [...primaries.unreached];
  await Promise.all(
    primaries.nodes.map((node) =>
      endEarlierFencers(node.redis, migration).then(
        () => nodes.push(node),
        (error: unknown) => unreached.push({ ...node, why: nodeFailure(error, node) }),
      ),
    ),
  );
  return { ...primaries, nodes, unreached };
}

function single(nodes: PrimaryNode[]): PrimaryNode {
  const [node] = nodes;
  if (!node) throw new Error('the source has no primary');
  return node;
}
