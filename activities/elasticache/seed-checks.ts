/** Checks of RDB files in S3 that ElastiCache is to restore from. */
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { elasticache, s3 } from '../aws/clients.ts';
import { awsCode, awsFailure } from '../aws/failure.ts';
import { fail, pass } from '../preflight/check.ts';
import { bucketRegion } from '../s3/bucket.ts';
import { objectGrants, objectRemedy } from '../s3/bucket-grants.ts';
import type { RestoreCheck } from './restore-checks.ts';

/** One for each file. */
export function seedChecks(arns: string[]): RestoreCheck[] {
  return arns.map((arn, index): RestoreCheck => {
    const [bucket = '', ...rest] = arn.replace(/^arn:aws[a-z-]*:s3:::/, '').split('/');
    const key = rest.join('/');
    return {
      id: `E8.${index + 1}`,
      title: `ElastiCache can read ${arn}`,
      severity: 'fail',
      remedy: () => 'see docs/elasticache-backups.md: RDB files in S3',
      byHand: () =>
        `aws s3api head-object --bucket ${bucket} --key ${key}; aws s3api get-object-acl --bucket ${bucket} --key ${key}`,
      run: async ({ migration: { aws } }) => {
        const region = await elasticache(aws).config.region();
        const found = await bucketRegion({ bucket, aws });
        if (found !== undefined && found !== region) {
          return fail(
            `${bucket} is in ${found}: ElastiCache reads in its own region, ${region}, only`,
            `copy it: aws s3 cp s3://${bucket}/${key} s3://<bucket in ${region}>/${key}`,
          );
        }
        try {
          const head = await s3(aws).send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
          if (head.ServerSideEncryption?.startsWith('aws:kms')) {
            return fail(
              'it is encrypted with KMS; ElastiCache reads SSE-S3 only',
              `aws s3 cp s3://${bucket}/${key} s3://${bucket}/${key} --sse AES256`,
            );
          }
        } catch (error) {
          if (awsCode(error) === 'NotFound')
            return fail(`there is no s3://${bucket}/${key}`, `aws s3 ls s3://${bucket}/`);
          throw awsFailure(error, `HeadObject of s3://${bucket}/${key}`);
        }
        const { missing } = await objectGrants({ bucket, key, region, aws });
        if (missing.length === 0) return pass('it is there, and ElastiCache may read it');
        return fail(`ElastiCache lacks ${missing.join(' and ')} on it`, objectRemedy(bucket, key, region));
      },
    };
  });
}
