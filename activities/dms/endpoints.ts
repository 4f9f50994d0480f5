/** The endpoints of source and target. */
import {
  CreateEndpointCommand,
  ModifyEndpointCommand,
  type Endpoint,
} from '@aws-sdk/client-database-migration-service';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { dms } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent, transient } from '../errors.ts';
import { resolveSecret } from '../secrets/resolve.ts';
import { awaitDms } from './await-dms.ts';
import { findEndpoint, findTask } from './describe.ts';
import { dmsLogin, endpointWanted, type EndpointSide, type EndpointWanted } from './endpoint-wanted.ts';
import { isCovered } from './is-covered.ts';
import { dmsNames, regionFlag } from './resources.ts';
import { endpointStatus, taskAtRest } from './status-table.ts';
import { migrationTags, requireOurs } from './tags.ts';

const ACTIVE_WITHIN_MS = 90_000;

/**
 * Makes both endpoints, or adopts our own: then with what the file says by now, the password too. Safe to run twice.
 * Passwords are looked up in here and go to DMS alone.
 * @throws cutover.NotOurs, cutover.Secret, cutover.Busy (the task runs, so that an endpoint that differs can't be changed),
 *   cutover.Invalid, cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function ensureDmsEndpoints(args: {
  migration: Postgres;
}): Promise<{ sourceArn: string; targetArn: string }> {
  const [sourceArn, targetArn] = await Promise.all([
    ensure(args.migration, 'source'),
    ensure(args.migration, 'target'),
  ]);
  return { sourceArn, targetArn };
}

async function ensure(migration: Postgres, side: EndpointSide): Promise<string> {
  const { aws } = migration.replication;
  const wanted = endpointWanted(migration, side);
  const id = wanted.EndpointIdentifier ?? '';
  const { password: ref } = dmsLogin(migration, side);
  const password = ref ? { Password: await resolveSecret(ref, aws) } : {};
  const before = await findEndpoint(aws, id);
  if (before) await adopt(migration, before, wanted, password);
  else {
    try {
      await dms(aws).send(new CreateEndpointCommand({ ...wanted, ...password, Tags: migrationTags(migration.id) }));
    } catch (error) {
      if (!isCode(error, 'ResourceAlreadyExistsFault')) throw awsFailure(error, `CreateEndpoint ${id}`);
      const existing = await findEndpoint(aws, id);
      if (!existing) throw transient(ErrorType.busy, `endpoint ${id} exists and is not shown yet`, { afterMs: 5_000 });
      await adopt(migration, existing, wanted, password);
    }
  }
  return await active(migration, id);
}

async function adopt(
  migration: Postgres,
  existing: Endpoint,
  wanted: EndpointWanted,
  password: { Password?: string },
): Promise<void> {
  const { aws } = migration.replication;
  const id = wanted.EndpointIdentifier ?? '';
  const arn = existing.EndpointArn ?? '';
  await requireOurs(aws, migration.id, `the endpoint ${id}`, arn);
  // DMS answers an endpoint's settings with more in them than was given, and never a password.
  const same = isCovered({ ...wanted, ExtraConnectionAttributes: undefined }, existing);
  const task = await findTask(aws, dmsNames(migration.id).task);
  if (task && taskAtRest(id, task.Status).meaning !== 'ok') {
    if (same) return;
    throw permanent(ErrorType.busy, `endpoint ${id} differs from the file, and the task is ${task.Status}`, {
      remedy: `pause the migration (the task is stopped then), or put the file back, then retry the step`,
    });
  }
  // Also where nothing differs to be seen: the password may.
  const { EndpointIdentifier: _id, EngineName: _engine, EndpointType: _type, ...changes } = wanted;
  try {
    await dms(aws).send(
      new ModifyEndpointCommand({ EndpointArn: arn, EngineName: 'postgres', ...changes, ...password }),
    );
  } catch (error) {
    throw awsFailure(error, `ModifyEndpoint ${id}`);
  }
}

async function active(migration: Postgres, id: string): Promise<string> {
  const { aws } = migration.replication;
  const found = await awaitDms({
    what: `endpoint ${id}`,
    timeoutMs: ACTIVE_WITHIN_MS,
    read: () => findEndpoint(aws, id),
    state: (endpoint) => endpoint?.Status ?? 'not shown yet',
    done: (endpoint) => {
      if (!endpoint) return false;
      const { meaning } = endpointStatus(id, endpoint.Status);
      if (meaning === 'failed') {
        throw permanent(ErrorType.serviceFailed, `endpoint ${id} is ${endpoint.Status}`, {
          remedy: `aws dms delete-endpoint${regionFlag(aws)} --endpoint-arn ${endpoint.EndpointArn}, then retry the step`,
        });
      }
      return meaning === 'ok';
    },
  });
  return found?.EndpointArn ?? '';
}
