/** Keeps the counts such that they belong to a cursor: what a checkpoint says is neither less nor more than what lies before it. */
import type { Example, PassStart, Tally } from './types.ts';

export function emptyTally(): Tally {
  return {
    keysCompared: 0,
    missing: 0,
    extra: 0,
    typeDiffers: 0,
    ttlDiffers: 0,
    valueDiffers: 0,
    unsettled: 0,
    uncompared: 0,
    rereads: 0,
  };
}

export const differencesIn = (tally: Tally): number =>
  tally.missing + tally.extra + tally.typeDiffers + tally.ttlDiffers + tally.valueDiffers;

const COUNTS = [
  'keysCompared',
  'missing',
  'extra',
  'typeDiffers',
  'ttlDiffers',
  'valueDiffers',
  'unsettled',
  'uncompared',
  'rereads',
] as const satisfies readonly (keyof Tally)[];

/** A page of SCAN whose keys may still be under way. */
export interface LedgerPage {
  /** Where SCAN goes on after this page. */
  cursor: string;
  keys: number;
  tally: Tally;
  examples: Example[];
  /** Jobs that still have to report. */
  open: number;
}

/**
 * Pages settle out of order (a difference is read again for seconds while later pages pass), but count only in order:
 * the totals are those of the unbroken run of settled pages, and the cursor is the last of these.
 */
export class Ledger {
  readonly totals: Tally;
  readonly examples: Example[];
  cursor: string;
  /** Keys of the settled pages in the present phase. */
  keysDone: number;
  #pages: LedgerPage[] = [];
  passStart: PassStart;
  #promised: number;
  readonly #maxExamples: number;
  readonly #onSettled: () => void;

  constructor(
    start: {
      tally: Tally;
      examples: Example[];
      cursor: string;
      keysDone: number;
      passStart?: PassStart;
    },
    maxExamples: number,
    onSettled: () => void,
  ) {
    this.totals = { ...start.tally };
    this.examples = [...start.examples];
    this.cursor = start.cursor;
    this.keysDone = start.keysDone;
    this.passStart = start.passStart ?? { tally: { ...start.tally }, examples: start.examples.length };
    this.#promised = this.examples.length;
    this.#maxExamples = maxExamples;
    this.#onSettled = onSettled;
  }

  /** A pass begins at its start. One that is continued keeps what the ledger was made with. */
  startPass(): void {
    this.cursor = '0';
    this.keysDone = 0;
    this.passStart = { tally: { ...this.totals }, examples: this.examples.length };
  }

  /** The pass goes over to its next node. */
  startNode(): void {
    this.cursor = '0';
    this.passStart = { tally: { ...this.totals }, examples: this.examples.length, keysDone: this.keysDone };
  }

  /** Opens a page with one job, its own reading. */
  open(cursor: string, keys: number): LedgerPage {
    const page: LedgerPage = { cursor, keys, tally: emptyTally(), examples: [], open: 1 };
    this.#pages.push(page);
    return page;
  }

  /** Whether one more example is wanted; if so, its place is taken. */
  wantsExample(): boolean {
    if (this.#promised >= this.#maxExamples) return false;
    this.#promised++;
    return true;
  }

  /** One job of the page has reported. */
  close(page: LedgerPage): void {
    page.open--;
    let first = this.#pages[0];
    if (first?.open !== 0) return;
    while (first?.open === 0) {
      for (const name of COUNTS) this.totals[name] += first.tally[name];
      this.examples.push(...first.examples);
      this.keysDone += first.keys;
      this.cursor = first.cursor;
      this.#pages.shift();
      first = this.#pages[0];
    }
    this.#onSettled();
  }
}
