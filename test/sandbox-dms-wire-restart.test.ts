import {
  CreateReplicationInstanceCommand,
  DeleteReplicationTaskCommand,
  DescribeConnectionsCommand,
  DescribeEndpointsCommand,
  DescribeEventsCommand,
  DescribeReplicationInstancesCommand,
  DescribeTableStatisticsCommand,
  ListTagsForResourceCommand,
  ModifyReplicationTaskCommand,
  StartReplicationTaskCommand,
  StopReplicationTaskCommand,
  TestConnectionCommand,
} from '@aws-sdk/client-database-migration-service';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import {
  describeTask,
  makeParts,
  makeTask,
  startDmsRig,
  startTask,
  until,
  untilTask,
  untilTested,
} from './sandbox-dms-setup.ts';
import type { DmsRig } from './sandbox-dms-setup.ts';

let rig: DmsRig;
afterEach(async () => {
  await rig?.end();
});

test('a restarted sandbox has everything it had, and a task that ran goes on running', async () => {
  rig = await startDmsRig();
  const parts = await makeParts(rig, 'kept');
  const running = await makeTask(rig, 'running', parts, { Tags: [{ Key: 'a', Value: 'b' }] });
  const stopped = await makeTask(rig, 'stopped', parts);
  for (const arn of [running, stopped]) {
    await startTask(rig, arn);
    await untilTask(rig, arn, 'running');
  }
  await rig.client.send(new StopReplicationTaskCommand({ ReplicationTaskArn: stopped }));
  await untilTask(rig, stopped, 'stopped');
  const everything = async (): Promise<unknown> => ({
    running: await describeTask(rig, running),
    stopped: await describeTask(rig, stopped),
    endpoints: (await rig.client.send(new DescribeEndpointsCommand({}))).Endpoints,
    connections: (await rig.client.send(new DescribeConnectionsCommand({}))).Connections,
    events: (await rig.client.send(new DescribeEventsCommand({}))).Events,
    tags: (await rig.client.send(new ListTagsForResourceCommand({ ResourceArn: running }))).TagList,
    statistics: (await rig.client.send(new DescribeTableStatisticsCommand({ ReplicationTaskArn: stopped })))
      .TableStatistics,
  });
  const before = await everything();
  const engines = rig.fake.opened.length;
  const old = rig.fake.opened.filter((engine) => engine.spec.id === 'running').at(-1);

  await rig.restart();
  expect(old?.calls).toEqual(['start start-replication', 'stop']);
  const again = await until('the task runs again', async () =>
    rig.fake.opened.slice(engines).find((engine) => engine.calls.includes('start resume-processing')),
  );
  expect(again.spec).toMatchObject({ id: 'running', dir: old?.spec.dir, source: old?.spec.source });
  expect(await everything()).toEqual(before);
  again.end({ status: 'failed', reason: 'FATAL_ERROR', message: 'm' });
  await untilTask(rig, running, 'failed');
  expect(statSync(join(rig.dir, 'aws', 'state.json')).mode & 0o777).toBe(0o600);
  expect(rig.aws.control.failures()).toEqual([]);
});

test('what was under way goes on after a restart', async () => {
  rig = await startDmsRig();
  const parts = await makeParts(rig, 'way');
  const names = ['starting', 'stopping', 'modifying', 'deleting'] as const;
  const arns: Record<string, string> = {};
  for (const name of names) arns[name] = await makeTask(rig, name, parts);
  const ReplicationTaskArn = (name: (typeof names)[number]): { ReplicationTaskArn: string } => ({
    ReplicationTaskArn: arns[name] ?? '',
  });
  await startTask(rig, arns['stopping'] ?? '');
  await untilTask(rig, arns['stopping'] ?? '', 'running');
  const SLOW = 60_000;
  rig.aws.control.setTiming({
    dmsCreating: SLOW,
    dmsDeleting: SLOW,
    dmsModifying: SLOW,
    dmsStarting: SLOW,
    dmsStopping: SLOW,
    dmsTesting: SLOW,
  });
  await rig.client.send(
    new StartReplicationTaskCommand({
      ...ReplicationTaskArn('starting'),
      StartReplicationTaskType: 'start-replication',
    }),
  );
  await rig.client.send(new StopReplicationTaskCommand(ReplicationTaskArn('stopping')));
  await rig.client.send(new ModifyReplicationTaskCommand({ ...ReplicationTaskArn('modifying'), TaskData: 'x' }));
  await rig.client.send(new DeleteReplicationTaskCommand(ReplicationTaskArn('deleting')));
  await rig.client.send(
    new CreateReplicationInstanceCommand({
      ReplicationInstanceIdentifier: 'creating',
      ReplicationInstanceClass: 'dms.t3.micro',
    }),
  );
  for (const name of names) expect((await describeTask(rig, arns[name] ?? '')).Status).toBe(name);

  await rig.restart();
  await untilTask(rig, arns['starting'] ?? '', 'running');
  expect((await untilTask(rig, arns['stopping'] ?? '', 'stopped')).StopReason).toBe('Stop Reason NORMAL');
  expect((await untilTask(rig, arns['modifying'] ?? '', 'ready')).TaskData).toBe('x');
  await until('the task is deleted', () =>
    describeTask(rig, arns['deleting'] ?? '').then(
      () => false,
      (error: Error) => error.name === 'ResourceNotFoundFault',
    ),
  );
  await until('the instance is there', async () => {
    const { ReplicationInstances } = await rig.client.send(
      new DescribeReplicationInstancesCommand({
        Filters: [{ Name: 'replication-instance-id', Values: ['creating'] }],
      }),
    );
    return ReplicationInstances?.[0]?.ReplicationInstanceStatus === 'available';
  });
  rig.aws.control.setTiming({ dmsTesting: SLOW });
  await rig.client.send(
    new TestConnectionCommand({ ReplicationInstanceArn: parts.instance, EndpointArn: parts.source }),
  );
  await rig.restart();
  expect((await untilTested(rig, parts.source)).status).toBe('successful');
  expect(rig.aws.control.failures()).toEqual([]);
});

test('a task that ran waits for its databases after a restart', async () => {
  rig = await startDmsRig();
  const arn = await makeTask(rig, 'patient', await makeParts(rig, 'patient'));
  await startTask(rig, arn);
  await untilTask(rig, arn, 'running');
  rig.fake.startFailure = 'ECONNREFUSED';
  const engines = rig.fake.opened.length;
  await rig.restart();
  const tries = () => rig.fake.opened.slice(engines).filter((engine) => engine.calls.length > 0).length;
  await until('two tries', async () => tries() >= 2);
  expect((await describeTask(rig, arn)).Status).toBe('running');
  rig.fake.startFailure = undefined;
  const failed = tries();
  await until('one more', async () => tries() > failed);
  expect((await describeTask(rig, arn)).Status).toBe('running');
});

test('a state of a sandbox before it had DMS is taken up', async () => {
  rig = await startDmsRig();
  await rig.aws.stop();
  const file = join(rig.dir, 'aws', 'state.json');
  const { dms: _dms, ...older } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify(older));
  await rig.restart();
  expect((await rig.client.send(new DescribeEndpointsCommand({}))).Endpoints).toEqual([]);
});
