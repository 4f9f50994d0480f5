/** Keys that were touched and must be copied again: each once, however often it was touched, and never more than a limit. */
import type { Server } from './server.ts';

export interface Touched {
  server: Server;
  db: number;
  key: Buffer;
  /** When it was first touched since its last copy, by performance.now(). */
  at: number;
}

/** One key of the source, as text. */
export const touchedId = (server: Server, db: number, key: Buffer): string =>
  `${server.id} ${db} ${key.toString('latin1')}`;

/** Names of keys may be long: a limit in bytes beside the one in keys. */
const BYTES_PER_KEY = 512;
const MOST_LOOKED_AT = 2000;

export class TouchedKeys {
  /** Oldest first: a key that is touched again keeps its place. */
  #waiting = new Map<string, Touched>();
  #bytes = 0;
  #held = new Map<string, number>();
  #wake: (() => void) | undefined;
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Age of the oldest in ms. */
  get oldestMs(): number {
    const first = this.#waiting.values().next();
    return first.done ? 0 : performance.now() - first.value.at;
  }

  /** @returns false where there is no room: the caller has to remember the key in another way */
  add(server: Server, db: number, key: Buffer, at = performance.now()): boolean {
    const id = touchedId(server, db, key);
    if (this.#waiting.has(id)) return true;
    if (this.#waiting.size >= this.#limit || this.#bytes + key.length > this.#limit * BYTES_PER_KEY) return false;
    this.#waiting.set(id, { server, db, key, at });
    this.#bytes += key.length;
    this.#wake?.();
    return true;
  }

  /**
   * A large key that is written to all the time must not be rebuilt all the time: it waits until then, ms by
   * performance.now(), with what was touched meanwhile.
   */
  hold(server: Server, db: number, key: Buffer, until: number): void {
    const now = performance.now();
    for (const [id, end] of this.#held) if (end <= now) this.#held.delete(id);
    this.#held.set(touchedId(server, db, key), until);
  }

  /** Ends all holding: everything is wanted now. */
  release(): void {
    this.#held.clear();
    this.#wake?.();
  }

  /** Up to `most` keys of one server and database, oldest first, without those that are `busy` or held. */
  take(most: number, busy: (id: string) => boolean): Touched[] {
    const taken: Touched[] = [];
    const now = performance.now();
    let looked = 0;
    for (const [id, one] of this.#waiting) {
      if (taken.length >= most || looked++ >= MOST_LOOKED_AT) break;
      const first = taken[0];
      if (first && (first.server !== one.server || first.db !== one.db)) continue;
      if (busy(id) || (this.#held.get(id) ?? 0) > now) continue;
      this.#waiting.delete(id);
      this.#bytes -= one.key.length;
      taken.push(one);
    }
    return taken;
  }

  /** Resolves with the next key that comes, or when all is released. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      const before = this.#wake;
      this.#wake = () => {
        before?.();
        this.#wake = undefined;
        resolve();
      };
    });
  }
}
