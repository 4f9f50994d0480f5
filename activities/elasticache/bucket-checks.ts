/** Checks of a bucket that ElastiCache is to write an export to. */
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { ElastiCacheBackup } from '../../spec/kind-elasticache-backup.ts';
import { elasticache, s3 } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { fail, pass, warn, type Check } from '../preflight/check.ts';
import { bucketRegion } from '../s3/bucket.ts';
import { exportGrants, exportRemedy, isOptIn, principal } from '../s3/bucket-grants.ts';

export interface ExportContext {
  migration: ElastiCacheBackup;
  bucket: string;
}

const location = ({ bucket }: ExportContext) => `aws s3api get-bucket-location --bucket ${bucket}`;
const regionOf = ({ migration: { aws } }: ExportContext) => elasticache(aws).config.region();

const sameRegion: Check<ExportContext> = {
  id: 'X1',
  title: 'the bucket is there, in the group’s region',
  severity: 'fail',
  remedy: () =>
    'ElastiCache exports to a bucket of its own region only: make one there (aws s3 mb), and name it in the file',
  byHand: location,
  run: async (c) => {
    const region = await regionOf(c);
    const found = await bucketRegion({ bucket: c.bucket, aws: c.migration.aws });
    return (found === undefined || found === region ? pass : fail)(
      `${c.bucket} is in ${found ?? region}, the group in ${region}`,
    );
  },
};

const letIn: Check<ExportContext> = {
  id: 'X2',
  title: 'ElastiCache may write to the bucket',
  severity: 'fail',
  remedy: ({ bucket }) => `see docs/elasticache-backups.md: the grants of ${bucket}`,
  byHand: ({ bucket }) => `aws s3api get-bucket-acl --bucket ${bucket}; aws s3api get-bucket-policy --bucket ${bucket}`,
  run: async (c) => {
    const region = await regionOf(c);
    const grants = await exportGrants({ bucket: c.bucket, region, aws: c.migration.aws });
    const remedy = exportRemedy(c.bucket, region, grants);
    if (grants.by === undefined) {
      const off = grants.aclsOff && !isOptIn(region) ? '; its ACLs are switched off' : '';
      return fail(`ElastiCache lacks ${grants.missing.join(', ')} on ${c.bucket}${off}`, remedy);
    }
    if (grants.by === 'acl' && isOptIn(region)) {
      return warn(`let in by ACL; in ${region} ElastiCache goes by the policy for ${principal(region)}`, remedy);
    }
    if (grants.by === 'policy' && !isOptIn(region)) {
      return warn(
        `let in by the policy alone; AWS documents that for opt-in regions, and an ACL for ${region}`,
        remedy,
      );
    }
    return pass(`let in by its ${grants.by}`);
  },
};

const free: Check<ExportContext> = {
  id: 'X3',
  title: 'no older export is in the way',
  severity: 'fail',
  remedy: () =>
    'leave snapshotName out (then each run has a name of its own), give another export.prefix, or move it away',
  byHand: ({ bucket }) => `aws s3 ls --recursive s3://${bucket}/`,
  run: async ({ migration: { snapshotName, export: to, aws }, bucket }) => {
    if (snapshotName === undefined) return pass('each run has a name of its own');
    const start = `${to?.prefix ?? ''}${snapshotName}-`;
    try {
      const answer = await s3(aws).send(new ListObjectsV2Command({ Bucket: bucket, Prefix: start }));
      const found = (answer.Contents ?? []).flatMap(({ Key: key = '' }) =>
        /^\d{4}\.rdb$/.test(key.slice(start.length)) ? [key] : [],
      );
      return found.length === 0 ? pass(`nothing is at ${start}*`) : fail(`there are ${found.join(', ')}`);
    } catch (error) {
      throw awsFailure(error, `ListObjectsV2 of ${bucket}`);
    }
  },
};

export const exportChecks: readonly Check<ExportContext>[] = [sameRegion, letIn, free];
