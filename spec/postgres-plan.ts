/** What is known of the source's tables before anything is moved, and what each step finds. Crosses the layers. */
import type { Treatment } from './postgres-tables.ts';

/** One table of the source, and which way it goes. A partitioned table stands for its partitions. */
export interface PlannedTable {
  schema: string;
  name: string;
  treatment: Treatment;
  /** From statistics, so about. */
  rows: number;
  bytes: number;
  /** Empty where there is none. */
  primaryKey: string[];
  partitioned?: boolean;
  /** Its partitions that hold rows: replication reads changes under their names, not under the root's (facts 4.5). */
  partitions?: TableId[];
}

/** The step `plan-tables` keeps this; later steps go by it, not by what is on the source by then. */
export interface TablePlan {
  tables: PlannedTable[];
  /** Of columns DMS takes as LOB, the largest value, in bytes; 0 where there is none. */
  largestLob: number;
}

export type TableId = Pick<PlannedTable, 'schema' | 'name'>;

/** As Postgres writes it in a message: quoted where it must be. */
export function tableText({ schema, name }: TableId): string {
  const part = (text: string) => (/^[a-z_][a-z0-9_$]*$/.test(text) ? text : `"${text.replaceAll('"', '""')}"`);
  return `${part(schema)}.${part(name)}`;
}

/** Our own schema on both sides: the fence's record, the marker, what was created. Replicated: `cutover.marker`. */
export const OWN_SCHEMA = 'cutover';
export const MARKER_TABLE: TableId = { schema: OWN_SCHEMA, name: 'marker' };

/** One reading of the replication, the same for every engine. */
export interface ReplicationState {
  /** `loading`: full load; `load-done`: stopped after it, as asked for; `following`: CDC. */
  phase: 'starting' | 'loading' | 'load-done' | 'following' | 'stopped' | 'failed';
  /** What the engine itself calls it: `running`, `stopped (Stop Reason NORMAL)`. */
  engineState: string;
  tables: { total: number; loaded: number; loading: number; failed: number };
  /** 0 to 100. An estimate: nothing is decided by it. */
  percent?: number;
  rowsLoaded: number;
  /** Changes applied since the load. */
  changesApplied: number;
  /** Age of the youngest marker that arrived, ms; absent until one has. */
  lagMs?: number;
  /** WAL that the slot holds back on the source. */
  retainedBytes?: number;
  slot?: { name: string; active: boolean; walStatus: string };
  validation?: { validated: number; pending: number; failed: number; suspended: number; notValidated: number };
  /** What must be mended before the cutover: table and reason, at most 20. */
  problems: { table?: string; reason: string }[];
  /** Since when nothing moved though something should, epoch ms. */
  stalledSince?: number;
  /** The engine's own reason for a stop or failure. */
  stopReason?: string;
  /** Set in the state that ends one run of the watch. */
  readings: number;
  ready: boolean;
  notReady?: string;
}

/** A table's own state, for `cutover report` and the heartbeat. */
export interface TableState extends TableId {
  state: string;
  rows: number;
  inserts: number;
  updates: number;
  deletes: number;
  validation: string;
  error?: string;
}

export interface VerifyResult {
  equal: boolean;
  tables: number;
  rows: number;
  ms: number;
  /** At most 20. */
  differences: { table: string; source: string; target: string }[];
}

export interface SequenceResult {
  set: number;
  /** The article's way only: sequences that it does not reach, by name. */
  missed: string[];
}

export interface CopyResult {
  tables: { table: string; rows: number; bytes: number; ms: number; binary: boolean; skipped?: string }[];
}

/** What the fence on the source did. */
export interface PostgresFence {
  /** Epoch ms on the worker's clock: from then on no session of the application was left. */
  raisedAt: number;
  /** pg_current_wal_insert_lsn() after the last session ended. */
  lsn: string;
  /** The value written into cutover.marker after it. */
  marker: string;
  detail: string;
}
