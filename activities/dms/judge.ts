/** From what was read of a task to one state of the replication. Pure. */
import type { ReplicationTask, TableStatistics } from '@aws-sdk/client-database-migration-service';
import { tableText, type ReplicationState, type TablePlan } from '../../spec/postgres-plan.ts';
import type { SlotReading } from '../postgres/slots.ts';
import type { ControlRow } from './control-tables.ts';
import { stopMeaning, tableMeaning, taskRunning, validationMeaning } from './status-table.ts';
import { nameOf, sortByPlan } from './table-statistics.ts';
import { engineState, whyStopped } from './task-state.ts';

export interface DmsReading {
  task: ReplicationTask;
  statistics: TableStatistics[];
  /** ms; absent where no marker has arrived yet, or none was asked for. */
  lagMs?: number;
  slot?: SlotReading | undefined;
  control: ControlRow[];
  /** Why a database could not be read, where it could not. */
  unreadable: string[];
}

export type Problem = ReplicationState['problems'][number];

/** A state without what only a row of readings tells. */
export type Judged = Omit<ReplicationState, 'readings' | 'ready' | 'stalledSince'> & {
  /** Tables that are compared at the moment; those that were found equal before only wait for their newest rows. */
  pendingTables: string[];
  validatedTables: string[];
  /** Of the pending ones: only rows that were just changed wait, a few of many. */
  nearlyTables: string[];
};

const PROBLEMS = 20;

export function judge(reading: DmsReading, plan: TablePlan): Judged {
  const { task, statistics } = reading;
  const { counted, marker, missing } = sortByPlan(statistics, plan);
  const meanings = counted.map((table) => tableMeaning(table.TableState));
  const count = (meaning: string) => meanings.filter((m) => m === meaning).length;
  const markerFailed = marker !== undefined && tableMeaning(marker.TableState) === 'failed';
  const total = counted.length + missing.length;
  const tables = {
    total,
    loaded: count('loaded'),
    loading: count('loading'),
    failed: count('failed') + (markerFailed ? 1 : 0),
  };
  const phase = phaseOf(task, tables);
  const checked = validationOf(counted);
  const percent = task.ReplicationTaskStats?.FullLoadProgressPercent;
  const stopped = phase === 'stopped' || phase === 'failed' || phase === 'load-done';
  const all = [
    ...(phase === 'failed' || phase === 'stopped' ? [{ reason: whyStopped(task) }] : []),
    ...slotProblems(reading.slot),
    ...tableProblems(marker ? [...counted, marker] : counted, reading.control),
    ...(phase === 'following' ? missing.map((table) => notTaken(tableText(table))) : []),
    ...rowProblems(counted, reading.control),
    ...reading.unreadable.map((reason) => ({ reason })),
    ...statusProblem(task),
  ];
  return {
    phase,
    engineState: engineState(task),
    tables,
    ...(percent === undefined ? {} : { percent }),
    rowsLoaded: sum(counted, (table) => table.FullLoadRows),
    changesApplied: sum(
      counted,
      (table) => (table.AppliedInserts ?? 0) + (table.AppliedUpdates ?? 0) + (table.AppliedDeletes ?? 0),
    ),
    ...(reading.lagMs === undefined ? {} : { lagMs: Math.round(reading.lagMs) }),
    ...(reading.slot
      ? {
          retainedBytes: reading.slot.retainedBytes,
          slot: { name: reading.slot.name, active: reading.slot.active, walStatus: reading.slot.walStatus },
        }
      : {}),
    ...(checked ? { validation: checked.counts } : {}),
    problems: all.slice(0, PROBLEMS),
    ...(stopped && task.StopReason ? { stopReason: task.StopReason } : {}),
    pendingTables: checked?.pending ?? [],
    validatedTables: checked?.validated ?? [],
    nearlyTables: counted.filter(isNearlyValidated).map(nameOf),
  };
}

/** Rows that may wait, of any table, and of a large one: what an application changes within a round of the validation. */
const FEW_ROWS = 1_000;
const FEW_OF_HUNDRED = 1;

function isNearlyValidated(table: TableStatistics): boolean {
  const { ValidationState, ValidationPendingRecords = 0, ValidationFailedRecords = 0 } = table;
  const { FullLoadRows = 0, AppliedInserts = 0 } = table;
  const few = Math.max(FEW_ROWS, ((FullLoadRows + AppliedInserts) * FEW_OF_HUNDRED) / 100);
  const waits = ValidationState?.toLowerCase() === 'pending records';
  return waits && ValidationFailedRecords === 0 && ValidationPendingRecords <= few;
}

function phaseOf(task: ReplicationTask, tables: ReplicationState['tables']): ReplicationState['phase'] {
  const status = (task.Status ?? '').toLowerCase();
  const stats = task.ReplicationTaskStats;
  const loaded = tables.total > 0 && tables.loaded === tables.total;
  switch (status) {
    case 'running':
    case 'stopping':
      return loaded || stats?.FullLoadFinishDate ? 'following' : 'loading';
    case 'failed':
    case 'failed-move':
    case 'deleting':
      return 'failed';
    // A task that ran and was modified is `ready` with the reason of its last stop.
    case 'ready':
    case 'stopped': {
      if (status === 'ready' && !stats?.FreshStartDate) return 'starting';
      const meaning = stopMeaning(task.StopReason);
      if (meaning === 'load-done') return 'load-done';
      if (meaning === 'again') return 'starting';
      return meaning === 'broken' ? 'failed' : 'stopped';
    }
    default:
      return 'starting';
  }
}

function validationOf(tables: TableStatistics[]) {
  const read = tables.map((table) => ({ name: nameOf(table), meaning: validationMeaning(table.ValidationState) }));
  if (read.every(({ meaning }) => meaning === 'off')) return undefined;
  const of = (...meanings: string[]) =>
    read.filter(({ meaning }) => meanings.includes(meaning)).map(({ name }) => name);
  return {
    counts: {
      validated: of('validated').length,
      pending: of('pending').length,
      failed: of('failed').length,
      suspended: of('suspended').length,
      notValidated: of('unprovable', 'off').length,
    },
    pending: of('pending'),
    validated: of('validated'),
  };
}

function tableProblems(tables: TableStatistics[], control: ControlRow[]): Problem[] {
  return tables.flatMap((table): Problem[] => {
    const name = nameOf(table);
    if (tableMeaning(table.TableState) === 'failed') {
      const why = control.findLast((row) => row.table === name && row.kind !== 'validation')?.text;
      return [{ table: name, reason: `${table.TableState}${why ? `: ${why}` : ''}` }];
    }
    const meaning = validationMeaning(table.ValidationState);
    if (meaning !== 'failed' && meaning !== 'suspended') return [];
    const { ValidationFailedRecords: failed = 0, ValidationSuspendedRecords: suspended = 0 } = table;
    const why =
      table.ValidationStateDetails ?? control.find((row) => row.table === name && row.kind === 'validation')?.text;
    const counts = `${failed} rows differ, ${suspended} could not be compared`;
    return [{ table: name, reason: `validation: ${table.ValidationState} (${counts})${why ? `: ${why}` : ''}` }];
  });
}

/** Rows that DMS gave up on. Those from before a table was loaded again are mended by that. */
function rowProblems(tables: TableStatistics[], control: ControlRow[]): Problem[] {
  const loadedAt = new Map(tables.map((table) => [nameOf(table), table.FullLoadStartTime?.getTime()]));
  const lost = new Map<string, { count: number; text: string }>();
  for (const { kind, table, at, text } of control) {
    if (kind !== 'exceptions') continue;
    const since = table === undefined ? undefined : loadedAt.get(table);
    // A table that is not the plan's any more was left out.
    if (table !== undefined && !loadedAt.has(table)) continue;
    if (since !== undefined && at !== undefined && at < since) continue;
    const key = table ?? '';
    lost.set(key, { count: (lost.get(key)?.count ?? 0) + 1, text: lost.get(key)?.text ?? text });
  }
  return [...lost].map(([table, { count, text }]) => ({
    ...(table ? { table } : {}),
    reason: `${count} changes could not be applied (awsdms_apply_exceptions): ${text}`,
  }));
}

function slotProblems(slot: SlotReading | undefined): Problem[] {
  if (slot?.walStatus !== 'lost') return [];
  return [{ reason: `the replication slot ${slot.name} is lost on the source: changes are gone, copy from the start` }];
}

const notTaken = (table: string): Problem => ({
  table,
  reason: 'the task does not take it: it will not be on the target',
});

/** A status nobody has heard of. */
function statusProblem(task: ReplicationTask): Problem[] {
  const { warning } = taskRunning(task.ReplicationTaskIdentifier ?? '', task.Status);
  return warning === undefined ? [] : [{ reason: warning }];
}

function sum(tables: TableStatistics[], of: (table: TableStatistics) => number | undefined): number {
  return tables.reduce((total, table) => total + (of(table) ?? 0), 0);
}
