/** Multipart uploads as S3 knows them: begun, found again, listed, ended. */
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type CreateMultipartUploadCommandInput,
} from '@aws-sdk/client-s3';
import { ErrorType } from '../../spec/errors.ts';
import { s3 } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { bare, type Bucket } from './objects.ts';

export const MIB = 1024 * 1024;

/** S3's limits. */
export const MOST_PARTS = 10_000;
const LEAST_PART = 5 * MIB;
const LARGEST_PART = 5 * 1024 * MIB;

/** An object and the bucket as it is reached. */
export interface Destination extends Bucket {
  key: string;
}

export interface StoredPart {
  etag: string;
  bytes: number;
}

export const address = ({ bucket, key, owner }: Destination) => ({
  Bucket: bucket,
  Key: key,
  ...(owner ? { ExpectedBucketOwner: owner } : {}),
});

/** The same for the SDK's own options. */
export const sending = ({ signal }: Bucket) => (signal ? { abortSignal: signal } : {});

/**
 * The size of the parts, in bytes: whole MiB, `least` if that is enough for S3's 10,000 parts.
 * @throws cutover.Invalid where it takes more than S3 allows (48 TiB)
 */
export function partBytesFor(bytes: number, least: number): number {
  const needed = Math.ceil(bytes / MOST_PARTS / MIB) * MIB;
  const size = Math.max(needed, least, LEAST_PART);
  if (size > LARGEST_PART) throw permanent(ErrorType.invalid, `${bytes} bytes are more than S3 takes in one object`);
  return size;
}

/** @returns its id. @throws cutover.NotFound, cutover.Denied and the passing ones */
export async function beginMultipart(
  to: Destination,
  more: Pick<CreateMultipartUploadCommandInput, 'ChecksumAlgorithm' | 'Metadata' | 'ContentType'>,
): Promise<string> {
  try {
    const answer = await s3(to.aws).send(
      new CreateMultipartUploadCommand({
        ...address(to),
        // SSE-S3: with a bucket's KMS key ElastiCache can't read it, and an ETag would be no MD5 (facts 3.3).
        ServerSideEncryption: 'AES256',
        // In another account's bucket its owner could not read it else. Allowed with ACLs switched off, too.
        ACL: 'bucket-owner-full-control',
        ...more,
      }),
      sending(to),
    );
    if (!answer.UploadId) throw new Error('the answer has no UploadId');
    return answer.UploadId;
  } catch (error) {
    throw awsFailure(error, `CreateMultipartUpload of ${nameOf(to)}`);
  }
}

/** Uploads under exactly this key, newest first. @throws as beginMultipart */
export async function openMultiparts(to: Destination): Promise<string[]> {
  const found: { id: string; at: number }[] = [];
  let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
  const { Bucket: bucket, Key: key, ...owner } = address(to);
  try {
    while (marker) {
      const answer: Awaited<ReturnType<typeof list>> = await list(marker);
      for (const { Key, UploadId, Initiated } of answer.Uploads ?? []) {
        if (Key === key && UploadId) found.push({ id: UploadId, at: Initiated?.getTime() ?? 0 });
      }
      marker =
        answer.IsTruncated && answer.NextKeyMarker
          ? {
              KeyMarker: answer.NextKeyMarker,
              ...(answer.NextUploadIdMarker ? { UploadIdMarker: answer.NextUploadIdMarker } : {}),
            }
          : undefined;
    }
  } catch (error) {
    throw awsFailure(error, `ListMultipartUploads of s3://${bucket}/${key}`);
  }
  return found.sort((a, b) => b.at - a.at).map(({ id }) => id);

  function list(from: { KeyMarker?: string; UploadIdMarker?: string }) {
    return s3(to.aws).send(
      new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: key, ...owner, ...from }),
      sending(to),
    );
  }
}

/** What S3 has of it, by number; undefined where there is no such upload (any more). @throws as beginMultipart */
export async function storedParts(to: Destination, uploadId: string): Promise<Map<number, StoredPart> | undefined> {
  const parts = new Map<number, StoredPart>();
  const asked = { ...address(to), UploadId: uploadId };
  try {
    // Not by the SDK's paginator: S3 names a next marker on the last page too, and it would go round and round.
    for (let marker: string | undefined, more = true; more;) {
      const page = await s3(to.aws).send(
        new ListPartsCommand({ ...asked, ...(marker === undefined ? {} : { PartNumberMarker: marker }) }),
        sending(to),
      );
      for (const { PartNumber, ETag, Size } of page.Parts ?? []) {
        if (PartNumber) parts.set(PartNumber, { etag: bare(ETag), bytes: Size ?? 0 });
      }
      more = page.IsTruncated === true && page.NextPartNumberMarker !== undefined;
      marker = page.NextPartNumberMarker;
    }
    return parts;
  } catch (error) {
    if (isCode(error, 'NoSuchUpload')) return undefined;
    throw awsFailure(error, `ListParts of ${nameOf(to)}`);
  }
}

/** One that is gone already is fine. @throws as beginMultipart */
export async function abortMultipart(to: Destination, uploadId: string): Promise<void> {
  try {
    // Not by the caller's signal: it is what is done when that has gone off.
    await s3(to.aws).send(new AbortMultipartUploadCommand({ ...address(to), UploadId: uploadId }));
  } catch (error) {
    if (isCode(error, 'NoSuchUpload')) return;
    throw awsFailure(error, `AbortMultipartUpload of ${nameOf(to)}`);
  }
}

export function nameOf({ bucket, key }: Pick<Destination, 'bucket' | 'key'>): string {
  return `s3://${bucket}/${key}`;
}
