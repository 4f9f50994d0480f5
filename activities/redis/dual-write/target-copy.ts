/**
 * The phase on the target as well, from before the target becomes the authority. No instance follows it; but one
 * that finds the source without its control key, because somebody emptied or replaced that, sees by the copy that the source
 * is not right any more, and refuses to begin.
 */
import { dualKeys, type DualPhase } from '../../../spec/dual-write.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import { dualFailure } from './failure.ts';
import { connectToNodeOf } from '../node-of-key.ts';

/** @param phase the one that is about to be set; undefined: the copy is taken away. Runs as often as it likes */
export async function copyPhase(migration: RedisDualWrite, phase: DualPhase | undefined): Promise<void> {
  const { target, id } = migration;
  const { phase: key } = dualKeys(id);
  const { redis, where } = await connectToNodeOf(key, target, 'target', `cutover:${id}:phase`);
  try {
    const multi = redis.multi().del(key);
    if (phase) multi.hset(key, { phase });
    for (const [error] of (await multi.exec()) ?? []) if (error) throw error;
  } catch (error) {
    throw dualFailure(error, where);
  } finally {
    redis.disconnect();
  }
}
