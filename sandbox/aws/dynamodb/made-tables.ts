import type { ServiceCall } from '../services.ts';
import { refusal } from './faults.ts';
import type { Item, TableInfo } from './moto.ts';
import type { DynamoDb } from './service.ts';
import { withTableId } from './table-ids.ts';
import { touchesOf } from './writes.ts';

/** Calls on a table itself. On AWS all others wait for no table: they do not find it before it is ACTIVE. */
const ON_TABLE = ['DeleteTable', 'UpdateTable', 'UpdateTimeToLive', 'TagResource', 'CreateBackup'];

/**
 * A call that has to do with a table that a restore or an import makes: moto has it from the beginning, and ACTIVE.
 * @returns the answer, or undefined when the call is to be passed on unseen.
 * @throws AwsFault ResourceNotFoundException, ResourceInUseException while it is CREATING
 */
export async function throughMadeTables(db: DynamoDb, call: ServiceCall): Promise<string | undefined> {
  const { made } = db.state;
  if (Object.keys(made).length === 0) return undefined;
  for (const name of tablesOf(db, call)) {
    const table = made[name];
    if (table === undefined || call.action === 'CreateTable') continue;
    if (call.action === 'DescribeTable') return describe(db, name, call.text);
    if (table.status !== 'CREATING') continue;
    if (!ON_TABLE.includes(call.action)) throw refusal('ResourceNotFoundException', 'Requested resource not found');
    throw refusal(
      'ResourceInUseException',
      `Attempt to change a resource which is still in use: Table is being created: ${name}`,
    );
  }
  return undefined;
}

/** What moto says of the table, with what is ours: state and RestoreSummary. */
export function shown(db: DynamoDb, table: TableInfo): TableInfo {
  const made = db.state.made[table.TableName];
  if (made === undefined || made.tableId !== table.TableId) return table;
  const { restore } = made;
  return {
    ...table,
    TableStatus: made.status,
    ...(made.status === 'CREATING' ? { ItemCount: 0, TableSizeBytes: 0 } : {}),
    ...(restore === undefined
      ? {}
      : {
          RestoreSummary: {
            SourceTableArn: restore.sourceTableArn,
            RestoreDateTime: Date.parse(restore.at) / 1_000,
            RestoreInProgress: made.status === 'CREATING',
          },
        }),
  };
}

async function describe(db: DynamoDb, name: string, body: string): Promise<string> {
  const answer = await (await db.moto()).raw('DescribeTable', body);
  const { Table } = JSON.parse(withTableId(db, 'DescribeTable', answer)) as { Table: TableInfo };
  if (db.state.made[name]?.tableId !== Table.TableId) {
    // It was deleted, and this is another one of its name.
    delete db.state.made[name];
    db.save();
  }
  return JSON.stringify({ Table: shown(db, Table) });
}

/** Names of the tables that a call is about, as far as tables are named in its members. */
function tablesOf(db: DynamoDb, call: ServiceCall): string[] {
  const touched = touchesOf(db, call).map((touch) => touch.table);
  let input: {
    TableName?: unknown;
    RequestItems?: Record<string, Item>;
    TransactItems?: { Get?: { TableName?: unknown } }[];
  };
  try {
    input = JSON.parse(call.text) as typeof input;
  } catch {
    return touched;
  }
  const named = [
    input.TableName,
    ...Object.keys(input.RequestItems ?? {}),
    ...(input.TransactItems ?? []).map((entry) => entry.Get?.TableName),
  ];
  const prefix = db.arn('table/');
  const names = named.flatMap((name) =>
    typeof name !== 'string' ? [] : [name.startsWith(prefix) ? name.slice(prefix.length) : name],
  );
  return [...new Set([...touched, ...names])];
}

/** DeleteTable of a table with point-in-time recovery, which goes with it. Undefined for any other. */
export async function deleteWatchedTable(db: DynamoDb, call: ServiceCall): Promise<string | undefined> {
  const name = tablesOf(db, call).find((table) => db.watched.has(table));
  if (call.action !== 'DeleteTable' || name === undefined) return undefined;
  return db.locked([name], async () => {
    const answer = await (await db.moto()).raw(call.action, call.text);
    db.forget(name);
    return withTableId(db, call.action, answer);
  });
}
