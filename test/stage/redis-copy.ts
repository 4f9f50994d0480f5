/** Real servers and clusters to copy between, data of every kind, and a look at them that is not the product's. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { Redis as Client } from 'ioredis';
import type { CopyConnections, CopyOptions, CopySide } from '../../activities/redis/copy/types.ts';
import { freePort } from '../../sandbox/runtime/ports.ts';
import { startRedis } from '../../sandbox/runtime/redis.ts';
import type { RedisServer, StartRedisOptions } from '../../sandbox/runtime/redis.ts';
import { redisCopy } from '../../spec/redis-copy.ts';

/** Else the bus is 10,000 above the port, where the system gives out ports of its own. */
export const clusterMode = (bus: number) => ({ 'cluster-enabled': 'yes', 'cluster-port': String(bus) });

/** What the tests themselves write with: the copy refuses a target to which strangers write. */
export const OURS = { connectionName: 'cutover-test' };

export const options = (more: Partial<CopyOptions> = {}): CopyOptions => ({
  ...redisCopy.parse({}),
  migrationId: 'm1',
  mode: 'replace',
  ...more,
});

export interface Stage {
  server(name: string, more?: Partial<StartRedisOptions>): Promise<RedisServer>;
  cluster(name: string, count?: number, more?: (i: number) => Partial<StartRedisOptions>): Promise<RedisServer[]>;
  stop(): Promise<void>;
}

export function stage(): Stage {
  const dir = mkdtempSync(join(tmpdir(), 'cutover-copy-'));
  const servers: RedisServer[] = [];
  const server: Stage['server'] = async (name, more = {}) => {
    const started = await startRedis({ dir: join(dir, name), ...more });
    servers.push(started);
    return started;
  };
  return {
    server,
    cluster: async (name, count = 3, more = () => ({})) => {
      const buses = await Promise.all(Array.from({ length: count }, () => freePort()));
      const node = (i: number) => {
        const { config, ...rest } = more(i);
        const clustered = { ...clusterMode(buses[i]!), 'cluster-node-timeout': '15000' };
        return server(`${name}${i}`, { ...rest, config: { ...clustered, ...config } });
      };
      const nodes = await Promise.all(Array.from({ length: count }, (_, i) => node(i)));
      for (const [i, node] of nodes.entries()) {
        const redis = node.connect();
        const [from, to] = [Math.ceil((16384 * i) / count), Math.ceil((16384 * (i + 1)) / count) - 1];
        await redis.call('CLUSTER', 'ADDSLOTSRANGE', from, to);
        await redis.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
        if (i > 0) await redis.call('CLUSTER', 'MEET', '127.0.0.1', nodes[0]!.port, buses[0]!);
        redis.disconnect();
      }
      await Promise.all(
        nodes.map((node) =>
          until(`${name} is up`, async () => {
            const redis = node.connect({ retryStrategy: () => null });
            const [info, slots] = await Promise.all([redis.call('CLUSTER', 'INFO'), redis.call('CLUSTER', 'SLOTS')]);
            redis.disconnect();
            return String(info).includes('cluster_state:ok') && (slots as unknown[]).length === count;
          }),
        ),
      );
      return nodes;
    },
    stop: async () => {
      await Promise.all(servers.map((one) => one.stop().catch(() => {})));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Connections as the product makes them: none reconnects, all have the name of the migration. */
export function sideOf({ host, port, password }: RedisServer, more: object = {}): CopySide {
  return {
    at: { host, port },
    connect: async (at) => {
      const redis = new Client({
        ...at,
        ...(password === undefined ? {} : { password }),
        lazyConnect: true,
        enableReadyCheck: false,
        enableOfflineQueue: false,
        retryStrategy: () => null,
        connectionName: 'cutover:m1:copy',
        protocol: 2,
        ...more,
      });
      redis.on('error', () => {});
      await redis.connect();
      return redis;
    },
  };
}

export const between = (source: RedisServer, target: RedisServer): CopyConnections => ({
  source: sideOf(source),
  target: sideOf(target),
});

/** Polls until the condition holds. @throws after a minute */
export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited a minute until ${what}`);
    await sleep(20);
  }
}

/** Each key of the servers with type, expiry and value, in plain commands and in one order: two of these are equal or not. */
export async function contents(...servers: Pick<RedisServer, 'connect'>[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const server of servers) {
    const redis = server.connect();
    const databases = [...(await redis.info('keyspace')).matchAll(/^db(\d+):/gm)].map(([, db]) => Number(db));
    for (const db of databases) {
      if (db !== 0) await redis.select(db);
      const look = async (key: Buffer) => {
        const name = key.toString('latin1');
        if (name.startsWith('cutover:')) return;
        const [expires, value] = await Promise.all([redis.pexpiretime(key), valueOf(redis, key)]);
        // It has just expired.
        if (expires === -2 || value.startsWith('none')) return;
        found.set(`${db} ${name}`, `${expires} ${value}`);
      };
      await Promise.all((await redis.keysBuffer('*')).map(look));
    }
    redis.disconnect();
  }
  return found;
}

/** Waits until what expires soon has expired: it would be gone on one side and not yet on the other between two looks. */
export const settled = (...servers: RedisServer[]) =>
  until('nothing expires soon', async () =>
    [...(await contents(...servers)).values()].every((value) => {
      const expires = Number(value.split(' ')[0]);
      return expires < 0 || expires > Date.now() + 3_600_000;
    }),
  );

async function valueOf(redis: Redis, key: Buffer): Promise<string> {
  const type = await redis.type(key);
  const hex = (found: readonly unknown[]) =>
    found.map((one) => (Buffer.isBuffer(one) ? one.toString('hex') : String(one)));
  const pairs = (flat: string[]) => flat.flatMap((one, i) => (i % 2 ? [] : [`${one}=${flat[i + 1]}`])).sort();
  const values = async () => {
    if (type === 'string') return hex([await redis.getBuffer(key)]);
    if (type === 'list') return hex(await redis.lrangeBuffer(key, 0, -1));
    if (type === 'set') return hex(await redis.smembersBuffer(key)).sort();
    if (type === 'hash') return pairs(hex((await redis.callBuffer('HGETALL', [key])) as unknown[]));
    if (type === 'zset') {
      const flat = ((await redis.callBuffer('ZRANGE', [key, 0, -1, 'WITHSCORES'])) as Buffer[]).flat();
      // The text of a score differs between versions.
      return pairs(flat.map((one, i) => (i % 2 ? String(Number(one)) : one.toString('hex'))));
    }
    if (type !== 'stream') return [];
    const groups = (await redis.call('XINFO', 'GROUPS', key)) as unknown[][];
    const pending = await Promise.all(
      groups.map(async (group) => {
        const all = (await redis.call('XPENDING', key, String(group[1]), '-', '+', 1000)) as unknown[][];
        // Not the idle time, which runs.
        return all.map(([id, consumer, , deliveries]) => [id, consumer, deliveries]);
      }),
    );
    const info = (await redis.call('XINFO', 'STREAM', key)) as unknown[];
    const last = info[info.indexOf('last-generated-id') + 1];
    return [
      JSON.stringify([
        await redis.xrange(key, '-', '+'),
        groups.map((group) => [group[1], group[3], group[5], group[7]]),
        pending,
        last,
      ]),
    ];
  };
  const found = await values();
  const digest = createHash('sha1').update(found.join(',')).digest('hex');
  return `${type} of ${found.length}, ${digest}`;
}

const many = (count: number, make: (i: number) => (string | number)[]) =>
  Array.from({ length: count }, (_, i) => make(i)).flat();

/** `count` keys of all types, two in seven with an expiry, some with binary names and values; and one large one of each type. */
export async function fill(
  write: (...command: (string | number | Buffer)[]) => Promise<unknown>,
  count = 600,
  prefix = 'k',
): Promise<void> {
  const binary = Buffer.from([0, 255, 13, 10, 123, 125, 128]);
  const jobs: Promise<unknown>[] = [];
  for (let i = 0; i < count; i++) {
    const key = i % 50 === 0 ? Buffer.concat([Buffer.from(`${prefix}${i}`), binary]) : `${prefix}${i}`;
    const size = 1 + (i % 30);
    const kind = i % 6;
    const job = async () => {
      if (kind === 0) await write('SET', key, Buffer.concat([binary, Buffer.from(`value ${i} `.repeat(size))]));
      if (kind === 1) await write('HSET', key, ...many(size, (n) => [`field ${n}`, `value ${i}`]));
      if (kind === 2) await write('RPUSH', key, ...many(size, (n) => [`member ${n}`]));
      if (kind === 3) await write('SADD', key, ...many(size, (n) => [i % 4 ? n * 7 : `member ${n}`]));
      if (kind === 4) await write('ZADD', key, ...many(size, (n) => [n / 7, `member ${n}`]));
      if (kind === 5) for (let n = 1; n <= 3; n++) await write('XADD', key, `${n}-1`, 'f', `value ${n}`);
      if (i % 7 < 2) await write('PEXPIREAT', key, 4_102_444_800_000 + i);
    };
    jobs.push(job());
  }
  await Promise.all(jobs);
  await write('HSET', `${prefix} large hash`, ...many(4000, (n) => [`field ${n}`, `value ${n}`]));
  await write('SADD', `${prefix} large set`, ...many(4000, (n) => [`member ${n}`]));
  await write('ZADD', `${prefix} large zset`, ...many(4000, (n) => [n / 7, `member ${n}`]));
  await write('RPUSH', `${prefix} large list`, ...many(4000, (n) => [`member ${n}`]));
  await write('SET', `${prefix} large string`, Buffer.alloc(700_000, 'xyz'), 'PXAT', 4_102_444_800_000);
  const stream = `${prefix} large stream`;
  await Promise.all(Array.from({ length: 1200 }, (_, n) => write('XADD', stream, `${n + 1}-1`, 'f', `value ${n}`)));
  await write('XDEL', stream, '7-1', '1200-1');
  await write('XGROUP', 'CREATE', stream, 'group', '0');
  await write('XGROUP', 'CREATE', stream, 'idle', '5-1');
  await write('XREADGROUP', 'GROUP', 'group', 'worker', 'COUNT', 1100, 'STREAMS', stream, '>');
  // Pending, and deleted since.
  await write('XDEL', stream, '20-1', '21-1');
  await write('XREADGROUP', 'GROUP', 'group', 'other', 'COUNT', 10, 'STREAMS', stream, '>');
}
