/** Change data capture: reads the slot, applies, keeps the position, reloads tables beside it. */
import type pg from 'pg';
import { setTimeout as delay } from 'node:timers/promises';
import { Applier, type Touched } from './applier.ts';
import { ChangeStream, type Change, type Piece } from './change-stream.ts';
import { Ended } from './failures.ts';
import { lsnOf, lsnText } from './lsn.ts';
import type { Reloads } from './reloads.ts';
import type { Run } from './run.ts';

const BATCH = 4_000;
const WAIT_MS = 200;
/** How long, in milliseconds, a transaction that is half read when the task is to end may take to be read to its end. */
const LAST_MS = 5_000;

export class Follower {
  private readonly run: Run;
  private readonly stream: ChangeStream;
  private readonly reloads: Reloads;
  private readonly touched: Touched;
  private applier: Applier | undefined;
  /** Read and applied in memory; the state's position follows with each commit. */
  private reached: bigint;
  private midway = false;
  /** The task was to end LAST_MS ago. */
  private late = false;
  private savedAt = 0;
  private appliedAt: number | undefined;

  constructor(run: Run, reloads: Reloads, touched: Touched) {
    this.run = run;
    this.reloads = reloads;
    this.touched = touched;
    this.stream = new ChangeStream(run);
    this.reached = lsnOf(run.state.position);
  }

  get waiting(): ChangeStream['waiting'] {
    return this.stream.waiting;
  }

  get backlog(): number {
    return this.stream.backlog;
  }

  /** Seconds. As on AWS, 0 where there is nothing to read: 0 does not prove that nothing is on its way. */
  latency(): { source: number; target: number } {
    if (this.stream.backlog === 0 || this.stream.lastCommitAt === undefined) return { source: 0, target: 0 };
    const seconds = (at: number): number => Math.max(0, Math.round((Date.now() - at) / 1_000));
    return { source: seconds(this.stream.lastCommitAt), target: seconds(this.appliedAt ?? this.stream.lastCommitAt) };
  }

  /**
   * Follows until the log was applied up to `until`, or for ever.
   * @throws Ended after stop(): what was read and not applied will be read again
   */
  async follow(cached: boolean, until?: bigint): Promise<void> {
    const { run } = this;
    if (this.applier === undefined) {
      this.applier = await Applier.open(run, this.touched);
      await this.stream.start();
    }
    const cut = (): void =>
      void delay(LAST_MS, undefined, { ref: false }).then(() => {
        this.late = true;
        this.applier?.cutOff();
      });
    if (run.ended.aborted) cut();
    run.ended.addEventListener('abort', cut, { once: true });
    try {
      for (;;) {
        if (!this.midway) {
          if (run.ended.aborted) throw new Ended('stopped');
          await this.reloads.atBoundary((xid, changes) => this.applyReloaded(xid, changes));
          if (until !== undefined && this.reached >= until) {
            await this.save();
            return;
          }
        }
        // A source that hangs never sends the rest: nothing of it is committed, and all of it will be read again.
        if (this.late) throw new Ended('stopped');
        await this.step(cached, until !== undefined);
      }
    } finally {
      run.ended.removeEventListener('abort', cut);
    }
  }

  private async step(cached: boolean, hurried: boolean): Promise<void> {
    const { run, stream } = this;
    if (run.script.freezeApply === true && !this.midway) {
      await delay(WAIT_MS);
      return;
    }
    const next = await stream.next(WAIT_MS);
    if (next === undefined) {
      if (!this.midway) await this.save();
      stream.tell(hurried);
      return;
    }
    if ('idle' in next) {
      if (next.idle > this.reached) this.reached = next.idle;
      await this.save();
      return;
    }
    await this.apply(next, cached);
    if (next.end === undefined) {
      this.midway = true;
      return;
    }
    this.midway = false;
    this.appliedAt = next.end.at;
    this.reached = next.end.lsn;
    if ((this.applier?.size ?? 0) >= BATCH || stream.backlog === 0) await this.save();
  }

  private async apply(piece: Piece, cached: boolean): Promise<void> {
    const now: Change[] = [];
    for (const change of piece.changes) if (!this.reloads.keeps(change, piece.xid)) now.push(change);
    if (now.length > 0) await this.applier?.apply(piece.xid, now, cached);
  }

  private async applyReloaded(xid: number, changes: Change[]): Promise<void> {
    await this.applier?.apply(xid, changes, true);
    await this.save();
  }

  /** Only between transactions. */
  private async save(): Promise<void> {
    const { run, applier } = this;
    const position = lsnText(this.reached);
    if (applier === undefined) return;
    const wrote = applier.size > 0;
    if (wrote) await applier.commit(position);
    else if (position !== run.state.position && Date.now() - this.savedAt > 500) {
      run.state.position = position;
      delete run.state.pending;
      run.file.write(run.state);
      this.savedAt = Date.now();
    }
    this.stream.settled();
    this.stream.confirm(lsnOf(run.state.position));
    if (wrote) this.stream.tell(false);
  }

  async close(): Promise<void> {
    await this.stream.stop();
    await this.applier?.close();
  }
}

/** Where the source's log ends now. */
export async function logEnd(client: pg.Client): Promise<bigint> {
  const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return lsnOf(rows[0]?.lsn ?? '0/0');
}
