/** The tag that says whose a DMS resource is. DMS has no client tokens: the tag tells our own half-done call from others. */
import { ListTagsForResourceCommand, type Tag } from '@aws-sdk/client-database-migration-service';
import { ErrorType } from '../../spec/errors.ts';
import { dms, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { regionFlag } from './resources.ts';

export const MIGRATION_TAG = 'cutover:migration';

export const migrationTags = (migrationId: string): Tag[] => [{ Key: MIGRATION_TAG, Value: migrationId }];

/** The migration that a resource belongs to; undefined where it has no such tag, or is gone. */
export async function ownerOf(aws: AwsTarget, arn: string): Promise<string | undefined> {
  try {
    const { TagList } = await dms(aws).send(new ListTagsForResourceCommand({ ResourceArn: arn }));
    return TagList?.find(({ Key }) => Key === MIGRATION_TAG)?.Value;
  } catch (error) {
    if (isCode(error, 'ResourceNotFoundFault')) return undefined;
    throw awsFailure(error, `ListTagsForResource of ${arn}`);
  }
}

/** @throws cutover.NotOurs where the resource does not carry this migration's tag */
export async function requireOurs(aws: AwsTarget, migrationId: string, what: string, arn: string): Promise<void> {
  const owner = await ownerOf(aws, arn);
  if (owner === migrationId) return;
  throw permanent(
    ErrorType.notOurs,
    `${what} is there already and ${owner === undefined ? `has no tag ${MIGRATION_TAG}` : `belongs to the migration ${owner}`}`,
    {
      remedy: `give this migration another id, or if it is its own indeed: aws dms add-tags-to-resource${regionFlag(aws)} --resource-arn ${arn} --tags Key=${MIGRATION_TAG},Value=${migrationId}`,
      facts: { arn },
    },
  );
}
