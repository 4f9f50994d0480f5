/** Which servers hold the keys of one side: one, or the primaries of a cluster. */
import type { Redis } from 'ioredis';
import { ask } from '../compare/replies.ts';
import { parseInfo } from '../replication.ts';
import { ALL_SLOTS, SLOTS, rangesText } from './slots.ts';
import type { SlotRange } from './slots.ts';
import { CopyError } from './types.ts';
import type { Address } from './types.ts';

export interface Primary {
  /** The node's id in its cluster, or host:port. */
  id: string;
  at: Address;
  slots: readonly SlotRange[];
}

export interface Topology {
  cluster: boolean;
  primaries: Primary[];
  /** Two equal ones mean that no slot has changed hands. */
  signature: string;
}

/**
 * Reads it from any node.
 * @throws CopyError OBSTACLE where slots are not served, are being moved, or the cluster is down: a scan would miss keys
 */
export async function topologyOf(redis: Redis, at: Address, side: 'source' | 'target'): Promise<Topology> {
  const info = parseInfo(await redis.info('cluster'));
  if (info['cluster_enabled'] !== '1') {
    const id = `${at.host}:${at.port}`;
    return { cluster: false, primaries: [{ id, at, slots: ALL_SLOTS }], signature: id };
  }
  const [reply, nodes, state] = await Promise.all([
    ask<SlotsReply>(redis, 'CLUSTER', 'SLOTS'),
    ask<Buffer>(redis, 'CLUSTER', 'NODES'),
    ask<Buffer>(redis, 'CLUSTER', 'INFO'),
  ]);
  const primaries = primariesOfSlots(reply, at);
  const served = primaries.flatMap(({ slots }) => slots).reduce((sum, [from, to]) => sum + to - from + 1, 0);
  const obstacle = (what: string, remedy: string) =>
    new CopyError('OBSTACLE', `copy: the cluster of the ${side} ${what}`, { retryable: true, remedy });
  if (served < SLOTS) {
    throw obstacle(
      `serves ${served} of ${SLOTS} slots: the keys of the others can't be read`,
      'redis-cli --cluster check',
    );
  }
  if (parseInfo(state.toString())['cluster_state'] !== 'ok') {
    throw obstacle('says cluster_state:fail', 'redis-cli --cluster check, and mend it before the copy');
  }
  // Only the asked node tells of its own open slots; each primary is asked when it is opened.
  refuseOpenSlots(nodes.toString(), side);
  return { cluster: true, primaries, signature: signatureOf(primaries) };
}

type SlotNode = [host: Buffer | null, port: number, id: Buffer];
/** CLUSTER SLOTS: a range, its primary, its replicas. */
export type SlotsReply = [from: number, to: number, primary: SlotNode, ...replicas: SlotNode[]][];

/** A node that does not know its own address leaves it out: it is the one that was asked. */
export const addressOfSlotNode = ([host, port]: SlotNode, asked: Address): Address => ({
  host: host?.toString() || asked.host,
  port,
});

export function primariesOfSlots(reply: SlotsReply, asked: Address): Primary[] {
  const byId = new Map<string, Primary & { slots: SlotRange[] }>();
  for (const [from, to, node] of reply.toSorted((a, b) => a[0] - b[0])) {
    const id = node[2].toString();
    const known = byId.get(id) ?? { id, at: addressOfSlotNode(node, asked), slots: [] };
    known.slots.push([from, to]);
    byId.set(id, known);
  }
  return [...byId.values()];
}

export const signatureOf = (primaries: readonly Primary[]): string =>
  primaries
    .map(({ id, slots }) => `${id} ${rangesText(slots)}`)
    .sort()
    .join('; ');

/** `[93-<-id]` and `[93->-id]` in a node's own line of CLUSTER NODES: a slot on its way to or from another node. */
export function refuseOpenSlots(nodes: string, side: 'source' | 'target'): void {
  const own = nodes.split('\n').find((line) => line.includes('myself'));
  const open = own?.match(/\[(\d+)-[<>]-/);
  if (!open) return;
  throw new CopyError('OBSTACLE', `copy: the cluster of the ${side} is being resharded: slot ${open[1]} is moving`, {
    retryable: true,
    remedy: 'let the resharding end, or redis-cli --cluster fix',
  });
}
