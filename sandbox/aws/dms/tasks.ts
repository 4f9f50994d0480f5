import type {
  CreateReplicationTaskMessage,
  CreateReplicationTaskResponse,
  DeleteReplicationTaskMessage,
  DeleteReplicationTaskResponse,
  DescribeReplicationTasksMessage,
  DescribeReplicationTasksResponse,
  ModifyReplicationTaskMessage,
  ModifyReplicationTaskResponse,
} from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { checkQuota } from './account.ts';
import { arnPrefix, resourceId } from './arns.ts';
import { emitDms } from './events.ts';
import { alreadyExists, invalidCombination, invalidState, invalidValue } from './faults.ts';
import { dmsPage, filtered } from './filters.ts';
import { findEndpoint, findInstance, findTask } from './find.ts';
import { checkMappings } from './mappings.ts';
import { taskSettings } from './settings.ts';
import type { TaskState } from './state.ts';
import { dmsTags } from './tag-rules.ts';
import { bringUpTask, removeTask, settleTask } from './task-lifecycle.ts';
import { statsNow, statsOf, taskView } from './task-view.ts';
import { checkIdentifier, oneOf, required } from './validation.ts';

const MIGRATION_TYPES = ['full-load', 'cdc', 'full-load-and-cdc'] as const;

export function createTask(cloud: Cloud, input: CreateReplicationTaskMessage): CreateReplicationTaskResponse {
  const { tasks } = cloud.store.state.dms;
  const id = checkIdentifier('ReplicationTaskIdentifier', input.ReplicationTaskIdentifier);
  const migrationType = oneOf('MigrationType', required('MigrationType', input.MigrationType), MIGRATION_TYPES);
  const mappings = required('TableMappings', input.TableMappings);
  checkMappings(mappings);
  const settings = taskSettings(input.ReplicationTaskSettings);
  checkCdcPoints(input);
  const task: TaskState = {
    id,
    resourceId: resourceId(input.ResourceIdentifier),
    arn: '',
    status: 'creating',
    ...checkParts(cloud, input),
    migrationType,
    mappings,
    settings,
    ...(input.TaskData === undefined ? {} : { taskData: input.TaskData }),
    createdAt: new Date().toISOString(),
    tags: dmsTags(input.Tags),
  };
  task.arn = arnPrefix(cloud, 'task') + task.resourceId;
  const others = Object.values(tasks);
  if (tasks[task.arn] !== undefined || others.some((other) => other.id === id)) {
    throw alreadyExists(`Replication Task already exists: ${id}`);
  }
  checkQuota('ReplicationTasks', others.length);
  const beside = others.filter((other) => other.instanceArn === task.instanceArn);
  checkQuota('TasksPerReplicationInstance', beside.length);
  tasks[task.arn] = task;
  cloud.store.save();
  emitDms(cloud, 'replication-task', id, 'creation', 'The replication task was created.');
  bringUpTask(cloud, task);
  return { ReplicationTask: taskView(task, statsNow(cloud, task), true) };
}

/** The instance and both endpoints, which must be in order. */
function checkParts(
  cloud: Cloud,
  input: CreateReplicationTaskMessage,
): Pick<TaskState, 'sourceArn' | 'targetArn' | 'instanceArn'> {
  const instance = findInstance(cloud, input.ReplicationInstanceArn ?? '');
  const source = findEndpoint(cloud, input.SourceEndpointArn ?? '', 'SourceEndpointArn');
  const target = findEndpoint(cloud, input.TargetEndpointArn ?? '', 'TargetEndpointArn');
  if (source.type !== 'source') throw invalidValue(`SourceEndpointArn ${source.arn} is not a source endpoint.`);
  if (target.type !== 'target') throw invalidValue(`TargetEndpointArn ${target.arn} is not a target endpoint.`);
  if (instance.status !== 'available') {
    throw invalidState(`Replication instance ${instance.id} is not in available state: ${instance.status}.`);
  }
  const gone = [source, target].find((endpoint) => endpoint.status !== 'active');
  if (gone !== undefined) throw invalidState(`Endpoint ${gone.id} is ${gone.status}.`);
  return { instanceArn: instance.arn, sourceArn: source.arn, targetArn: target.arn };
}

/** The engine begins where its load begins, and knows no other point: refused rather than left out. */
export function checkCdcPoints(input: {
  CdcStartTime?: unknown;
  CdcStartPosition?: unknown;
  CdcStopPosition?: unknown;
}): void {
  const given = (['CdcStartTime', 'CdcStartPosition', 'CdcStopPosition'] as const).find(
    (name) => input[name] !== undefined,
  );
  if (given !== undefined) throw invalidValue(`${given} is not served by this sandbox.`);
}

export async function describeTasks(
  cloud: Cloud,
  input: DescribeReplicationTasksMessage,
): Promise<DescribeReplicationTasksResponse> {
  const found = filtered(
    Object.values(cloud.store.visible().dms.tasks),
    input.Filters,
    {
      'replication-task-arn': (task) => [task.arn],
      'replication-task-id': (task) => [task.id],
      'migration-type': (task) => [task.migrationType],
      'endpoint-arn': (task) => [task.sourceArn, task.targetArn],
      'replication-instance-arn': (task) => [task.instanceArn],
    },
    'Tasks',
  );
  const { items, ...marker } = dmsPage(found, (task) => task.arn, input);
  const withSettings = input.WithoutSettings !== true;
  const views = await Promise.all(items.map(async (task) => taskView(task, await statsOf(cloud, task), withSettings)));
  return { ReplicationTasks: views, ...marker };
}

/** While it runs only logging may be changed (facts/postgres-dms 4.3); settings not named stay. */
export function modifyTask(cloud: Cloud, input: ModifyReplicationTaskMessage): ModifyReplicationTaskResponse {
  const task = findTask(cloud, input.ReplicationTaskArn ?? '');
  const id =
    input.ReplicationTaskIdentifier === undefined
      ? task.id
      : checkIdentifier('ReplicationTaskIdentifier', input.ReplicationTaskIdentifier);
  const others = Object.values(cloud.store.state.dms.tasks).filter((other) => other !== task);
  if (others.some((other) => other.id === id)) throw alreadyExists(`Replication Task already exists: ${id}`);
  if (input.TableMappings !== undefined) checkMappings(input.TableMappings);
  const settings = taskSettings(input.ReplicationTaskSettings, task.settings);
  const { migrationType } = task;
  if (
    input.MigrationType !== undefined &&
    oneOf('MigrationType', input.MigrationType, MIGRATION_TYPES) !== migrationType
  ) {
    throw invalidCombination(
      `The migration type of a replication task cannot be modified: ${task.id} is ${migrationType}.`,
    );
  }
  checkCdcPoints(input);
  checkUnchanged(task, settings);
  if (task.status === 'running' && loggingOnly(input)) {
    task.settings = settings;
    cloud.store.save();
    return { ReplicationTask: taskView(task, statsNow(cloud, task), true) };
  }
  if (!['ready', 'stopped', 'failed'].includes(task.status)) {
    throw invalidState(
      `Replication Task, excluding logging severity task settings, cannot be modified while it is ${task.status} state`,
    );
  }
  const settled = task.status;
  Object.assign(task, { id, settings, mappings: input.TableMappings ?? task.mappings, status: 'modifying', settled });
  if (input.TaskData !== undefined) task.taskData = input.TaskData;
  cloud.store.save();
  emitDms(cloud, 'replication-task', task.id, 'configuration change', 'The replication task was modified.');
  settleTask(cloud, task);
  return { ReplicationTask: taskView(task, statsNow(cloud, task), true) };
}

function checkUnchanged(task: TaskState, settings: Record<string, unknown>): void {
  const only = (document: Record<string, unknown>): unknown =>
    (document['ValidationSettings'] as Record<string, unknown>)['ValidationOnly'];
  if (only(settings) !== only(task.settings)) {
    throw invalidCombination('ValidationOnly cannot be modified after the replication task was created.');
  }
}

function loggingOnly(input: ModifyReplicationTaskMessage): boolean {
  const { ReplicationTaskArn: _arn, ReplicationTaskSettings: settings, ...rest } = input;
  if (settings === undefined || Object.keys(rest).length > 0) return false;
  return Object.keys(JSON.parse(settings) as object).every((group) => group === 'Logging');
}

export function deleteTask(cloud: Cloud, input: DeleteReplicationTaskMessage): DeleteReplicationTaskResponse {
  const task = findTask(cloud, input.ReplicationTaskArn ?? '');
  if (!['ready', 'stopped', 'failed'].includes(task.status)) {
    throw invalidState(`Replication Task ${task.id} cannot be deleted while it is ${task.status}.`);
  }
  task.status = 'deleting';
  cloud.store.save();
  removeTask(cloud, task);
  return { ReplicationTask: taskView(task, statsNow(cloud, task), true) };
}
