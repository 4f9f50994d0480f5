import type { Cloud } from '../cloud.ts';
import { arnPrefix } from './arns.ts';
import { notFound } from './faults.ts';
import type { EndpointState, InstanceState, TaskState } from './state.ts';
import { checkArn } from './validation.ts';

/** @throws AwsFault InvalidParameterValueException or ResourceNotFoundFault. */
export function findInstance(cloud: Cloud, arn: string): InstanceState {
  checkArn('ReplicationInstanceArn', arn, arnPrefix(cloud, 'rep'));
  const instance = cloud.store.state.dms.instances[arn];
  if (instance === undefined) throw notFound(`Replication instance not found: ${arn}.`);
  return instance;
}

/** @throws AwsFault InvalidParameterValueException or ResourceNotFoundFault. */
export function findEndpoint(cloud: Cloud, arn: string, parameter = 'EndpointArn'): EndpointState {
  checkArn(parameter, arn, arnPrefix(cloud, 'endpoint'));
  const endpoint = cloud.store.state.dms.endpoints[arn];
  if (endpoint === undefined) throw notFound(`Endpoint not found: ${arn}.`);
  return endpoint;
}

/** @throws AwsFault InvalidParameterValueException or ResourceNotFoundFault. */
export function findTask(cloud: Cloud, arn: string): TaskState {
  checkArn('ReplicationTaskArn', arn, arnPrefix(cloud, 'task'));
  const task = cloud.store.state.dms.tasks[arn];
  if (task === undefined) throw notFound(`Replication task not found: ${arn}.`);
  return task;
}

/** Tasks that use an endpoint. */
export function tasksOf(cloud: Cloud, endpointArn: string): TaskState[] {
  return Object.values(cloud.store.state.dms.tasks).filter(
    (task) => task.sourceArn === endpointArn || task.targetArn === endpointArn,
  );
}
