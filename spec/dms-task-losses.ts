/**
 * Settings of a DMS task under which rows are lost or altered and the task goes on as if nothing had happened. Named
 * aloud in the preflight, whoever wrote them (facts/postgres-dms 4.4 to 4.6). Pure.
 */
import { isFields, overlay, type JsonFields as TaskSettings } from './json-overlay.ts';

export interface Loss {
  /** `ErrorBehavior.DataErrorPolicy` */
  setting: string;
  /** What it is, DMS's own default where the document does not say. */
  value: unknown;
  /** What is lost or altered by it, in a sentence. */
  loses: string;
  /** What to set in place of it. */
  mend: string;
}

/** What DMS takes where a document is silent (DMS guide, task settings). */
const DEFAULTS: TaskSettings = {
  TargetMetadata: {
    SupportLobs: true,
    FullLobMode: false,
    LimitedSizeLobMode: true,
    LobMaxSize: 32,
    TaskRecoveryTableEnabled: false,
    BatchApplyEnabled: false,
  },
  FullLoadSettings: {
    TargetTablePrepMode: 'DO_NOTHING',
    StopTaskCachedChangesNotApplied: false,
    MaxFullLoadSubTasks: 8,
    TransactionConsistencyTimeout: 600,
  },
  ErrorBehavior: {
    FailOnNoTablesCaptured: false,
    FailOnTransactionConsistencyBreached: false,
    DataErrorPolicy: 'LOG_ERROR',
    DataErrorEscalationPolicy: 'SUSPEND_TABLE',
    DataTruncationErrorPolicy: 'LOG_ERROR',
    TableErrorPolicy: 'SUSPEND_TABLE',
    TableErrorEscalationPolicy: 'STOP_TASK',
    ApplyErrorInsertPolicy: 'LOG_ERROR',
    ApplyErrorUpdatePolicy: 'LOG_ERROR',
    ApplyErrorDeletePolicy: 'IGNORE_RECORD',
    ApplyErrorEscalationPolicy: 'LOG_ERROR',
    RecoverableErrorCount: -1,
  },
  ValidationSettings: { EnableValidation: false, SkipLobColumns: false, ValidationOnly: false },
  ControlTablesSettings: { StatusTableEnabled: false, SuspendedTablesTableEnabled: false },
};

interface Row {
  setting: string;
  bad: (value: unknown, settings: TaskSettings) => boolean;
  loses: string;
  mend: string;
}

const is =
  (...values: unknown[]) =>
  (value: unknown) =>
    values.includes(value);
/** What was to be written is dropped, and the task goes on. */
const dropsRecord = is('LOG_ERROR', 'IGNORE_RECORD');
const SUSPEND = '"SUSPEND_TABLE" or "STOP_TASK"';

const TABLE: readonly Row[] = [
  {
    setting: 'ErrorBehavior.DataErrorPolicy',
    bad: dropsRecord,
    loses: 'a row whose value DMS can’t process is left out, and only the log says so',
    mend: SUSPEND,
  },
  {
    setting: 'ErrorBehavior.DataTruncationErrorPolicy',
    bad: dropsRecord,
    loses: 'a value that does not fit is cut off or its row left out, and only the log says so',
    mend: SUSPEND,
  },
  {
    setting: 'ErrorBehavior.DataErrorEscalationPolicy',
    bad: dropsRecord,
    loses: 'rows with data errors are left out, however many they are',
    mend: '"STOP_TASK"',
  },
  {
    setting: 'ErrorBehavior.DataMaskingErrorPolicy',
    bad: dropsRecord,
    loses: 'a row that can’t be masked is left out',
    mend: '"STOP_TASK"',
  },
  {
    setting: 'ErrorBehavior.TableErrorPolicy',
    bad: dropsRecord,
    loses: 'a table that can’t be copied is left out, and only the log says so',
    mend: SUSPEND,
  },
  {
    setting: 'ErrorBehavior.TableErrorEscalationPolicy',
    bad: dropsRecord,
    loses: 'tables that fail are left out, however many they are',
    mend: '"STOP_TASK"',
  },
  {
    setting: 'ErrorBehavior.ApplyErrorInsertPolicy',
    bad: dropsRecord,
    loses: 'an INSERT that fails on the target is dropped',
    mend: SUSPEND,
  },
  {
    setting: 'ErrorBehavior.ApplyErrorUpdatePolicy',
    bad: dropsRecord,
    loses: 'an UPDATE that fails on the target, or finds no row, is dropped',
    mend: SUSPEND,
  },
  {
    setting: 'ErrorBehavior.ApplyErrorDeletePolicy',
    bad: dropsRecord,
    loses: 'a DELETE that fails on the target, or finds no row, is dropped: the row lives on',
    mend: SUSPEND,
  },
  {
    setting: 'ErrorBehavior.ApplyErrorEscalationPolicy',
    bad: dropsRecord,
    loses: 'changes that fail on the target are dropped, however many they are',
    mend: '"STOP_TASK"',
  },
  {
    setting: 'ErrorBehavior.RecoverableErrorCount',
    bad: (value) => typeof value === 'number' && value < 0,
    loses: 'a task that can’t go on is tried again for ever, and looks alive while nothing moves',
    mend: 'a number such as 40',
  },
  {
    setting: 'ErrorBehavior.FailOnNoTablesCaptured',
    bad: is(false),
    loses: 'a task whose mappings take no table ends as if all had been moved',
    mend: 'true',
  },
  {
    setting: 'ErrorBehavior.FailOnTransactionConsistencyBreached',
    bad: is(false),
    loses:
      'where a transaction is open longer than TransactionConsistencyTimeout the load begins without it, and its rows may be missing',
    mend: 'true',
  },
  {
    setting: 'TargetMetadata.TaskRecoveryTableEnabled',
    bad: is(false),
    loses: 'after a crash DMS goes on from where it thinks it was: changes are applied twice, or fail and are dropped',
    mend: 'true',
  },
  {
    setting: 'TargetMetadata.SupportLobs',
    bad: is(false),
    loses: 'columns of text, json, bytea and the like are left out',
    mend: 'true',
  },
  {
    setting: 'TargetMetadata.LobMaxSize',
    bad: (value, settings) => limited(settings) && value === 0,
    loses: 'with LimitedSizeLobMode and no size, text, json and bytea values arrive empty',
    mend: 'the largest value’s size × 1.2 in KB, or "FullLobMode": true',
  },
  {
    setting: 'FullLoadSettings.TargetTablePrepMode',
    bad: is('DO_NOTHING'),
    loses:
      'a load that is begun again meets its own rows: duplicates where there is no primary key, errors where there is',
    mend: '"TRUNCATE_BEFORE_LOAD"',
  },
  {
    setting: 'FullLoadSettings.TargetTablePrepMode',
    bad: is('DROP_AND_CREATE'),
    loses: 'the target’s tables are replaced by DMS’s own: types altered, no defaults, no indexes, no constraints',
    mend: '"TRUNCATE_BEFORE_LOAD"',
  },
  {
    setting: 'FullLoadSettings.MaxFullLoadSubTasks',
    bad: is(1),
    loses: 'no row, but time: one table after the other, while the source keeps its WAL',
    mend: '8',
  },
  {
    setting: 'ValidationSettings.EnableValidation',
    bad: is(false),
    loses: 'a row that differs is not noticed by DMS; only our own checksum inside the fence finds it',
    mend: 'true',
  },
  {
    setting: 'ValidationSettings.SkipLobColumns',
    bad: is(true),
    loses: 'differences in text, json and bytea columns are not noticed',
    mend: 'false',
  },
  {
    setting: 'ValidationSettings.ValidationOnly',
    bad: is(true),
    loses: 'nothing is moved at all: the task only compares',
    mend: 'false',
  },
  {
    setting: 'ControlTablesSettings.SuspendedTablesTableEnabled',
    bad: is(false),
    loses: 'why a table was suspended is not on the target',
    mend: 'true',
  },
  {
    setting: 'ControlTablesSettings.StatusTableEnabled',
    bad: is(false),
    loses: 'the task’s own account of its state is not on the target',
    mend: 'true',
  },
];

/** Every setting under which DMS loses, alters or hides rows silently; empty for the generated ones. */
export function lossesOf(settings: TaskSettings): Loss[] {
  const effective = overlay(DEFAULTS, withoutNulls(settings));
  return TABLE.flatMap(({ setting, bad, loses, mend }) => {
    const value = valueAt(effective, setting);
    return bad(value, effective) ? [{ setting, value, loses, mend }] : [];
  });
}

function limited(settings: TaskSettings): boolean {
  return valueAt(settings, 'TargetMetadata.FullLobMode') !== true;
}

function valueAt(settings: TaskSettings, path: string): unknown {
  return path.split('.').reduce<unknown>((at, key) => (isFields(at) ? at[key] : undefined), settings);
}

/** A null in such a document stands for DMS's default. */
function withoutNulls(settings: TaskSettings): TaskSettings {
  const entries = Object.entries(settings).filter(([, value]) => value !== null);
  return Object.fromEntries(entries.map(([key, value]) => [key, isFields(value) ? withoutNulls(value) : value]));
}
