/** Runs jobs side by side with a limit, and holds up whoever brings more: what is in flight stays bounded. */
export class Crew {
  #running = new Set<Promise<void>>();
  readonly #limit: number;
  readonly #onError: (error: unknown) => void;

  /** @param onError told of every job's error; no job's promise rejects */
  constructor(limit: number, onError: (error: unknown) => void) {
    this.#limit = limit;
    this.#onError = onError;
  }

  /** Returns when the job has been started, not when it is done. */
  async start(job: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#limit) await Promise.race(this.#running);
    const running = job()
      .catch(this.#onError)
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  get busy(): boolean {
    return this.#running.size > 0;
  }

  /** Returns when no job is left, with those that were started meanwhile. */
  async idle(): Promise<void> {
    while (this.busy) await Promise.race(this.#running);
  }
}
