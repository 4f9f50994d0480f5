/** Objects of a bucket: read, looked at, listed, deleted. */
import type { Readable } from 'node:stream';
import { DeleteObjectsCommand, GetObjectCommand, HeadObjectCommand, paginateListObjectsV2 } from '@aws-sdk/client-s3';
import { ErrorType } from '../../spec/errors.ts';
import { s3, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent, transient } from '../errors.ts';
import { headFailure } from './bucket.ts';

/** A bucket as it is reached: bucketTarget's Region, the account that it must belong to. */
export interface Bucket {
  bucket: string;
  owner?: string | undefined;
  aws: AwsTarget;
  signal?: AbortSignal | undefined;
}

/** What is read whole: manifests. 256 MiB of manifest-files.json name about a million data files. */
const WHOLE_LIMIT = 256 * 1024 * 1024;

const of = ({ bucket, owner }: Bucket, key: string) => ({
  Bucket: bucket,
  Key: key,
  ...(owner ? { ExpectedBucketOwner: owner } : {}),
});
const sending = ({ signal }: Bucket) => (signal ? { abortSignal: signal } : {});

/** undefined where there is no such object. @throws cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function head(from: Bucket, key: string): Promise<{ etag: string; bytes: number } | undefined> {
  try {
    const answer = await s3(from.aws).send(new HeadObjectCommand(of(from, key)), sending(from));
    return { etag: bare(answer.ETag), bytes: answer.ContentLength ?? 0 };
  } catch (error) {
    // HEAD has no body, so the SDK knows a missing object by its status alone.
    if (isCode(error, 'NotFound') || isCode(error, 'NoSuchKey')) return undefined;
    throw headFailure(error, `HeadObject s3://${from.bucket}/${key}`);
  }
}

/** An ETag without its quotes. */
export function bare(etag: string | undefined): string {
  return (etag ?? '').replaceAll('"', '');
}

/** A whole small object; undefined where there is none. @throws as head; cutover.Invalid where it is larger than 256 MiB */
export async function readWhole(from: Bucket, key: string): Promise<Buffer | undefined> {
  const found = await open(from, key);
  if (!found) return undefined;
  if (found.bytes > WHOLE_LIMIT) {
    found.body.destroy();
    throw permanent(ErrorType.invalid, `s3://${from.bucket}/${key} has ${found.bytes} bytes: too many for a manifest`);
  }
  const parts: Buffer[] = [];
  try {
    for await (const part of found.body) parts.push(part as Buffer);
  } catch (error) {
    throw awsFailure(error, `reading s3://${from.bucket}/${key}`);
  }
  return Buffer.concat(parts);
}

/** An object as a stream; undefined where there is none. The caller reads it to its end or destroys it. @throws as head */
export async function open(from: Bucket, key: string): Promise<{ body: Readable; bytes: number } | undefined> {
  try {
    const answer = await s3(from.aws).send(new GetObjectCommand(of(from, key)), sending(from));
    // On Node the SDK's body is a Readable.
    return { body: answer.Body as Readable, bytes: answer.ContentLength ?? 0 };
  } catch (error) {
    if (isCode(error, 'NoSuchKey') || isCode(error, 'NotFound')) return undefined;
    throw awsFailure(error, `GetObject s3://${from.bucket}/${key}`);
  }
}

/** Every key below a prefix, in S3's order. @throws cutover.NotFound, cutover.Denied and the passing ones */
export async function listKeys(from: Bucket, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  const { bucket, owner } = from;
  try {
    const pages = paginateListObjectsV2(
      { client: s3(from.aws) },
      { Bucket: bucket, Prefix: prefix, ...(owner ? { ExpectedBucketOwner: owner } : {}) },
    );
    for await (const page of pages) for (const { Key } of page.Contents ?? []) if (Key) keys.push(Key);
  } catch (error) {
    throw awsFailure(error, `ListObjectsV2 s3://${bucket}/${prefix}`);
  }
  return keys;
}

/** Of a single object within an answer, where the SDK does not see it and does not try again. */
const PASSING = ['SlowDown', 'InternalError', 'ServiceUnavailable'];

/** Deletes these objects; those that are gone already are fine. @throws cutover.Denied naming the first that was refused */
export async function deleteKeys(from: Bucket, keys: readonly string[]): Promise<void> {
  const { bucket, owner } = from;
  for (let first = 0; first < keys.length; first += 1_000) {
    const batch = keys.slice(first, first + 1_000);
    const answer = await s3(from.aws)
      .send(
        new DeleteObjectsCommand({
          Bucket: bucket,
          Delete: { Objects: batch.map((Key) => ({ Key })), Quiet: true },
          ...(owner ? { ExpectedBucketOwner: owner } : {}),
        }),
        sending(from),
      )
      .catch((error: unknown) => {
        throw awsFailure(error, `DeleteObjects of s3://${bucket}/${batch[0]} and ${batch.length - 1} more`);
      });
    const refused = answer.Errors?.[0];
    if (refused && PASSING.includes(refused.Code ?? '')) {
      throw transient(ErrorType.throttled, `s3://${bucket}/${refused.Key} can't be deleted now: ${refused.Code}`);
    }
    if (refused) {
      throw permanent(
        ErrorType.denied,
        `s3://${bucket}/${refused.Key} can't be deleted: ${refused.Code}: ${refused.Message}`,
        { remedy: 'give the worker s3:DeleteObject there (an Object Lock has to run out by itself), then retry' },
      );
    }
  }
}
