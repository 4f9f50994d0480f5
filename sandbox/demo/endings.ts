/** What must be ended when the demo ends, however it ends. */
export class Endings {
  readonly #endings: { what: string; end: () => Promise<unknown> }[] = [];
  #running: Promise<string[]> | undefined;

  /** Ended in the reverse order. What is added once the end has begun is ended at once. */
  add(what: string, end: () => Promise<unknown>): void {
    this.#endings.push({ what, end });
    if (this.#running) this.#running = this.#running.then(async (failed) => [...failed, ...(await this.#endAll())]);
  }

  /** Ends everything; one that can't be ended does not keep the others. @returns what could not be ended, in words */
  run(): Promise<string[]> {
    this.#running ??= this.#endAll();
    return this.#running;
  }

  async #endAll(): Promise<string[]> {
    const failed: string[] = [];
    for (let next = this.#endings.pop(); next !== undefined; next = this.#endings.pop()) {
      try {
        await next.end();
      } catch (error) {
        failed.push(`${next.what}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    return failed;
  }
}
