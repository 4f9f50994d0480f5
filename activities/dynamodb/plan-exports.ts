/** What each table's export will be, before any is begun. The answer is in the history, so a second sending is the same. */
import pLimit from 'p-limit';
import { ApplicationFailure } from '@temporalio/common';
import type { TableExportPlan } from '../../spec/dynamodb-export-state.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { DynamoDbExport } from '../../spec/kind-dynamodb-export.ts';
import { permanent } from '../errors.ts';
import { inZone, prefixOf } from './export-prefix.ts';
import { spanOf } from './increment.ts';
import { lastExportOf } from './last-export.ts';
import { recoveryIsOff } from './recovery.ts';
import type { ExportSettings } from './settings.ts';
import { tableMeaning } from './status-table.ts';
import { recoveryOf, requireTable } from './tables.ts';
import { clamp, type Restorable } from './window.ts';

/** Calls at once: DescribeTable and DescribeContinuousBackups are throttled at ten a second. */
const AT_ONCE = 4;

interface Source {
  table: string;
  tableName: string;
  tableArn: string;
  window: Restorable;
}

/**
 * Plans the tables named. A table that can't be exported is an answer with its `error`, so that the others go on.
 * @param args.run workflows/run-identity.ts: what this run exported before is nothing to go on from.
 * @throws the passing errors alone
 */
export async function planExports(args: {
  migration: DynamoDbExport;
  settings: ExportSettings;
  tables: string[];
  run: string;
}): Promise<TableExportPlan[]> {
  const { migration, settings, tables, run } = args;
  const limit = pLimit(AT_ONCE);
  const found = await Promise.all(tables.map((table) => limit(() => answered(table, () => look(table, migration)))));
  // One point in time for all of them, where `now` is asked for: tables that belong together are restored together.
  const latest = found.flatMap((one) => ('window' in one ? [Date.parse(one.window.latest)] : []));
  const now = latest.length > 0 ? new Date(Math.min(...latest)).toISOString() : undefined;
  return Promise.all(
    found.map(async (one) =>
      'error' in one ? one : limit(() => answered(one.table, () => planOf(one, { migration, settings, run, now }))),
    ),
  );
}

async function answered<T>(table: string, body: () => Promise<T>): Promise<T | (TableExportPlan & { error: string })> {
  try {
    return await body();
  } catch (error) {
    if (!(error instanceof ApplicationFailure) || !error.nonRetryable) throw error;
    return { table, error: error.message };
  }
}

async function look(table: string, { aws }: DynamoDbExport): Promise<Source> {
  const found = await requireTable(table, aws);
  const { meaning } = tableMeaning(found.TableStatus);
  if (meaning === 'failed' || meaning === 'ask') {
    throw permanent(ErrorType.invalid, `${table} is ${found.TableStatus}: it can't be exported`);
  }
  const recovery = await recoveryOf(table, aws);
  if (!recovery.enabled) throw recoveryIsOff(table, aws);
  const { earliest, latest } = recovery;
  if (!earliest || !latest) {
    throw permanent(ErrorType.invalid, `${table}: AWS names no restorable time yet`, {
      remedy: 'retry in a few minutes',
    });
  }
  return {
    table,
    tableName: found.TableName ?? table,
    tableArn: found.TableArn ?? table,
    window: { earliest, latest },
  };
}

async function planOf(
  source: Source,
  of: { migration: DynamoDbExport; settings: ExportSettings; run: string; now: string | undefined },
): Promise<TableExportPlan> {
  const { migration, settings, run, now } = of;
  const { table, tableName, tableArn, window } = source;
  const common = { table, tableName, tableArn, window };
  const named = (at: string) => ({
    exportTime: at,
    shownTime: inZone(at, settings.asked.zone),
    prefix: prefixOf(migration.prefix, { table: tableName, id: migration.id, at, zone: settings.prefixZone }),
  });
  if (migration.type !== 'full') {
    const { from, to, view } = migration.type.incremental;
    const last = from === 'last-export' ? await lastExportOf({ tableArn, migration, run }) : undefined;
    const passedOver = last?.notWhole.length ? last.notWhole.join('; ') : undefined;
    try {
      const span = spanOf(tableName, { base: last?.end ?? from, to, latest: now ?? window.latest }, window);
      const incremental = { ...span, view, ...(last ? { base: last.exportArn } : {}) };
      return { ...common, ...named(span.to), incremental, ...(passedOver ? { passedOver } : {}) };
    } catch (error) {
      // Why it begins so early: what AWS says of its length alone would puzzle.
      if (!passedOver || !(error instanceof ApplicationFailure)) throw error;
      throw permanent(ErrorType.invalid, `${error.message}; newer exports are not whole: ${passedOver}`, {
        remedy: 'make a full export and go on from that one',
      });
    }
  }
  const { at = now } = settings.asked;
  const { at: exportTime, moved } = clamp(at, window);
  // `now` is always a little behind, also that of a schedule's run: nothing that an operator has to hear of.
  const quiet = migration.at === 'now' && (at === undefined || Date.parse(at) > Date.parse(window.latest));
  return { ...common, ...named(exportTime), ...(at ? { asked: at } : {}), ...(moved && !quiet ? { moved } : {}) };
}
