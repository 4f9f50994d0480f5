/** Gates on a real Temporal server: who opens them, when, and what keeps them shut. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fatal, openEngineStage, stepOf, type EngineStage, type Play } from './engine-stage.ts';
import { until } from './stage/stage.ts';
import type { Opens, Part } from './workflows/engine.ts';

let stage: EngineStage;
beforeAll(async () => {
  stage = await openEngineStage();
});
afterAll(() => stage?.close());

const READY = { ready: true };
const LAGGING = { ready: false, notReady: 'lag 9 GB' };
const behind = (opens: Opens): Part[] => [
  { do: 'step', id: 'attach', undo: 'detach' },
  { do: 'gate', id: 'go', opens },
  { do: 'step', id: 'after' },
];
const isReady = (play: Play) => play.until('ready', (status) => status.gate?.ready === true);
const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();

describe('manual', () => {
  test('is approved once ready, and who did it and why is kept', async () => {
    const play = await stage.start('manual', behind('manual'), (play) => play.read('go', LAGGING));
    await play.until('read', (status) => status.gate?.notReady === 'lag 9 GB');
    expect(await play.refused('approve')).toBe('go is not ready: lag 9 GB');
    play.read('go', READY);
    const waiting = await isReady(play);
    expect(waiting).toMatchObject({ phase: 'waiting', step: 'go', gate: { id: 'go', title: 'Open go?' } });
    expect(waiting.gate?.notReady).toBeUndefined();
    expect(await play.refused('approve', { step: 'copy' })).toMatch(/the gate that waits is go, not copy/);

    play.read('go', LAGGING);
    await play.until('not ready again', (status) => status.gate?.ready === false);
    expect(await play.refused('approve')).toBe('go is not ready: lag 9 GB');
    expect(play.log).not.toContain('after begins');

    play.read('go', READY);
    await isReady(play);
    expect((await play.command('approve', { reason: 'all agree' })).message).toBe('go approved');
    const status = await play.done();
    expect(stepOf(status, 'go')).toMatchObject({ state: 'done', note: 'approved by ann: all agree', tries: 1 });
    expect(status.decisions).toMatchObject([{ command: 'approve', by: 'ann', reason: 'all agree', step: 'go' }]);
    expect(status.gate).toBeUndefined();
  });

  test('is refused where no gate waits, and after it was given', async () => {
    const play = await stage.start('no-gate', behind('manual'), (play) => play.read('go', READY));
    const after = play.hold('after');
    await isReady(play);
    await play.command('approve');
    await after.begun;
    expect(await play.refused('approve')).toMatch(/no gate waits for approval; it is at after/);
    after.letGo();
    await play.done();
  });

  test('an abort at the gate undoes what was done before it', async () => {
    const play = await stage.start('abort-at-gate', behind('manual'), (play) => play.read('go', LAGGING));
    await play.until('read', (status) => status.gate?.notReady !== undefined);
    await play.command('abort');
    const status = await play.aborted();
    expect(status.gate).toBeUndefined();
    expect(play.log.slice(-2)).toEqual(['detach begins', 'detach ends']);
  });
});

describe('a pause', () => {
  test('shuts the gate; after it the reading is a new one, and so has to be the approval', async () => {
    const play = await stage.start('pause-at-gate', behind('manual'), (play) => play.read('go', READY));
    await isReady(play);
    await play.command('pause');
    const paused = await play.untilPhase('paused');
    expect(paused.gate).toBeUndefined();
    expect(await play.refused('approve')).toMatch(/no gate waits/);
    play.read('go', LAGGING);
    await play.command('resume');
    await play.until('read anew', (status) => status.gate?.notReady === 'lag 9 GB');
    play.read('go', READY);
    await isReady(play);
    await play.command('approve');
    expect(stepOf(await play.done(), 'go').tries).toBe(1);
  });

  test('of a gate that opens by itself holds it shut', async () => {
    const play = await stage.start('pause-auto', behind('auto'), (play) => play.read('go', LAGGING));
    await play.until('read', (status) => status.gate?.notReady !== undefined);
    await play.command('pause');
    await play.untilPhase('paused');
    play.read('go', READY);
    expect((await play.status()).phase).toBe('paused');
    await play.command('resume');
    expect(stepOf(await play.done(), 'go').note).toMatch(/opened by itself/);
  });
});

describe('auto', () => {
  test('opens by itself once ready, and not before', async () => {
    const play = await stage.start('auto', behind('auto'), (play) => play.read('go', LAGGING));
    await play.until('read', (status) => status.gate?.notReady === 'lag 9 GB');
    expect(play.log).not.toContain('after begins');
    play.read('go', READY);
    const status = await play.done();
    expect(stepOf(status, 'go').note).toMatch(/opened by itself, as the file says/);
    expect(status.decisions).toEqual([]);
  });

  test('waits for a person after a cutover that was undone', async () => {
    const parts: Part[] = [{ do: 'cutover', gate: 'go', id: 'cut', opens: 'auto' }];
    const play = await stage.start('auto-then-manual', parts, (play) =>
      play.read('go', READY).once('fence', () => fatal('the source hangs')),
    );
    const back = await play.until('back at the gate', (s) => s.phase === 'waiting' && s.gate?.ready === true);
    expect(back.cutovers).toMatchObject([{ outcome: 'undone', reason: 'the source hangs' }]);
    expect(stepOf(back, 'go').tries).toBe(2);
    await play.command('approve');
    const status = await play.done();
    expect(stepOf(status, 'go').note).toBe('approved by ann');
    expect(status.cutovers.map(({ outcome }) => outcome)).toEqual(['undone', 'switched']);
  });
});

describe('a window', () => {
  test('opens at its time, not before, though it is ready', async () => {
    const from = inSeconds(4);
    const to = inSeconds(3_600);
    const play = await stage.start('window', behind({ from, to }), (play) => play.read('go', READY));
    const waiting = await isReady(play);
    expect(waiting.gate).toMatchObject({ opensAt: from, closesAt: to });
    const status = await play.done();
    expect(stepOf(status, 'go').note).toBe(`opened in its window, from ${from}`);
    expect(Date.parse(stepOf(status, 'go').endedAt!)).toBeGreaterThanOrEqual(Date.parse(from));
    expect(Date.parse(stepOf(status, 'after').startedAt!)).toBeGreaterThanOrEqual(Date.parse(from));
  });

  test('that is open waits until it is ready', async () => {
    const opens = { from: inSeconds(-60), to: inSeconds(3_600) };
    const play = await stage.start('window-open', behind(opens), (play) => play.read('go', LAGGING));
    await play.until('read', (status) => status.gate?.notReady !== undefined);
    expect(play.log).not.toContain('after begins');
    play.read('go', READY);
    expect(stepOf(await play.done(), 'go').note).toMatch(/opened in its window/);
  });

  test('that is over opens for a person only', async () => {
    const opens = { from: inSeconds(-7_200), to: inSeconds(-3_600) };
    const play = await stage.start('window-over', behind(opens), (play) => play.read('go', READY));
    await isReady(play);
    // Another reading, and with it another look at the clock.
    play.read('go', LAGGING);
    await play.until('not ready', (status) => status.gate?.ready === false);
    play.read('go', READY);
    expect((await isReady(play)).phase).toBe('waiting');
    await play.command('approve');
    expect(stepOf(await play.done(), 'go').note).toBe('approved by ann');
  });

  test('that is not open yet opens for a person', async () => {
    const opens = { from: inSeconds(3_600), to: inSeconds(7_200) };
    const play = await stage.start('window-early', behind(opens), (play) => play.read('go', READY));
    await isReady(play);
    await play.command('approve');
    expect(stepOf(await play.done(), 'go').note).toBe('approved by ann');
  });
});

describe('a watcher that fails for good', () => {
  test('parks; the gate is shut meanwhile, and its window is kept after the retry', async () => {
    const opens = { from: inSeconds(3_600), to: inSeconds(7_200) };
    const play = await stage.start('watcher-fails', behind(opens), (play) => play.read('go', READY));
    await isReady(play);
    play.once('watch-go', () => fatal('wrong password'));
    play.read('go', LAGGING); // Ends the look that is under way; the next one fails.
    const parked = await play.untilPhase('needs-operator');
    expect(parked.operator).toMatchObject({ step: 'go', reason: 'wrong password', choices: ['retry', 'abort'] });
    expect(await play.refused('approve')).toBe('go is not ready: wrong password');
    play.read('go', READY);
    await play.command('retry');
    const waiting = await isReady(play);
    expect(waiting).toMatchObject({ phase: 'waiting', gate: { opensAt: opens.from, closesAt: opens.to } });
    await play.command('approve');
    await play.done();
  });

  test('is aborted from there', async () => {
    const play = await stage.start('watcher-aborts', behind('manual'), (play) =>
      play.on('watch-go', () => fatal('wrong password')),
    );
    await play.untilPhase('needs-operator');
    await play.command('abort');
    await play.aborted();
    expect(play.log.slice(-2)).toEqual(['detach begins', 'detach ends']);
  });
});

test('an approval and a pause in one moment: the gate opens before the pause, or asks anew after it', async () => {
  const play = await stage.start('approve-and-pause', behind('manual'), (play) => play.read('go', READY));
  await isReady(play);
  const [approved] = await Promise.allSettled([play.command('approve'), play.command('pause')]);
  // The pause may come first: then no gate waits any more, and the approval is refused with that reason.
  if (approved.status === 'rejected') expect(String(approved.reason.cause)).toMatch(/no gate waits for approval/);
  await play.untilPhase('paused');
  const { steps, gate } = await play.status();
  expect(gate).toBeUndefined();
  await play.command('resume');
  if (steps.find(({ id }) => id === 'go')!.state !== 'done') {
    await isReady(play);
    expect(play.log).not.toContain('after begins');
    await play.command('approve');
  }
  const status = await play.done();
  expect(stepOf(status, 'go').note).toBe('approved by ann');
});

test('search attributes, current details and summaries tell an operator the same as the status', async () => {
  const play = await stage.start('shown', behind('manual'), (play) => play.read('go', READY));
  await isReady(play);
  const details = async () =>
    (await play.handle.query<{ currentDetails: string }>('__temporal_workflow_metadata')).currentDetails;
  const attributes = async () => {
    const { typedSearchAttributes } = await play.handle.describe();
    return Object.fromEntries(typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value]));
  };
  expect(await attributes()).toMatchObject({
    CutoverKind: 'engine-test',
    CutoverPhase: 'waiting',
    CutoverStep: '2/3 go',
    CutoverNeedsOperator: true,
  });
  expect(await details()).toMatch(
    /^\*\*waits for approval of go\*\*[\s\S]*`cutover approve shown`[\s\S]*\| ✔ \| Step attach/,
  );
  await until('it is in the list of those that wait for a person', async () => {
    const found = [];
    for await (const one of stage.client.workflow.list({ query: 'CutoverNeedsOperator = true' }))
      found.push(one.workflowId);
    return found.includes('shown');
  });
  const description = await play.handle.describe();
  expect(description.memo).toEqual({ kind: 'engine-test' });
  expect(await description.staticSummary()).toBe('here → there');

  play.once('after', () => fatal('no permission'));
  await play.command('approve');
  await play.untilPhase('needs-operator');
  expect(await attributes()).toMatchObject({ CutoverPhase: 'needs-operator', CutoverStep: '3/3 after' });
  expect(await details()).toMatch(/^\*\*needs the operator at after: no permission\*\*[\s\S]*`cutover retry shown`/);
  await play.command('retry');
  await play.done();
  expect(await attributes()).toMatchObject({ CutoverPhase: 'done', CutoverNeedsOperator: false });

  const { events } = await play.handle.fetchHistory();
  const summaries = (events ?? [])
    .filter((event) => event.activityTaskScheduledEventAttributes)
    .map((event) => JSON.parse(Buffer.from(event.userMetadata!.summary!.data!).toString()) as string);
  expect(summaries).toEqual([
    'calls attach',
    ...summaries.filter((s) => s === 'calls watch-go'),
    'calls after',
    'calls after',
  ]);
});

test('the code of now replays every history of this file', async () => {
  expect(await stage.replayAll()).toBeGreaterThanOrEqual(12);
});
