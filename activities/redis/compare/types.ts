import type { Redis } from 'ioredis';
import type { Address } from '../copy/types.ts';

/** What to compare and how hard. Durations in milliseconds. */
export interface CompareOptions {
  /** `full`: every key. `sample`: the keys whose name hashes below `sampleRatio`, the same ones on both sides and on every run. */
  mode: 'full' | 'sample';
  /** 0 < ratio ≤ 1; needed in mode `sample`. */
  sampleRatio?: number;
  /** Logical databases; by default all that INFO keyspace lists on either side, read again at the end. */
  databases?: number[];
  /** Two expiry times this near to each other are the same. At least 50 ms is used where a server lacks PEXPIRETIME (before 7.0). */
  ttlToleranceMs: number;
  /** Glob patterns (Redis syntax) of key names left out; added to {@link ALWAYS_IGNORED}. */
  ignore: string[];
  /** false compares existence, type and expiry alone. */
  values: boolean;
  /** Pause before a difference is read again. */
  rereadDelayMs: number;
  /** How often a difference is read again before it counts; at least 1. */
  rereadTimes: number;
  /** Most differences listed as examples; the counts are complete all the same. */
  maxReported: number;
  /** Upper limit on keys read per second from the side being scanned. */
  maxKeysPerSecond?: number;
  /** COUNT of SCAN; default 1000 (5000 is slower: facts/redis-aws 4.6). */
  scanCount?: number;
  /** Longest wait for a replica target to reach the source's offset before the compare gives up; default 60 000. */
  catchUpTimeoutMs?: number;
  /** Least time between two calls of onProgress; default 500, 0 = at every settled page. */
  progressIntervalMs?: number;
}

/**
 * Keys that are never compared: ElastiCache writes the first by itself on a migrating primary
 * (facts/redis-aws 2), the second are our own markers and canaries.
 */
export const ALWAYS_IGNORED: readonly string[] = ['ElastiCacheMasterReplicationTimestamp', 'cutover:*'];

/**
 * Makers of connections. Each call gives a new one, which the compare owns and closes; credentials, TLS and
 * retry policy are the caller's. Commands may wait in ioredis' offline queue or not, as the caller likes.
 * With an address: to that node of the side's cluster.
 */
export interface Connections {
  source: (at?: Address) => Redis | Promise<Redis>;
  target: (at?: Address) => Redis | Promise<Redis>;
}

export type DifferenceKind = 'missing' | 'extra' | 'type' | 'ttl' | 'value';

/** One difference, told without any value of the data. */
export interface Example {
  db: number;
  /** The key's name, with bytes that don't print escaped as \xHH. */
  key: string;
  /** `unsettled`: moved at every read, on both sides; `uncompared`: could not be read whole. */
  kind: DifferenceKind | 'unsettled' | 'uncompared';
  source: string;
  target: string;
}

/** What has been counted so far. */
export interface Tally {
  /** Keys of the source that were compared. */
  keysCompared: number;
  /** On the source, not on the target. */
  missing: number;
  /** On the target, not on the source. */
  extra: number;
  typeDiffers: number;
  ttlDiffers: number;
  valueDiffers: number;
  /**
   * Keys that changed on both sides at every read, so that no two reads could be matched. They are not proven
   * equal and not counted as different: compare them again when the source is fenced.
   */
  unsettled: number;
  /** Keys that could not be compared at all (a module's value too large for DUMP). Makes `equal` false. */
  uncompared: number;
  /** Readings of keys that were made again because a first one differed. */
  rereads: number;
}

export interface CompareResult extends Tally {
  databases: number[];
  examples: Example[];
  durationMs: number;
  /** Things to know about how it was compared: fallbacks, types compared by DUMP alone. */
  notes: string[];
  /** No difference was found and nothing was left uncompared. */
  equal: boolean;
}

export type Phase = 'source' | 'target';

export interface PassStart {
  tally: Tally;
  examples: number;
  /** Of the nodes before this one; left out where there is none. */
  keysDone?: number;
}

/** The cursor of a pass that is done: SCAN's own 0 means its start too. */
export const PASS_END = 'end';

/**
 * Where to go on: serialisable, below 10 KB. Cursors are strings (they are 64-bit).
 * A cursor is a place in the hash table of the process that gave it: it outlives resizing, and not a restart or a failover, after
 * which the table is seeded anew and the same cursor skips keys. So it is kept with that process's run_id, and the
 * counts with those from before the pass: on another process the pass begins again.
 */
export interface CompareCheckpoint {
  version: 1;
  /** Digest of the options that decide what is compared; a checkpoint of other options is not used. */
  options: string;
  /** Databases that are done, in order. */
  done: number[];
  db: number;
  phase: Phase;
  /** Of SCAN, or {@link PASS_END}. */
  cursor: string;
  /** run_id of the server that the cursor belongs to. */
  server: string;
  /** Keys seen in this db and phase. */
  keysDone: number;
  tally: Tally;
  /** How it stood when this pass, in a cluster that of this node, began. */
  passStart: PassStart;
  /** Only where a side is a cluster. */
  cluster?: {
    /** Digest of which node has which slots. With others, what lies before the cursor is not what lay there. */
    topology: string;
    /** Ids of the nodes that are done in this db and phase. */
    done: string[];
    /** The node that the cursor belongs to. */
    node: string;
  };
  /** As many of the examples as fit. */
  examples: Example[];
  notes: string[];
  elapsedMs: number;
}

export interface CompareProgress {
  db: number;
  phase: Phase;
  /** Keys seen in this db and phase. */
  keysDone: number;
  /** Which of the phase's nodes is being scanned, from 1. */
  node: { at: number; of: number };
  /** Keys in this db and phase, as DBSIZE said at its start. */
  keysTotal: number;
  keysPerSecond: number;
  /** Until the end of all databases and both phases. */
  etaMs: number;
  /** Keys that differ so far. */
  differences: number;
  checkpoint: CompareCheckpoint;
}

export interface CompareRun {
  resumeFrom?: CompareCheckpoint;
  onProgress?: (progress: CompareProgress) => void;
  signal?: AbortSignal;
}

/** How deep a bulk reading looks; see digest-script.ts. */
export type Depth = 'meta' | 'quick' | 'typed' | 'full';

/** One key as one side has it. */
export interface KeyState {
  /** `none`: absent or expired. */
  type: string;
  /** 40 hex digits or four sums; `B`: too large to digest in a script; `=`: not asked for. */
  digest: string;
  /** Unix time in ms at which it expires; undefined = never. */
  expireAt: number | undefined;
}

/** What stopped a compare, in words for the operator. */
export class CompareError extends Error {
  readonly code:
    | 'TARGET_NOT_IN_SYNC'
    | 'CONNECTION_LOST'
    | 'DATABASE_MISSING'
    | 'OPTIONS_INVALID'
    | 'COMMAND_REFUSED'
    | 'SLOTS_UNSTEADY';
  /** Whether the same call can succeed later, from its last checkpoint. */
  readonly retryable: boolean;
  constructor(code: CompareError['code'], message: string, retryable: boolean) {
    super(message);
    this.name = 'CompareError';
    this.code = code;
    this.retryable = retryable;
  }
}
