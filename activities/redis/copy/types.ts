/** What goes into a copy and what comes out. */
import type { Redis } from 'ioredis';
import type { CopyMode, CopyNode, CopyTotals, RedisCopy } from '../../../spec/redis-copy.ts';

export type { CopyTotals } from '../../../spec/redis-copy.ts';

export interface Address {
  host: string;
  port: number;
}

/** Opens a connection that never reconnects by itself, at database 0. @throws what connecting throws */
export type Connect = (at: Address) => Promise<Redis>;

export interface CopySide {
  /** Any node of it. */
  at: Address;
  connect: Connect;
}

export interface CopyConnections {
  source: CopySide;
  target: CopySide;
}

export interface CopyOptions extends RedisCopy {
  mode: CopyMode;
  /** Goes into the names of temporary keys and barriers. */
  migrationId: string;
}

/** Where one node's scan stands. */
export interface NodeCheckpoint {
  /** host:port, or the node's id in its cluster. */
  id: string;
  /** Of the process that gave the cursor: another one's cursors mean something else. */
  runId: string;
  /** The node's slots, `0-5460`, for people and to know a node that has others by now. */
  slots: string;
  /** Databases whose scan is over. */
  done: number[];
  db: number;
  cursor: string;
  /** Keys seen by the scan, in all its databases. */
  keys: number;
}

export interface CopyCheckpoint {
  version: 1;
  /** Digest of the options that decide which keys are copied. */
  options: string;
  /** Digest of the target's processes: another one may have lost what was written. */
  targets: string;
  nodes: NodeCheckpoint[];
  totals: CopyTotals;
  elapsedMs: number;
}

export const noTotals = (): CopyTotals => ({
  copied: 0,
  rebuilt: 0,
  deleted: 0,
  kept: 0,
  corrected: 0,
  unsettled: 0,
  bytes: 0,
  events: 0,
  subscriptionsLost: 0,
  overflowed: 0,
  reconciled: 0,
  restedMs: 0,
});

export interface CopyState {
  phase: 'scanning' | 'reconciling' | 'following' | 'draining' | 'done';
  nodes: CopyNode[];
  keysPerSecond: number;
  bytesPerSecond: number;
  /** Until the scan's end, ms; 0 where not known or over. */
  etaMs: number;
  /** Touched keys that wait or are being copied. */
  queued: number;
  /** Age of the oldest of these, ms. */
  oldestMs: number;
  /** The scan is over, nothing is to be reconciled, and every subscription is up. What is queued is the lag. */
  inSync: boolean;
  totals: CopyTotals;
}

/** What stopped a copy, in words for the operator. */
export class CopyError extends Error {
  readonly code:
    | 'CONNECTION_LOST'
    | 'SLOTS_MOVED'
    | 'DATABASE_MISSING'
    | 'OPTIONS_INVALID'
    | 'OBSTACLE'
    | 'OLDER_TARGET'
    | 'WRITE_REFUSED'
    | 'EVENTS_LOST'
    | 'DIFFERS'
    | 'DEADLINE';
  /** Whether the same call can succeed later, from its last checkpoint. */
  readonly retryable: boolean;
  readonly remedy: string | undefined;
  constructor(code: CopyError['code'], message: string, options: { retryable?: boolean; remedy?: string } = {}) {
    super(message);
    this.name = 'CopyError';
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.remedy = options.remedy;
  }
}
