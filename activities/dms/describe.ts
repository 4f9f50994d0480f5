/** DMS's resources by name or ARN; undefined where there is none. A describe with a filter throws in place of answering []. */
import {
  DescribeConnectionsCommand,
  DescribeEndpointsCommand,
  DescribeReplicationInstancesCommand,
  DescribeReplicationSubnetGroupsCommand,
  DescribeReplicationTasksCommand,
  type Connection,
  type Endpoint,
  type ReplicationInstance,
  type ReplicationSubnetGroup,
  type ReplicationTask,
} from '@aws-sdk/client-database-migration-service';
import { dms, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';

const filter = (Name: string, value: string) => [{ Name, Values: [value] }];
const pick = (value: string) => (value.startsWith('arn:') ? 'arn' : 'id');

/** @param instance its id or ARN. @throws cutover.Denied, cutover.Throttled, cutover.Unreachable; so do all of these */
export async function findInstance(aws: AwsTarget, instance: string): Promise<ReplicationInstance | undefined> {
  const Filters = filter(`replication-instance-${pick(instance)}`, instance);
  return await found(`DescribeReplicationInstances of ${instance}`, async () => {
    const answer = await dms(aws).send(new DescribeReplicationInstancesCommand({ Filters }));
    return answer.ReplicationInstances?.[0];
  });
}

export async function findSubnetGroup(aws: AwsTarget, id: string): Promise<ReplicationSubnetGroup | undefined> {
  const Filters = filter('replication-subnet-group-id', id);
  return await found(`DescribeReplicationSubnetGroups of ${id}`, async () => {
    const answer = await dms(aws).send(new DescribeReplicationSubnetGroupsCommand({ Filters }));
    return answer.ReplicationSubnetGroups?.[0];
  });
}

export async function findEndpoint(aws: AwsTarget, endpoint: string): Promise<Endpoint | undefined> {
  const Filters = filter(`endpoint-${pick(endpoint)}`, endpoint);
  return await found(`DescribeEndpoints of ${endpoint}`, async () => {
    const answer = await dms(aws).send(new DescribeEndpointsCommand({ Filters }));
    return answer.Endpoints?.[0];
  });
}

/** The last test of an endpoint from an instance; undefined where there was none. */
export async function findConnection(
  aws: AwsTarget,
  instanceArn: string,
  endpointArn: string,
): Promise<Connection | undefined> {
  const Filters = [...filter('endpoint-arn', endpointArn), ...filter('replication-instance-arn', instanceArn)];
  return await found(`DescribeConnections of ${endpointArn}`, async () => {
    const answer = await dms(aws).send(new DescribeConnectionsCommand({ Filters }));
    return answer.Connections?.find(({ EndpointArn }) => EndpointArn === endpointArn);
  });
}

/** @param settings with the task's mappings and settings, which are large: not for polling */
export async function findTask(
  aws: AwsTarget,
  task: string,
  { settings = false } = {},
): Promise<ReplicationTask | undefined> {
  const Filters = filter(`replication-task-${pick(task)}`, task);
  return await found(`DescribeReplicationTasks of ${task}`, async () => {
    const answer = await dms(aws).send(new DescribeReplicationTasksCommand({ Filters, WithoutSettings: !settings }));
    return answer.ReplicationTasks?.[0];
  });
}

async function found<T>(what: string, describe: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await describe();
  } catch (error) {
    if (isCode(error, 'ResourceNotFoundFault')) return undefined;
    throw awsFailure(error, what);
  }
}
