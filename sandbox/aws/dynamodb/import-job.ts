import { gunzipSync } from 'node:zlib';
import { keyText } from './items.ts';
import { fillTable } from './made-table-work.ts';
import type { Item } from './moto.ts';
import { getObject, listKeys, s3Failure } from './s3-objects.ts';
import type { DynamoDb } from './service.ts';
import type { ImportState } from './state.ts';

/** The import's slow work, after it was accepted; the same again after a restart. A failed one leaves its table, as on AWS. */
export function runImport(db: DynamoDb, task: ImportState, keys: readonly string[]): void {
  const { background, timing } = db.cloud;
  background.run(`import ${task.arn}`, task.arn, async () => {
    await background.sleep(timing.dynamodbRestoring);
    let items: Item[] = [];
    let failure: { code: string; message: string } | undefined;
    try {
      items = await read(db, task, keys);
    } catch (error) {
      if (background.stopped) throw error;
      failure = s3Failure(error);
    }
    const made = db.state.made[task.tableName];
    if (made === undefined || made.tableId !== task.tableId || !(await fillTable(db, made, items))) {
      failure = { code: 'ResourceNotFoundException', message: `Table ${task.tableName} is gone` };
    }
    // Said when all is done: whoever reads COMPLETED finds the items.
    task.status = failure === undefined ? 'COMPLETED' : 'FAILED';
    if (failure === undefined) task.importedItems = items.length;
    else Object.assign(task, { failureCode: failure.code, failureMessage: failure.message });
    task.endTime = db.iso();
    db.save();
  });
}

/** All items of the objects under the prefix. What is no item with the table's key is counted as an error, and left out. */
async function read(db: DynamoDb, task: ImportState, keys: readonly string[]): Promise<Item[]> {
  const s3 = await (await db.moto()).s3();
  const items = new Map<string, Item>();
  Object.assign(task, { errorCount: 0, processedBytes: 0, processedItems: 0 });
  const objects = await listKeys(s3, task.bucket, task.keyPrefix);
  if (objects.length === 0) {
    throw Object.assign(new Error(`No objects under ${task.keyPrefix ?? ''}`), {
      name: 'NoSuchKey',
      $metadata: { httpStatusCode: 404 },
    });
  }
  for (const key of objects) {
    const bytes = await getObject(s3, task.bucket, key);
    task.processedBytes += bytes.length;
    let text: string;
    try {
      text = (task.compression === 'GZIP' ? gunzipSync(bytes) : bytes).toString('utf8');
    } catch {
      task.errorCount += 1;
      continue;
    }
    for (const line of text.split('\n').filter((entry) => entry.trim() !== '')) {
      task.processedItems += 1;
      const item = itemOf(line);
      if (item === undefined || keys.some((name) => item[name] === undefined)) task.errorCount += 1;
      else items.set(keyText(item, keys), item);
    }
  }
  return [...items.values()];
}

function itemOf(line: string): Item | undefined {
  try {
    return (JSON.parse(line) as { Item?: Item }).Item;
  } catch {
    return undefined;
  }
}
