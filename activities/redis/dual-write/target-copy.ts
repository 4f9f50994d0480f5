/**
 * The phase on the target as well, from before the target becomes the authority. No instance follows it; but one
 * that finds the source without its control key, because somebody emptied or replaced that, sees by the copy that the source
 * is not right any more, and refuses to begin.
 */
import { dualKeys, type DualPhase } from '../../../spec/dual-write.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import { connectRedis, redisFailure } from '../connect.ts';
import { slotOf } from '../copy/slots.ts';
import { topologyOf } from '../copy/topology.ts';

/** @param phase the one that is about to be set; undefined: the copy is taken away. Runs as often as it likes */
export async function copyPhase(migration: RedisDualWrite, phase: DualPhase | undefined): Promise<void> {
  const { target, id } = migration;
  const { phase: key } = dualKeys(id);
  const name = `cutover:${id}:phase`;
  const first = await connectRedis(target, { name });
  try {
    const { cluster, primaries } = await topologyOf(first, target, 'target');
    const slot = slotOf(Buffer.from(key));
    const at = cluster && primaries.find(({ slots }) => slots.some(([from, to]) => slot >= from && slot <= to))?.at;
    const redis = at ? await connectRedis({ ...target, ...at }, { name }) : first;
    try {
      const multi = redis.multi().del(key);
      if (phase) multi.hset(key, { phase });
      for (const [error] of (await multi.exec()) ?? []) if (error) throw error;
    } finally {
      redis.disconnect();
    }
  } catch (error) {
    throw redisFailure(error, `${target.host}:${target.port}`);
  } finally {
    first.disconnect();
  }
}
