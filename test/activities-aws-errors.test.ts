/** The error table, against an HTTP server that answers as AWS, proxies and broken networks do. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { DescribeReplicationGroupsCommand, ElastiCacheClient } from '@aws-sdk/client-elasticache';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { closeAwsClients } from '../activities/aws/clients.ts';
import { awsCode, awsFailure, howToRetry, isCode, wasRefused } from '../activities/aws/failure.ts';
import { completeMigration } from '../activities/elasticache/complete-migration.ts';
import { groupStatus } from '../activities/elasticache/replication-group.ts';
import { freePort } from '../sandbox/runtime/ports.ts';

type Answer = (response: ServerResponse) => void;

let server: Server;
let url: string;
let answers: Answer[] = [];
let calls = 0;

const xmlError =
  (code: string, message = 'said so', status = 400): Answer =>
  (response) => {
    response.writeHead(status, { 'content-type': 'text/xml', 'x-amzn-requestid': 'req-1' });
    response.end(
      `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error></ErrorResponse>`,
    );
  };
const plain =
  (status: number, body: string, type = 'text/html'): Answer =>
  (response) => {
    response.writeHead(status, { 'content-type': type });
    response.end(body);
  };
const accepted: Answer = plain(
  200,
  '<CompleteMigrationResponse><CompleteMigrationResult><ReplicationGroup><ReplicationGroupId>orders</ReplicationGroupId><Status>modifying</Status></ReplicationGroup></CompleteMigrationResult></CompleteMigrationResponse>',
  'text/xml',
);
const cut: Answer = (response) => response.socket?.destroy();
const hang: Answer = () => undefined;

beforeAll(async () => {
  server = createServer((request, response) => {
    calls++;
    request.resume().on('end', () => (answers.length > 1 ? answers.shift()! : answers[0]!)(response));
  });
  const port = await freePort();
  await new Promise<void>((ready) => server.listen(port, '127.0.0.1', ready));
  url = `http://127.0.0.1:${port}`;
  vi.stubEnv('AWS_ENDPOINT_URL', url);
  vi.stubEnv('AWS_REGION', 'ap-northeast-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIATEST');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
});
beforeEach(() => {
  calls = 0;
});
afterAll(async () => {
  vi.unstubAllEnvs();
  closeAwsClients();
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
});

/** The very error that the SDK throws for an answer. */
async function errorFor(answer: Answer, endpoint = url): Promise<unknown> {
  answers = [answer];
  const client = new ElastiCacheClient({
    endpoint,
    maxAttempts: 1,
    // Short for the one that hangs alone: a busy machine may take as long for any other answer.
    requestHandler: { requestTimeout: answer === hang ? 300 : 30_000, throwOnRequestTimeout: true },
  });
  try {
    await client.send(new DescribeReplicationGroupsCommand({}));
  } catch (error) {
    return error;
  } finally {
    client.destroy();
  }
  throw new Error('the call did not fail');
}

describe('what the service says', () => {
  test.each([
    // code, retry, type, permanent, refused
    ['Throttling', 'slow', 'cutover.Throttled', false],
    ['APICallRateForCustomerExceeded', 'slow', 'cutover.Throttled', false],
    ['RequestLimitExceeded', 'slow', 'cutover.Throttled', false],
    ['InvalidReplicationGroupState', 'busy', 'cutover.Busy', false],
    ['InvalidCacheClusterState', 'busy', 'cutover.Busy', false],
    ['InvalidSnapshotState', 'busy', 'cutover.Busy', false],
    ['InvalidParameterValue', 'never', 'cutover.Invalid', true],
    ['InvalidParameterCombination', 'never', 'cutover.Invalid', true],
    ['ReplicationGroupNotFoundFault', 'never', 'cutover.NotFound', true],
    ['CacheClusterNotFound', 'never', 'cutover.NotFound', true],
    ['SnapshotQuotaExceededFault', 'never', 'cutover.Invalid', true],
    ['InsufficientCacheClusterCapacity', 'never', 'cutover.Invalid', true],
    ['ReplicationGroupAlreadyUnderMigrationFault', 'never', 'cutover.Invalid', true],
    ['SnapshotAlreadyExistsFault', 'never', 'cutover.Invalid', true],
    ['AccessDenied', 'never', 'cutover.Denied', true],
    ['InvalidClientTokenId', 'never', 'cutover.Denied', true],
    ['ExpiredToken', 'never', 'cutover.Denied', true],
    ['UnrecognizedClientException', 'never', 'cutover.Denied', true],
    ['SignatureDoesNotMatch', 'never', 'cutover.Denied', true],
    ['SomethingNew', 'unknown', 'cutover.Unreachable', false],
  ])('%s: %s, %s', async (code, retry, type, permanent) => {
    const error = await errorFor(xmlError(code));
    expect(howToRetry(error)).toBe(retry);
    expect(wasRefused(error)).toBe(true);
    const failure = awsFailure(error, 'Describe of orders');
    expect(failure).toMatchObject({ type, nonRetryable: permanent, message: `Describe of orders: ${code}: said so` });
  });

  test('what an imitation of AWS does not have is not asked for again and again, though it calls it its own fault', async () => {
    const error = await errorFor(xmlError('NotImplemented', 'no ACLs here', 501));
    expect(awsFailure(error, 'PutObjectAcl')).toMatchObject({ type: 'cutover.Invalid', nonRetryable: true });
    expect(wasRefused(error)).toBe(false);
  });

  test('a class name and its wire code are the same code', async () => {
    const error = await errorFor(xmlError('InvalidReplicationGroupState'));
    expect(error).toMatchObject({ name: 'InvalidReplicationGroupStateFault', Code: 'InvalidReplicationGroupState' });
    expect(isCode(error, 'InvalidReplicationGroupState')).toBe(true);
    expect(isCode(error, 'InvalidReplicationGroupStateFault')).toBe(true);
    expect(isCode(error, 'InvalidCacheClusterState')).toBe(false);
  });

  test('a throttled failure asks for a slower retry than a hiccup; a busy one is benign', async () => {
    expect(awsFailure(await errorFor(xmlError('Throttling')), 'x')).toMatchObject({
      nextRetryDelay: 15_000,
      category: undefined,
    });
    expect(awsFailure(await errorFor(cut), 'x')).toMatchObject({ nextRetryDelay: 2_000, category: undefined });
    const busy = awsFailure(await errorFor(xmlError('InvalidReplicationGroupState')), 'x');
    expect(busy).toMatchObject({ nextRetryDelay: 10_000, category: 'BENIGN' });
  });
});

describe('what is no answer of the service proves nothing', () => {
  test.each<[string, Answer, string]>([
    ['a connection cut', cut, 'ECONNRESET'],
    ['a hanging call', hang, 'ETIMEDOUT'],
    ['a 500 of the service', xmlError('InternalFailure', 'oh', 500), 'InternalFailure'],
    ['a 503 of the service', xmlError('ServiceUnavailable', 'oh', 503), 'ServiceUnavailable'],
    ['a throttling 503', xmlError('Throttling', 'oh', 503), 'Throttling'],
    ['a timeout of the service', xmlError('RequestTimeout'), 'RequestTimeout'],
    ["a proxy's 403", plain(403, '<html><body>no</body></html>'), 'HTTP 403'],
    ["a proxy's empty 404", plain(404, ''), 'NotFound'],
    ["a proxy's empty 502", plain(502, ''), 'HTTP 502'],
    ["a proxy's broken HTML 500", plain(500, '<!doctype html><p>x<br></html>'), 'HTTP 500'],
    ['plain text', plain(400, 'bad request', 'text/plain'), 'HTTP 400'],
  ])('%s', async (_what, answer, code) => {
    const error = await errorFor(answer);
    expect(awsCode(error)).toBe(code);
    expect(wasRefused(error)).toBe(false);
    expect(awsFailure(error, 'x')).toMatchObject({ nonRetryable: false });
  });

  test('an abort is neither refused nor translated', async () => {
    answers = [hang];
    const client = new ElastiCacheClient({ endpoint: url, maxAttempts: 1 });
    const error: unknown = await client
      .send(new DescribeReplicationGroupsCommand({}), { abortSignal: AbortSignal.timeout(50) })
      .catch((e: unknown) => e);
    client.destroy();
    expect(wasRefused(error)).toBe(false);
    expect(awsFailure(error, 'x')).toBe(error);
  });

  test('a refusal after the SDK has sent the call twice proves nothing of the first time', async () => {
    answers = [cut, xmlError('ReplicationGroupNotUnderMigrationFault')];
    const client = new ElastiCacheClient({ endpoint: url, maxAttempts: 2 });
    const error: unknown = await client.send(new DescribeReplicationGroupsCommand({})).catch((e: unknown) => e);
    client.destroy();
    expect(isCode(error, 'ReplicationGroupNotUnderMigration')).toBe(true);
    expect(wasRefused(error)).toBe(false);
  });
});

test('a connection that was never made sent nothing', async () => {
  const error = await errorFor(hang, 'http://127.0.0.1:1');
  expect(wasRefused(error)).toBe(true);
  expect(awsFailure(error, 'x')).toMatchObject({ type: 'cutover.Unreachable', nonRetryable: false });
});

test('failures of ours and cancellations pass as they are', () => {
  const ours = ApplicationFailure.nonRetryable('mine', 'cutover.Invalid');
  const cancelled = new CancelledFailure('stop');
  expect(awsFailure(ours, 'x')).toBe(ours);
  expect(awsFailure(cancelled, 'x')).toBe(cancelled);
});

test('an empty answer is no group: it is told as a wrong endpoint, not as a status', async () => {
  answers = [plain(200, '')];
  const env = new MockActivityEnvironment();
  await expect(env.run(groupStatus, { id: 'orders' })).rejects.toMatchObject({
    type: 'cutover.Unreachable',
    nonRetryable: false,
    message: expect.stringContaining('does not hold the group'),
  });
});

describe('CompleteMigration', () => {
  const complete = (info: { attempt?: number } = {}, force = false) =>
    new MockActivityEnvironment(info).run(completeMigration, { id: 'orders', force });

  test('accepted', async () => {
    answers = [accepted];
    expect(await complete()).toMatchObject({ answer: 'accepted' });
    expect(calls).toBe(1);
  });
  test.each(['InvalidReplicationGroupState', 'ReplicationGroupNotFoundFault', 'AccessDenied'])(
    'refused: %s',
    async (code) => {
      answers = [xmlError(code)];
      expect(await complete()).toMatchObject({ answer: 'refused', code });
      expect(calls).toBe(1);
    },
  );
  test.each<[string, Answer]>([
    ['a cut connection', cut],
    ['a 500', xmlError('InternalFailure', 'oh', 500)],
    ["a proxy's empty 200", plain(200, '')],
    ["a proxy's 502", plain(502, '')],
  ])('ambiguous, and not sent again: %s', async (_what, answer) => {
    answers = [answer];
    expect(await complete()).toMatchObject({ answer: 'ambiguous' });
    expect(calls).toBe(1);
  });
  test('no migration any more is told as such', async () => {
    answers = [xmlError('ReplicationGroupNotUnderMigrationFault')];
    expect(await complete()).toMatchObject({ answer: 'not-under-migration' });
  });
  test('throttled is sent again, for a throttled call did nothing', async () => {
    answers = [xmlError('Throttling'), xmlError('APICallRateForCustomerExceeded'), accepted];
    expect(await complete()).toMatchObject({ answer: 'accepted' });
    expect(calls).toBe(3);
  });
  test('throttled, then cut: ambiguous', async () => {
    answers = [xmlError('Throttling'), cut];
    expect(await complete()).toMatchObject({ answer: 'ambiguous' });
    expect(calls).toBe(2);
  });
  test("in a second attempt a refusal says nothing of the first one's call; with Force it does not matter", async () => {
    answers = [xmlError('InvalidReplicationGroupState')];
    expect(await complete({ attempt: 2 })).toMatchObject({ answer: 'ambiguous', code: 'InvalidReplicationGroupState' });
    expect(await complete({ attempt: 2 }, true)).toMatchObject({ answer: 'refused' });
  });
});
