import { randomUUID } from 'node:crypto';
import type { ServiceCall } from '../services.ts';
import type { TableInfo } from './moto.ts';
import type { DynamoDb } from './service.ts';

/** Calls that answer with a table, and the member that it is in. */
const WITH_TABLE: Readonly<Record<string, string>> = {
  CreateTable: 'TableDescription',
  DescribeTable: 'Table',
  UpdateTable: 'TableDescription',
  DeleteTable: 'TableDescription',
};

/**
 * The table with its TableId, which moto does not have and AWS always tells: two tables of one name, one after the other,
 * have different ones. Without it nobody could tell a table from the one that took its place.
 */
export function identified(db: DynamoDb, table: TableInfo): TableInfo {
  const { tableIds } = db.state;
  const created = String(table['CreationDateTime']);
  let known = tableIds[table.TableName];
  if (known?.created !== created) {
    known = { created, id: randomUUID() };
    tableIds[table.TableName] = known;
    db.save();
  }
  return { ...table, TableId: known.id };
}

/** An answer of moto's with the id put in; after DeleteTable the next table of the name is another one. */
export function withTableId(db: DynamoDb, action: string, answer: string): string {
  const member = WITH_TABLE[action];
  if (member === undefined) return answer;
  const parsed = JSON.parse(answer) as Record<string, TableInfo | undefined>;
  const table = parsed[member];
  if (table === undefined) return answer;
  const text = JSON.stringify({ ...parsed, [member]: identified(db, table) });
  if (action === 'DeleteTable') {
    delete db.state.tableIds[table.TableName];
    db.save();
  }
  return text;
}

/** A call that answers with a table. @returns undefined for any other: then it is passed on unseen. */
export async function throughTableCalls(db: DynamoDb, call: ServiceCall): Promise<string | undefined> {
  if (!Object.hasOwn(WITH_TABLE, call.action)) return undefined;
  return withTableId(db, call.action, await (await db.moto()).raw(call.action, call.text));
}
