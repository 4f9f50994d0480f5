/** The connection tests, without which DMS starts no task. They are racy: see facts/postgres-dms 2.2. */
import { TestConnectionCommand, type Connection } from '@aws-sdk/client-database-migration-service';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { dms } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { awaitDms, pollMs } from './await-dms.ts';
import { findConnection } from './describe.ts';
import type { EndpointSide } from './endpoint-wanted.ts';
import type { DmsResources } from './resources.ts';
import { connectionStatus } from './status-table.ts';

const TESTED_WITHIN_MS = 600_000;
/** For so long after the call Describe may still answer the result of an earlier test, ms. */
const STALE_MS = 30_000;
/** A new instance's network may need a moment more than the instance: a test that fails is done once more. */
const TRIES = 2;

type Tested = Pick<DmsResources, 'instanceArn' | 'sourceArn' | 'targetArn'>;

/**
 * Has DMS connect to both servers anew, and waits for it. Safe to run twice.
 * @throws cutover.ServiceFailed with DMS's own words where a server can't be reached or refuses; cutover.Deadline
 */
export async function testDmsConnections(args: { migration: Postgres; resources: Tested }): Promise<void> {
  const failures = await Promise.all([testSide(args, 'source'), testSide(args, 'target')]);
  const failed = failures.filter((failure) => failure !== undefined);
  if (failed.length === 0) return;
  throw permanent(ErrorType.serviceFailed, `DMS can't connect: ${failed.join('; ')}`, {
    remedy:
      "let the replication instance's address in (security group, pg_hba.conf with a line for the database and one for replication), check user and password, then retry the step",
  });
}

/** @returns why it failed, or undefined */
async function testSide(
  { migration, resources }: { migration: Postgres; resources: Tested },
  side: EndpointSide,
): Promise<string | undefined> {
  const endpointArn = side === 'source' ? resources.sourceArn : resources.targetArn;
  let failure: string | undefined;
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    const result = await testOnce(migration, resources.instanceArn, endpointArn, side);
    if (result?.Status === 'successful') return undefined;
    failure = `${side} ${migration[side].host}: ${redact(result?.LastFailureMessage ?? `the test ended as ${result?.Status}`)}`;
  }
  return failure;
}

async function testOnce(
  migration: Postgres,
  instanceArn: string,
  endpointArn: string,
  side: EndpointSide,
): Promise<Connection | undefined> {
  const { aws } = migration.replication;
  const before = await findConnection(aws, instanceArn, endpointArn);
  if (connectionStatus(side, before?.Status).meaning !== 'pending' || before === undefined) {
    try {
      await dms(aws).send(new TestConnectionCommand({ ReplicationInstanceArn: instanceArn, EndpointArn: endpointArn }));
    } catch (error) {
      // ModifyEndpoint starts one by itself, and Describe may not show it yet.
      if (!isCode(error, 'InvalidResourceStateFault')) throw awsFailure(error, `TestConnection of the ${side}`);
    }
  }
  const began = performance.now();
  const staleMs = Math.min(STALE_MS, 4 * pollMs());
  let seen = before?.Status === 'testing';
  return await awaitDms({
    what: `connection test of the ${side}`,
    timeoutMs: TESTED_WITHIN_MS,
    read: () => findConnection(aws, instanceArn, endpointArn),
    state: (connection) => connection?.Status ?? 'not shown yet',
    done: (connection) => {
      if (connection?.Status === 'testing') seen = true;
      const { meaning } = connectionStatus(side, connection?.Status);
      if (connection === undefined || meaning === 'pending') return false;
      return seen || performance.now() - began >= staleMs;
    },
  });
}
