/** The one record of a fence on a cluster: on the node that has its slot, with what each primary had. */
import { ErrorType } from '../../spec/errors.ts';
import { transient } from '../errors.ts';
import { hasKey } from './copy/slots.ts';
import { fencedByAnother } from './fence.ts';
import {
  FENCE_KEY,
  isFenceValue,
  readFenceRecord,
  type FencedNode,
  type FenceRecord,
  type FenceSettings,
} from './fence-record.ts';
import { nameOf, nodeFailure, type Primaries, type PrimaryNode } from './primaries.ts';

/** A primary as it was before it was fenced, or as an earlier attempt left it. */
export interface NodeBefore {
  node: PrimaryNode;
  settings: FenceSettings;
  runId: string;
}

export const holdsRecord = (node: Pick<PrimaryNode, 'slots'>) => hasKey(node, FENCE_KEY);

/** What a node had. A record without nodes was written for the one that holds it. */
export function fencedNodeOf(record: FenceRecord, node: Pick<PrimaryNode, 'id' | 'slots'>): FencedNode | undefined {
  if (record.nodes) return record.nodes[node.id];
  return holdsRecord(node) ? record : undefined;
}

/**
 * Writes the record, before any node is fenced, or takes over that of an earlier attempt: its values stay, for what is set
 * now may be the fence itself. Primaries that are not in it yet are added while its node can be written.
 * @param all read before the record is: a node that an earlier attempt fences in between is in the record then
 * @returns since when an earlier attempt's fence is up, and what could not be recorded
 * @throws cutover.NotOurs; cutover.Busy
 */
export async function recordOnCluster(
  all: NodeBefore[],
  migration: string,
): Promise<{ since?: string; unrecorded: string[] }> {
  const holder = all.find(({ node }) => holdsRecord(node));
  if (!holder) throw transient(ErrorType.busy, `no primary of the source has the slot of the key ${FENCE_KEY}`);
  try {
    return await recordOn(holder, all, migration);
  } catch (error) {
    throw nodeFailure(error, holder.node);
  }
}

async function recordOn(holder: NodeBefore, all: NodeBefore[], migration: string) {
  const { redis } = holder.node;
  const found = await readFenceRecord(redis);
  if (found && found.migration !== migration) throw fencedByAnother(found);
  const missing = all.filter(({ node }) => !found || !fencedNodeOf(found, node));
  // Those that are fenced and not in the record: what they had is lost.
  const known = missing.filter(({ settings }) => !isFenceValue(settings.toWrite));
  const unrecorded = missing.filter(({ settings }) => isFenceValue(settings.toWrite)).map(({ node }) => nameOf(node));
  const isUp = all.some(({ settings }) => isFenceValue(settings.toWrite));
  const since = found && isUp ? { since: found.at } : {};
  if (known.length === 0) return { ...since, unrecorded };
  // To open the fence for a moment, to write, could let a write through after the switch. Lifting falls back to 0.
  if (isFenceValue(holder.settings.toWrite)) {
    const withValues = known.map(
      ({ node, settings }) => `${nameOf(node)} (${settings.toWriteName} ${settings.toWrite})`,
    );
    return { ...since, unrecorded: [...unrecorded, ...withValues] };
  }
  const added = Object.fromEntries(known.map(({ node, ...before }) => [node.id, toRecord(before)]));
  if (!found) {
    const at = new Date().toISOString();
    const record: FenceRecord = { migration, ...toRecord(holder), at, nodes: added };
    const written = await redis.set(FENCE_KEY, JSON.stringify(record), 'NX');
    if (written !== 'OK') throw transient(ErrorType.busy, `somebody else wrote ${FENCE_KEY} at this moment`);
    return { unrecorded };
  }
  const { minReplicasToWrite, minReplicasMaxLag, runId } = found;
  const before = found.nodes ?? { [holder.node.id]: { minReplicasToWrite, minReplicasMaxLag, runId } };
  await redis.set(FENCE_KEY, JSON.stringify({ ...found, nodes: { ...before, ...added } }), 'XX');
  return { ...since, unrecorded };
}

const toRecord = ({ settings, runId }: Pick<NodeBefore, 'settings' | 'runId'>): FencedNode => ({
  minReplicasToWrite: settings.toWrite,
  minReplicasMaxLag: settings.maxLag,
  runId,
});

/**
 * The record; where its node can't be reached, as a replica of that has it: nobody can tell without it whose fence this is.
 * @throws cutover.Unreachable, cutover.Busy with the node's name
 */
export async function readClusterRecord(primaries: Primaries): Promise<FenceRecord | undefined> {
  const holder = primaries.nodes.find(holdsRecord);
  if (holder) {
    return readFenceRecord(holder.redis).catch((error: unknown) => {
      throw nodeFailure(error, holder);
    });
  }
  const away = primaries.unreached.find(holdsRecord);
  if (!away) throw transient(ErrorType.busy, `no primary of the source has the slot of the key ${FENCE_KEY}`);
  // Whose replica each is, the node that was asked may have wrong after a failover; the others answer MOVED.
  for (const replica of primaries.others) {
    try {
      const redis = await primaries.open(replica.at);
      await redis.readonly();
      // A replica that has none may just not have it yet.
      const record = await readFenceRecord(redis);
      if (record) return record;
    } catch {
      // The next one; the failure that counts is that of the primary.
    }
  }
  throw away.why;
}
