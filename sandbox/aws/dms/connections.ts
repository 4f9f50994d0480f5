import type {
  Connection,
  DeleteConnectionMessage,
  DeleteConnectionResponse,
  DescribeConnectionsMessage,
  DescribeConnectionsResponse,
  TestConnectionMessage,
  TestConnectionResponse,
} from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import type { EngineEndpoint } from './engine/contract.ts';
import { invalidState, notFound } from './faults.ts';
import { dmsPage, filtered } from './filters.ts';
import { findEndpoint, findInstance } from './find.ts';
import { connectionKey } from './state.ts';
import type { ConnectionState, EndpointState } from './state.ts';

export function testConnection(cloud: Cloud, input: TestConnectionMessage): TestConnectionResponse {
  const instance = findInstance(cloud, input.ReplicationInstanceArn ?? '');
  const endpoint = findEndpoint(cloud, input.EndpointArn ?? '');
  const { connections } = cloud.store.state.dms;
  const key = connectionKey(instance.arn, endpoint.arn);
  const before = connections[key];
  if (before?.status === 'testing') throw invalidState('Connection is already being tested');
  if (before?.status === 'deleting') throw invalidState('Connection is being deleted');
  if (instance.status !== 'available') {
    throw invalidState(`Replication instance ${instance.id} is not in available state: ${instance.status}.`);
  }
  if (endpoint.status !== 'active') throw invalidState(`Endpoint ${endpoint.id} is ${endpoint.status}.`);
  const connection: ConnectionState = {
    instanceArn: instance.arn,
    endpointArn: endpoint.arn,
    status: 'testing',
    test: (before?.test ?? 0) + 1,
  };
  connections[key] = connection;
  cloud.store.save();
  runTest(cloud, connection);
  return { Connection: view(cloud, connection) };
}

export function describeConnections(cloud: Cloud, input: DescribeConnectionsMessage): DescribeConnectionsResponse {
  const found = filtered(
    Object.values(cloud.store.visible().dms.connections),
    input.Filters,
    {
      'endpoint-arn': (connection) => [connection.endpointArn],
      'replication-instance-arn': (connection) => [connection.instanceArn],
    },
    'Connections',
  );
  const { items, ...marker } = dmsPage(found, (one) => connectionKey(one.instanceArn, one.endpointArn), input);
  return { Connections: items.map((connection) => view(cloud, connection)), ...marker };
}

export function deleteConnection(cloud: Cloud, input: DeleteConnectionMessage): DeleteConnectionResponse {
  const instance = findInstance(cloud, input.ReplicationInstanceArn ?? '');
  const endpoint = findEndpoint(cloud, input.EndpointArn ?? '');
  const { dms } = cloud.store.state;
  const connection = dms.connections[connectionKey(instance.arn, endpoint.arn)];
  if (connection === undefined)
    throw notFound('No connection found between the replication instance and the endpoint.');
  if (connection.status === 'testing' || connection.status === 'deleting') {
    throw invalidState(`The connection cannot be deleted while it is ${connection.status}.`);
  }
  const user = Object.values(dms.tasks).find(
    (task) => task.instanceArn === instance.arn && [task.sourceArn, task.targetArn].includes(endpoint.arn),
  );
  if (user !== undefined) throw invalidState(`The connection is in use by replication task ${user.id}.`);
  connection.status = 'deleting';
  cloud.store.save();
  removeConnection(cloud, connection);
  return { Connection: view(cloud, connection) };
}

/** Background work of DeleteConnection. */
export function removeConnection(cloud: Cloud, connection: ConnectionState): void {
  const key = connectionKey(connection.instanceArn, connection.endpointArn);
  cloud.background.run(`delete connection ${key}`, key, async () => {
    await cloud.background.sleep(cloud.timing.dmsDeleting);
    if (cloud.store.state.dms.connections[key] === connection) delete cloud.store.state.dms.connections[key];
    cloud.store.save();
  });
}

/** A changed endpoint's connections are tested again by themselves (facts/postgres-dms 2.2). */
export function retest(cloud: Cloud, endpoint: EndpointState): void {
  for (const connection of Object.values(cloud.store.state.dms.connections)) {
    if (connection.endpointArn !== endpoint.arn || connection.status === 'deleting') continue;
    connection.status = 'testing';
    delete connection.failure;
    // The result of a test of the endpoint as it was before must not count.
    connection.test += 1;
    cloud.store.save();
    runTest(cloud, connection);
  }
}

/** Background work of TestConnection: really connects. */
export function runTest(cloud: Cloud, connection: ConnectionState): void {
  const key = connectionKey(connection.instanceArn, connection.endpointArn);
  const { test } = connection;
  cloud.background.run(`test connection ${key}`, key, async () => {
    await cloud.background.sleep(cloud.timing.dmsTesting);
    const current = (): boolean =>
      cloud.store.state.dms.connections[key] === connection &&
      connection.test === test &&
      connection.status === 'testing';
    const endpoint = cloud.store.state.dms.endpoints[connection.endpointArn];
    if (endpoint === undefined || !current()) return;
    const result = await cloud.background.orStopped(
      cloud.dms.engines.testConnection(engineEndpoint(endpoint), endpoint.type),
    );
    if (!current()) return;
    connection.status = result.ok ? 'successful' : 'failed';
    if (!result.ok) connection.failure = failureText(result.message);
    cloud.store.save();
  });
}

/** As DMS wraps what the server said. */
function failureText(message: string): string {
  if (message.startsWith('Test Endpoint failed')) return message;
  return `Test Endpoint failed: Application-Status: 1020912, Application-Message: Failed to connect to database., Application-Detailed-Message: ${message}`;
}

export function engineEndpoint(endpoint: EndpointState): EngineEndpoint {
  const { host, port, database, user, password, sslMode, settings } = endpoint;
  return { host, port, database, user, password, sslMode, settings };
}

function view(cloud: Cloud, connection: ConnectionState): Connection {
  const { dms } = cloud.store.visible();
  return {
    ReplicationInstanceArn: connection.instanceArn,
    EndpointArn: connection.endpointArn,
    Status: connection.status,
    ...(connection.failure === undefined ? {} : { LastFailureMessage: connection.failure }),
    EndpointIdentifier: dms.endpoints[connection.endpointArn]?.id,
    ReplicationInstanceIdentifier: dms.instances[connection.instanceArn]?.id,
  };
}
