/**
 * AWS clients: one per service and region for the life of the process, so that sockets and credentials are shared by
 * all activities. Endpoint, region and credentials come from the SDK's standard variables and profiles alone; that is
 * also how the sandbox is reached (`AWS_ENDPOINT_URL`), and the product does not know.
 */
import { DatabaseMigrationServiceClient } from '@aws-sdk/client-database-migration-service';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { EC2Client } from '@aws-sdk/client-ec2';
import { ECSClient } from '@aws-sdk/client-ecs';
import { ElasticLoadBalancingV2Client } from '@aws-sdk/client-elastic-load-balancing-v2';
import { ElastiCacheClient } from '@aws-sdk/client-elasticache';
import { RDSClient } from '@aws-sdk/client-rds';
import { S3Client } from '@aws-sdk/client-s3';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SSMClient } from '@aws-sdk/client-ssm';
import { STSClient } from '@aws-sdk/client-sts';

/** Where a call goes: the file's `aws` section. Without a region it is the worker's own. */
export interface AwsTarget {
  region?: string | undefined;
}

/** How long one attempt of a call may take, in ms. A hanging call must end, or the activity would wait for its timeout. */
const REQUEST_TIMEOUT_MS = 20_000;
const CONNECTION_TIMEOUT_MS = 5_000;

// The SDK warns about old versions of Node in the middle of an operator's screen; package.json's `engines` says it too.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

interface Settings {
  region?: string;
  maxAttempts?: number;
  requestHandler: { requestTimeout: number; connectionTimeout: number; throwOnRequestTimeout: boolean };
}

/** The variables that decide where a client goes and as whom; a process that changes them gets another client. */
const DECISIVE = [
  'AWS_ENDPOINT_URL',
  'AWS_REGION',
  'AWS_PROFILE',
  'AWS_ACCESS_KEY_ID',
  'AWS_ENDPOINT_URL_ELASTICACHE',
  'AWS_ENDPOINT_URL_SSM',
  'AWS_ENDPOINT_URL_ECS',
  'AWS_ENDPOINT_URL_SECRETS_MANAGER',
  'AWS_ENDPOINT_URL_DATABASE_MIGRATION_SERVICE',
  'AWS_ENDPOINT_URL_RDS',
  'AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2',
  'AWS_ENDPOINT_URL_DYNAMODB',
  'AWS_ENDPOINT_URL_EC2',
  'AWS_ENDPOINT_URL_S3',
  'AWS_ENDPOINT_URL_STS',
];

const closers: (() => void)[] = [];

/** A function that gives the client for a region, made on first use. */
function perRegion<C extends { destroy(): void }>(
  make: (settings: Settings) => C,
  maxAttempts?: number,
): (aws?: AwsTarget) => C {
  const open = new Map<string, C>();
  closers.push(() => {
    for (const client of open.values()) client.destroy();
    open.clear();
  });
  return (aws = {}) => {
    const key = [aws.region, ...DECISIVE.map((name) => process.env[name])].join(' ');
    const existing = open.get(key);
    if (existing) return existing;
    const client = make({
      ...(aws.region === undefined ? {} : { region: aws.region }),
      ...(maxAttempts === undefined ? {} : { maxAttempts }),
      requestHandler: {
        requestTimeout: REQUEST_TIMEOUT_MS,
        connectionTimeout: CONNECTION_TIMEOUT_MS,
        // Without this the SDK only warns, and the call hangs on.
        throwOnRequestTimeout: true,
      },
    });
    open.set(key, client);
    return client;
  };
}

export const elasticache = perRegion((settings) => new ElastiCacheClient(settings));

/**
 * For calls that must not be sent twice unseen: the SDK never sends them again by itself. With its retries, the answer
 * to the second sending ("not under migration") would hide that the first one, whose answer was lost, had worked.
 */
export const elasticacheOnce = perRegion((settings) => new ElastiCacheClient(settings), 1);

export const ssm = perRegion((settings) => new SSMClient(settings));
export const ecs = perRegion((settings) => new ECSClient(settings));
export const secretsManager = perRegion((settings) => new SecretsManagerClient(settings));
export const dms = perRegion((settings) => new DatabaseMigrationServiceClient(settings));
export const rds = perRegion((settings) => new RDSClient(settings));
export const elbv2 = perRegion((settings) => new ElasticLoadBalancingV2Client(settings));

export const dynamodb = perRegion((settings) => new DynamoDBClient(settings));
export const ec2 = perRegion((settings) => new EC2Client(settings));
/** CreateImage and CreateSnapshots have no client token (facts/redis-aws 3.5): the SDK must not send them twice unseen. */
export const ec2Once = perRegion((settings) => new EC2Client(settings), 1);
/** SendCommand has no client token (facts/redis-aws 3.6). */
export const ssmOnce = perRegion((settings) => new SSMClient(settings), 1);
export const s3 = perRegion(
  (settings) =>
    // An endpoint of one's own has no name per bucket in DNS.
    new S3Client({ ...settings, ...(process.env['AWS_ENDPOINT_URL'] ? { forcePathStyle: true } : {}) }),
);
export const sts = perRegion((settings) => new STSClient(settings));

/** Closes every client's sockets; the next use opens new ones. For the worker's end, after the last activity. */
export function closeAwsClients(): void {
  for (const close of closers) close();
}
