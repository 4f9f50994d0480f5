/**
 * AWS's answers to a wrong call. `code` is what goes over the wire; the SDK maps it to its class
 * (facts/redis-aws 3.2: `InvalidReplicationGroupState` becomes InvalidReplicationGroupStateFault).
 */
export class AwsFault extends Error {
  readonly code: string;
  readonly status: number;

  constructor(code: string, message: string, status?: number) {
    super(message);
    this.name = 'AwsFault';
    this.code = code;
    this.status = status ?? STATUS[code] ?? 400;
  }
}

/** HTTP statuses other than 400, from AWS's service model. */
const STATUS: Record<string, number> = {
  ReplicationGroupNotFoundFault: 404,
  CacheClusterNotFound: 404,
  SnapshotNotFoundFault: 404,
  CacheParameterGroupNotFound: 404,
  NodeGroupNotFoundFault: 404,
  TagNotFound: 404,
  MissingAuthenticationToken: 403,
  MissingAuthenticationTokenException: 403,
  IncompleteSignature: 400,
  InvalidClientTokenId: 403,
  UnrecognizedClientException: 400,
  AccessDenied: 403,
  AccessDeniedException: 400,
  SignatureDoesNotMatch: 403,
  ExpiredToken: 403,
  InternalFailure: 500,
  ServiceUnavailable: 503,
};

export function invalidValue(message: string): AwsFault {
  return new AwsFault('InvalidParameterValue', message);
}

export function invalidCombination(message: string): AwsFault {
  return new AwsFault('InvalidParameterCombination', message);
}

export function groupNotFound(id: string): AwsFault {
  return new AwsFault('ReplicationGroupNotFoundFault', `ReplicationGroup ${id} not found.`);
}

export function clusterNotFound(id: string): AwsFault {
  return new AwsFault('CacheClusterNotFound', `CacheCluster ${id} not found.`);
}

export function snapshotNotFound(name: string): AwsFault {
  return new AwsFault('SnapshotNotFoundFault', `Snapshot ${name} not found.`);
}

export function parameterGroupNotFound(name: string): AwsFault {
  return new AwsFault('CacheParameterGroupNotFound', `CacheParameterGroup ${name} not found.`);
}
