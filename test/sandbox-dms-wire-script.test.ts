import {
  DescribeEndpointsCommand,
  DescribeEventsCommand,
  StopReplicationTaskCommand,
} from '@aws-sdk/client-database-migration-service';
import { afterEach, expect, test } from 'vitest';
import {
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
afterEach(async () => {
  await rig?.end();
});

async function rigWithTask(): Promise<string> {
  rig = await startDmsRig();
  return makeTask(rig, 'task', await makeParts(rig, 'x'));
}

async function page(command: string, body: object): Promise<{ status: number; answer: Record<string, unknown> }> {
  const response = await fetch(`${rig.aws.url}/_sandbox/${command}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
}

test('an engine that ends by itself ends the task, with its reason and message', async () => {
  const arn = await rigWithTask();
  await startTask(rig, arn);
  await untilTask(rig, arn, 'running');
  rig.fake.last.end({ status: 'failed', reason: 'FATAL_ERROR', message: 'relation "x" does not exist' });
  const failed = await untilTask(rig, arn, 'failed');
  expect(failed.StopReason).toBe('Stop Reason FATAL_ERROR');
  expect(failed.LastFailureMessage).toContain('relation "x" does not exist');
  await startTask(rig, arn, 'resume-processing');
  await untilTask(rig, arn, 'running');
  // The engine of before has no say any more.
  rig.fake.opened.at(-2)?.end({ status: 'failed', reason: 'FATAL_ERROR', message: 'late' });
  expect((await describeTask(rig, arn)).Status).toBe('running');
  rig.fake.last.end({ status: 'stopped', reason: 'STOPPED_AFTER_CACHED_EVENTS' });
  const stopped = await untilTask(rig, arn, 'stopped');
  expect(stopped.StopReason).toBe('Stop Reason STOPPED_AFTER_CACHED_EVENTS');
  expect(stopped.LastFailureMessage).toBeUndefined();
  const { Events } = await rig.client.send(
    new DescribeEventsCommand({ SourceType: 'replication-task' as never, EventCategories: ['failure'] }),
  );
  expect(Events?.map((event) => event.Message)).toEqual(['The replication task has failed.']);
});

test('a task that is through before it was seen running has ended, and can be resumed', async () => {
  const arn = await rigWithTask();
  rig.fake.endAtStart = { status: 'stopped', reason: 'FULL_LOAD_ONLY_FINISHED' };
  await startTask(rig, arn);
  const stopped = await untilTask(rig, arn, 'stopped');
  expect(stopped.StopReason).toBe('Stop Reason FULL_LOAD_ONLY_FINISHED');
  expect(stopped.ReplicationTaskStats?.FreshStartDate).toBeInstanceOf(Date);
  const { Events } = await rig.client.send(new DescribeEventsCommand({ EventCategories: ['state change'] }));
  expect(Events?.map((event) => event.Message)).toEqual([
    'The replication task has stopped.',
    'The replication task has started.',
  ]);
});

test('a task that cannot start fails, and is started afresh after that', async () => {
  const arn = await rigWithTask();
  rig.fake.startFailure = 'could not access file "test_decoding"';
  await startTask(rig, arn);
  const failed = await untilTask(rig, arn, 'failed');
  expect(failed.LastFailureMessage).toContain('could not access file "test_decoding"');
  expect(failed.ReplicationTaskStats?.FreshStartDate).toBeUndefined();
  expect((await refusal(startTask(rig, arn, 'resume-processing'))).message).toMatch(/first time/);
  rig.fake.startFailure = undefined;
  await startTask(rig, arn);
  await untilTask(rig, arn, 'running');
});

test('a start that hangs keeps the task starting, and does not keep the sandbox from ending', async () => {
  const arn = await rigWithTask();
  rig.fake.startHangs = true;
  await startTask(rig, arn);
  await until('the engine is asked', async () => rig.fake.opened.at(-1)?.calls.length === 1);
  expect((await describeTask(rig, arn)).Status).toBe('starting');
  rig.fake.startHangs = false;
  await rig.restart();
  await untilTask(rig, arn, 'running');
  expect(rig.fake.last.calls).toEqual(['start start-replication']);
});

test('tasks are scripted and failed, in this process and over HTTP', async () => {
  const arn = await rigWithTask();
  rig.aws.control.dms.script('task', { loadRowsPerSecond: 10 });
  await startTask(rig, arn);
  await untilTask(rig, arn, 'running');
  expect(rig.fake.last.scripts).toEqual([{ loadRowsPerSecond: 10 }]);
  expect((await page('dmsScript', { task: arn, script: { freezeApply: true } })).status).toBe(200);
  expect(rig.fake.last.scripts.at(-1)).toEqual({ freezeApply: true });
  expect((await page('dmsScript', { task: arn, script: { freezApply: true } })).answer['error']).toMatch(/freezApply/);
  expect((await page('dmsScript', { task: 'other', script: {} })).answer['error']).toMatch(/other.*task/);
  expect((await page('dmsLatency', { task: 'task' })).answer).toEqual({ source: 1, target: 2 });
  expect(
    (await page('dmsFailTask', { task: 'task', reason: 'RECOVERABLE_ERROR', message: 'disk on fire' })).status,
  ).toBe(200);
  const failed = await describeTask(rig, arn);
  expect(failed).toMatchObject({ Status: 'failed', StopReason: 'Stop Reason RECOVERABLE_ERROR' });
  expect(failed.LastFailureMessage).toContain('disk on fire');
  expect(rig.fake.last.calls).toEqual(['start start-replication', 'stop']);
  await expect(rig.aws.control.dms.failTask('task')).rejects.toThrow(/is failed/);
  rig.aws.control.reset();
  expect(rig.fake.last.scripts.at(-1)).toEqual({});
});

test('states are as slow as they are scripted to be', async () => {
  const arn = await rigWithTask();
  rig.aws.control.setTiming({ dmsStarting: 400, dmsStopping: 400 });
  await startTask(rig, arn);
  const started = Date.now();
  await untilTask(rig, arn, 'running');
  expect(Date.now() - started).toBeGreaterThan(300);
  await rig.client.send(new StopReplicationTaskCommand({ ReplicationTaskArn: arn }));
  expect((await describeTask(rig, arn)).Status).toBe('stopping');
  await untilTask(rig, arn, 'stopped');
});

test('Describe calls show the old status for a while when they are told to', async () => {
  const arn = await rigWithTask();
  rig.aws.control.delayVisibility({ ms: 60_000 });
  await startTask(rig, arn);
  expect((await describeTask(rig, arn)).Status).toBe('ready');
  await until('it runs', async () => rig.fake.opened.at(-1)?.calls.length === 1);
  expect((await describeTask(rig, arn)).Status).toBe('ready');
  expect((await refusal(startTask(rig, arn))).name).toMatch(/Invalid/);
  rig.aws.control.delayVisibility({ ms: 0 });
  await untilTask(rig, arn, 'running');
});

test('calls are throttled, failed, dropped and made late by their name', async () => {
  await rigWithTask();
  const { control } = rig.aws;
  const once = rig.clientWith({ maxAttempts: 1 });
  const describe = (client = once): Promise<unknown> => client.send(new DescribeEndpointsCommand({}));
  control.throttle({ action: 'dms:DescribeEndpoints', times: 1 });
  expect(await refusal(describe())).toMatchObject({ name: 'ThrottlingException', message: 'Rate exceeded' });
  await describe();
  // The SDK's own retry gets over two of them.
  control.throttle({ action: 'dms:DescribeEndpoints', times: 2 });
  await describe(rig.client);
  control.failNext({ action: 'DescribeEndpoints', code: 'AccessDeniedFault', message: 'no' });
  expect(await refusal(describe())).toMatchObject({ name: 'AccessDeniedFault', message: 'no' });
  control.failNext({ action: 'DescribeEndpoints', code: 'InternalFailure', status: 500 });
  const failure = await describe().catch((error: unknown) => error);
  expect(failure).toMatchObject({ name: 'InternalFailure', $metadata: { httpStatusCode: 500 } });
  control.drop({ action: 'DescribeEndpoints' });
  expect((await refusal(describe())).message).toMatch(/ECONNRESET|socket hang up/);
  control.hang({ action: 'DescribeEndpoints' });
  expect((await refusal(describe(rig.clientWith({ maxAttempts: 1, timeoutMs: 200 })))).name).toMatch(/Timeout/);
  control.late({ action: 'DescribeEndpoints', ms: 100 });
  await describe();
  control.rejectKey({ code: 'InvalidClientTokenId' });
  expect((await refusal(describe())).name).toBe('UnrecognizedClientException');
});
