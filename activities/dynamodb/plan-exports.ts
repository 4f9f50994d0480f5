/** What each table's export will be, before any is begun. The answer is in the history, so a second sending is the same. */
import pLimit from 'p-limit';
import { ApplicationFailure } from '@temporalio/common';
import type { TableExportPlan } from '../../spec/dynamodb-export-state.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { DynamoDbExport } from '../../spec/kind-dynamodb-export.ts';
import { permanent } from '../errors.ts';
import { inZone, prefixOf } from './export-prefix.ts';
import { lastExportOf } from './last-export.ts';
import { recoveryIsOff } from './recovery.ts';
import type { ExportSettings } from './settings.ts';
import { tableMeaning } from './status-table.ts';
import { recoveryOf, requireTable } from './tables.ts';
import { clamp, type Restorable } from './window.ts';

/** Calls at once: DescribeTable and DescribeContinuousBackups are throttled at ten a second. */
const AT_ONCE = 4;
const DAY_MS = 24 * 3600 * 1000;

interface Source {
  table: string;
  tableName: string;
  tableArn: string;
  window: Restorable;
}

/**
 * Plans the tables named. A table that can't be exported is an answer with its `error`, so that the others go on.
 * @throws the passing errors alone
 */
export async function planExports(args: {
  migration: DynamoDbExport;
  settings: ExportSettings;
  tables: string[];
}): Promise<TableExportPlan[]> {
  const { migration, settings, tables } = args;
  const limit = pLimit(AT_ONCE);
  const found = await Promise.all(tables.map((table) => limit(() => answered(table, () => look(table, migration)))));
  // One point in time for all of them, where `now` is asked for: tables that belong together are restored together.
  const latest = found.flatMap((one) => ('window' in one ? [Date.parse(one.window.latest)] : []));
  const now = latest.length > 0 ? new Date(Math.min(...latest)).toISOString() : undefined;
  return Promise.all(
    found.map(async (one) =>
      'error' in one ? one : limit(() => answered(one.table, () => planOf(one, migration, settings, now))),
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
  migration: DynamoDbExport,
  settings: ExportSettings,
  now: string | undefined,
): Promise<TableExportPlan> {
  const { table, tableName, tableArn, window } = source;
  const common = { table, tableName, tableArn, window };
  const named = (at: string) => ({
    exportTime: at,
    shownTime: inZone(at, settings.asked.zone),
    prefix: prefixOf(migration.prefix, { table: tableName, id: migration.id, at, zone: settings.prefixZone }),
  });
  if (migration.type !== 'full') {
    const { from, to, view } = migration.type.incremental;
    const start = from === 'last-export' ? await lastExportOf({ tableArn, migration }) : from;
    const span = {
      from: new Date(start).toISOString(),
      to: to === 'now' ? (now ?? window.latest) : new Date(to).toISOString(),
    };
    requireSpan(tableName, span, window);
    return { ...common, ...named(span.to), incremental: { ...span, view } };
  }
  const { at = now } = settings.asked;
  const { at: exportTime, moved } = clamp(at, window);
  // `now` is always a little behind, also that of a schedule's run: nothing that an operator has to hear of.
  const quiet = migration.at === 'now' && (at === undefined || Date.parse(at) > Date.parse(window.latest));
  return { ...common, ...named(exportTime), ...(at ? { asked: at } : {}), ...(moved && !quiet ? { moved } : {}) };
}

/** An increment is not moved to what is restorable: what it left out would be missing without a word. */
function requireSpan(
  table: string,
  { from, to }: { from: string; to: string },
  { earliest, latest }: Restorable,
): void {
  const long = Date.parse(to) - Date.parse(from);
  const why =
    long <= 0
      ? 'it ends before it begins'
      : long > DAY_MS
        ? 'AWS exports at most 24 hours of changes at once'
        : Date.parse(from) < Date.parse(earliest)
          ? `its beginning is not restorable any more: only ${earliest} and later is`
          : Date.parse(to) > Date.parse(latest)
            ? `its end is not restorable yet: only ${latest} and before is`
            : undefined;
  if (why) {
    throw permanent(ErrorType.invalid, `${table}: changes from ${from} to ${to} can't be exported: ${why}`, {
      remedy: 'correct `type.incremental`; where its beginning is too old, make a full export and go on from that one',
    });
  }
}
