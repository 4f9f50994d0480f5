/** `engine: elasticache` over the wire: the unmodified SDK, the sandbox's ElastiCache, its nodes and a real source. */
import {
  CreateCacheParameterGroupCommand,
  CreateReplicationGroupCommand,
  ModifyCacheParameterGroupCommand,
  ModifyReplicationGroupCommand,
  StartMigrationCommand,
  type CreateReplicationGroupCommandInput,
} from '@aws-sdk/client-elasticache';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { closeAwsClients, elasticache } from '../activities/aws/clients.ts';
import { describeGroup } from '../activities/elasticache/replication-group.ts';
import { preflightRedisOnline } from '../activities/redis/preflight/preflight.ts';
import { startAws, type Aws } from '../sandbox/aws/index.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { ensureTool } from '../sandbox/runtime/tools.ts';
import type { CheckReport } from '../spec/preflight.ts';
import {
  freshFolder,
  groupMigrationOf,
  server,
  stopServers,
  until,
  type FileParts,
} from './preflight-redis-servers.ts';

const REGION = 'eu-west-1';
/** What is so on one machine: loopback, and what is never seen from the worker. */
const ALWAYS = ['N1', 'N2', 'N3'];

let aws: Aws;
let source: RedisServer;

/** A window three days from now: the tests must not depend on the hour they run at. */
function faraway(): string {
  const day = (n: number) => ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'][(new Date().getUTCDay() + n) % 7];
  return `${day(3)}:12:00-${day(3)}:13:00`;
}

async function createGroup(id: string, over: Partial<CreateReplicationGroupCommandInput> = {}): Promise<void> {
  await elasticache({ region: REGION }).send(
    new CreateReplicationGroupCommand({
      ReplicationGroupId: id,
      ReplicationGroupDescription: 'preflight',
      Engine: 'redis',
      CacheNodeType: 'cache.r7g.large',
      NumCacheClusters: 2,
      AutomaticFailoverEnabled: true,
      MultiAZEnabled: true,
      TransitEncryptionEnabled: false,
      PreferredMaintenanceWindow: faraway(),
      SnapshotRetentionLimit: 0,
      ...over,
    }),
  );
  await until(`${id} available`, async () => {
    const facts = await describeGroup({ id, aws: { region: REGION } });
    return facts.status === 'available' && facts.members.every(({ status }) => status === 'available');
  });
}

/** A parameter group; AWS's default ones evict (volatile-lru) where Redis by itself does not. */
async function createParameters(name: string, values: Record<string, string>): Promise<void> {
  const client = elasticache({ region: REGION });
  await client.send(
    new CreateCacheParameterGroupCommand({
      CacheParameterGroupName: name,
      CacheParameterGroupFamily: 'redis7',
      Description: name,
    }),
  );
  const pairs = Object.entries({ 'maxmemory-policy': 'noeviction', ...values });
  await client.send(
    new ModifyCacheParameterGroupCommand({
      CacheParameterGroupName: name,
      ParameterNameValues: pairs.map(([ParameterName, ParameterValue]) => ({ ParameterName, ParameterValue })),
    }),
  );
}

async function preflight(group: string, cheap = false, over: FileParts = {}): Promise<Record<string, CheckReport>> {
  const migration = groupMigrationOf(source, { target: { replicationGroup: group }, aws: { region: REGION }, ...over });
  const { checks } = await preflightRedisOnline({ migration, cheap });
  return Object.fromEntries(
    checks.filter(({ id, result }) => result !== 'pass' && !ALWAYS.includes(id)).map((report) => [report.id, report]),
  );
}

beforeAll(async () => {
  source = await server();
  const s = source.connect();
  await s.set('greeting', 'hello');
  await s.bgsave();
  const redisServer = await ensureTool('redis-server');
  aws = await startAws({ dir: freshFolder(), region: REGION, redisServer: redisServer.path });
  for (const [name, value] of Object.entries(aws.env)) vi.stubEnv(name, value);
  await createParameters('plain', {});
  await createGroup('orders', { CacheParameterGroupName: 'plain' });
}, 120_000);

afterEach(() => {
  aws.control.reset();
  aws.control.setTiming({ modifying: 100 });
});

afterAll(async () => {
  closeAwsClients();
  await aws?.stop();
  await stopServers();
  vi.unstubAllEnvs();
}, 60_000);

test('a group of one node, without Multi-AZ, with databases of its own', async () => {
  await createParameters('few', { databases: '4' });
  await createGroup('single', {
    NumCacheClusters: 1,
    AutomaticFailoverEnabled: false,
    MultiAZEnabled: false,
    CacheParameterGroupName: 'few',
  });
  const reports = await preflight('single');
  expect(Object.keys(reports).sort()).toEqual(['S8', 'T4']);
  expect(reports['S8']).toMatchObject({ result: 'fail', found: '16 on the source, 4 on the target' });
  expect(reports['T4']).toMatchObject({
    result: 'fail',
    found: 'MultiAZ disabled, AutomaticFailover disabled, one node',
    remedy:
      'aws elasticache increase-replica-count --replication-group-id single --new-replica-count 1 --apply-immediately --region eu-west-1 and, when available again: ' +
      'aws elasticache modify-replication-group --replication-group-id single --multi-az-enabled --automatic-failover-enabled --apply-immediately --region eu-west-1',
  });
}, 120_000);

test('a group with the default parameters, that is being modified', async () => {
  await createGroup('busy');
  expect((await preflight('busy'))['S12.eviction']).toMatchObject({
    result: 'warn',
    found: 'noeviction on the source, volatile-lru on the target',
    remedy:
      'aws elasticache create-cache-parameter-group --cache-parameter-group-name move-orders --cache-parameter-group-family redis7 --description move-orders --region eu-west-1 && ' +
      'aws elasticache modify-cache-parameter-group --cache-parameter-group-name move-orders --parameter-name-values ParameterName=maxmemory-policy,ParameterValue=noeviction --region eu-west-1 && ' +
      'aws elasticache modify-replication-group --replication-group-id busy --cache-parameter-group-name move-orders --apply-immediately --region eu-west-1',
  });
  aws.control.setTiming({ modifying: 10_000 });
  await elasticache({ region: REGION }).send(
    new ModifyReplicationGroupCommand({
      ReplicationGroupId: 'busy',
      CacheNodeType: 'cache.r7g.xlarge',
      ApplyImmediately: true,
    }),
  );
  expect((await preflight('busy'))['T1']).toMatchObject({ result: 'fail', found: 'modifying' });
}, 120_000);

test('no such group, and credentials that AWS refuses', async () => {
  const absent = await preflight('absent');
  expect(absent['T0']).toMatchObject({ result: 'fail', found: 'there is no replication group absent in eu-west-1' });
  expect(Object.values(absent).filter(({ result }) => result === 'fail')).toHaveLength(1);

  aws.control.rejectKey({});
  const refused = await preflight('orders');
  expect(refused['T0']).toMatchObject({ result: 'fail', found: expect.stringContaining('InvalidClientTokenId') });
  expect(refused['T4']).toMatchObject({ result: 'unknown' });
}, 120_000);

test('an AWS that never answers is unknown, and the source is judged all the same', async () => {
  aws.control.hang({ action: 'DescribeReplicationGroups', times: 10 });
  const reports = await preflight('orders');
  expect(reports['T0']).toMatchObject({ result: 'unknown', found: 'AWS has not described orders within 30 s' });
  expect(Object.values(reports).filter(({ result }) => result === 'fail')).toEqual([]);
  expect(reports['S0']).toBeUndefined();
}, 120_000);

// Last: from here on the source has a replica that every other group would be warned of.
test('a good group, from the start to right before the fence', async () => {
  expect(await preflight('orders')).toEqual({});
  expect(await preflight('orders', true)).toMatchObject({
    T1: { result: 'fail', found: 'available: it has to be migrating' },
  });

  await elasticache({ region: REGION }).send(
    new StartMigrationCommand({
      ReplicationGroupId: 'orders',
      CustomerNodeEndpointList: [{ Address: source.host, Port: source.port }],
    }),
  );
  await until('in sync', async () => Object.keys(await preflight('orders', true)).length === 0);
  // A preflight that is run again after a crash adopts what is attached.
  expect(await preflight('orders')).toEqual({});
}, 120_000);
