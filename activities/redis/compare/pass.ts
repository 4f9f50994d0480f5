/** One pass over one database: SCAN one side, read the keys on both, hand on what differs. */
import type { Crew } from './crew.ts';
import type { Examiner } from './examine.ts';
import type { Judge, TimedState } from './key-states.ts';
import { TOO_LARGE } from './key-states.ts';
import type { Ledger, LedgerPage } from './ledger.ts';
import type { Throttle } from './progress.ts';
import type { Page } from './reader.ts';
import { parsePage } from './reader.ts';
import { ask } from './replies.ts';
import type { Node } from './side.ts';
import type { Sides } from './sides.ts';
import { PASS_END } from './types.ts';
import type { Depth, Phase } from './types.ts';

export interface PassContext {
  sides: Sides;
  judge: Judge;
  ledger: Ledger;
  examiner: Examiner;
  pages: Crew;
  throttle: Throttle;
  wanted: (key: Buffer) => boolean;
  wait: (ms: number) => Promise<void>;
  signal: AbortSignal;
  scanCount: number;
  note: (text: string) => void;
  depth: BulkDepth;
}

/** Keys read before a depth is judged, and the share of false alarms that makes the next one worth its price. */
const FAIR_TRIAL = 1000;
const TOO_MANY_FALSE_ALARMS = 0.15;
const NEXT: Record<Depth, Depth> = { meta: 'meta', quick: 'typed', typed: 'full', full: 'full' };

/**
 * How deep the bulk reading looks. It starts with the cheapest; where equal keys often look different (other encodings in another
 * version, sets in another order), every false alarm costs a second reading, and the next depth is cheaper.
 */
export class BulkDepth {
  #depth: Depth;
  #read = 0;
  #falseAlarms = 0;

  constructor(start: Depth) {
    this.#depth = start;
  }

  get now(): Depth {
    return this.#depth;
  }

  count(keys: number): void {
    this.#read += keys;
    if (this.#read < FAIR_TRIAL) return;
    if (this.#falseAlarms > this.#read * TOO_MANY_FALSE_ALARMS) this.#depth = NEXT[this.#depth];
    this.#read = 0;
    this.#falseAlarms = 0;
  }

  falseAlarm(): void {
    this.#falseAlarms++;
  }
}

/**
 * Runs from the cursor to the end of the database on one node of the phase's side, and returns when all its differences are settled.
 * @throws what the connections throw
 */
export async function runPass(
  context: PassContext,
  db: number,
  phase: Phase,
  node: Node,
  start: string,
): Promise<void> {
  const { ledger, examiner, pages, throttle, signal } = context;
  if (start === PASS_END) return;
  let cursor = start;
  do {
    signal.throwIfAborted();
    const [next, found] = await ask<[Buffer, Buffer[]]>(node.bulk, 'SCAN', cursor, 'COUNT', context.scanCount);
    cursor = next.toString();
    const page = ledger.open(cursor === '0' ? PASS_END : cursor, found.length);
    const keys = theirs(context, phase, node, unique(found).filter(context.wanted));
    await pages.start(async () => {
      if (phase === 'source') await comparePage(context, db, page, keys);
      else await findExtras(context, db, page, keys);
      ledger.close(page);
    });
    const pause = throttle.after(found.length);
    if (pause > 0) await context.wait(pause);
  } while (cursor !== '0');
  await pages.idle();
  await examiner.idle();
  signal.throwIfAborted();
}

/** A node can hold keys of slots that it does not serve, left over from a resharding: no client can read them there. */
function theirs({ sides, note }: PassContext, phase: Phase, node: Node, keys: Buffer[]): Buffer[] {
  const side = sides[phase];
  if (!side.cluster) return keys;
  const own = keys.filter((key) => side.nodeOf(key) === node);
  if (own.length < keys.length) {
    note(
      `${node.name} (${phase}) holds keys of slots that it does not serve; nobody can read them, they were left out`,
    );
  }
  return own;
}

/** SCAN may give a key twice; within a page that is dealt with here. */
function unique(keys: Buffer[]): Buffer[] {
  const seen = new Set<string>();
  return keys.filter((key) => {
    const before = seen.size;
    return seen.add(key.toString('latin1')).size > before;
  });
}

async function comparePage(context: PassContext, db: number, page: LedgerPage, keys: Buffer[]): Promise<void> {
  const { sides, judge, examiner, depth } = context;
  page.tally.keysCompared += keys.length;
  if (keys.length === 0) return;
  const at = depth.now;
  const [source, target] = await Promise.all([
    sides.source.read('bulk', keys, at),
    sides.target.read('bulk', keys, at),
  ]);
  if (at === depth.now) depth.count(keys.length);
  if (source.bigs + target.bigs === 0 && source.lines.equals(target.lines)) return;
  const [there, here] = [timed(source), timed(target)];
  const doubtful: Buffer[] = [];
  for (const [i, key] of keys.entries()) {
    const [s, t] = [there[i], here[i]];
    if (!s || !t)
      throw new Error(`compare: ${there.length} and ${here.length} states were read of ${keys.length} keys`);
    if (!judge.same(s, t)) doubtful.push(key);
    // What is both too large and doubtful in type or expiry is looked at as a key first; that leads to its value too.
    else if (s.digest === TOO_LARGE || t.digest === TOO_LARGE) await examiner.large({ db, page, key, phase: 'source' });
  }
  await examiner.doubt(db, page, doubtful, 'source', at);
}

/** EXISTS of a whole page answers with a number: almost always all of them, and then nothing else has to be read. */
async function findExtras(context: PassContext, db: number, page: LedgerPage, keys: Buffer[]): Promise<void> {
  if (keys.length === 0) return;
  const { source } = context.sides;
  // Of a cluster, the keys of one command must lie in one slot.
  if (!source.cluster && (await source.first.bulk.exists(...keys)) === keys.length) return;
  const states = parsePage(await source.read('bulk', keys, 'meta'));
  const absent = keys.filter((_, i) => states[i]?.type === 'none');
  await context.examiner.doubt(db, page, absent, 'target', 'meta');
}

const timed = (page: Page): TimedState[] => parsePage(page).map((state) => Object.assign(state, { nowMs: page.nowMs }));
