/**
 * The peer of the cutover bench: what a careful engineer's script does, with everything ready and connected beforehand.
 * It is the floor. It has no record of what it changed, no budget, no proof, and where it dies, it leaves writes refused.
 */
import { once } from 'node:events';
import type { Redis } from 'ioredis';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { until } from './stand.ts';

const BEYOND_REACH = 2_147_483_647;
const DRAIN_WITHIN_MS = 10_000;

export interface PlainCutover {
  /** From the fence until the target is a primary, ms. */
  promotedMs: number;
  /** From the fence until the application has been switched, ms. */
  switchedMs: number;
}

/** The target becomes a replica of the source, and is in sync. */
export async function attachPlainly(source: RedisServer, target: RedisServer): Promise<void> {
  const redis = target.connect();
  try {
    await redis.replicaof(source.host, source.port);
    await until('the target follows the source', 60_000, async () => {
      return field(await redis.info('replication'), 'master_link_status') === 'up' ? true : undefined;
    });
  } finally {
    redis.disconnect();
  }
}

/** Fence, equal offsets, REPLICAOF NO ONE, switch. @throws Error where the target does not catch up in 10 s */
export async function cutOverPlainly(
  source: RedisServer,
  target: RedisServer,
  switchApplication: () => Promise<void>,
): Promise<PlainCutover> {
  const [from, to] = [source.connect(), target.connect()];
  try {
    await Promise.all([ready(from), ready(to)]);
    await from.config('SET', 'min-replicas-to-write', BEYOND_REACH);
    const fenced = performance.now();
    for (;;) {
      const [s, t] = await Promise.all([from.info('replication'), to.info('replication')]);
      const [wanted, reached] = [field(s, 'master_repl_offset'), field(t, 'slave_repl_offset')];
      if (field(t, 'master_link_status') === 'up' && Number(reached) >= Number(wanted)) break;
      if (performance.now() - fenced > DRAIN_WITHIN_MS) throw new Error(`not drained: ${reached} of ${wanted}`);
    }
    await to.replicaof('NO', 'ONE');
    const promotedMs = performance.now() - fenced;
    await switchApplication();
    return { promotedMs, switchedMs: performance.now() - fenced };
  } finally {
    from.disconnect();
    to.disconnect();
  }
}

async function ready(redis: Redis): Promise<void> {
  if (redis.status !== 'ready') await once(redis, 'ready');
}

function field(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim();
}
