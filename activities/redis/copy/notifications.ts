/**
 * `notify-keyspace-events` of the source: what must be on for no change to go unheard, and switching it on and back.
 * `K` (events by key) and every class that changes data: g$lshzxet, which `A` stands for. `d` (modules) where there are.
 */
import type { Redis } from 'ioredis';

const CLASSES = 'g$lshzxet';

/** What of the flags is missing; '' = nothing. */
export function missingFlags(setting: string, modules = false): string {
  const wanted = `K${CLASSES}${modules ? 'd' : ''}`;
  return wanted
    .split('')
    .filter((flag) => !setting.includes(flag) && !(flag !== 'K' && setting.includes('A')))
    .join('');
}

/** The setting with what is missing added; what others listen to stays on. */
export const completed = (setting: string, modules = false): string => setting + missingFlags(setting, modules);

/** undefined where CONFIG is refused, as on managed services. */
export async function notificationSetting(redis: Redis): Promise<string | undefined> {
  return configOf(redis, 'notify-keyspace-events');
}

/** One setting; undefined where CONFIG is refused. @throws what the connection throws */
export async function configOf(redis: Redis, name: string): Promise<string | undefined> {
  try {
    const answer = (await redis.config('GET', name)) as string[] | Record<string, string>;
    return Array.isArray(answer) ? answer[1] : answer[name];
  } catch (error) {
    if (error instanceof Error && error.name === 'ReplyError') return undefined;
    throw error;
  }
}

/**
 * Where CONFIG is refused, the events themselves tell: one command of each class on a key of ours, which is deleted again.
 * @param heard gives the events (`set`, `hset`, …) that came for the key so far
 * @param barrier resolves when every event of what was written before has come
 * @returns the classes of which no event came
 */
export async function unheardClasses(
  redis: Redis,
  key: Buffer,
  heard: () => ReadonlySet<string>,
  barrier: () => Promise<void>,
): Promise<string> {
  const tried: Record<string, string> = {
    $: 'set',
    l: 'rpush',
    s: 'sadd',
    h: 'hset',
    z: 'zadd',
    t: 'xadd',
    g: 'del',
    x: 'expired',
  };
  const clear = () => redis.del(key);
  await redis.set(key, '1', 'PX', 60_000);
  await clear();
  await redis.rpush(key, '1');
  await clear();
  await redis.sadd(key, '1');
  await clear();
  await redis.hset(key, 'f', '1');
  await clear();
  await redis.zadd(key, 1, '1');
  await clear();
  await redis.xadd(key, '*', 'f', '1');
  await clear();
  await redis.set(key, '1', 'PX', 1);
  // Reading it makes the server notice that it has expired, and say so.
  while ((await redis.exists(key)) === 1);
  await barrier();
  return Object.entries(tried)
    .filter(([, event]) => !heard().has(event))
    .map(([flag]) => flag)
    .join('');
}

/** Channel of a key's events: `__keyspace@0__:name`. Undefined for other channels. */
export function eventOf(channel: Buffer): { db: number; key: Buffer } | undefined {
  const at = channel.indexOf('__:');
  const db = Number(channel.subarray('__keyspace@'.length, at).toString());
  if (at === -1 || !Number.isInteger(db)) return undefined;
  return { db, key: channel.subarray(at + 3) };
}
