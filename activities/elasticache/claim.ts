/** Claims a replication group for one migration, by its tag, before anything is done to it. */
import { ErrorType } from '../../spec/errors.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { permanent, transient } from '../errors.ts';
import { groupStatus, regionFlag } from './replication-group.ts';
import { MIGRATION_TAG, readTags, removeMigrationTag, setMigrationTag } from './tags.ts';

export interface GroupOfMigration {
  /** The replication group. */
  id: string;
  migrationId: string;
  aws?: AwsTarget;
}

/**
 * Tags the group as this migration's; a group that is already is left alone. Safe to run twice.
 * That this was done is worth keeping in the workflow: once the group is migrating AWS does not tell its tags any more.
 * @throws cutover.NotOurs (another migration's), cutover.Busy (not `available`), cutover.NotFound, cutover.Denied
 */
export async function claimGroup(args: GroupOfMigration): Promise<{ arn: string }> {
  const { id, migrationId, aws = {} } = args;
  const { arn, status } = await groupStatus({ id, aws });
  const before = await readTags(aws, arn);
  if (before === undefined) {
    throw transient(
      ErrorType.busy,
      `replication group ${id} is ${status}: its tags can't be read before it is available`,
      {
        afterMs: 10_000,
        benign: true,
      },
    );
  }
  requireFree(args, arn, before[MIGRATION_TAG]);
  if (before[MIGRATION_TAG] === migrationId) return { arn };
  await setMigrationTag(aws, arn, migrationId);
  // Two migrations may have found it free at the same time; the tag that stays decides.
  const after = await readTags(aws, arn);
  if (after) requireFree(args, arn, after[MIGRATION_TAG]);
  return { arn };
}

/** Takes the claim back, for undo and end; nothing happens where it is not (or no longer) ours. Safe to run twice. */
export async function untag(args: GroupOfMigration): Promise<void> {
  const { id, migrationId, aws = {} } = args;
  const { arn, status } = await groupStatus({ id, aws });
  const tags = await readTags(aws, arn);
  if (tags === undefined) {
    throw transient(ErrorType.busy, `replication group ${id} is ${status}: its tag is removed once it is available`, {
      afterMs: 10_000,
      benign: true,
    });
  }
  if (tags[MIGRATION_TAG] === migrationId) await removeMigrationTag(aws, arn);
}

function requireFree(args: GroupOfMigration, arn: string, owner: string | undefined): void {
  if (owner === undefined || owner === args.migrationId) return;
  throw notOurs(args, `belongs to the migration ${owner} (its tag ${MIGRATION_TAG})`, [
    `if that migration is over: aws elasticache remove-tags-from-resource${regionFlag(args.aws ?? {})}`,
    `--resource-name ${arn} --tag-keys ${MIGRATION_TAG}`,
  ]);
}

export function notOurs(args: GroupOfMigration, why: string, remedy: string[]): Error {
  return permanent(ErrorType.notOurs, `replication group ${args.id} ${why}`, {
    remedy: remedy.join(' '),
    facts: { replicationGroup: args.id },
  });
}
