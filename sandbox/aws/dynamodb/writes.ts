import type { ServiceCall } from '../services.ts';
import { keyOf, keyText } from './items.ts';
import type { Item } from './moto.ts';
import type { DynamoDb } from './service.ts';

interface Touch {
  table: string;
  /** The whole item, or its key alone. */
  item: Item;
}

interface Named {
  TableName?: string;
  Item?: Item;
  Key?: Item;
}

type BatchWrites = Record<string, { PutRequest?: { Item: Item }; DeleteRequest?: { Key: Item } }[]>;

const one = (input: Named): Touch[] => {
  const item = input.Item ?? input.Key;
  return input.TableName === undefined || item === undefined ? [] : [{ table: input.TableName, item }];
};

/** Which items a call may change. A ConditionCheck changes none. */
const TOUCHED: Readonly<Record<string, (input: never) => Touch[]>> = {
  PutItem: one,
  UpdateItem: one,
  DeleteItem: one,
  BatchWriteItem: (input: { RequestItems?: BatchWrites }) =>
    Object.entries(input.RequestItems ?? {}).flatMap(([table, requests]) =>
      requests.flatMap((request) => one({ TableName: table, ...request.PutRequest, ...request.DeleteRequest })),
    ),
  TransactWriteItems: (input: { TransactItems?: { Put?: Named; Update?: Named; Delete?: Named }[] }) =>
    (input.TransactItems ?? []).flatMap(({ Put, Update, Delete }) => one(Put ?? Update ?? Delete ?? {})),
};

/** PartiQL: which items it changes stands in its text. */
const BY_STATEMENT = ['ExecuteStatement', 'BatchExecuteStatement', 'ExecuteTransaction'];

/**
 * A write of items. Where a table has point-in-time recovery, it is passed on here, one after the other for each table, and
 * what became of the items is in the journal before the caller has the answer. @returns undefined when it concerns no such
 * table, or is no write: then it is passed on unseen. @throws PassedOnFault as moto refuses it
 */
export async function watchWrite(db: DynamoDb, call: ServiceCall): Promise<string | undefined> {
  if (db.watched.size === 0) return undefined;
  if (BY_STATEMENT.includes(call.action)) return watchStatement(db, call);
  const touches = touchesOf(db, call).filter((touch) => db.watched.has(touch.table));
  if (touches.length === 0) return undefined;
  const tables = [...new Set(touches.map((touch) => touch.table))];
  return db.locked(tables, () =>
    passedOn(db, call, async () => {
      for (const table of tables) {
        const live = await db.live(table, false);
        if (live === undefined) continue;
        const { keys } = live.recovery;
        const mine = new Map<string, Item>();
        for (const { item } of touches.filter((touch) => touch.table === table)) {
          // A call with a part of the key is refused, and changes nothing.
          if (keys.every((name) => item[name] !== undefined)) mine.set(keyText(item, keys), keyOf(item, keys));
        }
        const found = await (await db.moto()).get(table, [...mine.values()]);
        live.journal.note([...mine.values()], found, db.now());
      }
    }),
  );
}

/** Names of the tables that a call writes to. */
export function touchesOf(db: DynamoDb, call: ServiceCall): Touch[] {
  const touched = TOUCHED[call.action];
  if (touched === undefined) return [];
  let input: unknown;
  try {
    input = JSON.parse(call.text);
  } catch {
    return [];
  }
  const prefix = db.arn('table/');
  return touched(input as never).map(({ table, item }) => ({
    table: table.startsWith(prefix) ? table.slice(prefix.length) : table,
    item,
  }));
}

async function watchStatement(db: DynamoDb, call: ServiceCall): Promise<string | undefined> {
  if (!/\b(insert|update|delete)\b/i.test(call.text)) return undefined;
  const tables = [...db.watched];
  return db.locked(tables, () =>
    passedOn(db, call, async () => {
      for (const table of tables) await db.live(table, true);
    }),
  );
}

/** Looks at the items also after a refusal: a batch that fails in its middle may have done the first half. */
async function passedOn(db: DynamoDb, call: ServiceCall, note: () => Promise<void>): Promise<string> {
  const moto = await db.moto();
  const [answer] = await Promise.allSettled([moto.raw(call.action, call.text)]);
  await note();
  if (answer.status === 'rejected') throw answer.reason;
  return answer.value;
}
