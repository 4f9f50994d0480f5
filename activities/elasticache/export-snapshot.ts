/**
 * CopySnapshot to S3, to its proven end. The call has no token and no state of its own: while it is at it the snapshot is
 * `copying`, and then there is one RDB for each shard in the bucket, or an event tells why not (facts/redis-aws 3.3).
 */
import { CopySnapshotCommand } from '@aws-sdk/client-elasticache';
import { DeleteObjectCommand, GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import { ErrorType } from '../../spec/errors.ts';
import { elasticache, s3, type AwsTarget } from '../aws/clients.ts';
import { awsCode, awsFailure, isCode } from '../aws/failure.ts';
import { keep, kept } from '../aws/kept.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { eventsSince, type EventSource, type Watermark } from './events.ts';
import { findSnapshot } from './snapshot.ts';
import { snapshotFacts } from './snapshot-facts.ts';

export interface ExportArgs {
  /** A snapshot of this run: nobody else copies it, so one that is `copying` is our own call. */
  snapshotName: string;
  bucket: string;
  prefix: string;
  aws?: AwsTarget;
}

export interface ExportedObject {
  key: string;
  bytes: number;
  etag?: string;
}

export interface ExportResult {
  bucket: string;
  objects: ExportedObject[];
}

/** Readings of an available snapshot with an object missing before that counts. */
const MISSING_READINGS = 3;

interface Reading {
  status: string;
  objects: ExportedObject[];
  keys: string[];
  /** Keys under which an earlier export lies: it is neither this run's result nor ours to delete. */
  older: string[];
}

/**
 * Runs as often as it likes: objects of this run's name that are all there are its result. Those that are older than the
 * snapshot are an earlier export's, under a name that was used before: called done with them, nothing would be exported.
 * @param args.since from eventWatermark over the sources, taken before
 * @throws cutover.ServiceFailed with the event's text, or naming the objects that are missing; cutover.Invalid with AWS's
 *   words (permissions, region); cutover.NotOurs (an older object is in the way); cutover.Deadline; cutover.NotFound,
 *   cutover.Denied
 */
export async function exportSnapshot(
  args: ExportArgs & { eventSources: EventSource[]; since: Watermark; timeoutMs: number },
): Promise<ExportResult> {
  const { snapshotName, bucket, timeoutMs, aws = {} } = args;
  const began = kept<{ exporting: { deadlineAt: number; called: boolean } }>().exporting;
  const deadlineAt = began?.deadlineAt ?? Date.now() + timeoutMs;
  let called = began?.called ?? false;
  let missing = 0;
  const last = await waitUntil<Reading>({
    intervalMs: pollInterval(),
    read: async () => {
      const reading = await look(args);
      if (reading.older.length > 0) throw inTheWay(args, reading.older);
      if (isWhole(reading)) return reading;
      if (reading.status === 'available') {
        if (!called && reading.objects.length === 0) {
          await copy(args);
          called = true;
          keep({ exporting: { deadlineAt, called } });
        } else if ((missing += 1) >= MISSING_READINGS) throw await failed(args, reading);
      } else missing = 0;
      if (Date.now() >= deadlineAt) {
        throw permanent(
          ErrorType.deadline,
          `the export of ${snapshotName} to ${bucket} has no end in time: the snapshot is ${reading.status}`,
          {
            remedy: 'AWS goes on with it: retry the step to wait on',
          },
        );
      }
      return reading;
    },
    done: isWhole,
    progress: ({ status, objects, keys }) => ({
      text: `export of ${snapshotName} to s3://${bucket}: ${status}, ${objects.length} of ${keys.length} objects`,
      done: objects.length,
      total: keys.length,
    }),
  });
  for (const { key } of last.objects) await requireRdb(bucket, key, aws);
  return { bucket, objects: last.objects };
}

/** All objects there while nothing is copied any more: S3 shows an object only when it is whole. */
const isWhole = ({ status, objects, keys }: Reading) => status === 'available' && objects.length === keys.length;

async function look(args: ExportArgs): Promise<Reading> {
  const { bucket, aws = {} } = args;
  const { status, keys, takenAt } = await snapshotKeys(args);
  const objects: ExportedObject[] = [];
  const older: string[] = [];
  for (const key of keys) {
    const head = await headObject(bucket, key, aws);
    if (!head) continue;
    const { modifiedAt, ...object } = head;
    if (!isOf(takenAt, modifiedAt)) older.push(key);
    else if (object.bytes > 0) objects.push({ key, ...object });
  }
  return { status, objects, keys, older };
}

/** S3 tells whole seconds. What AWS does not tell the age of is taken for older: unknown is not ours. */
function isOf(takenAt: number | undefined, modifiedAt: number | undefined): boolean {
  return takenAt !== undefined && modifiedAt !== undefined && modifiedAt >= Math.floor(takenAt / 1000) * 1000;
}

function inTheWay({ snapshotName, bucket, prefix }: ExportArgs, older: string[]): Error {
  return permanent(
    ErrorType.notOurs,
    `s3://${bucket} has ${older.join(', ')} already, and that is older than the snapshot ${snapshotName}: another export's`,
    {
      remedy: `abort, and start again with another export.prefix than '${prefix}', or with snapshotName left out; or move the older objects away and retry the step`,
    },
  );
}

/** `<prefix><snapshot>-<shard>.rdb` for each shard, and when the snapshot was taken, ms. */
async function snapshotKeys(
  args: ExportArgs,
): Promise<{ status: string; keys: string[]; takenAt: number | undefined }> {
  const { snapshotName, prefix } = args;
  const snapshot = await findSnapshot(args);
  if (!snapshot) throw permanent(ErrorType.notFound, `the snapshot ${snapshotName} is gone`);
  const shards = (snapshot.NodeSnapshots ?? []).map(({ NodeGroupId: id }) => id ?? '0001');
  const { createdAt } = snapshotFacts(snapshot);
  return {
    status: snapshot.SnapshotStatus ?? '',
    keys: (shards.length > 0 ? shards : ['0001']).map((shard) => `${prefix}${snapshotName}-${shard}.rdb`),
    takenAt: createdAt === undefined ? undefined : Date.parse(createdAt),
  };
}

async function copy({ snapshotName, bucket, prefix, aws = {} }: ExportArgs): Promise<void> {
  try {
    await elasticache(aws).send(
      new CopySnapshotCommand({
        SourceSnapshotName: snapshotName,
        TargetSnapshotName: `${prefix}${snapshotName}`,
        TargetBucket: bucket,
      }),
    );
  } catch (error) {
    // An earlier attempt's call is under way; what it comes to is seen by the next readings.
    if (isCode(error, 'InvalidSnapshotState')) return;
    const failure = awsFailure(error, `CopySnapshot ${snapshotName} to the bucket ${bucket}`);
    if (isCode(error, 'InvalidParameterValue')) {
      throw permanent(ErrorType.invalid, failure.message, {
        remedy: 'run `cutover preflight` on the file: it names the exact command for the bucket; then retry the step',
      });
    }
    throw failure;
  }
}

async function failed(args: ExportArgs & { eventSources: EventSource[]; since: Watermark }, reading: Reading) {
  const { snapshotName, bucket, eventSources: sources, since, aws = {} } = args;
  const events = (await eventsSince({ sources, since, aws })).filter(
    ({ kind, message }) => kind === 'snapshot-failed' && message.includes(snapshotName),
  );
  const there = new Set(reading.objects.map(({ key }) => key));
  const missing = reading.keys.filter((key) => !there.has(key));
  return permanent(
    ErrorType.serviceFailed,
    `the export of ${snapshotName} to ${bucket} failed: ${events.at(-1)?.message ?? `${missing.join(', ')} did not appear`}`,
    {
      remedy:
        'mend what the message names (`cutover preflight` looks at the bucket), delete what is there of it, then retry the step',
    },
  );
}

/** The first bytes of every RDB: what else is in the object says nothing. */
async function requireRdb(bucket: string, key: string, aws: AwsTarget): Promise<void> {
  let start: string | undefined;
  try {
    const object = await s3(aws).send(new GetObjectCommand({ Bucket: bucket, Key: key, Range: 'bytes=0-8' }));
    start = await object.Body?.transformToString('latin1');
  } catch (error) {
    throw awsFailure(error, `reading s3://${bucket}/${key}`);
  }
  if (/^(REDIS|VALKEY)/.test(start ?? '')) return;
  throw permanent(ErrorType.serviceFailed, `s3://${bucket}/${key} is no RDB: it begins with other bytes`);
}

async function headObject(
  bucket: string,
  key: string,
  aws: AwsTarget,
): Promise<(Omit<ExportedObject, 'key'> & { modifiedAt: number | undefined }) | undefined> {
  try {
    const head = await s3(aws).send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
    return {
      bytes: head.ContentLength ?? 0,
      ...(head.ETag === undefined ? {} : { etag: head.ETag }),
      modifiedAt: head.LastModified?.getTime(),
    };
  } catch (error) {
    if (awsCode(error) === 'NotFound' || isCode(error, 'NoSuchKey')) return undefined;
    throw awsFailure(error, `HeadObject of s3://${bucket}/${key}`);
  }
}

/**
 * Deletes the objects of this run's export, once nothing is copied any more. Runs as often as it likes. An object of that
 * key that is older than the snapshot is an earlier export's, and is left alone.
 * @returns the keys that were there; in a bucket with versions the older ones stay. `unknown` where the snapshot is gone:
 *   without its time nobody can tell its objects from older ones, and they are left
 */
export async function removeExport(args: ExportArgs): Promise<{ removed: string[]; unknown?: true }> {
  const { bucket, aws = {} } = args;
  const snapshot = await findSnapshot(args);
  if (!snapshot) return { removed: [], unknown: true };
  await waitUntil({
    intervalMs: pollInterval(),
    read: () => snapshotKeys(args),
    done: ({ status }) => status !== 'copying',
    progress: ({ status }) => ({ text: `${args.snapshotName} is ${status}: its copy is waited for, to be removed` }),
  });
  const { objects } = await look(args);
  for (const { key } of objects) {
    try {
      await s3(aws).send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
    } catch (error) {
      throw awsFailure(error, `DeleteObject of s3://${bucket}/${key}`);
    }
  }
  return { removed: objects.map(({ key }) => key) };
}
