/** Removes what a migration has in DMS, in the one order that DMS allows: task, endpoints, instance, subnet group. */
import {
  DeleteEndpointCommand,
  DeleteReplicationInstanceCommand,
  DeleteReplicationSubnetGroupCommand,
  DeleteReplicationTaskCommand,
} from '@aws-sdk/client-database-migration-service';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { dms } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { keep, kept } from '../aws/kept.ts';
import { transient } from '../errors.ts';
import { awaitDms } from './await-dms.ts';
import { cleanUpDatabases, type CleanUpResult } from './clean-up-databases.ts';
import { findEndpoint, findInstance, findSubnetGroup, findTask } from './describe.ts';
import { dmsNames, type DmsResources } from './resources.ts';
import { pauseDms } from './stop.ts';
import { subnetGroupArn } from './subnet-group.ts';
import { MIGRATION_TAG, ownerOf } from './tags.ts';

/** An instance takes minutes to go; a task's or endpoint's end is quick. ms */
const GONE_WITHIN_MS = 3_600_000;

interface Noted extends Record<string, unknown> {
  /** After the task is gone, only this tells which slot was its. */
  taskArn: string;
  /** DMS tells no ARN of a subnet group: it is made of the instance's. */
  instanceArn: string;
  deleted: string[];
}

/**
 * Deletes only what carries this migration's tag; an existing instance stays. What is gone already is fine, so that it
 * can be run again at any point. Then the slot on the source, and DMS's own tables on both sides.
 * @throws cutover.Busy, cutover.Throttled, cutover.Unreachable (retried), cutover.Denied, cutover.Deadline
 */
export async function cleanUpDms(args: {
  migration: Postgres;
  resources?: Partial<DmsResources>;
}): Promise<CleanUpResult> {
  const { migration, resources = {} } = args;
  const { aws, instance } = migration.replication;
  const names = dmsNames(migration.id);
  const noted = kept<Noted>();
  const leftovers: string[] = [];
  const deleted = [...(noted.deleted ?? [])];
  const note = (name: string) => {
    deleted.push(name);
    keep({ deleted });
  };
  const remove = async (what: string, arn: string | undefined, call: (arn: string) => Promise<unknown>) => {
    if (arn === undefined) return;
    const owner = await ownerOf(aws, arn);
    if (owner !== migration.id) {
      leftovers.push(`${what} stays: it has no tag ${MIGRATION_TAG}=${migration.id}${owner ? ` but ${owner}` : ''}`);
      return;
    }
    await call(arn);
    note(what);
  };

  const task = await findTask(aws, names.task);
  const taskArn = task?.ReplicationTaskArn ?? noted.taskArn ?? resources.taskArn;
  if (taskArn) keep({ taskArn });
  await remove(`replication task ${names.task}`, task?.ReplicationTaskArn, async (arn) => {
    if (task?.Status !== 'deleting') {
      await pauseDms({ migration, resources: { ...empty, ...resources, taskArn: arn } });
      await gone('DeleteReplicationTask', () =>
        dms(aws).send(new DeleteReplicationTaskCommand({ ReplicationTaskArn: arn })),
      );
    }
    await awaitGone(
      `task ${names.task}`,
      () => findTask(aws, arn),
      (left) => left.Status,
    );
  });

  for (const id of [names.source, names.target]) {
    const endpoint = await findEndpoint(aws, id);
    await remove(`endpoint ${id}`, endpoint?.EndpointArn, async (arn) => {
      await gone('DeleteEndpoint', () => dms(aws).send(new DeleteEndpointCommand({ EndpointArn: arn })));
      await awaitGone(
        `endpoint ${id}`,
        () => findEndpoint(aws, id),
        (left) => left.Status,
      );
    });
  }

  if ('existing' in instance) leftovers.push(`replication instance ${instance.existing} stays, as the file says`);
  else {
    const made = await findInstance(aws, names.instance);
    const instanceArn = made?.ReplicationInstanceArn ?? noted.instanceArn ?? resources.instanceArn;
    if (instanceArn) keep({ instanceArn });
    await remove(`replication instance ${names.instance}`, made?.ReplicationInstanceArn, async (arn) => {
      await gone('DeleteReplicationInstance', () =>
        dms(aws).send(new DeleteReplicationInstanceCommand({ ReplicationInstanceArn: arn })),
      );
      await awaitGone(
        `replication instance ${names.instance}`,
        () => findInstance(aws, names.instance),
        (left) => left.ReplicationInstanceStatus,
      );
    });
    if (instance.subnetIds && (await findSubnetGroup(aws, names.subnetGroup))) {
      const arn = instanceArn === undefined ? undefined : subnetGroupArn(instanceArn, names.subnetGroup);
      if (arn === undefined) leftovers.push(`replication subnet group ${names.subnetGroup}: whose it is can't be told`);
      await remove(`replication subnet group ${names.subnetGroup}`, arn, () =>
        gone('DeleteReplicationSubnetGroup', () =>
          dms(aws).send(
            new DeleteReplicationSubnetGroupCommand({ ReplicationSubnetGroupIdentifier: names.subnetGroup }),
          ),
        ),
      );
    }
  }

  const databases = await cleanUpDatabases(migration, taskArn);
  return { deleted: [...deleted, ...databases.deleted], leftovers: [...leftovers, ...databases.leftovers] };
}

const empty: DmsResources = { instanceArn: '', sourceArn: '', targetArn: '', taskArn: '', taskId: '' };

/** Sends a delete; that there is nothing (any more) is what was wanted, and one under way is waited for. */
async function gone(what: string, call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (isCode(error, 'ResourceNotFoundFault')) return;
    if (isCode(error, 'InvalidResourceStateFault')) {
      // What stood on it is going still, or our own earlier call is under way.
      const text = error instanceof Error ? error.message : '';
      if (/deleting/i.test(text)) return;
      throw transient(ErrorType.busy, `${what}: ${text}`, { afterMs: 10_000, benign: true });
    }
    throw awsFailure(error, what);
  }
}

async function awaitGone<T>(what: string, find: () => Promise<T | undefined>, state: (left: T) => string | undefined) {
  await awaitDms({
    what,
    timeoutMs: GONE_WITHIN_MS,
    read: find,
    state: (left) => (left === undefined ? 'gone' : (state(left) ?? 'in no known state')),
    done: (left) => left === undefined,
  });
}
