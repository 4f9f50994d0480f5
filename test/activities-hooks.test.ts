/** Hooks, with real processes, a real HTTP receiver, moto's SSM and ECS, and a scripted ECS for rollouts. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  CreateClusterCommand,
  CreateServiceCommand,
  DescribeServicesCommand,
  RegisterTaskDefinitionCommand,
} from '@aws-sdk/client-ecs';
import { DeleteParameterCommand, GetParameterCommand, PutParameterCommand } from '@aws-sdk/client-ssm';
import { CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { closeAwsClients, ecs, ssm } from '../activities/aws/clients.ts';
import { prepareHooks, runHooks, undoHooks, type HookDone } from '../activities/hooks/run-hooks.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import { startMoto, type MotoServer } from '../sandbox/runtime/moto.ts';
import { hook as hookSchema, type Hook } from '../spec/hooks.ts';

const dir = mkdtempSync(join(tmpdir(), 'cutover-hooks-'));
const target = { host: 'new.redis.internal', port: 6390 };
let moto: MotoServer;
let receiver: Server;
let receiverUrl: string;
let received: { method: string; url: string; headers: IncomingHttpHeaders; body: string }[] = [];
let reply: (
  n: number,
) => { status: number; body?: string; headers?: Record<string, string> } | 'cut' | 'hang' = () => ({ status: 204 });

/** Hooks as a file has them: defaults filled in by the schema. */
const hooks = (...list: z.input<typeof hookSchema>[]): Hook[] => z.array(hookSchema).parse(list);
const sh = (script: string, more: object = {}) => ({
  type: 'command' as const,
  run: ['/bin/sh', '-c', script],
  ...more,
});

interface Run {
  beats: { progress?: { text: string }; checkpoint?: unknown }[];
  env: MockActivityEnvironment;
  run: <A extends object, R>(fn: (args: A) => Promise<R>, args: A) => Promise<R>;
}
/** An activity of its own, with what its last attempt has left in the heartbeat. */
function activity(heartbeatDetails?: unknown): Run {
  const env = new MockActivityEnvironment({ heartbeatDetails }, { logger: new DefaultLogger('ERROR') });
  const beats: Run['beats'] = [];
  env.on('heartbeat', (details: Run['beats'][number]) => beats.push(structuredClone(details)));
  return { env, beats, run: (fn, args) => env.run(fn, args) };
}
const base = { migrationId: 'orders', target };
const run = (list: Hook[], more: Partial<Parameters<typeof runHooks>[0]> = {}) =>
  activity().run(runHooks, { ...base, hooks: list, ...more });
const failureOf = async (promise: Promise<unknown>): Promise<any> =>
  promise.then(
    () => expect.unreachable('did not fail'),
    (error: unknown) => error,
  );

async function until(what: string, check: () => boolean | Promise<boolean>, limitMs = 20_000): Promise<void> {
  for (const end = Date.now() + limitMs; !(await check()); await delay(20)) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
  }
}
const alive = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

beforeAll(async () => {
  moto = await startMoto({ dir: join(dir, 'moto') });
  vi.stubEnv('AWS_ENDPOINT_URL', moto.url);
  vi.stubEnv('AWS_REGION', 'ap-northeast-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
  vi.stubEnv('HOOK_SECRET', 'hunter2-hook');
  receiver = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      received.push({ method: request.method!, url: request.url!, headers: request.headers, body });
      const answer = reply(received.length);
      if (answer === 'hang') return;
      if (answer === 'cut') response.socket?.destroy();
      else response.writeHead(answer.status, answer.headers).end(answer.body);
    });
  });
  const port = await freePort();
  await new Promise<void>((ready) => receiver.listen(port, '127.0.0.1', ready));
  receiverUrl = `http://127.0.0.1:${port}`;
}, 180_000);
beforeEach(() => {
  received = [];
  reply = () => ({ status: 204 });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  closeAwsClients();
  receiver.closeAllConnections();
  await new Promise((closed) => receiver.close(closed));
  await moto?.kill();
  rmSync(dir, { recursive: true, force: true });
});

describe('command', () => {
  test('gets words, placeholders and environment as they are, without a shell', async () => {
    const out = join(dir, 'args');
    const list = hooks({
      type: 'command',
      run: [
        process.execPath,
        '-e',
        `require('fs').writeFileSync(${JSON.stringify(out)}, JSON.stringify([process.argv.slice(1), process.env.A, process.env.B, process.env.CUTOVER_MIGRATION, process.env.CUTOVER_TARGET_HOST, process.env.CUTOVER_TARGET_PORT]))`,
        '${target.host}:${target.port}',
        '$HOME; `x` ${other}',
      ],
      env: { A: '${target.host}', B: { env: 'HOOK_SECRET' } },
    });
    expect(await run(list)).toEqual({ done: [{ index: 0, undoState: { type: 'command' }, complete: true }] });
    expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual([
      ['new.redis.internal:6390', '$HOME; `x` ${other}'],
      'new.redis.internal',
      'hunter2-hook',
      'orders',
      'new.redis.internal',
      '6390',
    ]);
  });

  test('fails with exit code and the output’s end, secrets hidden', async () => {
    const list = hooks(sh('echo one; echo "the key is $KEY" >&2; exit 3', { env: { KEY: { env: 'HOOK_SECRET' } } }));
    const failure = await failureOf(run(list));
    expect(failure).toMatchObject({ type: 'cutover.Hook', nonRetryable: true });
    expect(failure.message).toMatch(/^hook 1\/1 command \/bin\/sh: \/bin\/sh ended with exit code 3: /);
    expect(failure.message).toContain('the key is [secret]');
    expect(failure.details[0]).toMatchObject({ failedIndex: 0, exitCode: 3, done: [{ index: 0, complete: false }] });
    expect(JSON.stringify([failure.message, failure.details])).not.toContain('hunter2');
  });

  test('a program that is not there', async () => {
    const failure = await failureOf(run(hooks({ type: 'command', run: ['/nope/nothing'] })));
    expect(failure.message).toContain("/nope/nothing can't be started on the worker: ENOENT");
  });

  test('is ended at its timeout with the children it has started, even such as ignore TERM', async () => {
    const pids = join(dir, 'pids-timeout');
    // Both write their number before they wait, so that the test knows whom to look for.
    const script = `trap '' TERM; echo $$ >> ${pids}; (trap '' TERM; sh -c 'echo $PPID' >> ${pids}; while :; do sleep 1; done) & while :; do sleep 1; done`;
    const failure = await failureOf(run(hooks(sh(script, { timeout: '2s' }))));
    expect(failure.message).toMatch(/not done within 2 s: \/bin\/sh was ended/);
    const numbers = readFileSync(pids, 'utf8').trim().split('\n').map(Number);
    expect(numbers).toHaveLength(2);
    await until('both gone', () => numbers.every((pid) => !alive(pid)));
  });

  test('is ended with its children when the activity is cancelled', async () => {
    const pids = join(dir, 'pids-cancel');
    const a = activity();
    const running = a.run(runHooks, {
      ...base,
      hooks: hooks(sh(`echo $$ > ${pids}; sleep 600 & echo $! >> ${pids}; wait`)),
    });
    const failed = failureOf(running);
    await until('it runs', () => existsSync(pids) && readFileSync(pids, 'utf8').trim().split('\n').length === 2);
    a.env.cancel('CANCELLED');
    expect(await failed).toBeInstanceOf(CancelledFailure);
    const numbers = readFileSync(pids, 'utf8').trim().split('\n').map(Number);
    await until('both gone', () => numbers.every((pid) => !alive(pid)));
  });

  test('does not wait for a child that it leaves behind with the output open', async () => {
    const pid = join(dir, 'pid-left');
    await run(hooks(sh(`sleep 600 & echo $! > ${pid}; exit 0`, { timeout: '10s' })));
    const left = Number(readFileSync(pid, 'utf8'));
    expect(alive(left)).toBe(true);
    process.kill(left, 'SIGKILL');
  });
});

describe('webhook', () => {
  const webhook = (more: object = {}) => ({
    type: 'webhook' as const,
    url: `${receiverUrl}/switch?to=\${target.host}`,
    ...more,
  });

  test('sends method, headers, body and the key of this migration', async () => {
    await run(
      hooks(
        webhook({
          method: 'PUT',
          headers: { authorization: { env: 'HOOK_SECRET' }, 'x-port': '${target.port}' },
          body: { to: ['${target.host}', 1] },
        }),
      ),
    );
    expect(received).toHaveLength(1);
    expect(received[0]).toMatchObject({
      method: 'PUT',
      url: '/switch?to=new.redis.internal',
      headers: {
        authorization: 'hunter2-hook',
        'x-port': '6390',
        'content-type': 'application/json',
        'idempotency-key': 'orders/0',
      },
      body: '{"to":["new.redis.internal",1]}',
    });
  });

  test('the key is of this use of the hooks alone; a receiver that keeps answers does the work of each', async () => {
    for (const use of ['run-1/1', 'run-1/2', 'run-2/1']) {
      const { done } = await run(hooks(webhook({ undo: { url: `${receiverUrl}/back` } })), { run: use });
      await activity().run(undoHooks, {
        ...base,
        run: use,
        hooks: hooks(webhook({ undo: { url: `${receiverUrl}/back` } })),
        done,
      });
    }
    expect(received.map(({ headers }) => headers['idempotency-key'])).toEqual(
      ['run-1/1', 'run-1/2', 'run-2/1'].flatMap((use) => [`orders/${use}/0`, `orders/${use}/0/undo`]),
    );
  });

  test('5xx, 429 and a cut connection are tried again with the same key', async () => {
    reply = (n) => [{ status: 500 }, 'cut' as const, { status: 429 }][n - 1] ?? { status: 200 };
    await run(hooks(webhook()));
    expect(received.map(({ headers }) => headers['idempotency-key'])).toEqual(Array(4).fill('orders/0'));
  });

  test('4xx is final, and shows 200 characters of the answer at most, secrets hidden', async () => {
    reply = () => ({ status: 422, body: `no: hunter2-hook ${'x'.repeat(1000)}` });
    const failure = await failureOf(run(hooks(webhook({ headers: { a: { env: 'HOOK_SECRET' } } }))));
    expect(received).toHaveLength(1);
    expect(failure.message).toMatch(/POST http:\/\/127\.0\.0\.1:\d+ answered 422: no: \[secret\] x+$/);
    expect(failure.message.length).toBeLessThan(300);
    expect(failure.message).not.toContain('/switch');
  });

  test('a redirect is not followed', async () => {
    reply = () => ({ status: 302, headers: { location: `${receiverUrl}/elsewhere` } });
    expect((await failureOf(run(hooks(webhook())))).message).toContain('answered 302');
    expect(received).toHaveLength(1);
  });

  test('a receiver that hangs ends at the timeout; one that is not there is named', async () => {
    reply = () => 'hang';
    expect((await failureOf(run(hooks(webhook({ timeout: '1s' }))))).message).toMatch(
      /not done within 1 s: POST .* gave no answer/,
    );
    const nobody = webhook({ url: `http://127.0.0.1:${await freePort()}/x`, timeout: '1s' });
    expect((await failureOf(run(hooks(nobody)))).message).toMatch(/not done within 1 s: .*ECONNREFUSED/);
  });

  test('undo calls the undo address with a key of its own', async () => {
    const list = hooks(webhook({ undo: { url: `${receiverUrl}/back`, method: 'POST' } }), webhook());
    const { done } = await run(list);
    received = [];
    expect(await activity().run(undoHooks, { ...base, hooks: list, done })).toEqual({
      undone: [0],
      left: [expect.stringContaining('webhook POST')],
    });
    expect(received).toMatchObject([{ url: '/back', headers: { 'idempotency-key': 'orders/0/undo' } }]);
  });
});

describe('ssm-parameter', () => {
  const parameter = (name: string, more: object = {}) => ({
    type: 'ssm-parameter' as const,
    parameter: name,
    value: '${target.host}:${target.port}',
    ...more,
  });
  const get = async (Name: string) =>
    (await ssm().send(new GetParameterCommand({ Name, WithDecryption: true }))).Parameter!;
  const put = (Name: string, Value: string, Type: 'String' | 'SecureString' = 'String', KeyId?: string) =>
    ssm().send(new PutParameterCommand({ Name, Value, Type, Overwrite: true, ...(KeyId ? { KeyId } : {}) }));
  const undo = (list: Hook[], done: HookDone[]) => activity().run(undoHooks, { ...base, hooks: list, done });

  test('writes, twice the same; undo, twice the same; history holds a number only', async () => {
    await put('/app/redis', 'old:6379');
    const list = hooks(parameter('/app/redis'));
    const { done } = await run(list);
    expect(done).toEqual([{ index: 0, undoState: { type: 'ssm-parameter', version: 1 }, complete: true }]);
    expect(await get('/app/redis')).toMatchObject({ Value: 'new.redis.internal:6390', Version: 2 });
    // Run again with what is known: nothing is written, and the way back is the old one.
    expect(await run(list, { before: done })).toEqual({ done });
    expect((await get('/app/redis')).Version).toBe(2);
    await undo(list, done);
    await undo(list, done);
    expect(await get('/app/redis')).toMatchObject({ Value: 'old:6379', Version: 3 });
  });

  test('after a crash between write and answer, the heartbeat knows the way back', async () => {
    await put('/app/crash', 'old:6379');
    const list = hooks(parameter('/app/crash'));
    const first = activity();
    await first.run(runHooks, { ...base, hooks: list });
    // The beat before the last one: begun, not known to be done.
    const begun = first.beats.find(({ checkpoint }) => JSON.stringify(checkpoint ?? '').includes('"complete":false'));
    const { done } = await activity(begun).run(runHooks, { ...base, hooks: list });
    expect(done).toEqual([{ index: 0, undoState: { type: 'ssm-parameter', version: 1 }, complete: true }]);
    expect(JSON.stringify(first.beats)).not.toContain('old:6379');
  });

  test('a SecureString stays one, with its key, and its values are in no heartbeat and no result', async () => {
    await put('/app/secure', 'hunter2-old', 'SecureString', 'alias/orders');
    const asked: unknown[] = [];
    ssm().middlewareStack.add(
      (next) => (args) => {
        if ('Value' in args.input) asked.push(args.input);
        return next(args);
      },
      { step: 'initialize', name: 'asked' },
    );
    const list = hooks(parameter('/app/secure'));
    const a = activity();
    const { done } = await a.run(runHooks, { ...base, hooks: list });
    expect(await get('/app/secure')).toMatchObject({ Type: 'SecureString', Value: 'new.redis.internal:6390' });
    await undo(list, done);
    expect(await get('/app/secure')).toMatchObject({ Type: 'SecureString', Value: 'hunter2-old' });
    // moto keeps a parameter's key by itself where AWS takes the default one, so what was asked for is what counts.
    expect(asked).toMatchObject([
      { Type: 'SecureString', KeyId: 'alias/orders', Overwrite: true },
      { Type: 'SecureString', KeyId: 'alias/orders', Overwrite: true },
    ]);
    expect(JSON.stringify([a.beats, done])).not.toContain('hunter2');
  });

  test('one that did not exist is made, and undo removes it', async () => {
    const list = hooks(parameter('/app/fresh'));
    const { done } = await run(list);
    expect(await get('/app/fresh')).toMatchObject({ Type: 'String', Value: 'new.redis.internal:6390' });
    await undo(list, done);
    await undo(list, done);
    await expect(get('/app/fresh')).rejects.toThrow();
  });

  test("undo leaves somebody else's later value alone, and says so", async () => {
    await put('/app/other', 'old:6379');
    const list = hooks(parameter('/app/other'));
    const { done } = await run(list);
    await put('/app/other', 'third:1');
    const failure = await failureOf(undo(list, done));
    expect(failure.message).toContain('/app/other was changed by somebody else since (version 3)');
    expect((await get('/app/other')).Value).toBe('third:1');
    expect(failure.details[0]).toMatchObject({ failed: [{ index: 0 }], undone: [] });
  });

  test('undo goes on after one that fails', async () => {
    await put('/app/u0', 'old:0');
    await put('/app/u1', 'old:1');
    const list = hooks(parameter('/app/u0'), parameter('/app/u1'));
    const { done } = await run(list);
    await put('/app/u1', 'third:1');
    const failure = await failureOf(undo(list, done));
    expect(failure.details[0]).toMatchObject({ failed: [{ index: 1 }], undone: [0] });
    expect((await get('/app/u0')).Value).toBe('old:0');
    await ssm().send(new DeleteParameterCommand({ Name: '/app/u1' }));
  });
});

describe('in order', () => {
  test('stops at the first failure, tells what was done, and goes on from there', async () => {
    const log = join(dir, 'order');
    const flag = join(dir, 'mended');
    const list = hooks(
      sh(`echo a >> ${log}`),
      sh(`test -e ${flag} && echo b >> ${log}`, { name: 'the second' }),
      sh(`echo c >> ${log}`),
    );
    const a = activity();
    const failure = await failureOf(a.run(runHooks, { ...base, hooks: list }));
    expect(failure.message).toContain('hook 2/3 the second: /bin/sh ended with exit code 1');
    expect(failure.details[0].failedIndex).toBe(1);
    expect(failure.details[0].done).toMatchObject([
      { index: 0, complete: true },
      { index: 1, complete: false },
    ]);
    expect(a.beats.map(({ progress }) => progress?.text)).toContain('hook 2/3 the second: running /bin/sh');
    await run(hooks(sh(`touch ${flag}`)));
    await run(list, { from: 1, before: failure.details[0].done });
    expect(readFileSync(log, 'utf8')).toBe('a\nb\nc\n');
  });

  test('undone backwards', async () => {
    const log = join(dir, 'undo-order');
    const undoable = (n: number) => sh('true', { undo: ['/bin/sh', '-c', `echo ${n} >> ${log}`] });
    const list = hooks(undoable(0), undoable(1), undoable(2));
    const { done } = await run(list);
    await activity().run(undoHooks, { ...base, hooks: list, done });
    expect(readFileSync(log, 'utf8')).toBe('2\n1\n0\n');
  });

  test('looking ahead finds a missing secret, service or permission, and changes nothing', async () => {
    const prepare = (list: Hook[]) => activity().run(prepareHooks, { ...base, hooks: list });
    const secret = await failureOf(prepare(hooks(sh('true'), sh('true', { env: { A: { env: 'NOT_THERE_AT_ALL' } } }))));
    expect(secret.message).toMatch(
      /^hook 2\/2 command \/bin\/sh: the secret \{ env: NOT_THERE_AT_ALL \} can't be read/,
    );
    expect(secret.details[0].errorType).toBe('cutover.Secret');
    const service = await failureOf(
      prepare(hooks({ type: 'ecs-service', cluster: 'nope', service: 'web', timeout: '5s' })),
    );
    expect(service.message).toMatch(/hook 1\/1 ECS service web: .*ClusterNotFound/);
    const before = await prepare(hooks({ type: 'ssm-parameter', parameter: '/app/ahead', value: 'x' }));
    expect(before).toEqual([{ index: 0, undoState: { type: 'ssm-parameter', version: 0 } }]);
    await expect(ssm().send(new GetParameterCommand({ Name: '/app/ahead' }))).rejects.toThrow();
  });
});

describe('ecs-service', () => {
  test("with moto's ECS: the task definition is deployed, and undo puts the former one back", async () => {
    await ecs().send(new CreateClusterCommand({ clusterName: 'apps' }));
    for (let revision = 1; revision <= 2; revision++) {
      await ecs().send(
        new RegisterTaskDefinitionCommand({
          family: 'web',
          containerDefinitions: [{ name: 'web', image: `web:${revision}`, memory: 64 }],
        }),
      );
    }
    // moto runs no task: only a service that wants none is ever stable there (facts 6).
    await ecs().send(
      new CreateServiceCommand({ cluster: 'apps', serviceName: 'web', taskDefinition: 'web:1', desiredCount: 0 }),
    );
    const definition = async () =>
      (await ecs().send(new DescribeServicesCommand({ cluster: 'apps', services: ['web'] }))).services![0]!
        .taskDefinition;
    const list = hooks({
      type: 'ecs-service',
      cluster: 'apps',
      service: 'web',
      taskDefinition: 'web:2',
      timeout: '30s',
    });
    const { done } = await run(list);
    expect(done).toMatchObject([
      { undoState: { type: 'ecs-service', taskDefinition: expect.stringMatching(/web:1$/), desiredCount: 0 } },
    ]);
    expect(await definition()).toMatch(/web:2$/);
    await activity().run(undoHooks, { ...base, hooks: list, done });
    expect(await definition()).toMatch(/web:1$/);
  });

  // A rollout, one DescribeServices after the other.
  const deployment = (
    id: string,
    status: string,
    running: number,
    rolloutState = 'IN_PROGRESS',
    more: object = {},
  ) => ({
    id,
    status,
    taskDefinition: 'web:1',
    desiredCount: 2,
    runningCount: running,
    pendingCount: 0,
    rolloutState,
    ...more,
  });
  const service = (running: number, deployments: object[], more: object = {}) => ({
    serviceName: 'web',
    status: 'ACTIVE',
    taskDefinition: 'web:1',
    desiredCount: 2,
    runningCount: running,
    pendingCount: 0,
    deployments,
    events: [{ id: 'e', message: '(service web) was unable to place a task' }],
    ...more,
  });
  const before = service(2, [deployment('old', 'PRIMARY', 2, 'COMPLETED')]);
  const begun = service(2, [deployment('new', 'PRIMARY', 0), deployment('old', 'ACTIVE', 2, 'COMPLETED')]);

  async function rollout(states: object[], timeout = '20s') {
    const calls: { action: string; input: unknown }[] = [];
    const queue = [before, ...states];
    const server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      request.on('end', () => {
        const action = String(request.headers['x-amz-target']).split('.')[1]!;
        calls.push({ action, input: JSON.parse(body) });
        response.setHeader('content-type', 'application/x-amz-json-1.1');
        if (action === 'UpdateService') return response.end(JSON.stringify({ service: begun }));
        const state = queue.length > 1 ? queue.shift()! : queue[0]!;
        if ('__type' in state) response.statusCode = 400;
        return response.end(JSON.stringify('__type' in state ? state : { services: [state] }));
      });
    });
    const port = await freePort();
    await new Promise<void>((ready) => server.listen(port, '127.0.0.1', ready));
    vi.stubEnv('AWS_ENDPOINT_URL_ECS', `http://127.0.0.1:${port}`);
    const a = activity();
    try {
      const list = hooks({ type: 'ecs-service', cluster: 'apps', service: 'web', timeout });
      const result = await a.run(runHooks, { ...base, hooks: list }).then(
        (value) => ({ value, failure: undefined }),
        (failure: any) => ({ value: undefined, failure }),
      );
      return { ...result, calls, texts: a.beats.map(({ progress }) => progress?.text ?? '') };
    } finally {
      vi.stubEnv('AWS_ENDPOINT_URL_ECS', undefined);
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    }
  }

  test('waits until the new deployment is the only one, runs all its tasks and is COMPLETED', async () => {
    const half = service(3, [deployment('new', 'PRIMARY', 1), deployment('old', 'ACTIVE', 2, 'COMPLETED')]);
    const draining = service(2, [deployment('new', 'PRIMARY', 2), deployment('old', 'ACTIVE', 0, 'COMPLETED')]);
    const notYet = service(2, [deployment('new', 'PRIMARY', 2)]);
    const done = service(2, [deployment('new', 'PRIMARY', 2, 'COMPLETED')]);
    const { value, failure, calls, texts } = await rollout([
      begun,
      half,
      { __type: 'ThrottlingException', message: 'slow' },
      draining,
      notYet,
      done,
    ]);
    expect(failure).toBeUndefined();
    expect(value?.done).toEqual([
      { index: 0, undoState: { type: 'ecs-service', taskDefinition: 'web:1', desiredCount: 2 }, complete: true },
    ]);
    expect(calls.filter(({ action }) => action === 'UpdateService')).toEqual([
      { action: 'UpdateService', input: { cluster: 'apps', service: 'web', forceNewDeployment: true } },
    ]);
    // The last look is the one that saw it completed, not an earlier one.
    expect(calls.length).toBeGreaterThanOrEqual(8);
    expect(texts).toContain('hook 1/1 ECS service web: deploying, 1 of 2 tasks run, 1 older deployment(s) still there');
  });

  test('a failed rollout fails with its reason and the service’s own words', async () => {
    const failed = service(2, [
      deployment('new', 'PRIMARY', 0, 'FAILED', { rolloutStateReason: 'tasks failed to start' }),
    ]);
    const { failure } = await rollout([begun, failed]);
    expect(failure.message).toContain(
      'its rollout failed: tasks failed to start ((service web) was unable to place a task)',
    );
    expect(failure.details[0]).toMatchObject({
      failedIndex: 0,
      done: [{ undoState: { desiredCount: 2 }, complete: false }],
    });
  });

  test('a rollback, or another deployment, in its place is a failure', async () => {
    const rolledBack = service(2, [deployment('back', 'PRIMARY', 2, 'COMPLETED')]);
    expect((await rollout([begun, rolledBack])).failure.message).toContain('deployment back has replaced it');
  });

  test('one that never becomes stable ends at its timeout', async () => {
    expect((await rollout([begun], '2s')).failure.message).toContain('not done within 2 s');
  });

  test('a service that is going away fails at once', async () => {
    const { failure } = await rollout([service(0, [], { status: 'DRAINING' })]);
    expect(failure.message).toContain('DRAINING, not ACTIVE');
  });
});
