/** Sleeps that one call ends all at once: a client that waits to try again must not sleep through the switch. */
export class Wake {
  readonly #sleepers = new Set<() => void>();

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const up = (): void => {
        clearTimeout(timer);
        this.#sleepers.delete(up);
        resolve();
      };
      const timer = setTimeout(up, ms);
      this.#sleepers.add(up);
    });
  }

  all(): void {
    for (const up of this.#sleepers) up();
  }
}
