/** Speed and time left, for the operator. */
import type { Sides } from './sides.ts';
import type { Phase } from './types.ts';

/** Rates over the last seconds, not since the start: what a throttle or a busy server does must show. */
const WINDOW_MS = 10_000;

export class Pace {
  #marks: { at: number; keys: number }[] = [];
  /** The last rate of each phase, keys/s. */
  #rates: Record<Phase, number> = { source: 0, target: 0 };

  startPhase(): void {
    this.#marks = [];
  }

  /** @param keys keys done in this phase @returns keys per second */
  mark(phase: Phase, keys: number): number {
    const now = performance.now();
    this.#marks.push({ at: now, keys });
    while (this.#marks.length > 2 && now - (this.#marks[0]?.at ?? now) > WINDOW_MS) this.#marks.shift();
    const first = this.#marks[0];
    if (first && now > first.at) this.#rates[phase] = ((keys - first.keys) / (now - first.at)) * 1000;
    return Math.round(this.#rates[phase]);
  }

  /** Time in ms for the keys that are left; the target's pass, where not measured yet, takes about a third of the source's. */
  etaMs(left: Record<Phase, number>): number {
    const source = this.#rates.source || this.#rates.target / 3;
    const target = this.#rates.target || source * 3;
    if (source === 0) return 0;
    return Math.round((left.source / source + left.target / target) * 1000);
  }
}

/** How many keys each database has on each side, as DBSIZE said last. */
export class Sizes {
  readonly #sizes: Record<Phase, Map<number, number>> = { source: new Map(), target: new Map() };

  /** Asks; the connections must be at the database. */
  async measure(sides: Sides, db: number): Promise<void> {
    this.#sizes.source.set(db, await sides.source.dbsize());
    this.#sizes.target.set(db, await sides.target.dbsize());
  }

  has(db: number): boolean {
    return this.#sizes.source.has(db);
  }

  of(phase: Phase, db: number): number {
    return this.#sizes[phase].get(db) ?? 0;
  }

  /** Keys of this phase that are still to come. @param at where the compare stands, with the keys that are done there */
  left(phase: Phase, at: { db: number; phase: Phase }, keysDone: number, done: readonly number[]): number {
    let left = 0;
    for (const [db, size] of this.#sizes[phase]) {
      if (done.includes(db)) continue;
      if (db !== at.db) left += size;
      else if (at.phase === phase) left += Math.max(0, size - keysDone);
      else if (phase === 'target') left += size;
    }
    return left;
  }
}

/** Holds the scan back to a number of keys per second. */
export class Throttle {
  #next = 0;
  readonly #keysPerSecond: number | undefined;

  constructor(keysPerSecond: number | undefined) {
    this.#keysPerSecond = keysPerSecond;
  }

  /** How long to wait, in ms, before more is read, after this many keys were. */
  after(keys: number): number {
    if (this.#keysPerSecond === undefined) return 0;
    const now = performance.now();
    this.#next = Math.max(now, this.#next) + (keys / this.#keysPerSecond) * 1000;
    return this.#next - now;
  }
}
