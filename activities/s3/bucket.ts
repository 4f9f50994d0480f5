/** Where a bucket is and how it is set up. */
import {
  GetBucketEncryptionCommand,
  GetBucketVersioningCommand,
  GetPublicAccessBlockCommand,
  HeadBucketCommand,
} from '@aws-sdk/client-s3';
import { ErrorType } from '../../spec/errors.ts';
import { s3, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';

export interface BucketArgs {
  bucket: string;
  /** The account that it has to belong to; S3 refuses another's. */
  owner?: string | undefined;
  aws?: AwsTarget | undefined;
}

/** Headers of the answer in which S3 says that a bucket is elsewhere. */
interface Redirect {
  $response?: { headers?: Record<string, string> };
}

/**
 * The bucket's Region. An export may go to another Region than the table's, and a client of the wrong Region is only
 * redirected.
 * @throws cutover.NotFound, cutover.Denied (also where it is not `owner`'s), cutover.Throttled, cutover.Unreachable
 */
export async function bucketRegion({ bucket, owner, aws = {} }: BucketArgs): Promise<string | undefined> {
  try {
    const answer = await s3(aws).send(
      new HeadBucketCommand({ Bucket: bucket, ...(owner ? { ExpectedBucketOwner: owner } : {}) }),
    );
    return answer.BucketRegion ?? aws.region;
  } catch (error) {
    const elsewhere = (error as Redirect).$response?.headers?.['x-amz-bucket-region'];
    if (elsewhere) return elsewhere;
    throw headFailure(error, `HeadBucket ${bucket}`);
  }
}

/**
 * The failure for an answer to HEAD. It has no body, so the SDK knows of it nothing but the status: a 404 is taken for a
 * proxy's, and retried for ever.
 */
export function headFailure(error: unknown, what: string): Error {
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
  if (status === 404) return permanent(ErrorType.notFound, `${what}: there is none of this name`);
  if (status === 403) {
    return permanent(ErrorType.denied, `${what}: S3 refuses it (403)`, {
      remedy: "is it this account's (bucketOwner), and may the worker's role s3:ListBucket and s3:GetObject?",
    });
  }
  return awsFailure(error, what);
}

/** A target whose clients reach the bucket itself. @throws as bucketRegion */
export async function bucketTarget(args: BucketArgs): Promise<AwsTarget> {
  return { ...args.aws, region: await bucketRegion(args) };
}

/** `Enabled`, `Suspended`, or undefined: never switched on. @throws cutover.Denied and the passing ones */
export async function bucketVersioning({ bucket, aws = {} }: BucketArgs): Promise<string | undefined> {
  try {
    return (await s3(aws).send(new GetBucketVersioningCommand({ Bucket: bucket }))).Status;
  } catch (error) {
    throw awsFailure(error, `GetBucketVersioning of ${bucket}`);
  }
}

/** The default encryption: `AES256`, `aws:kms alias/…`; undefined where none is set. @throws as bucketVersioning */
export async function bucketEncryption({ bucket, aws = {} }: BucketArgs): Promise<string | undefined> {
  try {
    const answer = await s3(aws).send(new GetBucketEncryptionCommand({ Bucket: bucket }));
    const rule = answer.ServerSideEncryptionConfiguration?.Rules?.[0]?.ApplyServerSideEncryptionByDefault;
    return rule && [rule.SSEAlgorithm, rule.KMSMasterKeyID].filter(Boolean).join(' ');
  } catch (error) {
    if (isCode(error, 'ServerSideEncryptionConfigurationNotFoundError')) return undefined;
    throw awsFailure(error, `GetBucketEncryption of ${bucket}`);
  }
}

/** The switches of the public access block that are off; undefined where the bucket has none at all. @throws as above */
export async function publicAccessLeftOpen({ bucket, aws = {} }: BucketArgs): Promise<string[] | undefined> {
  try {
    const block = (await s3(aws).send(new GetPublicAccessBlockCommand({ Bucket: bucket })))
      .PublicAccessBlockConfiguration;
    return (['BlockPublicAcls', 'IgnorePublicAcls', 'BlockPublicPolicy', 'RestrictPublicBuckets'] as const).filter(
      (name) => block?.[name] !== true,
    );
  } catch (error) {
    if (isCode(error, 'NoSuchPublicAccessBlockConfiguration')) return undefined;
    throw awsFailure(error, `GetPublicAccessBlock of ${bucket}`);
  }
}
