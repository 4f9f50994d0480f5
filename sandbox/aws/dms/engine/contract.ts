/** What DMS's control plane (its wire protocol, states, tags) and the engine that moves the rows agree on. */

/** A server as an endpoint names it, with what its ExtraConnectionAttributes and PostgreSQLSettings say. */
export interface EngineEndpoint {
  host: string;
  port: number;
  database: string;
  user: string;
  password: string;
  sslMode: 'none' | 'require' | 'verify-ca' | 'verify-full';
  /** PostgreSQLSettings as the API has them (PluginName, SlotName, HeartbeatEnable, AfterConnectScript, FailTasksOnLobTruncation, …). */
  settings: Readonly<Record<string, unknown>>;
}

export type StartType = 'start-replication' | 'resume-processing' | 'reload-target';
export type MigrationType = 'full-load' | 'cdc' | 'full-load-and-cdc';

export interface TaskSpec {
  /** ReplicationTaskIdentifier. */
  id: string;
  /** The task's resource id: slots are named by it. */
  resourceId: string;
  migrationType: MigrationType;
  source: EngineEndpoint;
  target: EngineEndpoint;
  /** The parsed TableMappings and ReplicationTaskSettings, with DMS's defaults filled in by the control plane. */
  mappings: unknown;
  settings: unknown;
  /** State that a restart of the sandbox must find again is kept here. */
  dir: string;
}

/** As the API gives them, dates as epoch ms. */
export interface EngineTableStatistics {
  SchemaName: string;
  TableName: string;
  Inserts: number;
  Deletes: number;
  Updates: number;
  Ddls: number;
  AppliedInserts: number;
  AppliedDeletes: number;
  AppliedUpdates: number;
  AppliedDdls: number;
  FullLoadRows: number;
  FullLoadStartTime?: number;
  FullLoadEndTime?: number;
  FullLoadReloaded: boolean;
  LastUpdateTime: number;
  TableState: string;
  ValidationPendingRecords: number;
  ValidationFailedRecords: number;
  ValidationSuspendedRecords: number;
  ValidationState: string;
  ValidationStateDetails?: string;
}

export interface EngineStats {
  FullLoadProgressPercent: number;
  ElapsedTimeMillis: number;
  TablesLoaded: number;
  TablesLoading: number;
  TablesQueued: number;
  TablesErrored: number;
  FreshStartDate?: number;
  StartDate?: number;
  StopDate?: number;
  FullLoadStartDate?: number;
  FullLoadFinishDate?: number;
}

/** Without the prefix `Stop Reason `. */
export type StopReason =
  | 'NORMAL'
  | 'RECOVERABLE_ERROR'
  | 'FATAL_ERROR'
  | 'FULL_LOAD_ONLY_FINISHED'
  | 'STOPPED_AFTER_FULL_LOAD'
  | 'STOPPED_AFTER_CACHED_EVENTS'
  | 'STOPPED_DUE_TO_LOW_MEMORY'
  | 'STOPPED_DUE_TO_LOW_DISK';

export interface EngineEnd {
  /** `failed` where the task's status becomes `failed`. */
  status: 'stopped' | 'failed';
  reason: StopReason;
  message?: string;
}

/** What tests may make the engine suffer. */
export interface EngineScript {
  /** Fails the task in the middle of its load, once so many rows were loaded over all tables. */
  failAfterRows?: { rows: number; reason: StopReason; message: string };
  /** A table that ends with `Table error`. */
  failTable?: { schema: string; table: string; message: string };
  /** Rows per second that a load is held to. */
  loadRowsPerSecond?: number;
  /** CDC looks alive, and applies nothing. */
  freezeApply?: boolean;
}

/** What an engine refuses to do. Nothing was begun; the control plane answers with AWS's own error. */
export class EngineRefusal extends Error {
  override readonly name = 'EngineRefusal';
  /** `state`: it can't now (InvalidResourceStateFault). `value`: never, as it was asked for (InvalidParameterValueException). */
  readonly because: 'state' | 'value';

  constructor(because: 'state' | 'value', message: string) {
    super(message);
    this.because = because;
  }
}

export interface TaskEngine {
  /**
   * Begins; resolves once it is running (connections work, the slot is there). Rows move after that, on their own.
   * `resume-processing` goes by the mappings as they are now: see engine/task-resume.ts.
   * @throws Error with a message like DMS's where it can't start
   */
  start(type: StartType): Promise<void>;
  /** Ends as NORMAL; what was captured so far is applied or will be read again after resume-processing: nothing is lost. */
  stop(): Promise<void>;
  /** @throws EngineRefusal `state` while it does not run or its full load is not through, `value` for a table it does not have */
  reloadTables(tables: { schema: string; table: string }[], option: 'data-reload' | 'validate-only'): Promise<void>;
  tableStatistics(): EngineTableStatistics[];
  stats(): EngineStats;
  /** Seconds, as CloudWatch's CDCLatencySource and CDCLatencyTarget. */
  latency(): { source: number; target: number };
  /** In place of what was scripted before: what is not named ends by this. */
  script(script: EngineScript): void;
  /** Removes what it has on the source (the slot) and ends; for DeleteReplicationTask. */
  remove(): Promise<void>;
}

/** Called when the task ends by itself. */
export type OnEnd = (end: EngineEnd) => void;
/** `engine.ts` exports `openTaskEngine: OpenTaskEngine`. State in `spec.dir` is taken up again. */
export type OpenTaskEngine = (spec: TaskSpec, onEnd: OnEnd) => TaskEngine;
/** `connection-test.ts` exports `testConnection: TestConnection`: really connects; the failure is the server's own words. */
export type TestConnection = (
  endpoint: EngineEndpoint,
  type: 'source' | 'target',
) => Promise<{ ok: true } | { ok: false; message: string }>;
