/**
 * `engine: scan` between two single servers, with an application writing all the time: aborted, tried again, the worker
 * killed at its named points. However it goes, no acknowledged write is lost, and what moves without an event (groups of
 * streams) is carried over too.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startMigration } from '../client/index.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { approveAtGate, expectBackOnSource, expectSwitched, openScene, type SceneOptions } from './stage/replicaof.ts';
import { Stage, atGate, isDone, until, untilStatus } from './stage/stage.ts';
import { approvedToTheEnd } from './stage/to-the-end.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let worker: WorkerProcess;
beforeAll(async () => {
  stage = await Stage.open();
  worker = await stage.worker();
});
afterAll(() => stage?.close());

const openScan = (options: SceneOptions) => openScene(stage, { engine: 'scan', ...options });

async function withRedis<T>(server: RedisServer, use: (redis: ReturnType<RedisServer['connect']>) => Promise<T>) {
  const redis = server.connect();
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

const setting = (server: RedisServer) =>
  withRedis(server, async (redis) => (await redis.config('GET', 'notify-keyspace-events'))[1]);
const ours = (server: RedisServer) => withRedis(server, (redis) => redis.keys('cutover:*'));

/** A stream whose group is read from without an event, over and over. */
const STREAM = 'orders';
const prepareStream = async ({ source }: { source: RedisServer }) =>
  withRedis(source, async (redis) => {
    for (let i = 0; i < 50; i++) await redis.xadd(STREAM, `${i + 1}-1`, 'n', String(i));
    await redis.xgroup('CREATE', STREAM, 'group', '0');
    // A consumer that is new sends an event; what it reads later does not.
    await redis.xreadgroup('GROUP', 'group', 'one', 'COUNT', 1, 'STREAMS', STREAM, '>');
  });
const readGroup = (server: RedisServer, count: number) =>
  withRedis(server, (redis) => redis.xreadgroup('GROUP', 'group', 'one', 'COUNT', count, 'STREAMS', STREAM, '>'));
/** What a group has got to, and what it has not acknowledged. */
const streamOf = (server: RedisServer) =>
  withRedis(server, async (redis) => {
    const [groups, pending] = await Promise.all([
      redis.call('XINFO', 'GROUPS', STREAM) as Promise<unknown[][]>,
      redis.xpending(STREAM, 'group', '-', '+', 100),
    ]);
    // Not the idle time, which runs.
    const open = (pending as unknown[][]).map(([id, consumer, , deliveries]) => [id, consumer, deliveries]);
    return JSON.stringify([groups, open, await redis.xrange(STREAM, '-', '+')]);
  });

test('to the end: nothing is lost, groups of streams too, and nothing of ours is left but the fence', async () => {
  const scene = await openScan({
    id: 'scan',
    prepare: prepareStream,
    servers: { source: { config: { 'notify-keyspace-events': 'Ex' } } },
  });
  await untilStatus(scene.handle, 'at the gate', atGate);
  expect(await setting(scene.source)).toMatch(/K/);
  await readGroup(scene.source, 7);
  const [before, behind] = await Promise.all([streamOf(scene.source), streamOf(scene.target)]);
  expect(before).not.toBe(behind);
  await scene.handle.approve({ by: 'test' });
  const done = await untilStatus(scene.handle, 'done', isDone);
  await expectSwitched(scene, done);
  expect(await streamOf(scene.target)).toBe(before);
  expect(done.report['copy']).toMatchObject({ subscriptionsLost: 0, overflowed: 0 });
  expect(await setting(scene.source)).toBe('xE');
  expect(await ours(scene.target)).toEqual([]);
  expect(await ours(scene.source)).toEqual(['cutover:fence']);
});

describe('aborted, and started again', () => {
  const points: { step: string; more?: Record<string, unknown> }[] = [
    { step: 'first-sync', more: { copy: { maxKeysPerSecond: 200 } } },
    { step: 'follow', more: { inSync: { interval: '1s', readings: 1000 } } },
    { step: 'approve-cutover' },
  ];
  test.for(points)('in $step', async ({ step, more }) => {
    const abort = { removePartialData: step !== 'follow' };
    const scene = await openScan({ id: `scan-abort-${step}`, more: { abort, ...more } });
    await untilStatus(scene.handle, `at ${step}`, (s) => s.step === step && (step !== 'approve-cutover' || atGate(s)));
    await until('something is copied', () => withRedis(scene.target, async (redis) => (await redis.dbsize()) > 10));
    await scene.handle.abort({ by: 'test' });
    const aborted = await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
    expect(await setting(scene.source)).toBe('');
    expect(await ours(scene.target)).toEqual([]);
    expect(await ours(scene.source)).toEqual([]);
    const left = await withRedis(scene.target, (redis) => redis.dbsize());
    expect(aborted.leftovers.length > 0).toBe(left > 0);
    expect(left > 0).toBe(!abort.removePartialData);
    const connected = () => withRedis(scene.target, async (redis) => String(await redis.client('LIST')));
    expect(await connected()).not.toMatch(/name=cutover\S*:copy/);
    // A look at the follower, which changes nothing, is not waited for: it ends when it hears of the abort.
    await until('nobody looks any more', async () => !(await connected()).includes('name=cutover'));

    // What is left of before is either emptied, or said to be no loss; the source lacks this one.
    if (abort.removePartialData) await withRedis(scene.target, (redis) => redis.flushall());
    else await withRedis(scene.target, (redis) => redis.set('of-before', '1'));
    const again = {
      ...scene.migration,
      copy: {},
      inSync: { interval: '100ms', readings: 2 },
      allowNonEmptyTarget: !abort.removePartialData,
    };
    scene.handle = await startMigration(stage.client, { migration: again as never });
    await expectSwitched(scene, await approvedToTheEnd(scene.handle));
    expect(await withRedis(scene.target, (redis) => redis.exists('of-before'))).toBe(0);
  });
});

test('the attach is tried again: what notifications were set to before is put back all the same', async () => {
  const scene = await openScan({ id: 'scan-retried' });
  const owner = 'cutover:copy:owner';
  await scene.targetWire.arm({
    when: 'before',
    match: (words) => words[0] === 'SET' && words[1] === owner.toUpperCase(),
    action: async () => void (await withRedis(scene.target, (redis) => redis.set(owner, 'another 1'))),
  });
  await untilStatus(scene.handle, 'parked', (s) => s.operator?.step === 'attach');
  await withRedis(scene.target, (redis) => redis.del(owner));
  await scene.handle.retry({ by: 'test' });
  await untilStatus(scene.handle, 'attached', (s) => s.steps.find(({ id }) => id === 'attach')?.state === 'done');
  await scene.handle.abort({ by: 'test' });
  await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
  expect(await setting(scene.source)).toBe('');
  await expectBackOnSource(scene);
});

const setsFence = (words: string[]) =>
  words[0] === 'CONFIG' && words[1] === 'SET' && words[2] === 'MIN-REPLICAS-TO-WRITE';
const closesCopy = (words: string[]) =>
  words[0] === 'SET' && words[1] === 'CUTOVER:COPY:OWNER' && words[2]!.endsWith('CLOSED');

describe('the worker is killed', () => {
  async function killAndReplace(): Promise<void> {
    await worker.kill();
    worker = await stage.worker();
  }

  test.for(['attach', 'first-sync', 'follow', 'compare', 'approve-cutover'])('in %s', async (step) => {
    const slow = step === 'first-sync' ? { copy: { maxKeysPerSecond: 1500 } } : {};
    const scene = await openScan({ id: `scan-killed-${step}`, keys: 6_000, prepare: prepareStream, more: slow });
    await untilStatus(
      scene.handle,
      `at ${step}`,
      (status) => status.step === step || status.steps.find(({ id }) => id === step)?.state === 'done',
    );
    if (step === 'first-sync')
      await until('part is copied', () => withRedis(scene.target, async (redis) => (await redis.dbsize()) > 500));
    await killAndReplace();
    await untilStatus(scene.handle, 'at the gate', atGate);
    // A follower that goes on from a checkpoint knows of the stream all the same.
    await readGroup(scene.source, 5);
    const stream = await streamOf(scene.source);
    await expectSwitched(scene, await approvedToTheEnd(scene.handle));
    expect(await streamOf(scene.target)).toBe(stream);
  });

  const points = [
    { name: 'with the fence up', on: 'sourceWire', match: setsFence },
    { name: 'while the copy is closed', on: 'targetWire', match: closesCopy },
  ] as const;
  test.for(points)('$name', async ({ name, on, match }) => {
    const scene = await openScan({ id: `scan-killed-${name.replaceAll(' ', '-')}`, prepare: prepareStream });
    const tripped = scene[on].arm({ when: 'after', match, action: () => worker.kill() });
    await approveAtGate(scene);
    await tripped;
    worker = await stage.worker();
    await expectSwitched(scene, await approvedToTheEnd(scene.handle));
  });

  test('as an abort forgets the copy: what it leaves on the target is told all the same', async () => {
    const scene = await openScan({ id: 'scan-killed-forgetting' });
    await untilStatus(scene.handle, 'at the gate', atGate);
    const tripped = scene.targetWire.arm({
      when: 'after',
      match: (words) => words[0] === 'DEL' && words.includes('CUTOVER:COPY:OWNER'),
      action: () => worker.kill(),
    });
    await scene.handle.abort({ by: 'test' });
    await tripped;
    worker = await stage.worker();
    const aborted = await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
    expect(await ours(scene.target)).toEqual([]);
    expect(aborted.leftovers.join()).toMatch(/^data on .*: db0 keys=\d+.*; empty it before another try$/);
  });
});

test('a follower that is too slow for the drain: the fence is lifted, the copy goes on, the next approval succeeds', async () => {
  const scene = await openScan({ id: 'scan-slow', prepare: prepareStream });
  await untilStatus(scene.handle, 'at the gate', atGate);
  // Nothing of the copy gets through while the drain is asked for.
  const held = scene.targetWire.arm({
    when: 'before',
    match: (words) => words[0] === 'RPUSH' && words[1]!.endsWith(':ASKED'),
    action: async () => void (await withRedis(scene.target, (redis) => redis.client('PAUSE', 7_000, 'WRITE'))),
  });
  await scene.handle.approve({ by: 'test' });
  await held;
  const back = await untilStatus(scene.handle, 'undone', (s) => s.cutovers[0]?.outcome === 'undone');
  expect(back.cutovers[0]?.reason).toMatch(/follower did not answer|not drained/);
  await expectSwitched(scene, await approvedToTheEnd(scene.handle));
});

test('a source that is restarted under the fence: it is not switched, and the next approval succeeds', async () => {
  const scene = await openScan({ id: 'scan-restart', prepare: prepareStream });
  const restarted = scene.targetWire.arm({
    when: 'before',
    match: closesCopy,
    action: async () =>
      void (await withRedis(scene.source, (redis) => redis.config('SET', 'min-replicas-to-write', '0'))),
  });
  await approveAtGate(scene);
  await restarted;
  const back = await untilStatus(scene.handle, 'undone', (s) => s.cutovers[0]?.outcome === 'undone');
  expect(back.cutovers[0]?.reason).toMatch(/fence on the source did not hold/);
  await expectSwitched(scene, await approvedToTheEnd(scene.handle));
});

const isCanary = (words: string[]) => words.some((word) => word.startsWith('CUTOVER:CANARY'));
const liftsFence = (words: string[]) => setsFence(words) && words[3] === '0';

test('a target that refuses the canary: the source takes writes again, and the next approval succeeds', async () => {
  const scene = await openScan({ id: 'scan-canary' });
  const memory = (max: string) => withRedis(scene.target, (redis) => redis.config('SET', 'maxmemory', max));
  const refuses = scene.targetWire.arm({
    when: 'before',
    match: isCanary,
    action: async () => void (await memory('1')),
  });
  await approveAtGate(scene);
  await refuses;
  await scene.sourceWire.arm({ when: 'before', match: liftsFence, action: async () => void (await memory('0')) });
  const back = await untilStatus(scene.handle, 'undone', (s) => s.cutovers[0]?.outcome === 'undone');
  expect(back.cutovers[0]?.reason).toContain('EXECABORT');
  await expectSwitched(scene, await approvedToTheEnd(scene.handle));
});

test('a source that loses the fence between the section and the hooks: nothing is sent, and an abort goes back', async () => {
  const scene = await openScan({ id: 'scan-late-restart' });
  const restarted = scene.targetWire.arm({
    when: 'before',
    match: isCanary,
    action: async () =>
      void (await withRedis(scene.source, (redis) => redis.config('SET', 'min-replicas-to-write', '0'))),
  });
  await approveAtGate(scene);
  await restarted;
  const parked = await untilStatus(scene.handle, 'parked', (s) => s.operator?.step === 'switch');
  expect(parked.operator).toMatchObject({
    reason: expect.stringContaining('the fence on the source did not hold'),
    remedy: expect.stringContaining('Abort, and start again'),
    choices: expect.arrayContaining(['abort']),
  });
  expect(parked.fence).toMatchObject({ state: 'lifted', detail: expect.stringContaining('did not hold') });
  await scene.handle.abort({ by: 'test' });
  const aborted = await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
  expect(aborted.cutovers[0]).toMatchObject({ outcome: 'undone', reason: 'aborted by test' });
  expect(aborted.fence.state).toBe('lifted');
  expect(await ours(scene.target)).toEqual([]);
  await expectBackOnSource(scene);
});

test('notifications that are off, and must not be switched on: refused before anything is touched', async () => {
  const scene = await openScan({ id: 'scan-off', more: { notifications: 'required' } });
  const parked = await untilStatus(scene.handle, 'parked', (s) => s.phase === 'needs-operator');
  expect(parked.operator).toMatchObject({ step: 'preflight', errorType: 'cutover.Preflight' });
  await scene.handle.abort({ by: 'test' });
  await untilStatus(scene.handle, 'aborted', (s) => s.phase === 'aborted');
  await expectBackOnSource(scene);
});
