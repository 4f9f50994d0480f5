/** What DescribeTableStatistics and DescribeReplicationTasks show. */
import type { ChangeStream } from './change-stream.ts';
import type { EngineStats, EngineTableStatistics } from './contract.ts';
import type { TableKey } from './decoding.ts';
import type { TaskState } from './state.ts';

export type ValidationFigures = Pick<
  EngineTableStatistics,
  | 'ValidationState'
  | 'ValidationPendingRecords'
  | 'ValidationFailedRecords'
  | 'ValidationSuspendedRecords'
  | 'ValidationStateDetails'
>;

const NOT_ENABLED: ValidationFigures = {
  ValidationState: 'Not enabled',
  ValidationPendingRecords: 0,
  ValidationFailedRecords: 0,
  ValidationSuspendedRecords: 0,
};

/** `Inserts` counts what was read from the log, `AppliedInserts` what is committed on the target. */
export function statisticsOf(
  state: TaskState,
  waiting: ChangeStream['waiting'] | undefined,
  validation: (key: TableKey) => ValidationFigures | undefined,
): EngineTableStatistics[] {
  const now = Date.now();
  return Object.entries(state.tables).map(([key, table]) => {
    const { captured, applied } = table;
    const read = table.suspended ? undefined : waiting?.get(key);
    return {
      SchemaName: table.table.schema,
      TableName: table.table.name,
      Inserts: captured.inserts + (read?.inserts ?? 0),
      Updates: captured.updates + (read?.updates ?? 0),
      Deletes: captured.deletes + (read?.deletes ?? 0),
      Ddls: captured.ddls,
      AppliedInserts: applied.inserts,
      AppliedUpdates: applied.updates,
      AppliedDeletes: applied.deletes,
      AppliedDdls: applied.ddls,
      FullLoadRows: table.fullLoadRows,
      ...(table.loadStart === undefined ? {} : { FullLoadStartTime: table.loadStart }),
      ...(table.loadEnd === undefined ? {} : { FullLoadEndTime: table.loadEnd }),
      FullLoadReloaded: table.reloaded,
      LastUpdateTime: now,
      TableState: table.state,
      ...(validation(key) ?? NOT_ENABLED),
    };
  });
}

export function statsOf(state: TaskState | undefined, running: boolean): EngineStats {
  const tables = Object.values(state?.tables ?? {});
  const count = (...states: string[]): number => tables.filter(({ state }) => states.includes(state)).length;
  const dates = state?.dates ?? {};
  const since = running && dates.start !== undefined ? Date.now() - dates.start : 0;
  return {
    FullLoadProgressPercent: percentOf(tables),
    ElapsedTimeMillis: (state?.elapsedMs ?? 0) + since,
    TablesLoaded: count('Table completed'),
    TablesLoading: count('Full load', 'Table is being reloaded'),
    TablesQueued: count('Before load'),
    TablesErrored: count('Table error'),
    ...(dates.fresh === undefined ? {} : { FreshStartDate: dates.fresh }),
    ...(dates.start === undefined ? {} : { StartDate: dates.start }),
    ...(dates.stop === undefined ? {} : { StopDate: dates.stop }),
    ...(dates.loadStart === undefined ? {} : { FullLoadStartDate: dates.loadStart }),
    ...(dates.loadFinish === undefined ? {} : { FullLoadFinishDate: dates.loadFinish }),
  };
}

/** By the planner's estimates, as DMS does; what is through counts as whole. */
function percentOf(tables: TaskState['tables'][string][]): number {
  if (tables.length === 0) return 0;
  let all = 0;
  let done = 0;
  for (const { table, fullLoadRows, state } of tables) {
    const through = state === 'Table completed' || state === 'Table error';
    const expected = Math.max(table.estimatedRows, fullLoadRows, 1);
    all += expected;
    done += through ? expected : fullLoadRows;
  }
  return Math.floor((done / all) * 100);
}
