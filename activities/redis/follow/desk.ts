/**
 * Where the follower of a copy and the steps of its migration meet: keys on the target. No worker's memory holds them, so
 * that a step on one worker can ask a follower on another, and whoever goes on after a crash finds the checkpoint beside
 * the data that it speaks of: a target that lost one has lost the other.
 */
import type { Redis } from 'ioredis';
import type { CopyTotals } from '../../../spec/redis-copy.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { ErrorType } from '../../../spec/errors.ts';
import { permanent } from '../../errors.ts';
import { endEarlierCopiers, OWNER } from '../copy/obstacles.ts';
import type { CopyCheckpoint, CopyState } from '../copy/types.ts';
import { connectToNodeOf } from '../node-of-key.ts';

/** The owner's name as hash tag: in a cluster all of these lie in one slot. */
const desk = (name: string) => `cutover:copy:{${OWNER}}:${name}`;
const FOLLOW = desk('follow');
const ASKED = desk('asked');
/** All that stays between two words; they lie in one slot. */
export const DESK_KEYS = [FOLLOW, ASKED, OWNER] as const;
const answerKey = (id: string) => `${desk('answer')}:${id}`;

/** Whoever claims the target anew gives a claim of its own: a follower with another one must not write any more. */
export const ownerOf = (migrationId: string, claim: string): string => `${migrationId} ${claim}`;
/** The names of all connections of a follower to its target: those that copy, and the one to the desk. */
export const copierNames = (migrationId: string) =>
  [`cutover:${migrationId}:copy`, `cutover:${migrationId}:copy:desk`] as const;
/** The claim that nobody holds: the copy has ended, and the target is the application's. */
export const CLOSED = 'closed';

export interface Standing {
  claim: string;
  /** One more with each word: a follower that says nothing is known by it, whatever the clocks say. */
  sequence: number;
  state?: CopyState;
  notes: string[];
  /** Why its last attempt ended; the next one takes it back. */
  failed?: string;
}

export interface DrainRequest {
  id: string;
  timeoutMs: number;
}
export type DrainAnswer =
  { drained: true; totals: CopyTotals; notes: string[] } | { drained: false; why: string; remedy?: string };

/** How long a blocking command waits at the server, s; less than the time after which our side gives a command up. */
const BLOCK_S = 5;
const COMMAND_TIMEOUT_MS = 30_000;
/** An answer that nobody fetched. */
const ANSWER_LASTS_MS = 60_000;

export class Desk {
  readonly #redis: Redis;
  /** For requests: what is said must not wait behind a command that waits. */
  readonly #waiting: Redis | undefined;
  #sequence = 0;

  private constructor(redis: Redis, waiting?: Redis) {
    this.#redis = redis;
    this.#waiting = waiting;
  }

  /** @param role `follow`: the follower's own; it is the only one of its migration. @throws what connecting throws */
  static async open(target: RedisEndpoint, migrationId: string, role: 'follow' | 'ask'): Promise<Desk> {
    const name = role === 'follow' ? copierNames(migrationId)[1] : `cutover:${migrationId}:ask`;
    const connect = () => connectToNodeOf(OWNER, target, 'target', name, COMMAND_TIMEOUT_MS);
    const { redis } = await connect();
    if (role === 'ask') return new Desk(redis);
    try {
      // An earlier attempt that still waits there would take the next request, and not answer.
      await endEarlierCopiers(redis, () => {});
      return new Desk(redis, (await connect()).redis);
    } catch (error) {
      redis.disconnect();
      throw error;
    }
  }

  close(): void {
    this.#redis.disconnect();
    this.#waiting?.disconnect();
  }

  owner(): Promise<string | null> {
    return this.#redis.get(OWNER);
  }

  /** @throws cutover.NotOurs where another claim is in force: this follower was given up */
  async requireClaim(migrationId: string, claim: string): Promise<void> {
    const owner = await this.owner();
    if (owner === ownerOf(migrationId, claim)) return;
    throw permanent(ErrorType.notOurs, `this copy was given up: the target belongs to "${owner ?? 'nobody'}" by now`, {
      remedy: 'nothing to be done where the migration has gone on; else retry the step, which takes the target anew',
    });
  }

  /** Takes a target that is nobody's, or this migration's own, for `claim`. @returns whether it did */
  async claim(migrationId: string, claim: string): Promise<boolean> {
    const value = ownerOf(migrationId, claim);
    if ((await this.#redis.set(OWNER, value, 'NX')) === 'OK') return true;
    if (!isOwn(await this.owner(), migrationId)) return false;
    await this.#redis.set(OWNER, value);
    return true;
  }

  /** What the follower says of itself, and where it would go on. */
  async say(claim: string, said: Omit<Standing, 'claim' | 'sequence'>, checkpoint?: CopyCheckpoint): Promise<void> {
    const standing: Standing = { claim, sequence: ++this.#sequence, ...said };
    const fields = ['standing', JSON.stringify(standing)];
    if (checkpoint) fields.push('checkpoint', JSON.stringify(checkpoint));
    await this.#redis.hset(FOLLOW, ...fields);
  }

  async standing(): Promise<Standing | undefined> {
    const text = await this.#redis.hget(FOLLOW, 'standing');
    return text === null ? undefined : (JSON.parse(text) as Standing);
  }

  async checkpoint(): Promise<CopyCheckpoint | undefined> {
    const text = await this.#redis.hget(FOLLOW, 'checkpoint');
    return text === null ? undefined : (JSON.parse(text) as CopyCheckpoint);
  }

  /**
   * Asks the follower to drain and to end, and waits for its answer.
   * @param withinMs the answer; the request is for less
   * @returns undefined where none came in time; the request is void by then
   */
  async askToDrain(request: DrainRequest, withinMs: number): Promise<DrainAnswer | undefined> {
    const deadline = performance.now() + withinMs;
    await this.#redis
      .multi()
      .del(ASKED)
      .rpush(ASKED, JSON.stringify(request))
      .pexpire(ASKED, Math.max(1, Math.round(withinMs)))
      .exec();
    for (;;) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return undefined;
      // A timeout below a second is only known since Redis 6, and 0 waits for ever.
      const found = await this.#redis.blpop(
        answerKey(request.id),
        Math.max(1, Math.min(BLOCK_S, Math.ceil(leftMs / 1000))),
      );
      if (found) return JSON.parse(found[1]) as DrainAnswer;
    }
  }

  /** The follower's next request, whenever it comes. */
  async nextRequest(): Promise<DrainRequest> {
    if (!this.#waiting) throw new Error('only the follower’s desk takes requests');
    for (;;) {
      const found = await this.#waiting.blpop(ASKED, BLOCK_S);
      if (found) return JSON.parse(found[1]) as DrainRequest;
    }
  }

  async answer(id: string, answer: DrainAnswer): Promise<void> {
    const key = answerKey(id);
    await this.#redis.multi().rpush(key, JSON.stringify(answer)).pexpire(key, ANSWER_LASTS_MS).exec();
  }

  /** Nothing of the copy's own stays on the target. */
  async clear(): Promise<void> {
    await this.#redis.del(...DESK_KEYS);
  }
}

/** Also of an earlier run's copy, or one by `copyRedis`, of the same migration. */
export const isOwn = (owner: string | null, migrationId: string): boolean =>
  owner === migrationId || (owner?.startsWith(`${migrationId} `) ?? false);
