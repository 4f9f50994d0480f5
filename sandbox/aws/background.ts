import { setMaxListeners } from 'node:events';
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Thrown by waits when the emulator stops; ends a background job without noise. */
class Stopped extends Error {}

/**
 * The emulator's slow work: everything that AWS does after it has answered. Jobs end when the emulator stops. A job that
 * fails in a way nobody foresaw is written to `failures`, because no caller is left who could be told.
 */
export class Background {
  readonly failures: string[] = [];
  readonly #jobs = new Set<Promise<void>>();
  readonly #locks = new Map<string, Promise<unknown>>();
  readonly #abort = new AbortController();
  readonly #logFile: string;

  constructor(logFile: string) {
    this.#logFile = logFile;
    // Every job that waits listens: many at a time are no leak.
    setMaxListeners(0, this.#abort.signal);
  }

  get stopped(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Starts a job. Jobs of one `key` (a group's id) run one after another. */
  run(what: string, key: string, job: () => Promise<void>): void {
    const before = this.#locks.get(key) ?? Promise.resolve();
    const mine = before
      .then(() => (this.stopped ? undefined : job()))
      .catch((error: unknown) => this.#note(what, error))
      .finally(() => {
        this.#jobs.delete(mine);
        if (this.#locks.get(key) === mine) this.#locks.delete(key);
      });
    this.#locks.set(key, mine);
    this.#jobs.add(mine);
  }

  /** @throws Stopped when the emulator stops meanwhile. */
  async sleep(ms: number): Promise<void> {
    try {
      await delay(ms, undefined, { signal: this.#abort.signal });
    } catch {
      throw new Stopped();
    }
  }

  /** The work's outcome. @throws Stopped when the emulator stops before; what the work comes to then is nobody's any more. */
  async orStopped<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#abort;
    let onAbort = (): void => {};
    const stopped = new Promise<never>((_, reject) => {
      onAbort = () => reject(new Stopped());
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      return await Promise.race([work, stopped]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /**
   * Polls until `probe` gives something else than undefined.
   * @returns that, or undefined once `deadlineMs` milliseconds have passed.
   */
  async until<T>(deadlineMs: number, probe: () => Promise<T | undefined>, everyMs = 20): Promise<T | undefined> {
    const deadline = Date.now() + deadlineMs;
    for (;;) {
      const found = await probe();
      if (found !== undefined) return found;
      if (Date.now() >= deadline) return undefined;
      await this.sleep(everyMs);
    }
  }

  /** Ends all waits; resolves when every job has ended. */
  async stop(): Promise<void> {
    this.#abort.abort();
    while (this.#jobs.size > 0) await Promise.allSettled(this.#jobs);
  }

  #note(what: string, error: unknown): void {
    if (error instanceof Stopped || this.stopped) return;
    const text = `${new Date().toISOString()} ${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    this.failures.push(text);
    appendFileSync(this.#logFile, `${text}\n`);
  }
}
