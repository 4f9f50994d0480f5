/** Holds the scan back: to keys and bytes per second, and while the source is slow. */
import { Throttle } from '../compare/progress.ts';

/** The source is asked so often how long it takes to answer. */
const EVERY_MS = 200;
/** One slow answer may be our own process or the machine's; so many in a row are the source. */
const SLOW_IN_A_ROW = 3;

export interface Clock {
  wait: (ms: number) => Promise<void>;
  signal: AbortSignal;
}

/** Keys and bytes per second, shared by all who copy for a scan. */
export class Pace {
  readonly #keys: Throttle;
  readonly #bytes: Throttle;
  readonly #clock: Clock;

  constructor(limits: { keysPerSecond: number | undefined; bytesPerSecond: number | undefined }, clock: Clock) {
    this.#keys = new Throttle(limits.keysPerSecond);
    this.#bytes = new Throttle(limits.bytesPerSecond);
    this.#clock = clock;
  }

  keys = (count: number): Promise<void> => this.#rest(this.#keys.after(count));
  bytes = (count: number): Promise<void> => this.#rest(this.#bytes.after(count));

  async #rest(ms: number): Promise<void> {
    if (ms > 0) await this.#clock.wait(ms);
  }
}

/** Measures the round trip to one node of the source, on a connection that nothing else waits on. */
export class LatencyGuard {
  #slow = 0;
  #restedMs = 0;
  readonly #limitMs: number;
  readonly #clock: Clock;
  readonly #ping: () => Promise<unknown>;

  constructor(ping: () => Promise<unknown>, limitMs: number, clock: Clock) {
    this.#ping = ping;
    this.#limitMs = limitMs;
    this.#clock = clock;
  }

  get restedMs(): number {
    return Math.round(this.#restedMs);
  }

  /** Until the signal is aborted. @throws what the connection throws */
  async watch(): Promise<void> {
    let late = 0;
    while (!this.#clock.signal.aborted) {
      const began = performance.now();
      await this.#ping();
      // Where our own process is busy, its timers are late by as much as its answers are: that is not the source's.
      const took = performance.now() - began - late;
      this.#slow = took > this.#limitMs ? this.#slow + 1 : 0;
      const slept = performance.now();
      await this.#clock.wait(EVERY_MS);
      late = Math.max(0, performance.now() - slept - EVERY_MS);
    }
  }

  /** Returns at once, or when the node answers quickly again. */
  async clear(): Promise<void> {
    const began = performance.now();
    while (this.#slow >= SLOW_IN_A_ROW) {
      await this.#clock.wait(EVERY_MS);
      this.#clock.signal.throwIfAborted();
    }
    this.#restedMs += performance.now() - began;
  }
}
