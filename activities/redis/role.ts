/** Who is the primary: ROLE, the one answer that the server gives about itself, and the ending of earlier attempts. */
import type { Redis } from 'ioredis';

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
  const own = String(await redis.client('ID'));
  const list = String(await redis.client('LIST'));
  let ended = 0;
  for (const line of list.split('\n')) {
    const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1];
    const id = field('id');
    if (field('name') !== promoterName(migration) || !id || id === own) continue;
    ended += Number(await redis.client('KILL', 'ID', id));
  }
  return ended;
}
