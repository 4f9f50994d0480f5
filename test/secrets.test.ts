/**
 * No secret in any history, memo, search attribute, heartbeat, status, worker log or printed line: a migration with every
 * kind of secret in it, driven through the failures that tend to show them.
 */
import { execFile } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  DatabaseMigrationServiceClient,
  DescribeConnectionsCommand,
  DescribeEndpointsCommand,
  DescribeReplicationTasksCommand,
} from '@aws-sdk/client-database-migration-service';
import { escapeLiteral } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startMigration, type MigrationHandle } from '../client/index.ts';
import { DMS_ROLE, WORKER_ROLE } from '../sandbox/app/redash/roles.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { REPO } from './fresh-build.ts';
import { furnishPostgresScene, openDms, postgresWorkerEnvironment } from './stage/postgres.ts';
import { atGate, isDone, Stage, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

const SECRETS = {
  source: 'src-Pa55w0rd-of-the-source',
  wrong: 'wr0ng-Pa55w0rd-of-the-source',
  target: 'tgt-Pa55w0rd-of-the-target',
  header: 'Bearer hdr-t0ken-of-the-webhook',
  command: 'cmd-s3cret-of-the-command',
  // With what addresses, connection strings and SQL have to quote.
  postgres: "pg-Pa55w0rd: of/the'worker@source",
  wrongPostgres: "wr0ng-pg-Pa55w0rd' of the worker",
  dms: 'dms-Pa55w0rd-of-the-endpoints',
  wrongDms: 'wr0ng-dms-Pa55w0rd-of-the-endpoints',
};

let stage: Stage;
let aws: Aws;
let worker: WorkerProcess;
let receiver: Server;
const seenHeaders: string[] = [];
let refuse = true;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openDms(stage);
  worker = await stage.worker({
    ...postgresWorkerEnvironment(aws),
    PG_PASSWORD: SECRETS.postgres,
    WRONG_PG_PASSWORD: SECRETS.wrongPostgres,
    DMS_PASSWORD: SECRETS.dms,
    WRONG_DMS_PASSWORD: SECRETS.wrongDms,
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

async function expectNoSecretPrinted(id: string): Promise<void> {
  const cli = join(REPO, 'dist/client/cli/main.js');
  for (const args of [
    ['status', id],
    ['report', id],
    ['report', id, '--json'],
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
  await expectNoSecretPrinted('secrets');
  // The search itself can find something: the file's own words are in there.
  expect(await everythingStored(handle)).toContain('HOOK_TOKEN');
});

/** All that DMS answers about what it was given, as anybody with the right to describe it would see it. */
async function everythingOfDms(): Promise<string> {
  const client = new DatabaseMigrationServiceClient({
    endpoint: aws.url,
    region: aws.region,
    credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
  });
  try {
    return JSON.stringify([
      await client.send(new DescribeEndpointsCommand({})),
      await client.send(new DescribeConnectionsCommand({})),
      await client.send(new DescribeReplicationTasksCommand({})),
    ]);
  } finally {
    client.destroy();
  }
}

/** What is stored while it runs, heartbeats of pending activities too: at each look all of it, until `end`. */
function watchStored(id: string): { end(): Promise<{ looks: number; heartbeats: number }> } {
  const seen = { looks: 0, heartbeats: 0 };
  let ended = false;
  const watching = (async () => {
    while (!ended) {
      const { raw } = await stage.client.workflow.getHandle(id).describe();
      expectNoSecret(`what is stored of ${id}`, texts(raw).join('\n'));
      seen.looks += 1;
      seen.heartbeats += raw.pendingActivities?.filter(({ heartbeatDetails }) => heartbeatDetails).length ?? 0;
      await delay(100);
    }
  })();
  // It is awaited at the end; until then it must not end the test's process.
  watching.catch(() => {});
  return {
    end: async () => {
      ended = true;
      await watching;
      return seen;
    },
  };
}

test('a postgres migration: neither the passwords of the servers nor those of DMS', async () => {
  const scene = await furnishPostgresScene(stage, aws, {
    id: 'postgres-secrets',
    rows: 2_000,
    rate: 10,
    prepare: async (servers) => {
      for (const server of Object.values(servers)) {
        await server.query(`ALTER ROLE ${WORKER_ROLE} PASSWORD ${escapeLiteral(SECRETS.postgres)}`);
        await server.query(`ALTER ROLE ${DMS_ROLE} PASSWORD ${escapeLiteral(SECRETS.dms)}`);
      }
    },
  });
  const passwordFile = join(stage.dir, 'pg-password');
  writeFileSync(passwordFile, `${SECRETS.postgres}\n`);
  const { source, target, replication, ...rest } = scene.migration as Record<string, Record<string, object>>;
  const migration = (id: string, worker: string, dms: string) => ({
    ...rest,
    id,
    source: { ...source, password: { env: worker } },
    target: { ...target, password: { file: passwordFile } },
    replication: {
      ...replication,
      sourceEndpoint: { ...replication!['sourceEndpoint'], password: { env: dms } },
      targetEndpoint: { ...replication!['targetEndpoint'], password: { env: dms } },
    },
  });

  // A wrong password of the worker; one of DMS, which the connection tests find, and quote as the server says it.
  for (const [id, worker, dms, reason] of [
    ['wrong-pg-password', 'WRONG_PG_PASSWORD', 'DMS_PASSWORD', /password/],
    ['wrong-dms-password', 'PG_PASSWORD', 'WRONG_DMS_PASSWORD', /password/],
    ['no-such-pg-variable', 'NOT_THERE', 'DMS_PASSWORD', /NOT_THERE/],
  ] as const) {
    const handle = await startMigration(stage.client, { migration: migration(id, worker, dms) as never });
    const parked = await untilStatus(handle, 'parked', ({ phase }) => phase === 'needs-operator');
    expect(parked.operator?.reason).toMatch(reason);
    expectNoSecret(id, await everythingStored(handle));
    expectNoSecret(`DMS of ${id}`, await everythingOfDms());
    await handle.abort({ by: 'test' });
    const asksOrEnded = await untilStatus(
      handle,
      'aborted, or it can’t be proven that the source takes writes',
      ({ phase, abortedBy }) => phase === 'aborted' || (phase === 'needs-operator' && abortedBy !== undefined),
    );
    expectNoSecret(`the abort of ${id}`, await everythingStored(handle));
    if (asksOrEnded.phase !== 'aborted') await handle.skip({ by: 'test', reason: 'nothing was changed' });
    await untilStatus(handle, 'aborted', ({ phase }) => phase === 'aborted');
  }

  const id = 'postgres-secrets';
  const handle = await startMigration(stage.client, {
    migration: migration(id, 'PG_PASSWORD', 'DMS_PASSWORD') as never,
  });
  const stored = watchStored(id);
  await untilStatus(handle, 'at the gate', atGate, 180_000);
  const dms = await everythingOfDms();
  expect(dms).toContain(`"Username":"${DMS_ROLE}"`);
  expectNoSecret('DMS at the gate', dms);
  await handle.approve({ by: 'test' });
  await untilStatus(handle, 'done', isDone, 180_000);

  expect((await stored.end()).heartbeats).toBeGreaterThan(0);
  expectNoSecret('everything stored', await everythingStored(handle));
  expectNoSecret('the log of the worker', worker.log());
  await expectNoSecretPrinted(id);
  expect(await everythingStored(handle)).toContain('PG_PASSWORD');
}, 600_000);
