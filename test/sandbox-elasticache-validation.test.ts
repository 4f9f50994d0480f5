import {
  CopySnapshotCommand,
  CreateCacheParameterGroupCommand,
  CreateReplicationGroupCommand,
  CreateSnapshotCommand,
  DeleteCacheParameterGroupCommand,
  DescribeCacheEngineVersionsCommand,
  DescribeCacheParametersCommand,
  DescribeCacheParameterGroupsCommand,
  DescribeEventsCommand,
  DescribeReplicationGroupsCommand,
  DescribeSnapshotsCommand,
  ListTagsForResourceCommand,
  ModifyCacheParameterGroupCommand,
  ModifyReplicationGroupCommand,
  StartMigrationCommand,
} from '@aws-sdk/client-elasticache';
import type { CreateReplicationGroupCommandInput } from '@aws-sdk/client-elasticache';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTarget, refusal, startRig } from './sandbox-elasticache-setup.ts';
import type { Rig } from './sandbox-elasticache-setup.ts';

const MINUTES = 180_000;
let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
}, MINUTES);
afterAll(async () => {
  expect(rig.aws.control.failures()).toEqual([]);
  await rig.end();
}, MINUTES);

const VALUE = 'InvalidParameterValue';
const COMBINATION = 'InvalidParameterCombination';
const base: CreateReplicationGroupCommandInput = {
  ReplicationGroupId: 'wrong',
  ReplicationGroupDescription: 'd',
  CacheNodeType: 'cache.t4g.micro',
};

test.each<[string, Partial<CreateReplicationGroupCommandInput>, string, RegExp]>([
  ['no description', { ReplicationGroupDescription: '' }, VALUE, /ReplicationGroupDescription must be provided/],
  ['no node type', { CacheNodeType: undefined }, VALUE, /CacheNodeType must be provided/],
  ['an unknown node type', { CacheNodeType: 'cache.huge' }, VALUE, /Invalid Cache Node Type: cache\.huge/],
  ['a name that starts with a digit', { ReplicationGroupId: '1rg' }, VALUE, /must begin with a letter/],
  ['a double hyphen', { ReplicationGroupId: 'a--b' }, VALUE, /two consecutive hyphens/],
  ['a hyphen last', { ReplicationGroupId: 'a-' }, VALUE, /must not end with a hyphen/],
  ['an underscore', { ReplicationGroupId: 'a_b' }, VALUE, /only ASCII letters/],
  ['a name of 41', { ReplicationGroupId: 'a'.repeat(41) }, VALUE, /1 to 40 characters/],
  ['seven nodes', { NumCacheClusters: 7 }, VALUE, /NumCacheClusters must be between 1 and 6, not 7/],
  ['no nodes', { NumCacheClusters: 0 }, VALUE, /NumCacheClusters must be between 1 and 6, not 0/],
  ['failover with one node', { AutomaticFailoverEnabled: true }, COMBINATION, /at least two nodes/],
  ['Multi-AZ without failover', { NumCacheClusters: 2, MultiAZEnabled: true }, COMBINATION, /AutomaticFailoverEnabled/],
  ['both ways to count', { NumCacheClusters: 2, ReplicasPerNodeGroup: 1 }, COMBINATION, /NumCacheClusters cannot/],
  [
    'shards without cluster mode',
    { NumNodeGroups: 2, CacheParameterGroupName: 'default.redis7' },
    COMBINATION,
    /cluster-enabled/,
  ],
  ['an unknown engine', { Engine: 'memcached2' }, VALUE, /Invalid cache engine/],
  ['an unknown version', { EngineVersion: '9.9' }, COMBINATION, /Cannot find version 9\.9 for redis/],
  [
    'a parameter group of another family',
    { CacheParameterGroupName: 'default.redis6.x' },
    COMBINATION,
    /family redis7/,
  ],
  ['an unknown parameter group', { CacheParameterGroupName: 'nope' }, 'CacheParameterGroupNotFound', /nope not found/],
  ['an unknown snapshot', { SnapshotName: 'nope' }, 'SnapshotNotFoundFault', /nope not found/],
  ['retention of 36 days', { SnapshotRetentionLimit: 36 }, VALUE, /between 0 and 35 days, not 36/],
  ['a window of a minute', { SnapshotWindow: '03:00-03:01' }, VALUE, /at least 60 minutes/],
  ['a window that is none', { SnapshotWindow: 'noon' }, VALUE, /Invalid SnapshotWindow 'noon'/],
  [
    'windows that overlap',
    { SnapshotWindow: '05:30-06:30', PreferredMaintenanceWindow: 'sun:06:00-sun:07:00' },
    VALUE,
    /must not overlap/,
  ],
  [
    'windows that overlap over midnight',
    { SnapshotWindow: '23:30-00:30', PreferredMaintenanceWindow: 'mon:00:00-mon:01:00' },
    VALUE,
    /must not overlap/,
  ],
  ['a token without encryption', { AuthToken: 'x'.repeat(20) }, COMBINATION, /TransitEncryptionEnabled/],
  ['a short token', { AuthToken: 'short', TransitEncryptionEnabled: true }, VALUE, /Invalid AuthToken/],
  ['an enum that is none', { NetworkType: 'ipv5' as 'ipv4' }, VALUE, /Invalid value 'ipv5' for NetworkType/],
  ['a privileged port', { Port: 80 }, VALUE, /Port must be between/],
  [
    'zones that do not match',
    { NumCacheClusters: 2, PreferredCacheClusterAZs: ['us-east-1a'] },
    COMBINATION,
    /2 nodes, 1 zones/,
  ],
  ['a tag of AWS', { Tags: [{ Key: 'aws:x', Value: '' }] }, VALUE, /must not begin with aws:/],
  ['a bad ARN', { SnapshotArns: ['arn:aws:s3:::bucket/with,comma.rdb'] }, VALUE, /without commas/],
  [
    'slots that overlap',
    {
      NumNodeGroups: 2,
      NodeGroupConfiguration: [{ Slots: '0-9000' }, { Slots: '9000-16383' }],
    },
    VALUE,
    /Slot 9000 is given to more than one/,
  ],
])('CreateReplicationGroup with %s is refused', async (_what, wrong, code, message) => {
  const refused = await refusal(rig.client.send(new CreateReplicationGroupCommand({ ...base, ...wrong })));
  expect(refused.Code).toBe(code);
  expect(refused.message).toMatch(message);
  expect(refused.message).not.toContain(wrong.AuthToken ?? '\0');
  expect((await rig.client.send(new DescribeReplicationGroupsCommand({}))).ReplicationGroups).toEqual([]);
});

test(
  'migrations are refused for a target or an endpoint that AWS would not take',
  async () => {
    const start = (id: string, list: { Address?: string; Port?: number }[]): Promise<unknown> =>
      rig.client.send(new StartMigrationCommand({ ReplicationGroupId: id, CustomerNodeEndpointList: list }));
    const one = [{ Address: '10.0.0.1', Port: 6379 }];
    expect(await refusal(start('none', one))).toMatchObject({
      name: 'ReplicationGroupNotFoundFault',
      Code: 'ReplicationGroupNotFoundFault',
    });
    await createTarget(rig, 'single', { NumCacheClusters: 1, AutomaticFailoverEnabled: false, MultiAZEnabled: false });
    await createTarget(rig, 'encrypted', { TransitEncryptionEnabled: true });
    await createTarget(rig, 'old', { EngineVersion: '5.0.4' });
    await createTarget(rig, 'fit');
    for (const [id, list, why] of [
      ['fit', [], /CustomerNodeEndpointList must/],
      ['fit', [...one, ...one], /exactly one endpoint, not 2/],
      ['fit', [{ Address: 'a b', Port: 1 }], /Invalid Address 'a b'/],
      ['fit', [{ Address: '10.0.0.1' }], /Invalid Port ''/],
      ['fit', [{ Address: '10.0.0.1', Port: 70_000 }], /Invalid Port '70000'/],
      ['single', one, /Multi-AZ must be enabled/],
      ['encrypted', one, /in-transit encryption must be disabled/],
      ['old', one, /5\.0\.5 or higher, not 5\.0\.4/],
    ] as const) {
      const refused = await refusal(start(id, [...list]));
      expect(refused).toMatchObject({ name: 'InvalidParameterValueException', Code: VALUE });
      expect(refused.message).toMatch(why);
    }
    const twice = rig.client.send(new CreateReplicationGroupCommand({ ...base, ReplicationGroupId: 'FIT' }));
    expect(await refusal(twice)).toMatchObject({ name: 'ReplicationGroupAlreadyExistsFault' });
  },
  MINUTES,
);

test(
  'an AUTH token is really asked for, and never shown',
  async () => {
    const AuthToken = 'correct-horse-battery-staple';
    const group = await createTarget(rig, 'auth', { TransitEncryptionEnabled: true, AuthToken });
    expect(group.AuthTokenEnabled).toBe(true);
    const { port } = rig.aws.control.nodes({ group: 'auth' })[0] ?? { port: 0 };
    await expect(rig.redis(port).get('x')).rejects.toThrow(/NOAUTH/);
    expect(await rig.redis(port, { password: AuthToken }).get('x')).toBeNull();
    expect(JSON.stringify(rig.aws.control.calls())).not.toContain(AuthToken);
  },
  MINUTES,
);

test(
  'parameter groups: made, changed, used, and kept while in use',
  async () => {
    const made = {
      CacheParameterGroupName: 'Wide',
      CacheParameterGroupFamily: 'redis7',
      Description: 'more databases',
    };
    const created = await rig.client.send(new CreateCacheParameterGroupCommand(made));
    expect(created.CacheParameterGroup).toMatchObject({ CacheParameterGroupName: 'wide' });
    const modify = (name: string, ParameterName: string, ParameterValue: string): Promise<unknown> =>
      rig.client.send(
        new ModifyCacheParameterGroupCommand({
          CacheParameterGroupName: name,
          ParameterNameValues: [{ ParameterName, ParameterValue }],
        }),
      );
    await modify('wide', 'databases', '50');
    await modify('wide', 'maxmemory-policy', 'noeviction');
    for (const [name, parameter, value, why] of [
      ['wide', 'nonsense', '1', /Could not find parameter with name: nonsense/],
      ['wide', 'maxmemory-policy', 'forget-all', /Invalid value 'forget-all'/],
      ['wide', 'databases', '0', /Invalid value '0'/],
      ['wide', 'cluster-enabled', 'yes', /cannot be modified/],
      ['default.redis7', 'databases', '20', /default cache parameter group/],
    ] as const) {
      const refused = await refusal(modify(name, parameter, value));
      expect(refused.Code).toBe(VALUE);
      expect(refused.message).toMatch(why);
    }
    const described = await rig.client.send(
      new DescribeCacheParametersCommand({ CacheParameterGroupName: 'wide', Source: 'user' }),
    );
    expect(described.Parameters?.map((p) => [p.ParameterName, p.ParameterValue, p.ChangeType])).toEqual([
      ['databases', '50', 'requires-reboot'],
      ['maxmemory-policy', 'noeviction', 'immediate'],
    ]);
    const group = await createTarget(rig, 'usesit', { CacheParameterGroupName: 'wide' });
    const port = group.NodeGroups?.[0]?.PrimaryEndpoint?.Port ?? 0;
    expect(await rig.redis(port, { db: 49 }).set('k', 'v')).toBe('OK');
    expect(await rig.redis(port).info('memory')).toMatch(/maxmemory_policy:noeviction/);
    expect(await refusal(modify('wide', 'databases', '60'))).toMatchObject({ Code: 'InvalidCacheParameterGroupState' });
    await modify('wide', 'maxmemory-policy', 'allkeys-lru');
    expect(await rig.redis(port).info('memory')).toMatch(/maxmemory_policy:allkeys-lru/);
    const remove = rig.client.send(new DeleteCacheParameterGroupCommand({ CacheParameterGroupName: 'wide' }));
    expect(await refusal(remove)).toMatchObject({ Code: 'InvalidCacheParameterGroupState' });
    const groups = await rig.client.send(new DescribeCacheParameterGroupsCommand({}));
    expect(groups.CacheParameterGroups?.map((entry) => entry.CacheParameterGroupName)).toContain('wide');
  },
  MINUTES,
);

test(
  'other calls are as strict',
  async () => {
    const { client } = rig;
    const cases: [Promise<unknown>, string, RegExp][] = [
      [client.send(new DescribeEventsCommand({ SourceIdentifier: 'x' })), COMBINATION, /SourceType must be provided/],
      [client.send(new DescribeEventsCommand({ MaxRecords: 10 })), VALUE, /between 20 and 100/],
      [client.send(new DescribeEventsCommand({ Marker: 'rubbish' })), VALUE, /for Marker/],
      [client.send(new DescribeEventsCommand({ Duration: 5, StartTime: new Date() })), COMBINATION, /Duration/],
      [client.send(new DescribeSnapshotsCommand({ MaxRecords: 51 })), VALUE, /between 20 and 50/],
      [client.send(new DescribeSnapshotsCommand({ SnapshotSource: 'manual' })), VALUE, /system, user/],
      [client.send(new CreateSnapshotCommand({ SnapshotName: 's' })), COMBINATION, /Exactly one of/],
      [
        client.send(new CreateSnapshotCommand({ SnapshotName: 's', ReplicationGroupId: 'fit' })),
        COMBINATION,
        /CacheClusterId/,
      ],
      [
        client.send(new CopySnapshotCommand({ SourceSnapshotName: 'no', TargetSnapshotName: 'x' })),
        'SnapshotNotFoundFault',
        /no not found/,
      ],
      [client.send(new ListTagsForResourceCommand({ ResourceName: 'arn:aws:s3:::x' })), 'InvalidARN', /Invalid ARN/],
      [
        client.send(new ModifyReplicationGroupCommand({ ReplicationGroupId: 'fit', SnapshotRetentionLimit: 3 })),
        COMBINATION,
        /both SnapshotRetentionLimit and SnapshottingClusterId/,
      ],
    ];
    for (const [call, code, message] of cases) {
      const refused = await refusal(call);
      expect(refused.Code).toBe(code);
      expect(refused.message).toMatch(message);
    }
    const versions = await client.send(new DescribeCacheEngineVersionsCommand({ Engine: 'redis' }));
    expect(versions.CacheEngineVersions?.map((entry) => entry.EngineVersion)).toContain('7.1');
  },
  MINUTES,
);

test('a request that no SDK would send is refused as on AWS', async () => {
  const send = (body: string, authorization?: string): Promise<Response> =>
    fetch(rig.aws.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        ...(authorization === undefined ? {} : { authorization }),
      },
      body,
    });
  const signed =
    'AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/elasticache/aws4_request, SignedHeaders=host, Signature=' +
    'a'.repeat(64);
  for (const [body, authorization, status, text] of [
    ['Action=DescribeEvents&Version=2015-02-02', undefined, 403, '<Code>MissingAuthenticationToken</Code>'],
    ['Action=DescribeEvents&Version=2015-02-02', 'Basic abc', 400, '<Code>IncompleteSignature</Code>'],
    ['Action=PurchaseReservedCacheNodesOffering&Version=2015-02-02', signed, 400, '<Code>InvalidAction</Code>'],
    ['Action=DescribeEvents&Version=2014-01-01', signed, 400, '<Code>InvalidAction</Code>'],
    ['Action=DescribeEvents&Version=2015-02-02&Colour=red', signed, 400, 'Unknown parameter: Colour.'],
    ['Action=DescribeEvents&Version=2015-02-02&MaxRecords=many', signed, 400, 'MaxRecords must be an integer'],
    ['Action=DescribeEvents&Version=2015-02-02&StartTime=1700000000', signed, 400, 'ISO 8601'],
    ['Action=DescribeReplicationGroups&Version=2015-02-02', signed, 200, '<DescribeReplicationGroupsResult>'],
  ] as const) {
    const answer = await send(body, authorization);
    expect([body, answer.status]).toEqual([body, status]);
    expect(await answer.text()).toContain(text);
    expect(answer.headers.get('x-amzn-requestid')).toMatch(/^[0-9a-f-]{36}$/);
  }
});
