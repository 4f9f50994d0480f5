/** Looks at a few keys picked at random: a full scan of a production server is no preflight. */
import { printable } from '../compare/key-names.ts';
import { withRedis } from '../connect.ts';
import { CannotCheck } from './check.ts';
import { keysByDatabase, type RedisProbe } from './probe.ts';

const SAMPLES = 200;

export interface SampledKeys {
  sampled: number;
  largest?: { db: number; key: string; bytes: number };
}

/**
 * The largest of about 200 keys picked at random, shared out over the databases by their number of keys.
 * On connections of its own: SELECT on the probe's would move every other check to another database.
 * @throws CannotCheck where RANDOMKEY or MEMORY is not allowed
 */
export async function largestSampled(probe: RedisProbe): Promise<SampledKeys> {
  const keys = keysByDatabase(await probe.info());
  const total = [...keys.values()].reduce((sum, count) => sum + count, 0);
  const found: SampledKeys = { sampled: 0 };
  for (const [db, count] of keys) {
    const wanted = Math.min(count, Math.max(1, Math.round((SAMPLES * count) / total)));
    for (const { key, bytes } of await sample(probe, db, wanted)) {
      found.sampled += 1;
      if (bytes > (found.largest?.bytes ?? -1)) found.largest = { db, key: printable(key), bytes };
    }
  }
  return found;
}

async function sample(probe: RedisProbe, db: number, wanted: number): Promise<{ key: Buffer; bytes: number }[]> {
  return withRedis(probe.endpoint, { name: 'cutover:preflight', db }, async (redis) => {
    const picked = await Promise.all(Array.from({ length: wanted }, () => redis.callBuffer('RANDOMKEY')));
    const keys = picked.filter((key): key is Buffer => Buffer.isBuffer(key));
    // A key that expired since has no size, and is none of the largest.
    const sizes = await Promise.all(keys.map((key) => redis.call('MEMORY', 'USAGE', key)));
    return keys.map((key, i) => ({ key, bytes: Number(sizes[i] ?? 0) }));
  }).catch((error: unknown) => {
    throw new CannotCheck(
      `keys of db${db} can't be sampled: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
}
