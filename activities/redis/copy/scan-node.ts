/** Copies every key of one source node, database after database, and knows where to go on. */
import { Crew } from '../compare/crew.ts';
import { ask } from '../compare/replies.ts';
import type { Copier } from './copier.ts';
import { CursorOrder } from './cursor-order.ts';
import type { LatencyGuard, Pace } from './pace.ts';
import type { Server } from './server.ts';
import type { CopyOptions, NodeCheckpoint } from './types.ts';

export interface ScanContext {
  copier: Copier;
  options: CopyOptions;
  pace: Pace;
  /** Of a node of the source; undefined: of the target, which is nobody's yet. */
  guardOf: (server: Server) => LatencyGuard | undefined;
  wanted: (key: Buffer) => boolean;
  /** Databases that hold keys on the source; read again when they are done. */
  databasesOf: (server: Server) => Promise<Map<number, number>>;
  workers: number;
  fail: (error: unknown) => void;
  wait: (ms: number) => Promise<void>;
  signal: AbortSignal;
}

export class NodeScan {
  readonly server: Server;
  #done: number[];
  #db: number;
  #order: CursorOrder;
  #keysTotal = 0;
  #over = false;
  readonly #context: ScanContext;

  constructor(server: Server, context: ScanContext, from: NodeCheckpoint | undefined) {
    this.server = server;
    this.#context = context;
    this.#done = [...(from?.done ?? [])];
    this.#db = from?.db ?? 0;
    this.#order = new CursorOrder(from?.cursor ?? '0', from?.keys ?? 0);
  }

  get keys(): number {
    return this.#order.keys;
  }
  /** As DBSIZE counted; never below what was seen. */
  get keysTotal(): number {
    return Math.max(this.#keysTotal, this.#order.keys);
  }
  get over(): boolean {
    return this.#over;
  }

  checkpoint(): NodeCheckpoint {
    const { id, runId, slotsText } = this.server;
    const { cursor, keys } = this.#order;
    return { id, runId, slots: slotsText, done: [...this.#done], db: this.#db, cursor, keys };
  }

  /** From where it stands to the end. @throws CopyError, and what the connections throw */
  async run(): Promise<void> {
    const { databasesOf } = this.#context;
    // The list is read again after each database: a moving source may begin to use another one.
    for (;;) {
      const databases = await databasesOf(this.server);
      this.#keysTotal = [...databases.values()].reduce((sum, keys) => sum + keys, 0);
      const open = [...databases.keys()].filter((db) => !this.#done.includes(db)).sort((a, b) => a - b);
      const next = open.includes(this.#db) ? this.#db : open[0];
      if (next === undefined) break;
      const cursor = next === this.#db ? this.#order.cursor : '0';
      this.#db = next;
      this.#order = new CursorOrder(cursor, this.#order.keys);
      await this.#database(next, cursor);
      this.#done.push(next);
      this.#order = new CursorOrder('0', this.#order.keys);
    }
    this.#over = true;
  }

  async #database(db: number, start: string): Promise<void> {
    const { copier, options, pace, guardOf, wanted, workers, fail, wait, signal } = this.#context;
    const pages = new Crew(workers, fail);
    const redis = await this.server.db(db);
    // Few at a time where few are allowed: a page of five seconds' keys would be a burst every five seconds.
    const count = Math.max(10, Math.min(options.scanCount, Math.ceil((options.maxKeysPerSecond ?? Infinity) / 10)));
    let cursor = start;
    do {
      signal.throwIfAborted();
      await guardOf(this.server)?.clear();
      const [next, found] = await ask<[Buffer, Buffer[]]>(redis, 'SCAN', cursor, 'COUNT', count);
      cursor = next.toString();
      const close = this.#order.open(cursor, found.length);
      await pages.start(async () => {
        await copyAll(copier, this.server, db, unique(found).filter(wanted), wait, pace.bytes);
        close();
      });
      await pace.keys(found.length);
    } while (cursor !== '0');
    await pages.idle();
    signal.throwIfAborted();
  }
}

/** Until each has been copied once since the call: a key in another hand may have been read there before the call. */
export async function copyAll(
  copier: Copier,
  server: Server,
  db: number,
  keys: readonly Buffer[],
  wait: (ms: number) => Promise<void>,
  paced?: (bytes: number) => Promise<void>,
): Promise<void> {
  for (let left = keys; left.length > 0;) {
    left = await copier.copy(server, db, left, paced);
    if (left.length > 0) await wait(5);
  }
}

/** SCAN may give a key twice. */
export function unique(keys: readonly Buffer[]): Buffer[] {
  return [...new Map(keys.map((key) => [key.toString('latin1'), key])).values()];
}
