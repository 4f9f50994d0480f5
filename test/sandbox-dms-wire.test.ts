import {
  DeleteReplicationTaskCommand,
  DescribeEndpointsCommand,
  DescribeEventsCommand,
  DescribeReplicationTasksCommand,
  DescribeTableStatisticsCommand,
  StopReplicationTaskCommand,
} from '@aws-sdk/client-database-migration-service';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  NOWHERE,
  describeTask,
  makeParts,
  makeTask,
  refusal,
  startDmsRig,
  startTask,
  until,
  untilTask,
} from './sandbox-dms-setup.ts';
import type { DmsRig } from './sandbox-dms-setup.ts';

let rig: DmsRig;
beforeAll(async () => {
  rig = await startDmsRig();
});
afterAll(async () => {
  await rig?.end();
});

test('a task goes from create over test and start to stop and delete', async () => {
  const parts = await makeParts(rig, 'whole');
  const arn = await makeTask(rig, 'Whole-Task', parts);
  const ready = await describeTask(rig, arn);
  expect(ready.ReplicationTaskIdentifier).toBe('whole-task');
  expect(ready.ReplicationTaskStats).toMatchObject({ FullLoadProgressPercent: 0, TablesLoaded: 0 });
  expect(ready.ReplicationTaskStats?.FreshStartDate).toBeUndefined();

  await startTask(rig, arn);
  expect((await describeTask(rig, arn)).Status).toBe('starting');
  const running = await untilTask(rig, arn, 'running');
  expect(running.ReplicationTaskStats).toMatchObject({ FullLoadProgressPercent: 50, TablesErrored: 4 });
  expect(running.ReplicationTaskStats?.FullLoadStartDate).toEqual(new Date('2026-01-02T03:04:05.678Z'));
  expect(running.ReplicationTaskStats?.FreshStartDate).toEqual(running.ReplicationTaskStartDate);
  expect(rig.fake.last.calls).toEqual(['start start-replication']);
  expect(rig.fake.last.spec.source).toMatchObject({ host: NOWHERE.host, password: NOWHERE.password });

  const { TableStatistics } = await rig.client.send(new DescribeTableStatisticsCommand({ ReplicationTaskArn: arn }));
  expect(TableStatistics?.map((table) => table.TableName)).toEqual(['t0000', 't0001', 't0002']);
  expect(TableStatistics?.[0]?.FullLoadStartTime).toEqual(new Date('2026-01-02T03:04:05.678Z'));
  expect(TableStatistics?.[0]?.FullLoadEndTime).toBeUndefined();

  const engine = rig.fake.last;
  await rig.client.send(new StopReplicationTaskCommand({ ReplicationTaskArn: arn }));
  expect((await describeTask(rig, arn)).Status).toBe('stopping');
  const stopped = await untilTask(rig, arn, 'stopped');
  expect(stopped.StopReason).toBe('Stop Reason NORMAL');
  expect(stopped.LastFailureMessage).toBeUndefined();
  expect(stopped.ReplicationTaskStats?.StopDate).toBeInstanceOf(Date);
  expect(engine.calls).toEqual(['start start-replication', 'stop']);

  await startTask(rig, arn, 'resume-processing');
  const again = await untilTask(rig, arn, 'running');
  expect(again.StopReason).toBeUndefined();
  expect(again.ReplicationTaskStats?.FreshStartDate).toEqual(running.ReplicationTaskStats?.FreshStartDate);
  expect(rig.fake.last).not.toBe(engine);
  await rig.client.send(new StopReplicationTaskCommand({ ReplicationTaskArn: arn }));
  await untilTask(rig, arn, 'stopped');

  await rig.client.send(new DeleteReplicationTaskCommand({ ReplicationTaskArn: arn }));
  const find = new DescribeReplicationTasksCommand({ Filters: [{ Name: 'replication-task-arn', Values: [arn] }] });
  const gone = await until('the task is gone', async () => {
    const status = (await rig.client.send(find).catch((error: Error) => error)) as Error;
    return status instanceof Error && status;
  });
  expect(gone.name).toBe('ResourceNotFoundFault');
  expect(rig.fake.last.calls.at(-1)).toBe('remove');

  const { Events } = await rig.client.send(
    new DescribeEventsCommand({ SourceType: 'replication-task' as never, SourceIdentifier: 'whole-task' }),
  );
  expect(Events?.map((event) => event.Message).reverse()).toEqual([
    'The replication task was created.',
    'The replication task has started.',
    'The replication task has stopped.',
    'The replication task has started.',
    'The replication task has stopped.',
    'The replication task has been deleted.',
  ]);
  expect(rig.aws.control.failures()).toEqual([]);
});

test('a password is in no answer and in no log', async () => {
  const { Endpoints } = await rig.client.send(new DescribeEndpointsCommand({}));
  expect(Endpoints?.length).toBeGreaterThan(0);
  expect(JSON.stringify(Endpoints)).not.toContain(NOWHERE.password);
  const calls = rig.aws.control.calls({ action: 'CreateEndpoint' });
  expect(calls[0]?.params).toMatchObject({ ServerName: NOWHERE.host, Password: '***' });
  expect(JSON.stringify(calls)).not.toContain(NOWHERE.password);
  expect((await refusal(rig.client.send(new DeleteReplicationTaskCommand({ ReplicationTaskArn: 'x' })))).name).toBe(
    'InvalidParameterValueException',
  );
});
