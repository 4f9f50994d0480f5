/** The task's state, and waiting for another one. */
import type { ReplicationTask } from '@aws-sdk/client-database-migration-service';
import { ErrorType } from '../../spec/errors.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { permanent } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { awaitDms } from './await-dms.ts';
import { findTask } from './describe.ts';
import { regionFlag } from './resources.ts';
import { taskAtRest } from './status-table.ts';

export interface TaskReading {
  task: ReplicationTask;
  status: string;
  /** May be started, modified, deleted. */
  atRest: boolean;
  /** At rest, or moving rows: under none of the changes that take a moment. */
  settled: boolean;
}

const WITHIN_MS = 1_200_000;

/**
 * Waits until `done`. @throws cutover.NotFound where there is no task for a minute, cutover.Deadline, what `done` throws
 * @param options.intervalMs where pollMs() is too slow: inside the fence
 */
export async function awaitTask(
  aws: AwsTarget,
  task: string,
  options: {
    what: string;
    done: (reading: TaskReading) => boolean;
    timeoutMs?: number;
    intervalMs?: number;
  },
): Promise<ReplicationTask> {
  const began = performance.now();
  const found = await awaitDms({
    what: `task ${shortName(task)}, waiting for it ${options.what},`,
    timeoutMs: options.timeoutMs ?? WITHIN_MS,
    ...(options.intervalMs === undefined ? {} : { intervalMs: options.intervalMs }),
    read: () => findTask(aws, task),
    state: (value) => (value ? engineState(value) : 'not shown yet'),
    done: (value) => {
      if (value) return options.done(readingOf(value));
      // Right after its creation Describe may not show it yet.
      if (performance.now() - began > 60_000) throw noSuchTask(aws, task);
      return false;
    },
  });
  if (!found) throw noSuchTask(aws, task);
  return found;
}

/** @throws cutover.NotFound */
export async function readTask(aws: AwsTarget, task: string, settings = false): Promise<TaskReading> {
  const found = await findTask(aws, task, { settings });
  if (!found) throw noSuchTask(aws, task);
  return readingOf(found);
}

function readingOf(task: ReplicationTask): TaskReading {
  const status = (task.Status ?? '').toLowerCase();
  const { meaning } = taskAtRest(task.ReplicationTaskIdentifier ?? '', status);
  if (meaning === 'failed') {
    throw permanent(ErrorType.serviceFailed, `task ${task.ReplicationTaskIdentifier} is ${status}`, {
      remedy: 'somebody is deleting it; the copy has to begin again with a new task',
    });
  }
  const atRest = meaning === 'ok';
  return { task, status, atRest, settled: atRest || status === 'running' };
}

/** `stopped (Stop Reason NORMAL)`, as DMS itself calls it. */
export function engineState(task: ReplicationTask): string {
  const reason = task.Status === 'stopped' || task.Status === 'failed' ? task.StopReason : undefined;
  return reason ? `${task.Status} (${reason})` : (task.Status ?? 'in no known state');
}

/** Why it stopped or failed, in DMS's words. */
export function whyStopped(task: ReplicationTask): string {
  const said = task.LastFailureMessage ? `: ${redact(task.LastFailureMessage)}` : '';
  return `${engineState(task)}${said}`;
}

function noSuchTask(aws: AwsTarget, task: string): Error {
  return permanent(ErrorType.notFound, `there is no replication task ${shortName(task)}`, {
    remedy: `was it deleted? aws dms describe-replication-tasks${regionFlag(aws)}; without it the copy has to begin again`,
  });
}

const shortName = (task: string) => task.slice(task.lastIndexOf(':') + 1);
