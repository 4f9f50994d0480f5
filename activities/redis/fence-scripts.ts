/**
 * Whether a fence holds scripts, too. `min-replicas-to-write` is looked at where a command comes in, and EVAL is none that
 * writes; inside of a script it is looked at from Redis 6.0.17, 6.2.7 and 7.0 on (redis#10160). Before, a script goes on
 * writing, and is told that it has written.
 */
import type { Redis } from 'ioredis';
import { commandCalls } from './command-calls.ts';
import { ownScript, ownShas } from './own-scripts.ts';
import { versionIfReadable, type EngineVersion } from './preflight/versions.ts';
import { parseInfo } from './replication.ts';

const PROBE = ownScript(`return redis.call('del', KEYS[1])`);

const UPGRADE = 'or upgrade the source to 6.0.17, 6.2.7, 7.0 or later';

/** What an operator can do, in the order of what it costs. The server counts on until it is told to forget. */
export const SCRIPTS_REMEDY =
  'for the cutover stop the application, or take scripts from its users (from 6.0 on: redis-cli ACL SETUSER <its user> -eval -evalsha), ' +
  `then have the source forget them: redis-cli SCRIPT FLUSH (before 5.0 CONFIG RESETSTAT as well); ${UPGRADE}`;

/** Before 5.0 ours and others' are one number, and none of it may be left: a compare, or a copy of what changes, adds to it again. */
export const CALLS_REMEDY =
  'for the cutover stop the application, then at the gate, after the compare, have the source forget all scripts, ours as well: ' +
  `redis-cli CONFIG RESETSTAT and redis-cli SCRIPT FLUSH; ${UPGRADE}`;

/** Only by SCRIPT EXISTS ours are known from others'. SCRIPT FLUSH alone helps as well, until we run the next of our own. */
export const ASKING_REMEDY =
  'let our user ask which of the scripts are ours: redis-cli ACL SETUSER <our user> +script|exists (or +script; before 6.0 no rename-command SCRIPT in its ' +
  `configuration), and where there are others: ${SCRIPTS_REMEDY}`;

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

/** It can't be told whether others than us ran scripts: that is no "none". */
export interface Untold {
  /** What stands behind "lets scripts write in spite of …, and ". */
  why: string;
  remedy: string;
}

/**
 * How many scripts others than us had the server keep, or before 5.0 how often: since its start, or SCRIPT FLUSH. It can't
 * tell which of them write. Not by commandstats, where there is better: those count our own readings by script as well.
 */
export async function othersScripts(redis: Redis): Promise<number | Untold> {
  // In this order: one of ours that comes between is counted as another's, which a retry mends, and none of theirs is missed.
  const [ours, memory] = await Promise.all([oursAmongKept(redis), redis.info('memory')]);
  const kept = parseInfo(memory)['number_of_cached_scripts'];
  if (kept === undefined) return callsOfOthers(redis, ours);
  if (kept === '0') return 0;
  if (typeof ours === 'number') return Math.max(0, Number(kept) - ours);
  // Neither "all are others'" nor "all are ours": one of them is our own probe as soon as a fence was tried before.
  const why = `may have run some that are not ours: it keeps ${kept}, and does not let us ask which (${ours.refused})`;
  return { why, remedy: ASKING_REMEDY };
}

/** How many of ours the server keeps, or why it does not say: SCRIPT refused, or renamed. */
async function oursAmongKept(redis: Redis): Promise<number | { refused: string }> {
  try {
    const found = (await redis.script('EXISTS', ...ownShas())) as number[];
    return found.filter((one) => one === 1).length;
  } catch (error) {
    // The rest of "unknown command" are the arguments.
    if (error instanceof Error && error.name === 'ReplyError') return { refused: error.message.split(',')[0]! };
    throw error;
  }
}

/** Of a server that keeps no count of scripts: those before 5.0. */
async function callsOfOthers(redis: Redis, ours: Awaited<ReturnType<typeof oursAmongKept>>): Promise<number | Untold> {
  const counted = commandCalls(await redis.info('commandstats'));
  const calls = (counted.get('eval') ?? 0) + (counted.get('evalsha') ?? 0);
  // Our questions until here are counted, too: a server without a single line keeps no such count.
  const counts = counted.size > 0;
  if (counts && (calls === 0 || ours === 0)) return calls;
  const known = counts ? `${calls} calls in all` : 'it counts none';
  return { why: `does not tell which scripts ran beside our own (${known})`, remedy: CALLS_REMEDY };
}

/** Why writes of scripts may get through a fence, and what to do about it. */
export interface ThroughFence {
  why: string;
  remedy: string;
}

/**
 * Asked while the fence is up.
 * @returns undefined where none gets through
 * @throws what the server answers
 */
export async function scriptsGetThrough(redis: Redis, key: string): Promise<ThroughFence | undefined> {
  // Before our own is tried: it would be counted, and before 5.0 no server tells it from others.
  const [server, others] = await Promise.all([redis.info('server'), othersScripts(redis)]);
  const version = versionIfReadable(parseInfo(server));
  const holds = version !== undefined && refusesScripts(version);
  // Then none is tried on an old server, and the next attempt finds it as this one did. A new one is asked all the same:
  // in a CLUSTER FAILOVER it holds EVAL back until that is over, while DEL is refused at once.
  if (others === 0 && !holds) return undefined;
  const tried = await tryScript(redis, key);
  if (tried === 'refused' || others === 0) return undefined;
  // A server that ran it is not believed, whatever it calls itself. One that we can't read proves nothing.
  if (tried === 'unasked' && holds) return undefined;
  const through = tried === 'ran' ? 'lets scripts write' : 'may let scripts write, which our user may not try';
  const { why, remedy } = whyOthers(others);
  return { why: `${version?.text ?? 'the server'} ${through} in spite of min-replicas-to-write, and ${why}`, remedy };
}

/** In words, what is not 0. */
export function whyOthers(others: number | Untold): Untold {
  return typeof others === 'number'
    ? { why: `has run some that are not ours (${others})`, remedy: SCRIPTS_REMEDY }
    : others;
}
