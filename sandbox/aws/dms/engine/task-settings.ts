/** The ReplicationTaskSettings that the engine heeds, with DMS's own defaults. */

export type DataPolicy = 'IGNORE_RECORD' | 'LOG_ERROR' | 'SUSPEND_TABLE' | 'STOP_TASK';
export type ApplyPolicy = DataPolicy | 'INSERT_RECORD' | 'UPDATE_RECORD';

export interface TaskSettings {
  prepMode: 'DO_NOTHING' | 'DROP_AND_CREATE' | 'TRUNCATE_BEFORE_LOAD';
  subTasks: number;
  commitRate: number;
  stopAfterCached: boolean;
  stopBeforeCached: boolean;
  lobs: 'none' | 'full' | 'limited';
  /** Bytes; of limited mode. */
  lobMaxSize: number;
  targetSchema: string;
  recoveryTable: boolean;
  failOnNoTables: boolean;
  ignoreConflicts: boolean;
  dataError: DataPolicy;
  dataTruncation: DataPolicy;
  tableError: 'SUSPEND_TABLE' | 'STOP_TASK';
  applyInsert: ApplyPolicy;
  applyUpdate: ApplyPolicy;
  applyDelete: ApplyPolicy;
  /** -1: for ever. */
  recoverableCount: number;
  recoverableIntervalMs: number;
  recoverableThrottling: boolean;
  recoverableThrottlingMaxMs: number;
  recoverableStopAfterMax: boolean;
  controlSchema: string;
  statusTable: boolean;
  suspendedTable: boolean;
  historyTable: boolean;
  historySlotMs: number;
  validation: boolean;
  validationOnly: boolean;
  validationThreads: number;
  validationPartition: number;
  validationFailureMax: number;
  validationTableFailureMax: number;
  skipLobs: boolean;
  collationDiff: boolean;
}

/** Reads the document; what it leaves out is as DMS has it. Any group may be missing or null. */
export function taskSettingsOf(document: unknown): TaskSettings {
  const group = (name: string): Group => new Group(at(document, name));
  const load = group('FullLoadSettings');
  const target = group('TargetMetadata');
  const errors = group('ErrorBehavior');
  const control = group('ControlTablesSettings');
  const validation = group('ValidationSettings');
  const full = target.flag('FullLobMode', false);
  return {
    prepMode: load.text('TargetTablePrepMode', 'DROP_AND_CREATE') as TaskSettings['prepMode'],
    subTasks: Math.max(1, load.number('MaxFullLoadSubTasks', 8)),
    commitRate: Math.max(1, load.number('CommitRate', 10_000)),
    stopAfterCached: load.flag('StopTaskCachedChangesApplied', false),
    stopBeforeCached: load.flag('StopTaskCachedChangesNotApplied', false),
    lobs: !target.flag('SupportLobs', true) ? 'none' : full ? 'full' : 'limited',
    lobMaxSize: Math.max(1, target.number('LobMaxSize', 32)) * 1024,
    targetSchema: target.text('TargetSchema', ''),
    recoveryTable: target.flag('TaskRecoveryTableEnabled', false),
    failOnNoTables: errors.flag('FailOnNoTablesCaptured', true),
    ignoreConflicts: errors.flag('FullLoadIgnoreConflicts', true),
    dataError: errors.text('DataErrorPolicy', 'LOG_ERROR') as DataPolicy,
    dataTruncation: errors.text('DataTruncationErrorPolicy', 'LOG_ERROR') as DataPolicy,
    tableError: errors.text('TableErrorPolicy', 'SUSPEND_TABLE') as TaskSettings['tableError'],
    applyInsert: errors.text('ApplyErrorInsertPolicy', 'LOG_ERROR') as ApplyPolicy,
    applyUpdate: errors.text('ApplyErrorUpdatePolicy', 'LOG_ERROR') as ApplyPolicy,
    applyDelete: errors.text('ApplyErrorDeletePolicy', 'IGNORE_RECORD') as ApplyPolicy,
    recoverableCount: errors.number('RecoverableErrorCount', -1),
    recoverableIntervalMs: errors.number('RecoverableErrorInterval', 5) * 1_000,
    recoverableThrottling: errors.flag('RecoverableErrorThrottling', true),
    recoverableThrottlingMaxMs: errors.number('RecoverableErrorThrottlingMax', 1_800) * 1_000,
    recoverableStopAfterMax: errors.flag('RecoverableErrorStopRetryAfterThrottlingMax', false),
    controlSchema: control.text('ControlSchema', ''),
    statusTable: control.flag('StatusTableEnabled', false),
    suspendedTable: control.flag('SuspendedTablesTableEnabled', false),
    historyTable: control.flag('HistoryTableEnabled', false),
    historySlotMs: Math.max(1, control.number('HistoryTimeslotInMinutes', 5)) * 60_000,
    validation: validation.flag('EnableValidation', false),
    validationOnly: validation.flag('ValidationOnly', false),
    validationThreads: Math.max(1, validation.number('ThreadCount', 5)),
    validationPartition: Math.max(1, validation.number('PartitionSize', 10_000)),
    validationFailureMax: validation.number('FailureMaxCount', 10_000),
    validationTableFailureMax: validation.number('TableFailureMaxCount', 1_000),
    skipLobs: validation.flag('SkipLobColumns', false),
    collationDiff: validation.flag('HandleCollationDiff', false),
  };
}

/** Settings of an endpoint may come as JSON has them or, out of ExtraConnectionAttributes, as text. */
export function endpointFlag(settings: Readonly<Record<string, unknown>>, name: string): boolean {
  return new Group(settings).flag(name, false);
}

class Group {
  private readonly values: unknown;

  constructor(values: unknown) {
    this.values = values;
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = at(this.values, name);
    if (typeof value === 'string') return /^(true|1|yes|y)$/i.test(value);
    return typeof value === 'boolean' ? value : otherwise;
  }

  number(name: string, otherwise: number): number {
    const value = at(this.values, name);
    const number = typeof value === 'string' ? Number(value) : value;
    return typeof number === 'number' && Number.isFinite(number) ? number : otherwise;
  }

  text(name: string, otherwise: string): string {
    const value = at(this.values, name);
    return typeof value === 'string' && value !== '' ? value : otherwise;
  }
}

function at(of: unknown, key: string): unknown {
  return typeof of === 'object' && of !== null ? (of as Record<string, unknown>)[key] : undefined;
}
