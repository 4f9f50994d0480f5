/** The settings of a DMS task: safe ones by default (facts/postgres-dms 4.6), a file's own laid over them. Pure. */
import { overlay, type JsonFields } from './json-overlay.ts';
import type { TablePlan } from './postgres-plan.ts';

export { lossesOf, type Loss } from './dms-task-losses.ts';

export type TaskSettings = JsonFields;

/** What of `replication` decides the settings. */
export interface SettingsSource {
  replication: {
    load: {
      tablesAtOnce: number;
      commitRate: number;
      /** ms */
      transactionConsistencyTimeout: number;
      lob: 'auto' | 'full' | { maxKilobytes: number };
    };
    validation: boolean;
    taskSettings?: Record<string, unknown> | undefined;
  };
  schema: { afterLoad: string[] };
}

/** DMS's own control tables are kept together there, out of the application's schemas. */
export const CONTROL_SCHEMA = 'awsdms_control';

/** The largest LobMaxSize of the limited mode, KB; what is larger takes the full mode (DMS guide, LOB support). */
const LIMITED_LOB_KB = 102_400;
/** A value longer than those that were measured stops the task, and applications write on: so not too tight. */
const SMALLEST_LOB_KB = 1_024;
const LOB_HEADROOM = 2;
/** Less than that is no headroom (facts 4.6). */
const LEAST_HEADROOM = 1.2;

/** The generated settings, with the file's `taskSettings` laid over them, object by object. */
export function taskSettingsOf(migration: SettingsSource, plan: Pick<TablePlan, 'largestLob'>): TaskSettings {
  const generated = generatedSettings(migration, plan);
  const given = migration.replication.taskSettings;
  return given ? overlay(generated, given) : generated;
}

function generatedSettings({ replication, schema }: SettingsSource, plan: Pick<TablePlan, 'largestLob'>): TaskSettings {
  const { load, validation } = replication;
  const lobKb = limitedLobKb(load.lob, plan.largestLob);
  return {
    TargetMetadata: {
      TargetSchema: '',
      SupportLobs: true,
      FullLobMode: lobKb === undefined,
      LobChunkSize: 64,
      LimitedSizeLobMode: lobKb !== undefined,
      LobMaxSize: lobKb ?? 0,
      // Without it a resume after a crash applies changes twice: where it goes on is kept with the rows.
      TaskRecoveryTableEnabled: true,
      BatchApplyEnabled: false,
    },
    FullLoadSettings: {
      // The schema is there before the load. DO_NOTHING meets its own rows again when a load is repeated.
      TargetTablePrepMode: 'TRUNCATE_BEFORE_LOAD',
      CreatePkAfterFullLoad: false,
      // Stops between load and CDC, which is when indexes and foreign keys are built.
      StopTaskCachedChangesApplied: schema.afterLoad.length > 0,
      StopTaskCachedChangesNotApplied: false,
      MaxFullLoadSubTasks: load.tablesAtOnce,
      TransactionConsistencyTimeout: Math.ceil(load.transactionConsistencyTimeout / 1000),
      CommitRate: load.commitRate,
    },
    ErrorBehavior: {
      FailOnNoTablesCaptured: true,
      // Else rows of a transaction that was open at the load's start are missing, silently.
      FailOnTransactionConsistencyBreached: true,
      // Changes that came during the load are there twice by nature: a table is read after its changes are captured.
      FullLoadIgnoreConflicts: true,
      DataErrorPolicy: 'SUSPEND_TABLE',
      DataTruncationErrorPolicy: 'SUSPEND_TABLE',
      DataErrorEscalationPolicy: 'STOP_TASK',
      DataErrorEscalationCount: 0,
      TableErrorPolicy: 'SUSPEND_TABLE',
      TableErrorEscalationPolicy: 'STOP_TASK',
      TableErrorEscalationCount: 0,
      ApplyErrorInsertPolicy: 'SUSPEND_TABLE',
      ApplyErrorUpdatePolicy: 'SUSPEND_TABLE',
      ApplyErrorDeletePolicy: 'SUSPEND_TABLE',
      ApplyErrorEscalationPolicy: 'STOP_TASK',
      ApplyErrorEscalationCount: 0,
      ApplyErrorFailOnTruncationDdl: true,
      // About half an hour of a server being away; then the task fails, and the operator is told.
      RecoverableErrorCount: 40,
      RecoverableErrorInterval: 5,
      RecoverableErrorThrottling: true,
      RecoverableErrorThrottlingMax: 60,
      RecoverableErrorStopRetryAfterThrottlingMax: false,
    },
    ValidationSettings: {
      EnableValidation: validation,
      ValidationMode: 'ROW_LEVEL',
      ThreadCount: 5,
      PartitionSize: 10_000,
      FailureMaxCount: 10_000,
      TableFailureMaxCount: 1_000,
      HandleCollationDiff: true,
      SkipLobColumns: false,
      ValidationPartialLobSize: lobKb ?? 0,
      ValidationOnly: false,
    },
    ControlTablesSettings: {
      ControlSchema: CONTROL_SCHEMA,
      StatusTableEnabled: true,
      SuspendedTablesTableEnabled: true,
      HistoryTableEnabled: true,
      HistoryTimeslotInMinutes: 5,
      FullLoadExceptionTableEnabled: true,
    },
    ChangeProcessingDdlHandlingPolicy: {
      // The target's schema is made by us; a DROP or TRUNCATE that DMS hears of is not for it to repeat half.
      HandleSourceTableDropped: false,
      HandleSourceTableTruncated: true,
      HandleSourceTableAltered: false,
    },
  };
}

/** LobMaxSize in KB of the limited mode; undefined: the full mode. */
function limitedLobKb(lob: SettingsSource['replication']['load']['lob'], largestLob: number): number | undefined {
  if (lob === 'full') return undefined;
  if (lob !== 'auto') return lob.maxKilobytes;
  const largestKb = largestLob / 1024;
  if (largestKb * LEAST_HEADROOM > LIMITED_LOB_KB) return undefined;
  return Math.min(LIMITED_LOB_KB, Math.max(SMALLEST_LOB_KB, Math.ceil(largestKb * LOB_HEADROOM)));
}
