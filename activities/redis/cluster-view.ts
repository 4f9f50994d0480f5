/**
 * A cluster as one of its nodes sees it at this moment, also where it is not well: what lifting a fence needs. Copying and
 * fencing ask copy/topology.ts, which refuses a cluster that is not well.
 */
import type { Redis } from 'ioredis';
import { ask } from './compare/replies.ts';
import { ALL_SLOTS } from './copy/slots.ts';
import { addressOfSlotNode, primariesOfSlots, signatureOf, type Primary, type SlotsReply } from './copy/topology.ts';
import type { Address } from './copy/types.ts';
import { parseInfo } from './replication.ts';

/** A replica, or a node without slots. It may have been a primary, and fenced. */
export interface OtherNode {
  id: string;
  at: Address;
  /** The cluster has found that it is down. */
  failed: boolean;
}

export interface ClusterView {
  cluster: boolean;
  primaries: Primary[];
  others: OtherNode[];
  /** As `topologyOf` makes it. */
  signature: string;
}

/** @throws what the server answers */
export async function clusterView(redis: Redis, asked: Address): Promise<ClusterView> {
  const { cluster_enabled } = parseInfo(await redis.info('cluster'));
  if (cluster_enabled !== '1') {
    const id = `${asked.host}:${asked.port}`;
    return { cluster: false, primaries: [{ id, at: asked, slots: ALL_SLOTS }], others: [], signature: id };
  }
  const [slots, lines] = await Promise.all([
    ask<SlotsReply>(redis, 'CLUSTER', 'SLOTS'),
    ask<Buffer>(redis, 'CLUSTER', 'NODES'),
  ]);
  const primaries = primariesOfSlots(slots, asked);
  const replicas = new Map(
    slots.flatMap(([, , , ...rest]) =>
      rest.map((node) => [node[2].toString(), addressOfSlotNode(node, asked)] as const),
    ),
  );
  const others: OtherNode[] = [];
  for (const line of lines.toString().split('\n')) {
    const [id, address = '', flags = ''] = line.split(' ');
    if (!id || primaries.some((one) => one.id === id) || /handshake|noaddr/.test(flags)) continue;
    const at = replicas.get(id) ?? parseAddress(address, asked.host);
    others.push({ id, at, failed: flags.split(',').includes('fail') });
  }
  return { cluster: true, primaries, others, signature: signatureOf(primaries) };
}

/** `ip:port@busport,hostname`; an IPv6 address has colons of its own. */
function parseAddress(text: string, asked: string): Address {
  const [address = ''] = text.split('@');
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon) || asked, port: Number(address.slice(colon + 1)) };
}
