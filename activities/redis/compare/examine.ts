/** Looks again at keys that seem to differ, and at keys too large for the bulk reading; writes the verdicts into their pages. */
import { Crew } from './crew.ts';
import { compareDeep } from './deep.ts';
import { SeenKeys, printable } from './key-names.ts';
import { TOO_LARGE, describe } from './key-states.ts';
import type { Judge, TimedState } from './key-states.ts';
import type { Ledger, LedgerPage } from './ledger.ts';
import type { BulkDepth } from './pass.ts';
import { parsePage } from './reader.ts';
import { settle } from './settle.ts';
import type { Patience } from './settle.ts';
import type { Side } from './side.ts';
import type { Sides } from './sides.ts';
import type { Depth, DifferenceKind, Example, Phase, Tally } from './types.ts';

export interface Doubt {
  db: number;
  page: LedgerPage;
  key: Buffer;
  phase: Phase;
}

const COUNT_OF: Record<Example['kind'], keyof Tally> = {
  missing: 'missing',
  extra: 'extra',
  type: 'typeDiffers',
  ttl: 'ttlDiffers',
  value: 'valueDiffers',
  unsettled: 'unsettled',
  uncompared: 'uncompared',
};

/** Keys in one group, and groups under way: together what may wait to be read again (32,000 keys). */
const GROUP = 250;
const GROUPS = 128;
const LARGE_KEYS = 2;
/** A large key that changes its type this often under our hands stays unsettled. */
const MOST_TRIES = 3;

export class Examiner {
  readonly #sides: Sides;
  readonly #judge: Judge;
  readonly #ledger: Ledger;
  readonly #patience: Patience;
  readonly #depth: BulkDepth;
  readonly #values: boolean;
  readonly #note: (text: string) => void;
  readonly #groups: Crew;
  readonly #large: Crew;
  readonly #seen = new SeenKeys();

  constructor(setup: {
    sides: Sides;
    judge: Judge;
    ledger: Ledger;
    /** Without onReread, which goes to the page. */
    patience: Omit<Patience, 'onReread'>;
    depth: BulkDepth;
    values: boolean;
    note: (text: string) => void;
    onError: (error: unknown) => void;
  }) {
    this.#sides = setup.sides;
    this.#judge = setup.judge;
    this.#ledger = setup.ledger;
    this.#patience = { ...setup.patience, onReread: () => {} };
    this.#depth = setup.depth;
    this.#values = setup.values;
    this.#note = setup.note;
    this.#groups = new Crew(GROUPS, setup.onError);
    this.#large = new Crew(LARGE_KEYS, setup.onError);
  }

  async idle(): Promise<void> {
    // A large key may turn into a doubtful one and back.
    while (this.#groups.busy || this.#large.busy) {
      await this.#groups.idle();
      await this.#large.idle();
    }
  }

  /** Takes keys that looked different at this depth; returns when there is room, not when they are settled. */
  async doubt(db: number, page: LedgerPage, keys: Buffer[], phase: Phase, depth: Depth): Promise<void> {
    for (let from = 0; from < keys.length; from += GROUP) {
      const group = keys.slice(from, from + GROUP);
      page.open++;
      await this.#groups.start(async () => {
        await this.#settleKeys(db, page, group, phase, depth, 0);
        this.#ledger.close(page);
      });
    }
  }

  /** Takes a key too large for a script; returns when there is room. */
  async large(doubt: Doubt): Promise<void> {
    doubt.page.open++;
    await this.#large.start(async () => {
      await this.#compareLarge(doubt, 0);
      this.#ledger.close(doubt.page);
    });
  }

  async #settleKeys(
    db: number,
    page: LedgerPage,
    keys: Buffer[],
    phase: Phase,
    bulk: Depth,
    tries: number,
  ): Promise<void> {
    const { source, target } = this.#sides;
    const read = (side: Side) => async (some: Buffer[]) => {
      const found = await side.read('aside', some, this.#values ? 'full' : 'meta');
      return parsePage(found).map((state): TimedState => Object.assign(state, { nowMs: found.nowMs }));
    };
    const { same, unchanged } = this.#judge;
    const verdicts = await settle(
      keys,
      { source: read(source), target: read(target), same, unchanged },
      this.#patienceOf(page),
    );
    for (const [i, key] of keys.entries()) {
      const verdict = verdicts[i];
      if (!verdict) throw new Error(`compare: no verdict on a key of database ${db}`);
      const { source: s, target: t } = verdict;
      if (verdict.outcome === 'same' && verdict.atOnce && bulk === this.#depth.now) this.#depth.falseAlarm();
      if (verdict.outcome === 'unsettled') await this.#report({ db, page, key, phase }, 'unsettled', s, t);
      if (verdict.outcome === 'differs') {
        for (const kind of this.#judge.kinds(s, t)) await this.#report({ db, page, key, phase }, kind, s, t);
      }
      const bothThere = s.type === t.type && s.type !== 'none';
      if (bothThere && (s.digest === TOO_LARGE || t.digest === TOO_LARGE)) {
        await this.#compareLarge({ db, page, key, phase }, tries);
      }
    }
  }

  async #compareLarge(doubt: Doubt, tries: number): Promise<void> {
    const [source, target] = [this.#sides.source.nodeOf(doubt.key), this.#sides.target.nodeOf(doubt.key)];
    const context = {
      source: { redis: source.aside, abilities: source.reader.abilities },
      target: { redis: target.aside, abilities: target.reader.abilities },
      patience: this.#patienceOf(doubt.page),
    };
    const verdict = await compareDeep(context, doubt.key, (type) => {
      this.#note(`type ${type}: large values were compared by DUMP alone`);
    });
    if (verdict.outcome === 'same') return;
    if (verdict.outcome === 'moved') {
      if (tries < MOST_TRIES)
        return this.#settleKeys(doubt.db, doubt.page, [doubt.key], doubt.phase, 'full', tries + 1);
      return this.#count(doubt, 'unsettled', async () => [
        'changed its type at every reading',
        'changed its type at every reading',
      ]);
    }
    const kind = verdict.outcome === 'differs' ? 'value' : verdict.outcome;
    const what = verdict.what ?? kind;
    await this.#count(doubt, kind, async () => [what, what]);
  }

  async #report(doubt: Doubt, kind: DifferenceKind | 'unsettled', s: TimedState, t: TimedState): Promise<void> {
    // The pass over the target finds it, and counts it there.
    if (kind === 'extra' && doubt.phase === 'source') return;
    await this.#count(doubt, kind, () =>
      Promise.all([
        describe(this.#sides.source.nodeOf(doubt.key).aside, doubt.key, s),
        describe(this.#sides.target.nodeOf(doubt.key).aside, doubt.key, t),
      ]),
    );
  }

  async #count(doubt: Doubt, kind: Example['kind'], words: () => Promise<[string, string]>): Promise<void> {
    const { db, page, key } = doubt;
    if (!this.#seen.first(db, key, kind)) return;
    page.tally[COUNT_OF[kind]]++;
    if (!this.#ledger.wantsExample()) return;
    const [source, target] = await words();
    page.examples.push({
      db,
      key: printable(key),
      kind,
      source: this.#sides.source.told(source, key),
      target: this.#sides.target.told(target, key),
    });
  }

  #patienceOf(page: LedgerPage): Patience {
    return { ...this.#patience, onReread: (cells) => (page.tally.rereads += cells) };
  }
}
