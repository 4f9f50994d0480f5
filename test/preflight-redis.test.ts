/** Each prerequisite broken for real on running servers, and found: which check, what it says, what mends it. */
import { rmSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { preflightRedisOnline } from '../activities/redis/preflight/preflight.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import type { CheckResult } from '../spec/preflight.ts';
import {
  freshFolder,
  migrationOf,
  notPassed,
  server,
  stopServers,
  until,
  type FileParts,
  type Pair,
} from './preflight-redis-servers.ts';

const MIB = 1024 * 1024;

let pair: Pair;
let third: RedisServer;
let s: Redis;
let t: Redis;

beforeAll(async () => {
  const [source, target, other] = await Promise.all([server(), server(), server()]);
  pair = { source, target };
  third = other;
  // Named, so that they are not "others" on the target.
  s = source.connect({ connectionName: 'cutover-test' });
  t = target.connect({ connectionName: 'cutover-test' });
  await s.set('greeting', 'hello');
  await saved(s);
}, 120_000);

afterAll(stopServers, 60_000);

async function saved(redis: Redis): Promise<void> {
  const info = async (field: string) => new RegExp(`${field}:(\\S+)`).exec(await redis.info())?.[1];
  await redis.bgsave();
  await until('BGSAVE ended', async () => (await info('rdb_bgsave_in_progress')) === '0');
}

async function current(redis: Redis, name: string): Promise<string> {
  const [, value] = await redis.config('GET', name);
  if (value === undefined) throw new Error(`the server has no setting ${name}`);
  return value;
}

/** CONFIG SET on a server, and the old value back. */
function setting(redis: () => Redis, name: string, value: string): () => Promise<() => Promise<unknown>> {
  return async () => {
    const old = await current(redis(), name);
    await redis().config('SET', name, value);
    return () => redis().config('SET', name, old);
  };
}

interface Broken {
  what: string;
  /** Breaks it, and returns how to mend it. */
  arrange?: () => Promise<() => Promise<unknown>>;
  file?: () => FileParts;
  id: string;
  result: CheckResult;
  found: string | RegExp;
  /** `S` and `T` stand for `redis-cli -h … -p …` of source and target. */
  remedy: string | RegExp;
  /** Other checks that the same break must show in. */
  also?: string[];
}

const withKey =
  (redis: () => Redis, key: string, db = 0) =>
  async () => {
    const client = redis();
    await client.pipeline().select(db).set(key, 'x').select(0).exec();
    return () => client.pipeline().select(db).del(key).select(0).exec();
  };

/** Writes without a pause, from a process's point of view: 1 MiB at a time. */
async function writing(redis: Redis): Promise<() => Promise<void>> {
  const stop = new AbortController();
  const value = 'x'.repeat(256 * 1024);
  const loop = (async () => {
    while (!stop.signal.aborted) await Promise.all([1, 2, 3, 4].map((n) => redis.set(`load:${n}`, value)));
  })();
  return async () => {
    stop.abort();
    await loop;
    await redis.del('load:1', 'load:2', 'load:3', 'load:4');
  };
}

const BROKEN: Broken[] = [
  {
    what: 'a database in use that the target does not have',
    arrange: async () => {
      const undo = await withKey(() => s, 'far', 12)();
      return undo;
    },
    file: () => ({ target: { host: small.host, port: small.port } }),
    id: 'S8.keys',
    result: 'fail',
    found: 'db12 (1 keys) on the source; the target has 4 databases',
    remedy: /^set "databases 13" in redis\.conf of the target 127\.0\.0\.1:\d+, and restart it$/,
    also: ['S8'],
  },
  {
    what: 'another number of databases',
    file: () => ({ target: { host: small.host, port: small.port } }),
    id: 'S8',
    result: 'fail',
    found: '16 on the source, 4 on the target',
    remedy: /^set "databases 16" in redis\.conf of the target/,
  },
  {
    what: 'a BGSAVE that fails',
    arrange: async () => {
      const old = await current(s, 'dir');
      const gone = freshFolder();
      await s.config('SET', 'dir', gone);
      rmSync(gone, { recursive: true });
      await saved(s);
      return async () => {
        await s.config('SET', 'dir', old);
        await saved(s);
      };
    },
    id: 'S9.bgsave',
    result: 'fail',
    found: 'rdb_last_bgsave_status:err: the copy begins with a BGSAVE',
    remedy: "see the source's log for why (disk, memory, folder), mend it, then: S BGSAVE",
    also: ['S9.fork'],
  },
  {
    what: 'a copy over disk',
    arrange: setting(() => s, 'repl-diskless-sync', 'no'),
    id: 'S9.disk',
    result: 'unknown',
    found: /^repl-diskless-sync no: the copy is first written to \/.+, up to .+B$/,
    remedy: /^on the source's machine: df -h \/.+ {2}# or do without disk: S CONFIG SET repl-diskless-sync yes$/,
  },
  {
    what: 'a repl-timeout shorter than the pings',
    arrange: setting(() => s, 'repl-timeout', '5'),
    id: 'S10.timeout',
    result: 'warn',
    found: 'repl-timeout 5 s, a ping every 10 s: an idle link would be cut again and again',
    remedy: 'S CONFIG SET repl-timeout 60',
  },
  {
    what: 'a source that evicts',
    arrange: async () => {
      const undo = [
        await setting(() => s, 'maxmemory', '1gb')(),
        await setting(() => s, 'maxmemory-policy', 'allkeys-lru')(),
      ];
      return () => Promise.all(undo.map((one) => one()));
    },
    id: 'S12.eviction',
    result: 'warn',
    found: /^allkeys-lru at 1 GiB: the source may evict any key, the record of our fence/,
    remedy: 'S CONFIG SET maxmemory-policy noeviction',
  },
  {
    what: 'a target with another eviction policy',
    arrange: setting(() => t, 'maxmemory-policy', 'volatile-ttl'),
    id: 'S12.eviction',
    result: 'warn',
    found: 'noeviction on the source, volatile-ttl on the target',
    remedy: 'T CONFIG SET maxmemory-policy noeviction',
  },
  {
    what: 'a value of 110 MB',
    arrange: async () => {
      await s.setrange('huge', 110 * MIB, 'x');
      return () => s.del('huge');
    },
    id: 'S12.big-keys',
    result: 'warn',
    found: /the largest of 2 keys looked at is huge in db0, \d+ MiB/,
    remedy: 'S --memkeys  # split the biggest, or expect pauses',
  },
  {
    what: 'min-replicas-max-lag 0',
    arrange: setting(() => s, 'min-replicas-max-lag', '0'),
    id: 'C2',
    result: 'warn',
    found: 'min-replicas-max-lag 0; the fence sets it to 10 while it is up',
    remedy: 'S CONFIG SET min-replicas-max-lag 10',
  },
  {
    what: 'a source that refuses writes for want of replicas',
    arrange: setting(() => s, 'min-replicas-to-write', '1'),
    id: 'C3',
    result: 'fail',
    found: 'min-replicas-to-write 1, with 0 good replicas: the source refuses every write',
    remedy: 'S CONFIG SET min-replicas-to-write 0',
  },
  {
    what: 'a fence that somebody left up',
    arrange: setting(() => s, 'min-replicas-to-write', '2147483646'),
    id: 'C3',
    result: 'fail',
    found: 'min-replicas-to-write 2147483646: a fence is up, the source refuses every write',
    remedy: 'cutover unfence <the file of the migration that raised it>, or: S CONFIG SET min-replicas-to-write 0',
  },
  {
    what: "another migration's fence record",
    arrange: async () => {
      const record = {
        migration: 'users',
        minReplicasToWrite: 0,
        minReplicasMaxLag: 10,
        at: '2026-11-20T01:02:03Z',
        runId: 'x',
      };
      await s.set('cutover:fence', JSON.stringify(record));
      return () => s.del('cutover:fence');
    },
    id: 'C4',
    result: 'fail',
    found: 'a record of the migration users, since 2026-11-20T01:02:03Z',
    remedy: 'cutover unfence <the file of the migration that raised it>',
  },
  {
    what: 'something else under the key of the fence record',
    arrange: async () => {
      await s.lpush('cutover:fence', 'mine');
      return () => s.del('cutover:fence');
    },
    id: 'C4',
    result: 'fail',
    found: 'the key cutover:fence in db0 holds something that is no record of a fence',
    remedy: "look at it, and if it is nobody's: S DEL cutover:fence",
  },
  {
    what: 'another replica of the source',
    arrange: async () => {
      const other = third.connect();
      await other.replicaof(pair.source.host, pair.source.port);
      await until('the third follows', async () => /master_link_status:up/.test(await other.info('replication')));
      return async () => {
        await other.replicaof('NO', 'ONE');
        await other.flushall();
        await until('the third is gone', async () => /connected_slaves:0/.test(await s.info('replication')));
      };
    },
    id: 'C6',
    result: 'warn',
    found: /^1 replicas besides the target, of 127\.0\.0\.1:\d+: they don't lift the fence/,
    remedy: 'see who they are: S INFO replication; an application that reads from a replica must be switched as well',
  },
  {
    what: 'a Sentinel that watches the source',
    arrange: async () => {
      const sentinel = pair.source.connect({ connectionName: 'sentinel-1a2b3c4d-cmd' });
      await sentinel.ping();
      return async () => sentinel.disconnect();
    },
    id: 'C6',
    result: 'warn',
    found: '1 connections of Sentinel: a failover would move the primary away from the fence',
    remedy: 'for the time of the migration, on each Sentinel: redis-cli -p 26379 SENTINEL REMOVE <master-name>',
  },
  {
    what: 'a target with keys, in two databases',
    arrange: async () => {
      const undo = [await withKey(() => t, 'old')(), await withKey(() => t, 'older', 3)()];
      return () => Promise.all(undo.map((one) => one()));
    },
    id: 'T9',
    result: 'fail',
    found: 'db0: 1 keys, db3: 1 keys: attaching deletes them',
    remedy: 'T FLUSHALL  # deletes them all, as attaching would; or allowNonEmptyTarget: true in the file',
  },
  {
    what: 'a target with keys, that may go',
    arrange: withKey(() => t, 'old'),
    file: () => ({ allowNonEmptyTarget: true }),
    id: 'T9',
    result: 'warn',
    found: 'db0: 1 keys: attaching deletes them, as the file allows',
    remedy: /^T FLUSHALL/,
  },
  {
    what: 'a target that replicates from another server',
    arrange: async () => {
      await t.replicaof(third.host, third.port);
      return async () => {
        await t.replicaof('NO', 'ONE');
        await t.flushall();
      };
    },
    id: 'T11',
    result: 'fail',
    found: /^the target is a replica of 127\.0\.0\.1:\d+, which is not the source$/,
    remedy: 'T REPLICAOF NO ONE',
  },
  {
    what: 'a source that is a replica, of a replica',
    arrange: async () => {
      const other = third.connect();
      const primary = await server();
      await other.replicaof(primary.host, primary.port);
      await s.replicaof(third.host, third.port);
      await until('the chain is up', async () => /master_link_status:up/.test(await s.info('replication')));
      chainHead = primary;
      return async () => {
        await s.replicaof('NO', 'ONE');
        await other.replicaof('NO', 'ONE');
        await primary.stop();
        await s.set('greeting', 'hello');
      };
    },
    id: 'S11',
    result: 'fail',
    found:
      /^the source is a replica of 127\.0\.0\.1:\d+, a replica of 127\.0\.0\.1:\d+; a fence on it holds nothing back$/,
    remedy: 'set source: { host: 127.0.0.1, port: HEAD } in the file',
  },
  {
    what: 'a target that is the source',
    file: () => ({ target: { host: 'localhost', port: pair.source.port } }),
    id: 'T12',
    result: 'fail',
    found: /^source 127\.0\.0\.1:\d+ and target localhost:\d+ are one server: run_id [0-9a-f]{40}$/,
    remedy: "set target.host and target.port in the file to the new server's",
    also: ['T9'],
  },
  {
    what: 'an application on the target',
    arrange: async () => {
      const app = pair.target.connect({ connectionName: 'shop' });
      await app.ping();
      return async () => app.disconnect();
    },
    id: 'T13',
    result: 'warn',
    found: /^1 connections of others: 127\.0\.0\.1:\d+ \(shop\)$/,
    remedy: 'see who they are, and stop them: T CLIENT LIST',
  },
  {
    what: 'a target that takes writes as a replica',
    arrange: setting(() => t, 'replica-read-only', 'no'),
    id: 'T14',
    result: 'fail',
    found: 'replica-read-only no: what is written there before the switch differs from the source, unseen',
    remedy: 'T CONFIG SET replica-read-only yes',
  },
  {
    what: 'a target without persistence, of a source with',
    arrange: setting(() => s, 'save', '3600 1'),
    id: 'T15',
    result: 'warn',
    found:
      'source: save "3600 1", appendonly no; target: save "", appendonly no: a restart of the target would lose everything',
    remedy: 'T CONFIG SET appendonly yes',
  },
  {
    what: 'a target for few clients',
    arrange: async () => {
      const mend = await setting(() => t, 'maxclients', '6')();
      const clients = Array.from({ length: 8 }, () => pair.source.connect());
      await Promise.all(clients.map((client) => client.ping()));
      return async () => {
        for (const client of clients) client.disconnect();
        await mend();
      };
    },
    id: 'T16',
    result: 'warn',
    found: /^\d+ clients on the source, maxclients 6 on the target$/,
    remedy: /^T CONFIG SET maxclients \d+$/,
  },
  {
    what: 'a target too small',
    arrange: setting(() => t, 'maxmemory', '1mb'),
    id: 'T5',
    result: 'fail',
    found: /needed \(the source's .+ and a tenth\), maxmemory 1 MiB$/,
    remedy: /^T CONFIG SET maxmemory \d+mb$/,
  },
  {
    what: 'a target that would refuse writes once promoted',
    arrange: setting(() => t, 'min-replicas-to-write', '1'),
    id: 'C9',
    result: 'fail',
    found: 'min-replicas-to-write 1 on the target, with 0 replicas of its own: promoted, it would refuse every write',
    remedy: 'T CONFIG SET min-replicas-to-write 0',
  },
  {
    what: 'a source bound elsewhere',
    file: () => ({ source: { replicationAddress: { host: '127.0.0.2', port: pair.source.port } } }),
    id: 'S5',
    result: 'fail',
    found: 'bind 127.0.0.1, and the target comes to 127.0.0.2',
    remedy: "S CONFIG SET bind '127.0.0.1 127.0.0.2'",
    also: ['N2.same'],
  },
  {
    what: 'a replication address that leads to another server',
    file: () => ({ source: { replicationAddress: { host: third.host, port: third.port } } }),
    id: 'N2.same',
    result: 'fail',
    found:
      /^127\.0\.0\.1:\d+ is another server than the source 127\.0\.0\.1:\d+: run_id [0-9a-f]{40}, not [0-9a-f]{40}$/,
    remedy: "set source.replicationAddress in the file to the source's own address and port",
    also: ['S6'],
  },
];

let small: RedisServer;
let chainHead: RedisServer | undefined;

describe('on a pair of servers', () => {
  beforeAll(async () => {
    small = await server({ config: { databases: '4' } });
  }, 60_000);

  test('all is well on a good pair, and what can’t be seen is said to be so', async () => {
    const report = await preflightRedisOnline({ migration: migrationOf(pair) });
    expect(report.checks.filter(({ result }) => result !== 'pass').map(({ id, result }) => `${id} ${result}`)).toEqual([
      'N1 unknown',
      'N3 unknown',
    ]);
    expect(report).toMatchObject({ passed: report.checks.length - 2, warned: 0, failed: 0, unknown: 2 });
    expect(new Set(report.checks.map(({ id }) => id)).size).toBe(report.checks.length);
  });

  test.each(BROKEN)(
    '$what: $id $result',
    async (broken) => {
      const mend = await broken.arrange?.();
      try {
        const reports = await notPassed(migrationOf(pair, broken.file?.()));
        expect(Object.keys(reports).sort()).toEqual([broken.id, ...(broken.also ?? [])].sort());
        const report = reports[broken.id]!;
        expect(report.result).toBe(broken.result);
        expectText(report.found, broken.found);
        expectText(shortened(report.remedy ?? ''), broken.remedy);
      } finally {
        await mend?.();
      }
    },
    60_000,
  );

  test('and all is well again', async () => {
    expect(await notPassed(migrationOf(pair))).toEqual({});
  });
});

/** With the names of the table for the servers' addresses. */
function shortened(remedy: string): string {
  const cli = (one: RedisServer) => `redis-cli -h ${one.host} -p ${one.port}`;
  return remedy
    .replaceAll(cli(pair.source), 'S')
    .replaceAll(cli(pair.target), 'T')
    .replaceAll(String(chainHead?.port), 'HEAD');
}

function expectText(text: string, expected: string | RegExp): void {
  if (typeof expected === 'string') expect(text).toBe(expected);
  else expect(text).toMatch(expected);
}

describe('under writes', () => {
  test('a buffer too small for them, and a backlog too small', async () => {
    await s.call('DEBUG', 'POPULATE', '100000', 'filler', '1500');
    const mend = [
      await setting(() => s, 'client-output-buffer-limit', 'replica 1mb 1mb 1')(),
      await setting(() => s, 'repl-backlog-size', '16384')(),
    ];
    const stop = await writing(pair.source.connect());
    try {
      const { S10: buffer, 'S10.backlog': backlog, ...rest } = await notPassed(migrationOf(pair));
      expect(Object.keys(rest)).toEqual([]);
      expect(buffer).toMatchObject({ result: 'fail' });
      expect(buffer!.found).toMatch(
        / pile up during a copy of about \d+ s, and the hard limit is 1048576 bytes: the copy would restart for ever \(limit 1048576 1048576 1\)$/,
      );
      expect(shortened(buffer!.remedy!)).toMatch(
        /^S CONFIG SET client-output-buffer-limit 'replica 0 0 0' {2}# needs memory for it; put back afterwards: 1048576 1048576 1; or fixFullResyncLoop: true in the file$/,
      );
      expect(backlog).toMatchObject({ result: 'warn' });
      expect(shortened(backlog!.remedy!)).toMatch(/^S CONFIG SET repl-backlog-size \d{6,}$/);

      const consented = await notPassed(migrationOf(pair, { fixFullResyncLoop: true }));
      expect(consented['S10']).toMatchObject({
        result: 'warn',
        found: expect.stringContaining('fixFullResyncLoop in the file lifts it'),
      });
    } finally {
      await stop();
      await Promise.all(mend.map((one) => one()));
      await s.flushall();
      await s.set('greeting', 'hello');
    }
  }, 120_000);
});

describe('of a target that follows already', () => {
  test('an attached target is adopted at the start, and right before the fence asked for', async () => {
    const migration = migrationOf(pair);
    expect(await notPassed(migration, true)).toMatchObject({
      T11: { result: 'fail', found: 'the target is a primary, and does not follow the source' },
    });
    await t.replicaof(pair.source.host, pair.source.port);
    try {
      await until('in sync', async () => /master_link_status:up/.test(await t.info('replication')));
      expect(await notPassed(migration, true)).toEqual({});
      const { checks } = await preflightRedisOnline({ migration });
      expect(checks.filter(({ result }) => result !== 'pass').map(({ id }) => id)).toEqual(['N3']);
      const found = Object.fromEntries(checks.map((check) => [check.id, check.found]));
      expect(found).toMatchObject({
        N1: 'the target replicates from the source, its link is up',
        T9: 'db0: 1 keys, copied from the source',
        T11: 'a replica of the source already, link up: adopted',
      });

      await s.config('SET', 'min-replicas-to-write', '5');
      expect(await notPassed(migration, true)).toMatchObject({ C3: { result: 'fail' } });
      await s.config('SET', 'min-replicas-to-write', '0');

      pair.source.signal('SIGSTOP');
      try {
        expect((await notPassed(migration, true))['S0']).toMatchObject({ result: 'fail' });
      } finally {
        pair.source.signal('SIGCONT');
      }
    } finally {
      await t.replicaof('NO', 'ONE');
      await t.flushall();
    }
  }, 120_000);
});
