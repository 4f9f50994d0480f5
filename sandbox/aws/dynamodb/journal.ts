import { appendFileSync, mkdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { keyText, sameItem } from './items.ts';
import type { Item } from './moto.ts';

export interface Change {
  /** Milliseconds since 1970; never less than the change before. */
  at: number;
  /** Absent: the item was not there before, or is not after. */
  before?: Item;
  after?: Item;
}

/**
 * What a table held when its point-in-time recovery was switched on, and every change since: so its state at any moment
 * since then can be told. On disk one JSON per line: `{"base":item}` for each item, then a change per line.
 */
export class Journal {
  readonly #file: string;
  readonly #keys: readonly string[];
  readonly #base: Map<string, Item>;
  readonly #current: Map<string, Item>;
  readonly #changes: Change[] = [];

  private constructor(file: string, keys: readonly string[], base: readonly Item[]) {
    this.#file = file;
    this.#keys = keys;
    this.#base = new Map(base.map((item) => [keyText(item, keys), item]));
    this.#current = new Map(this.#base);
  }

  /** Begins one with the items that a table holds now. Written whole by rename: a SIGKILL leaves no half of it. */
  static begin(file: string, keys: readonly string[], base: readonly Item[]): Journal {
    mkdirSync(dirname(file), { recursive: true });
    const text = base.map((item) => `${JSON.stringify({ base: item })}\n`).join('');
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
    return new Journal(file, keys, base);
  }

  /** Reads one again. A last line that a SIGKILL cut short is dropped: its write had no answer yet. */
  static open(file: string, keys: readonly string[]): Journal {
    const bytes = readFileSync(file);
    const end = bytes.lastIndexOf(0x0a) + 1;
    if (end < bytes.length) truncateSync(file, end);
    const lines = bytes.subarray(0, end).toString('utf8').split('\n').slice(0, -1);
    const entries = lines.map((line) => JSON.parse(line) as { base: Item } | Change);
    const base = entries.flatMap((entry) => ('base' in entry ? [entry.base] : []));
    const journal = new Journal(file, keys, base);
    for (const entry of entries) if (!('base' in entry)) journal.#apply(entry);
    return journal;
  }

  /**
   * Notes what has become of the items of these keys.
   * @param found those of them that there are now. @param at milliseconds.
   */
  note(keys: readonly Item[], found: readonly Item[], at: number): void {
    const now = new Map(found.map((item) => [keyText(item, this.#keys), item]));
    const changes: Change[] = [];
    const when = Math.max(at, this.#changes.at(-1)?.at ?? 0);
    for (const key of new Set(keys.map((item) => keyText(item, this.#keys)))) {
      const before = this.#current.get(key);
      const after = now.get(key);
      // As in DynamoDB Streams, a write that leaves the item as it was is none.
      if (sameItem(before, after)) continue;
      changes.push({ at: when, ...(before && { before }), ...(after && { after }) });
    }
    if (changes.length === 0) return;
    appendFileSync(this.#file, changes.map((change) => `${JSON.stringify(change)}\n`).join(''));
    for (const change of changes) this.#apply(change);
  }

  /** Makes up for writes that went past: the table as a scan has found it is what counts. */
  noteAll(items: readonly Item[], at: number): void {
    this.note([...this.#current.values(), ...items], items, at);
  }

  /** The table's items at a moment, changes of that very millisecond done. */
  stateAt(at: number): Item[] {
    const state = new Map(this.#base);
    for (const change of this.#changes) {
      if (change.at > at) break;
      put(state, change, this.#keys);
    }
    return [...state.values()];
  }

  /** Changes from a moment, itself included, to another one, itself excluded; the oldest first. */
  between(from: number, to: number): Change[] {
    return this.#changes.filter((change) => change.at >= from && change.at < to);
  }

  #apply(change: Change): void {
    this.#changes.push(change);
    put(this.#current, change, this.#keys);
  }
}

function put(state: Map<string, Item>, { before, after }: Change, keys: readonly string[]): void {
  if (after !== undefined) state.set(keyText(after, keys), after);
  else if (before !== undefined) state.delete(keyText(before, keys));
}
