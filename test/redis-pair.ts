/** Two real servers to compare, and ways to give the second what the first has. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { compare } from '../activities/redis/compare/compare.ts';
import type { CompareOptions, CompareResult, CompareRun, Connections } from '../activities/redis/compare/types.ts';
import { startRedis } from '../sandbox/runtime/redis.ts';
import type { RedisServer, StartRedisOptions } from '../sandbox/runtime/redis.ts';

export const OPTIONS: CompareOptions = {
  mode: 'full',
  ttlToleranceMs: 1000,
  ignore: [],
  values: true,
  rereadDelayMs: 20,
  rereadTimes: 2,
  maxReported: 100,
};

export interface Pair {
  source: RedisServer;
  target: RedisServer;
  /** Clients, at database 0. */
  s: Redis;
  t: Redis;
  connections: Connections;
  empty(): Promise<void>;
  /** Copies the keys of a database by DUMP and RESTORE, expiry times exact. */
  copy(db?: number): Promise<void>;
  /** Makes the target a replica (of the source as seen through this port) and waits until it is in sync. */
  replicate(port?: number): Promise<void>;
  promote(): Promise<void>;
  compare(options?: Partial<CompareOptions>, run?: CompareRun): Promise<CompareResult>;
  stop(): Promise<void>;
}

export async function startPair(
  more: { source?: Partial<StartRedisOptions>; target?: Partial<StartRedisOptions> } = {},
): Promise<Pair> {
  const dir = mkdtempSync(join(tmpdir(), 'cutover-compare-'));
  // DEBUG is for the tests alone: it stops the expiry cycle.
  const config = { 'repl-diskless-sync-delay': '0', 'enable-debug-command': 'local' };
  const source = await startRedis({ dir: join(dir, 'source'), config, ...more.source });
  const target = await startRedis({ dir: join(dir, 'target'), config, ...more.target });
  const [s, t] = [source.connect(), target.connect()];
  const connections: Connections = { source: () => source.connect(), target: () => target.connect() };
  return {
    source,
    target,
    s,
    t,
    connections,
    empty: async () => {
      await Promise.all([s.flushall(), t.flushall()]);
    },
    copy: async (db = 0) => {
      const [from, to] = [source.connect({ db }), target.connect({ db })];
      const keys = await from.keysBuffer('*');
      for (const key of keys) {
        const [dump, at] = await Promise.all([from.dumpBuffer(key), from.pexpiretime(key)]);
        // It expired meanwhile, before DUMP or only before PEXPIRETIME: restored then, it would never expire.
        if (dump === null || at === -2) continue;
        await to.callBuffer('RESTORE', [key, at < 0 ? 0 : at, dump, 'REPLACE', 'ABSTTL']);
      }
      from.disconnect();
      to.disconnect();
    },
    replicate: async (port = source.port) => {
      await t.replicaof(source.host, port);
      await until('the target is in sync', async () => (await t.info('replication')).includes('master_link_status:up'));
    },
    promote: async () => {
      await t.call('REPLICAOF', 'NO', 'ONE');
    },
    compare: (options = {}, run = {}) => compare(connections, { ...OPTIONS, ...options }, run),
    stop: async () => {
      await Promise.all([source.stop(), target.stop()]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Polls until the condition holds. @throws after a minute */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited a minute until ${what}`);
    await sleep(20);
  }
}

/** One example as `db kind key`. */
export const found = (result: CompareResult): string[] =>
  result.examples.map(({ db, kind, key }) => `${db} ${kind} ${key}`).sort();
