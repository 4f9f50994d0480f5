/** Proves a restored table: counted end to end, and compared with the items of the export that it was made of. */
import { BatchGetItemCommand, paginateScan, type AttributeValue } from '@aws-sdk/client-dynamodb';
import { Context, sleep } from '@temporalio/activity';
import { CancelledFailure } from '@temporalio/common';
import type { RestorePlan, RestoreVerified, TableKeys } from '../../spec/dynamodb-restore-state.ts';
import { ErrorType } from '../../spec/errors.ts';
import { dynamodb, type AwsTarget } from '../aws/clients.ts';
import { awsCode, awsFailure } from '../aws/failure.ts';
import { beat } from '../beat.ts';
import { permanent, transient } from '../errors.ts';
import { linesOf } from '../s3/data-file.ts';
import { open } from '../s3/objects.ts';
import { exportInS3 } from './export-location.ts';
import { canonical, keyOf, type TypedItem } from './item-form.ts';
import { differs, type ManifestFile } from './manifest.ts';
import { requireTable } from './tables.ts';
import { Pace } from './pace.ts';
import { keysOf } from './plan-restore.ts';
import { locate } from './verify-export.ts';

/** BatchGetItem takes no more. */
const BATCH = 100;
/** `sample` reads one item in so many, and the first of each file. */
const SAMPLE = 100;
/** Of the items that differ, so many are named. */
const EXAMPLES = 5;

export interface CompareArgs {
  plan: RestorePlan;
  how: 'full' | 'sample' | 'count';
  itemsPerSecond: number;
  aws: AwsTarget;
}

/**
 * @throws cutover.Differs with counts and the keys of the first items that differ; cutover.NotFound; the passing ones
 */
export async function compareRestored(args: CompareArgs): Promise<RestoreVerified> {
  const { plan, how, aws } = args;
  const table = await requireTable(plan.table, aws);
  const keys = keysOf(table);
  if (JSON.stringify(keys) !== JSON.stringify(plan.keys)) {
    throw permanent(
      ErrorType.differs,
      `${plan.table} has the keys ${JSON.stringify(keys)}, not ${JSON.stringify(plan.keys)}`,
    );
  }
  const pace = new Pace(args.itemsPerSecond);
  const items = await countItems(plan.table, pace, aws);
  if (plan.from === 'point-in-time') {
    const note = `${items} items read; of a point in time nothing tells how many there were`;
    return { items, compared: 0, how: 'count', note };
  }
  if (items !== plan.itemCount) {
    throw permanent(ErrorType.differs, `${plan.table} holds ${items} items, the export ${plan.itemCount}`, {
      remedy: 'does something write to the new table already? Else abort, which deletes it',
    });
  }
  const expected = plan.itemCount;
  // Ion has no reader here; the import itself checks that every item was taken.
  if (how === 'count' || plan.format === 'ION') {
    return { items, expected, compared: 0, how: 'count', note: `${items} items, as many as the export has` };
  }
  const compared = await compareItems(args, plan, pace);
  return {
    items,
    expected,
    compared,
    how,
    note: `${items} items, as many as the export has; ${compared} compared, all equal`,
  };
}

async function compareItems(
  { how, aws }: CompareArgs,
  plan: Extract<RestorePlan, { from: 'export' }>,
  pace: Pace,
): Promise<number> {
  const named = { export: `s3://${plan.bucket}/${plan.folder}`, bucketOwner: plan.bucketOwner };
  const { from, manifest } = await exportInS3(named, aws);
  const prefix = plan.folder.split('AWSDynamoDB/')[0]!.replace(/\/$/, '');
  const found: Found = { compared: 0, missing: [], unequal: [], bad: 0 };
  for (const [index, file] of manifest.files.entries()) {
    if (file.itemCount === 0) continue;
    const { key } = await locate(from, file, prefix);
    const object = await open(from, key);
    if (!object) throw differs(from, key, 'the data file is gone');
    try {
      const lines = linesOf(object.body, from.signal);
      for await (const batch of batched(lines, how === 'sample' ? SAMPLE : 1)) {
        await compareBatch(plan.table, plan.keys, batch, found, pace, aws);
        beat({
          progress: {
            text: `${found.compared} of ${plan.itemCount} items read back, file ${index + 1} of ${manifest.files.length}`,
            done: found.compared,
            total: plan.itemCount,
          },
        });
      }
    } catch (error) {
      throw readingFailure(error, from.bucket, key, file);
    }
  }
  if (found.bad === 0) return found.compared;
  const examples = [
    ...found.missing.map((key) => `${key} is missing`),
    ...found.unequal.map((key) => `${key} is another`),
  ].slice(0, EXAMPLES);
  throw permanent(
    ErrorType.differs,
    `${found.bad} of ${found.compared} items of ${plan.table} are not the export's: ${examples.join('; ')}`,
    {
      remedy: 'does something write to the new table already? Else abort, which deletes it',
    },
  );
}

function readingFailure(error: unknown, bucket: string, key: string, file: ManifestFile): Error {
  if (Context.current().cancellationSignal.aborted) return new CancelledFailure('the comparison was cancelled');
  if (/^Z_|^ERR_ZLIB/.test(awsCode(error)) || error instanceof SyntaxError) {
    return differs({ bucket }, key, `its ${file.itemCount} items can't be read: ${(error as Error).message}`);
  }
  return awsFailure(error, `comparing with s3://${bucket}/${key}`);
}

interface Found {
  compared: number;
  bad: number;
  missing: string[];
  unequal: string[];
}

async function* batched(lines: AsyncIterable<string>, everyNth: number): AsyncGenerator<TypedItem[]> {
  let batch: TypedItem[] = [];
  let number = 0;
  for await (const line of lines) {
    if (number++ % everyNth !== 0) continue;
    batch.push((JSON.parse(line) as { Item: TypedItem }).Item);
    if (batch.length === BATCH) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

async function compareBatch(
  table: string,
  keys: TableKeys,
  batch: TypedItem[],
  found: Found,
  pace: Pace,
  aws: AwsTarget,
): Promise<void> {
  const wanted = new Map(batch.map((item) => [canonical(keyOf(item, keys)), canonical(item)]));
  for (const item of await getAll(
    table,
    batch.map((item) => keyOf(item, keys)),
    pace,
    aws,
  )) {
    const key = canonical(pick(item, keys));
    if (wanted.get(key) === canonical(item)) wanted.set(key, '');
    else if (wanted.has(key)) {
      wanted.set(key, '');
      found.bad += 1;
      found.unequal.push(key);
    }
  }
  for (const [key, left] of wanted) {
    if (left === '') continue;
    found.bad += 1;
    found.missing.push(key);
  }
  found.compared += batch.length;
  found.missing.length = Math.min(found.missing.length, EXAMPLES);
  found.unequal.length = Math.min(found.unequal.length, EXAMPLES);
}

function pick(
  item: Record<string, AttributeValue>,
  { partitionKey, sortKey }: TableKeys,
): Record<string, AttributeValue> {
  const names = [partitionKey.name, ...(sortKey ? [sortKey.name] : [])];
  return Object.fromEntries(names.map((name) => [name, item[name]!]));
}

/** UnprocessedKeys are asked for again: a throttled batch answers with a part, and says no error. */
async function getAll(
  table: string,
  keys: Record<string, AttributeValue>[],
  pace: Pace,
  aws: AwsTarget,
): Promise<Record<string, AttributeValue>[]> {
  const items: Record<string, AttributeValue>[] = [];
  let open = keys;
  for (let round = 0; open.length > 0; round += 1) {
    await pace.take(open.length);
    const answer = await dynamodb(aws)
      .send(new BatchGetItemCommand({ RequestItems: { [table]: { Keys: open, ConsistentRead: true } } }))
      .catch((error: unknown) => {
        throw awsFailure(error, `BatchGetItem of ${table}`);
      });
    items.push(...(answer.Responses?.[table] ?? []));
    const left = answer.UnprocessedKeys?.[table]?.Keys ?? [];
    if (left.length === open.length && round > 20) {
      throw transient(ErrorType.throttled, `BatchGetItem of ${table} is throttled: lower itemsPerSecond`, {
        afterMs: 15_000,
      });
    }
    if (left.length > 0) await sleep(Math.min(5_000, 100 * 2 ** Math.min(round, 6)));
    open = left;
  }
  return items;
}

/** Counts by reading: DescribeTable's ItemCount is up to six hours old. */
async function countItems(table: string, pace: Pace, aws: AwsTarget): Promise<number> {
  let count = 0;
  try {
    const pages = paginateScan({ client: dynamodb(aws) }, { TableName: table, Select: 'COUNT', ConsistentRead: true });
    for await (const { Count = 0 } of pages) {
      count += Count;
      beat({ progress: { text: `${table}: ${count} items counted` } });
      await pace.take(Count);
    }
  } catch (error) {
    throw awsFailure(error, `Scan of ${table}`);
  }
  return count;
}
