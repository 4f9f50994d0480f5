/** Steps, parking, undo, pause and the end of a runbook, on a real Temporal server. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS } from '../spec/contract.ts';
import { fatal, openEngineStage, passing, stepOf, type EngineStage, type Play } from './engine-stage.ts';
import { until } from './stage/stage.ts';
import type { Part } from './workflows/engine.ts';

let stage: EngineStage;
beforeAll(async () => {
  stage = await openEngineStage();
});
afterAll(() => stage?.close());

const ATTACH: Part = { do: 'step', id: 'attach', undo: 'detach' };
const COPY: Part = { do: 'step', id: 'copy', undo: 'uncopy' };
const CHECK: Part = { do: 'step', id: 'check', skip: 'nothing is proven' };

describe('a step that fails', () => {
  test('for good: it parks with the reason, is retried, and the migration is done', async () => {
    const play = await stage.start('parks', [ATTACH, COPY, CHECK], (play) =>
      play.once('copy', () => fatal('disk full', { remedy: 'make room' })),
    );
    const parked = await play.untilPhase('needs-operator');
    expect(parked.operator).toMatchObject({
      step: 'copy',
      reason: 'disk full',
      errorType: 'cutover.Invalid',
      remedy: 'make room',
      choices: ['retry', 'abort'],
    });
    expect(stepOf(parked, 'copy')).toMatchObject({ state: 'failed', note: 'disk full', tries: 1 });
    expect(await play.refused('skip')).toMatch(/copy can't be skipped; it takes retry or abort/);
    expect(await play.refused('retry', { step: 'attach' })).toMatch(/the step that waits is copy, not attach/);
    expect((await play.command('retry', { step: 'copy', reason: 'made room' })).message).toBe('copy is tried again');
    const status = await play.done();
    expect(status.phase).toBe('done');
    expect(status.operator).toBeUndefined();
    expect(status.steps.map(({ state, tries }) => `${state} ${tries}`)).toEqual(['done 1', 'done 2', 'done 1']);
    expect(status.decisions).toMatchObject([{ command: 'retry', by: 'ann', reason: 'made room', step: 'copy' }]);
    expect(play.log.filter((line) => line.startsWith('attach'))).toEqual(['attach begins', 'attach ends']);
    expect(play.log).not.toContain('detach begins');
  });

  test('in a way that passes: it is retried without a word to the operator', async () => {
    const play = await stage.start('passes', [COPY], (play) =>
      play.on('copy', ({ attempt }) => (attempt < 3 ? passing('busy') : 'copied')),
    );
    const status = await play.done();
    expect(stepOf(status, 'copy')).toMatchObject({ state: 'done', tries: 1, note: 'copied' });
    expect(play.log.filter((line) => line === 'copy fails')).toHaveLength(2);
    expect(status.decisions).toEqual([]);
  });

  test('is skipped where the plan allows it, and what is lost is on record', async () => {
    const play = await stage.start('skips', [ATTACH, CHECK, COPY], (play) => play.on('check', () => fatal('2 differ')));
    const parked = await play.untilPhase('needs-operator');
    expect(parked.operator?.choices).toEqual(['retry', 'skip', 'abort']);
    expect((await play.command('skip')).message).toBe('check is skipped');
    const status = await play.done();
    expect(stepOf(status, 'check')).toMatchObject({ state: 'skipped', note: 'skipped: 2 differ' });
    expect(stepOf(status, 'copy').state).toBe('done');
  });

  test('of two operators who decide at the same time one is taken, the other is refused', async () => {
    const play = await stage.start('two-decide', [CHECK], (play) => play.on('check', () => fatal('2 differ')));
    await play.untilPhase('needs-operator');
    const again = play.hold('check');
    const answers = await Promise.allSettled([
      play.command('retry', { by: 'ann' }),
      play.command('retry', { by: 'bob' }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    again.letGo('fine');
    const status = await play.done();
    expect(status.decisions).toHaveLength(1);
    expect(stepOf(status, 'check')).toMatchObject({ tries: 2, note: 'fine' });
  });
});

describe('an abort', () => {
  test('of a parked step runs the undo, ends as failed, and says by whom and why', async () => {
    const play = await stage.start('abort-parked', [ATTACH, COPY], (play) =>
      play.on('copy', () => fatal('disk full')).on('detach', () => ({ leftovers: ['keys on 10.0.0.6'] })),
    );
    await play.untilPhase('needs-operator');
    expect((await play.command('abort', { reason: 'another day' })).message).toMatch(/it aborts/);
    const status = await play.aborted();
    expect(status).toMatchObject({
      phase: 'aborted',
      abortedBy: { by: 'ann', reason: 'another day' },
      leftovers: ['keys on 10.0.0.6'],
      undo: [
        { id: 'attach', state: 'undone' },
        { id: 'copy', state: 'undone' },
      ],
    });
    expect(stepOf(status, 'copy').state).toBe('undone');
    expect(stepOf(status, 'attach').state).toBe('done');
    expect(status.operator).toBeUndefined();
  });

  test.for(['quick', 'copy'] as const)(
    'while an activity (%s) runs waits for its end before the undo begins',
    async (on) => {
      const play = await stage.start(`abort-running-${on}`, [ATTACH, { ...COPY, on }], (play) =>
        play.on('copy', async ({ cancelled }) => {
          const error: unknown = await cancelled.catch((error: unknown) => error);
          play.log.push('copy hears of it');
          // An engine that does not wait begins the undo within these.
          const looks = Date.now() + 1_500;
          while (Date.now() < looks && !play.log.includes('uncopy begins'))
            await new Promise((next) => setTimeout(next, 20));
          throw error;
        }),
      );
      await until('copy runs', async () => play.log.includes('copy begins'));
      await play.command('abort');
      await play.aborted();
      expect(play.log.slice(play.log.indexOf('copy begins'))).toEqual([
        'copy begins',
        'copy hears of it',
        'copy is cancelled',
        'uncopy begins',
        'uncopy ends',
        'detach begins',
        'detach ends',
      ]);
    },
  );

  test('is kept where the last step ends all the same', async () => {
    const play = await stage.start('abort-at-the-end', [ATTACH, COPY]);
    const copy = play.hold('copy');
    await copy.begun;
    await play.command('abort');
    copy.letGo('copied in spite of it');
    const status = await play.aborted();
    expect(stepOf(status, 'copy').state).toBe('done');
    expect(play.log.slice(-4)).toEqual(['uncopy begins', 'uncopy ends', 'detach begins', 'detach ends']);
  });

  test('by a workflow cancel is the same', async () => {
    const play = await stage.start('abort-by-cancel', [ATTACH, COPY], (play) =>
      play.on('copy', ({ cancelled }) => cancelled),
    );
    await until('copy runs', async () => play.log.includes('copy begins'));
    await play.handle.cancel();
    const status = await play.aborted();
    expect(status.abortedBy?.by).toBe('temporal workflow cancel');
    expect(play.log.slice(-4)).toEqual(['uncopy begins', 'uncopy ends', 'detach begins', 'detach ends']);
  });

  test('and the same id is started again, and done', async () => {
    const parts = [ATTACH, COPY];
    const first = await stage.start('abort-and-redo', parts, (play) => play.on('copy', () => fatal('disk full')));
    await first.untilPhase('needs-operator');
    await first.command('abort');
    await first.aborted();
    const second = await stage.start('abort-and-redo', parts);
    expect((await second.done()).steps.map(({ state }) => state)).toEqual(['done', 'done']);
  });
});

describe('the undo', () => {
  test('runs backwards, only of what was begun, and each may run twice', async () => {
    const parts: Part[] = [
      ATTACH,
      { do: 'step', id: 'lift-limit', undo: 'restore-limit' },
      { do: 'step', id: 'open-port', undo: 'close-port' },
      { do: 'disarm', id: 'open-port' },
      COPY,
      { do: 'step', id: 'never', undo: 'never-undone' },
    ];
    const play = await stage.start('undo-order', parts, (play) => {
      play.on('copy', () => fatal('disk full'));
      // Does its work, and dies before it can say so.
      for (const undo of ['detach', 'uncopy']) play.on(undo, ({ attempt }) => (attempt === 1 ? passing('gone') : undo));
    });
    const parked = await play.untilPhase('needs-operator');
    expect(parked.undo.map(({ id, state }) => `${id} ${state}`)).toEqual([
      'attach armed',
      'lift-limit armed',
      'copy armed',
    ]);
    await play.command('abort');
    const status = await play.aborted();
    expect(play.log.filter((line) => line.endsWith('begins')).slice(4)).toEqual([
      'uncopy begins',
      'uncopy begins',
      'restore-limit begins',
      'detach begins',
      'detach begins',
    ]);
    expect(status.undo.every(({ state }) => state === 'undone')).toBe(true);
    expect(status.leftovers).toEqual([]);
  });

  test('that fails for good asks the operator: retry', async () => {
    const play = await stage.start('undo-retry', [ATTACH, COPY], (play) =>
      play.on('copy', () => fatal('disk full')).once('uncopy', () => fatal('no permission')),
    );
    await play.untilPhase('needs-operator');
    await play.command('abort');
    const asked = await play.until('asked', (s) => s.phase === 'needs-operator' && s.abortedBy !== undefined);
    expect(asked.operator).toMatchObject({ reason: 'no permission', choices: ['retry', 'skip'] });
    expect(asked.undo).toMatchObject([
      { id: 'attach', state: 'armed' },
      { id: 'copy', state: 'failed', note: 'no permission' },
    ]);
    // A second abort must neither be taken nor let the undo go on as if it were an answer.
    expect(await play.refused('abort')).toMatch(/being aborted, by ann/);
    expect(await play.refused('pause')).toMatch(/being aborted/);
    await play.command('retry');
    const status = await play.aborted();
    expect(status.undo.map(({ state }) => state)).toEqual(['undone', 'undone']);
    expect(status.leftovers).toEqual([]);
    expect(play.log.filter((line) => line === 'uncopy begins')).toHaveLength(2);
  });

  test('that is skipped is named, and so is a proof that could not be given', async () => {
    const prepare = (play: Play) =>
      play
        .on('copy', () => fatal('disk full'))
        .on('uncopy', () => fatal('no permission'))
        .on('prove-writable', () => fatal('it refuses writes'));
    const play = await stage.start('undo-skip', [ATTACH, COPY], prepare, { afterAbort: 'prove-writable' });
    await play.untilPhase('needs-operator');
    await play.command('abort');
    await play.until('asked of the undo', (s) => s.operator?.reason === 'no permission');
    await play.command('skip');
    await play.until('asked of the proof', (s) => s.operator?.reason === 'it refuses writes');
    expect(play.log).toContain('detach ends');
    await play.command('skip');
    const status = await play.aborted();
    expect(status.leftovers).toEqual([
      'not undone: undo of copy (no permission)',
      'not undone: the proof that the source takes writes (it refuses writes)',
    ]);
    expect(status.undo).toMatchObject([
      { id: 'attach', state: 'undone' },
      { id: 'copy', state: 'failed', note: 'no permission' },
    ]);
  });
});

describe('a pause', () => {
  test('stops at the border of the next step, and goes on from there', async () => {
    const play = await stage.start('pauses', [ATTACH, COPY, CHECK]);
    const attach = play.hold('attach');
    await attach.begun;
    expect((await play.command('pause', { reason: 'lunch' })).message).toBe('it pauses before the next step');
    expect(await play.refused('pause')).toMatch(/paused already, by ann/);
    expect((await play.status()).phase).toBe('running');
    attach.letGo();
    const paused = await play.untilPhase('paused');
    expect(paused).toMatchObject({ step: 'copy', pausedBy: { by: 'ann', reason: 'lunch' } });
    expect(stepOf(paused, 'attach').state).toBe('done');
    expect(play.log).not.toContain('copy begins');
    await play.command('resume');
    const status = await play.done();
    expect(status.pausedBy).toBeUndefined();
    expect(status.decisions.map(({ command }) => command)).toEqual(['pause', 'resume']);
  });

  test('does not keep an abort from coming through', async () => {
    const play = await stage.start('pauses-aborts', [ATTACH, COPY]);
    const attach = play.hold('attach');
    await attach.begun;
    await play.command('pause');
    attach.letGo();
    await play.untilPhase('paused');
    await play.command('abort');
    const status = await play.aborted();
    expect(stepOf(status, 'copy').state).toBe('pending');
    expect(play.log.slice(-2)).toEqual(['detach begins', 'detach ends']);
  });
});

describe('the end', () => {
  test('every command that is under way as it ends gets an answer', async () => {
    const play = await stage.start('commands-at-the-end', [ATTACH, CHECK]);
    const check = play.hold('check');
    await check.begun;
    const commands = Array.from({ length: 24 }, (_, i) => play.command(i % 2 === 0 ? 'pause' : 'resume'));
    // The first one that is through lets the workflow end, with the others on their way.
    await Promise.race(commands.map((command) => command.catch(() => {})));
    check.letGo();
    const answers = await Promise.allSettled(commands);
    const status = await play.done();
    const taken = answers.filter(({ status }) => status === 'fulfilled');
    expect(taken.length).toBeGreaterThan(0);
    for (const answer of answers) {
      if (answer.status === 'fulfilled') expect(answer.value.message).toMatch(/pauses|goes on/);
      else if (!(answer.reason instanceof WorkflowNotFoundError))
        expect(answer.reason).toMatchObject({ cause: { type: 'cutover.Refused' } });
    }
    expect(
      status.decisions.filter(({ command }) => command === 'pause' || command === 'resume').length,
    ).toBeGreaterThanOrEqual(taken.length);
  });

  test('an ended migration takes no command', async () => {
    const play = await stage.start('ended', [CHECK]);
    await play.done();
    for (const command of COMMANDS) await expect(play.command(command)).rejects.toThrow(WorkflowNotFoundError);
  });
});

test('the code of now replays every history of this file', async () => {
  expect(await stage.replayAll()).toBeGreaterThanOrEqual(15);
});
