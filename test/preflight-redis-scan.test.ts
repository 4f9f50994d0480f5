/** The preflight of `engine: scan` on real servers and clusters: what is right is green, each fault is found, and its remedy mends it. */
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { CopySession } from '../activities/redis/copy/session.ts';
import { preflightRedisOnline } from '../activities/redis/preflight/preflight.ts';
import { whyNotRestore } from '../activities/redis/preflight/scan-versions.ts';
import { engineVersion } from '../activities/redis/preflight/versions.ts';
import { withPrimaries } from '../activities/redis/primaries.ts';
import { endEarlierFencersEverywhere, liftSourceFences, raiseSourceFence } from '../activities/redis/source-fence.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { redisOnline, type RedisOnlineScan } from '../spec/kind-redis-online.ts';
import type { CheckReport, CheckResult } from '../spec/preflight.ts';
import { OURS, contents, fill, sideOf, stage } from './stage/redis-copy.ts';

vi.setConfig({ testTimeout: 60_000 });

const SECRET = 'right-horse-battery';
const play = stage();
let source: RedisServer;
let target: RedisServer;
let s: Redis;
let t: Redis;
let sources: RedisServer[];
let targets: RedisServer[];

beforeAll(async () => {
  process.env['SCAN_RIGHT'] = SECRET;
  [source, target, sources, targets] = await Promise.all([
    play.server('source', { config: { 'notify-keyspace-events': 'KA' } }),
    play.server('target', { config: { databases: '4' } }),
    play.cluster('a'),
    play.cluster('b'),
  ]);
  [s, t] = [source.connect(OURS), target.connect(OURS)];
  await s.set('greeting', 'hello');
}, 120_000);
afterAll(async () => {
  s.disconnect();
  t.disconnect();
  await play.stop();
}, 60_000);

interface FileParts {
  source?: object;
  target?: object;
  [field: string]: unknown;
}

function fileOf(
  from: RedisServer,
  to: RedisServer,
  { source: a, target: b, ...rest }: FileParts = {},
): RedisOnlineScan {
  const at = ({ host, port }: RedisServer, more?: object) => ({ host, port, ...more });
  const file = { id: 'orders', kind: 'redis-online', engine: 'scan', source: at(from, a), target: at(to, b), ...rest };
  const parsed = redisOnline.parse(file);
  if (parsed.engine !== 'scan') throw new Error('not a file of engine: scan');
  return parsed;
}

async function notPassed(migration: RedisOnlineScan, cheap = false): Promise<Record<string, CheckReport>> {
  const { checks } = await preflightRedisOnline({ migration, cheap });
  expect(JSON.stringify(checks)).not.toContain(SECRET);
  return Object.fromEntries(checks.filter(({ result }) => result !== 'pass').map((check) => [check.id, check]));
}

const resultOf = async (migration: RedisOnlineScan, id: string, cheap = false) =>
  (await preflightRedisOnline({ migration, cheap })).checks.find((check) => check.id === id)?.result;

/** Runs what a report says, as it stands: the commands of redis-cli, one after the other. */
async function follow(remedy: string): Promise<void> {
  for (const line of remedy.split('; ').filter((part) => part.includes('redis-cli '))) {
    const at = line.indexOf('redis-cli ');
    const words = [...line.slice(at).matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
    expect(words[0]).toBe('redis-cli');
    const option = (name: string) => words.indexOf(name) + 1;
    const [host, port] = [words[option('-h')], Number(words[option('-p')])];
    // As an administrator: whose rights are too few can't give himself more.
    const last = Math.max(option('-p'), option('--user'), option('--askpass') - 1);
    const one = [source, target, ...sources, ...targets].find((server) => server.host === host && server.port === port);
    if (!one) throw new Error(`no server of the test at ${host}:${port}`);
    const redis = one.connect(OURS);
    await redis.call(...(words.slice(last + 1) as [string, ...string[]]));
    redis.disconnect();
  }
}

test('a right pair, and right clusters, are green', async () => {
  const { checks } = await preflightRedisOnline({ migration: fileOf(source, target) });
  expect(checks.filter(({ result }) => result !== 'pass')).toEqual([]);
  expect(new Set(checks.map(({ id }) => id)).size).toBe(checks.length);
  expect(checks.length).toBeGreaterThan(35);
  const clusters = await preflightRedisOnline({
    migration: fileOf(sources[1]!, targets[2]!, { notifications: 'switch-on' }),
  });
  expect(clusters.checks.filter(({ result }) => result !== 'pass')).toEqual([]);
  const found = Object.fromEntries(clusters.checks.map((check) => [check.id, check.found]));
  expect(found['S.cluster']).toBe('all slots are served by 3 primaries, and all of them agree');
  expect(found['C3']).toBe('3 nodes: min-replicas-to-write 0');
  for (const { port } of sources) expect(found['N.events']).toContain(`127.0.0.1:${port}`);
});

interface Fault {
  what: string;
  /** Breaks it; what it returns is called in the end, for what the remedy does not mend. */
  arrange: () => Promise<unknown>;
  file?: FileParts;
  id: string;
  result?: CheckResult;
  found: string | RegExp;
  /** Run as it stands, it makes the check green; words are for people. */
  mends?: boolean;
  remedy?: RegExp;
  cheap?: boolean;
  back?: () => Promise<unknown>;
}

const config = (redis: () => Redis, name: string, value: string) => () => redis().config('SET', name, value);
const RECORD = {
  migration: 'users',
  minReplicasToWrite: 0,
  minReplicasMaxLag: 10,
  at: '2026-11-20T01:02:03Z',
  runId: 'x',
};
let writer: Redis;

const FAULTS: Fault[] = [
  {
    what: 'notifications are off',
    arrange: config(() => s, 'notify-keyspace-events', ''),
    id: 'N.events',
    found: /is "", "Kg\$lshzxet" is missing: what is changed during the copy would be lost in silence$/,
    mends: true,
  },
  {
    what: 'evictions are not notified, and the file says switch-on, before the fence',
    arrange: config(() => s, 'notify-keyspace-events', 'Kg$lshzxt'),
    file: { notifications: 'switch-on' },
    cheap: true,
    id: 'N.events',
    found: /"e" is missing/,
    mends: true,
  },
  {
    what: 'a subscriber is cut off at 1 MB',
    arrange: config(() => s, 'client-output-buffer-limit', 'pubsub 1000000 0 0'),
    id: 'N.buffer',
    found: /cuts a subscriber off at 1000000 bytes/,
    mends: true,
  },
  {
    what: 'the source evicts any key',
    arrange: async () => {
      await s.config('SET', 'maxmemory', '1gb');
      await s.config('SET', 'maxmemory-policy', 'allkeys-lru');
    },
    id: 'S12.eviction',
    result: 'warn',
    found: /^allkeys-lru at 1 GiB: it may evict any key, the record of our fence/,
    mends: true,
    back: config(() => s, 'maxmemory', '0'),
  },
  {
    what: 'the target evicts what the source keeps',
    arrange: async () => {
      await t.config('SET', 'maxmemory', '1gb');
      await t.config('SET', 'maxmemory-policy', 'allkeys-lfu');
    },
    id: 'T.eviction',
    found: 'allkeys-lfu at 1 GiB; the source: noeviction: once it is full it throws away what the source keeps',
    mends: true,
    back: config(() => t, 'maxmemory', '0'),
  },
  {
    what: 'the target is too small',
    arrange: config(() => t, 'maxmemory', '1mb'),
    id: 'T5',
    found: /needed \(the source's .+ and a tenth\); the target: maxmemory 1 MiB$/,
    mends: true,
    back: config(() => t, 'maxmemory', '0'),
  },
  {
    what: 'the target is full, before the fence',
    arrange: config(() => t, 'maxmemory', '600kb'),
    cheap: true,
    id: 'T5.now',
    found: /of maxmemory 600 KiB used: it refuses writes, or evicts$/,
    mends: true,
    back: config(() => t, 'maxmemory', '0'),
  },
  {
    what: 'a database that the target does not have',
    arrange: () => s.pipeline().select(6).set('far', 'x').select(0).exec(),
    id: 'S8.keys',
    found: /^db0 \(1 keys\), db6 \(1 keys\) on the source; the target \S+ has no db6: ERR DB index is out of range$/,
    remedy: /^set "databases 7" in redis\.conf of the target 127\.0\.0\.1:\d+, and restart it$/,
    back: () => s.pipeline().select(6).flushdb().select(0).exec(),
  },
  {
    what: 'a database that the file leaves out',
    arrange: () => s.pipeline().select(6).set('far', 'x').select(0).exec(),
    file: { copy: { databases: [0] } },
    id: 'S8.keys',
    result: 'warn',
    found: 'not copied, as the file says: db6 (1 keys)',
    back: () => s.pipeline().select(6).flushdb().select(0).exec(),
  },
  {
    what: 'keys on the target',
    arrange: () => t.set('old', 'x'),
    id: 'T9',
    found: /has 1 keys in db0: they would be deleted/,
    mends: true,
  },
  {
    what: 'keys that may go',
    arrange: () => t.set('old', 'x'),
    file: { allowNonEmptyTarget: true },
    id: 'T9',
    result: 'warn',
    found: /what the source lacks is deleted, as the file allows$/,
    mends: true,
  },
  {
    what: 'another migration fills the target; orders-2 is not orders',
    arrange: () => t.set('cutover:copy:owner', 'orders-2 some-claim'),
    id: 'T9.owner',
    found: 'the target is being filled by the migration orders-2',
    mends: true,
  },
  {
    what: 'a stranger writes to the target',
    arrange: async () => {
      writer = target.connect({ connectionName: 'shop', retryStrategy: () => null });
      writer.on('error', () => {});
      await writer.del('nothing');
    },
    id: 'T13',
    found: /^1 others write to the target: \S+ \(shop\), last command del$/,
    mends: true,
    back: async () => writer.disconnect(),
  },
  {
    what: 'a stranger looks at the target',
    arrange: async () => {
      writer = target.connect({ connectionName: 'shop' });
      await writer.get('nothing');
    },
    id: 'T13',
    result: 'warn',
    found: /^1 connections of others: \S+ \(shop\), last command get$/,
    back: async () => writer.disconnect(),
  },
  {
    what: 'the target would refuse writes for want of replicas',
    arrange: config(() => t, 'min-replicas-to-write', '1'),
    id: 'C9',
    found: /it would refuse every write$/,
    mends: true,
  },
  {
    what: 'the target is a replica',
    arrange: () => t.replicaof(source.host, source.port),
    id: 'T11',
    found: /is a replica of 127\.0\.0\.1:\d+: it takes no writes$/,
    mends: true,
    back: () => t.flushall(),
  },
  {
    what: 'a fence that somebody left up',
    arrange: config(() => s, 'min-replicas-to-write', '2147483646'),
    id: 'C3',
    found: 'min-replicas-to-write 2147483646: a fence is up, the source refuses every write',
    remedy: /CONFIG SET min-replicas-to-write 0$/,
    back: config(() => s, 'min-replicas-to-write', '0'),
  },
  {
    what: "another migration's fence record",
    arrange: () => s.set('cutover:fence', JSON.stringify(RECORD)),
    id: 'C4',
    found: 'a record of the migration users, since 2026-11-20T01:02:03Z',
    remedy: /^cutover unfence/,
    back: () => s.del('cutover:fence'),
  },
];

test.each(FAULTS)('$id: $what', async ({ arrange, file, id, result = 'fail', found, mends, remedy, cheap, back }) => {
  const migration = fileOf(source, target, file);
  await arrange();
  try {
    const report = (await notPassed(migration, cheap))[id];
    expect(report).toMatchObject({ result, found: typeof found === 'string' ? found : expect.stringMatching(found) });
    if (remedy) expect(report!.remedy).toMatch(remedy);
    if (!mends) return;
    await follow(report!.remedy!);
    expect(await resultOf(migration, id, cheap)).toBe('pass');
  } finally {
    await back?.();
  }
});

test('before the fence: the target has to be this migration’s own', async () => {
  const migration = fileOf(source, target);
  expect((await notPassed(migration, true))['T9.owner']).toMatchObject({
    result: 'fail',
    found: expect.stringMatching(/is gone/),
  });
  await t.set('cutover:copy:owner', 'orders some-claim');
  expect(await notPassed(migration, true)).toEqual({});
  // At the start it is what an earlier attempt left.
  await t.set('copied', 'x');
  expect(await notPassed(migration)).toEqual({});
  await t.flushall();
});

describe('users of an ACL', () => {
  async function asUser(side: 'source' | 'target', rules: string[], file: FileParts = {}) {
    const admin = side === 'source' ? s : t;
    await admin.call('ACL', 'SETUSER', 'app', 'reset', 'on', `>${SECRET}`, '+@all', '~*', '&*', ...rules);
    const password = { env: 'SCAN_RIGHT' };
    return fileOf(source, target, { ...file, [side]: { username: 'app', password } });
  }

  test.each<[side: 'source' | 'target', id: string, rules: string[], found: RegExp, file?: FileParts]>([
    ['source', 'N.channels', ['resetchannels', '&__keyspace@*'], /may not listen: NOPERM/],
    ['source', 'N.channels', ['-publish'], /may not listen: NOPERM/],
    ['source', 'N.events', ['-config'], /they can't be switched on: .*NOPERM/, { notifications: 'switch-on' }],
    ['source', 'C7', ['-dump', '-hscan'], /^on the source, the user app may not DUMP, HSCAN$/],
    ['source', 'C7', ['resetkeys', '~app:*', '~cutover:*'], /^on the source, the user app may not .*DUMP/],
    ['source', 'C1', ['-config|set'], /^the user app may not CONFIG SET$/],
    [
      'target',
      'C8',
      ['-unlink', '-xgroup'],
      /^on the target, the user app may not UNLINK, XGROUP CREATE, XGROUP DESTROY$/,
    ],
    ['target', 'C8', ['-flushall'], /may not FLUSHALL$/, { abort: { removePartialData: true } }],
    // Who may not ask ACL is found out by trying.
    ['target', 'C8', ['-acl', '-restore'], /^on the target, the user app may not RESTORE$/],
    ['target', 'C8.end', ['-client|kill'], /^on the target, the user app may not CLIENT KILL$/],
  ])('%s, %s: %j', async (side, id, rules, found, file) => {
    const migration = await asUser(side, rules, file);
    const report = (await notPassed(migration))[id];
    expect(report).toMatchObject({ result: 'fail', found: expect.stringMatching(found) });
    await follow(report!.remedy!);
    // Those that may not ask ACL are not known to be permitted all of it.
    expect(await resultOf(migration, id)).toBe(rules.includes('-acl') ? 'unknown' : 'pass');
  });

  /** The rules for one side, as docs/redis-scan.md has them. */
  function documented(side: 'source' | 'target'): string[] {
    const text = readFileSync(new URL('../docs/redis-scan.md', import.meta.url), 'utf8');
    const block = /```\n(source[\s\S]*?)```/.exec(text)![1]!;
    const of = (name: string) => new RegExp(`^${name}((?: .*\\n)+)`, 'm').exec(block)![1]!;
    const rules = [side, 'either'].flatMap((name) => of(name).split(/\s+/));
    return rules.map((rule) => rule.replace(/[,:]$/, '')).filter((rule) => /^[+~&]/.test(rule));
  }

  test('users with the rules of docs/redis-scan.md, and no others, can do it all', async () => {
    for (const [admin, side] of [
      [s, 'source'],
      [t, 'target'],
    ] as const) {
      await admin.call('ACL', 'SETUSER', 'app', 'reset', 'on', `>${SECRET}`, ...documented(side));
    }
    const user = { username: 'app', password: { env: 'SCAN_RIGHT' } };
    const file = { source: user, target: user, notifications: 'switch-on', abort: { removePartialData: true } };
    const migration = fileOf(source, target, file);
    expect(await notPassed(migration)).toEqual({});
    // What the preflight says they may do, they do.
    const ends = { username: 'app', password: SECRET, connectionName: 'cutover:orders:copy' };
    const connections = { source: sideOf(source, ends), target: sideOf(target, ends) };
    await fill((...[name, ...args]) => s.callBuffer(String(name), args), 60);
    const session = await CopySession.open(
      connections,
      { ...migration.copy, allowNonEmptyTarget: false, bigKeyBytes: 65_536, mode: 'replace', migrationId: 'orders' },
      { follow: true },
    );
    await session.firstCopy();
    await s.pipeline().rename('k1', 'k1 renamed').del('k2').hset('k large hash', 'field 7', 'changed').exec();
    await session.drain(30_000);
    expect((await session.end()).notes).toEqual([]);
    await withPrimaries(migration.source, 'source', 'cutover:orders:fence', async (found) => {
      const primaries = await endEarlierFencersEverywhere(found, 'orders');
      await raiseSourceFence(primaries, 'orders', 1001);
      await expect(s.set('greeting', 'no')).rejects.toThrow('NOREPLICAS');
      expect((await liftSourceFences(primaries, { migration: 'orders' })).changed).toBe(true);
    });
    expect(await contents(target)).toEqual(await contents(source));
    const app = target.connect({ ...ends, connectionName: 'cutover-test' });
    await app.flushall();
    app.disconnect();
    await s.flushall();
    await s.set('greeting', 'hello');
  });

  test('sizes that may not be asked are a warning', async () => {
    const migration = await asUser('source', ['-memory']);
    expect((await notPassed(migration))['C7']).toMatchObject({
      result: 'warn',
      found: expect.stringMatching(/MEMORY USAGE: sizes of keys/),
    });
  });
});

test('versions: Valkey 9 to Redis 7 is refused, or rebuilt if the file says so', async () => {
  const valkey = await play.server('valkey', { flavour: 'valkey', config: { 'notify-keyspace-events': 'KA' } });
  expect((await notPassed(fileOf(valkey, target)))['S2']).toMatchObject({
    result: 'fail',
    found: expect.stringMatching(/refuses the DUMP of Valkey 9/),
    remedy: expect.stringMatching(/olderTarget: rebuild/),
  });
  const rebuilding = await notPassed(fileOf(valkey, target, { copy: { olderTarget: 'rebuild' } }));
  expect(rebuilding).toMatchObject({ S2: { result: 'warn' } });
  expect(Object.keys(rebuilding)).toEqual(['S2']);
  await valkey.stop();
  const [redis, other] = [(v: string) => engineVersion('redis', v), (v: string) => engineVersion('valkey', v)];
  for (const [from, to] of [
    [redis('7.2.4'), other('8.1.0')],
    [other('8.1.0'), redis('7.2.4')],
    [redis('2.8.24'), redis('8.0.0')],
    [redis('6.2.1'), redis('5.0.6')],
  ] as const) {
    expect(whyNotRestore(from, to)).toBeUndefined();
  }
  for (const [from, to] of [
    [redis('7.4.0'), other('9.0.0')],
    [other('9.0.0'), redis('8.2.0')],
    [other('9.1.0'), other('9.0.0')],
    [redis('7.2.0'), redis('7.0.0')],
    [redis('8.2.0'), redis('8.0.0')],
  ] as const) {
    expect(whyNotRestore(from, to)).toBeTruthy();
  }
});

test('one server named twice', async () => {
  const migration = fileOf(source, source, { target: { host: 'localhost' } });
  expect((await notPassed(migration))['T12']).toMatchObject({
    result: 'fail',
    found: expect.stringMatching(/is a server of the source as well/),
  });
  // Two nodes of one cluster are one side.
  expect((await notPassed(fileOf(sources[0]!, sources[1]!)))['T12']).toMatchObject({ result: 'fail' });
});

describe('clusters', () => {
  const each = (servers: readonly RedisServer[], act: (redis: Redis) => Promise<unknown>) =>
    Promise.all(
      servers.map(async (server) => {
        const redis = server.connect(OURS);
        await act(redis);
        redis.disconnect();
      }),
    );

  /** The node of the source's cluster that has the key. */
  async function holderOf(key: string): Promise<RedisServer> {
    for (const server of sources) {
      const redis = server.connect(OURS);
      const here = await redis.get(key).then(
        () => true,
        () => false,
      );
      redis.disconnect();
      if (here) return server;
    }
    throw new Error(`no node has ${key}`);
  }

  test('each primary is judged by itself, and the remedy goes to those that need it', async () => {
    await each(sources, (redis) => redis.config('SET', 'notify-keyspace-events', 'KA'));
    await each([sources[2]!], (redis) => redis.config('SET', 'notify-keyspace-events', 'K$'));
    const migration = fileOf(sources[0]!, targets[0]!);
    const { 'N.events': report, ...rest } = await notPassed(migration);
    expect(Object.keys(rest)).toEqual([]);
    expect(report!.found).toContain(`127.0.0.1:${sources[2]!.port}`);
    expect(report!.found).not.toContain(`127.0.0.1:${sources[1]!.port}`);
    await follow(report!.remedy!);
    expect(await notPassed(migration)).toEqual({});
  });

  test('keys of several databases do not fit into a cluster', async () => {
    await s.pipeline().select(1).set('there', 'x').select(0).exec();
    expect((await notPassed(fileOf(source, targets[0]!)))['S8.keys']).toMatchObject({
      result: 'fail',
      remedy: expect.stringMatching(/^a cluster has database 0/),
    });
    await s.pipeline().select(1).flushdb().select(0).exec();
  });

  test('the owner is read on the node that has it; keys on any node are found', async () => {
    const ports = targets.map(({ port }) => port);
    for (const server of targets) {
      const redis = server.connect(OURS);
      await redis.set('cutover:copy:owner', 'users some-claim').catch(() => {});
      await redis.set('a', 'x').catch(() => {});
      redis.disconnect();
    }
    const reports = await notPassed(fileOf(source, targets[0]!));
    expect(reports['T9.owner']).toMatchObject({ result: 'fail', found: expect.stringMatching(/the migration users$/) });
    expect(reports['T9']!.result).toBe('fail');
    expect(ports.some((port) => reports['T9']!.remedy!.includes(`-p ${port} FLUSHALL`))).toBe(true);
    await follow(reports['T9']!.remedy!);
    expect(await notPassed(fileOf(source, targets[0]!))).toEqual({});
  });

  test('the record of a fence is on one node, and says whose fence is up on all', async () => {
    const holder = (await holderOf('cutover:fence')).connect(OURS);
    await holder.set('cutover:fence', JSON.stringify({ ...RECORD, migration: 'orders' }));
    await each(sources, (redis) => redis.config('SET', 'min-replicas-to-write', '2147483646'));
    const migration = fileOf(sources[0]!, source);
    // Before the fence it can be that of an attempt of this migration that died; at the start it holds everything up.
    expect((await notPassed(migration, true))['C3']).toMatchObject({
      result: 'warn',
      found: expect.stringMatching(/^3 nodes: .* it is this migration's own$/),
    });
    const { C3: fence } = await notPassed(migration);
    expect(fence!.result).toBe('fail');
    await follow(fence!.remedy!);
    await holder.set('cutover:fence', JSON.stringify(RECORD));
    expect((await notPassed(migration))['C4']).toMatchObject({
      result: 'fail',
      found: expect.stringMatching(/migration users/),
    });
    await holder.del('cutover:fence');
    holder.disconnect();
    expect(Object.keys(await notPassed(fileOf(sources[0]!, targets[0]!)))).toEqual([]);
  });

  test('a slot on its way, known to one node alone', async () => {
    const [from, to] = [sources[1]!.connect(OURS), sources[2]!.connect(OURS)];
    await from.call('CLUSTER', 'SETSLOT', 6000, 'MIGRATING', String(await to.call('CLUSTER', 'MYID')));
    const reports = await notPassed(fileOf(sources[0]!, targets[0]!), true);
    await from.call('CLUSTER', 'SETSLOT', 6000, 'STABLE');
    from.disconnect();
    to.disconnect();
    expect(reports['S.cluster']).toMatchObject({ result: 'fail', found: expect.stringMatching(/slot 6000 is moving/) });
  });

  test('a primary that is away: named, and nothing of that side passes', async () => {
    const away = await holderOf('cutover:fence');
    const entry = sources.find((server) => server !== away)!;
    await away.kill();
    const { checks } = await preflightRedisOnline({ migration: fileOf(entry, targets[0]!) });
    const about = (id: string) => checks.find((check) => check.id === id)!;
    expect(about('S0')).toMatchObject({ result: 'fail', found: expect.stringContaining(`127.0.0.1:${away.port}`) });
    const ofSource = checks.filter(({ id }) => /^(S|N\.|C[1-7]$|T5$|T12)/.test(id) && id !== 'S0');
    expect(ofSource.length).toBeGreaterThan(18);
    expect(ofSource.filter(({ result }) => result === 'pass').map(({ id }) => id)).toEqual([]);
    for (const { remedy } of ofSource) expect(remedy).toBeTruthy();
    expect(about('T9').result).toBe('pass');
    // Nor of a side of which nothing is there.
    const dead = fileOf(away, targets[0]!);
    const none = (await preflightRedisOnline({ migration: dead })).checks.filter(({ id }) =>
      /^(S|N\.|C[1-7]$)/.test(id),
    );
    expect(none.find(({ id }) => id === 'S0')!.result).toBe('fail');
    expect(none.filter(({ result }) => result === 'pass')).toEqual([]);
  });
});
