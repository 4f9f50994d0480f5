/**
 * No secret in any history, memo, search attribute, heartbeat, status, worker log or printed line: a migration with every
 * kind of secret in it, driven through the failures that tend to show them.
 */
import { execFile } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startMigration, type MigrationHandle } from '../client/index.ts';
import { REPO } from './fresh-build.ts';
import { atGate, isDone, Stage, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

const SECRETS = {
  source: 'src-Pa55w0rd-of-the-source',
  wrong: 'wr0ng-Pa55w0rd-of-the-source',
  target: 'tgt-Pa55w0rd-of-the-target',
  header: 'Bearer hdr-t0ken-of-the-webhook',
  command: 'cmd-s3cret-of-the-command',
};

let stage: Stage;
let worker: WorkerProcess;
let receiver: Server;
const seenHeaders: string[] = [];
let refuse = true;

beforeAll(async () => {
  stage = await Stage.open();
  worker = await stage.worker({
    SRC_PASSWORD: SECRETS.source,
    WRONG_PASSWORD: SECRETS.wrong,
    HOOK_TOKEN: SECRETS.header,
    CMD_SECRET: SECRETS.command,
  });
  receiver = createServer((request, response) => {
    seenHeaders.push(String(request.headers.authorization));
    // A receiver that echoes what it was sent into its error.
    response.writeHead(refuse ? 403 : 200).end(`denied for ${request.headers.authorization}`);
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  receiver.close();
  await stage.close();
});

/** Every secret as it is, and as payloads, addresses and JSON would carry it. */
function forms(secret: string): string[] {
  // A payload's base64 starts at any of three offsets of what is in it.
  const base64 = [0, 1, 2].map((pad) =>
    Buffer.concat([Buffer.alloc(pad), Buffer.from(secret)])
      .toString('base64')
      .slice(pad === 0 ? 0 : 4)
      .replace(/=+$/, '')
      .slice(0, -2),
  );
  return [secret, encodeURIComponent(secret), ...base64];
}

function expectNoSecret(what: string, text: string): void {
  for (const [name, secret] of Object.entries(SECRETS)) {
    for (const form of forms(secret)) {
      expect(text.includes(form), `${what} shows the secret of ${name}`).toBe(false);
    }
  }
}

async function everythingStored(handle: MigrationHandle): Promise<string> {
  const workflow = stage.client.workflow.getHandle(handle.id);
  const history = await workflow.fetchHistory();
  const description = await workflow.describe();
  return [
    ...texts(history),
    ...texts(description.raw),
    JSON.stringify(description.memo),
    JSON.stringify(description.searchAttributes),
    JSON.stringify(await handle.status()),
    JSON.stringify(await handle.report()),
  ].join('\n');
}

/** Every string and every payload's bytes, however deep: a message of protobuf's is no JSON. */
function texts(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (value instanceof Uint8Array) return [Buffer.from(value).toString('utf8')];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...texts(inner)]);
}

test('no secret is stored, logged or printed', async () => {
  const source = await stage.redis({ password: SECRETS.source });
  const target = await stage.redis({ password: SECRETS.target });
  await source.connect().set('key', 'value');
  const passwordFile = join(stage.dir, 'target-password');
  writeFileSync(passwordFile, `${SECRETS.target}\n`);
  const address = receiver.address();
  const port = typeof address === 'object' ? address!.port : 0;
  const migration = (id: string, sourcePassword: string) => ({
    kind: 'redis-online',
    id,
    engine: 'replicaof',
    crashDetection: '2s',
    source: { host: '127.0.0.1', port: source.port, password: { env: sourcePassword } },
    target: { host: '127.0.0.1', port: target.port, password: { file: passwordFile } },
    inSync: { interval: '100ms', readings: 2 },
    switch: [
      {
        type: 'command',
        run: ['sh', '-c', 'echo "the secret is $S"; echo "on stderr: $S" >&2; test -e "$0"', join(stage.dir, 'go')],
        env: { S: { env: 'CMD_SECRET' } },
        timeout: '10s',
      },
      {
        type: 'webhook',
        url: `http://127.0.0.1:${port}/`,
        headers: { authorization: { env: 'HOOK_TOKEN' } },
        timeout: '5s',
      },
    ],
  });

  // A wrong password, a variable that is not there.
  for (const [id, env] of [
    ['wrong-password', 'WRONG_PASSWORD'],
    ['no-such-variable', 'NOT_THERE'],
  ] as const) {
    const handle = await startMigration(stage.client, { migration: migration(id, env) as never });
    await untilStatus(handle, 'parked', (s) => s.phase === 'needs-operator');
    expectNoSecret(id, await everythingStored(handle));
    await handle.abort({ by: 'test' });
  }

  const handle = await startMigration(stage.client, { migration: migration('secrets', 'SRC_PASSWORD') as never });
  await untilStatus(handle, 'the gate is ready', atGate);
  expectNoSecret('at the gate', await everythingStored(handle));
  await handle.approve({ by: 'test' });
  // The first hook fails and prints its secret; once mended, the second one's receiver echoes its own.
  const first = await untilStatus(handle, 'the command failed', (s) => s.operator?.step === 'switch');
  expect(first.operator?.reason).toMatch(/\[secret\]/);
  expectNoSecret('the failed command', await everythingStored(handle));
  writeFileSync(join(stage.dir, 'go'), '');
  await handle.retry({ by: 'test' });
  await untilStatus(handle, 'the webhook failed', (s) => /403/.test(s.operator?.reason ?? ''));
  expect(seenHeaders).toContain(SECRETS.header);
  refuse = false;
  await handle.retry({ by: 'test' });
  await untilStatus(handle, 'done', isDone);

  expectNoSecret('everything stored', await everythingStored(handle));
  expectNoSecret('the log of the worker', worker.log());
  const cli = join(REPO, 'dist/client/cli/main.js');
  for (const args of [
    ['status', 'secrets'],
    ['report', 'secrets'],
    ['report', 'secrets', '--json'],
    ['list', '--all', '--json'],
  ]) {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [
      cli,
      ...args,
      '--address',
      stage.temporal.address,
    ]);
    expectNoSecret(`cutover ${args.join(' ')}`, stdout + stderr);
  }
  // The search itself can find something: the file's own words are in there.
  expect(await everythingStored(handle)).toContain('HOOK_TOKEN');
});
