/**
 * The control key on the source: read, and changed by compare-and-set, so that neither a second workflow nor a late attempt
 * of an activity can set an older phase over a newer one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import {
  CHANGE_PHASE_SCRIPT,
  changeArguments,
  decodeControl,
  dualKeys,
  noControl,
  type DualControl,
} from '../../../spec/dual-write.ts';
import { ErrorType } from '../../../spec/errors.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import { permanent, transient } from '../../errors.ts';
import { CriticalLease } from '../critical-lease.ts';
import { ownScript } from '../own-scripts.ts';
import type { Target } from '../copy/target.ts';
import { dualFailure } from './failure.ts';
import { connectToNodeOf } from '../node-of-key.ts';

/** Here and not in the spec, which workflows load: they have no crypto. */
const CHANGE_PHASE = ownScript(CHANGE_PHASE_SCRIPT);

export interface ControlNow {
  control: DualControl;
  /** The source's clock, ms. */
  nowMs: number;
}

/** A change without what the script and the contract fill in. */
export type Change = Pick<DualControl, 'phase' | 'reads' | 'holdFrom' | 'holdUntil'> &
  Partial<Pick<DualControl, 'leaseMs' | 'writeTimeoutMs' | 'pollMs'>>;

export class ControlKey {
  readonly redis: Redis;
  readonly migration: RedisDualWrite;
  readonly where: string;
  readonly #keys: ReturnType<typeof dualKeys>;
  readonly #lease = new CriticalLease();

  private constructor(redis: Redis, migration: RedisDualWrite, where: string) {
    this.redis = redis;
    this.migration = migration;
    this.where = where;
    this.#keys = dualKeys(migration.id);
  }

  /** @throws cutover.Unreachable, cutover.Denied, cutover.Secret */
  static async open(migration: RedisDualWrite): Promise<ControlKey> {
    const { source, id } = migration;
    const { redis, where } = await connectToNodeOf(dualKeys(id).phase, source, 'source', `cutover:${id}:phase`);
    return new ControlKey(redis, migration, where);
  }

  /** @throws cutover.Invalid where the key holds something that is no control hash */
  async read(): Promise<ControlNow> {
    const [hash, time] = (await this.redis.multi().hgetall(this.#keys.phase).time().exec()) ?? [];
    const failed = hash?.[0] ?? time?.[0];
    if (failed) throw failed;
    const nowMs = timeOf(time?.[1]);
    try {
      return { control: decodeControl(hash?.[1] as Record<string, string>) ?? noControl(), nowMs };
    } catch (error) {
      throw permanent(
        ErrorType.invalid,
        `the key ${this.#keys.phase} on ${this.where} can't be understood: ${(error as Error).message}`,
        { remedy: 'is it of another version of cutover, or was it edited? Instances refuse writes until it is mended' },
      );
    }
  }

  /**
   * Changes the phase from what was read.
   * @param acknowledged every instance has acknowledged `from`
   * @returns the control as it is now
   * @throws cutover.Busy (retried) where it was changed meanwhile, cutover.Deadline where a hold ran out
   */
  async change(from: DualControl, to: Change, acknowledged = false): Promise<DualControl> {
    const { leaseMs, writeTimeoutMs, pollMs } = from;
    const setBy = `cutover ${this.migration.id}`;
    const change = { leaseMs, writeTimeoutMs, pollMs, ...to, setBy };
    const { keys, args, control } = changeArguments(this.migration.id, from, change, acknowledged);
    // However long it takes, but not after standing still: another attempt may have taken over.
    this.#lease.check(`phase ${to.phase}`, Number.POSITIVE_INFINITY);
    const answer = await this.redis.eval(CHANGE_PHASE.text, 1, ...keys, ...args);
    const [outcome, epoch, , readsUntil] = answer as [string, number, string, string | null | undefined];
    if (outcome === 'set') return readsUntil ? { ...control, readsUntil: Number(readsUntil) } : control;
    const wanted = `phase ${to.phase} could not be set`;
    if (outcome === 'late') throw permanent(ErrorType.deadline, `${wanted}: the hold of the writes had run out`);
    if (outcome === 'early')
      throw transient(ErrorType.busy, `${wanted}: an instance may still read from the other side`);
    throw transient(ErrorType.busy, `${wanted}: the control key is at epoch ${epoch} by now, not ${from.epoch}`);
  }

  /** True where this process stood still for longer than a moment: others may have gone on without it. */
  get stoodStill(): boolean {
    return this.#lease.stoodStill;
  }

  wait = (ms: number, signal?: AbortSignal): Promise<void> => sleep(ms, undefined, signal ? { signal } : {});

  close(): void {
    this.#lease.end();
    this.redis.disconnect();
  }
}

/** Runs `use` with the control key's connection and closes it. */
export async function withControl<T>(migration: RedisDualWrite, use: (key: ControlKey) => Promise<T>): Promise<T> {
  const key = await ControlKey.open(migration);
  try {
    return await use(key);
  } catch (error) {
    throw dualFailure(error, key.where);
  } finally {
    key.close();
  }
}

/** TIME as ms. */
export function timeOf(reply: unknown): number {
  const [seconds, micros] = reply as [string | number, string | number];
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

/** The server that holds our journal on a side. */
const journalKeyOf = (id: string): Buffer => Buffer.from(dualKeys(id).touched);
export const journalServer = (side: Target, id: string) => side.serverOf(journalKeyOf(id));
