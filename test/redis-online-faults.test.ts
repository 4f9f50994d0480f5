/**
 * Servers that are restarted, killed or frozen while a migration runs. However it goes: the source takes writes, or the
 * target is the primary; never both, and no acknowledged write is lost.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Wire } from './stage/tripwire.ts';
import {
  approveAtGate,
  expectBackOnSource,
  expectSwitched,
  openScene,
  roleOf,
  takesWrites,
  type Scene,
} from './stage/replicaof.ts';
import { Stage, atGate, isDone, untilStatus } from './stage/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
  await stage.worker();
});
afterAll(() => stage?.close());

/** A source that keeps its data over a restart: all that it acknowledged is in the RDB that TERM makes it write. */
const KEEPS = { save: '3600 1' };
const setsFence: Wire['match'] = (w) => w[0] === 'CONFIG' && w[1] === 'SET' && w[2] === 'MIN-REPLICAS-TO-WRITE';
const promotes: Wire['match'] = (w) => w[0] === 'REPLICAOF' && w[1] === 'NO';

const backAtGate = (scene: Scene) =>
  untilStatus(scene.handle, 'back at its gate', (s) => s.phase === 'waiting' && s.cutovers.length > 0);

async function finish(scene: Scene): Promise<void> {
  await approveAtGate(scene);
  await expectSwitched(scene, await untilStatus(scene.handle, 'done', isDone));
  await scene.close();
}

describe('the source is restarted', () => {
  test('during the first copy: it is copied again', async () => {
    const scene = await openScene(stage, {
      id: 'source-in-copy',
      servers: { source: { config: { ...KEEPS, 'repl-diskless-sync-delay': '3600' } } },
    });
    await untilStatus(scene.handle, 'copying', (s) => s.step === 'first-sync');
    await scene.source.restart();
    const redis = scene.source.connect();
    await redis.config('SET', 'repl-diskless-sync-delay', '0');
    redis.disconnect();
    await finish(scene);
  });

  test('at the gate: which is shut meanwhile, and opens again', async () => {
    const scene = await openScene(stage, { id: 'source-at-gate', servers: { source: { config: KEEPS } } });
    await untilStatus(scene.handle, 'ready', atGate);
    await scene.source.kill();
    const shut = await untilStatus(scene.handle, 'not ready', (s) => s.gate?.ready === false);
    expect(shut.phase).toBe('waiting');
    expect(shut.gate?.notReady).toMatch(/can't be reached|not in sync/);
    await expect(scene.handle.approve({ by: 'test' })).rejects.toThrow(/not ready/);
    await scene.source.restart();
    // Killed without a word, it has lost what it had, and the copy with it: what counts is that the gate opens again.
    await untilStatus(scene.handle, 'ready again', atGate);
    await scene.handle.abort({ by: 'test' });
    await scene.handle.result();
    await scene.close();
  });

  test('with the fence up, which is gone with it: nothing is promoted, and the second try is the one', async () => {
    const scene = await openScene(stage, { id: 'source-in-fence', servers: { source: { config: KEEPS } } });
    const tripped = scene.sourceWire.arm({
      when: 'after',
      match: setsFence,
      action: () => scene.source.restart(),
    });
    await approveAtGate(scene);
    await tripped;
    const back = await backAtGate(scene);
    expect(back.cutovers).toMatchObject([{ outcome: 'undone' }]);
    expect(back.fence.state).toBe('lifted');
    expect(await takesWrites(scene.source)).toBe(true);
    expect(await roleOf(scene.target)).toBe('slave');
    await finish(scene);
  });
});

describe('the target', () => {
  test('is killed in the drain: the fence is lifted, though the target can not be asked', async () => {
    const scene = await openScene(stage, { id: 'target-in-drain' });
    const tripped = scene.sourceWire.arm({ when: 'after', match: setsFence, action: () => scene.target.kill() });
    await approveAtGate(scene);
    await tripped;
    const back = await backAtGate(scene);
    expect(back.cutovers).toMatchObject([{ outcome: 'undone' }]);
    expect(back.decisions.map(({ command }) => command)).toEqual(['approve']);
    expect(await takesWrites(scene.source)).toBe(true);
    await untilStatus(scene.handle, 'told why', (s) => /can't be reached/.test(s.gate?.notReady ?? ''));
    // It comes back empty, and as nobody's replica.
    await scene.target.restart();
    const parked = await untilStatus(scene.handle, 'parked', (s) => s.phase === 'needs-operator');
    expect(parked.operator?.reason).toMatch(/no longer a replica of the source/);
    await scene.handle.abort({ by: 'test' });
    expect((await scene.handle.result()).phase).toBe('aborted');
    await expectBackOnSource(scene);
    await scene.close();
  });

  test('hangs in the drain: its budget ends, the fence is lifted, the reason is at the gate', async () => {
    const scene = await openScene(stage, {
      id: 'target-hangs',
      more: { cutover: { budgets: { fence: '1s', drain: '1s', complete: '5s', canary: '5s' } } },
    });
    const tripped = scene.sourceWire.arm({
      when: 'after',
      match: setsFence,
      action: () => scene.target.signal('SIGSTOP'),
    });
    await approveAtGate(scene);
    await tripped;
    const back = await backAtGate(scene);
    expect(back.cutovers).toMatchObject([{ outcome: 'undone' }]);
    expect(back.cutovers[0]!.reason).toMatch(/not drained within 1000 ms/);
    expect(back.warnings.join()).toMatch(/the source takes writes: not drained/);
    expect(await takesWrites(scene.source)).toBe(true);
    scene.target.signal('SIGCONT');
    await finish(scene);
  });

  test.for([
    { name: 'promoted, its answer lost', when: 'after', promoted: true },
    { name: 'not promoted, the call lost', when: 'before', promoted: false },
  ] as const)('is $name, and can not be asked: in doubt, until it can be', async ({ when, promoted }) => {
    const scene = await openScene(stage, { id: `ambiguous-${when}` });
    const tripped = scene.targetWire.arm({
      when,
      match: promotes,
      action: () => scene.target.signal('SIGSTOP'),
      verdict: 'cut',
    });
    await approveAtGate(scene);
    await tripped;
    const doubt = await untilStatus(scene.handle, 'in doubt', (s) => s.phase === 'in-doubt');
    expect(doubt).toMatchObject({
      fence: { state: 'in-doubt' },
      cutovers: [{ outcome: 'in-doubt' }],
      operator: { errorType: 'cutover.InDoubt', choices: ['retry', 'abort'] },
    });
    expect(await takesWrites(scene.source)).toBe(false);
    await scene.handle.retry({ by: 'test' });
    await untilStatus(scene.handle, 'asked in vain', (s) => s.phase === 'in-doubt');
    expect(await takesWrites(scene.source)).toBe(false);
    scene.target.signal('SIGCONT');
    // From here on by itself.
    if (promoted) {
      const status = await untilStatus(scene.handle, 'done', isDone);
      expect(status.decisions.map(({ command }) => command)).toEqual(['approve', 'retry']);
      await expectSwitched(scene, status);
      await scene.close();
    } else {
      const back = await backAtGate(scene);
      expect(back.cutovers).toMatchObject([{ outcome: 'undone' }]);
      expect(await takesWrites(scene.source)).toBe(true);
      await finish(scene);
    }
  });
});
