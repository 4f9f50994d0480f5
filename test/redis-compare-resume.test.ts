/** A compare that is stopped goes on where it was. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { PASS_END } from '../activities/redis/compare/types.ts';
import type { CompareCheckpoint, CompareProgress, CompareResult } from '../activities/redis/compare/types.ts';
import { found, startPair } from './redis-pair.ts';
import type { Pair } from './redis-pair.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 60_000 });

let pair: Pair;
afterAll(() => pair.stop(), 60_000);

beforeAll(async () => {
  pair = await startPair();
  for (const db of [0, 2, 5]) {
    const [s, t] = [pair.source.connect({ db }), pair.target.connect({ db })];
    for (let i = 0; i < 3000; i++) {
      if (i % 3) void s.set(`k${i}`, `value ${i}`);
      else void s.hset(`k${i}`, 'a', i, 'b', i * 2);
    }
    await s.hset('large', ...Array.from({ length: 3000 }, (_, i) => [`f${i}`, i]).flat());
    await s.ping();
    await pair.copy(db);
    // Tables that are done with resizing: while one is resized, SCAN may give a key twice, and keysCompared with it.
    await t.mset('extra 1', 'x', 'extra 2', 'x');
    await t.del('k100', 'k2000');
    await t.set('k500', 'other');
    await t.set('k501', 'a string');
    await t.expire('k502', 100);
    await t.hset('large', 'f7', 'other');
    s.disconnect();
    t.disconnect();
  }
}, 120_000);

const counts = ({ examples, durationMs, ...rest }: CompareResult) => ({
  ...rest,
  rereads: 0,
  found: found({ examples, durationMs, ...rest }),
});

test('from every one of its checkpoints, however it was kept, it ends with the same result', async () => {
  const seen: CompareProgress[] = [];
  const whole = await pair.compare(
    { progressIntervalMs: 0, scanCount: 100, rereadDelayMs: 0 },
    { onProgress: (progress) => seen.push(progress) },
  );
  expect(whole).toMatchObject({
    equal: false,
    databases: [0, 2, 5],
    keysCompared: 9003,
    missing: 6,
    extra: 6,
    typeDiffers: 3,
    ttlDiffers: 3,
    valueDiffers: 6,
  });
  expect(seen.length).toBeGreaterThan(30);
  expect(new Set(seen.map(({ checkpoint }) => `${checkpoint.db} ${checkpoint.phase}`)).size).toBe(6);
  expect(seen.filter(({ checkpoint }) => checkpoint.cursor === PASS_END)).toHaveLength(6);
  for (const { checkpoint } of seen) {
    const kept: CompareCheckpoint = JSON.parse(JSON.stringify(checkpoint));
    const resumed = await pair.compare({ scanCount: 200, rereadDelayMs: 0 }, { resumeFrom: kept });
    expect(counts(resumed), `from ${JSON.stringify(kept)}`).toEqual(counts(whole));
  }
}, 120_000);

test('progress goes forward, and says how far', async () => {
  const seen: CompareProgress[] = [];
  await pair.compare({ progressIntervalMs: 0, scanCount: 200 }, { onProgress: (progress) => seen.push(progress) });
  for (const [i, progress] of seen.entries()) {
    const before = seen[i - 1];
    expect(progress.keysDone).toBeLessThanOrEqual(progress.keysTotal);
    expect(progress.etaMs).toBeGreaterThanOrEqual(0);
    expect(progress.differences).toBeGreaterThanOrEqual(before?.differences ?? 0);
    if (before?.db === progress.db && before.phase === progress.phase) {
      expect(progress.keysDone).toBeGreaterThan(before.keysDone);
    }
  }
  expect(seen.some(({ keysPerSecond }) => keysPerSecond > 0)).toBe(true);
  expect(seen.at(-1)).toMatchObject({
    db: 5,
    phase: 'target',
    keysDone: 3001,
    keysTotal: 3001,
    differences: 24,
    etaMs: 0,
  });
});

test('a checkpoint stays small, whatever it found', async () => {
  let largest = 0;
  const found = await pair.compare(
    { progressIntervalMs: 0, maxReported: 10_000, ignore: ['k1*'], databases: [0, 1] },
    { onProgress: ({ checkpoint }) => (largest = Math.max(largest, JSON.stringify(checkpoint).length)) },
  );
  expect(found.examples.length).toBeGreaterThan(0);
  const other = pair.target.connect({ db: 9 });
  await other.mset(Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`\n${'x'.repeat(200)}${i}`, 'v'])));
  const result = await pair.compare(
    { progressIntervalMs: 0, maxReported: 10_000, databases: [9] },
    { onProgress: ({ checkpoint }) => (largest = Math.max(largest, JSON.stringify(checkpoint).length)) },
  );
  await other.flushdb();
  other.disconnect();
  expect(result.examples).toHaveLength(2000);
  expect(largest).toBeGreaterThan(3000);
  expect(largest).toBeLessThan(10_000);
});

test('a checkpoint of other options is not added to', async () => {
  let checkpoint: CompareCheckpoint | undefined;
  await pair.compare({ progressIntervalMs: 0 }, { onProgress: (progress) => (checkpoint = progress.checkpoint) });
  if (!checkpoint) throw new Error('no progress was told');
  const result = await pair.compare({ values: false }, { resumeFrom: checkpoint });
  expect(result).toMatchObject({ keysCompared: 9003, valueDiffers: 0, missing: 6 });
  expect(result.notes).toEqual(['started from the beginning: the checkpoint was made with other options']);
});

test('the signal stops it at once, in the middle of a pause and of a read, and the last checkpoint goes on', async () => {
  const stop = new AbortController();
  let checkpoint: CompareCheckpoint | undefined;
  const stopped = pair.compare(
    { progressIntervalMs: 0, scanCount: 200, rereadDelayMs: 5 },
    {
      signal: stop.signal,
      onProgress: (progress) => {
        checkpoint = progress.checkpoint;
        if (progress.db === 2) stop.abort(new Error('enough'));
      },
    },
  );
  await expect(stopped).rejects.toThrow('enough');
  expect(checkpoint).toMatchObject({ done: [0], db: 2 });
  if (!checkpoint) return;
  expect(counts(await pair.compare({}, { resumeFrom: checkpoint }))).toMatchObject({
    keysCompared: 9003,
    missing: 6,
    extra: 6,
  });

  const pausing = new AbortController();
  const asleep = pair.compare({ rereadDelayMs: 3_600_000 }, { signal: pausing.signal });
  const outcome = expect(asleep).rejects.toThrow('not now');
  setTimeout(() => pausing.abort(new Error('not now')), 300);
  await outcome;

  pair.target.signal('SIGSTOP');
  const reading = new AbortController();
  const stuck = pair.compare({}, { signal: reading.signal });
  setTimeout(() => reading.abort(new Error('stuck')), 300);
  await expect(stuck).rejects.toThrow('stuck');
  pair.target.signal('SIGCONT');
  const before = AbortSignal.abort(new Error('never began'));
  await expect(pair.compare({}, { signal: before })).rejects.toThrow('never began');
  // Nothing of them is left on the servers.
  const clients = async () =>
    String(await pair.s.call('CLIENT', 'LIST', 'TYPE', 'normal'))
      .trim()
      .split('\n').length;
  await expect.poll(clients, { timeout: 30_000 }).toBe(1);
}, 60_000);

test('a server that dies ends it with its name, and it goes on when the server is back, though no cursor of before is good', async () => {
  const whole = await pair.compare();
  // Both come back with their data.
  await Promise.all([pair.s.save(), pair.t.save()]);
  for (const [server, phase] of [
    ['source', 'source'],
    ['target', 'source'],
    ['target', 'target'],
  ] as const) {
    let checkpoint: CompareCheckpoint | undefined;
    let killed: Promise<void> | undefined;
    const died = pair.compare(
      { progressIntervalMs: 0, scanCount: 100, rereadDelayMs: 0 },
      {
        onProgress: (progress) => {
          checkpoint = progress.checkpoint;
          const inside = progress.phase === phase && checkpoint.cursor !== PASS_END;
          if (progress.db === 2 && inside) killed ??= pair[server].kill();
        },
      },
    );
    await expect(died).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      retryable: true,
      message: expect.stringMatching(
        new RegExp(`the connection to the ${server} \\(127.0.0.1:${pair[server].port}\\) was lost`),
      ),
    });
    await killed;
    await pair[server].restart();
    if (!checkpoint) throw new Error('there is no checkpoint');
    expect(checkpoint).toMatchObject({ db: 2, phase, done: [0] });
    const resumed = await pair.compare({}, { resumeFrom: checkpoint });
    expect({ ...counts(resumed), notes: [] }).toEqual(counts(whole));
    expect(resumed.notes).toEqual(
      server === phase ? [`database 2 was read again from its start: the ${phase} is another process than before`] : [],
    );
  }
}, 120_000);
