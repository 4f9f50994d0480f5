/**
 * `engine: elasticache`: the source and the group's primary are real servers, the primary with its commands blocked as on
 * AWS; what AWS says of the group is as recorded (facts/redis-aws 3.1), broken one field at a time.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { GroupFacts } from '../activities/elasticache/replication-group.ts';
import { permanent, transient } from '../activities/errors.ts';
import { checksAt, elastiCacheChecks } from '../activities/redis/preflight/catalogue.ts';
import type { RedisOnlineContext } from '../activities/redis/preflight/context.ts';
import { elastiCacheContext, type ElastiCacheQuestions } from '../activities/redis/preflight/elasticache-context.ts';
import { redisProbe } from '../activities/redis/preflight/probe.ts';
import { runChecks } from '../activities/preflight/run-checks.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { ErrorType } from '../spec/errors.ts';
import type { CheckReport, CheckResult } from '../spec/preflight.ts';
import { groupMigrationOf, server, stopServers, until, type FileParts } from './preflight-redis-servers.ts';

const ATTACH = 'secret-replicaof';
const SUNDAY_NOON = Date.parse('2026-11-22T12:00:00Z');

let source: RedisServer;
let primary: RedisServer;

beforeAll(async () => {
  const blocked = ['CONFIG ""', 'DEBUG ""', 'BGSAVE ""', 'ACL ""', 'MODULE ""', `REPLICAOF ${ATTACH}`];
  [source, primary] = await Promise.all([server(), server({ config: { 'rename-command': blocked } })]);
  const s = source.connect();
  await s.set('greeting', 'hello');
  await s.bgsave();
}, 120_000);

afterAll(stopServers, 60_000);

function facts(over: Partial<GroupFacts> = {}): GroupFacts {
  const address = { host: primary.host, port: primary.port };
  const member = { nodeGroup: '0001', status: 'available', statusMeaning: 'ok' } as const;
  return {
    id: 'orders',
    arn: 'arn:aws:elasticache:eu-west-1:123456789012:replicationgroup:orders',
    status: 'available',
    statusMeaning: 'ok',
    warnings: [],
    pendingModifications: [],
    clusterEnabled: false,
    primary: address,
    members: [
      { ...member, id: 'orders-001', role: 'primary', availabilityZone: 'eu-west-1a' },
      { ...member, id: 'orders-002', role: 'replica', availabilityZone: 'eu-west-1b' },
    ],
    nodeGroups: [{ id: '0001', status: 'available', primary: address, members: 2 }],
    multiAz: true,
    automaticFailover: 'enabled',
    transitEncryption: false,
    atRestEncryption: false,
    authToken: false,
    userGroups: [],
    dataTiering: false,
    cacheNodeType: 'cache.r7g.large',
    engine: 'redis',
    engineVersion: '7.1.0',
    parameterGroup: 'orders-parameters',
    snapshotRetention: 1,
    snapshotWindow: '05:00-06:00',
    maintenanceWindow: 'mon:01:00-mon:02:00',
    tags: {},
    ...over,
  };
}

const PARAMETERS: Record<string, string> = {
  databases: '16',
  'maxmemory-policy': 'noeviction',
  'reserved-memory-percent': '25',
  'min-replicas-to-write': '0',
};

interface Case {
  group?: Partial<GroupFacts> | Error;
  parameters?: Record<string, string>;
  file?: FileParts;
  moment?: RedisOnlineContext['moment'];
  now?: number;
  /** AWS does not tell the tags of a group that is not available. */
  untagged?: boolean;
}

async function preflight(at: Case = {}): Promise<Record<string, CheckReport>> {
  const migration = groupMigrationOf(source, at.file);
  const { host, port } = migration.source;
  const questions: ElastiCacheQuestions = {
    describeGroup: async () => {
      if (at.group instanceof Error) throw at.group;
      const { tags, ...rest } = facts(at.group);
      return at.untagged ? rest : { ...rest, ...(tags ? { tags } : {}) };
    },
    parameterValue: async ({ parameterGroup, name }) => {
      expect(parameterGroup).toBe(facts(at.group instanceof Error ? {} : at.group).parameterGroup);
      return { ...PARAMETERS, ...at.parameters }[name];
    },
    now: () => at.now ?? SUNDAY_NOON,
  };
  const shared = {
    moment: at.moment ?? 'before-attach',
    source: redisProbe('source', migration.source, 'cutover:test'),
    replication: migration.source.replicationAddress ?? { host, port },
  } as const;
  const context = await elastiCacheContext(migration, shared, questions);
  try {
    const reports = await runChecks(checksAt(context.moment, elastiCacheChecks), context);
    return Object.fromEntries(reports.map((report) => [report.id, report]));
  } finally {
    context.source.close();
    context.target.close();
  }
}

/** A source on loopback is what N2 warns of; N1 and N3 are unknown always. */
const ALWAYS = ['N1', 'N2', 'N3'];

const others = (reports: Record<string, CheckReport>) =>
  Object.values(reports)
    .filter(({ id, result }) => result !== 'pass' && !ALWAYS.includes(id))
    .map(({ id }) => id)
    .sort();

test('a good group: only what can’t be seen is unknown, and loopback is suspicious', async () => {
  const reports = await preflight();
  expect(others(reports)).toEqual([]);
  expect(reports['N1']).toMatchObject({
    result: 'unknown',
    found: expect.stringContaining('the step TestMigration tries it next'),
    remedy:
      `aws elasticache test-migration --replication-group-id orders --customer-node-endpoint-list Address=127.0.0.1,Port=${source.port} --region eu-west-1 && sleep 60 && ` +
      'aws elasticache describe-events --source-type replication-group --source-identifier orders --region eu-west-1',
  });
  expect(reports['N2']).toMatchObject({
    result: 'warn',
    found: "127.0.0.1 is a loopback address: to the target's nodes it means themselves",
    remedy: "set source.replicationAddress in the file to the source's private IP address, exactly",
  });
  expect(reports['N3']).toMatchObject({ result: 'unknown' });
  // A primary without maxmemory is none of AWS's; its machine's memory is what it says it has.
  expect(reports['S8']!.found).toBe('16 on both');
}, 60_000);

const aws = (rest: string) => `aws elasticache ${rest}`;
const modify = (rest: string) =>
  aws(`modify-replication-group --replication-group-id orders ${rest} --apply-immediately --region eu-west-1`);

const BROKEN: [string, Case, CheckResult, string | RegExp, string | RegExp, string[]?][] = [
  [
    'T1',
    { group: { status: 'modifying', statusMeaning: 'pending' } },
    'fail',
    'modifying',
    /^wait for it, and see the events: aws elasticache describe-events/,
  ],
  [
    'T1',
    { group: { status: 'create-failed', statusMeaning: 'failed' } },
    'fail',
    'create-failed',
    /make a new one of another name$/,
  ],
  ['T1', { group: { status: 'migrating', statusMeaning: 'pending' } }, 'fail', 'migrating', /describe-events/],
  [
    'T1',
    { group: { status: 'polishing', statusMeaning: 'pending', warnings: ['unknown status of orders: polishing'] } },
    'fail',
    'polishing; unknown status of orders: polishing',
    /describe-events/,
  ],
  [
    'T1.pending',
    { group: { pendingModifications: ['CacheNodeType: "cache.r7g.xlarge"'] } },
    'fail',
    'CacheNodeType: "cache.r7g.xlarge"',
    aws('describe-replication-groups --replication-group-id orders --region eu-west-1'),
  ],
  [
    'T1.nodes',
    {
      group: {
        members: [
          { id: 'orders-001', nodeGroup: '1', role: 'primary', status: 'available' },
          { id: 'orders-002', nodeGroup: '1', role: 'replica' },
        ],
      },
    },
    'fail',
    'orders-002: gone',
    /describe-events/,
  ],
  ['T2', { group: { engineVersion: '5.0.4' } }, 'fail', 'the target is Redis 5.0.4', /Valkey 8/, ['S2']],
  [
    'S2',
    { group: { engineVersion: '6.2.6' } },
    'fail',
    /^the target is older than the source: Redis 6\.2\.6 can't read/,
    /^make the replication group with an engine/,
  ],
  [
    'T3',
    { group: { transitEncryption: true } },
    'fail',
    'TransitEncryptionEnabled: true; it can be switched on after the migration',
    `${modify('--transit-encryption-mode preferred')} and, when available again: ${modify('--no-transit-encryption-enabled')}`,
    // The primary of this test does not speak TLS; a real one would.
    ['T0.primary', 'T5', 'T9'],
  ],
  [
    'T4',
    { group: { multiAz: false } },
    'fail',
    'MultiAZ disabled, AutomaticFailover enabled',
    modify('--multi-az-enabled --automatic-failover-enabled'),
  ],
  [
    'T4',
    { group: { automaticFailover: 'enabling' } },
    'fail',
    'MultiAZ enabled, AutomaticFailover enabling',
    /--automatic-failover-enabled/,
  ],
  [
    'T6',
    { group: { clusterEnabled: true } },
    'fail',
    'ClusterEnabled: true, 1 shards; the source is one primary',
    /cluster mode disabled/,
  ],
  [
    'T7',
    { group: { globalDatastore: 'ldgnf-orders' } },
    'fail',
    'member of the global datastore ldgnf-orders',
    /make a new one outside of a global datastore/,
  ],
  [
    'T7',
    { group: { dataTiering: true, cacheNodeType: 'cache.r6gd.xlarge' } },
    'fail',
    'data tiering (cache.r6gd.xlarge)',
    /no r6gd/,
  ],
  [
    'T7',
    {
      group: {
        members: [
          {
            id: 'orders-001',
            nodeGroup: '1',
            role: 'primary',
            status: 'available',
            availabilityZone: 'us-west-2-lax-1a',
          },
        ],
      },
    },
    'fail',
    'orders-001 in the Local Zone us-west-2-lax-1a',
    /in a Region proper$/,
  ],
  [
    'T8',
    { group: { authToken: true } },
    'fail',
    'AuthTokenEnabled: true',
    modify('--auth-token-update-strategy DELETE'),
  ],
  [
    'T8',
    { group: { userGroups: ['staff'] } },
    'fail',
    'user groups: staff',
    modify('--user-group-ids-to-remove staff'),
  ],
  [
    'T17',
    { group: { tags: { 'cutover:migration': 'other' } } },
    'fail',
    'its tag cutover:migration is other',
    'end that migration, or, if it is over: ' +
      aws(
        'remove-tags-from-resource --resource-name arn:aws:elasticache:eu-west-1:123456789012:replicationgroup:orders --tag-keys cutover:migration --region eu-west-1',
      ),
  ],
  [
    'S8',
    { parameters: { databases: '8' } },
    'fail',
    '16 on the source, 8 on the target',
    /^aws elasticache create-cache-parameter-group --cache-parameter-group-name move-orders --cache-parameter-group-family redis7 .* && aws elasticache modify-cache-parameter-group .*ParameterName=databases,ParameterValue=16 --region eu-west-1, then make the replication group anew with it: databases can't be changed on an existing one$/,
  ],
  [
    'S12.eviction',
    { parameters: { 'maxmemory-policy': 'volatile-lru' } },
    'warn',
    'noeviction on the source, volatile-lru on the target',
    aws(
      'modify-cache-parameter-group --cache-parameter-group-name orders-parameters --parameter-name-values ParameterName=maxmemory-policy,ParameterValue=noeviction --region eu-west-1',
    ),
  ],
  [
    'C9',
    { parameters: { 'min-replicas-to-write': '2' } },
    'fail',
    /^min-replicas-to-write 2 on the target, with 0 replicas/,
    /modify-cache-parameter-group/,
  ],
  [
    'O1',
    { now: Date.parse('2026-11-23T00:30:00Z') },
    'warn',
    /^the maintenance window mon:01:00-mon:02:00 UTC begins or goes on at 2026-11-23T01:00:00\.000Z, within the next hour/,
    modify("--preferred-maintenance-window '<ddd:hh:mm-ddd:hh:mm, away from it>'"),
  ],
  [
    'O1',
    { file: { cutover: { gate: { from: '2026-11-24T05:30:00Z', to: '2026-11-24T06:30:00Z' } } } },
    'warn',
    /^the snapshot window 05:00-06:00 UTC begins or goes on at 2026-11-24T05:30:00\.000Z, within the gate's window/,
    modify("--snapshot-window '<hh:mm-hh:mm, away from it>'"),
  ],
];

describe('each field of the group that can be wrong', () => {
  test.each(BROKEN)(
    '%s %#',
    async (id, at, result, found, remedy, also = []) => {
      const reports = await preflight(at);
      expect(others(reports)).toEqual([id, ...also].sort());
      expect(reports[id]!.result).toBe(result);
      expect(reports[id]!.found).toMatch(found);
      if (typeof remedy === 'string') expect(reports[id]!.remedy).toContain(remedy);
      else expect(reports[id]!.remedy).toMatch(remedy);
    },
    60_000,
  );

  test.each([
    ['fail', permanent(ErrorType.notFound, 'there is no replication group orders', { remedy: 'check the name' })],
    ['fail', permanent(ErrorType.denied, 'DescribeReplicationGroups of orders: AccessDenied: not authorized')],
    ['unknown', transient(ErrorType.throttled, 'DescribeReplicationGroups of orders: Throttling: Rate exceeded')],
  ] as const)(
    'T0 %s: %s',
    async (result, error) => {
      const reports = await preflight({ group: error });
      expect(reports['T0']).toMatchObject({ result, found: error.message });
      const ofTarget = Object.values(reports).filter(({ id }) => /^(T|O|C9)/.test(id) && id !== 'T0');
      expect(ofTarget.length).toBeGreaterThan(12);
      expect(ofTarget.filter((report) => report.result !== 'unknown')).toEqual([]);
      expect(reports['S11']).toMatchObject({ result: 'pass' });
    },
    60_000,
  );
});

describe('the source, as ElastiCache needs it', () => {
  test('S4: protected-mode', async () => {
    const s = source.connect();
    await s.config('SET', 'protected-mode', 'yes');
    const reports = await preflight();
    await s.config('SET', 'protected-mode', 'no');
    expect(others(reports)).toEqual(['S4']);
    expect(reports['S4']).toMatchObject({
      result: 'fail',
      found: 'protected-mode yes',
      remedy: `redis-cli -h 127.0.0.1 -p ${source.port} CONFIG SET protected-mode no`,
    });
  }, 60_000);

  test('S3: AUTH, though the file has the right password', async () => {
    process.env['PREFLIGHT_GROUP'] = 'staple-horse-battery';
    const s = source.connect();
    await s.config('SET', 'requirepass', 'staple-horse-battery');
    const reports = await preflight({ file: { source: { password: { env: 'PREFLIGHT_GROUP' } } } });
    await s.config('SET', 'requirepass', '');
    expect(others(reports)).toEqual(['S3']);
    expect(reports['S3']).toMatchObject({
      result: 'fail',
      found: expect.stringMatching(/^AUTH is on, and ElastiCache comes without a password: .*NOAUTH/),
    });
    expect(reports['S3']!.remedy).toMatch(
      new RegExp(`^redis-cli -h 127\\.0\\.0\\.1 -p ${source.port} --askpass CONFIG SET requirepass ''`),
    );
    expect(JSON.stringify(reports)).not.toContain('staple-horse-battery');
  }, 60_000);

  test('S7: all the commands that AWS names', async () => {
    const renamed = await server({ config: { 'rename-command': ['SYNC ""', 'CLUSTER ""', 'COMMAND ""'] } });
    const reports = await preflight({ file: { source: { host: renamed.host, port: renamed.port } } });
    expect(reports['S7']).toMatchObject({ result: 'fail', found: 'renamed or disabled on the source: command' });
    await renamed.stop();
  }, 60_000);
});

describe('the group’s primary', () => {
  test('T9: keys on it', async () => {
    const p = primary.connect();
    await p.set('old', 'x');
    const reports = await preflight();
    await p.flushall();
    expect(others(reports)).toEqual(['T9']);
    expect(reports['T9']).toMatchObject({ result: 'fail', found: 'db0: 1 keys: attaching deletes them' });
  }, 60_000);

  test('T0.primary: not reached from the worker, and nothing of it is a pass', async () => {
    const reports = await preflight({ group: { primary: { host: '127.0.0.1', port: 1 } } });
    expect(others(reports)).toEqual(['T0.primary', 'T5', 'T9']);
    expect(reports['T0.primary']).toMatchObject({ result: 'fail' });
    expect(reports['T5']).toMatchObject({ result: 'unknown', found: expect.stringContaining('(see T0)') });
  }, 60_000);
});

describe('right before the fence', () => {
  const migrating = { status: 'migrating', statusMeaning: 'pending' } as const;

  test('a group that is available has ended its migration; one that migrates from us is fine', async () => {
    const p = primary.connect();
    expect((await preflight({ moment: 'before-fence' }))['T1']).toMatchObject({
      result: 'fail',
      found: 'available: it has to be migrating',
      remedy: expect.stringContaining('describe-events'),
    });
    await p.call(ATTACH, source.host, String(source.port));
    try {
      await until('in sync', async () => /master_link_status:up/.test(await p.info('replication')));
      const atFence = { moment: 'before-fence', group: migrating, untagged: true } as const;
      const reports = await preflight(atFence);
      expect(others(reports)).toEqual([]);
      expect(reports['T1']!.found).toBe('migrating from our source, link up');
      expect(reports['T17']!.found).toBe('it replicates from our source');
      expect(reports['S9.memory']).toBeUndefined();

      const inWindow = await preflight({ ...atFence, now: Date.parse('2026-11-22T04:45:00Z') });
      expect(inWindow['O1']).toMatchObject({
        result: 'fail',
        found: expect.stringContaining('2026-11-22T05:00:00.000Z, within the budgets of the cutover'),
      });

      expect((await preflight({ group: migrating, untagged: true }))['T1']).toMatchObject({
        result: 'pass',
        found: 'migrating from our source already: adopted',
      });
    } finally {
      await p.call(ATTACH, 'NO', 'ONE');
      await p.flushall();
    }
  }, 60_000);
});
