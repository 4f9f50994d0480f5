import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { keyOf, keyText, partitionOf, sizeOf } from './items.ts';
import type { Journal } from './journal.ts';
import type { Item } from './moto.ts';
import type { DynamoDbLimits } from './script.ts';
import type { ExportState } from './state.ts';

/** What goes into a line of a data file. */
export interface Line {
  /** The item, or its key alone: says in which partition's file it is. */
  key: Item;
  json: string;
}

export interface DataFile {
  key: string;
  itemCount: number;
  bytes: Buffer;
}

/** `<prefix>/AWSDynamoDB` of an export. */
export function folderOf(prefix: string | undefined): string {
  return prefix === undefined || prefix === '' ? 'AWSDynamoDB' : `${prefix.replace(/\/+$/, '')}/AWSDynamoDB`;
}

/** The lines of an export, from the journal alone. */
export function linesOf(task: ExportState, journal: Journal): Line[] {
  if (task.incremental !== undefined) return changedLines(task, journal, task.incremental);
  const at = Date.parse(task.exportTime ?? task.startTime);
  return journal.stateAt(at).map((item) => ({ key: item, json: JSON.stringify({ Item: item }) }));
}

/**
 * One line for each item that is another one at the end of the window than at its beginning, or was written in between:
 * the last write's time, and the images at both ends. An item that was made and deleted in the window leaves none.
 */
function changedLines(task: ExportState, journal: Journal, window: NonNullable<ExportState['incremental']>): Line[] {
  const written = new Map<string, { key: Item; at: number; before: Item | undefined; after: Item | undefined }>();
  for (const change of journal.between(Date.parse(window.from), Date.parse(window.to))) {
    const item = change.after ?? change.before;
    if (item === undefined) continue;
    const text = keyText(item, task.keys);
    const first = written.get(text);
    const before = first === undefined ? change.before : first.before;
    written.set(text, { key: keyOf(item, task.keys), at: change.at, before, after: change.after });
  }
  return [...written.values()]
    .filter(({ before, after }) => before !== undefined || after !== undefined)
    .map(({ key, at, before, after }) => ({
      key,
      json: JSON.stringify({
        Metadata: { WriteTimestampMicros: { N: String(at * 1_000) } },
        Keys: key,
        ...(window.view === 'NEW_AND_OLD_IMAGES' && before !== undefined ? { OldImage: before } : {}),
        ...(after === undefined ? {} : { NewImage: after }),
      }),
    }));
}

/** The data files: one per partition at least, an empty one too (facts 3.4). Their names are random, and the same if asked again. */
export function dataFiles(task: ExportState, lines: readonly Line[], limits: DynamoDbLimits): DataFile[] {
  const count = Math.max(limits.partitions, Math.ceil(lines.length / limits.itemsPerFile));
  const parts: string[][] = Array.from({ length: count }, () => []);
  for (const { key, json } of lines) parts[partitionOf(key, task.keys, count)]?.push(json);
  // A full export has its own folder of data; incremental ones of a prefix share one.
  const folder = folderOf(task.prefix);
  const data = task.incremental === undefined ? `${folder}/${task.id}/data` : `${folder}/data`;
  return parts.map((part, i) => ({
    key: `${data}/${randomName(task.id, i)}.json.gz`,
    itemCount: part.length,
    bytes: gzipSync(part.map((json) => `${json}\n`).join('')),
  }));
}

export function md5(bytes: Buffer | string): string {
  return createHash('md5').update(bytes).digest('base64');
}

/** manifest-summary.json, its members as AWS has them, in AWS's order. */
export function summaryOf(task: ExportState, itemCount: number, billedSizeBytes: number, endTime: string): string {
  return JSON.stringify({
    version: task.incremental === undefined ? '2020-06-30' : '2023-08-01',
    exportArn: task.arn,
    startTime: task.startTime,
    endTime,
    tableArn: task.tableArn,
    tableId: task.tableId,
    ...(task.incremental === undefined
      ? { exportTime: task.exportTime }
      : { exportFromTime: task.incremental.from, exportToTime: task.incremental.to }),
    s3Bucket: task.bucket,
    s3Prefix: task.prefix ?? null,
    s3SseAlgorithm: task.sseAlgorithm,
    s3SseKmsKeyId: task.kmsKeyId ?? null,
    manifestFilesS3Key: `${folderOf(task.prefix)}/${task.id}/manifest-files.json`,
    billedSizeBytes,
    itemCount,
    outputFormat: 'DYNAMODB_JSON',
    ...(task.incremental === undefined
      ? { exportType: 'FULL_EXPORT' }
      : { outputView: task.incremental.view, exportType: 'INCREMENTAL_EXPORT' }),
  });
}

export function billedBytes(lines: readonly Line[]): number {
  return lines.reduce((sum, line) => sum + sizeOf(line.key), 0);
}

/** 26 letters and digits, as AWS names data files. */
function randomName(id: string, i: number): string {
  const digits = BigInt(`0x${createHash('sha256').update(`${id}/${i}`).digest('hex')}`).toString(32);
  return digits.slice(-26).padStart(26, '0');
}
