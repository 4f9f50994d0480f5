/** The replication instance: one that is there, or one of our own. */
import { CreateReplicationInstanceCommand, type ReplicationInstance } from '@aws-sdk/client-database-migration-service';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { dms } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { awaitDms } from './await-dms.ts';
import { findInstance } from './describe.ts';
import { dmsNames, regionFlag } from './resources.ts';
import { instanceStatus } from './status-table.ts';
import { ensureSubnetGroup, requireOurSubnetGroup } from './subnet-group.ts';
import { migrationTags, requireOurs } from './tags.ts';

type MadeInstance = Exclude<Postgres['replication']['instance'], { existing: string }>;

/** An instance takes 5 to 20 minutes; ms. */
const CREATED_WITHIN_MS = 3_600_000;

/**
 * Waits until the file's instance is available; makes it (and its subnet group) where it is not one that exists already.
 * Safe to run twice: its name comes from the migration's id, its owner from the tag.
 * @returns `made`: false for one that exists and stays
 * @throws cutover.NotFound (an existing one that is not there), cutover.NotOurs, cutover.ServiceFailed (a failure state),
 *   cutover.Deadline, cutover.Invalid, cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function ensureDmsInstance(args: {
  migration: Postgres;
}): Promise<{ instanceArn: string; made: boolean }> {
  const { migration } = args;
  const { aws, instance } = migration.replication;
  if ('existing' in instance) {
    const arn = await available(migration, instance.existing.toLowerCase(), false);
    return { instanceArn: arn, made: false };
  }
  const id = dmsNames(migration.id).instance;
  const before = await findInstance(aws, id);
  const subnetGroup = instance.subnetIds
    ? await ensureSubnetGroup(migration, instance.subnetIds)
    : instance.subnetGroup;
  // Tags can only be asked for by an ARN: an adopted instance's is looked at here, a new one's is ours.
  if (before)
    await requireOurs(aws, migration.id, `the replication instance ${id}`, before.ReplicationInstanceArn ?? '');
  else await create(migration, id, instance, subnetGroup);
  const instanceArn = await available(migration, id, true);
  await requireOurs(aws, migration.id, `the replication instance ${id}`, instanceArn);
  if (instance.subnetIds && subnetGroup) await requireOurSubnetGroup(migration, instanceArn, subnetGroup);
  return { instanceArn, made: true };
}

async function create(
  migration: Postgres,
  id: string,
  wanted: MadeInstance,
  subnetGroup: string | undefined,
): Promise<void> {
  const command = new CreateReplicationInstanceCommand({
    ReplicationInstanceIdentifier: id,
    ReplicationInstanceClass: wanted.class,
    AllocatedStorage: wanted.allocatedStorage,
    MultiAZ: wanted.multiAz,
    PubliclyAccessible: wanted.publiclyAccessible,
    // A new version in the middle of a migration is nobody's wish.
    AutoMinorVersionUpgrade: false,
    ...(wanted.engineVersion === undefined ? {} : { EngineVersion: wanted.engineVersion }),
    ...(subnetGroup === undefined ? {} : { ReplicationSubnetGroupIdentifier: subnetGroup }),
    ...(wanted.securityGroups.length === 0 ? {} : { VpcSecurityGroupIds: wanted.securityGroups }),
    Tags: migrationTags(migration.id),
  });
  try {
    await dms(migration.replication.aws).send(command);
  } catch (error) {
    // Of an earlier attempt whose answer was lost, or that Describe did not show yet; its tag is looked at afterwards.
    if (!isCode(error, 'ResourceAlreadyExistsFault')) throw awsFailure(error, `CreateReplicationInstance ${id}`);
  }
}

async function available(migration: Postgres, id: string, ours: boolean): Promise<string> {
  const { aws } = migration.replication;
  const found = await awaitDms<ReplicationInstance | undefined>({
    what: `replication instance ${id}`,
    timeoutMs: CREATED_WITHIN_MS,
    read: () => findInstance(aws, id),
    state: (instance) => instance?.ReplicationInstanceStatus ?? 'not shown yet',
    done: (instance) => {
      // Right after the call Describe may not show it yet; one that is said to exist must be there.
      if (!instance && !ours) {
        throw permanent(ErrorType.notFound, `there is no replication instance ${id}`, {
          remedy: `check replication.instance.existing: aws dms describe-replication-instances${regionFlag(aws)}`,
        });
      }
      if (!instance) return false;
      const { meaning } = instanceStatus(id, instance.ReplicationInstanceStatus);
      if (meaning === 'failed' || meaning === 'ask') throw unusable(id, instance);
      return meaning === 'ok' && instance.ReplicationInstanceArn !== undefined;
    },
  });
  return found?.ReplicationInstanceArn ?? '';
}

function unusable(id: string, instance: ReplicationInstance): Error {
  return permanent(ErrorType.serviceFailed, `replication instance ${id} is ${instance.ReplicationInstanceStatus}`, {
    remedy: `see why: aws dms describe-events --source-type replication-instance --source-identifier ${id} --duration 1440; mend or delete it, then retry the step`,
  });
}
