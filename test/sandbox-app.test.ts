/** The application is what every proof of "nothing lost" rests on, so it is shown here that it finds what is lost. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startAppProcess } from '../sandbox/app/app-process.ts';
import { controlApp } from '../sandbox/app/control.ts';
import { fillRedis } from '../sandbox/app/fill.ts';
import { ClientKeys, kindOf, type WriteKind } from '../sandbox/app/operations.ts';
import { verifyAcknowledged, writesTakenBy } from '../sandbox/app/verify.ts';
import { startApp, type App, type AppOptions } from '../sandbox/app/writer.ts';
import { startRedis, type RedisServer } from '../sandbox/runtime/redis.ts';

const FENCE = 2_147_483_647;

let dir: string;
let endings: (() => Promise<unknown>)[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cutover-app-'));
  endings = [];
});

afterEach(async () => {
  for (const end of endings.reverse()) await end();
  await rm(dir, { recursive: true, force: true });
});

async function server(name: string, config: Record<string, string> = {}): Promise<RedisServer> {
  const redis = await startRedis({ dir: join(dir, name), config });
  endings.push(() => redis.kill());
  return redis;
}

function application(options: AppOptions): App {
  const app = startApp({ clients: 4, ...options });
  endings.push(() => app.stop());
  return app;
}

async function until(what: string, check: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await delay(5);
  }
}

const acked = (app: App, count: number) => until(`${count} writes`, () => app.stats().acknowledged >= count);

/** A source and a replica of it that has caught up. */
async function pair(): Promise<{ source: RedisServer; target: RedisServer; s: Redis; t: Redis }> {
  const [source, target] = [await server('source', { 'repl-diskless-sync-delay': '0' }), await server('target')];
  const [s, t] = [source.connect(), target.connect()];
  await t.replicaof(source.host, source.port);
  await until('the replica follows', async () => /master_link_status:up/.test(await t.info('replication')));
  return { source, target, s, t };
}

async function fenceAndDrain(s: Redis, t: Redis): Promise<void> {
  await s.config('SET', 'min-replicas-to-write', FENCE);
  const offset = (text: string, field: string) => Number(new RegExp(`${field}:(\\d+)`).exec(text)?.[1]);
  const written = offset(await s.info('replication'), 'master_repl_offset');
  await until('drained', async () => offset(await t.info('replication'), 'slave_repl_offset') >= written);
}

describe('filling', () => {
  test('makes every type in several databases, the same ones from the same seed', async () => {
    const config = { 'enable-debug-command': 'local' };
    const [one, other, third] = [
      await server('one', config),
      await server('other', config),
      await server('third', config),
    ];
    const keys = 3_000;
    const filled = await fillRedis({ host: one.host, port: one.port, keys });
    await fillRedis({ host: other.host, port: other.port, keys });
    await fillRedis({ host: third.host, port: third.port, keys, seed: 2 });
    const digest = async (redis: RedisServer) => String(await redis.connect().call('DEBUG', 'DIGEST'));
    const [a, b, c] = await Promise.all([digest(one), digest(other), digest(third)]);
    expect(a).toBe(b);
    expect(a).not.toBe(c);

    expect(Object.keys(filled.byType).sort()).toEqual(
      ['binary', 'bitmap', 'hash', 'hyperloglog', 'list', 'set', 'stream', 'string', 'zset'].sort(),
    );
    const keyspace = await one.connect().info('keyspace');
    for (const [db, count] of Object.entries(filled.byDatabase)) expect(keyspace).toContain(`db${db}:keys=${count},`);
    expect(Object.keys(filled.byDatabase)).toEqual(['0', '1', '3']);
    expect(filled.shortLived).toBeGreaterThan(0);
    expect(filled.withTtl).toBeGreaterThan(filled.shortLived);
    const expiring = [...keyspace.matchAll(/expires=(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
    expect(expiring).toBe(filled.withTtl);
  });

  test('says what the server refused', async () => {
    const full = await server('full', { maxmemory: '2mb', 'maxmemory-policy': 'noeviction' });
    await expect(fillRedis({ host: full.host, port: full.port, keys: 20_000 })).rejects.toThrow(/OOM/);
  });
});

describe('verifying', () => {
  test('finds nothing where nothing was done, and everything that was', async () => {
    const source = await server('source');
    const app = application({ endpoint: source });
    await acked(app, 3_000);
    const acks = await app.stop();
    const clean = await verifyAcknowledged(source, acks);
    expect(clean).toMatchObject({ lost: 0, repeated: 0, unexplained: 0, ambiguous: 0, examples: [] });
    expect(clean.acknowledged).toBe(app.stats().acknowledged);
    expect(app.stats().errors).toEqual({});

    const redis = source.connect();
    const keys = new ClientKeys(acks.run, 0);
    const seqOf = (kind: WriteKind) =>
      40 + Array.from({ length: 20 }, (_, i) => i).find((i) => kindOf(40 + i) === kind)!;
    const [set, hset, lpush, xadd, multi, script] = (['set', 'hset', 'lpush', 'xadd', 'multi', 'eval'] as const).map(
      seqOf,
    ) as [number, number, number, number, number, number];
    const entryOf = async (seq: number) =>
      (await redis.xrange(keys.stream(seq), '-', '+')).find(([, fields]) => fields[1] === String(seq))![0];
    const damages: [string, () => Promise<unknown>][] = [
      ['a value is gone', () => redis.del(keys.value(set))],
      ['a value is an older one', () => redis.set(keys.value(set + 20), keys.content(set))],
      ['a field is gone', () => redis.hdel(keys.hash(hset), String(hset))],
      ['an item is gone', () => redis.lrem(keys.list(lpush), 1, String(lpush))],
      ['an entry is gone', async () => redis.xdel(keys.stream(xadd), await entryOf(xadd))],
      ['a counter is one short', () => redis.decr(keys.counter)],
      ['a transaction lost its value', () => redis.del(keys.value(multi))],
      ['a transaction lost its counter', () => redis.decrby(keys.transactions, 2)],
      ['a script lost its value', () => redis.del(keys.value(script))],
      ['a script lost its field', () => redis.hdel(keys.hash(script + 20), String(script + 20))],
    ];
    let lost = 0;
    for (const [what, damage] of damages) {
      await damage();
      const found = await verifyAcknowledged(source, acks);
      expect({ what, lost: found.lost }).toEqual({ what, lost: ++lost });
      expect(found.unexplained).toBe(0);
    }
    await redis.lpush(keys.list(lpush + 20), String(lpush + 20));
    await redis.xadd(keys.stream(0), '*', 'seq', '999999');
    await redis.incrby(new ClientKeys(acks.run, 1).counter, 3);
    const { unexplained, lost: same, examples } = await verifyAcknowledged(source, acks);
    expect({ unexplained, same }).toEqual({ unexplained: 5, same: lost });
    expect(examples).toHaveLength(10);
    expect(examples[0]).toMatch(new RegExp(`client 0, acknowledged by 127.0.0.1:${source.port} at \\d{4}-`));
  });

  test('a source that is killed and comes back empty has lost all that it had acknowledged', async () => {
    const source = await server('source');
    const app = application({ endpoint: source });
    await acked(app, 1_000);
    const killedAt = performance.timeOrigin + performance.now();
    await source.kill();
    const beforeRestart = app.stats().acknowledged;
    await source.restart();
    await acked(app, beforeRestart + 500);
    const acks = await app.stop();
    const { lost, unexplained } = await verifyAcknowledged(source, acks);
    const before = acks.clients.reduce(
      (sum, log) => sum + log.at.subarray(0, log.count).filter((at) => at < killedAt).length,
      0,
    );
    expect(lost).toBeGreaterThanOrEqual(before);
    expect(lost).toBeLessThanOrEqual(beforeRestart);
    expect(unexplained).toBe(0);
    expect(Object.keys(app.stats().errors)).toContain('ECONNREFUSED');
  });

  test('connections that are cut again and again lose nothing, and what was written twice is explained', async () => {
    const source = await server('source');
    const app = application({ endpoint: source, clients: 16, rate: 20_000 });
    const admin = source.connect();
    for (let cut = 1; app.stats().errors['connection closed'] === undefined || cut <= 60; cut++) {
      await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await acked(app, cut * 50);
    }
    const acks = await app.stop();
    const found = await verifyAcknowledged(source, acks);
    expect(found).toMatchObject({ lost: 0, unexplained: 0 });
    expect(found.ambiguous).toBeGreaterThan(0);
  });
});

describe('switching', () => {
  test('a promotion without a fence loses what the source went on acknowledging', async () => {
    const { source, target, t } = await pair();
    const app = application({ endpoint: source });
    await acked(app, 1_000);
    await t.replicaof('NO', 'ONE');
    const promotedAt = performance.timeOrigin + performance.now();
    await acked(app, app.stats().acknowledged + 500);
    await app.switchTo(target);
    await acked(app, app.stats().acknowledged + 500);
    const acks = await app.stop();
    const taken = writesTakenBy(acks, source, promotedAt);
    expect(taken).toBeGreaterThanOrEqual(500);
    const found = await verifyAcknowledged(target, acks);
    expect(found.lost).toBeGreaterThanOrEqual(taken);
    expect(found.examples[0]).toContain(`acknowledged by 127.0.0.1:${source.port}`);
    // The old source, on the other hand, lacks what the target took.
    expect((await verifyAcknowledged(source, acks)).lost).toBeGreaterThanOrEqual(500);
  });

  test('a fenced promotion loses nothing: the application as a process, told by HTTP', async () => {
    const { source, target, s, t } = await pair();
    const app = await startAppProcess({ dir: join(dir, 'app'), endpoint: source, rate: 2_000 });
    endings.push(() => app.kill());
    const ackedBy = async (index: number) => (await app.stats()).endpoints[index]?.acknowledged ?? 0;
    await until('writes', async () => (await ackedBy(0)) >= 2_000);
    await fenceAndDrain(s, t);
    const fencedAt = Date.now();
    await t.replicaof('NO', 'ONE');
    const answer = await fetch(`${app.url}/switch`, {
      method: 'POST',
      body: JSON.stringify({ host: target.host, port: String(target.port) }),
    });
    expect(answer.status).toBe(200);
    await until('writes on the target', async () => (await ackedBy(1)) >= 1_000);
    const stats = await app.stats();
    const acks = await app.stop();
    expect(acks.complete).toBe(true);
    expect(await verifyAcknowledged(target, acks)).toMatchObject({ lost: 0, unexplained: 0, repeated: 0 });
    expect(writesTakenBy(acks, source, fencedAt + 50)).toBe(0);
    expect(stats.errors['NOREPLICAS']).toBeGreaterThan(0);
    expect(stats.writePauseMs).toBeGreaterThan(0);
    expect(stats.longestSwitchGapMs).toBeGreaterThanOrEqual(stats.writePauseMs!);
    expect(stats.longestGapMs).toBeGreaterThanOrEqual(stats.longestSwitchGapMs!);
    expect(acks.clients.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThanOrEqual(stats.acknowledged);
  });

  test('the record outlives an application that is killed', async () => {
    const source = await server('source');
    const app = await startAppProcess({ dir: join(dir, 'app'), endpoint: source });
    endings.push(() => app.kill());
    await until('writes', async () => (await app.stats()).acknowledged >= 1_000);
    const acks = await app.kill();
    expect(acks.complete).toBe(false);
    const found = await verifyAcknowledged(source, acks);
    expect(found.acknowledged).toBeGreaterThan(500);
    expect(found).toMatchObject({ lost: 0, unexplained: 0 });
  });

  test('an endpoint that cannot be reached, or makes no sense, changes nothing', async () => {
    const source = await server('source');
    const app = application({ endpoint: source });
    const control = await controlApp(app);
    endings.push(() => control.close());
    const gone = await server('gone');
    await gone.kill();
    const post = async (body: unknown) => {
      const answer = await fetch(`${control.url}/switch`, { method: 'POST', body: JSON.stringify(body) });
      return { status: answer.status, text: await answer.text() };
    };
    const refused = await post({ host: gone.host, port: gone.port });
    expect(refused.status).toBe(503);
    expect(refused.text).toContain(`can't reach 127.0.0.1:${gone.port}`);
    expect((await post({ host: 'x', port: 'y' })).status).toBe(400);
    expect((await post({ host: source.host, port: source.port })).status).toBe(200);
    const { acknowledged, endpoints } = app.stats();
    expect(endpoints).toHaveLength(1);
    await acked(app, acknowledged + 100);
    expect((await verifyAcknowledged(source, await app.stop())).lost).toBe(0);
  });
});
