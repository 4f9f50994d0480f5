/** Functional checks, with a real HTTP server and a real Postgres. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { runFunctionalChecks } from '../activities/checks/functional-checks.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import { startPostgres, type PostgresServer } from '../sandbox/runtime/postgres.ts';
import { check as checkSchema } from '../spec/checks.ts';

const dir = mkdtempSync(join(tmpdir(), 'cutover-checks-'));
let server: PostgresServer;
let web: Server;
let url = '';
let asked = 0;
let reply: (n: number) => { status: number; body?: string } | 'hang' = () => ({ status: 200 });
let headers: Record<string, unknown> = {};

beforeAll(async () => {
  server = await startPostgres({ dir: join(dir, 'pg') });
  await server.query('CREATE TABLE t (id int PRIMARY KEY, name text, ok boolean); ');
  await server.query(`INSERT INTO t VALUES (1, 'one', true), (2, NULL, false)`);
  vi.stubEnv('CHECK_SECRET', 'hunter2-check');
  vi.stubEnv('CHECK_PG', 'postgres');
  web = createServer((request, response) => {
    headers = request.headers;
    const answer = reply((asked += 1));
    if (answer === 'hang') return;
    response.writeHead(answer.status).end(answer.body);
  });
  const port = await freePort();
  await new Promise<void>((ready) => web.listen(port, '127.0.0.1', ready));
  url = `http://127.0.0.1:${port}/ping`;
}, 120_000);
beforeEach(() => {
  asked = 0;
  reply = () => ({ status: 200, body: 'PONG.' });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  web.closeAllConnections();
  await new Promise((closed) => web.close(closed));
  await server?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function run(...list: z.input<typeof checkSchema>[]) {
  const env = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  const endpoint = {
    host: server.host,
    port: server.port,
    database: 'postgres',
    user: 'postgres',
    password: { env: 'CHECK_PG' },
    tls: false,
  };
  const migration = { id: 'm', source: { ...endpoint, port: 1 }, target: endpoint, aws: {} };
  const running = env.run(runFunctionalChecks, { migration, checks: z.array(checkSchema).parse(list) });
  return { env, running: running as ReturnType<typeof runFunctionalChecks> };
}
const failureOf = async (promise: Promise<unknown>): Promise<any> =>
  promise.then(
    () => expect.unreachable('did not fail'),
    (error: unknown) => error,
  );

describe('http', () => {
  test('status and body hold; a secret header is sent', async () => {
    const { running } = run({ type: 'http', url, expectBody: 'PONG', headers: { 'x-key': { env: 'CHECK_SECRET' } } });
    expect(await running).toMatchObject({ results: [{ name: expect.stringContaining('/ping'), tries: 1 }] });
    expect(headers['x-key']).toBe('hunter2-check');
  });

  test('is asked again until it holds', async () => {
    reply = (n) => (n < 3 ? { status: 502 } : { status: 204 });
    expect(await run({ type: 'http', url, expectStatus: 204, timeout: '30s' }).running).toMatchObject({
      results: [{ tries: 3 }],
    });
  });

  test('at its timeout it says what was expected and what came, shortened, without secrets', async () => {
    reply = () => ({ status: 200, body: `login page of hunter2-check ${'x'.repeat(5000)}` });
    const failure = await failureOf(
      run({
        type: 'http',
        name: 'home',
        url,
        expectBody: 'PONG',
        timeout: '1s',
        headers: { a: { env: 'CHECK_SECRET' } },
      }).running,
    );
    expect(failure).toMatchObject({ type: 'cutover.Hook', nonRetryable: true });
    expect(failure.message).toMatch(
      /^check 1\/1 home does not hold: expected status 200 and a body with "PONG", got status 200: login page of \[secret\] x+ \(\d+ tries/,
    );
    expect(failure.message.length).toBeLessThan(400);
    expect(asked).toBeGreaterThan(1);
  });

  test('one that hangs, and one that is not there', async () => {
    reply = () => 'hang';
    expect((await failureOf(run({ type: 'http', url, timeout: '1s' }).running)).message).toContain('no answer');
    const nobody = `http://127.0.0.1:${await freePort()}/`;
    expect((await failureOf(run({ type: 'http', url: nobody, timeout: '1s' }).running)).message).toContain(
      'got no answer (ECONNREFUSED)',
    );
  });

  test('cancelled, it ends at once', async () => {
    reply = () => ({ status: 500 });
    const { env, running } = run({ type: 'http', url, timeout: '1h' });
    const failed = failureOf(running);
    await vi.waitFor(() => expect(asked).toBeGreaterThan(0), 20_000);
    env.cancel('CANCELLED');
    expect(await failed).toBeInstanceOf(CancelledFailure);
  });
});

describe('sql', () => {
  test('a value, a boolean, null, and rows', async () => {
    const { results } = await run(
      { type: 'sql', query: 'SELECT count(*) FROM t', expect: 2 },
      { type: 'sql', query: 'SELECT ok FROM public.t WHERE id = 1', expect: true },
      { type: 'sql', query: 'SELECT name FROM t WHERE id = 2', expect: null },
      {
        type: 'sql',
        query: 'SELECT id, name FROM t ORDER BY id',
        expect: [
          [1, 'one'],
          [2, null],
        ],
      },
    ).running;
    expect(results).toHaveLength(4);
  });

  test('another value is told; no row is not null', async () => {
    const wrong = await failureOf(
      run({ type: 'sql', query: 'SELECT count(*) FROM t', expect: 3, timeout: '1s' }).running,
    );
    expect(wrong.message).toContain('expected "3", got "2"');
    const none = await failureOf(
      run({ type: 'sql', query: 'SELECT name FROM t WHERE id = 9', expect: null, timeout: '1s' }).running,
    );
    expect(none.message).toContain('expected null, got 0 rows');
  });

  test('it can change nothing, by no trick', async () => {
    for (const query of [
      `DELETE FROM t RETURNING id`,
      `COMMIT; DELETE FROM t`,
      `SELECT 1; COMMIT; DELETE FROM t`,
      `WITH gone AS (DELETE FROM t RETURNING 1) SELECT count(*) FROM gone`,
    ]) {
      const failure = await failureOf(run({ type: 'sql', query, expect: 1, timeout: '1s' }).running);
      expect(failure.message).toMatch(/read-only|cannot insert multiple commands|multiple/i);
    }
    expect(await server.query('SELECT count(*)::int AS n FROM t')).toEqual([{ n: 2 }]);
  });

  test('a server that is away is waited for; then it is said', async () => {
    const failure = await failureOf(
      run({ type: 'sql', on: 'source', query: 'SELECT 1', expect: 1, timeout: '1s' }).running,
    );
    expect(failure.message).toMatch(/expected an answer, got Postgres at 127\.0\.0\.1:1\/.* can't be reached/);
  });
});
