/** `cutover sandbox up|status|down`: sandboxes that outlive the command, side by side, and end completely. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  DescribeInstancesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSubnetsCommand,
  EC2Client,
} from '@aws-sdk/client-ec2';
import { DescribeReplicationGroupsCommand } from '@aws-sdk/client-elasticache';
import { fillRedash } from '../sandbox/app/redash/fill.ts';
import { createRedashSchema } from '../sandbox/app/redash/schema.ts';
import {
  DEFAULT_PORTS,
  elastiCacheOf,
  EXAMPLE_GROUP,
  REDASH_ROWS,
  REDASH_SECRETS,
  sandboxDown,
  sandboxStatus,
  sandboxUp,
  startSandbox,
} from '../sandbox/index.ts';
import { portsOf } from '../sandbox/ports-of-dir.ts';

let root: string;
let dirs: string[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cutover-up-'));
  dirs = [];
});

afterEach(async () => {
  for (const dir of dirs) await sandboxDown({ dir });
  rmSync(root, { recursive: true, force: true });
});

function portOf(url: string): number {
  return Number(new URL(url).port);
}

function folder(name: string): string {
  const dir = join(root, name);
  dirs.push(dir);
  return dir;
}

/** Programs that name the folder on their command line or work in it: redis-server writes over its command line. */
function processesOf(dir: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return line.includes(dir) || readlinkSync(`/proc/${pid}/cwd`).startsWith(dir) ? [`${pid} ${line}`] : [];
    } catch {
      return [];
    }
  });
}

async function expectNoneOf(dir: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (processesOf(dir).length > 0 && Date.now() < deadline) await delay(100);
  expect(processesOf(dir)).toEqual([]);
}

async function withDatabase<T>(url: string, use: (client: Client) => Promise<T>): Promise<T> {
  const withPassword = new URL(url);
  withPassword.password = REDASH_SECRETS['REDASH_SOURCE_PASSWORD']!;
  const client = new Client({ connectionString: withPassword.href });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** Where the application says that it writes, once it has written. */
async function writesTo(redash: string): Promise<number> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const stats = await fetch(`${redash}/stats`).then(
      async (answer) => (await answer.json()) as { endpoints: { port: number; acknowledged: number }[] },
      () => undefined,
    );
    const last = stats?.endpoints.at(-1);
    if (last && last.acknowledged > 0) return last.port;
    if (Date.now() > deadline) throw new Error(`${redash} has not written within 30 s: ${JSON.stringify(stats)}`);
    await delay(100);
  }
}

async function withSource<T>(address: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const [host, port] = address.split(':');
  const redis = new Redis({ host: host!, port: Number(port) });
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

test('two side by side; each is furnished, found again, kept over down and up, and ended without the other', async () => {
  const [one, other] = [folder('one'), folder('other')];
  const [a, b] = await Promise.all([
    sandboxUp({ dir: one, postgres: false }),
    sandboxUp({ dir: other, postgres: false }),
  ]);
  expect(new Set([a.temporal, a.ui, a.source, a.target, a.aws, b.temporal, b.ui, b.source, b.target, b.aws]).size).toBe(
    10,
  );
  expect([a.postgresSource, a.postgresTarget, a.redash]).toEqual([undefined, undefined, undefined]);
  expect(a.env).not.toHaveProperty('REDASH_SOURCE_PASSWORD');
  expect(await sandboxUp({ dir: one })).toEqual(a);
  expect(await sandboxStatus({ dir: one })).toEqual(a);
  expect((await fetch(a.ui)).status).toBe(200);
  expect(a.env).toMatchObject({ TEMPORAL_ADDRESS: a.temporal, AWS_ENDPOINT_URL: a.aws, AWS_CONFIG_FILE: '/dev/null' });

  const keyspace = await withSource(a.source, async (redis) => {
    await redis.set('mine', 'kept');
    return redis.info('keyspace');
  });
  expect(keyspace).toMatch(/db0:keys=\d{5},/);
  const client = elastiCacheOf(a.env);
  const { ReplicationGroups } = await client.send(
    new DescribeReplicationGroupsCommand({ ReplicationGroupId: EXAMPLE_GROUP }),
  );
  expect(ReplicationGroups?.[0]).toMatchObject({
    Status: 'available',
    MultiAZ: 'enabled',
    TransitEncryptionEnabled: false,
  });
  client.destroy();

  expect(await sandboxDown({ dir: one })).toEqual({ running: false, dir: one, ended: true });
  expect(processesOf(one)).toEqual([]);
  expect(await sandboxStatus({ dir: one })).toBeUndefined();
  expect(await sandboxStatus({ dir: other })).toEqual(b);
  expect(await sandboxDown({ dir: one })).toEqual({ running: false, dir: one, ended: false });

  const again = await sandboxUp({ dir: one, postgres: false });
  expect({ ...again, pid: 0 }).toEqual({ ...a, pid: 0 });
  expect(await withSource(again.source, (redis) => redis.get('mine'))).toBe('kept');
  // The machine was kept, so what it names must be there too, though moto keeps nothing.
  await expectNetworkOfMachine(again.env);
});

async function expectNetworkOfMachine(env: Readonly<Record<string, string>>): Promise<void> {
  const ec2 = new EC2Client({
    endpoint: env['AWS_ENDPOINT_URL']!,
    region: env['AWS_REGION']!,
    credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
  });
  try {
    const { Reservations = [] } = await ec2.send(new DescribeInstancesCommand({}));
    const { SubnetId = '', SecurityGroups = [] } = Reservations[0]!.Instances![0]!;
    const GroupIds = SecurityGroups.map(({ GroupId = '' }) => GroupId);
    expect(GroupIds).toHaveLength(1);
    await ec2.send(new DescribeSecurityGroupsCommand({ GroupIds }));
    await ec2.send(new DescribeSubnetsCommand({ SubnetIds: [SubnetId] }));
  } finally {
    ec2.destroy();
  }
}

test('a part that is gone is said so; a supervisor that is killed takes all with it, and the next start is clean', async () => {
  const dir = folder('killed');
  const info = await sandboxUp({ dir });
  const server = await withSource(info.source, (redis) => redis.info('server'));
  process.kill(Number(/process_id:(\d+)/.exec(server)![1]), 'SIGKILL');
  const deadline = Date.now() + 30_000;
  while ((await sandboxStatus({ dir }))?.source === info.source && Date.now() < deadline) await delay(50);
  expect((await sandboxStatus({ dir }))?.source).toBe(`${info.source} (does not answer)`);

  process.kill(info.pid, 'SIGKILL');
  await expectNoneOf(dir);
  expect(await sandboxStatus({ dir })).toBeUndefined();
  const next = await sandboxUp({ dir });
  expect({ ...next, pid: 0 }).toEqual({ ...info, pid: 0 });
  // Postgres was killed in the middle of writing, and has recovered.
  expect(await writesTo(next.redash!)).toBe(portOf(next.postgresSource!));
});

test('Postgres: filled once, written to, kept over down and up; a fence stays up, and the application goes where it is let in', async () => {
  const dir = folder('postgres');
  const lines: string[] = [];
  const first = await sandboxUp({ dir, onProgress: (line) => lines.push(line) });
  const [source, target] = [portOf(first.postgresSource!), portOf(first.postgresTarget!)];
  expect(lines).toContain(`filling Redash's database with ${REDASH_ROWS.toLocaleString('en-US')} rows, once`);
  expect(first.env).toMatchObject(REDASH_SECRETS);
  expect(await sandboxStatus({ dir })).toEqual(first);
  expect(await writesTo(first.redash!)).toBe(source);
  const events = await withDatabase(first.postgresSource!, async (client) => {
    const { rows } = await client.query<{ rows: number }>('SELECT count(*)::int AS rows FROM events');
    return rows[0]!.rows;
  });
  expect(events).toBeGreaterThan(REDASH_ROWS / 2);
  const tables = `SELECT 1 FROM pg_class WHERE relname = 'queries'`;
  expect(await withDatabase(first.postgresTarget!, async (client) => (await client.query(tables)).rowCount)).toBe(0);

  await withDatabase(first.postgresSource!, (client) => client.query('CREATE TABLE mine (id int PRIMARY KEY)'));
  await sandboxDown({ dir });
  await expectNoneOf(dir);
  const second = await sandboxUp({ dir, onProgress: (line) => lines.push(line) });
  expect({ ...second, pid: 0 }).toEqual({ ...first, pid: 0 });
  expect(lines.filter((line) => line.startsWith('filling'))).toHaveLength(1);
  expect(await writesTo(second.redash!)).toBe(source);

  // As a migration leaves it in its critical section: nobody lets the application in.
  await withDatabase(second.postgresSource!, async (client) => {
    await client.query('SELECT 1 FROM mine');
    await client.query('ALTER ROLE redash NOLOGIN');
  });
  await sandboxDown({ dir });
  const fenced = await sandboxUp({ dir });
  expect((await sandboxStatus({ dir }))?.redash).toBe(`${fenced.redash} (does not answer)`);
  const logins = `SELECT rolcanlogin FROM pg_roles WHERE rolname = 'redash'`;
  await withDatabase(fenced.postgresSource!, async (client) => {
    expect((await client.query(logins)).rows).toEqual([{ rolcanlogin: false }]);
    await client.query('ALTER ROLE redash LOGIN');
  });
  expect(await writesTo(fenced.redash!)).toBe(source);

  // As the switch does, to a target that has the tables; and there it is again after the next start.
  await withDatabase(fenced.postgresTarget!, (client) => createRedashSchema(client));
  await fillRedash(
    { host: '127.0.0.1', port: target, database: 'redash', user: 'postgres', password: 'postgres' },
    { rows: 2_000 },
  );
  const there = JSON.stringify({ host: '127.0.0.1', port: target, database: 'redash' });
  expect((await fetch(`${fenced.redash}/switch`, { method: 'POST', body: there })).status).toBe(200);
  expect(await writesTo(fenced.redash!)).toBe(target);
  await sandboxDown({ dir });
  const last = await sandboxUp({ dir });
  expect(await writesTo(last.redash!)).toBe(target);
});

test('a folder of an older sandbox, which had no Postgres, gets ports for it and keeps those it had', async () => {
  const dir = folder('older');
  mkdirSync(dir, { recursive: true });
  const old = { temporal: 1, ui: 2, aws: 3, source: 4, target: 5 };
  writeFileSync(join(dir, 'ports.json'), JSON.stringify(old));
  const ports = await portsOf(dir, () => ({ ...DEFAULT_PORTS }));
  expect(ports).toEqual({ ...DEFAULT_PORTS, ...old });
  expect(await portsOf(dir, () => Promise.reject(new Error('asked again')))).toEqual(ports);
});

test('a start that fails says why, and leaves nothing running', async () => {
  const dir = folder('failing');
  const blocker = createServer().listen({ host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => blocker.once('listening', resolve));
  const port = (blocker.address() as { port: number }).port;
  try {
    await expect(sandboxUp({ dir, postgres: false, ports: { source: port } })).rejects.toThrow(
      new RegExp(`the sandbox did not come up: .*port ${port} on 127\\.0\\.0\\.1 is taken`),
    );
  } finally {
    blocker.close();
  }
  await expectNoneOf(dir);
  expect(await sandboxStatus({ dir })).toBeUndefined();
});

test('a note that another process’s pid stands in is no sandbox, and that process is left alone', async () => {
  const dir = folder('stale');
  const info = await sandboxUp({ dir, postgres: false });
  await sandboxDown({ dir });
  writeFileSync(join(dir, 'sandbox.json'), JSON.stringify({ info: { ...info, pid: process.pid }, startedAt: 'then' }));
  expect(await sandboxStatus({ dir })).toBeUndefined();
  expect(await sandboxDown({ dir })).toMatchObject({ ended: false });
});

test('in-process: only the parts that were asked for', async () => {
  const sandbox = await startSandbox({ dir: join(root, 'parts'), temporal: false, aws: false });
  try {
    expect([sandbox.temporal, sandbox.aws, sandbox.target, sandbox.postgres]).toEqual(Array(4).fill(undefined));
    expect(sandbox.env).toEqual({});
    expect(await sandbox.source!.connect().ping()).toBe('PONG');
  } finally {
    await sandbox.stop();
  }
  await sandbox.stop();
  await expectNoneOf(join(root, 'parts'));
});
