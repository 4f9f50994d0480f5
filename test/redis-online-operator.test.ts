/** What stops a migration until an operator has mended it, and what is refused before it can do harm. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startMigration, type MigrationStatus } from '../client/index.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import {
  anotherReplica,
  approveAtGate,
  expectBackOnSource,
  expectSwitched,
  openScene,
  takesWrites,
  type Scene,
} from './stage/replicaof.ts';
import { endFirstAttempts } from './stage/second-attempt.ts';
import { Stage, atGate, isDone, until, untilStatus } from './stage/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
  await stage.worker();
});
afterAll(() => stage?.close());
beforeEach(() => endFirstAttempts(stage.client));

const by = { by: 'test' };
const parkedAt = (scene: Scene, step: string) =>
  untilStatus(scene.handle, `parked at ${step}`, (s) => s.phase === 'needs-operator' && s.operator?.step === step);

async function asking<T>(
  server: RedisServer,
  ask: (redis: ReturnType<RedisServer['connect']>) => Promise<T>,
): Promise<T> {
  const redis = server.connect();
  try {
    return await ask(redis);
  } finally {
    redis.disconnect();
  }
}

async function finish(scene: Scene): Promise<MigrationStatus> {
  await approveAtGate(scene);
  const status = await untilStatus(scene.handle, 'done', isDone);
  await expectSwitched(scene, status);
  await scene.close();
  return status;
}

test('a hook fails after the promotion: no way back is offered, the fence stays, a retry goes on from that hook', async () => {
  const mended = join(stage.dir, 'mended');
  const ran = join(stage.dir, 'ran');
  const scene = await openScene(stage, {
    id: 'hook-fails',
    hooks: [
      { type: 'command', name: 'first', run: ['/bin/sh', '-c', `echo x >> ${ran}`] },
      { type: 'command', name: 'second', run: ['/bin/sh', '-c', `echo no such file; test -e ${mended}`] },
    ],
  });
  await approveAtGate(scene);
  const parked = await parkedAt(scene, 'switch');
  expect(parked.operator).toMatchObject({ errorType: 'cutover.Hook', choices: ['retry', 'skip'] });
  expect(parked.operator!.reason).toMatch(/exit code 1: no such file/);
  expect(parked).toMatchObject({ fence: { state: 'kept' }, cutovers: [{ outcome: 'switched' }] });
  expect(await takesWrites(scene.source)).toBe(false);
  await expect(scene.handle.abort(by)).rejects.toThrow(/no way back by an abort/);
  expect(existsSync(ran)).toBe(true);
  writeFileSync(mended, '');
  await scene.handle.retry(by);
  const status = await untilStatus(scene.handle, 'done', isDone);
  // The first hook had been carried out, and is not repeated.
  expect(readFileSync(ran, 'utf8')).toBe('x\n');
  expect(status.cutovers.at(-1)!.writePauseMs).toBeGreaterThan(0);
  await expectSwitched(scene, status);
  await scene.close();
});

/** Runs as the target is told whose replica it is: after the preflight, before the copy. */
function atAttach(scene: Scene, action: () => Promise<unknown>): Promise<void> {
  return scene.targetWire.arm({
    when: 'before',
    match: (w) => w[0] === 'REPLICAOF' && w[1] !== 'NO',
    action: async () => void (await action()),
  });
}

test('the compare finds what differs: it parks with counts and names, and is done once that is mended', async () => {
  const scene = await openScene(stage, { id: 'compare-differs' });
  await atAttach(scene, () => scene.handle.pause(by));
  await untilStatus(scene.handle, 'paused before the copy is looked at', (s) => s.phase === 'paused');
  await asking(scene.source, (redis) => redis.mset('planted:same', 'a', 'planted:missing', 'b', 'planted:value', 'c'));
  const onTarget = (change: (redis: ReturnType<RedisServer['connect']>) => Promise<unknown>) =>
    asking(scene.target, async (redis) => {
      await redis.config('SET', 'replica-read-only', 'no');
      await change(redis);
      await redis.config('SET', 'replica-read-only', 'yes');
    });
  await asking(scene.target, (redis) =>
    until('the target has it', async () => (await redis.get('planted:value').catch(() => null)) === 'c'),
  );
  await onTarget((redis) =>
    redis.multi().set('planted:extra', 'x').del('planted:missing').set('planted:value', 'o').exec(),
  );
  await scene.handle.resume(by);

  const parked = await parkedAt(scene, 'compare');
  expect(parked.operator).toMatchObject({ errorType: 'cutover.Differs', choices: ['retry', 'skip', 'abort'] });
  expect(parked.operator!.reason).toMatch(
    /of \d+ keys 1 are missing, 1 extra, 0 of another type, 0 of another TTL, 1 of another value/,
  );
  const { details } = await scene.handle.report();
  expect(details['compare']).toMatchObject({ equal: false, missing: 1, extra: 1, valueDiffers: 1 });
  const told = JSON.stringify(details['compare']);
  for (const key of ['planted:missing', 'planted:extra', 'planted:value']) expect(told).toContain(key);
  expect(told).not.toContain('planted:same');

  await onTarget((redis) =>
    redis.multi().del('planted:extra').set('planted:missing', 'b').set('planted:value', 'c').exec(),
  );
  await scene.handle.retry(by);
  const status = await finish(scene);
  expect(status.report['compare']).toMatchObject({ equal: true, missing: 0, extra: 0, valueDiffers: 0 });
});

describe('the first copy is cut off before its end, again and again', () => {
  const LIMIT = 'client-output-buffer-limit';
  const limitOf = (server: RedisServer) => asking(server, async (redis) => (await redis.config('GET', LIMIT))[1]);

  /** A copy that takes seconds, a buffer that is full in a fraction of one. */
  async function loops(scene: Scene): Promise<() => Promise<void>> {
    const redis = scene.source.connect();
    await redis.config('SET', 'rdb-key-save-delay', '500');
    await redis.config('SET', 'repl-backlog-size', '65536');
    await redis.config('SET', LIMIT, 'slave 131072 131072 0');
    let over = false;
    const writing = (async () => {
      const value = 'x'.repeat(20_000);
      for (let i = 0; !over; i++) {
        await Promise.all(Array.from({ length: 5 }, (_, n) => redis.set(`heavy:${(5 * i + n) % 20}`, value)));
        await new Promise((next) => setTimeout(next, 10));
      }
    })();
    const stop = async () => {
      over = true;
      await writing;
      await redis.config('SET', 'rdb-key-save-delay', '0');
      redis.disconnect();
    };
    return stop;
  }

  test('it is found out, and the remedy that is shown mends it', async () => {
    const scene = await openScene(stage, { id: 'resync-loop' });
    let stop = async () => {};
    await atAttach(scene, async () => {
      stop = await loops(scene);
    });
    const parked = await parkedAt(scene, 'first-sync');
    expect(parked.operator!.reason).toMatch(/the full copy was begun \d+ times since the attach/);
    const remedy = /redis-cli CONFIG SET (\S+) "([^"]+)"/.exec(parked.operator!.remedy!)!;
    expect(remedy[1]).toBe(LIMIT);
    expect(await limitOf(scene.source)).toContain('slave 131072 131072 0');
    await asking(scene.source, (redis) => redis.config('SET', remedy[1]!, remedy[2]!));
    await scene.handle.retry(by);
    await untilStatus(scene.handle, 'ready', atGate);
    await stop();
    await finish(scene);
  });

  test('with fixFullResyncLoop it heals by itself, and the old limit is put back', async () => {
    const scene = await openScene(stage, { id: 'resync-heals', more: { fixFullResyncLoop: true } });
    let stop = async () => {};
    await atAttach(scene, async () => {
      stop = await loops(scene);
    });
    const lifted = await untilStatus(scene.handle, 'lifted', (s) => s.undo.some(({ id }) => id === 'buffer-limit'));
    expect(lifted.phase).toBe('running');
    const ready = await untilStatus(scene.handle, 'ready', atGate);
    expect(ready.warnings.join()).toMatch(/client-output-buffer-limit for replicas lifted/);
    expect(ready.decisions).toEqual([]);
    expect(ready.undo.map(({ id }) => id)).toEqual(['attach']);
    expect(await limitOf(scene.source)).toContain('slave 131072 131072 0');
    await stop();
    await finish(scene);
  });
});

test('the full copy of another replica of the source is not held against a target that follows', async () => {
  const scene = await openScene(stage, {
    id: 'another-replica',
    more: { inSync: { interval: '100ms', readings: 100 } },
  });
  await anotherReplica(stage, scene);
  // It was in time: the target has not been in sync for long enough.
  expect(await scene.handle.status()).toMatchObject({ phase: 'running', step: 'follow' });
  expect(await asking(scene.source, (redis) => redis.info('stats'))).toMatch(/sync_full:2/);
  expect((await finish(scene)).decisions.map(({ command }) => command)).toEqual(['approve']);
});

test('a wrong password parks in the preflight, and a retry takes the right one', async () => {
  const file = join(stage.dir, 'password');
  writeFileSync(file, 'not-the-password\n');
  const scene = await openScene(stage, {
    id: 'wrong-password',
    servers: { source: { config: { user: ['default on nopass ~* &* +@all', 'mover on >the-password ~* &* +@all'] } } },
    source: { username: 'mover', password: { file } },
  });
  const parked = await parkedAt(scene, 'preflight');
  expect(parked.operator!.reason).toMatch(/WRONGPASS|invalid username-password|refused/);
  expect(JSON.stringify(await scene.handle.status())).not.toContain('not-the-password');
  writeFileSync(file, 'the-password\n');
  await scene.handle.retry(by);
  await approveAtGate(scene);
  const status = await untilStatus(scene.handle, 'done', isDone);
  // The target was given it to replicate with, and has to forget it.
  expect(await asking(scene.target, (redis) => redis.config('GET', 'masterauth'))).toEqual(['masterauth', '']);
  await expectSwitched(scene, status);
  await scene.close();
});

describe('a target that is not empty', () => {
  test('is refused at the last moment too: keys that come after the preflight are not deleted', async () => {
    const scene = await openScene(stage, { id: 'filled-late' });
    await scene.targetWire.arm({
      when: 'before',
      match: (w) => w[0] === 'CLIENT' && w[1] === 'SETNAME' && w[2] === `CUTOVER:${scene.id.toUpperCase()}`,
      action: () => asking(scene.target, async (redis) => void (await redis.set('precious', 'mine'))),
    });
    const parked = await parkedAt(scene, 'attach');
    expect(parked.operator).toMatchObject({ errorType: 'cutover.Differs' });
    expect(parked.operator!.reason).toMatch(/the target holds keys \(db0: keys=1\)/);
    expect(parked.operator!.remedy).toMatch(/allowNonEmptyTarget/);
    await scene.handle.abort(by);
    const status = await scene.handle.result();
    expect(status.phase).toBe('aborted');
    expect(await asking(scene.target, (redis) => redis.get('precious'))).toBe('mine');
    await expectBackOnSource(scene);
    await scene.close();
  });
});

test('a second migration of the same source: its cutover is refused, and the first one’s fence is not lifted by it', async () => {
  const first = await openScene(stage, { id: 'first-of-two' });
  const other = await stage.redis();
  const second = (id: string) => ({
    ...first.migration,
    id,
    target: { host: '127.0.0.1', port: other.port },
    source: { host: '127.0.0.1', port: first.source.port },
    switch: [],
  });
  const two = await startMigration(stage.client, { migration: second('second-of-two') as never });
  await untilStatus(two, 'the second is ready', atGate);
  await approveAtGate(first);
  await untilStatus(first.handle, 'done', isDone);

  await untilStatus(two, 'the second is ready again', atGate);
  await two.approve(by);
  const back = await untilStatus(two, 'refused', (s) => s.phase === 'waiting' && s.cutovers.length > 0);
  expect(back.cutovers).toMatchObject([{ outcome: 'undone' }]);
  expect(back.cutovers[0]!.reason).toMatch(/fence/);
  expect(await takesWrites(first.source)).toBe(false);

  await two.abort(by);
  // It can't prove that the source takes writes, because it must not.
  const asked = await untilStatus(two, 'asked', (s) => s.phase === 'needs-operator');
  expect(asked.operator!.reason).toMatch(/the source does not take writes/);
  await two.skip(by);
  expect((await two.result()).leftovers.join()).toMatch(/the proof that the source takes writes/);
  expect(await takesWrites(first.source)).toBe(false);

  const three = await startMigration(stage.client, { migration: second('third') as never });
  const parked = await untilStatus(three, 'parked', (s) => s.phase === 'needs-operator');
  expect(parked.operator).toMatchObject({ step: 'preflight', errorType: 'cutover.Preflight' });
  expect(parked.operator!.reason).toMatch(/first-of-two|a fence is up/);
  await three.abort(by);
  await untilStatus(three, 'asked', (s) => s.operator?.reason.includes('does not take writes') === true);
  await three.skip(by);
  await three.result();
  await expectSwitched(first, await first.handle.result());
  await first.close();
});
