/** Checks of the bucket that an export is written to, and of who writes it. */
import { GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import { ErrorType } from '../../spec/errors.ts';
import { sts, type AwsTarget } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { pass, unknown, unmet, warn, type Check } from '../preflight/check.ts';
import { bucketEncryption, bucketRegion, bucketTarget, bucketVersioning, publicAccessLeftOpen } from '../s3/bucket.ts';

export interface BucketCheckContext {
  bucket: string;
  bucketOwner: string | undefined;
  sse: { algorithm: 'AES256' | 'KMS'; kmsKeyId?: string | undefined } | undefined;
  aws: AwsTarget;
}

type C = BucketCheckContext;
const reach = async ({ bucket, bucketOwner: owner, aws }: C) => ({
  bucket,
  owner,
  aws: await bucketTarget({ bucket, owner, aws }),
});

export const callerIdentity: Check<{ aws: AwsTarget }> = {
  id: 'E1',
  title: 'the worker has credentials',
  severity: 'fail',
  remedy: () => 'check the worker: `aws sts get-caller-identity` must answer there',
  byHand: () => '`aws sts get-caller-identity` on the worker',
  async run({ aws }) {
    try {
      const { Arn, Account } = await sts(aws).send(new GetCallerIdentityCommand({}));
      return pass(`${Arn} of account ${Account}`);
    } catch (error) {
      throw awsFailure(error, 'GetCallerIdentity');
    }
  },
};

export const BUCKET_CHECKS: readonly Check<C>[] = [
  {
    id: 'E2',
    title: 'the bucket is there, and its owner’s is as said',
    severity: 'fail',
    remedy: ({ bucket }) => `make it, or correct the name: aws s3api head-bucket --bucket ${bucket}`,
    byHand: ({ bucket }) => `aws s3api head-bucket --bucket ${bucket}`,
    async run({ bucket, bucketOwner: owner, aws }) {
      try {
        const region = await bucketRegion({ bucket, owner, aws });
        return pass(`${bucket}${region ? ` in ${region}` : ''}${owner ? ` of account ${owner}` : ''}`);
      } catch (error) {
        const { type, message } = error as { type?: string; message: string };
        // A 403 may mean a missing s3:ListBucket alone, which an export does not need: that stays unknown.
        if (type === ErrorType.notFound) return unmet(message);
        throw error;
      }
    },
  },
  {
    id: 'E3',
    title: 'the bucket keeps versions',
    severity: 'warn',
    remedy: ({ bucket }) =>
      `aws s3api put-bucket-versioning --bucket ${bucket} --versioning-configuration Status=Enabled, with a lifecycle rule for old versions`,
    byHand: ({ bucket }) => `aws s3api get-bucket-versioning --bucket ${bucket}`,
    async run(context) {
      const status = await bucketVersioning(await reach(context));
      return status === 'Enabled'
        ? pass('versioning is on')
        : unmet(`versioning is ${status ?? 'off'}: a deleted export is gone`);
    },
  },
  {
    id: 'E4',
    title: 'exports are encrypted in the bucket',
    severity: 'warn',
    remedy: () => 'give `sse` in the file, or set the bucket’s default encryption',
    byHand: ({ bucket }) => `aws s3api get-bucket-encryption --bucket ${bucket}`,
    async run(context) {
      if (context.sse) return pass(`${context.sse.algorithm} ${context.sse.kmsKeyId ?? ''}`.trim());
      const found = await bucketEncryption(await reach(context));
      return found ? pass(`the bucket's default: ${found}`) : unmet('the bucket has no default encryption');
    },
  },
  {
    id: 'E5',
    title: 'the bucket is not open to the public',
    severity: 'warn',
    remedy: ({ bucket }) =>
      `aws s3api put-public-access-block --bucket ${bucket} --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true`,
    byHand: ({ bucket }) => `aws s3api get-public-access-block --bucket ${bucket}`,
    async run(context) {
      const open = await publicAccessLeftOpen(await reach(context));
      if (open === undefined) return warn('the bucket has no public access block of its own; the account may have one');
      return open.length === 0 ? pass('all public access is blocked') : unmet(`not blocked: ${open.join(', ')}`);
    },
  },
  {
    id: 'E6',
    title: 'the worker may write to the bucket',
    severity: 'fail',
    remedy: ({ bucket }) => rights(bucket),
    byHand: ({ bucket }) => rights(bucket),
    // A marker would be written into the backups themselves, and proves nothing of the KMS key that exports use.
    run: async () => unknown('can not be seen from outside; without it each export ends FAILED with S3AccessDenied'),
  },
  {
    id: 'E7',
    title: 'the KMS key may be used',
    severity: 'fail',
    remedy: () => 'allow kms:GenerateDataKey and kms:Decrypt for the worker’s role in the key’s policy',
    byHand: ({ sse }) => `aws kms describe-key --key-id ${sse?.kmsKeyId ?? '<the bucket’s>'}, and its policy`,
    async run(context) {
      const { sse } = context;
      if (sse?.algorithm === 'KMS') return unknown(`not checked: ${sse.kmsKeyId ?? 'the key of aws/s3'}`);
      if (sse) return pass(`${sse.algorithm}: no KMS key is used`);
      const found = await bucketEncryption(await reach(context));
      return found?.startsWith('aws:kms')
        ? unknown(`not checked: the key of the bucket's default, ${found}`)
        : pass("the bucket's default uses no KMS key");
    },
  },
];

function rights(bucket: string): string {
  return `the worker's role needs s3:PutObject, s3:PutObjectAcl, s3:AbortMultipartUpload on arn:aws:s3:::${bucket}/* (exports are written by the identity that asks for them), and s3:GetObject, s3:ListBucket to verify them`;
}
