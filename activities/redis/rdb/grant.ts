/**
 * Lets ElastiCache read one object: by an ACL with its canonical id, or by what the bucket's policy says already
 * (facts/redis-aws 3.3).
 */
import { GetObjectAclCommand, PutObjectAclCommand, type Grant } from '@aws-sdk/client-s3';
import { ErrorType } from '../../../spec/errors.ts';
import { elasticache, s3 } from '../../aws/clients.ts';
import { awsFailure, isCode } from '../../aws/failure.ts';
import { permanent } from '../../errors.ts';
import { canonicalId, isOptIn, objectGrants, objectRemedy } from '../../s3/bucket-grants.ts';
import { address, nameOf, type Destination } from '../../s3/multipart-state.ts';
import type { RdbObjectArgs } from './args.ts';
import { destination, ownObject } from './ours.ts';

const NEEDED = ['READ', 'READ_ACP'] as const;

/**
 * Safe to run twice. The grants that the object has stay.
 * @returns by which of the two ways ElastiCache is let in now
 * @throws cutover.Denied with the commands that help, where ACLs are switched off or the Region goes by policy alone;
 *   cutover.NotFound, cutover.NotOurs, and the passing ones
 */
export async function grantRdbRead({ to, ours }: RdbObjectArgs): Promise<{ by: 'acl' | 'policy' }> {
  const at = await destination(to, ours);
  const { bucket, key } = at;
  if (!(await ownObject(at, ours))) throw permanent(ErrorType.notFound, `${nameOf(at)} is not there`);
  const region = await elasticache(ours.aws).config.region();
  const asked = { bucket, key, region, aws: at.aws };
  if ((await objectGrants(asked)).missing.length === 0) return { by: await letInBy(at, region) };
  if (isOptIn(region)) {
    throw permanent(ErrorType.denied, `in ${region} ElastiCache is let in by the policy of ${bucket}, which does not`, {
      remedy: objectRemedy(bucket, key, region),
    });
  }
  await addGrants(at, region);
  const { missing } = await objectGrants(asked);
  if (missing.length > 0) {
    throw permanent(ErrorType.serviceFailed, `${nameOf(at)} took the grant, and still lacks ${missing.join(' and ')}`, {
      remedy: objectRemedy(bucket, key, region),
    });
  }
  return { by: 'acl' };
}

/** An ACL is replaced as a whole, so every grantee is named again. */
function grantees(header: string, permission: string, grants: readonly Grant[]): Record<string, string> {
  const names = grants
    .filter(({ Permission }) => Permission === permission)
    .flatMap(({ Grantee }) => (Grantee?.ID ? [`id="${Grantee.ID}"`] : Grantee?.URI ? [`uri="${Grantee.URI}"`] : []));
  return names.length > 0 ? { [header]: names.join(', ') } : {};
}

async function letInBy(at: Destination, region: string): Promise<'acl' | 'policy'> {
  try {
    const { Grants = [] } = await s3(at.aws).send(new GetObjectAclCommand(address(at)));
    return Grants.some(({ Grantee }) => Grantee?.ID === canonicalId(region)) ? 'acl' : 'policy';
  } catch (error) {
    throw awsFailure(error, `GetObjectAcl of ${nameOf(at)}`);
  }
}

async function addGrants(at: Destination, region: string): Promise<void> {
  const id = canonicalId(region);
  try {
    const { Grants = [] } = await s3(at.aws).send(new GetObjectAclCommand(address(at)));
    const ours = NEEDED.map((Permission): Grant => ({ Grantee: { Type: 'CanonicalUser', ID: id }, Permission }));
    const all = [...Grants.filter(({ Grantee }) => Grantee?.ID !== id), ...ours];
    await s3(at.aws).send(
      new PutObjectAclCommand({
        ...address(at),
        ...grantees('GrantFullControl', 'FULL_CONTROL', all),
        ...grantees('GrantRead', 'READ', all),
        ...grantees('GrantReadACP', 'READ_ACP', all),
        ...grantees('GrantWriteACP', 'WRITE_ACP', all),
      }),
    );
  } catch (error) {
    if (isCode(error, 'AccessControlListNotSupported')) {
      throw permanent(
        ErrorType.denied,
        `the ACLs of ${at.bucket} are switched off (BucketOwnerEnforced): ElastiCache can't be let in to ${nameOf(at)}`,
        {
          remedy: `aws s3api put-bucket-ownership-controls --bucket ${at.bucket} --ownership-controls 'Rules=[{ObjectOwnership=BucketOwnerPreferred}]', then retry the step`,
        },
      );
    }
    throw awsFailure(error, `PutObjectAcl of ${nameOf(at)}`);
  }
}
