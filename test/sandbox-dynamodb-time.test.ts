/** Points in time: random writes and what was there at any moment, changes of a window, restores, imports, a restart. */
import {
  BatchWriteItemCommand,
  DeleteItemCommand,
  DescribeExportCommand,
  DescribeImportCommand,
  DescribeTableCommand,
  ExecuteStatementCommand,
  ImportTableCommand,
  ListImportsCommand,
  PutItemCommand,
  RestoreTableToPointInTimeCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import type { ImportTableCommandInput, RestoreTableToPointInTimeCommandInput } from '@aws-sdk/client-dynamodb';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import * as fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { BUCKET, Setup, poll, refused, sorted } from './sandbox-dynamodb-setup.ts';
import type { Item } from './sandbox-dynamodb-setup.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await Setup.open();
}, 300_000);
beforeEach(() => setup.fresh());
afterEach(() => {
  const failures = setup.aws.control.failures();
  expect(failures).toEqual([]);
});
afterAll(() => setup?.close());

const key = fc.record({ id: fc.constantFrom('a', 'b', 'c'), at: fc.integer({ min: 0, max: 1 }) });
type Key = { id: string; at: number };
const value = fc.integer({ min: 0, max: 5 });
const write = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), key, value }),
  fc.record({ kind: fc.constant('update' as const), key, value }),
  fc.record({ kind: fc.constant('delete' as const), key }),
  fc.record({
    kind: fc.constant('batch' as const),
    puts: fc.uniqueArray(fc.tuple(key, value), { minLength: 1, maxLength: 4, selector: ([k]) => text(k) }),
  }),
  fc.record({
    kind: fc.constant('transaction' as const),
    puts: fc.uniqueArray(fc.tuple(key, value), { minLength: 1, maxLength: 3, selector: ([k]) => text(k) }),
    refused: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('statement' as const), key, value }),
);
type Write = typeof write extends fc.Arbitrary<infer W> ? W : never;

function text(k: Key): string {
  return `${k.id} ${k.at}`;
}
const keyItem = (k: Key): Item => ({ id: { S: k.id }, at: { N: String(k.at) } });
const whole = (k: Key, v: number): Item => ({ ...keyItem(k), v: { N: String(v) } });

/** Does a write, and the same on the model. */
async function carryOut(table: string, model: Map<string, Item>, done: Write): Promise<void> {
  const { db } = setup;
  switch (done.kind) {
    case 'put':
      await db.send(new PutItemCommand({ TableName: table, Item: whole(done.key, done.value) }));
      model.set(text(done.key), whole(done.key, done.value));
      return;
    case 'update':
      await db.send(
        new UpdateItemCommand({
          TableName: table,
          Key: keyItem(done.key),
          UpdateExpression: 'SET u = :u',
          ExpressionAttributeValues: { ':u': { N: String(done.value) } },
        }),
      );
      model.set(text(done.key), { ...keyItem(done.key), ...model.get(text(done.key)), u: { N: String(done.value) } });
      return;
    case 'delete':
      await db.send(new DeleteItemCommand({ TableName: table, Key: keyItem(done.key) }));
      model.delete(text(done.key));
      return;
    case 'batch': {
      const requests = done.puts.map(([k, v]) => ({ PutRequest: { Item: whole(k, v) } }));
      await db.send(new BatchWriteItemCommand({ RequestItems: { [table]: requests } }));
      for (const [k, v] of done.puts) model.set(text(k), whole(k, v));
      return;
    }
    case 'transaction': {
      const puts = done.puts.map(([k, v]) => ({ Put: { TableName: table, Item: whole(k, v) } }));
      const condition = {
        ConditionCheck: {
          TableName: table,
          Key: { id: { S: 'none' }, at: { N: '0' } },
          ConditionExpression: 'attribute_exists(id)',
        },
      };
      const call = db.send(
        new TransactWriteItemsCommand({ TransactItems: done.refused ? [...puts, condition] : puts }),
      );
      if (done.refused) {
        expect(await refused(call)).toContain('TransactionCanceledException');
        return;
      }
      await call;
      for (const [k, v] of done.puts) model.set(text(k), whole(k, v));
      return;
    }
    case 'statement': {
      if (model.has(text(done.key))) return;
      // Moto's PartiQL knows little more than this form.
      const { id, at } = done.key;
      const Statement = `INSERT INTO ${table} value {'id': '${id}', 'at': ${at}, 'v': ${done.value}}`;
      await db.send(new ExecuteStatementCommand({ Statement }));
      model.set(text(done.key), whole(done.key, done.value));
    }
  }
}

test('property: an export at any moment since recovery is on is what a model of the writes says', async () => {
  let run = 0;
  const checked = fc.asyncProperty(
    fc.array(write, { maxLength: 4 }),
    fc.array(write, { minLength: 3, maxLength: 12 }),
    fc.array(fc.nat(), { minLength: 1, maxLength: 1 }),
    async (before, after, picks) => {
      const table = `property_${(run += 1)}`;
      await setup.table(table, { sorted: true, recovery: false });
      const model = new Map<string, Item>();
      for (const one of before) await carryOut(table, model, one);
      await setup.recovery(table);
      const moments = [{ at: await setup.moment(), items: [...model.values()] }];
      for (const one of after) {
        await carryOut(table, model, one);
        moments.push({ at: await setup.moment(), items: [...model.values()] });
      }
      for (const pick of [...picks, moments.length - 1]) {
        const { at, items } = moments[pick % moments.length] ?? { at: new Date(), items: [] };
        const found = await setup.exported(table, { ExportTime: at });
        expect(sorted(found.items.map(ordered))).toEqual(sorted(items.map(ordered)));
      }
      const from = picks[0] === undefined ? 0 : picks[0] % moments.length;
      await checkWindow(table, moments, from, moments.length - 1);
    },
  );
  setup.aws.control.dynamodb.limits({ incrementalMin: 0, itemsPerFile: 3 });
  await fc.assert(checked, { numRuns: 6, endOnFailure: true });
});

type Moment = { at: Date; items: Item[] };

/** The changes of a window, done to what was there at its beginning, give what was there at its end. */
async function checkWindow(table: string, moments: Moment[], first: number, last: number): Promise<void> {
  const [from, to] = [moments[first], moments[last]];
  if (from === undefined || to === undefined || first === last) return;
  const { lines, summary } = await setup.exported(table, {
    ExportType: 'INCREMENTAL_EXPORT',
    IncrementalExportSpecification: { ExportFromTime: from.at, ExportToTime: to.at },
  });
  expect(summary['itemCount']).toBe(lines.length);
  const state = new Map(from.items.map((item) => [JSON.stringify([item['id'], item['at']]), item]));
  for (const line of lines) {
    const { Keys, NewImage, OldImage } = line as { Keys: Item; NewImage?: Item; OldImage?: Item };
    const name = JSON.stringify([Keys['id'], Keys['at']]);
    const had = state.get(name);
    expect(OldImage && ordered(OldImage)).toEqual(had && ordered(had));
    if (NewImage === undefined) state.delete(name);
    else state.set(name, NewImage);
  }
  expect(sorted([...state.values()].map(ordered))).toEqual(sorted(to.items.map(ordered)));
}

function ordered(item: Item): Item {
  return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)));
}

test('writes at one time to one table: none is lost, and a refused one leaves nothing', async () => {
  await setup.table('parallel');
  const add = (id: string) =>
    setup.db.send(
      new UpdateItemCommand({
        TableName: 'parallel',
        Key: { id: { S: id } },
        UpdateExpression: 'ADD n :one',
        ExpressionAttributeValues: { ':one': { N: '1' } },
      }),
    );
  const once = () =>
    setup.db.send(
      new PutItemCommand({
        TableName: 'parallel',
        Item: { id: { S: 'lock' } },
        ConditionExpression: 'attribute_not_exists(id)',
      }),
    );
  const from = await setup.moment();
  const locks = await Promise.allSettled([
    once(),
    ...Array.from({ length: 20 }, (_, i) => add(`i${i % 2}`)),
    once(),
    once(),
  ]);
  expect(locks.filter((entry) => entry.status === 'rejected').length).toBe(2);
  const { items } = await setup.exported('parallel');
  const ten = { n: { N: '10' } };
  expect(sorted(items)).toEqual(
    sorted([{ id: { S: 'lock' } }, { id: { S: 'i0' }, ...ten }, { id: { S: 'i1' }, ...ten }]),
  );
  setup.aws.control.dynamodb.limits({ incrementalMin: 0 });
  const { lines } = await setup.exported('parallel', {
    ExportType: 'INCREMENTAL_EXPORT',
    IncrementalExportSpecification: { ExportFromTime: from },
  });
  expect(lines.length).toBe(3);
});

test('a restore makes a new table with the items as they were', async () => {
  await setup.table('source', { sorted: true });
  const put = (id: string, v: number) =>
    setup.db.send(new PutItemCommand({ TableName: 'source', Item: whole({ id, at: 1 }, v) }));
  for (let i = 0; i < 30; i++) await put(`i${i}`, i);
  const at = await setup.moment();
  const then = await setup.scan('source');
  await put('later', 1);
  await setup.db.send(new DeleteItemCommand({ TableName: 'source', Key: keyItem({ id: 'i1', at: 1 }) }));
  const restore = (input: Partial<RestoreTableToPointInTimeCommandInput>) =>
    setup.db.send(
      new RestoreTableToPointInTimeCommand({ SourceTableName: 'source', TargetTableName: 'restored', ...input }),
    );
  const RestoreDateTime = at;
  expect(await refused(restore({ RestoreDateTime: new Date(Date.now() - 3_600_000) }))).toContain(
    'InvalidRestoreTimeException',
  );
  expect(await refused(restore({}))).toContain('ValidationException');
  expect(await refused(restore({ RestoreDateTime, UseLatestRestorableTime: true }))).toContain('ValidationException');
  expect(await refused(restore({ RestoreDateTime, TargetTableName: 'source' }))).toContain(
    'TableAlreadyExistsException',
  );
  expect(await refused(restore({ RestoreDateTime, SourceTableName: 'not-there' }))).toContain('TableNotFoundException');
  await setup.table('no-recovery', { recovery: false });
  expect(await refused(restore({ UseLatestRestorableTime: true, SourceTableName: 'no-recovery' }))).toContain(
    'PointInTimeRecoveryUnavailable',
  );

  setup.aws.control.setTiming({ dynamodbRestoring: 3_600_000 });
  const { TableDescription } = await restore({ RestoreDateTime, TargetTableName: 'unfinished' });
  expect(TableDescription).toMatchObject({
    TableStatus: 'CREATING',
    RestoreSummary: { SourceTableArn: setup.arn('source'), RestoreDateTime: at, RestoreInProgress: true },
    TableId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
  });
  const described = await setup.db.send(new DescribeTableCommand({ TableName: 'unfinished' }));
  expect(described.Table?.TableStatus).toBe('CREATING');
  expect(described.Table?.TableId).toBe(TableDescription?.TableId);
  expect(await refused(setup.scan('unfinished'))).toContain('ResourceNotFoundException');
  expect(await refused(setup.recovery('unfinished'))).toContain('ContinuousBackupsUnavailable');

  setup.aws.control.setTiming({ dynamodbRestoring: 20 });
  await restore({ RestoreDateTime });
  await setup.active('restored');
  expect(sorted(await setup.scan('restored'))).toEqual(sorted(then));
  const { Table } = await setup.db.send(new DescribeTableCommand({ TableName: 'restored' }));
  expect(Table?.RestoreSummary?.RestoreInProgress).toBe(false);
  expect(Table?.KeySchema?.map((one) => one.AttributeName)).toEqual(['id', 'at']);
  await restore({ UseLatestRestorableTime: true, TargetTableName: 'latest' });
  await setup.active('latest');
  expect(sorted(await setup.scan('latest'))).toEqual(sorted(await setup.scan('source')));
});

test('an import of an export gives an equal table', async () => {
  await setup.table('exported');
  for (let i = 0; i < 12; i++) {
    await setup.db.send(
      new PutItemCommand({
        TableName: 'exported',
        Item: { id: { S: `ü${i}` }, b: { B: Buffer.from([i, 255]) }, ns: { NS: ['1', '2.5'] } },
      }),
    );
  }
  const { description } = await setup.exported('exported', { S3Prefix: 'for-import' });
  const folder = description.ExportManifest?.replace('manifest-summary.json', 'data/');
  const input = (TableName: string, more: Partial<ImportTableCommandInput> = {}): ImportTableCommandInput => ({
    S3BucketSource: { S3Bucket: BUCKET, S3KeyPrefix: folder ?? '' },
    InputFormat: 'DYNAMODB_JSON',
    InputCompressionType: 'GZIP',
    ClientToken: TableName,
    TableCreationParameters: {
      TableName,
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      BillingMode: 'PAY_PER_REQUEST',
    },
    ...more,
  });
  const start = (given: ImportTableCommandInput) => setup.db.send(new ImportTableCommand(given));
  const end = (ImportArn: string | undefined) =>
    poll('the import', async () => {
      const { ImportTableDescription: found } = await setup.db.send(new DescribeImportCommand({ ImportArn }));
      return found?.ImportStatus === 'IN_PROGRESS' ? undefined : found;
    });
  const { ImportTableDescription: begun } = await start(input('imported'));
  expect((await start(input('imported'))).ImportTableDescription?.ImportArn).toBe(begun?.ImportArn);
  const changed = { ...input('imported'), InputCompressionType: 'NONE' as const };
  expect(await refused(start(changed))).toContain('ImportConflictException');
  expect(await refused(start({ ...input('imported'), ClientToken: 'another' }))).toContain('ResourceInUseException');
  expect(await end(begun?.ImportArn)).toMatchObject({
    ImportStatus: 'COMPLETED',
    ErrorCount: 0,
    ProcessedItemCount: 12,
    ImportedItemCount: 12,
    TableArn: setup.arn('imported'),
  });
  await setup.active('imported');
  expect(sorted(await setup.scan('imported'))).toEqual(sorted(await setup.scan('exported')));
  expect(await refused(start(input('csv', { InputFormat: 'CSV' })))).toContain('does not serve InputFormat CSV');
  expect(await refused(start(input('ion', { InputFormat: 'ION' })))).toContain('does not serve InputFormat ION');
  const gone = await start(input('no-bucket', { S3BucketSource: { S3Bucket: 'no-such-bucket-here' } }));
  expect(await end(gone.ImportTableDescription?.ImportArn)).toMatchObject({
    ImportStatus: 'FAILED',
    FailureCode: 'S3NoSuchBucket',
  });
  await setup.s3.send(
    new PutObjectCommand({
      Bucket: BUCKET,
      Key: 'bad/1',
      Body: '{"Item":{"id":{"S":"1"}}}\nnot json\n{"Item":{"x":{"S":"1"}}}\n',
    }),
  );
  const bad = await start(
    input('bad-lines', { S3BucketSource: { S3Bucket: BUCKET, S3KeyPrefix: 'bad/' }, InputCompressionType: 'NONE' }),
  );
  expect(await end(bad.ImportTableDescription?.ImportArn)).toMatchObject({
    ErrorCount: 2,
    ProcessedItemCount: 3,
    ImportedItemCount: 1,
  });
  const listed = await setup.db.send(new ListImportsCommand({ TableArn: setup.arn('imported') }));
  expect(listed.ImportSummaryList).toMatchObject([{ ImportArn: begun?.ImportArn, ImportStatus: 'COMPLETED' }]);
});

test('a sandbox that is started again goes on with its exports and restores, and knows every write', async () => {
  await setup.table('restarted', { sorted: true });
  const put = (id: string) =>
    setup.db.send(new PutItemCommand({ TableName: 'restarted', Item: whole({ id, at: 0 }, 1) }));
  await put('first');
  const early = await setup.moment();
  await put('second');
  setup.aws.control.dynamodb.slowExport({ table: 'restarted', ms: 2_000 });
  const slow = await setup.export('restarted', { ClientToken: 'kept' });
  setup.aws.control.setTiming({ dynamodbRestoring: 3_600_000 });
  await setup.db.send(
    new RestoreTableToPointInTimeCommand({
      SourceTableName: 'restarted',
      TargetTableName: 'revived',
      RestoreDateTime: early,
    }),
  );
  await put('third');
  await setup.stop();
  await setup.start();
  const { ExportDescription } = await setup.db.send(new DescribeExportCommand({ ExportArn: slow.ExportArn }));
  expect(ExportDescription?.ExportStatus).toBe('IN_PROGRESS');
  expect((await setup.export('restarted', { ClientToken: 'kept' })).ExportArn).toBe(slow.ExportArn);
  await setup.active('revived');
  expect((await setup.scan('revived')).map((item) => item['id']?.S)).toEqual(['first']);
  const ids = (items: Item[]) => items.map((item) => item['id']?.S ?? '').sort((a, b) => a.localeCompare(b));
  expect(ids((await setup.files(await setup.ended(slow.ExportArn))).items)).toEqual(['first', 'second']);
  expect(ids((await setup.exported('restarted', { ExportTime: early })).items)).toEqual(['first']);
  await put('fourth');
  expect(ids((await setup.exported('restarted')).items)).toEqual(['first', 'fourth', 'second', 'third']);
});

test('an incremental export: the images of the view, when it was written, and AWS’s window', async () => {
  await setup.table('window');
  const put = (id: string, n: string) =>
    setup.db.send(new PutItemCommand({ TableName: 'window', Item: { id: { S: id }, n: { N: n } } }));
  await put('changed', '1');
  await put('deleted', '1');
  await put('left', '1');
  const from = await setup.moment();
  await put('changed', '2');
  const before = Date.now();
  await put('changed', '3');
  await put('made', '1');
  await put('short', '1');
  await setup.db.send(new DeleteItemCommand({ TableName: 'window', Key: { id: { S: 'short' } } }));
  await setup.db.send(new DeleteItemCommand({ TableName: 'window', Key: { id: { S: 'deleted' } } }));
  const input = (ExportToTime: Date, ExportViewType?: 'NEW_IMAGE') => ({
    ExportType: 'INCREMENTAL_EXPORT' as const,
    IncrementalExportSpecification: { ExportFromTime: from, ExportToTime, ...(ExportViewType && { ExportViewType }) },
  });
  expect(await refused(setup.export('window', input(new Date())))).toContain('must be between 15 and 1440 minutes');
  setup.aws.control.dynamodb.advanceClock({ ms: 25 * 3_600_000 });
  const minutes = (n: number) => new Date(from.getTime() + n * 60_000);
  expect(await refused(setup.export('window', input(minutes(14))))).toContain('InvalidExportTimeException');
  expect(await refused(setup.export('window', input(minutes(1_441))))).toContain('InvalidExportTimeException');
  const found = await setup.exported('window', { ...input(minutes(15)), S3Prefix: 'changes' });
  expect(found.summary).toMatchObject({
    version: '2023-08-01',
    exportFromTime: from.toISOString(),
    exportToTime: minutes(15).toISOString(),
    outputView: 'NEW_AND_OLD_IMAGES',
    exportType: 'INCREMENTAL_EXPORT',
    itemCount: 3,
  });
  expect(found.summary['exportTime']).toBeUndefined();
  expect(found.description).toMatchObject({
    ExportType: 'INCREMENTAL_EXPORT',
    IncrementalExportSpecification: { ExportFromTime: from, ExportViewType: 'NEW_AND_OLD_IMAGES' },
  });
  expect(found.entries.every((entry) => entry.dataFileS3Key.startsWith('changes/AWSDynamoDB/data/'))).toBe(true);
  const image = (id: string, n: string) => ({ id: { S: id }, n: { N: n } });
  const line = (id: string) => found.lines.find((one) => (one['Keys'] as Item)['id']?.S === id);
  expect(line('changed')).toMatchObject({ OldImage: image('changed', '1'), NewImage: image('changed', '3') });
  const written = Number(
    (line('changed') as { Metadata: { WriteTimestampMicros: { N: string } } }).Metadata.WriteTimestampMicros.N,
  );
  expect(written).toBeGreaterThanOrEqual(before * 1_000);
  expect(written).toBeLessThanOrEqual(Date.now() * 1_000);
  expect(Object.keys(line('made') ?? {})).toEqual(['Metadata', 'Keys', 'NewImage']);
  expect(Object.keys(line('deleted') ?? {})).toEqual(['Metadata', 'Keys', 'OldImage']);
  const news = await setup.exported('window', input(minutes(15), 'NEW_IMAGE'));
  expect(news.lines.some((one) => 'OldImage' in one)).toBe(false);
  expect(news.lines.length).toBe(3);
});
