/** Follows the slot: the changes of committed transactions, in the order of their commits. */
import { setTimeout as delay } from 'node:timers/promises';
import { LogicalReplicationService } from 'pg-logical-replication';
import { decode, type TableKey, type Tuple } from './decoding.ts';
import { Ended, isPassing, messageOf, sqlState, TaskFailure } from './failures.ts';
import { lsnOf, lsnText } from './lsn.ts';
import type { Run } from './run.ts';
import { RawTestDecoding } from './raw-test-decoding.ts';
import { sessionConfig } from './sessions.ts';

export interface Change {
  table: TableKey;
  op: 'insert' | 'update' | 'delete' | 'truncate';
  old?: Tuple;
  row?: Tuple;
}

/** A piece of a transaction; `end` with the last one. */
export interface Piece {
  xid: number;
  changes: Change[];
  end?: { lsn: bigint; at: number };
}

/** Up to there the log holds nothing more of ours. */
export interface Idle {
  idle: bigint;
}

const PIECE = 2_000;
const QUEUE = 20_000;
const SLOT_ACTIVE = '55006';
const SLOT_PATIENCE_MS = 20_000;

export class ChangeStream {
  private readonly run: Run;
  private service: LogicalReplicationService | undefined;
  private queue: (Piece | Idle)[] = [];
  private queued = 0;
  private open: Piece | undefined;
  private failure: unknown;
  private wake: (() => void) | undefined;
  private room: (() => void) | undefined;
  private confirmed: bigint;
  private ticker: NodeJS.Timeout | undefined;
  private handed: Change[] = [];
  /** Read, but not committed on the target yet: for the statistics. */
  readonly waiting = new Map<TableKey, { inserts: number; updates: number; deletes: number }>();
  /** Commit time of the last transaction that was read. */
  lastCommitAt: number | undefined;

  constructor(run: Run) {
    this.run = run;
    this.confirmed = lsnOf(run.state.position);
  }

  /** Starts at the state's position: the server passes over what was committed before it. */
  async start(): Promise<void> {
    const patience = Date.now() + SLOT_PATIENCE_MS;
    for (;;) {
      try {
        await this.subscribe();
        break;
      } catch (error) {
        await this.stop();
        // The walsender of an engine that was killed holds the slot until it notices.
        if (sqlState(error) !== SLOT_ACTIVE || Date.now() > patience) throw this.judged(error);
        await delay(200, undefined, { signal: this.run.ended });
      }
    }
    // Told every second, whether or not there is news: a reader that is paused must not be taken for dead.
    this.ticker = setInterval(() => this.tell(false), 1_000);
  }

  private async subscribe(): Promise<void> {
    const { spec, state } = this.run;
    const service = new LogicalReplicationService(
      { ...sessionConfig(spec.source, spec.id) },
      { acknowledge: { auto: false, timeoutSeconds: 0 }, flowControl: { enabled: true } },
    );
    this.service = service;
    this.failure = undefined;
    const plugin = new RawTestDecoding({});
    let received = 0;
    service.on('data', (lsn: string, text: string) => {
      received++;
      return this.receive(lsn, text);
    });
    service.on('heartbeat', (lsn, _time, respond) => {
      // A heartbeat overtakes the messages that the library still holds: it must not be taken for their end.
      if (this.open === undefined && plugin.parsed === received) this.idle(lsnOf(lsn));
      if (respond) this.tell(false);
    });
    service.on('error', (error) => this.fail(error));
    await new Promise<void>((resolve, reject) => {
      // A server that hangs never answers.
      const ended = (): void => reject(new Ended('stopped'));
      this.run.ended.addEventListener('abort', ended, { once: true });
      service.on('start', () => {
        this.run.ended.removeEventListener('abort', ended);
        resolve();
      });
      service.subscribe(plugin, state.slot, state.position).then(
        () => this.fail(new Error('Connection terminated: the stream of changes ended')),
        (error: unknown) => {
          this.fail(error);
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }

  private receive(lsn: string, text: string): Promise<void> | void {
    try {
      this.take(lsnOf(lsn), text);
    } catch (error) {
      this.fail(new TaskFailure('FATAL_ERROR', messageOf(error), { cause: error }));
    }
    if (this.queued < QUEUE || this.failure !== undefined) return;
    return new Promise((resolve) => (this.room = resolve));
  }

  private take(lsn: bigint, text: string): void {
    const { tables, standIns } = this.run.state;
    const message = decode(text, (key) => key in tables || key in standIns);
    switch (message.what) {
      case 'begin':
        this.open = { xid: message.xid, changes: [] };
        return;
      case 'commit': {
        const piece = this.open ?? { xid: 0, changes: [] };
        this.open = undefined;
        this.lastCommitAt = message.at;
        this.push({ ...piece, end: { lsn, at: message.at } });
        return;
      }
      case 'change':
        this.add({ ...message, table: standIns[message.table] ?? message.table });
        return;
      case 'truncate':
        for (const table of message.tables) this.add({ op: 'truncate', table: standIns[table] ?? table });
        return;
      default:
    }
  }

  private add(change: Change): void {
    const piece = (this.open ??= { xid: 0, changes: [] });
    piece.changes.push(change);
    if (change.op !== 'truncate') {
      const waiting = this.waiting.get(change.table) ?? { inserts: 0, updates: 0, deletes: 0 };
      this.waiting.set(change.table, waiting);
      waiting[`${change.op}s`]++;
    }
    if (piece.changes.length < PIECE) return;
    this.push(piece);
    this.open = { xid: piece.xid, changes: [] };
  }

  private push(piece: Piece): void {
    this.queue.push(piece);
    this.queued += piece.changes.length;
    this.wake?.();
  }

  private idle(lsn: bigint): void {
    const last = this.queue.at(-1);
    if (last !== undefined && 'idle' in last) last.idle = lsn;
    else this.queue.push({ idle: lsn });
    this.wake?.();
  }

  private fail(error: unknown): void {
    this.failure ??= error;
    this.wake?.();
    this.room?.();
  }

  /** What comes next, or undefined when nothing has come for so long. @throws what ended the stream */
  async next(waitMs: number): Promise<Piece | Idle | undefined> {
    if (this.queue.length === 0 && this.failure === undefined) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
        // Also when the task is to end: whoever asks for the rest of a transaction then would ask again and again without
        // a turn of the event loop, in which alone the rest can arrive.
      });
      this.wake = undefined;
    }
    const piece = this.queue.shift();
    if (piece === undefined) {
      if (this.failure !== undefined) throw this.judged(this.failure);
      return undefined;
    }
    if ('changes' in piece) {
      this.queued -= piece.changes.length;
      for (const change of piece.changes) this.handed.push(change);
      if (this.queued < QUEUE / 2) {
        this.room?.();
        this.room = undefined;
      }
    }
    return piece;
  }

  /** What was handed on is counted by the state from now on: committed, kept, or passed over. */
  settled(): void {
    for (const { table, op } of this.handed) {
      const waiting = this.waiting.get(table);
      if (waiting !== undefined && op !== 'truncate') waiting[`${op}s`]--;
    }
    this.handed = [];
  }

  get backlog(): number {
    return this.queued;
  }

  /** What comes before is safe on the target: the source may forget it. */
  confirm(lsn: bigint): void {
    if (lsn > this.confirmed) this.confirmed = lsn;
  }

  /** @param ask for an answer at once: how far the log goes */
  tell(ask: boolean): void {
    if (this.confirmed === 0n) return;
    // The library tells the server one byte more than it is given; a commit that begins at this very byte would be lost.
    void this.service?.acknowledge(lsnText(this.confirmed - 1n), ask);
  }

  async stop(): Promise<void> {
    clearInterval(this.ticker);
    const { service } = this;
    this.service = undefined;
    this.room?.();
    if (service === undefined) return;
    service.removeAllListeners();
    service.on('error', () => {});
    const stopped = service.stop().catch(() => {});
    await Promise.race([stopped, delay(3_000)]);
  }

  /** A slot or its log that is gone does not come back. */
  private judged(error: unknown): unknown {
    if (error instanceof TaskFailure || error instanceof Ended || isPassing(error)) return error;
    return new TaskFailure(
      'FATAL_ERROR',
      `Error reading from replication slot '${this.run.state.slot}': ${messageOf(error)}`,
      { cause: error },
    );
  }
}
