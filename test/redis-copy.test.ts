/** The copy of keys that stand still, between real servers of several kinds. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type { Redis } from 'ioredis';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Beat } from '../activities/beat.ts';
import { connectionsOf, copyFailure, copyRedis } from '../activities/redis/copy/copy-activity.ts';
import { copyOnce } from '../activities/redis/copy/session.ts';
import { slotOf, tagOf } from '../activities/redis/copy/slots.ts';
import type { CopyCheckpoint, CopyState } from '../activities/redis/copy/types.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import { redisCopy } from '../spec/redis-copy.ts';
import type { CopyRedisResult } from '../spec/redis-copy.ts';
import { OURS, clusterMode, between, contents, fill, options, stage, until } from './stage/redis-copy.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 90_000 });

const play = stage();
let source: RedisServer;
let target: RedisServer;
let s: Redis;
let t: Redis;
beforeAll(async () => {
  [source, target] = await Promise.all([play.server('source'), play.server('target')]);
  [s, t] = [source.connect(OURS), target.connect(OURS)];
}, 90_000);
afterAll(() => play.stop(), 60_000);
beforeEach(async () => void (await Promise.all([s.flushall(), t.flushall()])));

const writer =
  (redis: Redis) =>
  ([name, ...args]: (string | number | Buffer)[]) =>
    redis.callBuffer(String(name), args);
const write =
  (redis: Redis) =>
  (...command: (string | number | Buffer)[]) =>
    writer(redis)(command);

test('every type, expiry, database and name', async () => {
  await fill(write(s));
  const other = source.connect({ db: 11 });
  await fill(write(other), 100, 'other');
  other.disconnect();
  const before = await contents(source);
  expect(before.size).toBe(600 + 6 + 100 + 6);
  const result = await copyOnce(between(source, target), options({ bigKeyBytes: 65_536 }));
  expect(await contents(target)).toEqual(before);
  expect(result.totals).toMatchObject({ copied: 712, deleted: 0, kept: 0 });
  // The large ones were rebuilt in pages, and nothing of that is left.
  expect(result.totals.rebuilt).toBeGreaterThanOrEqual(10);
  expect(await t.keys('cutover:*')).toEqual([]);
  expect(result.notes).toEqual([]);
  // Untouched.
  expect(await contents(source)).toEqual(before);
});

test('Redis to Valkey, and back only by rebuilding every key', async () => {
  const valkey = await play.server('valkey', { flavour: 'valkey' });
  await fill(write(s), 300);
  const before = await contents(source);
  await copyOnce(between(source, valkey), options());
  expect(await contents(valkey)).toEqual(before);
  if (Number(valkey.version.split('.')[0]) < 9) throw new Error(`expected Valkey 9, this is ${valkey.version}`);
  await s.flushall();
  await expect(copyOnce(between(valkey, source), options())).rejects.toMatchObject({
    code: 'OLDER_TARGET',
    message: expect.stringMatching(/too old for the DUMP.*the source is \d+.*the target \d+/),
    remedy: expect.stringContaining('olderTarget: rebuild'),
  });
  await s.flushall();
  const result = await copyOnce(between(valkey, source), options({ olderTarget: 'rebuild' }));
  expect(await contents(source)).toEqual(before);
  expect(result.totals.rebuilt).toBeGreaterThan(200);
  expect(result.notes).toEqual([expect.stringContaining('every key is rebuilt by commands of its type')]);
  // A field that expires can't be kept by a target that does not know such a thing.
  const v = valkey.connect();
  await v.hset('expiring', 'a', '1', 'b', '2');
  await v.call('HPEXPIREAT', 'expiring', 4_102_444_800_000, 'FIELDS', 1, 'a');
  await s.flushall();
  await expect(copyOnce(between(valkey, source), options({ olderTarget: 'rebuild' }))).rejects.toMatchObject({
    code: 'WRITE_REFUSED',
    message: expect.stringContaining('fields of hash expiring expire'),
  });
});

test('a hash of 1,000,000 fields, in bounded memory and short commands', async () => {
  const make = `for i = 0, 999999 do redis.call('HSET', KEYS[1], 'field ' .. i, 'value ' .. i) end`;
  await s.eval(make, 1, 'huge');
  await s.config('RESETSTAT');
  const before = process.memoryUsage().rss;
  let highest = before;
  const watch = setInterval(() => (highest = Math.max(highest, process.memoryUsage().rss)), 20);
  const result = await copyOnce(between(source, target), options());
  clearInterval(watch);
  expect(result.totals).toMatchObject({ copied: 1, rebuilt: 1 });
  expect(await t.hlen('huge')).toBe(1_000_000);
  expect(await t.hmget('huge', 'field 0', 'field 654321', 'field 999999')).toEqual([
    'value 0',
    'value 654321',
    'value 999999',
  ]);
  // One DUMP is the probe of what the server can do; the key itself was read in pages.
  const stats = await s.info('commandstats');
  expect(Number(/cmdstat_dump:calls=(\d+)/.exec(stats)?.[1] ?? 0)).toBeLessThanOrEqual(1);
  expect(Number(/cmdstat_hscan:calls=(\d+)/.exec(stats)?.[1])).toBeGreaterThan(300);
  // Names and values alone are 30 MB.
  expect((highest - before) / 2 ** 20).toBeLessThan(150);
});

describe('resumed', () => {
  /** Copies until the checkpoint has seen that many keys, then stops as a worker that dies does. */
  const partOf = async (keys: number): Promise<CopyCheckpoint> => {
    const stop = new AbortController();
    let last: CopyCheckpoint | undefined;
    const run = copyOnce(between(source, target), options({ workers: 1, scanCount: 50, maxKeysPerSecond: 4000 }), {
      signal: stop.signal,
      progressIntervalMs: 1,
      onProgress: (_, checkpoint) => {
        last = structuredClone(checkpoint);
        if ((checkpoint.nodes[0]?.keys ?? 0) >= keys) stop.abort(new Error('killed'));
      },
    });
    await expect(run).rejects.toThrow('killed');
    return last!;
  };

  test('goes on at its cursor, and ends equal', async () => {
    await fill(write(s), 1200);
    const checkpoint = await partOf(500);
    expect(checkpoint.nodes).toHaveLength(1);
    await s.config('RESETSTAT');
    const states: CopyState[] = [];
    const result = await copyOnce(between(source, target), options(), {
      resumeFrom: checkpoint,
      progressIntervalMs: 1,
      onProgress: (state) => states.push(state),
    });
    expect(await contents(target)).toEqual(await contents(source));
    expect(result.notes).toEqual([]);
    // What lay before the cursor was not read again.
    const dumps = Number(/cmdstat_dump:calls=(\d+)/.exec(await s.info('commandstats'))?.[1]);
    expect(dumps).toBeLessThan(1206 - 400);
    expect(states[0]?.nodes[0]?.keys).toBeGreaterThanOrEqual(500);
    expect(states.at(-1)).toMatchObject({ phase: 'done', nodes: [{ state: 'scanned' }], queued: 0 });
  });

  test('a source that was restarted is copied from its start: its cursors mean something else', async () => {
    const saved = await play.server('saved');
    const redis = saved.connect();
    await fill(write(redis), 800);
    const before = await contents(saved);
    const stop = new AbortController();
    let checkpoint: CopyCheckpoint | undefined;
    const run = copyOnce(between(saved, target), options({ scanCount: 50, maxKeysPerSecond: 2000 }), {
      signal: stop.signal,
      progressIntervalMs: 1,
      onProgress: (_, now) => {
        checkpoint = structuredClone(now);
        if ((now.nodes[0]?.keys ?? 0) > 300) stop.abort(new Error('killed'));
      },
    });
    await expect(run).rejects.toThrow('killed');
    await redis.save();
    await saved.restart();
    const result = await copyOnce(between(saved, target), options(), { resumeFrom: checkpoint! });
    expect(await contents(target)).toEqual(before);
    expect(result.notes).toEqual([expect.stringContaining('is copied from its start again: it is another process')]);
  });

  test('a target that was restarted is filled from the start again: it may have lost what was written', async () => {
    await fill(write(s), 600);
    const losing = await play.server('losing');
    const stop = new AbortController();
    let checkpoint: CopyCheckpoint | undefined;
    const run = copyOnce(between(source, losing), options({ scanCount: 50, maxKeysPerSecond: 2000 }), {
      signal: stop.signal,
      progressIntervalMs: 1,
      onProgress: (_, now) => {
        checkpoint = structuredClone(now);
        if ((now.nodes[0]?.keys ?? 0) > 300) stop.abort(new Error('killed'));
      },
    });
    await expect(run).rejects.toThrow('killed');
    await losing.kill();
    await losing.restart();
    const result = await copyOnce(between(source, losing), options(), { resumeFrom: checkpoint! });
    expect(await contents(losing)).toEqual(await contents(source));
    expect(result.notes).toEqual([expect.stringContaining('the target is another process than before')]);
  });

  test('the activity goes on from its heartbeat, and ends when it is cancelled', async () => {
    await fill(write(s), 1200);
    const at = ({ host, port }: RedisServer) => ({ host, port, tls: false });
    const input = { migrationId: 'm1', source: at(source), target: at(target), mode: 'replace' as const };
    const slow = { ...redisCopy.parse({}), scanCount: 50, maxKeysPerSecond: 1500 };
    const first = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
    let beat: Beat<CopyCheckpoint> | undefined;
    first.on('heartbeat', (details: Beat<CopyCheckpoint>) => {
      // As it goes over the wire.
      beat = JSON.parse(JSON.stringify(details)) as Beat<CopyCheckpoint>;
      if ((beat.checkpoint?.nodes[0]?.keys ?? 0) > 300) first.cancel();
    });
    await expect(first.run(copyRedis, { ...input, copy: slow })).rejects.toMatchObject({ name: 'CancelledFailure' });
    expect(beat?.progress).toMatchObject({ text: 'copying', unit: 'keys', total: 1206 });
    const info = { heartbeatDetails: beat };
    const second = new MockActivityEnvironment(info, { logger: new DefaultLogger('ERROR') });
    await s.config('RESETSTAT');
    const result: CopyRedisResult = await second.run(copyRedis, { ...input, copy: redisCopy.parse({}) });
    expect(result.notes).toEqual([]);
    expect(Number(/cmdstat_dump:calls=(\d+)/.exec(await s.info('commandstats'))?.[1])).toBeLessThan(1206 - 200);
    expect(await contents(target)).toEqual(await contents(source));
  });

  test('a source that dies in the middle is said by name, to be tried again', async () => {
    const dying = await play.server('dying');
    await fill(write(dying.connect()), 400);
    const run = copyOnce(between(dying, target), options({ scanCount: 50, maxKeysPerSecond: 500 }), {
      progressIntervalMs: 1,
      onProgress: (state) => void ((state.nodes[0]?.keys ?? 0) > 100 && dying.kill()),
    });
    await expect(run).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      retryable: true,
      message: expect.stringContaining(`the source 127.0.0.1:${dying.port} was lost`),
    });
  });
});

test('keys and bytes per second are kept', async () => {
  for (let i = 0; i < 600; i++) void s.set(`k${i}`, 'x');
  await s.ping();
  const slow = await copyOnce(between(source, target), options({ maxKeysPerSecond: 300 }));
  expect(slow.durationMs).toBeGreaterThan(1500);
  await Promise.all([s.flushall(), t.flushall()]);
  for (let i = 0; i < 40; i++) await s.set(`k${i}`, Buffer.alloc(50_000, 'x'));
  const bytes = await copyOnce(
    between(source, target),
    options({ maxBytesPerSecond: 1_000_000, scanCount: 10, workers: 1 }),
  );
  // 40 × 50 KB and more, of which the last page need not be waited for.
  expect(bytes.durationMs).toBeGreaterThan(1200);
  expect(await contents(target)).toEqual(await contents(source));
});

test('the scan rests while the source is slow, and goes on when it is not', async () => {
  for (let i = 0; i < 1000; i++) void s.set(`k${i}`, 'x');
  await s.ping();
  const hog = source.connect(OURS);
  let busy = true;
  const loop = (times: number) => hog.eval(`for i = 1, ${times} do end`, 0);
  const began = performance.now();
  await loop(10_000_000);
  // Each of these keeps the server from answering anybody else for a fifth of a second.
  const times = Math.round((10_000_000 * 200) / (performance.now() - began));
  const hogging = (async () => {
    while (busy) await loop(times);
  })();
  let states: CopyState[] = [];
  const more = options({ maxLatency: 60, maxKeysPerSecond: 500, scanCount: 10 });
  const run = copyOnce(between(source, target), more, {
    progressIntervalMs: 20,
    onProgress: (state) => states.push(state),
  });
  const keysAt = (i: number) => states.at(i)?.nodes[0]?.keys;
  try {
    await until('the keys stand still', () => states.length > 100 && keysAt(-1) === keysAt(-80));
    expect(keysAt(-1)).toBeLessThan(1000);
  } finally {
    busy = false;
    await hogging;
    hog.disconnect();
  }
  states = [];
  const { totals } = await run;
  expect(totals.restedMs).toBeGreaterThan(500);
  expect(await contents(target)).toEqual(await contents(source));
});

describe('mode keep, with others who write the source first and then the target', () => {
  test('what changes between our reading and our writing is put right', async () => {
    await s.mset('gone', '1', 'same', '1', 'ttl', '1', 'theirs', 'old');
    await s.hset('fields', 'a', '1', 'b', '2');
    await t.set('theirs', 'new');
    await s.config('RESETSTAT');
    // What we read is written only after the pause.
    await t.client('PAUSE', 60_000, 'WRITE');
    const run = copyOnce(between(source, target), options({ mode: 'keep' }));
    await until('they are read', async () => /cmdstat_dump:calls=6/.test(await s.info('commandstats')));
    await s.del('gone');
    await s.hdel('fields', 'b');
    await s.pexpireat('ttl', 4_102_444_800_000);
    await t.client('UNPAUSE');
    const { totals } = await run;
    expect(totals).toMatchObject({ copied: 4, kept: 1, corrected: 3, unsettled: 0 });
    await s.set('theirs', 'new');
    expect(await contents(target)).toEqual(await contents(source));
    // Nothing is left on the target: it is not ours.
    expect(await t.keys('cutover:*')).toEqual([]);
  });

  test('both sides are equal at the end', async () => {
    const names = Array.from({ length: 300 }, (_, i) => `k${i}`);
    for (const name of names) void s.hset(name, ...Array.from({ length: 20 }, (_, n) => [`f${n}`, n]).flat());
    await s.ping();
    let writing = true;
    let i = 0;
    const both = async (...command: (string | number)[]) => {
      await write(s)(...command);
      await write(t)(...command);
    };
    // None of these makes a key out of a part of it: that is what the journal of the dual write is for.
    const writers = [0, 1, 2].map(async (own) => {
      while (writing) {
        const name = names[own + 3 * ((i * 7) % 100)]!;
        i++;
        if (i % 5 === 0) await both('DEL', name);
        else if (i % 5 === 1) await both('EXPIREAT', name, 4_102_444_800 + i);
        else await both('HDEL', name, `f${i % 20}`);
      }
    });
    await until('they write', () => i > 30);
    const run = copyOnce(between(source, target), options({ mode: 'keep', scanCount: 20, maxKeysPerSecond: 600 }));
    const { totals } = await run.finally(() => (writing = false));
    await Promise.all(writers);
    expect(await contents(target)).toEqual(await contents(source));
    expect(totals.copied).toBeGreaterThan(50);
  });
});

describe('refused', () => {
  test('a target that is not empty, unless that is meant', async () => {
    await s.set('a', '1');
    await t.mset('a', 'old', 'b', 'old');
    await expect(copyOnce(between(source, target), options())).rejects.toMatchObject({
      code: 'OBSTACLE',
      message: expect.stringContaining('is not empty: 2 keys in database 0'),
    });
    const kept = await copyOnce(between(source, target), options({ allowNonEmptyTarget: true, mode: 'keep' }));
    expect(kept.totals).toMatchObject({ copied: 0, kept: 1 });
    expect(await t.get('a')).toBe('old');
    await copyOnce(between(source, target), options({ allowNonEmptyTarget: true }));
    expect(await t.mget('a', 'b')).toEqual(['1', 'old']);
  });

  test('a large key that the target has is kept too', async () => {
    await s.set('large', Buffer.alloc(300_000, 'x'));
    await t.set('large', 'old');
    const more = { allowNonEmptyTarget: true, mode: 'keep', bigKeyBytes: 65_536 } as const;
    expect((await copyOnce(between(source, target), options(more))).totals).toMatchObject({ copied: 0, kept: 1 });
    expect(await t.get('large')).toBe('old');
    expect(await t.keys('*')).toEqual(['large']);
  });

  test('a target that another migration fills, and one that somebody writes to', async () => {
    await t.set('cutover:copy:owner', 'another');
    await expect(copyOnce(between(source, target), options())).rejects.toThrow('is being filled by migration another');
    await t.del('cutover:copy:owner');
    const stranger = target.connect({ connectionName: 'shop' });
    await stranger.set('x', '1');
    await stranger.del('x');
    const busy = copyOnce(between(source, target), options());
    await expect(busy).rejects.toThrow(/shop\) writes to the target .* its last command was del/);
    stranger.disconnect();
  });

  test('a database that the target lacks, a target that is full, a replica', async () => {
    const small = await play.server('small', { config: { databases: '2' } });
    const high = source.connect({ db: 9 });
    await high.set('a', '1');
    await expect(copyOnce(between(source, small), options())).rejects.toMatchObject({
      code: 'DATABASE_MISSING',
      message: expect.stringContaining('has no database 9'),
    });
    high.disconnect();
    await s.flushall();
    await fill(write(s), 300);
    const redis = small.connect(OURS);
    await redis.flushall();
    await redis.config('SET', 'maxmemory', '2mb');
    await expect(copyOnce(between(source, small), options())).rejects.toMatchObject({
      code: 'WRITE_REFUSED',
      remedy: expect.stringContaining('the target is full'),
    });
    await redis.replicaof('127.0.0.1', target.port);
    await expect(copyOnce(between(source, small), options())).rejects.toThrow('(target) is a replica, not a primary');
  });
});

test('an earlier attempt of the same migration is cut off before a later one begins', async () => {
  await fill(write(s), 400);
  let started = false;
  const zombie = copyOnce(between(source, target), options({ scanCount: 20, maxKeysPerSecond: 100 }), {
    progressIntervalMs: 5,
    onProgress: (state) => void (started ||= (state.nodes[0]?.keys ?? 0) > 0),
  });
  const ended = expect(zombie).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
  await until('the first attempt copies', () => started);
  await copyOnce(between(source, target), options());
  await ended;
  expect(await contents(target)).toEqual(await contents(source));
});

test('TLS, a password, and a user that may do no more than is needed', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'cutover-copy-tls-'));
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost',
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { stdio: 'pipe' },
  );
  const tlsPort = await freePort();
  const locked = await play.server('locked', {
    password: 'secret',
    config: {
      'tls-port': String(tlsPort),
      'tls-cert-file': cert,
      'tls-key-file': key,
      'tls-auth-clients': 'no',
      'tls-ca-cert-file': cert,
    },
  });
  try {
    const admin = locked.connect();
    await fill(write(admin), 300);
    await admin.call(
      'ACL',
      'SETUSER',
      'copier',
      'reset',
      'on',
      '>pw',
      '~*',
      '-@all',
      '+@read',
      '+@connection',
      '+info',
      '+time',
    );
    process.env['COPY_TEST_PASSWORD'] = 'pw';
    process.env['COPY_TEST_WRONG'] = 'no';
    const endpoint = (env: string) => ({
      host: 'localhost',
      port: tlsPort,
      username: 'copier',
      password: { env },
      tls: { ca: cert },
    });
    const to = { host: target.host, port: target.port, tls: false };
    const ends = connectionsOf({ migrationId: 'm1', source: endpoint('COPY_TEST_PASSWORD'), target: to });
    await copyOnce(ends, options({ bigKeyBytes: 65_536 }));
    expect(await contents(target)).toEqual(await contents(locked));
    const wrong = connectionsOf({ migrationId: 'm1', source: endpoint('COPY_TEST_WRONG'), target: to });
    const refused = await copyOnce(wrong, options()).catch((error: unknown) => copyFailure(error));
    expect(refused).toMatchObject({
      type: 'cutover.Denied',
      nonRetryable: true,
      message: expect.stringContaining('WRONGPASS'),
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('slots are those of the server, and a tag lies in its slot', async () => {
  const cluster = await play.server('lone', { config: clusterMode(await freePort()) });
  const redis = cluster.connect();
  const names = ['', 'a', 'a{b}c', '{}x', 'x{', '}{', '{{a}}', 'a}{b}', '{a}{b}'].map((name) => Buffer.from(name));
  names.push(Buffer.from([0, 255, 123, 200, 125, 1]));
  for (const name of names) {
    expect([name, slotOf(name)]).toEqual([name, await redis.call('CLUSTER', 'KEYSLOT', name)]);
    expect(slotOf(Buffer.from(`cutover:x:{${tagOf(slotOf(name))}}`))).toBe(slotOf(name));
  }
});
