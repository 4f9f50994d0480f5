import {
  DeleteConnectionCommand,
  DeleteEndpointCommand,
  DeleteReplicationInstanceCommand,
  DescribeConnectionsCommand,
  DescribeEndpointsCommand,
  DescribeReplicationInstancesCommand,
  ModifyEndpointCommand,
  ModifyReplicationInstanceCommand,
  ModifyReplicationTaskCommand,
  StopReplicationTaskCommand,
} from '@aws-sdk/client-database-migration-service';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gone, by } from './sandbox-dms-expect.ts';
import {
  ALL_TABLES,
  NOWHERE,
  describeTask,
  makeEndpoint,
  makeInstance,
  makeParts,
  makeTask,
  startDmsRig,
  startTask,
  until,
  untilTask,
  untilTested,
  test as testConnection,
} from './sandbox-dms-setup.ts';
import type { DmsRig } from './sandbox-dms-setup.ts';

let rig: DmsRig;
beforeAll(async () => {
  rig = await startDmsRig();
});
afterAll(async () => {
  await rig?.end();
});

test('an instance is modified, and deleted with its connections', async () => {
  const arn = await makeInstance(rig, 'mod');
  const endpoint = await makeEndpoint(rig, 'mod-source', 'source');
  await testConnection(rig, arn, endpoint);
  const find = async () =>
    (await rig.client.send(new DescribeReplicationInstancesCommand(by('replication-instance-id', 'mod'))))
      .ReplicationInstances?.[0];
  const change = { ReplicationInstanceArn: arn, AllocatedStorage: 100, ReplicationInstanceClass: 'dms.r5.large' };
  await rig.client.send(new ModifyReplicationInstanceCommand(change));
  expect(await find()).toMatchObject({
    ReplicationInstanceStatus: 'available',
    AllocatedStorage: 50,
    PendingModifiedValues: { AllocatedStorage: 100, ReplicationInstanceClass: 'dms.r5.large' },
  });
  await rig.client.send(new ModifyReplicationInstanceCommand({ ReplicationInstanceArn: arn, ApplyImmediately: true }));
  expect((await find())?.ReplicationInstanceStatus).toBe('modifying');
  await until('the change is there', async () => (await find())?.ReplicationInstanceStatus === 'available');
  expect(await find()).toMatchObject({
    AllocatedStorage: 100,
    ReplicationInstanceClass: 'dms.r5.large',
    PendingModifiedValues: {},
  });
  const deleted = await rig.client.send(new DeleteReplicationInstanceCommand({ ReplicationInstanceArn: arn }));
  expect(deleted.ReplicationInstance?.ReplicationInstanceStatus).toBe('deleting');
  await gone(find);
  await gone(() => rig.client.send(new DescribeConnectionsCommand(by('endpoint-arn', endpoint))));
  await rig.client.send(new DeleteEndpointCommand({ EndpointArn: endpoint }));
  await gone(() => rig.client.send(new DescribeEndpointsCommand(by('endpoint-arn', endpoint))));
});

test('an endpoint is changed member by member, and its connection is tested again by itself', async () => {
  const instance = await makeInstance(rig, 'ep');
  const arn = await makeEndpoint(rig, 'ep-source', 'source', NOWHERE, {
    ExtraConnectionAttributes: 'heartbeatEnable=true;PluginName=test_decoding;',
    PostgreSQLSettings: { SlotName: 'mine' },
  });
  const find = async () =>
    (await rig.client.send(new DescribeEndpointsCommand(by('endpoint-id', 'ep-source')))).Endpoints?.[0];
  expect(await find()).toMatchObject({
    Status: 'active',
    ExtraConnectionAttributes: 'heartbeatEnable=true;PluginName=test_decoding;',
    PostgreSQLSettings: { SlotName: 'mine', HeartbeatEnable: true, PluginName: 'test-decoding', Username: 'u' },
  });
  await testConnection(rig, instance, arn);
  rig.aws.control.setTiming({ dmsTesting: 200 });
  rig.fake.refused.set('changed', 'no such role');
  await rig.client.send(
    new ModifyEndpointCommand({ EndpointArn: arn, Username: 'changed', PostgreSQLSettings: { HeartbeatFrequency: 1 } }),
  );
  const { Connections } = await rig.client.send(new DescribeConnectionsCommand(by('endpoint-arn', arn)));
  expect(Connections?.[0]).toMatchObject({ Status: 'testing', EndpointIdentifier: 'ep-source' });
  expect(await untilTested(rig, arn)).toMatchObject({ status: 'failed', failure: /no such role/ });
  expect(await find()).toMatchObject({
    Username: 'changed',
    PostgreSQLSettings: { SlotName: 'mine', HeartbeatEnable: true, HeartbeatFrequency: 1 },
  });
  await rig.client.send(
    new ModifyEndpointCommand({ EndpointArn: arn, ExactSettings: true, PostgreSQLSettings: { SlotName: 'only' } }),
  );
  expect((await find())?.PostgreSQLSettings?.HeartbeatEnable).toBeUndefined();
  await untilTested(rig, arn);
  await rig.client.send(new DeleteConnectionCommand({ EndpointArn: arn, ReplicationInstanceArn: instance }));
  await gone(() => rig.client.send(new DescribeConnectionsCommand(by('endpoint-arn', arn))));
  rig.aws.control.setTiming({ dmsTesting: 20 });
});

test('settings are filled in with the defaults, and a change leaves what it does not name', async () => {
  const arn = await makeTask(rig, 'settings', await makeParts(rig, 'settings'), {
    ReplicationTaskSettings: JSON.stringify({
      FullLoadSettings: { CommitRate: 77 },
      TargetMetadata: { FullLobMode: true },
      Logging: { EnableLogging: true, LogComponents: [{ Id: 'SORTER', Severity: 'LOGGER_SEVERITY_DEBUG' }] },
    }),
  });
  const read = async () =>
    JSON.parse((await describeTask(rig, arn)).ReplicationTaskSettings ?? '') as Record<string, Record<string, unknown>>;
  const before = await read();
  expect(before['FullLoadSettings']).toMatchObject({ CommitRate: 77, MaxFullLoadSubTasks: 8 });
  expect(before['TargetMetadata']).toMatchObject({ FullLobMode: true, LimitedSizeLobMode: false });
  expect(before['ErrorBehavior']).toMatchObject({ ApplyErrorDeletePolicy: 'IGNORE_RECORD', RecoverableErrorCount: -1 });
  expect(before['Logging']?.['LogComponents']).toContainEqual({ Id: 'SORTER', Severity: 'LOGGER_SEVERITY_DEBUG' });
  expect(before['Logging']?.['LogComponents']).toHaveLength(19);
  expect(before['BeforeImageSettings']).toBeNull();

  const change = JSON.stringify({ ErrorBehavior: { TableErrorPolicy: 'STOP_TASK' } });
  const answer = await rig.client.send(
    new ModifyReplicationTaskCommand({ ReplicationTaskArn: arn, ReplicationTaskSettings: change }),
  );
  expect(answer.ReplicationTask?.Status).toBe('modifying');
  await untilTask(rig, arn, 'ready');
  const after = await read();
  expect(after).toEqual({ ...before, ErrorBehavior: { ...before['ErrorBehavior'], TableErrorPolicy: 'STOP_TASK' } });
  // What was described can be given back as it is.
  await rig.client.send(
    new ModifyReplicationTaskCommand({ ReplicationTaskArn: arn, ReplicationTaskSettings: JSON.stringify(after) }),
  );
  await untilTask(rig, arn, 'ready');
  expect(await read()).toEqual(after);
  await startTask(rig, arn);
  await untilTask(rig, arn, 'running');
  expect(rig.fake.last.spec).toMatchObject({ settings: after, mappings: JSON.parse(ALL_TABLES) });
  const logging = JSON.stringify({ Logging: { EnableLogging: false } });
  await rig.client.send(
    new ModifyReplicationTaskCommand({ ReplicationTaskArn: arn, ReplicationTaskSettings: logging }),
  );
  expect((await read())['Logging']?.['EnableLogging']).toBe(false);
});

test('a task is stopped and started again with endpoints changed in between', async () => {
  const parts = await makeParts(rig, 'moved');
  const arn = await makeTask(rig, 'moved', parts);
  await startTask(rig, arn);
  await untilTask(rig, arn, 'running');
  await rig.client.send(new StopReplicationTaskCommand({ ReplicationTaskArn: arn }));
  await untilTask(rig, arn, 'stopped');
  await rig.client.send(new ModifyEndpointCommand({ EndpointArn: parts.target, ServerName: 'moved.example' }));
  await untilTested(rig, parts.target);
  await startTask(rig, arn, 'reload-target');
  const task = await untilTask(rig, arn, 'running');
  expect(rig.fake.last.spec.target.host).toBe('moved.example');
  expect(rig.fake.last.calls).toEqual(['start reload-target']);
  expect(task.ReplicationTaskStats?.FreshStartDate).toEqual(task.ReplicationTaskStartDate);
});
