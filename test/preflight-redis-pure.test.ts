import { assert as assertProperty, integer, property } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { firstOverlap } from '../activities/elasticache/windows.ts';
import { reachOf } from '../activities/redis/preflight/addresses.ts';
import { CannotCheck, pass, unmet, warn, type Check } from '../activities/preflight/check.ts';
import { awsElastiCache, redisCli } from '../activities/redis/preflight/commands.ts';
import { fullSyncSeconds, judgeBuffer, replicaBufferLimit } from '../activities/redis/preflight/replica-buffer.ts';
import { runChecks } from '../activities/preflight/run-checks.ts';
import { engineVersion, versionFromInfo, whyNotFollow } from '../activities/redis/preflight/versions.ts';
import { rememberSecret } from '../activities/secrets/redact.ts';

const MIB = 1024 * 1024;

describe('which version can follow which', () => {
  test.each([
    ['redis 5.0.6', 'redis 5.0.5', true],
    ['redis 6.2.14', 'redis 6.2.6', true],
    ['redis 6.2.14', 'redis 6.0.5', false],
    ['redis 7.0.15', 'redis 6.2.6', false],
    ['redis 7.2.4', 'redis 7.1.0', false],
    ['redis 2.8.24', 'redis 7.1.0', true],
    ['redis 6.2.14', 'valkey 7.2.6', true],
    ['redis 7.2.4', 'valkey 8.0.1', true],
    ['redis 7.4.0', 'valkey 8.1.0', false],
    ['redis 8.0.0', 'valkey 9.0.0', false],
    ['valkey 8.0.1', 'valkey 7.2.6', false],
    ['valkey 7.2.6', 'valkey 8.1.0', true],
    ['valkey 7.2.6', 'redis 7.2.4', true],
    ['valkey 7.2.6', 'redis 7.0.15', false],
    ['valkey 8.1.0', 'redis 8.0.0', false],
  ])('%s to %s: %s', (source, target, follows) => {
    const version = (text: string) => engineVersion(text.split(' ')[0]!, text.split(' ')[1]!);
    expect(whyNotFollow(version(source), version(target)) === undefined).toBe(follows);
  });

  test('Valkey says redis_version:7.2.4 as well, and is not taken for it', () => {
    const info = { redis_version: '7.2.4', server_name: 'valkey', valkey_version: '9.1.0' };
    expect(versionFromInfo(info)).toMatchObject({ engine: 'valkey', major: 9, minor: 1 });
  });

  test('a version of no numbers is not guessed', () => {
    expect(() => engineVersion('redis', '6.x')).toThrow(CannotCheck);
  });
});

describe('the replica buffer against the write rate (facts 4.3)', () => {
  const standard = replicaBufferLimit('normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60')!;

  test('both names, and nonsense', () => {
    expect(standard).toEqual({ hard: 256 * MIB, soft: 64 * MIB, softSeconds: 60 });
    expect(replicaBufferLimit('normal 0 0 0 replica 0 0 0')).toEqual({ hard: 0, soft: 0, softSeconds: 0 });
    expect(replicaBufferLimit('normal 0 0 0')).toBeUndefined();
  });

  test('over disk saving, sending and loading come one after the other', () => {
    const gib = { usedMemory: 1024 * MIB, lastSaveSeconds: 0 };
    expect(fullSyncSeconds({ ...gib, diskless: true })).toBeCloseTo(20.48);
    expect(fullSyncSeconds({ ...gib, diskless: false })).toBeCloseTo(30.72);
    expect(fullSyncSeconds({ ...gib, lastSaveSeconds: 100, diskless: true })).toBeCloseTo(110.24);
    expect(fullSyncSeconds({ usedMemory: 1, lastSaveSeconds: 0, diskless: true })).toBe(2);
  });

  test('the measured loop: 1 MB, 100 MB/s', () => {
    const verdict = judgeBuffer({ hard: MIB, soft: MIB, softSeconds: 60 }, 100 * MIB, 2);
    expect(verdict.cutOff).toContain('hard limit is 1048576 bytes');
  });

  test('the soft limit cuts after its seconds alone', () => {
    // 2 MiB/s: 64 MiB is passed after 32 s; at 100 s it has been above for 68 s, with 200 of 256 MiB.
    expect(judgeBuffer(standard, 2 * MIB, 100).cutOff).toContain('soft limit of 67108864 bytes for more than 60 s');
    expect(judgeBuffer(standard, 2 * MIB, 90).cutOff).toBeUndefined();
  });

  test('from 7.0 a limit below the backlog counts as the backlog', () => {
    expect(judgeBuffer({ hard: MIB, soft: 0, softSeconds: 0 }, 10 * MIB, 1).cutOff).toBeDefined();
    expect(judgeBuffer({ hard: MIB, soft: 0, softSeconds: 0 }, 10 * MIB, 1, 64 * MIB).cutOff).toBeUndefined();
  });

  test('no limit never cuts; more writes or a longer copy never make it safer', () => {
    const amount = integer({ min: 0, max: 2 ** 31 });
    assertProperty(
      property(amount, amount, amount, integer({ min: 0, max: 600 }), amount, (hard, soft, rate, seconds, more) => {
        expect(judgeBuffer({ hard: 0, soft: 0, softSeconds: 0 }, rate, seconds).cutOff).toBeUndefined();
        const limit = { hard, soft, softSeconds: 60 };
        const before = judgeBuffer(limit, rate, seconds);
        expect(judgeBuffer(limit, rate + more, seconds).use).toBeGreaterThanOrEqual(before.use);
        expect(judgeBuffer(limit, rate, seconds + (more % 600)).use).toBeGreaterThanOrEqual(before.use);
      }),
    );
  });
});

describe('maintenance and snapshot windows', () => {
  const at = (text: string) => Date.parse(text);
  const iso = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString());

  test.each([
    // 2026-11-22 is a Sunday.
    ['sun:23:00-mon:01:30', '2026-11-22T22:30:00Z', '2026-11-22T23:30:00Z', '2026-11-22T23:00:00.000Z'],
    ['sun:23:00-mon:01:30', '2026-11-23T01:00:00Z', '2026-11-23T02:00:00Z', '2026-11-23T01:00:00.000Z'],
    ['sun:23:00-mon:01:30', '2026-11-23T01:30:00Z', '2026-11-23T05:00:00Z', undefined],
    ['sat:23:00-sun:01:00', '2026-11-22T00:30:00Z', '2026-11-22T00:31:00Z', '2026-11-22T00:30:00.000Z'],
    ['05:00-06:00', '2026-11-22T04:00:00Z', '2026-11-22T05:00:00Z', undefined],
    ['05:00-06:00', '2026-11-22T04:00:00Z', '2026-11-22T05:00:01Z', '2026-11-22T05:00:00.000Z'],
    ['23:30-00:30', '2026-11-22T00:10:00Z', '2026-11-22T00:20:00Z', '2026-11-22T00:10:00.000Z'],
  ])('%s from %s to %s: %s', (window, from, to, expected) => {
    expect(iso(firstOverlap(window, at(from), at(to)))).toBe(expected);
  });

  test.each(['', '5-6', 'foo:05:00-mon:06:00', 'sun:05:00-06:00'])('"%s" is refused', (window) => {
    expect(() => firstOverlap(window, 0, 1)).toThrow(/neither/);
  });

  test('says what walking minute by minute says', () => {
    const minute = integer({ min: 0, max: 1439 });
    const hhmm = (m: number) => `${String(Math.floor(m / 60)).padStart(2, '0')}:${String(m % 60).padStart(2, '0')}`;
    assertProperty(
      property(
        minute,
        integer({ min: 1, max: 1439 }),
        integer({ min: 0, max: 20_000 }),
        integer({ min: 1, max: 3000 }),
        (start, length, from, span) => {
          const end = (start + length) % 1440;
          const inside = (m: number) => ((m % 1440) - start + 1440) % 1440 < length;
          const walked = Array.from({ length: span }, (_x, i) => from + i).find(inside);
          const found = firstOverlap(`${hhmm(start)}-${hhmm(end)}`, from * 60_000, (from + span) * 60_000);
          expect(found === undefined ? undefined : found / 60_000).toBe(walked);
        },
      ),
    );
  });
});

test.each([
  ['127.0.0.1', 'loopback'],
  ['::1', 'loopback'],
  ['10.1.2.3', 'private'],
  ['172.31.0.9', 'private'],
  ['172.32.0.9', 'public'],
  ['192.168.1.1', 'private'],
  ['100.64.0.1', 'private'],
  ['fd00::1', 'private'],
  ['54.12.34.56', 'public'],
  ['0.0.0.0', 'any'],
])('%s is %s', (ip, reach) => expect(reachOf(ip)).toBe(reach));

describe('commands that an operator pastes', () => {
  test('are quoted, ask for the password, and never hold one', () => {
    const endpoint = {
      host: 'db',
      port: 6380,
      username: 'o’neil',
      password: { env: 'SECRET' },
      tls: { ca: '/a b.pem' },
    };
    expect(redisCli(endpoint, 'CONFIG', 'SET', 'bind', "1 2'3")).toBe(
      "redis-cli -h db -p 6380 --tls --cacert '/a b.pem' --user 'o’neil' --askpass CONFIG SET bind '1 2'\\''3'",
    );
  });
  test('name the region where the file does', () => {
    expect(awsElastiCache('eu-west-1', 'describe-events')).toBe('aws elasticache describe-events --region eu-west-1');
    expect(awsElastiCache(undefined, 'describe-events')).toBe('aws elasticache describe-events');
  });
});

describe('the runner', () => {
  const check = (over: Partial<Check<object>>): Check<object> => ({
    id: 'X1',
    title: 'a check',
    severity: 'fail',
    remedy: () => 'the mend',
    byHand: () => 'by hand',
    run: async () => pass('fine'),
    ...over,
  });

  test('the results, in the order of the checks', async () => {
    const reports = await runChecks(
      [
        check({ id: 'A' }),
        check({ id: 'B', run: async () => unmet('bad') }),
        check({ id: 'C', severity: 'warn', run: async () => unmet('so so') }),
        check({ id: 'D', run: async () => warn('only so', 'another mend') }),
        check({ id: 'E', run: () => Promise.reject(new CannotCheck('CONFIG is blocked')) }),
        check({ id: 'F', run: () => Promise.reject(new TypeError('a bug of ours')) }),
      ],
      {},
    );
    expect(reports.map(({ id, result, found, remedy }) => [id, result, found, remedy])).toEqual([
      ['A', 'pass', 'fine', undefined],
      ['B', 'fail', 'bad', 'the mend'],
      ['C', 'warn', 'so so', 'the mend'],
      ['D', 'warn', 'only so', 'another mend'],
      ['E', 'unknown', 'could not be checked: CONFIG is blocked', 'by hand'],
      ['F', 'unknown', 'could not be checked: a bug of ours', 'by hand'],
    ]);
  });

  test('a check that hangs is unknown at its deadline, and holds up no other', async () => {
    const hangs = check({ id: 'H', run: () => new Promise(() => {}) });
    const [h, a] = await runChecks([hangs, check({ id: 'A' })], {}, { deadlineMs: 50 });
    expect(h).toMatchObject({
      result: 'unknown',
      found: 'could not be checked: no result within 0.05 s',
      remedy: 'by hand',
    });
    expect(a).toMatchObject({ result: 'pass' });
  });

  test('a resolved secret is in no report', async () => {
    rememberSecret('correct-horse-battery');
    const quoting = check({
      remedy: () => 'AUTH correct-horse-battery',
      run: async () => unmet("ERR unknown command 'AUTH', with args beginning with: 'correct-horse-battery'"),
    });
    expect(JSON.stringify(await runChecks([quoting], {}))).not.toContain('correct-horse-battery');
  });

  test('a cancelled preflight ends at once', async () => {
    const stop = new AbortController();
    const running = runChecks([check({ run: () => new Promise(() => {}) })], {}, { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    await expect(runChecks([], {}, { signal: stop.signal })).rejects.toThrow('enough');
  });
});
