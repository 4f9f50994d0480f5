import { join } from 'node:path';
import type { Cloud } from '../cloud.ts';
import { engineEndpoint } from './connections.ts';
import type { EngineEnd, TaskEngine, TaskSpec } from './engine/contract.ts';
import { emitDms } from './events.ts';
import type { TaskState } from './state.ts';

/** Where the engine keeps a task's state. */
export function taskDir(cloud: Cloud, task: TaskState): string {
  return join(cloud.dir, 'dms', task.resourceId);
}

/** The engine of a task that was started before, opened again where the sandbox was restarted; undefined before the first start. */
export async function knownEngine(cloud: Cloud, task: TaskState): Promise<TaskEngine | undefined> {
  // What a Describe call still sees may be gone by now (delayVisibility).
  const current = cloud.store.state.dms.tasks[task.arn];
  if (current?.startedAt === undefined) return undefined;
  return cloud.dms.engines.known(
    current.arn,
    () => specOf(cloud, current),
    (end) => ended(cloud, current.arn, end),
  );
}

/** A new engine with the task's endpoints, mappings and settings as they are now. */
export function openEngine(cloud: Cloud, task: TaskState): Promise<TaskEngine> {
  return cloud.dms.engines.open(task.arn, specOf(cloud, task), (end) => ended(cloud, task.arn, end));
}

function specOf(cloud: Cloud, task: TaskState): TaskSpec {
  const { endpoints } = cloud.store.state.dms;
  const [source, target] = [endpoints[task.sourceArn], endpoints[task.targetArn]];
  // DeleteEndpoint refuses as long as there is the task.
  if (source === undefined || target === undefined) throw new Error(`sandbox: task ${task.id} has lost an endpoint`);
  return {
    id: task.id,
    resourceId: task.resourceId,
    migrationType: task.migrationType,
    source: engineEndpoint(source),
    target: engineEndpoint(target),
    mappings: JSON.parse(task.mappings),
    settings: task.settings,
    dir: taskDir(cloud, task),
  };
}

/** The end of a task that ran, by itself or by a script. Does nothing where it does not run any more. */
export function ended(cloud: Cloud, arn: string, end: EngineEnd): void {
  const task = cloud.store.state.dms.tasks[arn];
  if (cloud.background.stopped || task === undefined) return;
  if (!['starting', 'running', 'stopping'].includes(task.status)) return;
  // A small load may be through before anybody saw the task running.
  if (task.status === 'starting') markRunning(cloud, task);
  finish(cloud, task, end);
}

/** The status, reason and message of an end, as DescribeReplicationTasks shows them. */
export function finish(cloud: Cloud, task: TaskState, { status, reason, message }: EngineEnd): void {
  task.status = status;
  task.stopReason = `Stop Reason ${reason}`;
  task.stoppedAt = new Date().toISOString();
  if (status === 'failed' || message !== undefined) {
    const level = reason === 'RECOVERABLE_ERROR' ? 'RECOVERABLE' : 'FATAL';
    task.failure = `Last Error  ${message ?? 'Task failed.'} Stop Reason ${reason} Error Level ${level}`;
  }
  cloud.store.save();
  if (status === 'failed') emitDms(cloud, 'replication-task', task.id, 'failure', 'The replication task has failed.');
  else emitDms(cloud, 'replication-task', task.id, 'state change', 'The replication task has stopped.');
}

export function markRunning(cloud: Cloud, task: TaskState): void {
  task.status = 'running';
  if (task.startType !== 'resume-processing') task.freshStartAt = task.startedAt ?? new Date().toISOString();
  cloud.store.save();
  emitDms(cloud, 'replication-task', task.id, 'state change', 'The replication task has started.');
}
