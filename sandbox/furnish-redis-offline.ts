/** What examples/redis-offline.yaml needs: a bucket that ElastiCache can be let read from, made by the ordinary AWS SDK. */
import {
  CreateBucketCommand,
  PutBucketEncryptionCommand,
  PutBucketOwnershipControlsCommand,
  S3Client,
  type BucketLocationConstraint,
} from '@aws-sdk/client-s3';
import { clientSettings, unlessThere } from './make-once.ts';

/** The bucket that the example names. */
export const MIGRATIONS_BUCKET = 'shop-migrations';

/** What is there already stays. @throws Error of the SDK */
export async function furnishRedisOffline(aws: { url: string; region: string }): Promise<void> {
  const s3 = new S3Client({ ...clientSettings(aws), forcePathStyle: true });
  try {
    const elsewhere =
      aws.region === 'us-east-1'
        ? {}
        : { CreateBucketConfiguration: { LocationConstraint: aws.region as BucketLocationConstraint } };
    await unlessThere('BucketAlreadyOwnedByYou', () =>
      s3.send(new CreateBucketCommand({ Bucket: MIGRATIONS_BUCKET, ...elsewhere })),
    );
    // A new bucket on AWS has its ACLs off, and SSE-S3; moto's has neither.
    await s3.send(
      new PutBucketOwnershipControlsCommand({
        Bucket: MIGRATIONS_BUCKET,
        OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerPreferred' }] },
      }),
    );
    await s3.send(
      new PutBucketEncryptionCommand({
        Bucket: MIGRATIONS_BUCKET,
        ServerSideEncryptionConfiguration: {
          Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
        },
      }),
    );
  } finally {
    s3.destroy();
  }
}
