/** `cutover sandbox up|status|down`: sandboxes that outlive the command, side by side, and end completely. */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DescribeReplicationGroupsCommand } from '@aws-sdk/client-elasticache';
import { elastiCacheOf, EXAMPLE_GROUP, sandboxDown, sandboxStatus, sandboxUp, startSandbox } from '../sandbox/index.ts';

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
  const [a, b] = await Promise.all([sandboxUp({ dir: one }), sandboxUp({ dir: other })]);
  expect(new Set([a.temporal, a.ui, a.source, a.target, a.aws, b.temporal, b.ui, b.source, b.target, b.aws]).size).toBe(
    10,
  );
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

  const again = await sandboxUp({ dir: one });
  expect({ ...again, pid: 0 }).toEqual({ ...a, pid: 0 });
  expect(await withSource(again.source, (redis) => redis.get('mine'))).toBe('kept');
});

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
  expect(next.source).toBe(info.source);
});

test('a start that fails says why, and leaves nothing running', async () => {
  const dir = folder('failing');
  const blocker = createServer().listen({ host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => blocker.once('listening', resolve));
  const port = (blocker.address() as { port: number }).port;
  try {
    await expect(sandboxUp({ dir, ports: { source: port } })).rejects.toThrow(
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
  const info = await sandboxUp({ dir });
  await sandboxDown({ dir });
  writeFileSync(join(dir, 'sandbox.json'), JSON.stringify({ info: { ...info, pid: process.pid }, startedAt: 'then' }));
  expect(await sandboxStatus({ dir })).toBeUndefined();
  expect(await sandboxDown({ dir })).toMatchObject({ ended: false });
});

test('in-process: only the parts that were asked for', async () => {
  const sandbox = await startSandbox({ dir: join(root, 'parts'), temporal: false, aws: false });
  try {
    expect([sandbox.temporal, sandbox.aws, sandbox.target]).toEqual([undefined, undefined, undefined]);
    expect(sandbox.env).toEqual({});
    expect(await sandbox.source!.connect().ping()).toBe('PONG');
  } finally {
    await sandbox.stop();
  }
  await sandbox.stop();
  await expectNoneOf(join(root, 'parts'));
});
