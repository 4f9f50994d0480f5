/** Real servers, migrations and contexts for the tests of the preflight. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { preflightRedisOnline } from '../activities/redis/preflight/preflight.ts';
import { startRedis, type RedisServer, type StartRedisOptions } from '../sandbox/runtime/redis.ts';
import { redisOnline, type RedisOnlineElastiCache, type RedisOnlineReplicaOf } from '../spec/kind-redis-online.ts';
import type { CheckReport } from '../spec/preflight.ts';

const work = mkdtempSync(join(tmpdir(), 'cutover-preflight-'));
const running: RedisServer[] = [];
let folders = 0;

/** A server that may be broken in every way: DEBUG and the protected settings are allowed. */
export async function server(options: Omit<StartRedisOptions, 'dir'> = {}): Promise<RedisServer> {
  const open = { 'enable-protected-configs': 'yes', 'enable-debug-command': 'yes', 'repl-diskless-sync-delay': '0' };
  const started = await startRedis({
    ...options,
    dir: join(work, String(folders++)),
    config: { ...open, ...options.config },
  });
  running.push(started);
  return started;
}

export async function stopServers(): Promise<void> {
  await Promise.all(running.splice(0).map((one) => one.kill()));
  rmSync(work, { recursive: true, force: true });
}

export function freshFolder(): string {
  return mkdtempSync(join(work, 'folder-'));
}

export interface Pair {
  source: RedisServer;
  target: RedisServer;
}

export interface FileParts {
  source?: object;
  target?: object;
  [field: string]: unknown;
}

/** The file's migration from one server to the other, with parts of it replaced. */
export function migrationOf({ source, target }: Pair, over: FileParts = {}): RedisOnlineReplicaOf {
  const { source: s, target: t, ...rest } = over;
  const file = redisOnline.parse({
    id: 'orders',
    kind: 'redis-online',
    engine: 'replicaof',
    source: { host: source.host, port: source.port, ...s },
    target: { host: target.host, port: target.port, ...t },
    ...rest,
  });
  if (file.engine !== 'replicaof') throw new Error('not a file of engine: replicaof');
  return file;
}

/** The same to a replication group `orders`. */
export function groupMigrationOf(source: RedisServer, over: FileParts = {}): RedisOnlineElastiCache {
  const { source: s, ...rest } = over;
  const file = redisOnline.parse({
    id: 'move-orders',
    kind: 'redis-online',
    engine: 'elasticache',
    source: { host: source.host, port: source.port, ...s },
    target: { replicationGroup: 'orders' },
    aws: { region: 'eu-west-1' },
    ...rest,
  });
  if (file.engine !== 'elasticache') throw new Error('not a file of engine: elasticache');
  return file;
}

/** Always unknown, whatever is right: they can't be seen from the worker. */
const BY_HAND = new Set(['N1', 'N3']);

/** The checks that did not pass, by id, leaving out what can only be looked at by hand. */
export async function notPassed(migration: RedisOnlineReplicaOf, cheap = false): Promise<Record<string, CheckReport>> {
  const { checks } = await preflightRedisOnline({ migration, cheap });
  const others = checks.filter(({ id, result }) => result !== 'pass' && !(BY_HAND.has(id) && result === 'unknown'));
  return Object.fromEntries(others.map((report) => [report.id, report]));
}

/** Waits for a condition, not for a time. */
export async function until(what: string, condition: () => Promise<boolean>, deadlineMs = 30_000): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
