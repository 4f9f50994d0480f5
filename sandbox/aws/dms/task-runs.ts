import type {
  StartReplicationTaskMessage,
  StartReplicationTaskResponse,
  StopReplicationTaskMessage,
  StopReplicationTaskResponse,
} from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { invalidCombination, invalidState } from './faults.ts';
import { findTask } from './find.ts';
import { connectionKey } from './state.ts';
import type { StartType, TaskState } from './state.ts';
import { beginTask, endTask } from './task-lifecycle.ts';
import { statsNow, taskView } from './task-view.ts';
import { checkCdcPoints } from './tasks.ts';
import { oneOf, required } from './validation.ts';

/** @throws AwsFault when the state, the kind of start or a connection that was not tested forbids it (facts/postgres-dms 4.4). */
export function startTask(cloud: Cloud, input: StartReplicationTaskMessage): StartReplicationTaskResponse {
  const task = findTask(cloud, input.ReplicationTaskArn ?? '');
  const type = oneOf('StartReplicationTaskType', required('StartReplicationTaskType', input.StartReplicationTaskType), [
    'start-replication',
    'resume-processing',
    'reload-target',
  ]);
  checkCdcPoints(input);
  if (!['ready', 'stopped', 'failed'].includes(task.status)) {
    throw invalidState('Replication Task cannot be started, invalid state');
  }
  checkStartType(task, type);
  const { instances, connections } = cloud.store.state.dms;
  const instance = instances[task.instanceArn];
  if (instance?.status !== 'available') {
    throw invalidState(`Replication instance is not in available state: ${instance?.status ?? 'deleted'}.`);
  }
  for (const endpointArn of [task.sourceArn, task.targetArn]) {
    if (connections[connectionKey(task.instanceArn, endpointArn)]?.status !== 'successful') {
      throw invalidState(
        'Test connection for replication instance and endpoint should be successful for starting the replication task',
      );
    }
  }
  task.status = 'starting';
  task.startType = type;
  task.startedAt = new Date().toISOString();
  delete task.stopReason;
  delete task.failure;
  delete task.stoppedAt;
  cloud.store.save();
  beginTask(cloud, task);
  return { ReplicationTask: taskView(task, statsNow(cloud, task), true) };
}

function checkStartType(task: TaskState, type: StartType): void {
  const ran = task.freshStartAt !== undefined;
  // A task of changes only may be started at a new point each time.
  if (type === 'start-replication' && ran && task.migrationType !== 'cdc') {
    throw invalidCombination('Start Type : START_REPLICATION, valid only for tasks running for the first time');
  }
  if (type === 'resume-processing' && !ran) {
    throw invalidCombination('Start Type : RESUME_PROCESSING, not valid for tasks running for the first time');
  }
  if (type === 'reload-target' && (!ran || task.migrationType === 'cdc')) {
    throw invalidCombination('Start Type : RELOAD_TARGET, valid only for tasks with a full load that ran before');
  }
}

export function stopTask(cloud: Cloud, input: StopReplicationTaskMessage): StopReplicationTaskResponse {
  const task = findTask(cloud, input.ReplicationTaskArn ?? '');
  if (task.status !== 'running') {
    throw invalidState(`Replication Task cannot be stopped while it is ${task.status} state`);
  }
  task.status = 'stopping';
  cloud.store.save();
  endTask(cloud, task);
  return { ReplicationTask: taskView(task, statsNow(cloud, task), true) };
}
