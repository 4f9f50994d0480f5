/** The copy by scripts, a page in one command; and without them, where a server or its user does not allow them. */
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { copyOnce } from '../activities/redis/copy/session.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import type { CopyMode } from '../spec/redis-copy.ts';
import { OURS, contents, fill, options, sideOf, stage } from './stage/redis-copy.ts';

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
beforeEach(async () => {
  await Promise.all([s.flushall(), t.flushall()]);
  await Promise.all([s.config('RESETSTAT'), t.config('RESETSTAT')]);
});

/** How often a server was asked to run a command, also by a script. */
const calls = async (redis: Redis, command: string): Promise<number> =>
  Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await redis.info('commandstats'))?.[1] ?? 0);

const write = ([name, ...args]: (string | number | Buffer)[]) => s.callBuffer(String(name), args);

test.each<CopyMode>(['replace', 'keep'])(
  'mode %s: a page is one call, which ends where it has read enough',
  async (mode) => {
    await fill((...command) => write(command), 1500);
    // None of these may come with nine others like it: that would keep the source busy for too long.
    for (let i = 0; i < 30; i++) await s.set(`middling ${i}`, Buffer.alloc(50_000, String(i)));
    for (let i = 0; i < 5; i++) await s.set(`no script’s ${i}`, Buffer.alloc(300_000, String(i)));
    await s.set('in pages', Buffer.alloc(3_000_000, 'x'));
    const before = await contents(source);
    await s.config('RESETSTAT');
    const { totals } = await copyOnce({ source: sideOf(source), target: sideOf(target) }, options({ mode }));
    expect(await contents(target)).toEqual(before);
    expect(totals).toMatchObject({ copied: before.size, kept: 0, corrected: 0, unsettled: 0, deleted: 0 });
    expect(totals.rebuilt).toBeGreaterThanOrEqual(1);
    const [reads, writes] = [await calls(s, 'evalsha_ro'), await calls(t, 'evalsha')];
    const rounds = mode === 'keep' ? 2 : 1;
    // 30 × 50 KB in calls of 256 KB and what one key is more.
    expect(reads).toBeGreaterThanOrEqual(5 * rounds);
    expect(reads).toBeLessThan(before.size / 20);
    expect(writes).toBeGreaterThanOrEqual(5);
    expect(writes).toBeLessThan(before.size / 20);
    // Those that go neither by script nor in pages, and no other, come by commands of their own.
    expect(await calls(s, 'dump')).toBeGreaterThanOrEqual((before.size - totals.rebuilt) * rounds);
  },
);

const USERS: [what: string, side: 'source' | 'target', rules: string[]][] = [
  ['the source’s user may run no scripts', 'source', ['-@scripting']],
  ['the source’s user may run them, and not ask for sizes', 'source', ['-memory|usage']],
  ['the target’s user may run no scripts', 'target', ['-@scripting']],
  ['the target’s user may only run scripts that read', 'target', ['-eval', '-evalsha']],
];
test.each(USERS)('%s: the same by plain commands', async (_, side, rules) => {
  await fill((...command) => write(command), 400);
  const before = await contents(source);
  const admin = side === 'source' ? s : t;
  await admin.call('ACL', 'SETUSER', 'narrow', 'reset', 'on', '>pw', '~*', '&*', '+@all', ...rules);
  const narrow = { username: 'narrow', password: 'pw' };
  const ends = {
    source: sideOf(source, side === 'source' ? narrow : {}),
    target: sideOf(target, side === 'target' ? narrow : {}),
  };
  for (const mode of ['replace', 'keep'] as const) {
    await t.flushall();
    const { totals } = await copyOnce(ends, options({ mode }));
    expect(await contents(target)).toEqual(before);
    expect(totals).toMatchObject({ copied: before.size, kept: 0, corrected: 0, unsettled: 0 });
  }
  // It was not the other way that did it.
  expect(await calls(admin, side === 'source' ? 'evalsha_ro' : 'evalsha')).toBe(0);
  expect(await calls(admin, side === 'source' ? 'dump' : 'restore')).toBeGreaterThan(before.size);
});

const BEFORE_7 = ['-pexpiretime', '-eval_ro', '-evalsha_ro'];
test('a source as before 7.0, without PEXPIRETIME and EVAL_RO: expiries are right to a second, and none is lost', async () => {
  await s.call('ACL', 'SETUSER', 'older', 'reset', 'on', '>pw', '~*', '&*', '+@all', ...BEFORE_7);
  for (let i = 0; i < 300; i++) {
    await s.set(`k${i}`, `v${i}`);
    if (i % 3 > 0) await s.pexpireat(`k${i}`, Date.now() + 600_000 + i * 1000);
  }
  const ends = { source: sideOf(source, { username: 'older', password: 'pw' }), target: sideOf(target) };
  for (const mode of ['replace', 'keep'] as const) {
    await t.flushall();
    const { totals } = await copyOnce(ends, options({ mode }));
    expect(totals).toMatchObject({ copied: 300, corrected: 0, unsettled: 0 });
    for (let i = 0; i < 300; i++) {
      const [from, to] = [Number(await s.call('PEXPIRETIME', `k${i}`)), Number(await t.call('PEXPIRETIME', `k${i}`))];
      if (i % 3 === 0) expect([from, to]).toEqual([-1, -1]);
      else expect(Math.abs(from - to)).toBeLessThan(1000);
    }
  }
  expect(await calls(s, 'evalsha')).toBeGreaterThan(0);
  expect(await calls(s, 'pttl')).toBeGreaterThanOrEqual(900);
});

test('what the target has is kept, key by key of a page, and what is no more is deleted', async () => {
  for (let i = 0; i < 200; i++) await s.set(`k${i}`, 'source');
  for (let i = 0; i < 200; i += 4) await t.set(`k${i}`, 'target');
  const ends = { source: sideOf(source), target: sideOf(target) };
  const { totals } = await copyOnce(ends, options({ mode: 'keep', allowNonEmptyTarget: true }));
  expect(totals).toMatchObject({ copied: 150, kept: 50, deleted: 0 });
  expect(await t.mget('k0', 'k1', 'k196', 'k199')).toEqual(['target', 'source', 'target', 'source']);
  const again = await copyOnce(ends, options({ allowNonEmptyTarget: true }));
  expect(again.totals).toMatchObject({ copied: 200, kept: 0 });
  expect(await contents(target)).toEqual(await contents(source));
  expect(await calls(t, 'evalsha')).toBeGreaterThan(0);
});
