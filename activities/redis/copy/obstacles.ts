/** What would make a copy lose something in silence: looked for before it begins, and refused with the reason. */
import type { Redis } from 'ioredis';
import { commandCalls } from '../command-calls.ts';
import { ask } from '../compare/replies.ts';
import { parseInfo } from '../replication.ts';
import { completed, configOf, missingFlags, notificationSetting } from './notifications.ts';
import type { Server } from './server.ts';
import type { Target } from './target.ts';
import { CopyError } from './types.ts';
import type { CopyOptions } from './types.ts';

/** An event on its way to us: two names, the channel and the message, with their lengths. */
const EVENT_BYTES = 200;
/** So long must our process be able to pause (garbage, a busy machine) without being cut off. */
const SHORTEST_STALL_S = 2;

const obstacle = (message: string, remedy: string) => new CopyError('OBSTACLE', `copy: ${message}`, { remedy });

/**
 * @returns what CONFIG could not tell, and the events themselves must: `classes`
 * @throws CopyError OBSTACLE where following this node would miss changes
 */
export async function checkNotifications(server: Server): Promise<'known' | 'classes'> {
  const redis = await server.db(0);
  const info = parseInfo(await redis.info('everything').catch(() => redis.info()));
  const setting = await notificationSetting(redis);
  const modules = info['module'] !== undefined;
  await checkOutputBuffer(server, redis, Number(info['instantaneous_ops_per_sec'] ?? 0));
  if (setting === undefined) {
    // Evictions can't be tried out; whether there can be any is known.
    if (info['maxmemory_policy'] !== 'noeviction' && Number(info['maxmemory'] ?? 0) > 0) {
      throw obstacle(
        `${server.name} refuses CONFIG and evicts keys (${info['maxmemory_policy']}): whether evictions are notified can't be known`,
        'permit CONFIG GET to our user, or give the source maxmemory-policy noeviction for the time of the copy',
      );
    }
    return 'classes';
  }
  const missing = missingFlags(setting, modules);
  if (missing === '') return 'known';
  throw obstacle(
    `${server.name} does not notify of every change: notify-keyspace-events is "${setting}", "${missing}" is missing. ` +
      'What is changed during the copy would be lost in silence',
    `redis-cli -h ${server.name.replace(':', ' -p ')} CONFIG SET notify-keyspace-events ${completed(setting, modules)}`,
  );
}

/** Somebody may switch them off meanwhile. @throws CopyError OBSTACLE, retried with a pass over all keys */
export async function checkSettingStill(server: Server): Promise<void> {
  const setting = await notificationSetting(await server.db(0));
  if (setting === undefined || missingFlags(setting) === '') return;
  throw new CopyError(
    'OBSTACLE',
    `copy: notify-keyspace-events of ${server.name} was changed to "${setting}" meanwhile: changes were not heard`,
    { remedy: `CONFIG SET notify-keyspace-events ${completed(setting)}, then retry: all keys are compared again` },
  );
}

/** @throws CopyError OBSTACLE where a busy moment of the source would cut our subscription off */
export async function checkOutputBuffer(
  server: Pick<Server, 'name'>,
  redis: Redis,
  opsPerSecond: number,
): Promise<void> {
  const setting = await configOf(redis, 'client-output-buffer-limit');
  const hard = Number(/(?:^| )pubsub (\d+)/.exec(setting ?? '')?.[1] ?? 0);
  if (hard === 0) return;
  const seconds = hard / Math.max(1, opsPerSecond * EVENT_BYTES);
  if (seconds >= SHORTEST_STALL_S && hard >= SHORTEST_BUFFER) return;
  throw obstacle(
    `${server.name} cuts a subscriber off at ${hard} bytes (client-output-buffer-limit pubsub), which ${opsPerSecond} operations/s fill in ${seconds.toFixed(1)} s`,
    `redis-cli -h ${server.name.replace(':', ' -p ')} CONFIG SET client-output-buffer-limit "pubsub 268435456 67108864 60"`,
  );
}
/** Smaller than what a single busy moment brings. */
const SHORTEST_BUFFER = 1_048_576;

/** They send no event per key. */
const UNHEARD = ['flushall', 'flushdb', 'swapdb'];

export const callsOf = async (server: Server): Promise<Map<string, number>> =>
  commandCalls(await (await server.db(0)).info('commandstats'));

/**
 * Whether FLUSHALL, FLUSHDB or SWAPDB was called between two readings, or may have been: CONFIG RESETSTAT forgets every
 * count. That it was called is seen by a count that has gone down, and by that of INFO, which each reading of ours makes higher.
 */
export function calledUnheard(before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): boolean {
  if (UNHEARD.some((name) => before.get(name) !== now.get(name))) return true;
  const info = before.get('info');
  // A server that does not count it tells nothing by it.
  if (info !== undefined && (now.get('info') ?? 0) <= info) return true;
  return [...before].some(([name, calls]) => (now.get(name) ?? 0) < calls);
}

/** The key on the target that says whose copy fills it. */
export const OWNER = 'cutover:copy:owner';
const OWNER_KEY = Buffer.from(OWNER);

/**
 * Takes the target for this migration: it must be empty, or ours from an earlier attempt, and nobody else may write to it.
 * @returns whether it may hold keys that the source lacks: from an earlier attempt, or of somebody else
 * @throws CopyError OBSTACLE
 */
export async function claimTarget(
  target: Target,
  options: CopyOptions,
  note: (text: string) => void,
): Promise<boolean> {
  const redis = await target.serverOf(OWNER_KEY).db(0);
  const owner = await redis.get(OWNER);
  if (owner !== null && owner !== options.migrationId) {
    throw obstacle(
      `the target is being filled by migration ${owner}`,
      `end that one; if it is gone for good: redis-cli DEL ${OWNER} on the target`,
    );
  }
  await refuseTaken(target, owner !== null || options.allowNonEmptyTarget, note);
  if (owner === null && (await redis.set(OWNER, options.migrationId, 'NX')) !== 'OK') {
    throw obstacle('another copy to this target has just begun', 'let it end');
  }
  return owner !== null || options.allowNonEmptyTarget;
}

/** @throws CopyError OBSTACLE where others write to the target, or it holds keys and must not */
export async function refuseTaken(target: Target, mayHoldKeys: boolean, note: (text: string) => void): Promise<void> {
  for (const server of target.servers) {
    await refuseWriters(server, note);
    if (mayHoldKeys) continue;
    for (const [db, keys] of await server.databases()) {
      if (keys > 0) {
        throw obstacle(
          `the target ${server.name} is not empty: ${keys} keys in database ${db}`,
          'empty it (FLUSHALL), or set allowNonEmptyTarget: true, which may delete and overwrite them',
        );
      }
    }
  }
}

/**
 * The target was claimed for this copy before, by a value that only it knows.
 * @throws CopyError OBSTACLE where that claim is in force no more: whoever took the target since must not be overwritten
 */
export async function requireOwner(target: Target, value: string): Promise<void> {
  const owner = await (await target.serverOf(OWNER_KEY).db(0)).get(OWNER);
  if (owner !== value)
    throw obstacle(`this copy was given up: the target belongs to "${owner ?? 'nobody'}" by now`, 'retry the step');
}

export async function releaseTarget(target: Target): Promise<void> {
  await (await target.serverOf(OWNER_KEY).db(0)).del(OWNER);
}

/** Clients of the target whose last command was a write, and that are none of ours. */
async function refuseWriters(server: Server, note: (text: string) => void): Promise<void> {
  const redis = await server.db(0);
  const list = await redis
    .client('LIST')
    .then(String)
    .catch(() => undefined);
  if (list === undefined) {
    note(`CLIENT LIST is refused by the target ${server.name}: whether others write to it is not known`);
    return;
  }
  const field = (line: string, name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? '';
  const others = list
    .split('\n')
    .filter((line) => line !== '' && !/[SM]/.test(field(line, 'flags')) && !field(line, 'name').startsWith('cutover'));
  for (const line of others) {
    const command = field(line, 'cmd').split('|')[0] ?? '';
    if (!/^[a-z]+$/i.test(command)) continue;
    const [about] = await ask<([Buffer, number, (Buffer | string)[]] | null)[]>(redis, 'COMMAND', 'INFO', command);
    if (!about?.[2].some((flag) => String(flag) === 'write')) continue;
    throw obstacle(
      `${field(line, 'addr')} (${field(line, 'name') || 'without a name'}) writes to the target ${server.name}: its last command was ${command}`,
      'stop it: what it writes would be overwritten, or would overwrite what is copied',
    );
  }
}

/**
 * Ends the connections of an earlier attempt of this migration: what it may still have in flight would overwrite newer
 * states with older ones. They are known by their name, which all of ours share.
 */
export async function endEarlierCopiers(redis: Redis, note: (text: string) => void): Promise<void> {
  const name = redis.options.connectionName;
  if (!name) return;
  try {
    const own = String(await redis.client('ID'));
    for (const line of String(await redis.client('LIST')).split('\n')) {
      const id = /(?:^| )id=(\d+)/.exec(line)?.[1];
      if (id && id !== own && line.includes(` name=${name} `)) await redis.client('KILL', 'ID', id);
    }
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'ReplyError') throw error;
    note(`connections of earlier attempts could not be ended: ${error.message}`);
  }
}
