import type { Item, NewTable, TableInfo } from './moto.ts';
import type { DynamoDb } from './service.ts';
import type { MadeTableState } from './state.ts';

/** Makes the table of a restore or an import, CREATING until its items are in it. @throws AwsFault TableAlreadyExistsException */
export async function makeTable(
  db: DynamoDb,
  input: NewTable,
  restore?: NonNullable<MadeTableState['restore']>,
): Promise<TableInfo> {
  const table = await (await db.moto()).createTable(input);
  const tableName = table.TableName;
  // Of a table of this name that went without the sandbox's knowing.
  if (db.watched.has(tableName)) db.forget(tableName);
  db.state.made[tableName] = {
    tableName,
    tableId: table.TableId,
    status: 'CREATING',
    ...(restore === undefined ? {} : { restore }),
  };
  db.save();
  return table;
}

/** Puts its items in, in place of what it may hold of an earlier attempt, and says it ACTIVE. @returns false if it is gone */
export async function fillTable(db: DynamoDb, made: MadeTableState, items: readonly Item[]): Promise<boolean> {
  const moto = await db.moto();
  if ((await moto.table(made.tableName))?.TableId !== made.tableId) {
    if (db.state.made[made.tableName] === made) delete db.state.made[made.tableName];
    db.save();
    return false;
  }
  await moto.put(made.tableName, items);
  made.status = 'ACTIVE';
  db.save();
  return true;
}
