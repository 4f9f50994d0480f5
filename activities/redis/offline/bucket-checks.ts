/** The bucket that the RDB goes to: where it is, and whether ElastiCache can be let in (facts/redis-aws 3.3). */
import { elasticache } from '../../aws/clients.ts';
import { fail, pass, warn } from '../../preflight/check.ts';
import { bucketEncryption, bucketRegion } from '../../s3/bucket.ts';
import { exportGrants, isOptIn, objectGrants, objectRemedy } from '../../s3/bucket-grants.ts';
import type { OfflineCheck, OfflineContext } from './context.ts';

const regionOf = ({ migration }: OfflineContext) => elasticache(migration.aws).config.region();
const bucketOf = ({ migration: { s3, aws } }: OfflineContext) => ({ bucket: s3.bucket, owner: s3.owner, aws });

const sameRegion: OfflineCheck = {
  id: 'B1',
  title: 'the bucket is there, in the new group’s region',
  severity: 'fail',
  cheap: true,
  remedy: () => 'ElastiCache reads in its own region only: make a bucket there (aws s3 mb), and name it in the file',
  byHand: (c) => `aws s3api get-bucket-location --bucket ${c.migration.s3.bucket}`,
  run: async (c) => {
    const region = await regionOf(c);
    const found = (await bucketRegion(bucketOf(c))) ?? region;
    const { bucket } = c.migration.s3;
    return (found === region ? pass : fail)(`${bucket} is in ${found}, the group will be in ${region}`);
  },
};

const canBeRead: OfflineCheck = {
  id: 'B2',
  title: 'ElastiCache can be let read the RDB',
  severity: 'fail',
  // Else the grant is refused after the upload, with writes held back for nothing.
  cheap: true,
  remedy: () => 'see docs/redis-offline.md: the bucket',
  byHand: ({ migration: { s3 } }) =>
    `aws s3api get-bucket-ownership-controls --bucket ${s3.bucket}; aws s3api get-bucket-policy --bucket ${s3.bucket}`,
  run: async (c) => {
    const { bucket, aws } = bucketOf(c);
    const { s3 } = c.migration;
    const region = await regionOf(c);
    const { aclsOff } = await exportGrants({ bucket, region, aws });
    const policy = objectRemedy(bucket, '*', region);
    // Of an object that is not there the policy alone can tell; that the policy can be read was seen just now.
    const byPolicy = await objectGrants({ bucket, key: `${s3.prefix}none`, region, aws }).then(
      ({ missing }) => missing.length === 0,
      () => false,
    );
    if (byPolicy) return pass('its policy lets ElastiCache in');
    if (isOptIn(region)) {
      return fail(`in ${region} ElastiCache is let in by the bucket's policy, and ${bucket} has none for it`, policy);
    }
    if (!aclsOff) return pass('its ACLs are on: the object gets a grant of its own');
    return fail(
      `the ACLs of ${bucket} are switched off (BucketOwnerEnforced, as of every new bucket): the grant would be refused`,
      `aws s3api put-bucket-ownership-controls --bucket ${bucket} --ownership-controls 'Rules=[{ObjectOwnership=BucketOwnerPreferred}]'`,
    );
  },
};

const notKms: OfflineCheck = {
  id: 'B3',
  title: 'the bucket does not encrypt with KMS by itself',
  severity: 'warn',
  remedy: ({ migration: { s3 } }) => `a bucket with SSE-S3: ElastiCache reads nothing else from ${s3.bucket}`,
  byHand: ({ migration: { s3 } }) => `aws s3api get-bucket-encryption --bucket ${s3.bucket}`,
  run: async (c) => {
    const is = await bucketEncryption(bucketOf(c));
    if (is === undefined || is.startsWith('AES256')) return pass(is ?? 'SSE-S3, which S3 does by default');
    return warn(`${is}: the RDB itself is uploaded with SSE-S3, which a policy of the bucket may refuse`);
  },
};

export const bucketChecks: readonly OfflineCheck[] = [sameRegion, canBeRead, notKms];
