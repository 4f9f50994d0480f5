/**
 * Aborted at every step before the promotion, and then started again under the same name and brought to its end: the
 * source is as it was, the target stands alone, what is left on it is named or removed, and no acknowledged write is lost.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startMigration, type MigrationStatus } from '../client/index.ts';
import { reportText } from '../client/cli/report-view.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { approveAtGate, expectSwitched, openScene, roleOf, takesWrites, type Scene } from './stage/replicaof.ts';
import { Stage, atGate, isDone, until, untilStatus } from './stage/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
  await stage.worker();
});
afterAll(() => stage?.close());

interface AbortAt {
  step: string;
  /** Laid over the migration for the first run. */
  more?: Record<string, unknown>;
  source?: Record<string, string>;
  prepare?: (servers: { source: RedisServer; target: RedisServer }) => Promise<void>;
  /** Brings the migration to the point, aborts it there. */
  abort(scene: Scene): Promise<void>;
  /** Before the second run: what kept the first one at the point goes away. */
  mend?: (scene: Scene) => Promise<unknown>;
  /** Where nothing was attached there is nothing to undo. */
  attached?: false;
  fenced?: true;
}

const abortNow = async (scene: Scene) => {
  await scene.handle.abort({ by: 'test', reason: 'another day' });
};
const abortIn = (step: string) => async (scene: Scene) => {
  await untilStatus(scene.handle, `in ${step}`, (s) => s.step === step && s.phase === 'running');
  await abortNow(scene);
};
const withRedis = async <T>(server: RedisServer, use: (redis: ReturnType<RedisServer['connect']>) => Promise<T>) => {
  const redis = server.connect();
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
};

const POINTS: AbortAt[] = [
  {
    step: 'preflight',
    prepare: ({ target }) => withRedis(target, async (redis) => void (await redis.set('precious', 'mine'))),
    abort: async (scene) => {
      const parked = await untilStatus(scene.handle, 'parked', (s) => s.phase === 'needs-operator');
      expect(parked.operator).toMatchObject({ step: 'preflight', errorType: 'cutover.Preflight' });
      await abortNow(scene);
    },
    attached: false,
  },
  {
    step: 'attach',
    abort: async (scene) => {
      // At the very moment at which the target is told whose replica it is.
      await scene.targetWire.arm({
        when: 'before',
        match: (w) => w[0] === 'REPLICAOF' && w[1] !== 'NO',
        action: () => abortNow(scene),
      });
    },
  },
  {
    step: 'first-sync',
    // The source makes every replica wait for an hour.
    source: { 'repl-diskless-sync-delay': '3600' },
    abort: abortIn('first-sync'),
    mend: (scene) => withRedis(scene.source, (redis) => redis.config('SET', 'repl-diskless-sync-delay', '0')),
  },
  { step: 'follow', more: { inSync: { interval: '1s', readings: 1000 } }, abort: abortIn('follow') },
  { step: 'compare', more: { compare: { maxKeysPerSecond: 100 } }, abort: abortIn('compare') },
  {
    step: 'approve-cutover',
    abort: async (scene) => {
      await untilStatus(scene.handle, 'at the gate', atGate);
      await abortNow(scene);
    },
  },
  {
    step: 'cutover',
    abort: async (scene) => {
      await untilStatus(scene.handle, 'at the gate', atGate);
      // The look ahead, right before the fence.
      const tripped = scene.sourceWire.arm({
        when: 'before',
        match: (w) => w[0] === 'CONFIG' && w[1] === 'GET' && w[2]!.startsWith('MIN-'),
        action: () => abortNow(scene),
      });
      await scene.handle.approve({ by: 'test' });
      await tripped;
    },
  },
];

/** Everything that can be set on the source; what an abort must not have changed. */
const settings = (server: RedisServer) =>
  withRedis(server, async (redis) => {
    const flat = (await redis.config('GET', '*')) as string[] | Record<string, string>;
    const entries = Array.isArray(flat)
      ? Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]])
      : Object.entries(flat);
    return Object.fromEntries(entries) as Record<string, string>;
  });

async function aborted(scene: Scene): Promise<MigrationStatus> {
  const status = await scene.handle.result();
  expect(status).toMatchObject({ phase: 'aborted', abortedBy: { by: 'test', reason: 'another day' } });
  return status;
}

async function expectSourceUntouched(scene: Scene, before: Record<string, string>): Promise<void> {
  expect(await takesWrites(scene.source)).toBe(true);
  expect(await roleOf(scene.source)).toBe('master');
  expect(await settings(scene.source)).toEqual(before);
  expect(await withRedis(scene.source, (redis) => redis.keys('cutover:*'))).toEqual([]);
  const { acknowledged } = scene.app.stats().endpoints.at(-1)!;
  await until('the application writes on', async () => scene.app.stats().endpoints.at(-1)!.acknowledged > acknowledged);
}

async function expectTargetAlone(scene: Scene): Promise<void> {
  expect(await roleOf(scene.target)).toBe('master');
  const auth = (await settings(scene.target))['masterauth'];
  expect(auth).toBe('');
}

const sizeOf = (server: RedisServer) =>
  withRedis(server, async (redis) => /db\d+:keys=(\d+)/.exec(await redis.info('keyspace'))?.[1] ?? '0');

async function redo(scene: Scene): Promise<void> {
  const { migration, close: _, ...rest } = scene;
  const { inSync: _inSync, compare: _compare, ...plain } = migration;
  const handle = await startMigration(stage.client, {
    migration: { ...plain, inSync: { interval: '100ms', readings: 2 }, allowNonEmptyTarget: true } as never,
  });
  const second = { ...rest, migration, handle, close: scene.close };
  await approveAtGate(second);
  await expectSwitched(second, await untilStatus(handle, 'done', isDone));
}

describe('aborted in', () => {
  test.for(POINTS)('$step', async ({ step, more, source, prepare, abort, mend, attached = true }) => {
    const removePartialData = ['follow', 'cutover'].includes(step);
    let before: Record<string, string> = {};
    const scene = await openScene(stage, {
      id: `abort-${step}`,
      more: { abort: { removePartialData }, ...more },
      ...(source ? { servers: { source: { config: source } } } : {}),
      prepare: async (servers) => {
        await prepare?.(servers);
        before = await settings(servers.source);
      },
    });
    await abort(scene);
    const status = await aborted(scene);
    await expectSourceUntouched(scene, before);
    await expectTargetAlone(scene);

    const left = await sizeOf(scene.target);
    const where = `127.0.0.1:${(scene.migration['target'] as { port: number }).port}`;
    if (!attached) {
      expect(status.undo).toEqual([]);
      expect(status.leftovers).toEqual([]);
      expect(await withRedis(scene.target, (redis) => redis.get('precious'))).toBe('mine');
    } else {
      expect(status.undo).toMatchObject([{ id: 'attach', state: 'undone' }]);
      if (removePartialData) expect(left).toBe('0');
      // What is there is named, and nothing is named that is not there.
      if (left === '0') expect(status.leftovers).toEqual([]);
      else {
        expect(status.leftovers.join()).toContain(`data on ${where}: db0 keys=`);
        // Since it was counted for the report, keys have expired, and none has come.
        expect(Number(/db0 keys=(\d+)/.exec(status.leftovers.join())![1])).toBeGreaterThanOrEqual(Number(left));
      }
    }
    expect(status.steps.filter(({ state }) => state === 'running' || state === 'failed')).toEqual([]);
    expect(status.cutovers.every(({ outcome }) => outcome === 'undone')).toBe(true);

    const report = await scene.handle.report();
    expect(report.outcome).toBe('aborted');
    const text = reportText(report);
    expect(text).toContain('another day');
    for (const leftover of status.leftovers) expect(text.replaceAll(/\s+/g, ' ')).toContain(leftover.slice(0, 40));

    await mend?.(scene);
    await redo(scene);
    await scene.close();
  });

  // The call is on its way to a target that hangs: it may have arrived, or not.
  test.for([
    { name: 'lost on its way', verdict: 'cut', ends: 'aborted' },
    { name: 'carried out once the target goes on', verdict: 'pass', ends: 'done' },
  ] as const)('doubt, the promotion $name: the fence stays until that is known', async ({ verdict, ends }) => {
    let before: Record<string, string> = {};
    const scene = await openScene(stage, {
      id: `abort-in-doubt-${verdict}`,
      prepare: async ({ source }) => {
        before = await settings(source);
      },
    });
    const tripped = scene.targetWire.arm({
      when: 'before',
      match: (w) => w[0] === 'REPLICAOF' && w[1] === 'NO',
      action: () => scene.target.signal('SIGSTOP'),
      verdict,
    });
    await approveAtGate(scene);
    await tripped;
    const doubt = await untilStatus(scene.handle, 'in doubt', (s) => s.phase === 'in-doubt');
    expect(doubt.operator?.choices).toEqual(['retry', 'abort']);
    expect(await takesWrites(scene.source)).toBe(false);
    await abortNow(scene);
    // Nobody knows yet whether the target was promoted: lifting the fence now could lose writes.
    expect(await takesWrites(scene.source)).toBe(false);
    expect((await scene.handle.status()).fence.state).not.toBe('lifted');
    scene.target.signal('SIGCONT');
    if (ends === 'aborted') {
      const status = await aborted(scene);
      expect(status).toMatchObject({ fence: { state: 'lifted' }, cutovers: [{ outcome: 'undone' }] });
      await expectSourceUntouched(scene, before);
      await expectTargetAlone(scene);
      await redo(scene);
    } else {
      const status = await untilStatus(scene.handle, 'done', isDone);
      expect(status.warnings.join()).toMatch(/an abort came too late: the target had been promoted/);
      await expectSwitched(scene, status);
    }
    await scene.close();
  });
});
