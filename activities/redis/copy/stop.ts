/** What ends a session: its caller, a connection that is lost, or work in the background that failed. */
import { once, setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

export class Stop {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;

  constructor(outer?: AbortSignal) {
    this.#outer = outer;
    // Every pause listens to it, and hundreds may be under way.
    setMaxListeners(0, this.signal);
    if (outer?.aborted) this.#onOuter();
    else outer?.addEventListener('abort', this.#onOuter, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The first reason stays. */
  now = (reason: unknown): void => {
    this.#outer?.removeEventListener('abort', this.#onOuter);
    this.#controller.abort(reason);
  };

  wait = (ms: number): Promise<void> => sleep(ms, undefined, { signal: this.signal });

  /**
   * The work's outcome, or a rejection when it is stopped: ioredis never answers a command of a connection that is given
   * up at the wrong moment. @throws the stop's reason rather than what then fails, which says only that it was stopped
   */
  async during<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    try {
      return await Promise.race([work, this.#stopped()]);
    } catch (error) {
      throw this.signal.aborted ? this.signal.reason : error;
    }
  }

  /** Work that nobody awaits: its failure stops all. */
  background(work: Promise<unknown>): void {
    work.catch(this.now);
  }

  #onOuter = (): void => this.#controller.abort(this.#outer?.reason);

  async #stopped(): Promise<never> {
    if (!this.signal.aborted) await once(this.signal, 'abort');
    throw this.signal.reason;
  }
}
