/** A connection to the server that has a key: the one that is named, or the node of its cluster. */
import type { Redis } from 'ioredis';
import type { RedisEndpoint } from '../../spec/values.ts';
import { connectRedis, redisFailure } from './connect.ts';
import { copyFailure } from './copy/copy-activity.ts';
import { hasKey } from './copy/slots.ts';
import { topologyOf } from './copy/topology.ts';
import { CopyError } from './copy/types.ts';

export interface NodeOfKey {
  redis: Redis;
  /** `host:port`, for messages. */
  where: string;
}

/** @throws cutover.Unreachable, cutover.Denied, cutover.Secret, and cutover.Busy where slots move or are not served */
export async function connectToNodeOf(
  key: string,
  endpoint: RedisEndpoint,
  side: 'source' | 'target',
  name: string,
  timeoutMs?: number,
): Promise<NodeOfKey> {
  const where = `${endpoint.host}:${endpoint.port}`;
  const options = { name, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  const first = await connectRedis(endpoint, options);
  try {
    const { cluster, primaries } = await topologyOf(first, endpoint, side);
    if (!cluster) return { redis: first, where };
    const node = primaries.find((one) => hasKey(one, key));
    if (!node) throw new Error(`no node of the cluster has the slot of ${key}`);
    first.disconnect();
    return {
      redis: await connectRedis({ ...endpoint, ...node.at }, options),
      where: `${node.at.host}:${node.at.port}`,
    };
  } catch (error) {
    first.disconnect();
    throw error instanceof CopyError ? copyFailure(error) : redisFailure(error, where);
  }
}
