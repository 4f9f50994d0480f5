/**
 * Compares every key in both directions while the application writes, and repairs, until nothing is found any more. Only
 * what is in no journal counts as a difference: what is in it is known to be on its way. What counts goes into the journal,
 * and is repaired from there, so that there is one place that writes and one rule for when it may.
 */
import { Context } from '@temporalio/activity';
import { journalAgeMs, type DualSide } from '../../../spec/dual-write.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import { beat, lastBeat } from '../../beat.ts';
import { matcher, printable } from '../compare/key-names.ts';
import { ask, askAll, type Command } from '../compare/replies.ts';
import { ALWAYS_IGNORED } from '../compare/types.ts';
import { Pace } from '../copy/pace.ts';
import { unique } from '../copy/scan-node.ts';
import type { Target } from '../copy/target.ts';
import { requireEpoch } from './acks.ts';
import { withControl, type ControlKey } from './control.ts';
import { differencesOf } from './differences.ts';
import { dualFailure } from './failure.ts';
import { feedJournal, journalSize, notTouched, repairTouched } from './journal.ts';
import { changedSince, DualSession, type DualProcesses } from './session.ts';

export interface DualCompareResult {
  /** The last rounds, as many as the file asks for, found nothing. */
  equal: boolean;
  rounds: number;
  /** Keys of the authority, in the last round. */
  keys: number;
  /** Found in the last round. */
  lastDiffering: number;
  /** Copied or deleted on the other side in all rounds, what was touched meanwhile among them. */
  repaired: number;
  /** Names of keys that differed, at most 20, newest last. */
  examples: { db: number; key: string }[];
  /** That were compared. Of versions before 2026-11-22 there are none. */
  processes?: DualProcesses;
  notes: string[];
}

type Progressing = Omit<DualCompareResult, 'equal' | 'notes'> & { inARow: number };

const EXAMPLES = 20;
const SCAN_COUNT = 500;
/** Second writes that are under way have arrived by then, as a rule. */
const LOOK_AGAIN_MS = 300;
const REPAIR_EVERY_MS = 250;

/**
 * @param input.authority whose keys are right; default: the source's
 * @throws cutover.NotOurs, cutover.Unreachable and cutover.Busy (retried from the last round), cutover.Invalid
 */
export async function compareDual({
  migration,
  epoch,
  authority = 'source',
}: {
  migration: RedisDualWrite;
  epoch: number;
  authority?: DualSide;
}): Promise<DualCompareResult> {
  const signal = Context.current().cancellationSignal;
  try {
    return await withControl(migration, async (key) => {
      const session = await DualSession.open(migration, authority, signal);
      try {
        return await session.during(() => new Rounds(key, session, epoch).run());
      } finally {
        session.close();
      }
    });
  } catch (error) {
    throw dualFailure(error);
  }
}

class Rounds {
  readonly #key: ControlKey;
  readonly #session: DualSession;
  readonly #migration: RedisDualWrite;
  readonly #epoch: number;
  readonly #pace: Pace;
  readonly #ignored = matcher([...ALWAYS_IGNORED]);
  #ageMs = 0;
  #total = 0;
  #now: Progressing;

  constructor(key: ControlKey, session: DualSession, epoch: number) {
    this.#key = key;
    this.#session = session;
    this.#migration = key.migration;
    this.#epoch = epoch;
    const keysPerSecond = this.#migration.compare.maxKeysPerSecond;
    this.#pace = new Pace({ keysPerSecond, bytesPerSecond: undefined }, session);
    const before = lastBeat<{ rounds?: Progressing }>()?.checkpoint?.rounds;
    const processes = session.processes();
    this.#now = {
      ...(before ?? { inARow: 0, rounds: 0, keys: 0, lastDiffering: 0, repaired: 0, examples: [] }),
      processes,
    };
    // What was equal with another process is not known of this one.
    if (changedSince(before?.processes, processes, ['source', 'target'])) this.#now.inARow = 0;
  }

  async run(): Promise<DualCompareResult> {
    const { rounds, maxRounds } = this.#migration.compare;
    const { control } = await this.#key.read();
    this.#ageMs = journalAgeMs(control);
    while (this.#now.inARow < rounds && this.#now.rounds < maxRounds) {
      await this.#round();
      beat({ checkpoint: { rounds: this.#now } });
    }
    const { inARow, ...result } = this.#now;
    return { ...result, equal: inARow >= rounds, notes: [...this.#session.notes] };
  }

  /** A whole look at both sides, repairs beside it, and then those of what it found. */
  async #round(): Promise<void> {
    requireEpoch((await this.#key.read()).control, this.#epoch);
    this.#now.keys = 0;
    this.#now.lastDiffering = 0;
    const looking = this.#look();
    const done = looking.then(() => true);
    done.catch(() => {});
    do await this.#repair();
    while (!(await Promise.race([done, this.#session.wait(REPAIR_EVERY_MS).then(() => false)])));
    // What it found is younger than the age from which it may be repaired.
    const { id } = this.#migration;
    const since = performance.now() + this.#ageMs;
    while (this.#now.lastDiffering > 0) {
      await this.#repair();
      const { old } = await journalSize(this.#session.authority, id, this.#ageMs);
      if (performance.now() > since && old === 0) break;
      if (performance.now() > since + 10 * this.#ageMs) break;
      await this.#session.wait(REPAIR_EVERY_MS);
    }
    // Before it counts: slots that changed hands meanwhile make it a round that has not seen everything.
    await this.#session.checkSlots();
    this.#now.rounds++;
    this.#now.inARow = this.#now.lastDiffering === 0 ? this.#now.inARow + 1 : 0;
  }

  async #repair(): Promise<void> {
    const { authority } = this.#session;
    const { repaired } = await repairTouched(this.#session, this.#migration.id, authority, this.#ageMs);
    this.#now.repaired += repaired;
    this.#tell();
  }

  #tell(): void {
    const { rounds, keys, lastDiffering, repaired } = this.#now;
    beat({
      progress: {
        text: `round ${rounds + 1}: ${lastDiffering} keys differ; ${repaired} repaired so far`,
        unit: 'keys',
        done: keys,
        total: Math.max(keys, this.#total),
      },
    });
  }

  async #look(): Promise<void> {
    const { authority, other } = this.#session;
    this.#total = 0;
    for (const server of authority.servers)
      for (const count of (await server.databases()).values()) this.#total += count;
    for (const db of await this.#session.databases(authority)) {
      await this.#pages(authority, db, async (keys) => {
        this.#now.keys += keys.length;
        await this.#doubt(db, await differencesOf(this.#session, db, keys));
      });
    }
    for (const db of await this.#session.databases(other)) {
      await this.#pages(other, db, async (keys) => this.#doubt(db, await this.#extra(db, keys)));
    }
  }

  async #pages(side: Target, db: number, each: (keys: Buffer[]) => Promise<void>): Promise<void> {
    for (const server of side.servers) {
      const redis = await server.db(db);
      let cursor = '0';
      do {
        const [next, found] = await ask<[Buffer, Buffer[]]>(redis, 'SCAN', cursor, 'COUNT', SCAN_COUNT);
        cursor = next.toString();
        const keys = unique(found).filter((key) => !this.#ignored(key));
        if (keys.length > 0) await each(keys);
        await this.#pace.keys(found.length);
      } while (cursor !== '0');
    }
  }

  /** Keys of the other side that the authority lacks. */
  async #extra(db: number, keys: readonly Buffer[]): Promise<Buffer[]> {
    const extra: Buffer[] = [];
    for (const [server, group] of this.#session.authority.group(keys, (key) => key)) {
      const exist = await askAll<number>(
        await server.db(db),
        group.map((key): Command => ['EXISTS', key]),
      );
      extra.push(...group.filter((_, i) => exist[i] === 0));
    }
    return extra;
  }

  /** What still differs after a moment, and is in no journal, is a difference. */
  async #doubt(db: number, keys: Buffer[]): Promise<void> {
    const { id } = this.#migration;
    if (keys.length === 0) return;
    const unknown = await notTouched(this.#session, id, db, keys);
    if (unknown.length === 0) return;
    await this.#session.wait(LOOK_AGAIN_MS);
    const still = await differencesOf(this.#session, db, unknown);
    if (still.length === 0) return;
    const found = await notTouched(this.#session, id, db, still);
    if (found.length === 0) return;
    await feedJournal(this.#session, id, db, found);
    this.#now.lastDiffering += found.length;
    const names = found.slice(0, EXAMPLES).map((key) => ({ db, key: printable(key) }));
    this.#now.examples = [...this.#now.examples, ...names].slice(-EXAMPLES);
  }
}
