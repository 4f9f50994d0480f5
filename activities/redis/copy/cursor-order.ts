/** Pages are copied side by side; a checkpoint may only name a cursor before which every page is done. */
export class CursorOrder {
  #open: { cursor: string; keys: number; done: boolean }[] = [];
  #cursor: string;
  #keys: number;

  constructor(cursor: string, keys: number) {
    this.#cursor = cursor;
    this.#keys = keys;
  }

  /** Where a scan may go on. */
  get cursor(): string {
    return this.#cursor;
  }

  /** Keys before it. */
  get keys(): number {
    return this.#keys;
  }

  /** @param cursor the one that comes after this page @returns to be called when the page is done */
  open(cursor: string, keys: number): () => void {
    const page = { cursor, keys, done: false };
    this.#open.push(page);
    return () => {
      page.done = true;
      while (this.#open[0]?.done) {
        const first = this.#open.shift()!;
        this.#cursor = first.cursor;
        this.#keys += first.keys;
      }
    };
  }
}
