/**
 * Whether ElastiCache may write an export to a bucket, or read an RDB from one, and the exact commands that let it. In
 * the default Regions it is let in by an ACL with its canonical id, in opt-in Regions by the bucket's policy
 * (facts/redis-aws 3.3). New buckets have ACLs switched off, which is why the first of these commands is needed.
 */
import {
  GetBucketAclCommand,
  GetBucketOwnershipControlsCommand,
  GetBucketPolicyCommand,
  GetObjectAclCommand,
  type Grant,
} from '@aws-sdk/client-s3';
import { z } from 'zod';
import { s3, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';

const DEFAULT_ID = '540804c33a284a299d2547575ce1010f2312ef3da9b3a053c8bc45bf233e4353';
const GOVCLOUD_ID = '40fa568277ad703bd160f66ae4f83fc9dfdfd06c2f1b5060ca22442ac3ef8be6';

/** Regions that an account has to switch on: there ElastiCache is known by its service principal. */
const OPT_IN =
  /^(af-south-1|ap-east-[12]|ap-south-2|ap-southeast-[3-9]|ca-west-1|eu-central-2|eu-south-[12]|il-central-1|me-central-1|me-south-1|mx-central-1)$/;

export const isOptIn = (region: string) => OPT_IN.test(region);
export const canonicalId = (region: string) => (region.startsWith('us-gov-') ? GOVCLOUD_ID : DEFAULT_ID);
export const principal = (region: string) => `${region}.elasticache-snapshot.amazonaws.com`;

export interface Grants {
  /** What ElastiCache lacks, of READ, WRITE, READ_ACP; empty where it is let in. */
  missing: string[];
  /** By which of the two ways it is let in. */
  by?: 'acl' | 'policy';
  /** ACLs are switched off (BucketOwnerEnforced): a grant by ACL is refused. */
  aclsOff: boolean;
  /** The owner's canonical id: a new ACL has to name it again, or the owner loses its own bucket. */
  owner?: string;
}

/** By policy it takes the same three, by other names. */
const ACTIONS: Readonly<Record<string, string>> = {
  READ: 's3:ListBucket',
  WRITE: 's3:PutObject',
  READ_ACP: 's3:GetBucketAcl',
};

/** What CopySnapshot needs of the bucket. @throws cutover.NotFound, cutover.Denied, cutover.Unreachable */
export async function exportGrants(args: { bucket: string; region: string; aws?: AwsTarget }): Promise<Grants> {
  const { bucket, region, aws = {} } = args;
  const aclsOff = await hasAclsOff(bucket, aws);
  const acl = await ask(`GetBucketAcl of ${bucket}`, () => s3(aws).send(new GetBucketAclCommand({ Bucket: bucket })));
  const allowed = await policyActions(bucket, region, aws);
  const lacks = (has: (permission: string) => boolean) => Object.keys(ACTIONS).filter((name) => !has(name));
  const byAcl = aclsOff ? Object.keys(ACTIONS) : lacks((name) => granted(acl.Grants, region, name));
  const byPolicy = lacks((name) => covers(allowed, ACTIONS[name]!));
  return {
    missing: byAcl.length <= byPolicy.length ? byAcl : byPolicy,
    ...(byAcl.length === 0 ? { by: 'acl' as const } : byPolicy.length === 0 ? { by: 'policy' as const } : {}),
    aclsOff,
    ...(acl.Owner?.ID ? { owner: acl.Owner.ID } : {}),
  };
}

/** What a restore needs of an object: READ and READ_ACP, or s3:GetObject. @throws as exportGrants */
export async function objectGrants(args: {
  bucket: string;
  key: string;
  region: string;
  aws?: AwsTarget;
}): Promise<{ missing: string[] }> {
  const { bucket, key, region, aws = {} } = args;
  if (covers(await policyActions(bucket, region, aws), 's3:GetObject')) return { missing: [] };
  const acl = await ask(`GetObjectAcl of s3://${bucket}/${key}`, () =>
    s3(aws).send(new GetObjectAclCommand({ Bucket: bucket, Key: key })),
  );
  return { missing: ['READ', 'READ_ACP'].filter((name) => !granted(acl.Grants, region, name)) };
}

/** Commands that let ElastiCache write an export. A new ACL replaces the old one, so it names the owner again. */
export function exportRemedy(bucket: string, region: string, grants: Grants): string {
  if (isOptIn(region)) {
    return `aws s3api put-bucket-policy --bucket ${bucket} --policy '${policy(bucket, region, ['s3:PutObject', 's3:GetObject', 's3:ListBucket', 's3:GetBucketAcl', 's3:ListMultipartUploadParts', 's3:ListBucketMultipartUploads'])}' (add its statement to the policy that is there, if one is)`;
  }
  const id = canonicalId(region);
  const owner = grants.owner ?? '<the canonical id of the owner: aws s3api list-buckets --query Owner.ID>';
  return [
    ...(grants.aclsOff
      ? [
          `aws s3api put-bucket-ownership-controls --bucket ${bucket} --ownership-controls 'Rules=[{ObjectOwnership=BucketOwnerPreferred}]' && `,
        ]
      : []),
    `aws s3api put-bucket-acl --bucket ${bucket} --grant-full-control id=${owner}`,
    ` --grant-read id=${id} --grant-write id=${id} --grant-read-acp id=${id} --grant-write-acp id=${id}`,
    ' (name every other grant that is to stay, too: an ACL is replaced as a whole)',
  ].join('');
}

/** Commands that let ElastiCache read one object. */
export function objectRemedy(bucket: string, key: string, region: string): string {
  if (isOptIn(region)) {
    return `aws s3api put-bucket-policy --bucket ${bucket} --policy '${policy(bucket, region, ['s3:GetObject', 's3:ListBucket', 's3:GetBucketAcl'])}' (add its statement to the policy that is there, if one is)`;
  }
  const id = canonicalId(region);
  return `aws s3api put-object-acl --bucket ${bucket} --key ${key} --grant-full-control id=<the owner's canonical id> --grant-read id=${id} --grant-read-acp id=${id} (ACLs must be on for the bucket: BucketOwnerPreferred)`;
}

function policy(bucket: string, region: string, actions: string[]): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Sid: 'ElastiCacheSnapshots',
        Effect: 'Allow',
        Principal: { Service: principal(region) },
        Action: actions,
        Resource: [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`],
      },
    ],
  });
}

async function hasAclsOff(bucket: string, aws: AwsTarget): Promise<boolean> {
  try {
    const answer = await s3(aws).send(new GetBucketOwnershipControlsCommand({ Bucket: bucket }));
    return answer.OwnershipControls?.Rules?.[0]?.ObjectOwnership === 'BucketOwnerEnforced';
  } catch (error) {
    // A bucket from before April 2023 that nobody touched has none, and ACLs on.
    if (isCode(error, 'OwnershipControlsNotFoundError')) return false;
    throw awsFailure(error, `GetBucketOwnershipControls of ${bucket}`);
  }
}

const strings = z.union([z.string(), z.array(z.string())]).transform((value) => [value].flat());
const statement = z.looseObject({
  Effect: z.string().optional(),
  Principal: z.union([z.string(), z.looseObject({ Service: strings.optional() })]).optional(),
  Action: strings.optional(),
});
const document = z.looseObject({ Statement: z.union([statement, z.array(statement)]).optional() });

/** Actions that the bucket's policy allows to ElastiCache. Its conditions and resources are not judged. */
async function policyActions(bucket: string, region: string, aws: AwsTarget): Promise<string[]> {
  let text: string | undefined;
  try {
    text = (await s3(aws).send(new GetBucketPolicyCommand({ Bucket: bucket }))).Policy;
  } catch (error) {
    if (isCode(error, 'NoSuchBucketPolicy')) return [];
    throw awsFailure(error, `GetBucketPolicy of ${bucket}`);
  }
  const parsed = document.safeParse(JSON.parse(text ?? '{}'));
  return [parsed.data?.Statement ?? []].flat().flatMap(({ Effect, Principal, Action }) => {
    const services = typeof Principal === 'object' ? (Principal.Service ?? []) : [Principal ?? ''];
    return Effect === 'Allow' && services.some((name) => name === principal(region) || name === '*')
      ? (Action ?? [])
      : [];
  });
}

const covers = (actions: string[], action: string) =>
  actions.some((allowed) => allowed === '*' || allowed === 's3:*' || allowed === action);

function granted(grants: Grant[] | undefined, region: string, permission: string): boolean {
  return (grants ?? []).some(
    ({ Grantee, Permission }) =>
      Grantee?.ID === canonicalId(region) && (Permission === permission || Permission === 'FULL_CONTROL'),
  );
}

async function ask<T>(what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw awsFailure(error, what);
  }
}
