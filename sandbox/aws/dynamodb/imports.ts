import { randomBytes } from 'node:crypto';
import type {
  DescribeImportInput,
  DescribeImportOutput,
  ImportTableDescription,
  ImportTableInput,
  ImportTableOutput,
  ListImportsInput,
  ListImportsOutput,
  TableCreationParameters,
} from '@aws-sdk/client-dynamodb';
import { TOKEN_MS } from './exports.ts';
import { AwsFault } from '../faults.ts';
import { notServed, refusal } from './faults.ts';
import { checkOneOf, checkPattern, checkRange, fingerprint, pageOf, tableName, tableOfArn } from './input.ts';
import { runImport } from './import-job.ts';
import { makeTable } from './made-table-work.ts';
import type { DynamoDb } from './service.ts';
import type { ImportState } from './state.ts';

const BUCKET = /^[a-z0-9A-Z]+[.\-\w]*[a-z0-9A-Z]+$/;

export async function importTable(db: DynamoDb, input: ImportTableInput, body: string): Promise<ImportTableOutput> {
  const parameters = input.TableCreationParameters;
  const name = tableName(db, 'TableCreationParameters.TableName', parameters?.TableName ?? '');
  const compression = checkInput(input);
  return db.locked([name], async () => {
    const request = fingerprint(body);
    const known = Object.values(db.state.imports).findLast(
      (entry) =>
        input.ClientToken !== undefined &&
        entry.clientToken === input.ClientToken &&
        db.now() - Date.parse(entry.startTime) < TOKEN_MS,
    );
    if (known !== undefined) {
      if (known.request === request) return { ImportTableDescription: view(known) };
      throw refusal(
        'ImportConflictException',
        `Import with client token ${input.ClientToken} already exists with other parameters: ${known.arn}`,
      );
    }
    const table = await makeTable(db, { ...parameters, TableName: name }).catch((error: unknown) => {
      // ImportTable has its own word for it.
      if (!(error instanceof AwsFault && error.code.endsWith('TableAlreadyExistsException'))) throw error;
      throw refusal('ResourceInUseException', `Table already exists: ${name}`);
    });
    const id = `0${Date.now()}-${randomBytes(4).toString('hex')}`;
    const { S3Bucket, S3BucketOwner, S3KeyPrefix } = input.S3BucketSource ?? {};
    const task: ImportState = {
      arn: `${table.TableArn}/import/${id}`,
      status: 'IN_PROGRESS',
      startTime: db.iso(),
      tableName: name,
      tableArn: table.TableArn,
      tableId: table.TableId,
      ...(input.ClientToken === undefined ? {} : { clientToken: input.ClientToken }),
      request,
      bucket: S3Bucket ?? '',
      ...(S3BucketOwner === undefined ? {} : { bucketOwner: S3BucketOwner }),
      ...(S3KeyPrefix === undefined ? {} : { keyPrefix: S3KeyPrefix }),
      compression,
      table: { ...parameters },
      errorCount: 0,
      processedBytes: 0,
      processedItems: 0,
      importedItems: 0,
    };
    db.state.imports[task.arn] = task;
    db.save();
    runImport(db, task, keysOf(task));
    return { ImportTableDescription: view(task) };
  });
}

export function describeImport(db: DynamoDb, input: DescribeImportInput): DescribeImportOutput {
  const task = Object.values(db.cloud.store.visible().dynamodb.imports).find((entry) => entry.arn === input.ImportArn);
  if (task === undefined) throw refusal('ImportNotFoundException', `Import not found: ${input.ImportArn}`);
  return { ImportTableDescription: view(task) };
}

export function listImports(db: DynamoDb, input: ListImportsInput): ListImportsOutput {
  checkRange('PageSize', input.PageSize, 1, 25);
  if (input.TableArn !== undefined) tableOfArn(db, 'TableArn', input.TableArn);
  const all = Object.values(db.cloud.store.visible().dynamodb.imports)
    .filter((task) => input.TableArn === undefined || task.tableArn === input.TableArn)
    .reverse();
  const { items, ...next } = pageOf(all, input.PageSize ?? 25, input.NextToken);
  const ImportSummaryList = items.map((task) => {
    const { ImportArn, ImportStatus, TableArn, S3BucketSource, InputFormat, StartTime, EndTime } = view(task);
    return { ImportArn, ImportStatus, TableArn, S3BucketSource, InputFormat, StartTime, EndTime };
  });
  return { ImportSummaryList, ...next };
}

/** The imported table's primary key, the partition key first. */
export function keysOf(task: ImportState): string[] {
  const { KeySchema = [] } = task.table as Partial<TableCreationParameters>;
  return [...KeySchema]
    .sort((a, b) => Number(b.KeyType === 'HASH') - Number(a.KeyType === 'HASH'))
    .map((key) => key.AttributeName ?? '');
}

function checkInput(input: ImportTableInput): 'NONE' | 'GZIP' {
  checkPattern('S3BucketSource.S3Bucket', input.S3BucketSource?.S3Bucket, BUCKET, 255);
  checkPattern('S3BucketSource.S3BucketOwner', input.S3BucketSource?.S3BucketOwner, /^[0-9]{12}$/, 12);
  checkPattern('ClientToken', input.ClientToken, /^[^$]+$/, 255);
  const format = checkOneOf('InputFormat', input.InputFormat, ['DYNAMODB_JSON', 'ION', 'CSV'], 'DYNAMODB_JSON');
  if (format !== 'DYNAMODB_JSON') throw notServed(`InputFormat ${format}`);
  if (input.InputFormatOptions !== undefined) throw notServed('InputFormatOptions');
  const compression = checkOneOf('InputCompressionType', input.InputCompressionType, ['NONE', 'GZIP', 'ZSTD'], 'NONE');
  if (compression === 'ZSTD') throw notServed('InputCompressionType ZSTD');
  return compression;
}

function view(task: ImportState): ImportTableDescription {
  return {
    ImportArn: task.arn,
    ImportStatus: task.status,
    TableArn: task.tableArn,
    TableId: task.tableId,
    ClientToken: task.clientToken,
    S3BucketSource: { S3Bucket: task.bucket, S3BucketOwner: task.bucketOwner, S3KeyPrefix: task.keyPrefix },
    ErrorCount: task.errorCount,
    InputFormat: 'DYNAMODB_JSON',
    InputCompressionType: task.compression,
    TableCreationParameters: task.table as unknown as TableCreationParameters,
    StartTime: new Date(task.startTime),
    EndTime: task.endTime === undefined ? undefined : new Date(task.endTime),
    ProcessedSizeBytes: task.processedBytes,
    ProcessedItemCount: task.processedItems,
    ImportedItemCount: task.importedItems,
    FailureCode: task.failureCode,
    FailureMessage: task.failureMessage,
  };
}
