/**
 * The three calls of an online migration. None has a client token, each is guarded by the group's state alone, so each
 * says here what an answer proves (facts/redis-aws 3.2).
 */
import { StartMigrationCommand, TestMigrationCommand, type ReplicationGroup } from '@aws-sdk/client-elasticache';
import { ErrorType } from '../../spec/errors.ts';
import { elasticache } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { keep, kept } from '../aws/kept.ts';
import { transient } from '../errors.ts';
import { claimGroup, notOurs, type GroupOfMigration } from './claim.ts';
import { groupStatus, regionFlag, type Address } from './replication-group.ts';
import { MIGRATION_TAG, readTags } from './tags.ts';

/** A customer's node as the target reaches it. AWS takes exactly one, for every cluster mode. */
interface FromSource extends GroupOfMigration {
  source: Address;
}

const endpoints = ({ host, port }: Address) => [{ Address: host, Port: port }];

/**
 * Asks AWS to try whether a migration could work. The result comes as an event alone, see await-status.ts.
 * @returns `under-way` where the group is busy with a test or a migration already: after a crash, our own test.
 * @throws cutover.Busy, cutover.Invalid, cutover.NotFound, cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function testMigration(args: FromSource): Promise<{ answer: 'started' | 'under-way' }> {
  const { id, source, aws = {} } = args;
  try {
    const answer = await elasticache(aws).send(
      new TestMigrationCommand({ ReplicationGroupId: id, CustomerNodeEndpointList: endpoints(source) }),
    );
    requireAnswer(answer.ReplicationGroup, `TestMigration of ${id}`);
    return { answer: 'started' };
  } catch (error) {
    if (isCode(error, 'ReplicationGroupAlreadyUnderMigration')) return { answer: 'under-way' };
    throw awsFailure(error, `TestMigration of ${id} from ${source.host}:${source.port}`);
  }
}

export interface StartArgs extends FromSource {
  /** True where `claimGroup` is known to have ended well for this migration: the tag then needs no second reading. */
  claimed?: boolean;
  /**
   * A proof from elsewhere that a migration under way is ours, such as our target in the source's list of replicas.
   * Asked only where AWS does not tell the tags.
   */
  isOurs?: () => Promise<boolean>;
}

/**
 * Attaches the group to the source, or adopts our own earlier start. Every key that the group has is lost.
 * @throws cutover.NotOurs (a migration that is not this one's), cutover.Busy (a state that will pass); as testMigration
 */
export async function startMigration(args: StartArgs): Promise<{ answer: 'started' | 'adopted'; status: string }> {
  const { id, source, aws = {} } = args;
  const claimed = args.claimed === true || kept<{ claimed: string }>().claimed === id;
  const { status, arn } = await groupStatus({ id, aws });
  if (status === 'migrating') return await adopt({ ...args, claimed }, arn, status);
  if (status !== 'available') {
    // After a crash this may be our own start on its way; it becomes `migrating` and is adopted then.
    throw transient(ErrorType.busy, `StartMigration of ${id}: the group is ${status}, not available`, {
      afterMs: 5_000,
      benign: true,
    });
  }
  if (!claimed) await claimGroup(args);
  keep({ claimed: id });
  try {
    const answer = await elasticache(aws).send(
      new StartMigrationCommand({ ReplicationGroupId: id, CustomerNodeEndpointList: endpoints(source) }),
    );
    const group = requireAnswer(answer.ReplicationGroup, `StartMigration of ${id}`);
    return { answer: 'started', status: group.Status ?? '' };
  } catch (error) {
    // Describe may lag behind, and the SDK may have sent it twice: either way the claim of a moment ago says it is ours.
    if (isCode(error, 'ReplicationGroupAlreadyUnderMigration')) {
      return await adopt({ ...args, claimed: true }, arn, 'migrating');
    }
    throw awsFailure(error, `StartMigration of ${id} from ${source.host}:${source.port}`);
  }
}

async function adopt(args: StartArgs, arn: string, status: string): Promise<{ answer: 'adopted'; status: string }> {
  const { id, migrationId, aws = {} } = args;
  const owner = (await readTags(aws, arn))?.[MIGRATION_TAG];
  // A readable tag decides. Where AWS tells none while it is migrating, our claim does: it was made while the group was
  // available and free, and no other migration of ours starts one without a claim.
  const ours = owner === undefined ? args.claimed === true || (await args.isOurs?.()) === true : owner === migrationId;
  if (ours) return { answer: 'adopted', status };
  const whose =
    owner === undefined ? 'and nothing shows that this migration began it' : `begun by the migration ${owner}`;
  throw notOurs(args, `is under migration already, ${whose}`, [
    'let it end, or stop it (the group keeps the partial data):',
    `aws elasticache complete-migration${regionFlag(aws)} --replication-group-id ${id} --force`,
  ]);
}

/** The SDK makes an empty answer of a 200 that is not the service's, without an error (facts 5.1). */
function requireAnswer(group: ReplicationGroup | undefined, what: string): ReplicationGroup {
  if (group?.ReplicationGroupId) return group;
  throw transient(ErrorType.unreachable, `${what}: the answer is not ElastiCache's`, {
    remedy: 'does something between the worker and AWS (a proxy, a wrong endpoint) answer in its place?',
  });
}
