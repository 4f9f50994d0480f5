/**
 * Writes answers of the awsQuery protocol. A wrong element name is read by the SDK as an empty list without any error
 * (facts/redis-aws 5.1), so a list whose element name is not known here is a mistake of ours and throws.
 */
import { escapeXml } from './xml.ts';

const NAMESPACE = 'http://elasticache.amazonaws.com/doc/2015-02-02/';

const ELEMENTS: Record<string, string> = {
  ReplicationGroups: 'ReplicationGroup',
  NodeGroups: 'NodeGroup',
  NodeGroupMembers: 'NodeGroupMember',
  MemberClusters: 'ClusterId',
  Snapshots: 'Snapshot',
  NodeSnapshots: 'NodeSnapshot',
  Events: 'Event',
  CacheClusters: 'CacheCluster',
  CacheNodes: 'CacheNode',
  CacheSecurityGroups: 'CacheSecurityGroup',
  Parameters: 'Parameter',
  CacheNodeTypeSpecificParameters: 'CacheNodeTypeSpecificParameter',
  CacheParameterGroups: 'CacheParameterGroup',
  CacheNodeTypeSpecificValues: 'CacheNodeTypeSpecificValue',
  CacheEngineVersions: 'CacheEngineVersion',
  CacheNodeIdsToReboot: 'CacheNodeId',
  LogDeliveryConfigurations: 'LogDeliveryConfiguration',
  ReplicaAvailabilityZones: 'AvailabilityZone',
  SecurityGroups: 'member',
  UserGroupIds: 'member',
  TagList: 'Tag',
};

/** The body of a successful answer. `<XResult>` must be there and exact, or the SDK reads `{}` without an error. */
export function answerBody(action: string, result: object, requestId: string): string {
  return (
    `<${action}Response xmlns="${NAMESPACE}"><${action}Result>${members(result)}</${action}Result>` +
    `<ResponseMetadata><RequestId>${requestId}</RequestId></ResponseMetadata></${action}Response>`
  );
}

/** The body of a refusal. `Type` is `Sender` for 4xx and `Receiver` for 5xx. */
export function faultBody(code: string, message: string, status: number, requestId: string): string {
  const type = status >= 500 ? 'Receiver' : 'Sender';
  return (
    `<ErrorResponse xmlns="${NAMESPACE}"><Error><Type>${type}</Type><Code>${escapeXml(code)}</Code>` +
    `<Message>${escapeXml(message)}</Message></Error><RequestId>${requestId}</RequestId></ErrorResponse>`
  );
}

function members(value: object): string {
  return Object.entries(value)
    .map(([name, member]) => element(name, member))
    .join('');
}

function element(name: string, value: unknown): string {
  if (value === undefined || value === null) return '';
  if (Array.isArray(value)) {
    const item = ELEMENTS[name];
    if (item === undefined) throw new Error(`sandbox/aws/query-output.ts: no element name is known for list ${name}`);
    return `<${name}>${value.map((entry) => element(item, entry)).join('')}</${name}>`;
  }
  return `<${name}>${content(value)}</${name}>`;
}

function content(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return escapeXml(value);
    case 'number':
    case 'boolean':
      return String(value);
    case 'object':
      // Epoch seconds would be a TypeError in the SDK: this protocol writes ISO 8601.
      if (value instanceof Date) return value.toISOString();
      return members(value ?? {});
    default:
      throw new Error(`sandbox/aws/query-output.ts: a ${typeof value} cannot be written`);
  }
}
