/**
 * The critical section on a real Temporal server: what lifts the fence, what keeps it, and that nobody is told that it is
 * lifted while it is not known whether the target was promoted.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Outcome } from '../workflows/critical-section.ts';
import { fatal, openEngineStage, stepOf, type EngineStage, type Play } from './engine-stage.ts';
import { until } from './stage/stage.ts';
import type { Part } from './workflows/engine.ts';

let stage: EngineStage;
beforeAll(async () => {
  stage = await openEngineStage();
});
afterAll(() => stage?.close());

const PARTS: Part[] = [
  { do: 'step', id: 'attach', undo: 'detach' },
  { do: 'cutover', gate: 'go', id: 'cut' },
  { do: 'disarm', id: 'attach' },
  { do: 'step', id: 'switch', skip: 'the hooks are left to you' },
  { do: 'step', id: 'last' },
];
const SWITCHED: Outcome = { outcome: 'switched', evidence: 'ROLE says master' };
const NOT_SWITCHED: Outcome = { outcome: 'not-switched', evidence: 'ROLE says slave' };
const UNKNOWN: Outcome = { outcome: 'unknown', evidence: 'the target is silent' };

async function approved(id: string, prepare: (play: Play) => void, parts = PARTS): Promise<Play> {
  const play = await stage.start(id, parts, (play) => {
    play.read('go', { ready: true });
    prepare(play);
  });
  await approveAgain(play);
  return play;
}

async function approveAgain(play: Play): Promise<void> {
  await play.until('ready', (status) => status.phase === 'waiting' && status.gate?.ready === true);
  await play.command('approve');
}

const atGateAgain = (play: Play) =>
  play.until('back at its gate', (s) => s.phase === 'waiting' && s.gate?.ready === true && s.cutovers.length > 0);
/** Holds until it is cancelled, as the product's patient looks do. */
const silent: Parameters<Play['on']>[1] = ({ cancelled }) => cancelled;
const from = (play: Play, first: string) => play.log.slice(play.log.indexOf(`${first} begins`));
const count = (play: Play, line: string) => play.log.filter((one) => one === line).length;

test('fence, commit, switch: the fence is kept, the pause is measured until the switch, no way back', async () => {
  const play = await approved('straight', () => {});
  const status = await play.done();
  expect(from(play, 'fence')).toEqual([
    'fence begins',
    'fence ends',
    'commit begins',
    'commit ends',
    'switch begins',
    'switch ends',
    'last begins',
    'last ends',
  ]);
  expect(status.fence.state).toBe('kept');
  expect(status.undo).toEqual([]);
  const [attempt] = status.cutovers;
  expect(attempt).toMatchObject({ number: 1, outcome: 'switched', phases: [{ name: 'fence' }, { name: 'commit' }] });
  const switchedAt = Date.parse(stepOf(status, 'switch').endedAt!);
  expect(attempt!.writePauseMs).toBeGreaterThan(0);
  expect(attempt!.fencedAt! + attempt!.writePauseMs!).toBeGreaterThanOrEqual(switchedAt);
});

test('after the switch nothing aborts: not a command, not a workflow cancel', async () => {
  const play = await approved('no-way-back', (play) => play.on('switch', () => fatal('503 of the webhook')));
  const parked = await play.untilPhase('needs-operator');
  expect(parked.operator).toMatchObject({ step: 'switch', choices: ['retry', 'skip'] });
  expect(await play.refused('abort')).toMatch(/the target is the primary: there is no way back/);
  await play.handle.cancel();
  const warned = await play.until('warned', (s) => s.warnings.some((w) => w.includes('cancel was not obeyed')));
  expect(warned.phase).toBe('needs-operator');
  play.on('switch', () => 'called');
  await play.command('retry');
  const status = await play.done();
  expect(status.abortedBy).toBeUndefined();
  expect(play.log).not.toContain('detach begins');
  expect(play.log).not.toContain('lift-fence begins');
});

describe('before the commit', () => {
  test('a failure lifts the fence at once, the migration is back at its gate with the reason, and may go again', async () => {
    const play = await approved('fence-fails', (play) => play.once('fence', () => fatal('not drained within 5 s')));
    const back = await atGateAgain(play);
    expect(from(play, 'fence')).toEqual(['fence begins', 'fence fails', 'lift-fence begins', 'lift-fence ends']);
    expect(back).toMatchObject({
      fence: { state: 'lifted', detail: 'lifted after: not drained within 5 s' },
      cutovers: [{ number: 1, outcome: 'undone', reason: 'not drained within 5 s' }],
      undo: [{ id: 'attach', state: 'armed' }],
    });
    expect(stepOf(back, 'cut')).toMatchObject({ state: 'undone', note: 'not drained within 5 s' });
    expect(back.warnings.join()).toMatch(/cutover 1 was undone, the source takes writes/);
    await play.command('approve');
    const status = await play.done();
    expect(status.cutovers.map(({ number, outcome }) => `${number} ${outcome}`)).toEqual(['1 undone', '2 switched']);
    expect(stepOf(status, 'cut')).toMatchObject({ state: 'done', tries: 2 });
  });

  test('the end of the budget does the same', async () => {
    const parts = PARTS.map((part) => (part.do === 'cutover' ? { ...part, budgetMs: 1_000 } : part));
    const play = await approved('budget-ends', (play) => play.once('fence', silent), parts);
    const back = await atGateAgain(play);
    expect(back.cutovers).toMatchObject([{ outcome: 'undone' }]);
    expect(back.cutovers[0]!.reason).toMatch(/call: no end within its time/);
    expect(count(play, 'lift-fence ends')).toBe(1);
    expect(play.log).not.toContain('commit begins');
  });

  test('an abort ends it, lifts the fence, and undoes the rest', async () => {
    const play = await approved('abort-in-fence', (play) => play.on('fence', silent));
    await until('the fence goes up', async () => play.log.includes('fence begins'));
    expect((await play.status()).phase).toBe('critical');
    await play.command('abort');
    const status = await play.aborted();
    expect(from(play, 'fence')).toEqual([
      'fence begins',
      'fence is cancelled',
      'lift-fence begins',
      'lift-fence ends',
      'detach begins',
      'detach ends',
    ]);
    expect(status).toMatchObject({
      fence: { state: 'lifted' },
      cutovers: [{ outcome: 'undone', reason: 'aborted by ann' }],
    });
  });

  test('an abort that comes as the fence is up is not overtaken by the commit', async () => {
    const play = await stage.start('abort-as-fence-ends', PARTS, (play) => play.read('go', { ready: true }));
    const fence = play.hold('fence');
    await approveAgain(play);
    await fence.begun;
    await play.command('abort');
    fence.letGo();
    await play.aborted();
    expect(play.log).not.toContain('commit begins');
    expect(play.log).toContain('lift-fence ends');
  });
});

describe('while the commit is under way', () => {
  test('an abort is refused, a workflow cancel is not obeyed, and it ends switched', async () => {
    const play = await stage.start('abort-in-commit', PARTS, (play) => play.read('go', { ready: true }));
    const commit = play.hold('commit');
    await approveAgain(play);
    await commit.begun;
    expect(await play.refused('abort')).toMatch(/its outcome is not known yet/);
    await play.handle.cancel();
    await play.until('warned', (s) => s.warnings.some((w) => w.includes('a workflow cancel was not obeyed')));
    commit.letGo();
    const status = await play.done();
    expect(status.cutovers).toMatchObject([{ outcome: 'switched' }]);
    expect(play.log).not.toContain('lift-fence begins');
  });

  test('a pause is taken once writes flow again, not before', async () => {
    const play = await stage.start('pause-in-commit', PARTS, (play) => play.read('go', { ready: true }));
    const commit = play.hold('commit');
    await approveAgain(play);
    await commit.begun;
    await play.command('pause');
    commit.letGo();
    const paused = await play.untilPhase('paused');
    expect(stepOf(paused, 'switch').state).toBe('done');
    expect(paused.step).toBe('last');
    await play.command('resume');
    await play.done();
  });
});

describe('a commit that failed', () => {
  test('and is known not to have switched: the fence is lifted, back at the gate', async () => {
    const play = await approved('not-switched', (play) =>
      play.once('commit', () => fatal('refused')).on('outcome', () => NOT_SWITCHED),
    );
    const back = await atGateAgain(play);
    expect(from(play, 'commit')).toEqual([
      'commit begins',
      'commit fails',
      'outcome begins',
      'outcome ends',
      'lift-fence begins',
      'lift-fence ends',
    ]);
    expect(back.cutovers).toMatchObject([{ outcome: 'undone', reason: 'refused' }]);
    await play.command('approve');
    await play.done();
  });

  test('and is known to have switched: it goes on, the fence stays', async () => {
    const play = await approved('switched-anyway', (play) =>
      play.on('commit', () => fatal('the answer was lost')).on('outcome', () => SWITCHED),
    );
    const status = await play.done();
    expect(status).toMatchObject({ fence: { state: 'kept' }, cutovers: [{ outcome: 'switched' }] });
    expect(status.warnings.join()).toMatch(/the answer was lost; then: ROLE says master/);
    expect(play.log).not.toContain('lift-fence begins');
  });

  test('in doubt: the fence stays, the operator is told, and an event ends it by itself', async () => {
    const play = await stage.start('doubt-ends', PARTS, (play) =>
      play
        .read('go', { ready: true })
        .on('commit', () => fatal('the answer was lost'))
        .on('outcome', () => UNKNOWN),
    );
    const event = play.hold('outcome-patient');
    await approveAgain(play);
    await event.begun;
    const status = await play.untilPhase('in-doubt');
    expect(status).toMatchObject({
      fence: { state: 'in-doubt' },
      cutovers: [{ outcome: 'in-doubt' }],
      operator: { step: 'cut', errorType: 'cutover.InDoubt', choices: ['retry', 'abort'] },
    });
    expect(status.operator!.reason).toMatch(/not known whether the target was promoted.*the fence stays/);
    expect(status.operator!.remedy).toMatch(/goes on by itself/);
    expect(await play.refused('skip')).toMatch(/can't be skipped/);
    expect(await play.refused('approve')).toMatch(/no gate waits/);
    expect(play.log).not.toContain('lift-fence begins');
    event.letGo(SWITCHED);
    const ended = await play.done();
    expect(ended).toMatchObject({ fence: { state: 'kept' }, cutovers: [{ outcome: 'switched' }] });
    expect(ended.operator).toBeUndefined();
    expect(play.log).not.toContain('lift-fence begins');
  });

  test('in doubt, an event may also show that it was not switched', async () => {
    const play = await approved('doubt-lifts', (play) =>
      play
        .once('commit', () => fatal('the answer was lost'))
        .once('outcome', () => UNKNOWN)
        .on('outcome-patient', () => NOT_SWITCHED),
    );
    const back = await atGateAgain(play);
    expect(back).toMatchObject({ fence: { state: 'lifted' }, cutovers: [{ outcome: 'undone' }] });
    await play.command('approve');
    await play.done();
  });

  test('in doubt, a retry makes the call again and asks at once', async () => {
    const play = await approved('doubt-retry', (play) =>
      play
        .on('commit', () => fatal('the answer was lost'))
        .on('outcome', () => UNKNOWN)
        .on('outcome-patient', silent),
    );
    await play.untilPhase('in-doubt');
    await play.command('retry');
    await play.until('asked again', (s) => s.phase === 'in-doubt' && count(play, 'outcome ends') === 2);
    expect(count(play, 'again ends')).toBe(1);
    play.on('outcome', () => SWITCHED);
    await play.command('retry');
    expect((await play.done()).cutovers).toMatchObject([{ outcome: 'switched' }]);
    expect(play.log).not.toContain('lift-fence begins');
  });

  test('in doubt, an abort makes the target give up before the fence is lifted', async () => {
    const play = await approved('doubt-abort', (play) =>
      play
        .on('commit', () => fatal('the answer was lost'))
        .on('outcome', () => UNKNOWN)
        .on('outcome-patient', silent),
    );
    await play.untilPhase('in-doubt');
    await play.command('abort', { reason: 'enough' });
    const status = await play.aborted();
    const ends = play.log.filter((line) => /^(give-up|lift-fence|detach) ends$/.test(line));
    expect(ends).toEqual(['give-up ends', 'lift-fence ends', 'detach ends']);
    expect(status).toMatchObject({ fence: { state: 'lifted' }, cutovers: [{ outcome: 'undone' }] });
  });

  test('in doubt, an abort that finds the target promoted is too late: it goes on', async () => {
    const play = await approved('doubt-too-late', (play) =>
      play
        .on('commit', () => fatal('the answer was lost'))
        .once('outcome', () => UNKNOWN)
        .on('outcome-patient', silent),
    );
    await play.untilPhase('in-doubt');
    play.on('outcome', () => SWITCHED);
    await play.command('abort');
    const status = await play.done();
    expect(status.abortedBy).toBeUndefined();
    expect(status.warnings.join()).toMatch(/an abort came too late/);
    expect(play.log).not.toContain('give-up begins');
    expect(play.log).not.toContain('lift-fence begins');
    expect(play.log).not.toContain('detach begins');
  });

  test('in doubt, a target that does not give up keeps the fence up, and the abort may be given again', async () => {
    const play = await approved('doubt-no-give-up', (play) =>
      play
        .on('commit', () => fatal('the answer was lost'))
        .on('outcome', () => UNKNOWN)
        .on('outcome-patient', silent)
        .once('give-up', () => fatal('the target is silent')),
    );
    await play.untilPhase('in-doubt');
    await play.command('abort');
    const still = await play.until('still in doubt', (s) =>
      /could not be made to give up/.test(s.operator?.reason ?? ''),
    );
    expect(still).toMatchObject({ phase: 'in-doubt', fence: { state: 'in-doubt' } });
    expect(play.log).not.toContain('lift-fence begins');
    await play.command('abort');
    const status = await play.aborted();
    expect(count(play, 'give-up begins')).toBe(2);
    expect(status.fence.state).toBe('lifted');
  });

  test('in doubt, a patient look that fails for good is not repeated at once for ever', async () => {
    const play = await approved('doubt-no-loop', (play) =>
      play
        .on('commit', () => fatal('the answer was lost'))
        .on('outcome', () => UNKNOWN)
        .on('outcome-patient', () => fatal('no permission')),
    );
    await play.until(
      'the look has failed',
      (s) => s.phase === 'in-doubt' && count(play, 'outcome-patient fails') === 1,
    );
    const timers = async () => {
      const { events } = await play.handle.fetchHistory();
      return (events ?? []).filter((event) => event.timerStartedEventAttributes).length;
    };
    await until('it waits on a timer', async () => (await timers()) === 1);
    expect(count(play, 'outcome-patient begins')).toBe(1);
    // The operator need not wait for it.
    play.on('outcome', () => SWITCHED);
    await play.command('retry');
    await play.done();
  });
});

describe('a fence that can’t be lifted', () => {
  test('is shown, tried again when the operator says so, and never given up', async () => {
    const play = await approved('lift-fails', (play) => {
      play.once('fence', () => fatal('not drained')).on('lift-fence', () => fatal('connection refused'));
    });
    const asked = await play.untilPhase('needs-operator');
    expect(asked.operator).toMatchObject({ step: 'cut', reason: 'connection refused', choices: ['retry'] });
    expect(asked.warnings.join()).toMatch(/the fence could not be lifted yet: connection refused/);
    expect(asked.undo).toMatchObject([{ id: 'attach' }, { id: 'fence', state: 'failed' }]);
    await play.command('retry');
    await until('tried again', async () => count(play, 'lift-fence fails') === 2);
    await play.untilPhase('needs-operator');
    play.on('lift-fence', () => 'lifted');
    await play.command('retry');
    const back = await atGateAgain(play);
    expect(back.fence.state).toBe('lifted');
    expect(back.operator).toBeUndefined();
  });

  test('the retry that lifted it does not answer the next question', async () => {
    const play = await approved('lift-then-doubt', (play) => {
      play
        .once('fence', () => fatal('not drained'))
        .once('lift-fence', () => fatal('connection refused'))
        .once('commit', () => fatal('the answer was lost'))
        .on('outcome', () => UNKNOWN)
        .on('outcome-patient', silent);
    });
    await play.untilPhase('needs-operator');
    await play.command('retry');
    await approveAgain(play);
    await play.untilPhase('in-doubt');
    expect(play.log).not.toContain('again begins');
    expect(count(play, 'outcome ends')).toBe(1);
    play.on('outcome', () => SWITCHED);
    await play.command('retry');
    await play.done();
  });

  test('an abort meanwhile still lifts it first', async () => {
    const play = await approved('lift-abort', (play) => {
      play.on('fence', () => fatal('not drained')).once('lift-fence', () => fatal('connection refused'));
    });
    await play.untilPhase('needs-operator');
    await play.command('abort');
    const status = await play.aborted();
    const ends = play.log.filter((line) => /^(lift-fence|detach) ends$/.test(line));
    expect(ends).toEqual(['lift-fence ends', 'detach ends']);
    expect(status.fence.state).toBe('lifted');
  });
});

test('the code of now replays every history of this file', async () => {
  expect(await stage.replayAll()).toBeGreaterThanOrEqual(15);
});
