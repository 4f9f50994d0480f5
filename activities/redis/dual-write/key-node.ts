/** A connection to the server that has a key: the one that the file names, or the node of its cluster. */
import type { Redis } from 'ioredis';
import type { DualSide } from '../../../spec/dual-write.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { connectRedis } from '../connect.ts';
import { inRanges, slotOf } from '../copy/slots.ts';
import { topologyOf } from '../copy/topology.ts';
import { dualFailure } from './failure.ts';

export interface KeyNode {
  redis: Redis;
  /** `host:port`, for messages. */
  where: string;
}

/** @throws cutover.Unreachable, cutover.Denied, cutover.Secret, and where no node of the cluster has the key's slot */
export async function connectToNodeOf(
  key: string,
  endpoint: RedisEndpoint,
  side: DualSide,
  name: string,
  timeoutMs?: number,
): Promise<KeyNode> {
  const where = `${endpoint.host}:${endpoint.port}`;
  const options = { name, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  const first = await connectRedis(endpoint, options);
  try {
    const { cluster, primaries } = await topologyOf(first, endpoint, side);
    if (!cluster) return { redis: first, where };
    const slot = slotOf(Buffer.from(key));
    const node = primaries.find(({ slots }) => inRanges(slots, slot));
    if (!node) throw new Error(`no node of the cluster holds slot ${slot}`);
    first.disconnect();
    return {
      redis: await connectRedis({ ...endpoint, ...node.at }, options),
      where: `${node.at.host}:${node.at.port}`,
    };
  } catch (error) {
    first.disconnect();
    throw dualFailure(error, where);
  }
}
