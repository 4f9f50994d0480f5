import { rmSync } from 'node:fs';
import type { Cloud } from '../cloud.ts';
import { emitDms } from './events.ts';
import { ended, finish, knownEngine, markRunning, openEngine, taskDir } from './task-engine.ts';
import type { StartType, TaskState } from './state.ts';

/** How long a task that ran when the sandbox went down waits for its databases to be there again, in milliseconds. */
const COMEBACK_MS = 60_000;

const exists = (cloud: Cloud, task: TaskState): boolean => cloud.store.state.dms.tasks[task.arn] === task;
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function work(cloud: Cloud, task: TaskState, what: string, job: () => Promise<void>): void {
  cloud.background.run(`${what} replication task ${task.id}`, task.arn, job);
}

/** Background work of CreateReplicationTask. */
export function bringUpTask(cloud: Cloud, task: TaskState): void {
  work(cloud, task, 'create', async () => {
    await cloud.background.sleep(cloud.timing.dmsTaskCreating);
    if (task.status === 'creating') task.status = 'ready';
    cloud.store.save();
  });
}

/** Background work of ModifyReplicationTask: back to the status it came from. */
export function settleTask(cloud: Cloud, task: TaskState): void {
  work(cloud, task, 'modify', async () => {
    await cloud.background.sleep(cloud.timing.dmsModifying);
    if (task.status === 'modifying') task.status = task.settled ?? 'stopped';
    delete task.settled;
    cloud.store.save();
  });
}

/** Background work of StartReplicationTask: `starting` to `running`, or to `failed` with what kept it from it. */
export function beginTask(cloud: Cloud, task: TaskState): void {
  work(cloud, task, 'start', async () => {
    await cloud.background.sleep(cloud.timing.dmsStarting);
    if (!exists(cloud, task) || task.status !== 'starting') return;
    const type = task.startType ?? 'start-replication';
    try {
      await start(cloud, task, type);
    } catch (error) {
      if (cloud.background.stopped) throw error;
      // No fresh start is noted: what never ran can't be resumed.
      return finish(cloud, task, { status: 'failed', reason: 'FATAL_ERROR', message: messageOf(error) });
    }
    // The load of a small task may be through, and its end told, before it was seen running.
    if (task.status !== 'starting') return;
    markRunning(cloud, task);
  });
}

async function start(cloud: Cloud, task: TaskState, type: StartType): Promise<void> {
  // One that failed by a script may be ending still: two at a time would quarrel over the slot.
  await cloud.background.orStopped(cloud.dms.engines.get(task.arn)?.stop() ?? Promise.resolve());
  const engine = await openEngine(cloud, task);
  await cloud.background.orStopped(engine.start(type));
}

/** After a restart of the sandbox: a task that ran goes on, and its status was `running` all the time. */
export function carryOn(cloud: Cloud, task: TaskState): void {
  work(cloud, task, 'carry on', async () => {
    const deadline = Date.now() + COMEBACK_MS;
    for (;;) {
      if (!exists(cloud, task) || task.status !== 'running') return;
      try {
        return await start(cloud, task, 'resume-processing');
      } catch (error) {
        if (cloud.background.stopped) throw error;
        if (Date.now() > deadline) {
          return ended(cloud, task.arn, { status: 'failed', reason: 'RECOVERABLE_ERROR', message: messageOf(error) });
        }
        await cloud.background.sleep(250);
      }
    }
  });
}

/** Background work of StopReplicationTask. */
export function endTask(cloud: Cloud, task: TaskState): void {
  work(cloud, task, 'stop', async () => {
    await cloud.background.sleep(cloud.timing.dmsStopping);
    const engine = await knownEngine(cloud, task);
    try {
      if (engine !== undefined) await cloud.background.orStopped(engine.stop());
    } catch (error) {
      if (cloud.background.stopped) throw error;
      return ended(cloud, task.arn, { status: 'failed', reason: 'RECOVERABLE_ERROR', message: messageOf(error) });
    }
    // It may have ended by itself meanwhile; that reason stands.
    if (task.status === 'stopping') ended(cloud, task.arn, { status: 'stopped', reason: 'NORMAL' });
  });
}

/** Background work of DeleteReplicationTask. A slot that can't be dropped stays, and an event says so. */
export function removeTask(cloud: Cloud, task: TaskState): void {
  work(cloud, task, 'delete', async () => {
    await cloud.background.sleep(cloud.timing.dmsDeleting);
    const engine = await knownEngine(cloud, task);
    try {
      if (engine !== undefined) await cloud.background.orStopped(engine.remove());
    } catch (error) {
      if (cloud.background.stopped) throw error;
      const what = 'Task resources could not be cleaned up.'; // DMS-EVENT-0082
      emitDms(cloud, 'replication-task', task.id, 'failure', `${what} ${messageOf(error)}`);
    }
    cloud.dms.engines.forget(task.arn);
    rmSync(taskDir(cloud, task), { recursive: true, force: true });
    delete cloud.store.state.dms.tasks[task.arn];
    cloud.store.save();
    emitDms(cloud, 'replication-task', task.id, 'deletion', 'The replication task has been deleted.');
  });
}

/** As if the engine had failed by itself, for tests. */
export async function failTask(cloud: Cloud, task: TaskState, end: Parameters<typeof ended>[2]): Promise<void> {
  const engine = cloud.dms.engines.get(task.arn);
  ended(cloud, task.arn, end);
  await engine?.stop();
}
