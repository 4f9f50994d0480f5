/**
 * The tags that say whose a group or snapshot is. ElastiCache has no client tokens, so they are what tells our own
 * half-done call from somebody else's resource, and from what an earlier run of the same file made.
 */
import {
  AddTagsToResourceCommand,
  ListTagsForResourceCommand,
  RemoveTagsFromResourceCommand,
  type Tag,
} from '@aws-sdk/client-elasticache';
import { elasticache, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, howToRetry, isCode } from '../aws/failure.ts';

export const MIGRATION_TAG = 'cutover:migration';
/** Of the run that made it: one file may run every night, and each run's things are its own. */
export const RUN_TAG = 'cutover:run';

/**
 * All tags; undefined where AWS won't tell: a group's tags can only be read while it is `available` ([model],
 * ListTagsForResource), so not while it is migrating.
 * @throws cutover.NotFound, cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function readTags(aws: AwsTarget, arn: string): Promise<Record<string, string> | undefined> {
  try {
    return asRecord((await elasticache(aws).send(new ListTagsForResourceCommand({ ResourceName: arn }))).TagList);
  } catch (error) {
    if (howToRetry(error) === 'busy') return undefined;
    throw awsFailure(error, `ListTagsForResource of ${arn}`);
  }
}

/** Sets our tag. @throws cutover.Busy where the resource is not `available`; else as readTags. */
export async function setMigrationTag(aws: AwsTarget, arn: string, migrationId: string, run?: string): Promise<void> {
  const command = new AddTagsToResourceCommand({ ResourceName: arn, Tags: migrationTags(migrationId, run) });
  try {
    await elasticache(aws).send(command);
  } catch (error) {
    throw awsFailure(error, `AddTagsToResource of ${arn}`);
  }
}

/** Removes our tag; that it or the resource is gone already is fine. @throws as setMigrationTag */
export async function removeMigrationTag(aws: AwsTarget, arn: string): Promise<void> {
  try {
    await elasticache(aws).send(new RemoveTagsFromResourceCommand({ ResourceName: arn, TagKeys: [MIGRATION_TAG] }));
  } catch (error) {
    if (isCode(error, 'TagNotFound') || isCode(error, 'ReplicationGroupNotFound')) return;
    throw awsFailure(error, `RemoveTagsFromResource of ${arn}`);
  }
}

export function migrationTags(migrationId: string, run?: string): Tag[] {
  return [{ Key: MIGRATION_TAG, Value: migrationId }, ...(run === undefined ? [] : [{ Key: RUN_TAG, Value: run }])];
}

/** Undefined where it is this run's; else whose it is, in words. */
export function otherOwner(tags: Record<string, string>, migrationId: string, run: string): string | undefined {
  const owner = tags[MIGRATION_TAG];
  if (owner === undefined) return 'was not made by cutover';
  if (owner !== migrationId) return `is the migration ${owner}'s`;
  if ((tags[RUN_TAG] ?? '') === run) return undefined;
  return `was made by another run of this migration (${tags[RUN_TAG] ?? 'which is not told'})`;
}

function asRecord(tags: Tag[] | undefined): Record<string, string> {
  return Object.fromEntries((tags ?? []).flatMap(({ Key, Value }) => (Key === undefined ? [] : [[Key, Value ?? '']])));
}
