/**
 * XREADGROUP, XACK and XCLAIM move the groups of a stream without an event. While it follows, the streams whose groups differ are
 * copied again: a compare that comes before the fence would else find them different for ever.
 */
import type { Redis } from 'ioredis';
import { digestOf, packed } from '../compare/canonical.ts';
import { groupsOf, pendingDigests } from '../compare/stream-groups.ts';
import type { Group } from '../compare/stream-groups.ts';
import type { Copier } from './copier.ts';
import type { LatencyGuard, Pace } from './pace.ts';
import type { KeyGroup, Streams } from './recent.ts';
import type { Server } from './server.ts';
import { slotsMoved } from './target.ts';
import type { Target } from './target.ts';
import { touchedId } from './touched.ts';

/** The pauses between a compare's readings add up to more: what moved before them must have been copied by their end. */
const EVERY_MS = 1_000;
/** Thousands of streams that nobody reads are asked about all the same: both sides rest for so many times what that took. */
const REST_AFTER_LOOKING = 20;
const LONGEST_REST_MS = 30_000;
/** A large stream that is read all the time would else be rebuilt without pause: it is looked at again after so many times that. */
const REST_AFTER_COPY = 10;
/** So many are asked about at once. */
const PAGE = 50;
/** It went away, or became another type, between two commands; of that there is an event. */
const CHANGED = /^(WRONGTYPE|ERR no such key|NOGROUP)/;
/** Nothing else asks the target about its slots while it follows. */
const MOVED = /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN)/;
const REFUSED = /^NOPERM|unknown command/i;

export interface MovedContext {
  streams: Streams;
  target: Target;
  copier: Copier;
  pace: Pace;
  guardOf: (server: Server) => LatencyGuard | undefined;
  note: (text: string) => void;
  wait: (ms: number) => Promise<void>;
  signal: AbortSignal;
}

export class MovedStreams {
  readonly #context: MovedContext;
  /** Until when a stream is left alone, by performance.now(). */
  readonly #resting = new Map<string, number>();
  #held = false;
  #busy = false;

  constructor(context: MovedContext) {
    this.#context = context;
  }

  /** A page is being read, or a stream copied. */
  get busy(): boolean {
    return this.#busy;
  }

  /** No page and no stream is begun any more: a drain copies every stream itself, and nothing may be written after it. */
  hold(on: boolean): void {
    this.#held = on;
  }

  /** Until the signal is aborted, or a side refuses to be asked. @throws CopyError, and what the connections throw */
  async copyForEver(): Promise<void> {
    const { streams, note, wait, signal } = this.#context;
    while (!signal.aborted) {
      let lookedMs = 0;
      try {
        for (const group of streams.groups()) lookedMs += await this.#pass(group);
      } catch (error) {
        if (!(error instanceof LookRefused)) throw error;
        // No reason to end the copy: the drain brings every stream, whether it has moved or not.
        note(error.message);
        return;
      }
      await wait(Math.max(EVERY_MS, Math.min(LONGEST_REST_MS, REST_AFTER_LOOKING * lookedMs)));
    }
  }

  /** @returns for how long it asked, ms; copies, and pauses for the source's sake, are no reason to rest for the other streams */
  async #pass({ server, db, keys }: KeyGroup): Promise<number> {
    const { pace, guardOf } = this.#context;
    let lookedMs = 0;
    for (let from = 0; from < keys.length; from += PAGE) {
      const page = keys.slice(from, from + PAGE).filter((key) => this.#isDue(touchedId(server, db, key)));
      if (page.length === 0) continue;
      await guardOf(server)?.clear();
      await pace.keys(page.length);
      const began = performance.now();
      const moved = await this.#unlessHeld(() => this.#moved(server, db, page));
      lookedMs += performance.now() - began;
      // One by one: in hand together, the last would be as old as all took, and a drain would wait for every one of them.
      for (const key of moved ?? []) {
        await guardOf(server)?.clear();
        await this.#unlessHeld(() => this.#copy(server, db, key));
      }
    }
    return lookedMs;
  }

  /** Nothing else runs between the look at what is held and its being busy, which a drain waits for. */
  async #unlessHeld<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.#held) return undefined;
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  #isDue(id: string): boolean {
    const until = this.#resting.get(id);
    if (until === undefined) return true;
    if (until > performance.now()) return false;
    this.#resting.delete(id);
    return true;
  }

  async #moved(server: Server, db: number, keys: Buffer[]): Promise<Buffer[]> {
    const { target } = this.#context;
    const moved = await Promise.all(keys.map((key) => haveMoved(server, target.serverOf(key), db, key)));
    return keys.filter((_, i) => moved[i]);
  }

  async #copy(server: Server, db: number, key: Buffer): Promise<void> {
    const began = performance.now();
    // One in another hand is being copied, and looked at again by the next pass.
    // Not held back for bytes: behind a fence by CLIENT PAUSE, what is held back would be read by EVAL, which hangs there.
    await this.#context.copier.copy(server, db, [key]);
    const ended = performance.now();
    this.#resting.set(touchedId(server, db, key), ended + REST_AFTER_COPY * (ended - began));
  }
}

/** Whether the groups of a stream differ. Not its entries and last id: XADD, XDEL, XTRIM and XSETID send events. */
async function haveMoved(source: Server, target: Server, db: number, key: Buffer): Promise<boolean> {
  const both = <T>(read: (redis: Redis) => Promise<T>) =>
    Promise.all([asked(source, db, read), asked(target, db, read)]);
  const positions = (groups: Group[]) =>
    digestOf(packed(groups.flatMap((one) => [one.name, one.lastDelivered, Buffer.from(String(one.pending))])));
  try {
    const [here, there] = await both((redis) => groupsOf(redis, key));
    if (positions(here) !== positions(there)) return true;
    for (const group of here.filter(({ pending }) => pending > 0)) {
      const [ours, theirs] = await both(async (redis) => digestOf(packed(await pendingDigests(redis, key, group))));
      if (ours !== theirs) return true;
    }
    return false;
  } catch (error) {
    if (error instanceof Error && CHANGED.test(error.message)) return false;
    throw error;
  }
}

class LookRefused extends Error {}

/** @throws CopyError SLOTS_MOVED, LookRefused; what the connection throws */
async function asked<T>(server: Server, db: number, read: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = await server.db(db);
  try {
    return await read(redis);
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'ReplyError') throw error;
    if (MOVED.test(error.message)) throw slotsMoved(server);
    if (!REFUSED.test(error.message)) throw error;
    throw new LookRefused(
      `${server.name}: groups of streams can't be looked at (${error.message}): what XREADGROUP, XACK and XCLAIM change ` +
        'is brought by the drain alone, and a compare before it may find streams different. Let our user run XINFO and XPENDING ' +
        'there: the drain needs them too, for streams that were touched last',
    );
  }
}
