import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
  paginateListObjectsV2,
} from '@aws-sdk/client-s3';
import type { S3Client, ServerSideEncryption } from '@aws-sdk/client-s3';

/** How the objects of an export are encrypted. */
export interface Encryption {
  ServerSideEncryption: ServerSideEncryption;
  SSEKMSKeyId?: string;
}

export async function putObject(
  s3: S3Client,
  bucket: string,
  key: string,
  body: Buffer | string,
  encryption?: Encryption,
): Promise<void> {
  await s3.send(
    // Of an empty text the SDK would not know the length.
    new PutObjectCommand({
      Bucket: bucket,
      Key: key,
      Body: body,
      ContentLength: Buffer.byteLength(body),
      ...encryption,
    }),
  );
}

/**
 * In one part of a multipart upload, as DynamoDB writes its data files: so the ETag is no MD5 of the bytes.
 * @returns the ETag without its quotes, `…-1`.
 */
export async function uploadObject(
  s3: S3Client,
  bucket: string,
  key: string,
  body: Buffer,
  encryption: Encryption,
): Promise<string> {
  const at = { Bucket: bucket, Key: key };
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ ...at, ...encryption }));
  try {
    const part = await s3.send(new UploadPartCommand({ ...at, UploadId, PartNumber: 1, Body: body }));
    const done = await s3.send(
      new CompleteMultipartUploadCommand({
        ...at,
        UploadId,
        MultipartUpload: { Parts: [{ PartNumber: 1, ETag: part.ETag }] },
      }),
    );
    return (done.ETag ?? '').replaceAll('"', '');
  } catch (error) {
    await s3.send(new AbortMultipartUploadCommand({ ...at, UploadId })).catch(() => undefined);
    throw error;
  }
}

export async function getObject(s3: S3Client, bucket: string, key: string): Promise<Buffer> {
  const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  return Buffer.from((await object.Body?.transformToByteArray()) ?? new Uint8Array());
}

export async function deleteObject(s3: S3Client, bucket: string, key: string): Promise<void> {
  await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
}

/** Keys under a prefix, in S3's order. */
export async function listKeys(s3: S3Client, bucket: string, prefix: string | undefined): Promise<string[]> {
  const keys: string[] = [];
  const input = { Bucket: bucket, ...(prefix === undefined ? {} : { Prefix: prefix }) };
  for await (const page of paginateListObjectsV2({ client: s3 }, input)) {
    for (const { Key } of page.Contents ?? []) if (Key !== undefined) keys.push(Key);
  }
  return keys;
}

/** DynamoDB's FailureCode and FailureMessage for what S3 has refused. */
export function s3Failure(error: unknown): { code: string; message: string } {
  const name = error instanceof Error ? error.name : '';
  const text = error instanceof Error ? error.message : String(error);
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
  if (status === undefined) return { code: 'InternalFailure', message: text };
  return {
    code: name.startsWith('S3') ? name : `S3${name}`,
    message: `${text} (Service: Amazon S3; Status Code: ${status}; Error Code: ${name})`,
  };
}
