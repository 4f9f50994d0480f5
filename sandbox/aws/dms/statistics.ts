import type {
  DescribeTableStatisticsMessage,
  DescribeTableStatisticsResponse,
  ReloadTablesMessage,
  ReloadTablesResponse,
  TableStatistics,
} from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { EngineRefusal, type EngineTableStatistics } from './engine/contract.ts';
import { emitDms } from './events.ts';
import { invalidState, invalidValue } from './faults.ts';
import { dmsPage, filtered } from './filters.ts';
import { findTask } from './find.ts';
import { knownEngine } from './task-engine.ts';
import { date } from './task-view.ts';
import { oneOf } from './validation.ts';

const MOST_RECORDS = 500;
const MOST_RELOADED = 10;

/** Empty before the first start; a filter that nothing fits gives an empty list here. */
export async function describeTableStatistics(
  cloud: Cloud,
  input: DescribeTableStatisticsMessage,
): Promise<DescribeTableStatisticsResponse> {
  const task = findTask(cloud, input.ReplicationTaskArn ?? '');
  const all = (await knownEngine(cloud, task))?.tableStatistics() ?? [];
  const found = filtered(all, input.Filters, {
    'schema-name': (table) => [table.SchemaName],
    'table-name': (table) => [table.TableName],
    'table-state': (table) => [table.TableState],
  });
  const { items, ...marker } = dmsPage(found, keyOf, input, MOST_RECORDS);
  return { ReplicationTaskArn: task.arn, TableStatistics: items.map(view), ...marker };
}

function keyOf(table: { SchemaName: string; TableName: string }): string {
  return JSON.stringify([table.SchemaName, table.TableName]);
}

function view(table: EngineTableStatistics): TableStatistics {
  const { FullLoadStartTime, FullLoadEndTime, LastUpdateTime, ...counts } = table;
  return {
    ...counts,
    FullLoadCondtnlChkFailedRows: 0,
    FullLoadErrorRows: 0,
    FullLoadStartTime: date(FullLoadStartTime),
    FullLoadEndTime: date(FullLoadEndTime),
    LastUpdateTime: date(LastUpdateTime),
  };
}

/** @throws AwsFault InvalidResourceStateFault unless the task runs; …ValueException for more than ten tables or one it does not have. */
export async function reloadTables(cloud: Cloud, input: ReloadTablesMessage): Promise<ReloadTablesResponse> {
  const task = findTask(cloud, input.ReplicationTaskArn ?? '');
  const option = oneOf('ReloadOption', input.ReloadOption ?? 'data-reload', ['data-reload', 'validate-only']);
  const wanted = (input.TablesToReload ?? []).map(({ SchemaName = '', TableName = '' }) => ({ SchemaName, TableName }));
  if (wanted.length > MOST_RELOADED) {
    throw invalidValue(`At most ${MOST_RELOADED} tables can be reloaded at a time, not ${wanted.length}.`);
  }
  if (task.status !== 'running') {
    throw invalidState(
      `Tables can be reloaded only while the replication task is running; ${task.id} is ${task.status}.`,
    );
  }
  const validation = task.settings['ValidationSettings'] as { EnableValidation?: boolean };
  if (option === 'validate-only' && validation.EnableValidation !== true) {
    throw invalidValue('ReloadOption validate-only is only valid when validation is enabled for the task.');
  }
  const engine = await knownEngine(cloud, task);
  const known = new Set(engine?.tableStatistics().map(keyOf));
  const stranger = wanted.find((table) => !known.has(keyOf(table)));
  if (stranger !== undefined) {
    throw invalidValue(
      `Table ${stranger.SchemaName}.${stranger.TableName} is not part of replication task ${task.id}.`,
    );
  }
  const tables = wanted.map(({ SchemaName, TableName }) => ({ schema: SchemaName, table: TableName }));
  try {
    await engine?.reloadTables(tables, option);
  } catch (error) {
    if (!(error instanceof EngineRefusal)) throw error;
    // It runs, and can't do it now: its full load is not through.
    if (error.because === 'state') throw invalidState(error.message);
    throw invalidValue(error.message);
  }
  emitDms(cloud, 'replication-task', task.id, 'state change', 'Reload of table details requested.');
  return { ReplicationTaskArn: task.arn };
}
