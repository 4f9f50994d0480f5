/** What a task must find again after its engine was stopped or killed: a file in its folder. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineTableStatistics } from './contract.ts';
import type { SourceTable } from './catalog.ts';

/** pg_current_snapshot() of the transaction that read a table: which transactions its load has seen. Decimal text. */
export interface Snapshot {
  xmax: string;
  running: string[];
}

export interface Counters {
  inserts: number;
  updates: number;
  deletes: number;
  ddls: number;
}

export interface TableState {
  table: SourceTable;
  state: EngineTableStatistics['TableState'];
  snapshot?: Snapshot;
  fullLoadRows: number;
  loadStart?: number;
  loadEnd?: number;
  reloaded: boolean;
  error?: string;
  /** Suspended by an error of the apply: its changes are passed over until it is reloaded. */
  suspended: boolean;
  /** Read from the log up to the position, and of these applied. */
  captured: Counters;
  applied: Counters;
}

/** Counts as they are once the transaction on the target has committed. */
export interface Progress {
  /** End of the last source transaction that is applied for good. */
  position: string;
  tables: Record<string, { captured: Counters; applied: Counters }>;
}

export interface TaskState {
  version: 1;
  slot: string;
  /** The mappings that `tables` was made by; none in the state of an older engine. */
  mappings?: unknown;
  /** Made by the task, and so removed with it. */
  slotOwned: boolean;
  /** Where the slot began. */
  slotStart: string;
  phase: 'load' | 'cached' | 'cdc' | 'done';
  /** The log's end when the last table was loaded: what comes before is "cached changes". */
  cachedUntil?: string;
  position: string;
  tables: Record<string, TableState>;
  standIns: Record<string, string>;
  dates: { fresh?: number; start?: number; stop?: number; loadStart?: number; loadFinish?: number };
  elapsedMs: number;
  /**
   * Written before a commit on the target: the transaction, and what holds once it is through. After a kill the target is
   * asked what became of it (pg_xact_status), so that nothing is applied twice and nothing is passed over.
   */
  pending?: { xid: string; progress: Progress };
}

export class StateFile {
  private readonly file: string;
  private readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
    this.file = join(dir, 'task.json');
  }

  read(): TaskState | undefined {
    let text: string;
    try {
      text = readFileSync(this.file, 'utf8');
    } catch {
      return undefined;
    }
    return JSON.parse(text) as TaskState;
  }

  /** Whole or not at all: a kill in the middle leaves the one before. */
  write(state: TaskState): void {
    mkdirSync(this.dir, { recursive: true });
    const fresh = `${this.file}.new`;
    writeFileSync(fresh, JSON.stringify(state));
    renameSync(fresh, this.file);
  }
}

export function noCounts(): Counters {
  return { inserts: 0, updates: 0, deletes: 0, ddls: 0 };
}

export function freshTable(table: SourceTable): TableState {
  return {
    table,
    state: 'Before load',
    fullLoadRows: 0,
    reloaded: false,
    suspended: false,
    captured: noCounts(),
    applied: noCounts(),
  };
}

/** Whether a table's load has seen what the transaction did. `xid` is 32 bits of the snapshot's 64. */
export function sawTransaction(snapshot: Snapshot | undefined, xid: number): boolean {
  if (snapshot === undefined) return false;
  const xmax = BigInt(snapshot.xmax);
  const span = 1n << 32n;
  // The one nearest to the snapshot: older and newer transactions are less than 2^31 away from it.
  let full = (xmax / span) * span + BigInt(xid);
  if (full - xmax > span / 2n) full -= span;
  else if (xmax - full > span / 2n) full += span;
  return full < xmax && !snapshot.running.includes(full.toString());
}
