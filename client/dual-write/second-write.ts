/**
 * Writes to the side that is not the authority, in the order of the application, key by key. Whatever does not come to be
 * here is in the journal, and the repair carries it over.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { keyId } from './call.ts';
import type { Arg } from './call.ts';
import { copyKey } from './copy-key.ts';
import { mayFailHalfway } from './effect.ts';
import type { Effect } from './effect.ts';
import { DualWriteError, isReplyError, notSent, textOf } from './errors.ts';
import type { Link } from './link.ts';
import type { Settings } from './options.ts';
import type { TouchedKeys } from './touched-keys.ts';

export interface SecondWriteRequest {
  /** For people: the command, or multi. */
  name: string;
  keys: readonly Arg[];
  db: number;
  from: Link;
  to: Link;
  timeoutMs: number;
  /** Sent on the authority's one main connection: what is read there afterwards has it in it. */
  inOrder: boolean;
}

/** left: the repair will do it. */
export type Outcome = 'written' | 'left' | { failed: unknown };

export interface SecondWriteFailure {
  command: string;
  keys: readonly Arg[];
  error: unknown;
}

interface Job extends SecondWriteRequest {
  seq: number;
  ids: readonly string[];
  startedAt: number;
  /** Of the phase it began under: it is given up with that phase, also if its first try is still under way then. */
  givenUp: AbortSignal;
}

export class SecondWrites {
  /** Waiting for another try. */
  queued = 0;
  /** Left to the repair. */
  recorded = 0;
  /** Failed for good. */
  failed = 0;
  private readonly settings: Settings;
  private readonly journal: TouchedKeys;
  private readonly onFailure: (failure: SecondWriteFailure) => void;
  /** The last job of each key. */
  private readonly tails = new Map<string, Promise<void>>();
  /**
   * Up to which job a copy of the key's state may have the writes in it. Such a write must not be told again: it would be
   * done twice.
   */
  private readonly covered = new Map<string, { seq: number; ok: boolean }>();
  private seq = 0;
  private open = 0;
  private given = new AbortController();

  constructor(settings: Settings, journal: TouchedKeys, onFailure: (failure: SecondWriteFailure) => void) {
    this.settings = settings;
    this.journal = journal;
    this.onFailure = onFailure;
  }

  /** No more tries: what waits for one is left to the repair. The phase changes, or the client is closed. */
  giveUp(): void {
    this.given.abort();
    this.given = new AbortController();
  }

  /**
   * To be called in the turn in which the write was sent to the authority: its place in the order is taken then.
   * Never rejects.
   */
  follow(
    request: SecondWriteRequest,
    authority: Promise<unknown>,
    effect: (reply: unknown) => Effect,
  ): Promise<Outcome> {
    authority.catch(() => {});
    this.seq += 1;
    const ids = [...new Set(request.keys.map((key) => `${request.db}:${keyId(key)}`))];
    const job: Job = { ...request, ids, seq: this.seq, startedAt: performance.now(), givenUp: this.given.signal };
    if (this.open >= this.settings.maxQueued) return Promise.resolve(this.leave());
    this.open += 1;
    const before = Promise.all(ids.map((id) => this.tails.get(id) ?? Promise.resolve()));
    const outcome = before.then(() => this.perform(job, authority, effect)).catch((failed: unknown) => ({ failed }));
    const done = outcome.then(() => {
      this.open -= 1;
      for (const id of ids) {
        if (this.tails.get(id) !== done) continue;
        this.tails.delete(id);
        this.covered.delete(id);
      }
    });
    for (const id of ids) this.tails.set(id, done);
    return outcome;
  }

  private async perform(job: Job, authority: Promise<unknown>, effect: (reply: unknown) => Effect): Promise<Outcome> {
    let what: Effect;
    try {
      what = effect(await authority);
    } catch (error) {
      const written = error instanceof DualWriteError && error.written === true;
      if (isReplyError(error) && !mayFailHalfway(job.name)) return 'written'; // refused: neither side has it
      // Not known whether it took place: if it did, the journal has it.
      if (!isReplyError(error) && !written) return this.leave();
      what = 'copy';
    }
    if (what !== 'copy' && what.length === 0) return 'written';
    const states = job.ids
      .map((id) => this.covered.get(id))
      .filter((state) => state !== undefined && state.seq >= job.seq);
    if (job.inOrder && states.length === job.ids.length && states.every((state) => state?.ok === true))
      return 'written';
    if (states.length > 0) what = 'copy';
    try {
      return await this.attempt(job, what);
    } catch (error) {
      this.onFailure({ command: job.name, keys: job.keys, error });
      if (this.settings.secondWrite === 'queue') return this.tryAgain(job);
      this.failed += 1;
      this.recorded += 1;
      return { failed: error };
    }
  }

  /** @throws where the other side did not take it */
  private async attempt(job: Job, what: Effect): Promise<Outcome> {
    if (what === 'copy') return this.copy(job);
    const { to, db } = job;
    const leftMs = left(job);
    try {
      const [first, ...more] = what;
      if (first === undefined) return 'written';
      if (more.length === 0) await to.send(first, 'utf8', db, leftMs).answer;
      else await allDone(to.transaction(what, db, leftMs).answer);
      return 'written';
    } catch (error) {
      // Its state is another than the authority's (not filled yet), or its slots are: then the state is what counts.
      if (isReplyError(error) || textOf(error).includes('slot')) return this.copy(job);
      throw error;
    }
  }

  private async copy(job: Job): Promise<Outcome> {
    const { from, to, db } = job;
    let whole = true;
    for (const key of new Map(job.keys.map((one) => [keyId(one), one])).values()) {
      const id = `${db}:${keyId(key)}`;
      let upTo = { seq: 0, ok: false };
      const bounds = { db, leftMs: () => left(job), maxBytes: this.settings.maxCopyBytes };
      const copied = await copyKey(from, to, key, bounds, () => {
        upTo = { seq: this.seq, ok: false };
        this.covered.set(id, upTo);
      });
      if (copied === 'copied') upTo.ok = true;
      else whole = false;
    }
    return whole ? 'written' : this.leave();
  }

  /**
   * Policy `queue`. Each try writes the journal anew, because a second write must never be younger than its entry; and it
   * copies the state, which can be done any number of times.
   */
  private async tryAgain(job: Job): Promise<Outcome> {
    const signal = job.givenUp;
    this.queued += 1;
    try {
      for (let pause = 100; ; pause = Math.min(2 * pause, 2_000)) {
        await delay(pause, undefined, { signal });
        if (!job.to.ready(job.db)) continue;
        job.startedAt = performance.now();
        try {
          await job.from.send(this.journal.record(job.from, job.keys), 'utf8', job.db, job.timeoutMs).answer;
          return await this.copy(job);
        } catch (error) {
          this.onFailure({ command: job.name, keys: job.keys, error });
        }
      }
    } catch {
      this.failed += 1;
      return this.leave();
    } finally {
      this.queued -= 1;
    }
  }

  private leave(): Outcome {
    this.recorded += 1;
    return 'left';
  }
}

/** First and second write together must not take longer than the journal's entry is kept for. @throws when that is over */
function left(job: Job): number {
  const leftMs = Math.min(job.timeoutMs, job.startedAt + 2 * job.timeoutMs - performance.now());
  if (leftMs < 1) throw notSent('its time was over before its turn came on the second side');
  return leftMs;
}

async function allDone(answer: Promise<unknown>): Promise<void> {
  const results = (await answer) as [Error | null, unknown][];
  const failed = results.find(([error]) => error !== null);
  if (failed !== undefined) throw failed[0];
}
