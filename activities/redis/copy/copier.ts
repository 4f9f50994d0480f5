/**
 * Copies keys as they are on the source at that moment, deletes on the target what the source has no more. The one place
 * that writes to the target. No key is in two hands at once: an older reading could overtake a newer one.
 */
import type { CopyTotals } from '../../../spec/redis-copy.ts';
import { ask } from '../compare/replies.ts';
import { printable } from '../compare/key-names.ts';
import { PutRight } from './put-right.ts';
import { UNASKED, bytesOf, inBatches, sameState, sizesOf } from './read-keys.ts';
import type { Dumped, Sized } from './read-keys.ts';
import { readAgain, readByScript, wholeOf } from './read-script.ts';
import type { Reading } from './read-script.ts';
import { rebuild } from './rebuild.ts';
import type { Server } from './server.ts';
import { slotsMoved, writeKeys } from './target.ts';
import type { Target } from './target.ts';
import { touchedId } from './touched.ts';
import { CopyError } from './types.ts';
import type { CopyOptions } from './types.ts';

/** What one round of DUMPs may bring into our memory. */
const BATCH_BYTES = 4 * 1024 * 1024;
const BATCH_KEYS = 250;

export interface CopierContext {
  target: Target;
  options: CopyOptions;
  totals: CopyTotals;
  note: (text: string) => void;
  /** Told of each stream: what reads from it with a group changes it without an event. */
  onStream?: ((server: Server, db: number, key: Buffer) => void) | undefined;
  /** Told how long a key took that was rebuilt, ms. */
  onRebuilt: (server: Server, db: number, key: Buffer, tookMs: number) => void;
}

/** Asked before bytes are read; a scan waits there, what is followed does not. */
export type Paced = (bytes: number) => Promise<void>;
const UNPACED: Paced = async () => {};

export class Copier {
  #inHand = new Map<string, number>();
  /** The target is too old for DUMPs of this source: everything is rebuilt by type. */
  #tooOld = false;
  readonly #context: CopierContext;
  readonly #putRight = new PutRight();

  constructor(context: CopierContext) {
    this.#context = context;
  }

  isBusy = (id: string): boolean => this.#inHand.has(id);

  close(): void {
    this.#putRight.close();
  }

  get inHand(): number {
    return this.#inHand.size;
  }

  /** Age in ms of the longest copy under way. */
  get oldestMs(): number {
    const first = this.#inHand.values().next();
    return first.done ? 0 : performance.now() - first.value;
  }

  /**
   * Copies the keys, but for those that are in another hand.
   * @returns the ones left out
   * @throws CopyError, and what the connections throw
   */
  async copy(server: Server, db: number, keys: readonly Buffer[], paced: Paced = UNPACED): Promise<Buffer[]> {
    const mine: { id: string; key: Buffer }[] = [];
    const left: Buffer[] = [];
    for (const key of keys) {
      const id = touchedId(server, db, key);
      if (this.#inHand.has(id)) left.push(key);
      else {
        this.#inHand.set(id, performance.now());
        mine.push({ id, key });
      }
    }
    let released = 0;
    try {
      while (released < mine.length) {
        const some = mine.slice(released, released + BATCH_KEYS);
        const bytes = await this.#copyMine(
          server,
          db,
          some.map(({ key }) => key),
          paced,
        );
        for (const { id } of some) this.#inHand.delete(id);
        released += some.length;
        // Out of hand first: who follows must not wait for what a scan is held back to.
        await paced(bytes);
      }
    } catch (error) {
      throw ofSource(server, error);
    } finally {
      // Not those that were released: they may be in another hand by now.
      for (const { id } of mine.slice(released)) this.#inHand.delete(id);
    }
    return left;
  }

  /** @returns bytes that went by DUMP; what is rebuilt is paced page by page */
  async #copyMine(server: Server, db: number, keys: readonly Buffer[], paced: Paced): Promise<number> {
    const { options, onStream } = this.#context;
    let bytes = 0;
    for (let from = 0; from < keys.length;) {
      const readings = await this.#read(server, db, keys.slice(from), paced);
      from += readings.length;
      for (const { type, key } of readings) if (type === 'stream') onStream?.(server, db, key);
      const tooOld = this.#tooOld;
      const paged = (one: Reading) => one.type !== 'none' && (tooOld || one.bytes > options.bigKeyBytes);
      // The small ones first: some have been read already, and grow old while a large one is paged through.
      const small = readings.filter((one) => !paged(one));
      for (const batch of inBatches(small, BATCH_BYTES)) bytes += await this.#byDump(server, db, batch, paced);
      for (const one of readings.filter(paged)) await this.#rebuild(server, db, one, paced);
    }
    return bytes;
  }

  /** Of the first keys, as many as may be read at a time: sizes, and what is small with itself. */
  async #read(server: Server, db: number, keys: readonly Buffer[], paced: Paced): Promise<Reading[]> {
    const { options, onStream } = this.#context;
    const redis = await server.db(db);
    const types = onStream !== undefined;
    const wanted = { types, largest: options.bigKeyBytes };
    // What is followed may be behind a fence by CLIENT PAUSE, under which EVAL hangs, and EVAL_RO (7.0) does not.
    const fit = paced !== UNPACED || server.abilities.eval === 'EVAL_RO';
    // What is rebuilt need not be dumped.
    const byScript = fit && !this.#tooOld ? await readByScript(server, redis, keys, wanted) : undefined;
    return byScript ?? sizesOf(server, redis, keys, types);
  }

  async #byDump(server: Server, db: number, batch: readonly Reading[], paced: Paced): Promise<number> {
    const { target, totals, options } = this.#context;
    const bytes = bytesOf(batch);
    const dumps = await wholeOf(server, await server.db(db), batch);
    const groups = target.group(dumps, ({ key }) => key);
    const tooNew: Buffer[] = [];
    await Promise.all(
      [...groups].map(async ([to, items]) => {
        const keep = options.mode === 'keep';
        const written = await writeKeys(to, await to.db(db), items, keep);
        totals.copied += written.restored.length;
        totals.deleted += written.deleted;
        totals.kept += written.kept;
        tooNew.push(...written.tooNew);
        if (keep) await this.#lookAgain(server, to, db, written.restored);
      }),
    );
    totals.bytes += bytes;
    for (const key of tooNew) {
      this.#refuseOlderTarget(server, key);
      const sized = batch.find((one) => one.key.equals(key));
      if (sized) await this.#rebuild(server, db, sized, paced);
    }
    return bytes;
  }

  /** Mode `keep`: nobody tells us what was changed between our reading and our writing. */
  async #lookAgain(server: Server, to: Server, db: number, restored: readonly Dumped[]): Promise<void> {
    if (restored.length === 0) return;
    const again = await readAgain(
      server,
      await server.db(db),
      restored.map(({ key }) => key),
    );
    for (const [i, before] of restored.entries()) {
      const now = again[i];
      if (now && sameState(server, before, now)) continue;
      this.#context.totals[await this.#putRight.key(server, to, db, before.key)]++;
    }
  }

  #refuseOlderTarget(server: Server, key: Buffer): void {
    const { options, note, target } = this.#context;
    const versions = `the source is ${server.version}, the target ${target.serverOf(key).version}`;
    if (options.olderTarget === 'refuse') {
      throw new CopyError(
        'OLDER_TARGET',
        `copy: the target is too old for the DUMP of the source: ${versions} (at key ${printable(key)})`,
        { remedy: 'choose a target at least as new as the source, or set olderTarget: rebuild' },
      );
    }
    if (!this.#tooOld) note(`every key is rebuilt by commands of its type, which is slower: ${versions}`);
    this.#tooOld = true;
  }

  async #rebuild(server: Server, db: number, sized: Sized, paced: Paced): Promise<void> {
    const { target, totals, options, onRebuilt } = this.#context;
    const to = target.serverOf(sized.key);
    const began = performance.now();
    const context = {
      migrationId: options.migrationId,
      source: { server, redis: await server.db(db) },
      target: { server: to, redis: await to.db(db) },
      keep: options.mode === 'keep',
      paced,
    };
    let now = sized;
    // It became another type meanwhile, again and again: nothing that an application does on purpose.
    for (let round = 0; round < 5; round++) {
      if (now.type === UNASKED) [now = now] = await sizesOf(server, context.source.redis, [now.key], true);
      if (now.type === 'none') {
        await writeKeys(to, context.target.redis, [{ key: now.key, dump: null, expireAt: 0 }], context.keep);
        if (!context.keep) totals.deleted++;
        return;
      }
      const outcome = await rebuild(context, now);
      if (outcome === 'kept') totals.kept++;
      if (outcome === 'rebuilt') {
        totals.copied++;
        totals.rebuilt++;
        totals.bytes += now.bytes;
        onRebuilt(server, db, now.key, performance.now() - began);
        // Whether it was torn can't be seen at a price that is worth it; that it was deleted can.
        if (context.keep && (await ask<number>(context.source.redis, 'EXISTS', now.key)) === 0) {
          totals[await this.#putRight.key(server, to, db, now.key)]++;
        }
      }
      if (outcome !== 'gone') return;
      now = { ...now, type: UNASKED };
    }
    throw new CopyError('EVENTS_LOST', `copy: key ${printable(sized.key)} changes its type all the time`, {
      retryable: true,
    });
  }
}

/** A source node that answers MOVED has given slots away. */
function ofSource(server: Server, error: unknown): unknown {
  if (error instanceof Error && error.name === 'ReplyError' && /^(MOVED|ASK) /.test(error.message)) {
    return slotsMoved(server);
  }
  return error;
}
