/** Where events were missed: compares what may differ by digests, and copies what does. Deletes on the target what is no more. */
import { Crew } from '../compare/crew.ts';
import { Judge, TOO_LARGE } from '../compare/key-states.ts';
import { parsePage } from '../compare/reader.ts';
import { ask, askAll } from '../compare/replies.ts';
import type { Command } from '../compare/replies.ts';
import type { Depth } from '../compare/types.ts';
import { copyAll, unique } from './scan-node.ts';
import type { ScanContext } from './scan-node.ts';
import type { Server } from './server.ts';
import { hasKey } from './slots.ts';
import type { DirtySlots } from './slots.ts';
import type { Target } from './target.ts';

export interface ReconcileContext extends ScanContext {
  target: Target;
}

/** An expiry that was computed from PTTL is off by as long as the call took. */
const PTTL_TOLERANCE_MS = 1000;

export interface Compared {
  /** Type, expiry or value differ between source and target as they are now. */
  differ: Buffer[];
  /** Nothing differs but perhaps the value, which is too large to digest. */
  large: Buffer[];
}

/** Compares keys by digests. @throws what the connections throw */
export async function compareKeys(
  target: Target,
  server: Server,
  db: number,
  keys: readonly Buffer[],
  depth: Depth,
): Promise<Compared> {
  const found: Compared = { differ: [], large: [] };
  if (keys.length === 0) return found;
  const source = await server.db(db);
  for (const [to, group] of target.group(keys, (key) => key)) {
    const exact = server.abilities.pexpiretime && to.abilities.pexpiretime;
    const judge = new Judge(exact ? 0 : PTTL_TOLERANCE_MS, exact);
    const able = (ability: 'dump' | 'memoryUsage') => server.abilities[ability] && to.abilities[ability];
    const at = depth === 'quick' && !(able('dump') && able('memoryUsage')) ? 'typed' : depth;
    const [there, here] = await Promise.all([
      server.reader.read(source, group, at),
      to.db(db).then((redis) => to.reader.read(redis, group, at)),
    ]);
    const [sources, targets] = [parsePage(there), parsePage(here)];
    for (const [i, key] of group.entries()) {
      const [s, t] = [sources[i], targets[i]];
      if (!s || !t) throw new Error('copy: a key’s state is missing in a reading');
      const large = s.digest === TOO_LARGE || t.digest === TOO_LARGE;
      const [timedS, timedT] = [Object.assign(s, { nowMs: there.nowMs }), Object.assign(t, { nowMs: here.nowMs })];
      if (!judge.same(timedS, timedT)) found.differ.push(key);
      else if (large) found.large.push(key);
    }
  }
  return found;
}

/**
 * The keys that differ between source and target as they are now.
 * @param large whether a value too large to digest counts as differing
 */
export async function differing(
  target: Target,
  server: Server,
  db: number,
  keys: readonly Buffer[],
  depth: Depth,
  large: boolean,
): Promise<Buffer[]> {
  const found = await compareKeys(target, server, db, keys, depth);
  return large ? [...found.differ, ...found.large] : found.differ;
}

/** One pass over what is dirty of a node. @throws CopyError, and what the connections throw */
export async function reconcile(context: ReconcileContext, server: Server): Promise<void> {
  const { target, options, databasesOf } = context;
  const dirty = server.dirty.take();
  const found = new Set(dirty.databases ?? []);
  if (!dirty.databases) {
    for (const db of (await databasesOf(server)).keys()) found.add(db);
    for (const to of target.servers) {
      for (const db of (await to.databases()).keys()) {
        if (!options.databases || options.databases.includes(db)) found.add(db);
      }
    }
  }
  for (const db of found) {
    await sourcePass(context, server, db, dirty);
    for (const to of target.servers) await targetPass(context, server, to, db, dirty);
  }
}

async function sourcePass(context: ReconcileContext, server: Server, db: number, dirty: DirtySlots): Promise<void> {
  const { copier, wanted, target, wait, pace } = context;
  await pagesOf(context, server, db, async (found) => {
    const keys = unique(found).filter((key) => wanted(key) && dirty.has(db, key));
    const differ = await differing(target, server, db, keys, 'quick', true);
    await copyAll(copier, server, db, differ, wait, pace.bytes);
  });
}

/** Keys of the target that the source lacks. */
async function targetPass(
  context: ReconcileContext,
  server: Server,
  to: Server,
  db: number,
  dirty: DirtySlots,
): Promise<void> {
  const { copier, wanted, wait } = context;
  await pagesOf(context, to, db, async (found) => {
    const keys = unique(found).filter((key) => wanted(key) && hasKey(server, key) && dirty.has(db, key));
    const exist = await askAll<number>(
      await server.db(db),
      keys.map((key): Command => ['EXISTS', key]),
    );
    const gone = keys.filter((_, i) => exist[i] === 0);
    await copyAll(copier, server, db, gone, wait);
  });
}

/** Runs SCAN over a database of a server, pages side by side. */
async function pagesOf(
  context: ReconcileContext,
  server: Server,
  db: number,
  each: (found: Buffer[]) => Promise<void>,
): Promise<void> {
  const { options, pace, guardOf, workers, fail, signal } = context;
  const pages = new Crew(workers, fail);
  const redis = await server.db(db);
  let cursor = '0';
  do {
    signal.throwIfAborted();
    await guardOf(server)?.clear();
    const [next, found] = await ask<[Buffer, Buffer[]]>(redis, 'SCAN', cursor, 'COUNT', options.scanCount);
    cursor = next.toString();
    await pages.start(() => each(found));
    await pace.keys(found.length);
  } while (cursor !== '0');
  await pages.idle();
  signal.throwIfAborted();
}
