/** Looks at a few keys picked at random: a full scan of a production server is no preflight. */
import type { Redis } from 'ioredis';
import { printable } from '../compare/key-names.ts';
import { withRedis } from '../connect.ts';
import { CannotCheck } from '../../preflight/check.ts';
import { keysByDatabase, type RedisProbe } from './probe.ts';

const SAMPLES = 200;

export interface SampledKeys {
  sampled: number;
  largest?: { db: number; key: string; bytes: number };
}

export interface SizedKey {
  key: Buffer;
  bytes: number;
}

/** About 200 keys of database 0, picked at random; of a small one all. @throws CannotCheck as largestSampled */
export async function sampledSizes(probe: RedisProbe): Promise<SizedKey[]> {
  const count = keysByDatabase(await probe.info()).get(0) ?? 0;
  return count === 0 ? [] : sample(probe, 0, SAMPLES, count <= SAMPLES);
}

/**
 * The largest of about 200 keys picked at random, shared out over the databases by their number of keys; of a small
 * database, of all.
 * On connections of its own: SELECT on the probe's would move every other check to another database.
 * @throws CannotCheck where RANDOMKEY, SCAN or MEMORY is not allowed
 */
export async function largestSampled(probe: RedisProbe): Promise<SampledKeys> {
  const keys = keysByDatabase(await probe.info());
  const total = [...keys.values()].reduce((sum, count) => sum + count, 0);
  const found: SampledKeys = { sampled: 0 };
  for (const [db, count] of keys) {
    const wanted = Math.max(1, Math.round((SAMPLES * count) / total));
    // Picking at random from a few would miss some and take others twice.
    for (const { key, bytes } of await sample(probe, db, wanted, count <= SAMPLES)) {
      found.sampled += 1;
      if (bytes > (found.largest?.bytes ?? -1)) found.largest = { db, key: printable(key), bytes };
    }
  }
  return found;
}

async function sample(probe: RedisProbe, db: number, wanted: number, all: boolean): Promise<SizedKey[]> {
  return withRedis(probe.endpoint, { name: 'cutover:preflight', db }, async (redis) => {
    const keys = all ? await everyKey(redis) : await randomKeys(redis, wanted);
    const sizes = await Promise.all(keys.map((key) => redis.call('MEMORY', 'USAGE', key)));
    // A key that expired since has no size, and is not there.
    return keys.map((key, i) => ({ key, bytes: Number(sizes[i] ?? 0) })).filter(({ bytes }) => bytes > 0);
  }).catch((error: unknown) => {
    throw new CannotCheck(
      `keys of db${db} can't be sampled: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
}

async function randomKeys(redis: Redis, wanted: number): Promise<Buffer[]> {
  const picked = await Promise.all(Array.from({ length: wanted }, () => redis.callBuffer('RANDOMKEY')));
  return picked.filter((key): key is Buffer => Buffer.isBuffer(key));
}

async function everyKey(redis: Redis): Promise<Buffer[]> {
  const keys: Buffer[] = [];
  let cursor = '0';
  do {
    const [next, page] = await redis.scanBuffer(cursor, 'COUNT', SAMPLES);
    cursor = next.toString();
    keys.push(...page);
  } while (cursor !== '0' && keys.length < 2 * SAMPLES);
  return keys;
}
