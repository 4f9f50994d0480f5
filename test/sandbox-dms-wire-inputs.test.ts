import {
  AddTagsToResourceCommand,
  CreateReplicationInstanceCommand,
  CreateReplicationSubnetGroupCommand,
  CreateReplicationTaskCommand,
  DeleteReplicationSubnetGroupCommand,
  DescribeConnectionsCommand,
  DescribeEndpointsCommand,
  DescribeEventsCommand,
  DescribeReplicationInstancesCommand,
  DescribeReplicationSubnetGroupsCommand,
  DescribeReplicationTasksCommand,
  StartReplicationTaskAssessmentRunCommand,
} from '@aws-sdk/client-database-migration-service';
import type { CreateReplicationTaskCommandInput } from '@aws-sdk/client-database-migration-service';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VALUE, COMBINATION, STATE, EXISTS, NOT_FOUND, expectRefused, sendRaw } from './sandbox-dms-expect.ts';
import { ALL_TABLES, makeInstance, makeParts, makeTask, startDmsRig } from './sandbox-dms-setup.ts';
import type { DmsRig, Parts } from './sandbox-dms-setup.ts';

let rig: DmsRig;
let parts: Parts;
beforeAll(async () => {
  rig = await startDmsRig();
  parts = await makeParts(rig, 'r');
  await makeTask(rig, 'ready', parts);
});
afterAll(async () => {
  await rig?.end();
});

const instance = { ReplicationInstanceIdentifier: 'other', ReplicationInstanceClass: 'dms.t3.medium' };
test.each([
  [{ ...instance, ReplicationInstanceIdentifier: '1st' }, VALUE, /not a valid identifier/],
  [{ ...instance, ReplicationInstanceIdentifier: 'two--hyphens' }, VALUE, /not a valid identifier/],
  [{ ...instance, ReplicationInstanceIdentifier: 'a'.repeat(64) }, VALUE, /1 to 63 characters/],
  [{ ...instance, ReplicationInstanceIdentifier: '' }, VALUE, /must not be blank/],
  [{ ...instance, ReplicationInstanceClass: 'dms.t9.huge' }, VALUE, /dms\.t9\.huge/],
  [{ ...instance, AllocatedStorage: 4 }, VALUE, /between 5 and 6144/],
  [{ ...instance, AllocatedStorage: 6145 }, VALUE, /between 5 and 6144/],
  [{ ...instance, EngineVersion: '2.0' }, VALUE, /No replication engine found with version: 2\.0/],
  [{ ...instance, ReplicationSubnetGroupIdentifier: 'none' }, NOT_FOUND, /none/],
  [{ ...instance, ReplicationInstanceIdentifier: 'R-Instance' }, EXISTS, /r-instance/],
  [{ ...instance, MultiAZ: true, AvailabilityZone: 'us-east-1a' }, COMBINATION, /MultiAZ/],
])('CreateReplicationInstance %j is refused', async (input, name, message) => {
  await expectRefused(rig.client.send(new CreateReplicationInstanceCommand(input)), name, message);
});

const endpoint = {
  EndpointIdentifier: 'other',
  EndpointType: 'source' as const,
  EngineName: 'postgres',
  ServerName: 'h',
  Port: 5432,
  Username: 'u',
  Password: 'p',
  DatabaseName: 'd',
};
const { Password: _password, ...withoutPassword } = endpoint;
test.each([
  [{ ...endpoint, EngineName: 'informix' }, VALUE, /informix/],
  [{ ...endpoint, EndpointType: 'middle' as never }, VALUE, /source, target/],
  [{ ...endpoint, SslMode: 'prefer' as never }, VALUE, /verify-full/],
  [{ ...endpoint, SslMode: 'verify-ca' as const }, COMBINATION, /CertificateArn/],
  [{ ...endpoint, Port: 70_000 }, VALUE, /65535/],
  [withoutPassword, VALUE, /Password must be provided/],
  [{ ...endpoint, EndpointIdentifier: 'R-source' }, EXISTS, /r-source/],
  [{ ...endpoint, ExtraConnectionAttributes: 'slotNam=x' }, VALUE, /slotNam/],
  [{ ...endpoint, ExtraConnectionAttributes: 'heartbeatEnable=maybe' }, VALUE, /boolean/],
  [
    { ...endpoint, ExtraConnectionAttributes: 'slotName=x', PostgreSQLSettings: { SlotName: 'y' } },
    COMBINATION,
    /SlotName/,
  ],
  [{ ...endpoint, PostgreSQLSettings: { PluginName: 'wal2json' as never } }, VALUE, /test-decoding/],
  [{ ...endpoint, PostgreSQLSettings: { ServerName: 'elsewhere' } }, COMBINATION, /ServerName/],
  [{ ...endpoint, S3Settings: {} }, COMBINATION, /S3Settings/],
  [
    { ...endpoint, PostgreSQLSettings: { Nonsense: 1 } as never },
    'SerializationException',
    /PostgreSQLSettings.Nonsense/,
  ],
  [{ ...endpoint, Port: '5432' as never }, 'SerializationException', /Port must be a number/],
  [{ ...endpoint, Tags: [{ Key: 'aws:x', Value: '' }] }, VALUE, /aws:/],
])('CreateEndpoint %j is refused', async (input, name, message) => {
  await expectRefused(sendRaw(rig, 'CreateEndpoint', input), name, message);
});

const select = (rule: object): string => JSON.stringify({ rules: [{ ...JSON.parse(ALL_TABLES).rules[0], ...rule }] });
test.each<[Partial<CreateReplicationTaskCommandInput>, string, RegExp]>([
  [{ ReplicationTaskIdentifier: 'Ready' }, EXISTS, /ready/],
  [{ ReplicationTaskIdentifier: 'under_score' }, VALUE, /not a valid identifier/],
  [{ MigrationType: 'half-load' as never }, VALUE, /full-load-and-cdc/],
  [{ TableMappings: '{' }, VALUE, /Invalid Table Mappings document\. Invalid json/],
  [{ TableMappings: '{"TableMappings":[]}' }, VALUE, /Invalid Table Mappings document/],
  [{ TableMappings: select({ 'rule-action': 'exclude' }) }, VALUE, /No selection rule/],
  [{ TableMappings: select({ 'rule-action': 'maybe' }) }, VALUE, /ruleId = 1 .*maybe/],
  [{ TableMappings: select({ 'rule-id': 'one' }) }, VALUE, /"one"/],
  [{ TableMappings: select({ 'object-locator': { 'schema-name': 'x' } }) }, VALUE, /table-name/],
  [{ TableMappings: select({ 'rule-action': 'explicit' }) }, VALUE, /explicit/],
  [{ ReplicationTaskSettings: 'no json' }, VALUE, /Invalid task settings JSON/],
  [{ ReplicationTaskSettings: '{"FullLoadSetting":{}}' }, VALUE, /'FullLoadSetting' is no group/],
  [{ ReplicationTaskSettings: '{"FullLoadSettings":{"CommitRat":1}}' }, VALUE, /FullLoadSettings\.CommitRat/],
  [{ ReplicationTaskSettings: '{"FullLoadSettings":{"MaxFullLoadSubTasks":50}}' }, VALUE, /1 to 49/],
  [{ ReplicationTaskSettings: '{"FullLoadSettings":{"CommitRate":"1"}}' }, VALUE, /must be a number/],
  [{ ReplicationTaskSettings: '{"FullLoadSettings":{"TargetTablePrepMode":"WIPE"}}' }, VALUE, /DO_NOTHING/],
  [
    {
      ReplicationTaskSettings:
        '{"FullLoadSettings":{"StopTaskCachedChangesApplied":true,"StopTaskCachedChangesNotApplied":true}}',
    },
    COMBINATION,
    /both/,
  ],
  [
    { ReplicationTaskSettings: '{"TargetMetadata":{"FullLobMode":true,"LimitedSizeLobMode":true}}' },
    COMBINATION,
    /both/,
  ],
  [{ ReplicationTaskSettings: '{"Logging":{"CloudWatchLogGroup":"g"}}' }, VALUE, /cannot be set on create/],
  [{ CdcStartPosition: '4AF/B00000D0' }, VALUE, /CdcStartPosition/],
  [{ ReplicationInstanceArn: 'arn:aws:dms:us-east-1:123456789012:rep:NONE' }, NOT_FOUND, /rep:NONE/],
  [{ SourceEndpointArn: 'r-source' }, VALUE, /Invalid ARN 'r-source' for SourceEndpointArn/],
])('CreateReplicationTask %j is refused', async (more, name, message) => {
  const call = new CreateReplicationTaskCommand({
    ReplicationTaskIdentifier: 'other',
    SourceEndpointArn: parts.source,
    TargetEndpointArn: parts.target,
    ReplicationInstanceArn: parts.instance,
    MigrationType: 'full-load',
    TableMappings: ALL_TABLES,
    ...more,
  });
  await expectRefused(rig.client.send(call), name, message);
});

test('a target as a source is refused', async () => {
  const call = { ReplicationTaskIdentifier: 'x', SourceEndpointArn: parts.target, TargetEndpointArn: parts.target };
  const rest = { ReplicationInstanceArn: parts.instance, MigrationType: 'cdc' as const, TableMappings: ALL_TABLES };
  await expectRefused(rig.client.send(new CreateReplicationTaskCommand({ ...call, ...rest })), VALUE, /not a source/);
});

test('a Describe call whose filter finds nothing is refused, and so is a filter that is not known', async () => {
  const Filters = (Name: string): { Name: string; Values: string[] }[] => [{ Name, Values: ['nothing'] }];
  const { client } = rig;
  const calls: [(name: string) => Promise<unknown>, string][] = [
    [(name) => client.send(new DescribeReplicationTasksCommand({ Filters: Filters(name) })), 'replication-task-id'],
    [(name) => client.send(new DescribeEndpointsCommand({ Filters: Filters(name) })), 'endpoint-id'],
    [(name) => client.send(new DescribeConnectionsCommand({ Filters: Filters(name) })), 'endpoint-arn'],
    [
      (name) => client.send(new DescribeReplicationInstancesCommand({ Filters: Filters(name) })),
      'replication-instance-id',
    ],
    [
      (name) => client.send(new DescribeReplicationSubnetGroupsCommand({ Filters: Filters(name) })),
      'replication-subnet-group-id',
    ],
  ];
  for (const [call, name] of calls) {
    await expectRefused(call(name), NOT_FOUND, /found matching provided filters/);
    await expectRefused(call('colour'), VALUE, new RegExp(`'colour'.*${name}`));
  }
});

test('subnet groups, tags, paging, events and calls that are not served', async () => {
  const { client } = rig;
  const group = { ReplicationSubnetGroupIdentifier: 'g', ReplicationSubnetGroupDescription: 'd' };
  const create = (SubnetIds: string[]): Promise<unknown> =>
    client.send(new CreateReplicationSubnetGroupCommand({ ...group, SubnetIds }));
  await expectRefused(create(['subnet-1']), 'ReplicationSubnetGroupDoesNotCoverEnoughAZs', /2 availability zones/);
  await expectRefused(create(['net-1', 'subnet-2']), 'InvalidSubnet', /net-1/);
  await expectRefused(create([]), VALUE, /SubnetIds must be provided/);
  await create(['subnet-1', 'subnet-2']);
  await expectRefused(create(['subnet-1', 'subnet-2']), EXISTS, /'g'/);
  rig.aws.control.setTiming({ dmsCreating: 20 });
  await client.send(
    new CreateReplicationInstanceCommand({
      ...instance,
      ReplicationInstanceIdentifier: 'in-g',
      ReplicationSubnetGroupIdentifier: 'G',
    }),
  );
  await expectRefused(
    client.send(new DeleteReplicationSubnetGroupCommand({ ReplicationSubnetGroupIdentifier: 'g' })),
    STATE,
    /'g' because at least one database instance: in-g/,
  );
  await expectRefused(
    client.send(new AddTagsToResourceCommand({ ResourceArn: 'arn:aws:s3:::b', Tags: [{ Key: 'a', Value: 'b' }] })),
    VALUE,
    /arn:aws:s3/,
  );
  await expectRefused(client.send(new DescribeEndpointsCommand({ MaxRecords: 19 })), VALUE, /between 20 and 100/);
  await expectRefused(client.send(new DescribeEndpointsCommand({ Marker: '?' })), VALUE, /Marker/);
  await expectRefused(client.send(new DescribeEventsCommand({ SourceIdentifier: 'x' })), COMBINATION, /SourceType/);
  await expectRefused(
    client.send(
      new StartReplicationTaskAssessmentRunCommand({
        ReplicationTaskArn: 'arn:aws:dms:us-east-1:123456789012:task:T',
        ServiceAccessRoleArn: 'arn:aws:iam::1:role/r',
        ResultLocationBucket: 'b',
        AssessmentRunName: 'n',
      }),
    ),
    'UnknownOperationException',
    /StartReplicationTaskAssessmentRun/,
  );
  await expectRefused(sendRaw(rig, 'CreateReplicationTask', []), 'SerializationException', /structure/);
  await makeInstance(rig, 'still-works');
  expect(rig.aws.control.failures()).toEqual([]);
});
