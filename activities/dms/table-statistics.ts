/** DMS's statistics per table, and which of them count for a plan. */
import { paginateDescribeTableStatistics, type TableStatistics } from '@aws-sdk/client-database-migration-service';
import type { MappedTable } from '../../spec/dms-table-mappings.ts';
import { MARKER_TABLE, tableText, type TableId, type TableState } from '../../spec/postgres-plan.ts';
import { dms, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';

/** The most that one call answers; the rate of calls is what DMS is short of (facts 4.3). */
const PER_CALL = 500;

/** Of all tables of a task; none where it has never run. @throws cutover.Throttled, cutover.Unreachable, cutover.Denied */
export async function readTableStatistics(aws: AwsTarget, taskArn: string): Promise<TableStatistics[]> {
  const tables: TableStatistics[] = [];
  try {
    const pages = paginateDescribeTableStatistics(
      { client: dms(aws) },
      { ReplicationTaskArn: taskArn, MaxRecords: PER_CALL },
    );
    for await (const { TableStatistics: some = [] } of pages) tables.push(...some);
  } catch (error) {
    // Before its first start, a task has none.
    if (isCode(error, 'InvalidResourceStateFault')) return tables;
    throw awsFailure(error, 'DescribeTableStatistics');
  }
  return tables;
}

export interface TablesOfPlan {
  /** Those of the plan, and those that it does not know, such as partitions. Without the marker and what is not replicated. */
  counted: TableStatistics[];
  marker: TableStatistics | undefined;
  /** Replicated by the plan, and not in the statistics. */
  missing: TableId[];
}

/** Sorts statistics by the plan. DMS may go on to list a table that was taken out; it counts no more. */
export function sortByPlan(statistics: TableStatistics[], plan: { tables: MappedTable[] }): TablesOfPlan {
  const named = (schema: string, name: string) => JSON.stringify([schema, name]);
  const wanted = new Map<string, TableId>();
  const unwanted = new Set<string>();
  for (const table of plan.tables) {
    const parts: TableId[] = table.partitions?.length ? table.partitions : [table];
    for (const { schema, name } of parts) {
      if (table.treatment === 'replicated') wanted.set(named(schema, name), { schema, name });
      else unwanted.add(named(schema, name));
    }
  }
  const counted: TableStatistics[] = [];
  let marker: TableStatistics | undefined;
  for (const table of statistics) {
    const id = named(table.SchemaName ?? '', table.TableName ?? '');
    if (id === named(MARKER_TABLE.schema, MARKER_TABLE.name)) marker = table;
    else if (!unwanted.has(id)) {
      counted.push(table);
      wanted.delete(id);
    }
  }
  return { counted, marker, missing: [...wanted.values()] };
}

const idOf = (table: TableStatistics): TableId => ({
  schema: table.SchemaName ?? '',
  name: table.TableName ?? '',
});
export const nameOf = (table: TableStatistics): string => tableText(idOf(table));

/** For the report and the heartbeat. */
export function tableStateOf(table: TableStatistics): TableState {
  return {
    ...idOf(table),
    state: table.TableState ?? '',
    rows: table.FullLoadRows ?? 0,
    inserts: table.AppliedInserts ?? table.Inserts ?? 0,
    updates: table.AppliedUpdates ?? table.Updates ?? 0,
    deletes: table.AppliedDeletes ?? table.Deletes ?? 0,
    validation: table.ValidationState ?? '',
    ...(table.ValidationStateDetails ? { error: table.ValidationStateDetails } : {}),
  };
}

/** How many captured changes are not applied yet; by kind, for a surplus of one must not hide a lack of another. */
export function notApplied(table: TableStatistics): number {
  const pairs = [
    [table.Inserts, table.AppliedInserts],
    [table.Updates, table.AppliedUpdates],
    [table.Deletes, table.AppliedDeletes],
  ] as const;
  return pairs.reduce((sum, [captured = 0, applied = 0]) => sum + Math.abs(captured - applied), 0);
}
