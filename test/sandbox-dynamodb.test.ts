/** The sandbox's DynamoDB exports with the unmodified SDK: what is asked for, what is refused, what is in S3. */
import {
  BatchWriteItemCommand,
  DeleteItemCommand,
  DeleteTableCommand,
  DescribeContinuousBackupsCommand,
  DescribeExportCommand,
  DescribeTableCommand,
  ListExportsCommand,
  PutItemCommand,
  UpdateItemCommand,
  paginateListExports,
} from '@aws-sdk/client-dynamodb';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { BUCKET, Setup, refused, sorted } from './sandbox-dynamodb-setup.ts';
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

const put = (table: string, id: string, more: Item = {}) =>
  setup.db.send(new PutItemCommand({ TableName: table, Item: { id: { S: id }, ...more } }));

async function idOf(table: string) {
  return (await setup.db.send(new DescribeTableCommand({ TableName: table }))).Table?.TableId;
}

async function recoveryOf(table: string) {
  const { ContinuousBackupsDescription: found } = await setup.db.send(
    new DescribeContinuousBackupsCommand({ TableName: table }),
  );
  return found?.PointInTimeRecoveryDescription;
}

test('point-in-time recovery is switched on once, and says since when', async () => {
  await setup.table('recovery', { recovery: false });
  expect(await recoveryOf('recovery')).toEqual({ PointInTimeRecoveryStatus: 'DISABLED' });
  const before = Date.now();
  await setup.recovery('recovery', true, 7);
  const first = await recoveryOf('recovery');
  expect(first).toMatchObject({ PointInTimeRecoveryStatus: 'ENABLED', RecoveryPeriodInDays: 7 });
  const earliest = first?.EarliestRestorableDateTime?.getTime() ?? 0;
  expect(earliest).toBeGreaterThanOrEqual(before - 1_000);
  expect(earliest).toBeLessThanOrEqual(Date.now());
  setup.aws.control.dynamodb.advanceClock({ ms: 10_000 });
  await setup.recovery('recovery', true, 9);
  const again = await recoveryOf('recovery');
  expect(again?.RecoveryPeriodInDays).toBe(9);
  expect(again?.EarliestRestorableDateTime?.getTime()).toBe(earliest);
  expect(again?.LatestRestorableDateTime?.getTime()).toBeGreaterThanOrEqual(earliest + 9_000);
  setup.aws.control.dynamodb.limits({ restorableLag: 5_000 });
  const behind = (await recoveryOf('recovery'))?.LatestRestorableDateTime?.getTime() ?? 0;
  expect(behind).toBeLessThanOrEqual(Date.now() + 10_000 - 5_000);
  await setup.recovery('recovery', false);
  expect(await recoveryOf('recovery')).toEqual({ PointInTimeRecoveryStatus: 'DISABLED' });
  expect(await refused(setup.recovery('recovery', true, 36))).toContain('less than or equal to 35');
  expect(await refused(setup.recovery('recovery', true, 0))).toContain('ValidationException');
  expect(await refused(setup.recovery('not-there'))).toContain('TableNotFoundException');
  // Another table of the same name has it off, and another id.
  await setup.recovery('recovery');
  const id = await idOf('recovery');
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  expect(await idOf('recovery')).toBe(id);
  const deleted = await setup.db.send(new DeleteTableCommand({ TableName: 'recovery' }));
  expect(deleted.TableDescription?.TableId).toBe(id);
  await setup.table('recovery', { recovery: false });
  expect(await recoveryOf('recovery')).toEqual({ PointInTimeRecoveryStatus: 'DISABLED' });
  expect(await idOf('recovery')).not.toBe(id);
});

test('an export is what the table held, in AWS’s layout, and its manifests are right', async () => {
  await setup.table('full', { recovery: false });
  await put('full', 'before', {
    n: { N: '1.50' },
    b: { B: Buffer.from('bytes') },
    deep: { M: { l: { L: [{ NULL: true }] } } },
  });
  await setup.recovery('full');
  await setup.db.send(
    new BatchWriteItemCommand({
      RequestItems: { full: Array.from({ length: 25 }, (_, i) => ({ PutRequest: { Item: { id: { S: `i${i}` } } } })) },
    }),
  );
  await setup.db.send(
    new UpdateItemCommand({
      TableName: 'full',
      Key: { id: { S: 'i3' } },
      UpdateExpression: 'SET s = :s',
      ExpressionAttributeValues: { ':s': { SS: ['b', 'a'] } },
    }),
  );
  await setup.db.send(new DeleteItemCommand({ TableName: 'full', Key: { id: { S: 'i4' } } }));
  setup.aws.control.dynamodb.limits({ itemsPerFile: 10 });
  const { ExportArn } = await setup.export('full', { S3Prefix: 'a/b', ClientToken: 'full-1' });
  const begun = await setup.db.send(new DescribeExportCommand({ ExportArn }));
  expect(ExportArn).toMatch(/^arn:aws:dynamodb:us-east-1:123456789012:table\/full\/export\/\d{14}-[0-9a-f]{8}$/);
  expect(begun.ExportDescription).toMatchObject({
    TableArn: setup.arn('full'),
    ClientToken: 'full-1',
    S3Bucket: BUCKET,
    S3Prefix: 'a/b',
    S3SseAlgorithm: 'AES256',
    ExportFormat: 'DYNAMODB_JSON',
    ExportType: 'FULL_EXPORT',
  });
  const done = await setup.ended(ExportArn);
  const { summary, entries, lines, items } = await setup.files(done);
  const id = ExportArn.split('/').at(-1);
  const folder = `a/b/AWSDynamoDB/${id}`;
  expect(done.ExportManifest).toBe(`${folder}/manifest-summary.json`);
  expect(summary).toEqual({
    version: '2020-06-30',
    exportArn: ExportArn,
    startTime: done.StartTime?.toISOString(),
    endTime: done.EndTime?.toISOString(),
    tableArn: setup.arn('full'),
    tableId: done.TableId,
    exportTime: done.ExportTime?.toISOString(),
    s3Bucket: BUCKET,
    s3Prefix: 'a/b',
    s3SseAlgorithm: 'AES256',
    s3SseKmsKeyId: null,
    manifestFilesS3Key: `${folder}/manifest-files.json`,
    billedSizeBytes: done.BilledSizeBytes,
    itemCount: 25,
    outputFormat: 'DYNAMODB_JSON',
    exportType: 'FULL_EXPORT',
  });
  expect(done.ItemCount).toBe(25);
  expect(entries.length).toBe(3);
  expect(entries.reduce((sum, entry) => sum + entry.itemCount, 0)).toBe(25);
  for (const entry of entries) {
    expect(Object.keys(entry)).toEqual(['itemCount', 'md5Checksum', 'etag', 'dataFileS3Key']);
    expect(entry.dataFileS3Key).toMatch(new RegExp(`^${folder}/data/[0-9a-z]{26}\\.json\\.gz$`));
    expect(entry.etag).toMatch(/^[0-9a-f]{32}-1$/);
  }
  const listed = await setup.s3.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: 'a/b/' }));
  expect(sorted((listed.Contents ?? []).map((object) => ({ key: object.Key })))).toEqual(
    sorted(
      [
        ...[
          '_started',
          'manifest-files.json',
          'manifest-files.md5',
          'manifest-summary.json',
          'manifest-summary.md5',
        ].map((name) => `${folder}/${name}`),
        ...entries.map((entry) => entry.dataFileS3Key),
      ].map((key) => ({ key })),
    ),
  );
  expect(lines.every((line) => Object.keys(line).join() === 'Item')).toBe(true);
  const old = items.find((item) => item['id']?.S === 'before');
  expect(old).toEqual({
    id: { S: 'before' },
    n: { N: '1.50' },
    b: { B: Buffer.from('bytes').toString('base64') },
    deep: { M: { l: { L: [{ NULL: true }] } } },
  });
  const found = sorted(items.filter((item) => item['id']?.S !== 'before'));
  expect(found).toEqual(sorted((await setup.scan('full')).filter((item) => item['id']?.S !== 'before')));
});

test('a token is the same export for eight hours, and a conflict with other parameters', async () => {
  await setup.table('token');
  await put('token', '1');
  setup.aws.control.dynamodb.slowExport({ table: 'token', ms: 3_600_000 });
  const first = await setup.export('token', { ClientToken: 'same', S3Prefix: 'one' });
  const again = await setup.export('token', { ClientToken: 'same', S3Prefix: 'one' });
  expect(again.ExportArn).toBe(first.ExportArn);
  expect(again.ExportStatus).toBe('IN_PROGRESS');
  expect(await refused(setup.export('token', { ClientToken: 'same', S3Prefix: 'two' }))).toContain(
    'ExportConflictException',
  );
  setup.aws.control.dynamodb.advanceClock({ ms: 8 * 3_600_000 });
  const later = await setup.export('token', { ClientToken: 'same', S3Prefix: 'one' });
  expect(later.ExportArn).not.toBe(first.ExportArn);
  expect(await setup.ended(later.ExportArn)).toMatchObject({ ExportStatus: 'COMPLETED', ItemCount: 1 });
  // Without one, the SDK makes a new one for each call.
  expect((await setup.export('token')).ExportArn).not.toBe((await setup.export('token')).ExportArn);
});

test('refusals: no table, recovery off, times that cannot be, members that AWS does not take', async () => {
  await setup.table('off', { recovery: false });
  await setup.table('refusals');
  const no = (input: Parameters<Setup['export']>[1], table = 'refusals') => refused(setup.export(table, input));
  expect(await no({}, 'not-there')).toBe('TableNotFoundException: Table not found: not-there');
  expect(await no({}, 'off')).toContain('PointInTimeRecoveryUnavailableException');
  const hour = 3_600_000;
  const clock = Date.now() + 24 * hour;
  expect(await no({ ExportTime: new Date(clock) })).toContain('InvalidExportTimeException');
  expect(await no({ ExportTime: new Date(Date.now() - hour) })).toContain('InvalidExportTimeException');
  expect(await no({ S3Bucket: 'not a bucket' })).toContain('ValidationException');
  expect(await no({ S3BucketOwner: 'me' })).toContain('ValidationException');
  expect(await no({ S3Prefix: 'x'.repeat(1_025) })).toContain('ValidationException');
  expect(await no({ ExportFormat: 'CSV' as never })).toContain('enum value set');
  expect(await no({ ExportFormat: 'ION' })).toContain('does not serve ExportFormat ION');
  expect(await no({ S3SseAlgorithm: 'AES256', S3SseKmsKeyId: 'k' })).toContain('S3SseKmsKeyId');
  expect(await no({ ExportType: 'INCREMENTAL_EXPORT' })).toContain('IncrementalExportSpecification must be specified');
  expect(await no({ IncrementalExportSpecification: {} })).toContain('can only be specified');
  expect(await no({ TableArn: 'refusals' })).toContain('ValidationException');
  expect(await no({ TableArn: 'arn:aws:dynamodb:eu-west-1:123456789012:table/refusals' })).toContain(
    'Invalid table ARN',
  );
  expect(await no({ TableArn: undefined as never })).toContain("'tableArn'");
  // The SDK leaves out what it does not know; another client's slip must not be taken for a default.
  const typo = await fetch(setup.aws.url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': 'DynamoDB_20120810.ExportTableToPointInTime',
      authorization: `AWS4-HMAC-SHA256 Credential=sandbox/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
    },
    body: JSON.stringify({ TableArn: setup.arn('refusals'), S3Bucket: BUCKET, S3Prefixx: 'a' }),
  });
  expect(typo.status).toBe(400);
  expect(await typo.json()).toMatchObject({
    __type: 'com.amazon.coral.service#SerializationException',
    message: 'Unknown member: S3Prefixx.',
  });
  const unknown = { ExportArn: `${setup.arn('refusals')}/export/01-0` };
  expect(await refused(setup.db.send(new DescribeExportCommand(unknown)))).toContain('ExportNotFoundException');
  setup.aws.control.dynamodb.limits({ concurrentExports: 0 });
  expect(await no({})).toContain('LimitExceededException');
  setup.aws.control.failNext({ action: 'ExportTableToPointInTime', code: 'LimitExceededException', times: 1 });
  expect(await no({})).toContain('LimitExceededException');
});

test('exports are listed, by pages and by table', async () => {
  await setup.table('list-a');
  await setup.table('list-b');
  const arns: string[] = [];
  for (let i = 0; i < 5; i++) arns.push((await setup.export('list-a')).ExportArn);
  const other = (await setup.export('list-b')).ExportArn;
  const seen: (string | undefined)[] = [];
  const pages = paginateListExports({ client: setup.db, pageSize: 2 }, { TableArn: setup.arn('list-a') });
  let count = 0;
  for await (const page of pages) {
    count += 1;
    seen.push(...(page.ExportSummaries ?? []).map((entry) => entry.ExportArn));
  }
  expect(count).toBe(3);
  expect(seen).toEqual([...arns].reverse());
  const all = await setup.db.send(new ListExportsCommand({}));
  expect(all.ExportSummaries?.[0]).toMatchObject({ ExportArn: other, ExportType: 'FULL_EXPORT' });
  expect(await refused(setup.db.send(new ListExportsCommand({ MaxResults: 26 })))).toContain('ValidationException');
  expect(await refused(setup.db.send(new ListExportsCommand({ NextToken: 'x' })))).toContain('NextToken');
  // After 90 days they are listed no more.
  setup.aws.control.dynamodb.advanceClock({ ms: 30 * 86_400_000 });
  setup.aws.control.dynamodb.advanceClock({ ms: 30 * 86_400_000 });
  setup.aws.control.dynamodb.advanceClock({ ms: 30 * 86_400_000 });
  expect((await setup.db.send(new ListExportsCommand({}))).ExportSummaries).toEqual([]);
  for (const arn of arns) await setup.ended(arn);
});

test('an export that AWS fails says why, as does one to a bucket that is not there', async () => {
  await setup.table('fails');
  const gone = await setup.ended((await setup.export('fails', { S3Bucket: 'no-such-bucket-here' })).ExportArn);
  expect(gone).toMatchObject({ ExportStatus: 'FAILED', FailureCode: 'S3NoSuchBucket' });
  expect(gone.FailureMessage).toContain('bucket');
  expect(gone.ExportManifest).toBeUndefined();
  setup.aws.control.dynamodb.failExport({ table: 'fails' });
  const denied = await setup.ended((await setup.export('fails')).ExportArn);
  expect(denied).toMatchObject({ ExportStatus: 'FAILED', FailureCode: 'S3AccessDenied' });
  expect(denied.EndTime).toBeInstanceOf(Date);
  expect((await setup.exported('fails')).items).toEqual([]);
});

test('a verifier finds every damage that can be scripted', async () => {
  await setup.table('damage');
  for (let i = 0; i < 6; i++) await put('damage', `i${i}`);
  const { control } = setup.aws;
  for (const where of ['summary', 'files'] as const) {
    control.dynamodb.miscountExport({ table: 'damage', where, by: 2 });
    const { ExportArn } = await setup.export('damage');
    const wrong = setup.files(await setup.ended(ExportArn));
    if (where === 'files') expect(await refused(wrong)).toContain('lines');
    else expect((await wrong).summary['itemCount']).toBe(8);
  }
  const damaged = async (damage: 'corrupt' | 'truncated' | 'missing' | 'manifest' | 'manifest-missing') => {
    const done = await setup.ended((await setup.export('damage')).ExportArn);
    await control.dynamodb.damageExport({ export: done.ExportArn ?? '', damage });
    return refused(setup.files(done));
  };
  expect((await setup.exported('damage')).items.length).toBe(6);
  expect(await damaged('corrupt')).toContain('another MD5');
  expect(await damaged('truncated')).toContain('another MD5');
  expect(await damaged('missing')).toMatch(/NotFound|NoSuchKey/);
  expect(await damaged('manifest')).toContain('its checksum file says');
  expect(await damaged('manifest-missing')).toMatch(/NotFound|NoSuchKey/);
});
