import {
  CompleteMigrationCommand,
  DescribeEventsCommand,
  DescribeReplicationGroupsCommand,
  ModifyReplicationGroupCommand,
} from '@aws-sdk/client-elasticache';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { GetParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  createTarget,
  describe as describeGroup,
  primaryPort,
  refusal,
  startMigration,
  startRig,
  until,
  untilInSync,
  untilStatus,
} from './sandbox-elasticache-setup.ts';
import type { Rig } from './sandbox-elasticache-setup.ts';

const MINUTES = 180_000;
let rig: Rig;
let other: Server;
let started = 0;
const passedOn: { target: string; body: string }[] = [];
beforeAll(async () => {
  other = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      passedOn.push({ target: String(request.headers['x-amz-target']), body });
      response.setHeader('content-type', 'application/x-amz-json-1.1');
      response.end(JSON.stringify({ Parameter: { Name: 'n', Value: 'from the other server' } }));
    });
  });
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { port: number };
  rig = await startRig({
    forward: async () => {
      started += 1;
      return `http://127.0.0.1:${port}`;
    },
  });
}, MINUTES);
afterEach(() => rig.aws.control.reset());
afterAll(async () => {
  expect(rig.aws.control.failures()).toEqual([]);
  await rig.end();
  other.closeAllConnections();
  await new Promise((resolve) => other.close(resolve));
}, MINUTES);

const list = (client = rig.client): Promise<unknown> => client.send(new DescribeReplicationGroupsCommand({}));
const callsOf = (action: string): ReturnType<Rig['aws']['control']['calls']> => rig.aws.control.calls({ action });

test('throttled calls: Throttling is retried by the SDK, APICallRateForCustomerExceeded is not', async () => {
  const before = callsOf('DescribeReplicationGroups').length;
  rig.aws.control.throttle({ times: 2 });
  await list();
  const made = callsOf('DescribeReplicationGroups').slice(before);
  expect(made.map((call) => [call.code, call.attempt])).toEqual([
    ['Throttling', 'attempt=1; max=3'],
    ['Throttling', 'attempt=2; max=3'],
    [undefined, 'attempt=3; max=3'],
  ]);
  expect(new Set(made.map((call) => call.invocationId)).size).toBe(1);
  rig.aws.control.throttle({ action: 'DescribeReplicationGroups', code: 'APICallRateForCustomerExceeded' });
  expect(await refusal(list())).toMatchObject({ Code: 'APICallRateForCustomerExceeded', message: 'Rate exceeded' });
  await list();
});

test('a rate throttles that part of all calls, evenly', async () => {
  const client = rig.clientWith({ maxAttempts: 1 });
  rig.aws.control.throttle({ rate: 0.25 });
  const outcomes: string[] = [];
  for (let i = 0; i < 12; i++) {
    outcomes.push(
      await list(client).then(
        () => 'ok',
        (error: Error) => error.name,
      ),
    );
  }
  expect(outcomes.filter((outcome) => outcome === 'Throttling')).toHaveLength(3);
});

test('any code can be scripted for an action, others go through', async () => {
  rig.aws.control.failNext({
    action: 'DescribeEvents',
    code: 'InvalidReplicationGroupState',
    message: 'not now',
    times: 2,
  });
  await list();
  for (let i = 0; i < 2; i++) {
    expect(await refusal(rig.client.send(new DescribeEventsCommand({})))).toEqual({
      name: 'InvalidReplicationGroupStateFault',
      Code: 'InvalidReplicationGroupState',
      message: 'not now',
    });
  }
  await rig.client.send(new DescribeEventsCommand({}));
});

test('keys can be refused, one or all', async () => {
  rig.aws.control.rejectKey({ accessKeyId: 'stranger' });
  expect(await refusal(list(rig.clientWith({ accessKeyId: 'stranger' })))).toMatchObject({
    Code: 'InvalidClientTokenId',
    message: 'The security token included in the request is invalid.',
  });
  await list();
  rig.aws.control.rejectKey({ code: 'AccessDenied' });
  expect(await refusal(list())).toMatchObject({ Code: 'AccessDenied' });
});

test('a hanging call is never answered', async () => {
  const hasty = rig.clientWith({ maxAttempts: 1, timeoutMs: 300 });
  rig.aws.control.hang({ action: 'DescribeReplicationGroups' });
  expect((await refusal(list(hasty))).name).toMatch(/Timeout/);
  expect(callsOf('DescribeReplicationGroups').at(-1)?.outcome).toBe('hung');
  await list(hasty);
});

test(
  'Complete is carried out though its connection is cut, its answer never comes, or it comes late',
  async () => {
    const once = rig.clientWith({ maxAttempts: 1, timeoutMs: 400 });
    for (const [id, script] of [
      ['dropped', () => rig.aws.control.drop({ action: 'CompleteMigration' })],
      ['unheard', () => rig.aws.control.hang({ action: 'CompleteMigration', perform: true })],
      ['late', () => rig.aws.control.late({ action: 'CompleteMigration', ms: 3_000 })],
      ['latecut', () => rig.aws.control.late({ action: 'CompleteMigration', ms: 3_000, answer: 'cut' })],
    ] as const) {
      const group = await createTarget(rig, id);
      const source = await rig.source();
      await source.connect().set('k', id);
      await startMigration(rig, id, source.port);
      await untilStatus(rig, id, 'migrating');
      await untilInSync(source.connect(), rig.redis(primaryPort(group)));
      script();
      await refusal(once.send(new CompleteMigrationCommand({ ReplicationGroupId: id })));
      if (id.startsWith('late')) expect((await describeGroup(rig, id)).Status).toBe('migrating');
      await untilStatus(rig, id, 'available');
      expect(await rig.redis(primaryPort(group)).get('k')).toBe(id);
      expect(await rig.redis(primaryPort(group)).set('k', 'writable')).toBe('OK');
    }
  },
  MINUTES,
);

test(
  'Describe can lag behind what was done',
  async () => {
    await createTarget(rig, 'lagging');
    rig.aws.control.delayVisibility({ ms: 1_000 });
    const change = { ReplicationGroupId: 'lagging', ReplicationGroupDescription: 'changed', ApplyImmediately: true };
    const changedAt = Date.now();
    await rig.client.send(new ModifyReplicationGroupCommand(change));
    const seen = await describeGroup(rig, 'lagging');
    // On a machine that is this slow nothing can be told.
    if (Date.now() - changedAt < 1_000) expect(seen).toMatchObject({ Description: 'a target', Status: 'available' });
    await until('the change is visible', async () => (await describeGroup(rig, 'lagging')).Description === 'changed');
    expect(Date.now() - changedAt).toBeGreaterThanOrEqual(1_000);
  },
  MINUTES,
);

test('hooks of this process run before a call and before its answer', async () => {
  const seen: string[] = [];
  rig.aws.control.onCall('DescribeEvents', 'before', (call) => void seen.push(`before ${call.outcome}`));
  const off = rig.aws.control.onCall('DescribeEvents', 'after', (call) => void seen.push(`after ${call.action}`));
  await rig.client.send(new DescribeEventsCommand({}));
  off();
  await rig.client.send(new DescribeEventsCommand({}));
  expect(seen).toEqual(['before pending', 'after DescribeEvents', 'before pending']);
});

test('another process scripts it over HTTP', async () => {
  const post = async (command: string, given: unknown): Promise<{ status: number; body: unknown }> => {
    const answer = await fetch(`${rig.aws.url}/_sandbox/${command}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(given),
    });
    return { status: answer.status, body: await answer.json() };
  };
  expect(await post('failNext', { action: 'DescribeEvents', code: 'InternalFailure', status: 400 })).toEqual({
    status: 200,
    body: {},
  });
  expect(await refusal(rig.client.send(new DescribeEventsCommand({})))).toMatchObject({ Code: 'InternalFailure' });
  const calls = await post('calls', { action: 'DescribeEvents' });
  expect((calls.body as { code?: string }[]).at(-1)?.code).toBe('InternalFailure');
  expect(await post('failNext', { action: 'DescribeEvents', code: 'X', colour: 'red' })).toMatchObject({
    status: 400,
    body: { error: expect.stringContaining('colour') },
  });
  expect(await post('constructor', {})).toMatchObject({ status: 400 });
  // Parts of the control have commands of their own.
  expect(await post('dynamodb/limits', { itemsPerFile: 3 })).toEqual({ status: 200, body: {} });
  expect(await post('machines/failImages', { times: 2, colour: 'red' })).toMatchObject({
    status: 400,
    body: { error: expect.stringContaining('colour') },
  });
  expect(await post('machines/folder', { id: 'i-1' })).toMatchObject({ status: 400 });
  expect(await post('nodes', { group: 'lagging' })).toMatchObject({
    body: [{ id: 'lagging-001' }, { id: 'lagging-002' }],
  });
});

test('other services are passed on unchanged to a server that is started when first needed, and can be scripted', async () => {
  const ssm = new SSMClient({
    endpoint: rig.aws.url,
    region: 'us-east-1',
    credentials: { accessKeyId: 'k', secretAccessKey: 's' },
  });
  const get = new GetParameterCommand({ Name: '/a/b' });
  expect(started).toBe(0);
  expect((await ssm.send(get)).Parameter?.Value).toBe('from the other server');
  expect((await ssm.send(get)).Parameter?.Value).toBe('from the other server');
  expect(started).toBe(1);
  expect(passedOn.at(-1)).toEqual({ target: 'AmazonSSM.GetParameter', body: '{"Name":"/a/b"}' });
  expect(callsOf('GetParameter').at(-1)).toMatchObject({ service: 'ssm', outcome: 'passed on', status: 200 });
  rig.aws.control.failNext({ action: 'ssm:GetParameter', code: 'ParameterNotFound', message: 'gone' });
  expect(await refusal(ssm.send(get))).toMatchObject({ name: 'ParameterNotFound', message: 'gone' });
  rig.aws.control.rejectKey({ accessKeyId: 'k' });
  expect(await refusal(ssm.send(get))).toMatchObject({ name: 'UnrecognizedClientException' });
  ssm.destroy();
});
