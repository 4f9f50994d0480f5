/**
 * Whether a fence holds scripts, too. `min-replicas-to-write` is looked at where a command comes in, and EVAL is none that
 * writes; inside of a script it is looked at from Redis 6.0.17, 6.2.7 and 7.0 on (redis#10160). Before, a script goes on
 * writing, and is told that it has written.
 */
import type { Redis } from 'ioredis';
import { ownScript, ownShas } from './own-scripts.ts';
import { versionIfReadable, type EngineVersion } from './preflight/versions.ts';
import { parseInfo } from './replication.ts';

const PROBE = ownScript(`return redis.call('del', KEYS[1])`);

/** What an operator can do, in the order of what it costs. The server counts on until it is told to forget. */
export const SCRIPTS_REMEDY =
  'for the cutover stop the application, or take scripts from its users (from 6.0 on: redis-cli ACL SETUSER <its user> -eval -evalsha), ' +
  'then have the source forget them: redis-cli SCRIPT FLUSH (before 5.0 CONFIG RESETSTAT as well); or upgrade the source to 6.0.17, 6.2.7, 7.0 or later';

/** As its version says. A server of another make that calls itself by a version between is not believed. */
export function refusesScripts(version: EngineVersion): boolean {
  if (version.engine === 'valkey' || version.major > 6) return true;
  return (
    version.major === 6 && ((version.minor === 0 && version.patch >= 17) || (version.minor === 2 && version.patch >= 7))
  );
}

/** A script's write that changes nothing. `unasked` where our user may run none. @throws what else the server answers */
async function tryScript(redis: Redis, key: string): Promise<'refused' | 'ran' | 'unasked'> {
  try {
    await redis.call('EVAL', PROBE.text, 1, key);
    return 'ran';
  } catch (error) {
    const said = error instanceof Error && error.name === 'ReplyError' ? error.message : '';
    // Of Redis 6 it stands within the words of "Error running script".
    if (said.includes('NOREPLICAS')) return 'refused';
    if (/^NOPERM|unknown command/i.test(said)) return 'unasked';
    throw error;
  }
}

/**
 * How many scripts others than us had the server keep, or before 5.0 how often: since its start, or SCRIPT FLUSH. It can't
 * tell which of them write. Not by commandstats, where there is better: those count our own readings by script as well.
 * @returns undefined where it can't be told
 */
export async function othersScripts(redis: Redis): Promise<number | undefined> {
  const kept = parseInfo(await redis.info('memory'))['number_of_cached_scripts'];
  if (kept === '0') return 0;
  // Where SCRIPT is refused to us, ours count with the others: rather that than to miss one.
  const found = await redis.script('EXISTS', ...ownShas()).catch((error: unknown) => {
    if (error instanceof Error && error.name === 'ReplyError') return [];
    throw error;
  });
  const ours = (found as number[]).filter((one) => one === 1).length;
  if (kept !== undefined) return Math.max(0, Number(kept) - ours);
  const stats = parseInfo(await redis.info('commandstats'));
  const calls = ['cmdstat_eval', 'cmdstat_evalsha'].reduce(
    (sum, name) => sum + Number(/calls=(\d+)/.exec(stats[name] ?? '')?.[1] ?? 0),
    0,
  );
  return calls > 0 && ours > 0 ? undefined : calls;
}

/**
 * Asked while the fence is up.
 * @returns why writes of scripts may get through it, undefined where none does
 * @throws what the server answers
 */
export async function scriptsGetThrough(redis: Redis, key: string): Promise<string | undefined> {
  const tried = await tryScript(redis, key);
  if (tried === 'refused') return undefined;
  // One that we can't read proves nothing: then it is asked which scripts it ran.
  const version = versionIfReadable(parseInfo(await redis.info('server')));
  if (tried === 'unasked' && version && refusesScripts(version)) return undefined;
  const others = await othersScripts(redis);
  if (!others) return undefined;
  const through = tried === 'ran' ? 'lets scripts write' : 'may let scripts write, which our user may not try';
  return `${version?.text ?? 'the server'} ${through} in spite of min-replicas-to-write, and has run some that are not ours (${others})`;
}
