/**
 * XREADGROUP, XACK and XCLAIM move the groups of a stream without an event. While it follows, the streams whose groups differ are
 * copied again: a compare that comes before the fence would else find them different for ever.
 */
import { groupsState } from '../compare/stream-groups.ts';
import type { Copier } from './copier.ts';
import type { LatencyGuard, Pace } from './pace.ts';
import type { KeyGroup, Streams } from './recent.ts';
import { copyAll } from './scan-node.ts';
import type { Server } from './server.ts';
import type { Target } from './target.ts';

/** The pauses between a compare's readings add up to more. */
const EVERY_MS = 1_000;
/** Streams with many pending entries take long to read, large ones long to copy: the source rests for so many times that. */
const REST_AFTER_PASS = 2;
/** So many are in hand at most when a drain begins. */
const PAGE = 50;
/** It went away, or became another type, between two commands; of that there is an event. */
const CHANGED = /^(WRONGTYPE|ERR no such key|NOGROUP)/;

export interface MovedContext {
  streams: Streams;
  target: Target;
  copier: Copier;
  pace: Pace;
  guardOf: (server: Server) => LatencyGuard | undefined;
  wait: (ms: number) => Promise<void>;
  signal: AbortSignal;
}

export class MovedStreams {
  readonly #context: MovedContext;
  #held = false;
  #busy = false;

  constructor(context: MovedContext) {
    this.#context = context;
  }

  /** A page was read and may be about to be copied. */
  get busy(): boolean {
    return this.#busy;
  }

  /** No page is begun any more: a drain copies every stream itself, and nothing may be written after it. */
  hold(on: boolean): void {
    this.#held = on;
  }

  /** Until the signal is aborted. @throws CopyError, and what the connections throw */
  async copyForEver(): Promise<void> {
    const { streams, wait, signal } = this.#context;
    while (!signal.aborted) {
      const began = performance.now();
      for (const group of streams.groups()) await this.#pass(group);
      await wait(Math.max(EVERY_MS, REST_AFTER_PASS * (performance.now() - began)));
    }
  }

  async #pass({ server, db, keys }: KeyGroup): Promise<void> {
    const { pace, guardOf } = this.#context;
    for (let from = 0; from < keys.length; from += PAGE) {
      const page = keys.slice(from, from + PAGE);
      await guardOf(server)?.clear();
      await pace.keys(page.length);
      if (this.#held) return;
      this.#busy = true;
      try {
        await this.#copyMoved({ server, db, keys: page });
      } finally {
        this.#busy = false;
      }
    }
  }

  async #copyMoved({ server, db, keys }: KeyGroup): Promise<void> {
    const { target, copier, wait } = this.#context;
    const source = await server.db(db);
    const states = keys.map(async (key) => {
      const to = await target.serverOf(key).db(db);
      return Promise.all([groupsState(source, key), groupsState(to, key)]).catch((error: Error) => {
        if (CHANGED.test(error.message)) return ['', ''];
        throw error;
      });
    });
    const found = await Promise.all(states);
    const moved = keys.filter((_, i) => found[i]?.[0] !== found[i]?.[1]);
    // Not held back for bytes: behind a fence by CLIENT PAUSE, what is held back would be read by EVAL, which hangs there.
    await copyAll(copier, server, db, moved, wait);
  }
}
