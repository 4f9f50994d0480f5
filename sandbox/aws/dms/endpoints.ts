import type {
  CreateEndpointMessage,
  CreateEndpointResponse,
  DeleteEndpointMessage,
  DeleteEndpointResponse,
  DescribeEndpointsMessage,
  DescribeEndpointsResponse,
  Endpoint,
  ModifyEndpointMessage,
  ModifyEndpointResponse,
} from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { checkQuota } from './account.ts';
import { arnPrefix, resourceId } from './arns.ts';
import { retest } from './connections.ts';
import { postgresSettings } from './endpoint-settings.ts';
import { alreadyExists, invalidState } from './faults.ts';
import { dmsPage, filtered } from './filters.ts';
import { findEndpoint, tasksOf } from './find.ts';
import { addressOf, checkEngine, checkOtherEngines, checkSsl } from './endpoint-rules.ts';
import type { EndpointState } from './state.ts';
import { dmsTags } from './tag-rules.ts';
import { checkIdentifier, oneOf, required } from './validation.ts';

export function createEndpoint(cloud: Cloud, input: CreateEndpointMessage): CreateEndpointResponse {
  const { endpoints } = cloud.store.state.dms;
  const id = checkIdentifier('EndpointIdentifier', input.EndpointIdentifier);
  checkOtherEngines(input);
  const arn = arnPrefix(cloud, 'endpoint') + resourceId(input.ResourceIdentifier);
  const address = addressOf(input);
  const endpoint: EndpointState = {
    id,
    arn,
    type: oneOf('EndpointType', required('EndpointType', input.EndpointType), ['source', 'target']),
    engine: checkEngine(required('EngineName', input.EngineName)),
    status: 'active',
    host: required('ServerName', address.host),
    port: required('Port', address.port),
    database: required('DatabaseName', address.database),
    user: required('Username', address.user),
    password: required('Password', address.password),
    ...checkSsl(cloud, input.SslMode ?? 'none', input.CertificateArn),
    kmsKeyId: input.KmsKeyId ?? `arn:aws:kms:${cloud.region}:${cloud.account}:key/aws-dms`,
    ...(input.ExtraConnectionAttributes === undefined ? {} : { extraAttributes: input.ExtraConnectionAttributes }),
    settings: postgresSettings(input.PostgreSQLSettings, input.ExtraConnectionAttributes),
    tags: dmsTags(input.Tags),
  };
  if (endpoints[arn] !== undefined || Object.values(endpoints).some((other) => other.id === id)) {
    throw alreadyExists(`Endpoint already exists: ${id}`);
  }
  checkQuota('Endpoints', Object.keys(endpoints).length);
  endpoints[arn] = endpoint;
  cloud.store.save();
  return { Endpoint: view(endpoint) };
}

export function describeEndpoints(cloud: Cloud, input: DescribeEndpointsMessage): DescribeEndpointsResponse {
  const found = filtered(
    Object.values(cloud.store.visible().dms.endpoints),
    input.Filters,
    {
      'endpoint-arn': (endpoint) => [endpoint.arn],
      'endpoint-type': (endpoint) => [endpoint.type],
      'endpoint-id': (endpoint) => [endpoint.id],
      'engine-name': (endpoint) => [endpoint.engine],
    },
    'Endpoints',
  );
  const { items, ...marker } = dmsPage(found, (endpoint) => endpoint.arn, input);
  return { Endpoints: items.map(view), ...marker };
}

/**
 * Settings that are not named stay, unless ExactSettings. A connection that was tested is tested again by itself, and
 * TestConnection is refused meanwhile (facts/postgres-dms 2.2).
 */
export function modifyEndpoint(cloud: Cloud, input: ModifyEndpointMessage): ModifyEndpointResponse {
  const endpoint = findEndpoint(cloud, input.EndpointArn ?? '');
  checkOtherEngines(input);
  const id =
    input.EndpointIdentifier === undefined
      ? endpoint.id
      : checkIdentifier('EndpointIdentifier', input.EndpointIdentifier);
  const others = Object.values(cloud.store.state.dms.endpoints).filter((other) => other !== endpoint);
  if (others.some((other) => other.id === id)) throw alreadyExists(`Endpoint already exists: ${id}`);
  const address = addressOf(input);
  const extra = input.ExtraConnectionAttributes ?? endpoint.extraAttributes;
  const given = postgresSettings(input.PostgreSQLSettings, input.ExtraConnectionAttributes);
  const ssl = checkSsl(cloud, input.SslMode ?? endpoint.sslMode, input.CertificateArn ?? endpoint.certificateArn);
  const busy = tasksOf(cloud, endpoint.arn).find((task) => !['ready', 'stopped', 'failed'].includes(task.status));
  if (busy !== undefined) {
    throw invalidState(`Endpoint ${endpoint.arn} cannot be modified: replication task ${busy.id} is ${busy.status}.`);
  }
  Object.assign(endpoint, {
    id,
    type:
      input.EndpointType === undefined
        ? endpoint.type
        : oneOf('EndpointType', input.EndpointType, ['source', 'target']),
    engine: checkEngine(input.EngineName ?? endpoint.engine),
    host: address.host ?? endpoint.host,
    port: address.port ?? endpoint.port,
    database: address.database ?? endpoint.database,
    user: address.user ?? endpoint.user,
    password: address.password ?? endpoint.password,
    settings: input.ExactSettings === true ? given : { ...endpoint.settings, ...given },
    ...(extra === undefined ? {} : { extraAttributes: extra }),
    ...ssl,
  });
  cloud.store.save();
  retest(cloud, endpoint);
  return { Endpoint: view(endpoint) };
}

export function deleteEndpoint(cloud: Cloud, input: DeleteEndpointMessage): DeleteEndpointResponse {
  const endpoint = findEndpoint(cloud, input.EndpointArn ?? '');
  if (tasksOf(cloud, endpoint.arn).length > 0) {
    throw invalidState(`Endpoint ${endpoint.arn} is part of one or more ReplicationTasks.`);
  }
  if (endpoint.status !== 'active') {
    throw invalidState(`Endpoint ${endpoint.arn} cannot be deleted while it is ${endpoint.status}.`);
  }
  endpoint.status = 'deleting';
  cloud.store.save();
  removeEndpoint(cloud, endpoint);
  return { Endpoint: view(endpoint) };
}

/** Background work of DeleteEndpoint. Its connections end with it. */
export function removeEndpoint(cloud: Cloud, endpoint: EndpointState): void {
  cloud.background.run(`delete endpoint ${endpoint.id}`, endpoint.arn, async () => {
    await cloud.background.sleep(cloud.timing.dmsDeleting);
    const { dms } = cloud.store.state;
    for (const [key, connection] of Object.entries(dms.connections)) {
      if (connection.endpointArn === endpoint.arn) delete dms.connections[key];
    }
    delete dms.endpoints[endpoint.arn];
    cloud.store.save();
  });
}

/** The password is in no answer. */
function view(endpoint: EndpointState): Endpoint {
  return {
    EndpointIdentifier: endpoint.id,
    EndpointType: endpoint.type,
    EngineName: endpoint.engine,
    EngineDisplayName: 'PostgreSQL',
    Username: endpoint.user,
    ServerName: endpoint.host,
    Port: endpoint.port,
    DatabaseName: endpoint.database,
    ...(endpoint.extraAttributes === undefined ? {} : { ExtraConnectionAttributes: endpoint.extraAttributes }),
    Status: endpoint.status,
    KmsKeyId: endpoint.kmsKeyId,
    EndpointArn: endpoint.arn,
    ...(endpoint.certificateArn === undefined ? {} : { CertificateArn: endpoint.certificateArn }),
    SslMode: endpoint.sslMode,
    PostgreSQLSettings: {
      ServerName: endpoint.host,
      Port: endpoint.port,
      DatabaseName: endpoint.database,
      Username: endpoint.user,
      ...endpoint.settings,
    },
  };
}
