/** Finds the primary at the head of a chain of replicas. */
import type { RedisEndpoint } from '../../../spec/values.ts';
import { withRedis } from '../connect.ts';
import { parseInfo } from '../replication.ts';
import type { Info } from './probe.ts';

const LONGEST_CHAIN = 5;

export interface FoundPrimary {
  host: string;
  port: number;
  /** `host:port` of each server up the chain, the primary last. */
  chain: string[];
}

/**
 * Goes up from a replica, with the credentials of the file, as far as servers let us look: the last one known is named,
 * even if it can't be asked.
 */
export async function findPrimary(endpoint: RedisEndpoint, info: Info): Promise<FoundPrimary> {
  const chain: string[] = [];
  let at = info;
  let next = { host: endpoint.host, port: endpoint.port };
  while (at['role'] === 'slave' && chain.length < LONGEST_CHAIN) {
    next = { host: at['master_host'] ?? '', port: Number(at['master_port']) };
    chain.push(`${next.host}:${next.port}`);
    const above = { ...endpoint, ...next };
    at = await withRedis(above, { name: 'cutover:preflight' }, async (redis) =>
      parseInfo(await redis.info('replication')),
    ).catch(() => ({}));
  }
  return { ...next, chain };
}
