/** Whether an object is this run's, by what was written on it; and how its bucket is reached. */
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { Context } from '@temporalio/activity';
import type { RdbObject } from '../../../spec/redis-rdb.ts';
import { ErrorType } from '../../../spec/errors.ts';
import { s3 } from '../../aws/clients.ts';
import { isCode } from '../../aws/failure.ts';
import type { Ours } from '../../ec2/tags.ts';
import { permanent } from '../../errors.ts';
import { bucketTarget, headFailure } from '../../s3/bucket.ts';
import { address, nameOf, type Destination } from '../../s3/multipart-state.ts';
import { bare } from '../../s3/objects.ts';

/** Of the object. S3 keeps them in lower case. */
export const METADATA = { migration: 'cutover-migration', run: 'cutover-run' } as const;

export const metadataOf = ({ migrationId, run }: Ours): Record<string, string> => ({
  [METADATA.migration]: migrationId,
  [METADATA.run]: run,
});

/** @throws cutover.NotFound, cutover.Denied and the passing ones */
export async function destination(to: RdbObject, ours: Ours): Promise<Destination> {
  const { bucket, key, owner } = to;
  const aws = await bucketTarget({ bucket, owner, aws: ours.aws ?? {} });
  return { bucket, key, owner, aws, signal: Context.current().cancellationSignal };
}

export interface Existing {
  bytes: number;
  etag: string;
  parts: number;
}

/**
 * What is under the key; undefined where nothing is.
 * @throws cutover.NotOurs where it is not of this run: it is neither written over nor deleted
 */
export async function ownObject(to: Destination, ours: Ours): Promise<Existing | undefined> {
  const found = await lookAt(to);
  if (!found) return undefined;
  const { Metadata: metadata = {}, ETag, ContentLength: bytes = 0 } = found;
  if (metadata[METADATA.migration] !== ours.migrationId || metadata[METADATA.run] !== ours.run) {
    throw permanent(ErrorType.notOurs, `${nameOf(to)} is there, and was not made by this run of ${ours.migrationId}`, {
      remedy: 'move it away, or give another s3.prefix in the file',
    });
  }
  const etag = bare(ETag);
  return { bytes, etag, parts: Number(/-(\d+)$/.exec(etag)?.[1] ?? 1) };
}

async function lookAt(to: Destination) {
  try {
    return await s3(to.aws).send(new HeadObjectCommand(address(to)), to.signal ? { abortSignal: to.signal } : {});
  } catch (error) {
    if (isCode(error, 'NotFound') || isCode(error, 'NoSuchKey')) return undefined;
    throw headFailure(error, `HeadObject of ${nameOf(to)}`);
  }
}
