/** Stops the task. Its slot stays on the source, and keeps the WAL: a stopped task must not be forgotten. */
import { StopReplicationTaskCommand, type ReplicationTask } from '@aws-sdk/client-database-migration-service';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { dms } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { pollMs } from './await-dms.ts';
import type { DmsResources } from './resources.ts';
import { stopMeaning } from './status-table.ts';
import { awaitTask, engineState, whyStopped, type TaskReading } from './task-state.ts';

const STOPPED_WITHIN_MS = 1_200_000;
/** The application is down while the cutover waits; still within what DMS allows an account, ms. */
const HASTE_MS = 1_000;

interface StopArgs {
  migration: Postgres;
  resources: DmsResources;
}

/**
 * Stops the task for the cutover, and proves that it stopped by itself and in order. Safe to run twice.
 * @returns DMS's own reason, `Stop Reason NORMAL`
 * @throws cutover.Replication where it ended otherwise: then what it had captured may not be on the target
 */
export async function stopDms(args: StopArgs): Promise<{ stopReason: string }> {
  const task = await stop(args, Math.min(HASTE_MS, pollMs()));
  if (task.Status === 'stopped' && stopMeaning(task.StopReason) === 'asked') {
    return { stopReason: task.StopReason ?? '' };
  }
  throw permanent(ErrorType.replication, `the task did not stop in order: ${whyStopped(task)}`, {
    remedy: 'the cutover is undone; mend what its reason names, and it goes on from where it was',
    facts: { stopReason: task.StopReason },
  });
}

/**
 * Stops the task for a pause; one that stands already is left alone. Safe to run twice.
 * @returns the state as DMS calls it
 */
export async function pauseDms(args: StopArgs): Promise<{ state: string }> {
  return { state: engineState(await stop(args, pollMs())) };
}

async function stop({ migration, resources }: StopArgs, intervalMs: number): Promise<ReplicationTask> {
  const { aws } = migration.replication;
  const wait = (what: string, done: (reading: TaskReading) => boolean) =>
    awaitTask(aws, resources.taskArn, { what, done, intervalMs, timeoutMs: STOPPED_WITHIN_MS });
  // `starting` refuses a stop; `stopping` is our own earlier call, or somebody else's.
  const before = await wait('to be where it can be stopped', ({ settled, status }) => settled || status === 'stopping');
  if (before.Status === 'running') {
    try {
      await dms(aws).send(new StopReplicationTaskCommand({ ReplicationTaskArn: resources.taskArn }));
    } catch (error) {
      // It ended by itself meanwhile, or an earlier call has worked; what it came to is looked at below.
      if (!isCode(error, 'InvalidResourceStateFault')) throw awsFailure(error, 'StopReplicationTask');
    }
  }
  return await wait('to stop', ({ atRest }) => atRest);
}
