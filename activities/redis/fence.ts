/**
 * The hard fence: `min-replicas-to-write` beyond reach makes the source refuse every write, with an error that the
 * application sees. A client paused with CLIENT PAUSE would write to the old primary when the pause lapses, which loses
 * that write (facts/redis-aws 4.5); a refused one is never acknowledged. It survives our crash, and one CONFIG SET lifts it.
 */
import type { Redis } from 'ioredis';
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import {
  FENCE_KEY,
  fenceValue,
  isFenceValue,
  readFenceRecord,
  readFenceSettings,
  type FenceRecord,
  type FenceSettings,
} from './fence-record.ts';
import { scriptsGetThrough } from './fence-scripts.ts';
import { parseInfo, readSource } from './replication.ts';
import { replicaOf } from './role.ts';

const DEFAULT_MAX_LAG_SECONDS = 10;

export interface RaisedFence {
  /** When the source began to refuse writes, by the worker's clock, epoch ms. */
  raisedAt: number;
  /** Every acknowledged write is at or below this replication offset. */
  offset: number;
  replid: string;
  runId: string;
}

/**
 * Raises the fence, or takes it over from an earlier attempt with a generation of its own. Records the old settings
 * first, and never overwrites such a record: the second run would note the fence itself as the old value.
 * @throws cutover.NotOurs where another migration's fence is up; cutover.Invalid where writes are still accepted
 */
export async function raiseFence(redis: Redis, migration: string, generation: number): Promise<RaisedFence> {
  const runId = parseInfo(await redis.info('server'))['run_id'] ?? '';
  const settings = await readFenceSettings(redis);
  const since = await recordFence(redis, migration, settings, runId);
  await setFence(redis, settings, generation);
  // Of a fence that an earlier attempt raised: since then writes are held back.
  const raisedAt = since === undefined ? Date.now() : Date.parse(since);
  await proveRefusing(redis);
  // Read after the fence is up: no write that was acknowledged can be above it.
  const source = await readSource(redis);
  return { raisedAt, offset: source.offset, replid: source.replid, runId };
}

/** The settings alone: the old ones must have been recorded before. */
export async function setFence(redis: Redis, settings: FenceSettings, generation: number): Promise<void> {
  await redis.config('SET', settings.toWriteName, fenceValue(generation));
  // 0 disables the check altogether, and with it the fence. Second: who lifts sees by the first that there is one to lift.
  if (settings.maxLag === 0) await redis.config('SET', settings.maxLagName, DEFAULT_MAX_LAG_SECONDS);
}

/** @returns since when an earlier attempt's fence is up */
async function recordFence(
  redis: Redis,
  migration: string,
  settings: FenceSettings,
  runId: string,
): Promise<string | undefined> {
  const found = await readFenceRecord(redis);
  if (found) {
    if (found.migration === migration) return isFenceValue(settings.toWrite) ? found.at : undefined;
    throw fencedByAnother(found);
  }
  // Fenced already, and the record was lost (evicted, or flushed): it can't be written now, and opening the fence for a
  // moment to write it could let a write through after a promotion. Lifting falls back to 0 and says so.
  if (isFenceValue(settings.toWrite)) return undefined;
  const record: FenceRecord = {
    migration,
    minReplicasToWrite: settings.toWrite,
    minReplicasMaxLag: settings.maxLag,
    at: new Date().toISOString(),
    runId,
  };
  await redis.set(FENCE_KEY, JSON.stringify(record), 'NX');
  return undefined;
}

export function fencedByAnother({ migration, at }: FenceRecord): Error {
  return permanent(ErrorType.notOurs, `the source is fenced by the migration ${migration}, since ${at}`, {
    remedy: `end that migration, or lift its fence: cutover unfence <its file>`,
  });
}

/** Which key is tried (in a cluster one of the node's own), and how the server is called in messages. */
export interface Probe {
  key: string;
  where: string;
}

const PROBE: Probe = { key: `${FENCE_KEY}:probe`, where: 'the source' };

/** A write that changes nothing, to see whether it is let through. */
async function writesAreRefused(redis: Redis, key: string): Promise<boolean> {
  try {
    await redis.del(key);
    return false;
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('NOREPLICAS')) return true;
    throw error;
  }
}

/** @throws cutover.Invalid where a write is accepted, or one of the application's scripts may be */
export async function proveRefusing(redis: Redis, { key, where } = PROBE): Promise<void> {
  if (!(await writesAreRefused(redis, key))) {
    throw permanent(ErrorType.invalid, `${where} still accepts writes after min-replicas-to-write was set`, {
      remedy: 'is it a replica, or a proxy in front of several servers? The fence must go to the primary itself',
    });
  }
  const through = await scriptsGetThrough(redis, key);
  if (through !== undefined) {
    const { why, remedy } = through;
    throw permanent(ErrorType.invalid, `the fence does not hold ${where}: ${why}`, { remedy });
  }
}

/**
 * Why the fence is not up, this attempt's own and on the primary; undefined where it is. Asked right before the call that
 * promotes, after the connection it will be made on is open: an attempt that was given up finds another generation here.
 */
export async function whyNotHeld(redis: Redis, generation: number): Promise<string | undefined> {
  const [{ toWrite }, primary] = await Promise.all([readFenceSettings(redis), replicaOf(redis)]);
  if (toWrite !== fenceValue(generation)) return 'the fence is not this attempt’s any more: another one has taken over';
  return primary && `the source is a replica of ${primary} by now, which was not fenced`;
}

export interface LiftedFence {
  changed: boolean;
  detail: string;
}

export interface LiftOptions {
  /** Refuse to lift another migration's fence. */
  migration?: string;
  /** Lift only where the fence is this attempt's own. */
  generation?: number;
}

export const NOT_THIS_ATTEMPTS: LiftedFence = {
  changed: false,
  detail: 'the fence is not this attempt’s, it is left alone',
};
export const NO_FENCE: LiftedFence = {
  changed: false,
  detail: 'there is no fence; the source takes writes as it is set',
};

/** @throws cutover.NotOurs */
export function refuseAnothers(record: FenceRecord | undefined, { migration }: LiftOptions): void {
  if (!record || !migration || record.migration === migration) return;
  throw permanent(ErrorType.notOurs, `the fence is that of the migration ${record.migration}, since ${record.at}`, {
    remedy: `use that migration's file, or --force`,
  });
}

/**
 * Puts the old settings back, proves that the source takes writes, and removes the record. Runs as often as it likes.
 * @throws cutover.NotOurs; cutover.Invalid where the source refuses writes for another reason, named
 */
export async function liftFence(redis: Redis, options: LiftOptions = {}): Promise<LiftedFence> {
  const settings = await readFenceSettings(redis);
  const record = await readFenceRecord(redis);
  if (options.generation !== undefined && settings.toWrite !== fenceValue(options.generation)) return NOT_THIS_ATTEMPTS;
  refuseAnothers(record, options);
  if (!record && !isFenceValue(settings.toWrite)) {
    return NO_FENCE;
  }
  if (isFenceValue(settings.toWrite)) {
    await redis.config('SET', settings.toWriteName, record?.minReplicasToWrite ?? 0);
    if (record?.minReplicasMaxLag === 0) await redis.config('SET', settings.maxLagName, 0);
  }
  await proveWritable(redis);
  await redis.del(FENCE_KEY);
  const to = `${settings.toWriteName} is ${record?.minReplicasToWrite ?? 0}`;
  if (!record) return { changed: true, detail: `lifted; its record was lost, so ${to}, which may not be what it was` };
  if (!isFenceValue(settings.toWrite)) {
    return {
      changed: true,
      detail: 'the source had been restarted and with it the fence was gone; its record is removed',
    };
  }
  return { changed: true, detail: `lifted: ${to} again` };
}

/** @throws cutover.Invalid with the server's reason where the source does not take writes */
export async function proveWritable(redis: Redis, { key, where } = PROBE): Promise<void> {
  try {
    await redis.del(key);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw permanent(ErrorType.invalid, `${where} does not take writes: ${text}`, {
      remedy: /NOREPLICAS/.test(text)
        ? 'its own min-replicas-to-write asks for more replicas than are attached now: redis-cli CONFIG SET min-replicas-to-write 0'
        : 'redis-cli ROLE and INFO replication on the source tell why',
    });
  }
}
