/**
 * A save of ours, and no other's: BGSAVE, waited for by INFO persistence. What stood on the disk before, and a save that
 * was under way when we came, do not hold what was written up to now.
 */
import { Context, sleep } from '@temporalio/activity';
import type { Redis } from 'ioredis';
import { ErrorType } from '../../../spec/errors.ts';
import type { RdbMark, SavedRdb } from '../../../spec/redis-rdb.ts';
import type { Progress } from '../../../spec/status.ts';
import { keep, kept } from '../../aws/kept.ts';
import { beat } from '../../beat.ts';
import { permanent, transient } from '../../errors.ts';
import { withRedis } from '../connect.ts';
import { parseInfo } from '../replication.ts';
import type { SaveRdbArgs } from './args.ts';
import { takeMark } from './mark.ts';

const INTERVAL_MS = 500;

/** What we asked for. Kept over a crash, so that a save of ours that runs is waited for and not begun again. */
interface Order {
  mark: RdbMark;
  /** LASTSAVE before it. It moves at the end of a save that went well, and at no other time. */
  lastSave: number;
  keys: Record<string, number>;
  waitedMs: number;
  orderedAtMs: number;
}

/** It ended without a file and without an error: FLUSHALL and a full sync of a new primary end a save so. */
const ENDED = 'the save was ended by the server itself (FLUSHALL, or SHUTDOWN?)';

/** "Background save already in progress", "Another child process is active (AOF?): can't BGSAVE right now". */
const ANOTHER_RUNS = /already in progress|child process|can't BGSAVE/i;

/**
 * Saves, and waits for the end of it. Safe to run twice: it goes on waiting for a save of its own, or makes another one.
 * @throws cutover.ServiceFailed where the server says that saving failed; cutover.Deadline; cutover.Denied without
 *   permission for BGSAVE, INFO and TIME; cutover.Unreachable; cutover.Busy (tried again) where the save was ended
 */
export async function saveRdb(args: SaveRdbArgs): Promise<SavedRdb> {
  const { source } = args;
  return withRedis(source, { name: 'cutover:rdb-save' }, async (redis) => {
    const server = parseInfo(await redis.info('server'));
    const before = kept<{ order: Order }>().order;
    // A restarted server has forgotten what it was asked for.
    const order = before?.mark.server === server['run_id'] && before ? before : await begin(redis, args);
    const savedAt = await untilSaved(redis, args, order);
    const tookMs = Date.now() - order.orderedAtMs;
    return {
      mark: order.mark,
      savedAt,
      ...(await placeOf(redis)),
      version: server['valkey_version'] ?? server['redis_version'] ?? '',
      engine: server['valkey_version'] === undefined ? 'redis' : 'valkey',
      keys: order.keys,
      tookMs,
      waitedMs: order.waitedMs,
    };
  });
}

async function begin(redis: Redis, args: SaveRdbArgs): Promise<Order> {
  const came = Date.now();
  for (;;) {
    const state = await read(redis);
    const mark = await takeMark(redis);
    // In the second in which another save ended, its file could be taken for ours: both say the same second.
    const free = !state.saving && !state.rewriting && mark.second > state.lastSave;
    if (free && (await ordered(redis))) {
      const order: Order = {
        mark,
        lastSave: state.lastSave,
        keys: await keysByDatabase(redis),
        waitedMs: Date.now() - came,
        orderedAtMs: Date.now(),
      };
      keep({ order });
      return order;
    }
    const what = state.rewriting ? 'its AOF is rewritten' : 'another save is under way';
    beat({ progress: { ...savingProgress(state), text: `${what}: it is waited for, and then ours is begun` } });
    await wait(args, what);
  }
}

/** False where another child of the server's came first. */
async function ordered(redis: Redis): Promise<boolean> {
  try {
    const answer = String(await redis.call('BGSAVE'));
    // "Background saving scheduled" would be one that begins later: not asked for, so not expected.
    return /started/i.test(answer);
  } catch (error) {
    if (error instanceof Error && ANOTHER_RUNS.test(error.message)) return false;
    throw error;
  }
}

async function untilSaved(redis: Redis, args: SaveRdbArgs, order: Order): Promise<number> {
  for (;;) {
    const state = await read(redis);
    // None ran when ours was begun, so one that has ended since was begun with it or after it.
    if (state.lastSave > order.lastSave) return state.lastSave;
    if (!state.saving) {
      // The next attempt begins another one.
      keep({ order: null });
      if (state.failed) throw failed(args);
      throw transient(ErrorType.busy, `BGSAVE of ${nameOf(args)}: ${ENDED}`, { afterMs: 2_000 });
    }
    beat({ progress: savingProgress(state) });
    await wait(args, 'the save goes on');
  }
}

async function wait({ source, timeoutMs, intervalMs }: SaveRdbArgs, what: string): Promise<void> {
  const waited = Date.now() - Context.current().info.scheduledTimestampMs;
  if (waited > timeoutMs) {
    throw permanent(
      ErrorType.deadline,
      `BGSAVE of ${source.host}:${source.port}: no save of ours after ${timeoutMs / 1000} s: ${what}`,
      { remedy: 'look at INFO persistence and the log of the server; give the file a longer timeout, then retry' },
    );
  }
  await sleep(intervalMs ?? INTERVAL_MS);
}

interface State {
  /** A save to the disk, or for a replica. */
  saving: boolean;
  rewriting: boolean;
  failed: boolean;
  lastSave: number;
  done: number;
  total: number;
  seconds: number;
}

async function read(redis: Redis): Promise<State> {
  const info = parseInfo(await redis.info('persistence'));
  return {
    saving: info['rdb_bgsave_in_progress'] !== '0',
    rewriting: info['aof_rewrite_in_progress'] === '1',
    failed: info['rdb_last_bgsave_status'] !== 'ok',
    lastSave: Number(info['rdb_last_save_time'] ?? 0),
    // Since 7.0.
    done: Number(info['current_save_keys_processed'] ?? 0),
    total: Number(info['current_save_keys_total'] ?? 0),
    seconds: Number(info['rdb_current_bgsave_time_sec'] ?? -1),
  };
}

function savingProgress({ done, total, seconds }: State): Progress {
  const since = seconds >= 0 ? `, for ${seconds} s` : '';
  return {
    text: `the source saves its data${since}`,
    ...(total > 0 ? { done, total, unit: 'keys' as const } : {}),
  };
}

async function keysByDatabase(redis: Redis): Promise<Record<string, number>> {
  const found = Object.entries(parseInfo(await redis.info('keyspace')));
  return Object.fromEntries(
    found.flatMap(([db, text]) => {
      const keys = /^keys=(\d+)/.exec(text)?.[1];
      return keys === undefined ? [] : [[db, Number(keys)]];
    }),
  );
}

/** Nothing where CONFIG is blocked or renamed: then the file has to say the path. */
async function placeOf(redis: Redis): Promise<Pick<SavedRdb, 'dir' | 'dbfilename'>> {
  const get = async (name: string) => (await redis.config('GET', name).catch(() => [])) as string[];
  const [dir, dbfilename] = [(await get('dir'))[1], (await get('dbfilename'))[1]];
  return { ...(dir === undefined ? {} : { dir }), ...(dbfilename === undefined ? {} : { dbfilename }) };
}

const nameOf = ({ source }: SaveRdbArgs) => `${source.host}:${source.port}`;

function failed(args: SaveRdbArgs) {
  return permanent(ErrorType.serviceFailed, `BGSAVE of ${nameOf(args)} failed (rdb_last_bgsave_status:err)`, {
    remedy:
      'the reason is in the log of the server: no room on the disk of its dir (CONFIG GET dir), no permission there, or no memory for a fork (sysctl vm.overcommit_memory=1). Mend it, then retry the step',
  });
}
