/** Single tables loaded, or compared, again while the others go on. */
import {
  ReloadTablesCommand,
  type ReloadOptionValue,
  type TableStatistics,
} from '@aws-sdk/client-database-migration-service';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { tableText, type TableId } from '../../spec/postgres-plan.ts';
import { dms } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { keep, kept } from '../aws/kept.ts';
import { permanent } from '../errors.ts';
import { awaitDms } from './await-dms.ts';
import type { DmsResources } from './resources.ts';
import { tableMeaning } from './status-table.ts';
import { nameOf, readTableStatistics } from './table-statistics.ts';
import { awaitTask, engineState } from './task-state.ts';

/** DMS takes no more tables in one call. */
const PER_CALL = 10;
const RUNNING_WITHIN_MS = 60_000;

/**
 * Asks DMS to load (`data-reload`) or compare (`validate-only`) these tables again; only while the task runs. The watch
 * shows how it goes. Run twice, a table that is being reloaded already is left alone.
 * @throws cutover.Invalid where the task does not run, or has no such table; cutover.Busy, cutover.Throttled, …
 */
export async function reloadDmsTables(args: {
  migration: Postgres;
  resources: DmsResources;
  tables: TableId[];
  option: ReloadOptionValue;
}): Promise<{ reloaded: string[]; since: number }> {
  const { migration, resources, tables, option } = args;
  const { aws } = migration.replication;
  const task = await awaitTask(aws, resources.taskArn, {
    what: 'to run',
    timeoutMs: RUNNING_WITHIN_MS,
    done: ({ settled }) => settled,
  });
  if (task.Status !== 'running') {
    throw permanent(ErrorType.invalid, `tables can't be reloaded: the task is ${engineState(task)}`, {
      remedy: 'DMS reloads tables while the task runs: resume it first',
    });
  }
  const statistics = new Map(
    (await readTableStatistics(aws, resources.taskArn)).map((table) => [nameOf(table), table]),
  );
  const unknown = tables.map(tableText).filter((name) => !statistics.has(name));
  if (unknown.length > 0) {
    throw permanent(ErrorType.invalid, `the task has no table ${unknown.join(', ')}`, {
      remedy: 'only tables that the task replicates can be reloaded; `cutover status` lists them',
    });
  }
  const asked = new Set(kept<{ reloaded: string[] }>().reloaded);
  const open = tables.filter((table) => {
    const name = tableText(table);
    return !asked.has(name) && !/being reloaded/i.test(statistics.get(name)?.TableState ?? '');
  });
  for (let at = 0; at < open.length; at += PER_CALL) {
    const some = open.slice(at, at + PER_CALL);
    try {
      await dms(aws).send(
        new ReloadTablesCommand({
          ReplicationTaskArn: resources.taskArn,
          TablesToReload: some.map(({ schema, name }) => ({ SchemaName: schema, TableName: name })),
          ReloadOption: option,
        }),
      );
    } catch (error) {
      throw awsFailure(error, `ReloadTables of ${some.map(tableText).join(', ')}`);
    }
    for (const table of some) asked.add(tableText(table));
    keep({ reloaded: [...asked] });
  }
  return { reloaded: open.map(tableText), since: Math.max(0, ...tables.map((table) => endOf(statistics, table))) };
}

const endOf = (statistics: Map<string, TableStatistics>, table: TableId) =>
  statistics.get(tableText(table))?.FullLoadEndTime?.getTime() ?? 0;

/**
 * Waits until tables that were asked to be loaded again are. `since`: from reloadDmsTables, the end of the loads before,
 * epoch ms: a table may still show as completed for some polls after it was asked for (facts 4.4).
 * @throws cutover.ServiceFailed where a table fails; cutover.Deadline
 */
export async function awaitDmsReload(args: {
  migration: Postgres;
  resources: DmsResources;
  tables: TableId[];
  since: number;
}): Promise<void> {
  const { migration, resources, tables, since } = args;
  const read = async () =>
    new Map((await readTableStatistics(migration.replication.aws, resources.taskArn)).map((one) => [nameOf(one), one]));
  await awaitDms({
    what: tables.map(tableText).join(', '),
    timeoutMs: RELOAD_WITHIN_MS,
    read,
    state: (statistics) =>
      tables.map((table) => statistics.get(tableText(table))?.TableState ?? 'not there').join(', '),
    done: (statistics) =>
      tables.every((table) => {
        const { TableState } = statistics.get(tableText(table)) ?? {};
        const meaning = tableMeaning(TableState);
        if (meaning === 'failed') {
          throw permanent(ErrorType.serviceFailed, `${tableText(table)} was not loaded: ${TableState}`, {
            remedy: "the task's log and awsdms_status tell why; mend it and reload the table again",
          });
        }
        return meaning === 'loaded' && endOf(statistics, table) > since;
      }),
  });
}

const RELOAD_WITHIN_MS = 24 * 3_600_000;
