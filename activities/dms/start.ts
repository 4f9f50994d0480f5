/** Starts the task, or lets it go on. Which of DMS's start types it takes is told by the task's own dates (facts 2.3, 4.4). */
import {
  StartReplicationTaskCommand,
  type ReplicationTask,
  type StartReplicationTaskTypeValue,
} from '@aws-sdk/client-database-migration-service';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { dms } from '../aws/clients.ts';
import { awsCode, awsFailure, isCode } from '../aws/failure.ts';
import { permanent, transient } from '../errors.ts';
import { awaitDms, pollMs } from './await-dms.ts';
import { testDmsConnections } from './connections.ts';
import { findTask } from './describe.ts';
import type { DmsResources } from './resources.ts';
import { stopMeaning } from './status-table.ts';
import { awaitTask, engineState, whyStopped } from './task-state.ts';

const STARTED_WITHIN_MS = 1_200_000;
/** After the call Describe may still show the old status for so long, ms (facts 4.4). */
const STALE_MS = 60_000;

interface StartArgs {
  migration: Postgres;
  resources: DmsResources;
}

/**
 * Starts a task that never ran, resumes one that did, and does nothing where it runs. It never begins a load again. Safe
 * to run twice.
 * @returns the state as DMS calls it: `running`, or what it has come to already
 * @throws cutover.ServiceFailed with DMS's reason where it does not start; cutover.Busy (retried), cutover.NotFound, …
 */
export async function startDms(args: StartArgs): Promise<{ state: string }> {
  const { aws } = args.migration.replication;
  const before = await awaitTask(aws, args.resources.taskArn, {
    what: 'to be ready to start',
    done: ({ settled, status }) => settled || status === 'starting',
  });
  if (before.Status === 'running') return { state: 'running' };
  if (before.Status !== 'starting') {
    if (stopMeaning(before.StopReason) === 'ended' && before.Status === 'stopped') {
      throw permanent(ErrorType.replication, `the task is through, and will not follow: ${engineState(before)}`, {
        remedy: 'the task must be of the type full-load-and-cdc, without a CdcStopPosition',
      });
    }
    await sendStart(args, before);
  }
  const after = await started(args, before);
  return { state: engineState(after) };
}

/**
 * As startDms: a task that was stopped goes on where it was, for its slot has kept what came meanwhile. For
 * `cutover resume`, between load and CDC, and after a cutover that was undone.
 */
export async function resumeDms(args: StartArgs): Promise<{ state: string }> {
  return await startDms(args);
}

async function sendStart(args: StartArgs, task: ReplicationTask): Promise<void> {
  const { aws } = args.migration.replication;
  const type = startType(task);
  const send = async () => {
    const command = new StartReplicationTaskCommand({
      ReplicationTaskArn: args.resources.taskArn,
      StartReplicationTaskType: type,
    });
    await dms(aws).send(command);
  };
  try {
    await send();
  } catch (error) {
    if (!isCode(error, 'InvalidResourceStateFault')) throw startFailure(error, type);
    const text = error instanceof Error ? error.message : '';
    if (/test connection/i.test(text)) {
      // DMS may refuse though the test passed; a new test is what helps (facts 2.2).
      await testDmsConnections(args);
      await send().catch((again: unknown) => {
        throw startFailure(again, type);
      });
      return;
    }
    // Our own earlier call, whose answer was lost.
    const now = await findTask(aws, args.resources.taskArn);
    if (now?.Status !== 'running' && now?.Status !== 'starting') throw startFailure(error, type);
  }
}

/** The first start of a task differs from all later ones; DMS refuses the wrong one. */
export function startType(task: ReplicationTask): StartReplicationTaskTypeValue {
  return task.ReplicationTaskStats?.FreshStartDate ? 'resume-processing' : 'start-replication';
}

function startFailure(error: unknown, type: string): Error {
  return awsFailure(error, `StartReplicationTask (${type}), ${awsCode(error)}`);
}

async function started({ migration, resources }: StartArgs, before: ReplicationTask): Promise<ReplicationTask> {
  const began = performance.now();
  const staleMs = Math.min(STALE_MS, 20 * pollMs());
  let moved = before.Status === 'starting';
  const { aws } = migration.replication;
  const startOf = (task: ReplicationTask | undefined) => task?.ReplicationTaskStats?.StartDate?.getTime() ?? 0;
  const task = await awaitDms({
    what: 'the replication task',
    timeoutMs: STARTED_WITHIN_MS,
    read: () => findTask(aws, resources.taskArn),
    state: (value) => (value ? engineState(value) : 'not shown'),
    done: (value) => {
      if (!value) return false;
      if (value.Status === 'running') return true;
      if (value.Status !== before.Status || startOf(value) !== startOf(before)) moved = true;
      if (value.Status !== 'stopped' && value.Status !== 'failed') return false;
      if (!moved) {
        if (performance.now() - began < staleMs) return false;
        throw transient(ErrorType.busy, `the task is ${engineState(value)} still, though it was started`, {
          afterMs: 5_000,
        });
      }
      // Faster than we look: a small load may be through already.
      if (value.Status === 'stopped' && stopMeaning(value.StopReason) === 'load-done') return true;
      throw permanent(ErrorType.serviceFailed, `the task did not start: ${whyStopped(value)}`, {
        remedy: "mend what its reason names (the task's log in CloudWatch says more), then retry the step",
      });
    },
  });
  return task ?? before;
}
