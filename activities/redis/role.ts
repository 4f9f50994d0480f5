/** Who is the primary: ROLE, the one answer that the server gives about itself, and the ending of earlier attempts. */
import type { Redis } from 'ioredis';
import { parseInfo } from './replication.ts';

export interface Role {
  role: 'master' | 'slave' | 'sentinel';
  /** Of a replica: its primary. */
  masterHost?: string;
  masterPort?: number;
  linkState?: string;
}

export async function readRole(redis: Redis): Promise<Role> {
  const answer = (await redis.role()) as [string, ...unknown[]];
  const role = answer[0] as Role['role'];
  if (role !== 'slave') return { role };
  return { role, masterHost: String(answer[1]), masterPort: Number(answer[2]), linkState: String(answer[3]) };
}

/**
 * Of a primary that was fenced: who took its place, as host:port, where a failover made it a replica. It keeps its process,
 * its settings and the fence's record, while the new primary never had the fence. By INFO, which whoever fences may ask.
 */
export async function replicaOf(redis: Redis): Promise<string | undefined> {
  const info = parseInfo(await redis.info('replication'));
  return info['role'] === 'slave' ? `${info['master_host']}:${info['master_port']}` : undefined;
}

/** The name of the one connection on which a migration's target is promoted. */
export function promoterName(migration: string): string {
  return `cutover:${migration}:promote`;
}

/**
 * Ends the connections of earlier attempts of this migration, so that what they may still have in flight can't promote
 * after their outcome was judged. `redis` itself is spared.
 * @returns how many were ended
 */
export async function endEarlierPromoters(redis: Redis, migration: string): Promise<number> {
  return endOthers(redis, promoterName(migration));
}

/** The name of the connections on which a migration's source is fenced and let go. */
export function fencerName(migration: string): string {
  return `cutover:${migration}:fence`;
}

/**
 * The same on the source: a CONFIG SET that an attempt had sent before it was given up would overwrite the generation of
 * the attempt that goes on, or raise the fence again after everybody has been told that it is lifted.
 * Where our user may not see and end connections, which the preflight warns of (C5), or the source is older than 5.0 and
 * has no CLIENT ID, it goes on without.
 */
export async function endEarlierFencers(redis: Redis, migration: string): Promise<void> {
  try {
    await endOthers(redis, fencerName(migration));
  } catch (error) {
    if (!(error instanceof Error && error.name === 'ReplyError')) throw error;
  }
}

async function endOthers(redis: Redis, name: string): Promise<number> {
  const own = String(await redis.client('ID'));
  const list = String(await redis.client('LIST'));
  let ended = 0;
  for (const line of list.split('\n')) {
    const field = (key: string) => new RegExp(`(?:^| )${key}=(\\S*)`).exec(line)?.[1];
    const id = field('id');
    if (field('name') !== name || !id || id === own) continue;
    ended += Number(await redis.client('KILL', 'ID', id));
  }
  return ended;
}
