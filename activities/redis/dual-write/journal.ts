/**
 * The journal of touched keys: brings the other server up to date with the authority, key by key, and forgets what is
 * equal. A key is forgotten only when it is known to be equal and was not touched again; until then it stays, whatever
 * happens to us.
 */
import { dualKeys, FORGET_TOUCHED_SCRIPT } from '../../../spec/dual-write.ts';
import { asPairs, ask } from '../compare/replies.ts';
import { copyAll } from '../copy/scan-node.ts';
import type { Target } from '../copy/target.ts';
import { ownScript } from '../own-scripts.ts';
import { journalServer, timeOf } from './control.ts';
import { differencesOf } from './differences.ts';
import type { DualSession } from './session.ts';

const BATCH = 500;
/** Here and not in the spec, which workflows load: they have no crypto. */
const FORGET_TOUCHED = ownScript(FORGET_TOUCHED_SCRIPT);

export interface Repaired {
  /** Keys that were looked at. */
  seen: number;
  /** Of these: differed, and were copied. */
  repaired: number;
  /** Of these: still differed after it, and stay in the journal. */
  left: number;
}

/**
 * One way through a journal.
 * @param journal the side whose journal is read. Always copied is authority to other: a write that reached the other side
 *   alone was never acknowledged
 * @param minAgeMs younger entries are left alone: a write for which they were made may be under way. 0 only behind a hold
 *   that every instance has acknowledged
 */
export async function repairTouched(
  session: DualSession,
  id: string,
  journal: Target,
  minAgeMs: number,
  onBatch: (repaired: Repaired) => void = () => {},
): Promise<Repaired> {
  const total: Repaired = { seen: 0, repaired: 0, left: 0 };
  const server = journalServer(journal, id);
  const { touched } = dualKeys(id);
  for (const db of (await server.databases()).keys()) {
    const redis = await server.db(db);
    const until = minAgeMs === 0 ? '+inf' : `${timeOf((await ask<Buffer[]>(redis, 'TIME')).map(String)) - minAgeMs}`;
    let offset = 0;
    for (;;) {
      session.signal.throwIfAborted();
      const flat = await ask<Buffer[]>(
        redis,
        'ZRANGEBYSCORE',
        touched,
        '-inf',
        until,
        'WITHSCORES',
        'LIMIT',
        offset,
        BATCH,
      );
      const entries = asPairs(flat);
      if (entries.length === 0) break;
      const { repaired, left } = await bringOver(
        session,
        db,
        entries.map(([key]) => key),
      );
      const stay = new Set(left.map((key) => key.toString('latin1')));
      const equal = entries.filter(([key]) => !stay.has(key.toString('latin1')));
      // One that was touched again keeps its place in the journal, and is not seen twice in this way through it.
      const gone = equal.length === 0 ? 0 : await forget(redis, touched, equal.flat());
      offset += entries.length - gone;
      total.seen += entries.length;
      total.repaired += repaired;
      total.left += left.length;
      onBatch(total);
    }
  }
  return total;
}

async function forget(redis: Parameters<typeof ask>[0], touched: string, pairs: Buffer[]): Promise<number> {
  return ask<number>(redis, 'EVAL', FORGET_TOUCHED.text, 1, touched, ...pairs);
}

/** Copies the keys that differ, and looks again. */
async function bringOver(
  session: DualSession,
  db: number,
  keys: readonly Buffer[],
): Promise<{ repaired: number; left: Buffer[] }> {
  const differ = await differencesOf(session, db, keys);
  if (differ.length === 0) return { repaired: 0, left: [] };
  for (const [server, group] of session.authority.group(differ, (key) => key)) {
    await copyAll(session.copier, server, db, group, session.wait);
  }
  return { repaired: differ.length, left: await differencesOf(session, db, differ) };
}

/** How many entries a side's journal has in all its databases, and how many of them are older than `ageMs`. */
export async function journalSize(side: Target, id: string, ageMs: number): Promise<{ all: number; old: number }> {
  const server = journalServer(side, id);
  const { touched } = dualKeys(id);
  const size = { all: 0, old: 0 };
  for (const db of (await server.databases()).keys()) {
    const redis = await server.db(db);
    const now = timeOf((await ask<Buffer[]>(redis, 'TIME')).map(String));
    size.all += await ask<number>(redis, 'ZCARD', touched);
    size.old += await ask<number>(redis, 'ZCOUNT', touched, '-inf', now - ageMs);
  }
  return size;
}

/** Puts keys into the authority's journal, as if they had been touched now; those that are in it stay as they are. */
export async function feedJournal(
  session: DualSession,
  id: string,
  db: number,
  keys: readonly Buffer[],
): Promise<void> {
  const redis = await journalServer(session.authority, id).db(db);
  const now = timeOf((await ask<Buffer[]>(redis, 'TIME')).map(String));
  for (let from = 0; from < keys.length; from += BATCH) {
    const some = keys.slice(from, from + BATCH).flatMap((key) => [now, key]);
    await ask(redis, 'ZADD', dualKeys(id).touched, 'NX', ...some);
  }
}

/** Which of the keys are not in the authority's journal. */
export async function notTouched(
  session: DualSession,
  id: string,
  db: number,
  keys: readonly Buffer[],
): Promise<Buffer[]> {
  const redis = await journalServer(session.authority, id).db(db);
  const pipeline = redis.pipeline();
  for (const key of keys) pipeline.zscore(dualKeys(id).touched, key);
  const scores = (await pipeline.exec()) ?? [];
  return keys.filter((_, i) => {
    const [error, score] = scores[i] ?? [new Error('no reply'), null];
    if (error) throw error;
    return score === null;
  });
}

/** Removes a side's journal from every database. */
export async function removeJournal(side: Target, id: string): Promise<void> {
  const server = journalServer(side, id);
  for (const db of (await server.databases()).keys()) await (await server.db(db)).del(dualKeys(id).touched);
}
