/** The servers that take one side's writes: the one that is named, or each primary of its cluster. */
import type { Redis } from 'ioredis';
import { ErrorType } from '../../spec/errors.ts';
import type { RedisEndpoint } from '../../spec/values.ts';
import { transient } from '../errors.ts';
import { clusterView, type OtherNode } from './cluster-view.ts';
import { connectRedis, redisFailure } from './connect.ts';
import { tagOf } from './copy/slots.ts';
import { topologyOf, type Primary } from './copy/topology.ts';
import { CopyError, type Address } from './copy/types.ts';

export interface PrimaryNode extends Primary {
  redis: Redis;
}

export interface UnreachedNode extends Primary {
  why: Error;
}

export interface Primaries {
  cluster: boolean;
  /** Two equal ones mean that no slot has changed hands. */
  signature: string;
  nodes: PrimaryNode[];
  /** Primaries that can't be reached. Only where `patchy` was asked for, else it fails. */
  unreached: UnreachedNode[];
  /** The cluster's replicas and the nodes without slots; no connection is open to them. */
  others: OtherNode[];
  /** A connection to a node, under the same name; it is closed with the rest. */
  open: (at: Address, timeoutMs?: number) => Promise<Redis>;
}

export interface PrimariesOptions {
  /** Goes on with those that can be reached, of a cluster that need not be well: to lift what can be lifted. */
  patchy?: boolean;
}

/** `host:port`, for messages. */
export const nameOf = ({ at }: { at: Address }): string => `${at.host}:${at.port}`;

/** A key of ours that lies in a slot of this node. A single server has the key without a tag. */
export const keyOn = (key: string, { cluster }: { cluster: boolean }, { slots }: Primary): string =>
  cluster ? `${key}:{${tagOf(slots[0]?.[0] ?? 0)}}` : key;

/**
 * Runs `use` with connections to the primaries and closes them, whatever happens. The nodes of a cluster are reached with
 * the same user, password and TLS. Of a cluster that is well, as each of its primaries says: all slots served, none on
 * its way, and all agree on who has which; a single server is taken as it is.
 * @param name CLIENT SETNAME of each connection
 * @throws cutover.Unreachable (a node, named), cutover.Busy (the cluster is not well, or resharded), cutover.Denied,
 *   cutover.Secret, and what `use` throws
 */
export async function withPrimaries<T>(
  endpoint: RedisEndpoint,
  side: 'source' | 'target',
  name: string,
  use: (primaries: Primaries) => Promise<T>,
  { patchy = false }: PrimariesOptions = {},
): Promise<T> {
  const asked = { host: endpoint.host, port: endpoint.port };
  const opened: Redis[] = [];
  const open = async (at: Address, timeoutMs?: number) => {
    const redis = await connectRedis({ ...endpoint, ...at }, { name, ...(timeoutMs ? { timeoutMs } : {}) });
    opened.push(redis);
    return redis;
  };
  try {
    const first = await open(asked);
    const { cluster, primaries, others, signature } = await clusterView(first, asked);
    if (!cluster) {
      const nodes = primaries.map((primary) => ({ ...primary, redis: first }));
      return await use({ cluster, signature, nodes, unreached: [], others, open });
    }
    if (!patchy) await topologyOf(first, asked, side);
    // One of the nodes is opened again below: whoever ends the others of this name must not find itself.
    first.disconnect();
    const tried = await Promise.all(primaries.map((primary) => openOne(primary, open)));
    const nodes = tried.flatMap((one) => ('redis' in one ? [one] : []));
    const unreached = tried.flatMap((one) => ('why' in one ? [one] : []));
    if (!patchy) {
      if (unreached[0]) throw unreached[0].why;
      await Promise.all(nodes.map((node) => requireAgreement(node, side, signature)));
    }
    return await use({ cluster, signature, nodes, unreached, others, open });
  } catch (error) {
    throw notWell(error) ?? redisFailure(error, `${endpoint.host}:${endpoint.port}`);
  } finally {
    for (const redis of opened) redis.disconnect();
  }
}

async function openOne(primary: Primary, open: Primaries['open']): Promise<PrimaryNode | UnreachedNode> {
  try {
    return { ...primary, redis: await open(primary.at) };
  } catch (error) {
    return { ...primary, why: redisFailure(error, nameOf(primary)) };
  }
}

/** After a failover the node that was asked may not have heard of it yet; a replica does not call itself a primary. */
async function requireAgreement(node: PrimaryNode, side: 'source' | 'target', signature: string): Promise<void> {
  const own = await topologyOf(node.redis, node.at, side).catch((error: unknown) => {
    throw notWell(error) ?? nodeFailure(error, node);
  });
  if (own.signature === signature) return;
  throw transient(
    ErrorType.busy,
    `the nodes of the ${side}'s cluster don't agree on who has which slots, as ${nameOf(node)} sees it`,
    { remedy: 'a failover or a resharding is under way; redis-cli --cluster check tells' },
  );
}

function notWell(error: unknown): Error | undefined {
  if (!(error instanceof CopyError)) return undefined;
  return transient(ErrorType.busy, error.message.replace(/^copy: /, ''), error.remedy ? { remedy: error.remedy } : {});
}

/** An error of a node's command, with the node's name; that it has lost its slots or its role passes. */
export function nodeFailure(error: unknown, node: { at: Address }): Error {
  if (error instanceof Error && /^(MOVED|ASK|READONLY)\b/.test(error.message)) {
    return transient(ErrorType.busy, `${nameOf(node)} is not the primary of its slots any more: ${error.message}`);
  }
  return redisFailure(error, nameOf(node));
}
