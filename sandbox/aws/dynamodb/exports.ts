import { randomBytes } from 'node:crypto';
import type {
  DescribeExportInput,
  DescribeExportOutput,
  ExportDescription,
  ExportTableToPointInTimeInput,
  ExportTableToPointInTimeOutput,
  IncrementalExportSpecification,
  ListExportsInput,
  ListExportsOutput,
} from '@aws-sdk/client-dynamodb';
import { runExport } from './export-job.ts';
import { invalid, notServed, refusal, tableNotFound } from './faults.ts';
import { checkOneOf, checkPattern, checkRange, fingerprint, pageOf, tableOfArn } from './input.ts';
import { windowOf } from './recovery.ts';
import type { DynamoDb } from './service.ts';
import type { ExportState, IncrementalState } from './state.ts';

/** How long a ClientToken is known, in milliseconds (facts 3.4). */
export const TOKEN_MS = 8 * 3_600_000;
/** How long exports are listed. */
const LISTED_MS = 90 * 86_400_000;
const BUCKET = /^[a-z0-9A-Z]+[.\-\w]*[a-z0-9A-Z]+$/;

export async function exportTable(
  db: DynamoDb,
  input: ExportTableToPointInTimeInput,
  body: string,
): Promise<ExportTableToPointInTimeOutput> {
  const name = tableOfArn(db, 'TableArn', input.TableArn ?? '');
  const { sseAlgorithm } = checkInput(input);
  return db.locked([name], async () => {
    const request = fingerprint(body);
    const known = knownToken(db, input.ClientToken);
    if (known !== undefined) {
      if (known.request === request) return { ExportDescription: view(known) };
      throw refusal(
        'ExportConflictException',
        `Export with client token ${input.ClientToken} already exists with other parameters: ${known.arn}`,
      );
    }
    const table = await (await db.moto()).table(name);
    if (table === undefined) throw tableNotFound(name);
    // Everything that was answered before this call is in the journal after it.
    const live = await db.live(name, true);
    if (live === undefined) {
      throw refusal(
        'PointInTimeRecoveryUnavailableException',
        `Point in time recovery is not enabled for table '${name}'`,
      );
    }
    const { recovery } = live;
    const time = timeOf(db, input, windowOf(db, recovery));
    const running = Object.values(db.state.exports).filter((entry) => entry.status === 'IN_PROGRESS').length;
    if (running >= db.script.limits.concurrentExports) {
      throw refusal(
        'LimitExceededException',
        `Too many concurrent exports: ${running}. The limit is ${db.script.limits.concurrentExports}.`,
      );
    }
    const id = `0${Date.now()}-${randomBytes(4).toString('hex')}`;
    const task: ExportState = {
      arn: `${recovery.tableArn}/export/${id}`,
      id,
      status: 'IN_PROGRESS',
      startTime: db.iso(),
      tableArn: recovery.tableArn,
      tableName: name,
      tableId: recovery.tableId,
      keys: recovery.keys,
      journal: recovery.journal,
      ...time,
      ...(input.ClientToken === undefined ? {} : { clientToken: input.ClientToken }),
      request,
      bucket: input.S3Bucket ?? '',
      ...(input.S3BucketOwner === undefined ? {} : { bucketOwner: input.S3BucketOwner }),
      ...(input.S3Prefix === undefined ? {} : { prefix: input.S3Prefix }),
      sseAlgorithm,
      ...(input.S3SseKmsKeyId === undefined ? {} : { kmsKeyId: input.S3SseKmsKeyId }),
      script: db.script.take(name),
    };
    db.state.exports[task.arn] = task;
    db.save();
    runExport(db, task);
    return { ExportDescription: view(task) };
  });
}

export function describeExport(db: DynamoDb, input: DescribeExportInput): DescribeExportOutput {
  const task = Object.values(db.cloud.store.visible().dynamodb.exports).find((entry) => entry.arn === input.ExportArn);
  if (task === undefined) throw refusal('ExportNotFoundException', `Export not found: ${input.ExportArn}`);
  return { ExportDescription: view(task) };
}

/** The newest first, none that is older than 90 days. */
export function listExports(db: DynamoDb, input: ListExportsInput): ListExportsOutput {
  checkRange('MaxResults', input.MaxResults, 1, 25);
  if (input.TableArn !== undefined) tableOfArn(db, 'TableArn', input.TableArn);
  const all = Object.values(db.cloud.store.visible().dynamodb.exports)
    .filter((task) => db.now() - Date.parse(task.startTime) < LISTED_MS)
    .filter((task) => input.TableArn === undefined || task.tableArn === input.TableArn)
    .reverse();
  const { items, ...next } = pageOf(all, input.MaxResults ?? 25, input.NextToken);
  const ExportSummaries = items.map((task) => ({
    ExportArn: task.arn,
    ExportStatus: task.status,
    ExportType: typeOf(task),
  }));
  return { ExportSummaries, ...next };
}

function checkInput(input: ExportTableToPointInTimeInput): { sseAlgorithm: 'AES256' | 'KMS' } {
  checkPattern('S3Bucket', input.S3Bucket, BUCKET, 255);
  checkPattern('S3BucketOwner', input.S3BucketOwner, /^[0-9]{12}$/, 12);
  checkPattern('S3Prefix', input.S3Prefix, /^[^]*$/, 1_024);
  checkPattern('S3SseKmsKeyId', input.S3SseKmsKeyId, /^[^]+$/, 2_048);
  checkPattern('ClientToken', input.ClientToken, /^[^$]+$/, 255);
  const type = checkOneOf('ExportType', input.ExportType, ['FULL_EXPORT', 'INCREMENTAL_EXPORT'], 'FULL_EXPORT');
  if (checkOneOf('ExportFormat', input.ExportFormat, ['DYNAMODB_JSON', 'ION'], 'DYNAMODB_JSON') === 'ION') {
    throw notServed('ExportFormat ION');
  }
  const view = input.IncrementalExportSpecification?.ExportViewType;
  checkOneOf('IncrementalExportSpecification.ExportViewType', view, ['NEW_IMAGE', 'NEW_AND_OLD_IMAGES'], 'NEW_IMAGE');
  const incremental = type === 'INCREMENTAL_EXPORT';
  if (incremental !== (input.IncrementalExportSpecification !== undefined)) {
    throw invalid(
      incremental
        ? 'IncrementalExportSpecification must be specified when ExportType is INCREMENTAL_EXPORT'
        : 'IncrementalExportSpecification can only be specified when ExportType is INCREMENTAL_EXPORT',
    );
  }
  if (incremental && input.ExportTime !== undefined) {
    throw invalid('ExportTime cannot be specified when ExportType is INCREMENTAL_EXPORT');
  }
  const or = input.S3SseKmsKeyId === undefined ? 'AES256' : 'KMS';
  const sseAlgorithm = checkOneOf('S3SseAlgorithm', input.S3SseAlgorithm, ['AES256', 'KMS'], or);
  if (sseAlgorithm === 'AES256' && input.S3SseKmsKeyId !== undefined) {
    throw invalid('S3SseKmsKeyId can only be specified when S3SseAlgorithm is KMS');
  }
  return { sseAlgorithm };
}

type Window = ReturnType<typeof windowOf>;

/** @throws AwsFault InvalidExportTimeException outside of what can be restored */
function timeOf(
  db: DynamoDb,
  input: ExportTableToPointInTimeInput,
  window: Window,
): { exportTime: string } | { incremental: IncrementalState } {
  const specification = input.IncrementalExportSpecification;
  if (specification !== undefined) return { incremental: incrementalOf(db, specification, window) };
  const at = input.ExportTime?.getTime() ?? window.latest;
  within('ExportTime', at, window);
  return { exportTime: new Date(at).toISOString() };
}

function incrementalOf(db: DynamoDb, given: IncrementalExportSpecification, window: Window): IncrementalState {
  const { incrementalMin, incrementalMax } = db.script.limits;
  if (given.ExportFromTime === undefined) throw invalid('ExportFromTime must be specified for an incremental export');
  const from = given.ExportFromTime.getTime();
  const to = given.ExportToTime?.getTime() ?? window.latest;
  within('ExportFromTime', from, window);
  within('ExportToTime', to, window);
  const length = to - from;
  if (length < incrementalMin || length > incrementalMax) {
    throw refusal(
      'InvalidExportTimeException',
      `The export period from ${given.ExportFromTime.toISOString()} to ${new Date(to).toISOString()} is ${length / 60_000} minutes long. It must be between ${incrementalMin / 60_000} and ${incrementalMax / 60_000} minutes`,
    );
  }
  return {
    from: given.ExportFromTime.toISOString(),
    to: new Date(to).toISOString(),
    view: given.ExportViewType ?? 'NEW_AND_OLD_IMAGES',
  };
}

function within(member: string, at: number, { earliest, latest }: Window): void {
  if (at >= earliest && at <= latest) return;
  const shown = Number.isNaN(at) ? 'not a time' : new Date(at).toISOString();
  throw refusal(
    'InvalidExportTimeException',
    `${member} ${shown} is outside of the point in time recovery window, ${new Date(earliest).toISOString()} to ${new Date(latest).toISOString()}`,
  );
}

function knownToken(db: DynamoDb, token: string | undefined): ExportState | undefined {
  if (token === undefined) return undefined;
  return Object.values(db.state.exports).findLast(
    (task) => task.clientToken === token && db.now() - Date.parse(task.startTime) < TOKEN_MS,
  );
}

function typeOf(task: ExportState): 'FULL_EXPORT' | 'INCREMENTAL_EXPORT' {
  return task.incremental === undefined ? 'FULL_EXPORT' : 'INCREMENTAL_EXPORT';
}

/** An export as DescribeExport shows it; what is not known yet is left out, as on AWS. */
function view(task: ExportState): ExportDescription {
  const date = (text: string | undefined) => (text === undefined ? undefined : new Date(text));
  const { incremental } = task;
  return {
    ExportArn: task.arn,
    ExportStatus: task.status,
    StartTime: date(task.startTime),
    EndTime: date(task.endTime),
    ExportManifest: task.manifest,
    TableArn: task.tableArn,
    TableId: task.tableId,
    ExportTime: date(task.exportTime),
    ClientToken: task.clientToken,
    S3Bucket: task.bucket,
    S3BucketOwner: task.bucketOwner,
    S3Prefix: task.prefix,
    S3SseAlgorithm: task.sseAlgorithm,
    S3SseKmsKeyId: task.kmsKeyId,
    FailureCode: task.failureCode,
    FailureMessage: task.failureMessage,
    ExportFormat: 'DYNAMODB_JSON',
    BilledSizeBytes: task.billedBytes,
    ItemCount: task.itemCount,
    ExportType: typeOf(task),
    IncrementalExportSpecification: incremental && {
      ExportFromTime: date(incremental.from),
      ExportToTime: date(incremental.to),
      ExportViewType: incremental.view,
    },
  };
}
