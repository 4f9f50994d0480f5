/**
 * A worker that stands still (SIGSTOP, a suspended machine) for longer than its heartbeats may stay away, while another one
 * takes over, and that then goes on as if nothing had been. It must neither fence nor promote any more.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import {
  approveAtGate,
  expectBackOnSource,
  expectSwitched,
  openScene,
  roleOf,
  takesWrites,
  type Scene,
} from './stage/replicaof.ts';
import { Stage, isDone, until, untilStatus } from './stage/stage.ts';
import type { Wire } from './stage/tripwire.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let worker: WorkerProcess;
beforeAll(async () => {
  stage = await Stage.open();
  worker = await stage.worker();
});
afterAll(() => stage?.close());

const setsFence: Wire['match'] = (w) => w[0] === 'CONFIG' && w[1] === 'SET' && w[2] === 'MIN-REPLICAS-TO-WRITE';
const promotes: Wire['match'] = (w) => w[0] === 'REPLICAOF' && w[1] === 'NO';

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

/** How often the server was told REPLICAOF, by its own count. */
const replicaofCalls = (server: RedisServer) =>
  asking(server, async (redis) =>
    Number(/cmdstat_replicaof:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0),
  );

/** Holds once no attempt of the critical section is connected any more: the one that was frozen has ended as well. */
async function untilNoAttempt(scene: Scene): Promise<void> {
  const names = [`cutover:${scene.id}:fence`, `cutover:${scene.id}:promote`];
  const connected = async (server: RedisServer) => {
    const list = await asking(server, async (redis) => String(await redis.client('LIST')));
    return names.filter((name) => list.includes(`name=${name} `));
  };
  await until('every attempt has ended', async () => {
    const left = [...(await connected(scene.source)), ...(await connected(scene.target))];
    return left.length === 0;
  });
}

/** Fails where both take writes from an application, at any look while `during` goes on. */
async function neverTwoPrimaries<T>(scene: Scene, during: Promise<T>): Promise<T> {
  let over = false;
  const watching = (async () => {
    while (!over) {
      // The target first: once it is a primary, the source must have been shut before.
      const promoted = (await roleOf(scene.target)) === 'master';
      expect(promoted && (await takesWrites(scene.source)), 'two primaries take writes').toBe(false);
      await new Promise((next) => setTimeout(next, 100));
    }
  })();
  try {
    const [value] = await Promise.all([
      during.finally(() => {
        over = true;
      }),
      watching,
    ]);
    return value;
  } finally {
    over = true;
  }
}

/** Freezes the worker at that command, lets another one take over, and wakes the first one once that has ended. */
async function freeze(scene: Scene, on: 'sourceWire' | 'targetWire', wire: Pick<Wire, 'match' | 'when'>) {
  const frozen = worker;
  let release = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  let isFrozen = () => {};
  const stopped = new Promise<void>((resolve) => (isFrozen = resolve));
  void scene[on].arm({
    ...wire,
    action: () => {
      frozen.signal('SIGSTOP');
      isFrozen();
      // What it had sent stays on its way until it wakes.
      return released;
    },
  });
  await approveAtGate(scene);
  await stopped;
  return {
    wake: () => {
      release();
      frozen.signal('SIGCONT');
    },
    takeOver: async () => {
      worker = await stage.worker();
    },
    /** One worker is left, so that the next test knows which one to freeze. */
    end: () => frozen.kill(),
  };
}

test.for([
  { name: 'with its fence on the way', on: 'sourceWire', match: setsFence, when: 'before' },
  { name: 'with its fence up', on: 'sourceWire', match: setsFence, when: 'after' },
  { name: 'with its promotion on the way', on: 'targetWire', match: promotes, when: 'before' },
  { name: 'with the target promoted', on: 'targetWire', match: promotes, when: 'after' },
] as const)('frozen $name; another worker brings it to its end', async ({ name, on, match, when }) => {
  const scene = await openScene(stage, { id: `frozen-${name.replaceAll(/[^a-z]+/g, '-').slice(0, 30)}` });
  const { wake, takeOver, end } = await freeze(scene, on, { match, when });
  await takeOver();
  const status = await neverTwoPrimaries(scene, untilStatus(scene.handle, 'done', isDone));
  expect(status.cutovers).toHaveLength(1);
  const calls = await replicaofCalls(scene.target);
  expect(calls).toBe(2);
  wake();
  await neverTwoPrimaries(scene, untilNoAttempt(scene));
  expect(await replicaofCalls(scene.target)).toBe(calls);
  await expectSwitched(scene, status);
  await end();
  await scene.close();
});

test('frozen with its promotion on the way, and given up meanwhile: it does not promote when it wakes', async () => {
  const scene = await openScene(stage, { id: 'frozen-given-up' });
  const { wake, takeOver, end } = await freeze(scene, 'targetWire', { match: promotes, when: 'before' });
  // The next attempt finds the target off its source, and fails.
  await asking(scene.target, (redis) => redis.replicaof('127.0.0.1', 1));
  await takeOver();
  const back = await neverTwoPrimaries(
    scene,
    untilStatus(scene.handle, 'back at its gate', (s) => s.phase === 'waiting' && s.cutovers.length > 0),
  );
  expect(back.cutovers).toMatchObject([{ outcome: 'undone' }]);
  expect(await takesWrites(scene.source)).toBe(true);
  const calls = await replicaofCalls(scene.target);
  wake();
  await neverTwoPrimaries(scene, untilNoAttempt(scene));
  expect(await replicaofCalls(scene.target)).toBe(calls);
  expect(await roleOf(scene.target)).toBe('slave');
  expect(await takesWrites(scene.source)).toBe(true);
  await scene.handle.abort({ by: 'test' });
  expect((await scene.handle.result()).phase).toBe('aborted');
  await expectBackOnSource(scene);
  await end();
  await scene.close();
});
