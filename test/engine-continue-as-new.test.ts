/**
 * Long histories are cut: the server suggests it after 60 events here, in place of its 4,096. What a migration knows goes
 * over to the next run, nothing is done twice, and no command is lost on the way.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import { fatal, openEngineStage, stepOf, type EngineStage, type Play } from './engine-stage.ts';
import { until } from './stage/stage.ts';
import type { Part } from './workflows/engine.ts';

const SUGGESTED_AT = 60;
/** A history is cut at a step's border, so it may grow past the suggestion by what a step and a few commands cost. */
const MOST_EVENTS = SUGGESTED_AT + 80;

let stage: EngineStage;
beforeAll(async () => {
  stage = await openEngineStage({ dynamicConfig: [`limit.historyCount.suggestContinueAsNew=${SUGGESTED_AT}`] });
});
afterAll(() => stage?.close());

interface RunOfPlay {
  status: string;
  events: number;
}

/** All runs of the workflow, once the list knows them. */
async function runsOf(play: Play, atLeast: number): Promise<RunOfPlay[]> {
  return until(`${play.id} has ${atLeast} runs`, async () => {
    const runs: RunOfPlay[] = [];
    for await (const run of stage.client.workflow.list({ query: `WorkflowId = '${play.id}'` })) {
      runs.push({ status: run.status.name, events: run.historyLength ?? 0 });
    }
    return runs.length >= atLeast ? runs : undefined;
  });
}

const steps = (count: number): Part[] =>
  Array.from({ length: count }, (_, i) => ({
    do: 'step',
    id: `s${i}`,
    ...(i % 4 === 0 ? { undo: `undo-s${i}` } : {}),
  }));

test('within the steps: none runs twice, results and decisions are kept, the journal is run backwards over all runs', async () => {
  const parts: Part[] = [...steps(24), { do: 'step', id: 'parks' }];
  const play = await stage.start('long-steps', parts, (play) =>
    play.once('s2', () => fatal('once')).on('parks', () => fatal('at the end')),
  );
  await play.until('parked early', (s) => s.operator?.step === 's2');
  await play.command('retry', { reason: 'kept over all runs' });
  const parked = await play.until('parked at the end', (s) => s.operator?.step === 'parks');

  const begun = play.log.filter((line) => line.endsWith('begins'));
  expect(begun).toEqual([
    's0 begins',
    's1 begins',
    's2 begins',
    ...Array.from({ length: 22 }, (_, i) => `s${i + 2} begins`),
    'parks begins',
  ]);
  expect(parked.steps.map(({ state, tries }) => `${state} ${tries}`)).toEqual([
    'done 1',
    'done 1',
    'done 2',
    ...Array.from({ length: 21 }, () => 'done 1'),
    'failed 1',
  ]);
  expect(parked.decisions).toMatchObject([{ command: 'retry', reason: 'kept over all runs' }]);
  expect(stepOf(parked, 's7').note).toBe('s7');
  const runs = await runsOf(play, 3);
  expect(runs.filter(({ status }) => status === 'CONTINUED_AS_NEW').length).toBeGreaterThanOrEqual(2);
  for (const { events } of runs) expect(events).toBeLessThan(MOST_EVENTS);

  await play.command('abort');
  const status = await play.aborted();
  expect(play.log.filter((line) => line.startsWith('undo') && line.endsWith('begins'))).toEqual(
    [20, 16, 12, 8, 4, 0].map((i) => `undo-s${i} begins`),
  );
  expect(status.startedAt).toBe(parked.startedAt);
  expect(status.undo).toHaveLength(6);
});

/** Lets the watcher of `go` return again and again: each time is a reading that differs from the one before. */
async function turns(play: Play, count: number, ready: boolean): Promise<void> {
  const mark = (turn: number) => ({
    ready,
    ...(ready ? {} : { notReady: `turn ${turn}` }),
    progress: { text: `turn ${turn}` },
  });
  for (let turn = 1; turn <= count; turn++) {
    play.read('go', mark(turn));
    await play.until(`turn ${turn}`, (status) => status.progress?.text === `turn ${turn}`);
  }
}

test('at a gate that waits for long: each run stays short, and an automatic one still opens by itself', async () => {
  const parts: Part[] = [
    { do: 'step', id: 'attach', undo: 'detach' },
    { do: 'gate', id: 'go', opens: 'auto' },
    { do: 'step', id: 'after' },
  ];
  const play = await stage.start('long-gate', parts);
  await turns(play, 40, false);
  const runs = await runsOf(play, 4);
  for (const { events } of runs) expect(events).toBeLessThan(MOST_EVENTS);
  const waiting = await play.status();
  expect(waiting).toMatchObject({ phase: 'waiting', gate: { ready: false }, undo: [{ id: 'attach', state: 'armed' }] });
  expect(Date.parse(waiting.gate!.since)).toBeLessThan(Date.parse(waiting.updatedAt));
  expect(stepOf(waiting, 'go')).toMatchObject({ state: 'running', tries: 1 });
  expect(waiting.gate!.since >= stepOf(waiting, 'go').startedAt!).toBe(true);

  play.read('go', { ready: true });
  const status = await play.done();
  expect(stepOf(status, 'go')).toMatchObject({ note: 'opened by itself, as the file says', tries: 1 });
  expect(play.log).toEqual(['attach begins', 'attach ends', 'after begins', 'after ends']);
});

test('a window that the file gives is the same after the history was cut', async () => {
  const opens = { from: '2001-01-01T00:00:00Z', to: '2001-01-02T00:00:00Z' };
  const play = await stage.start('long-window', [{ do: 'gate', id: 'go', opens }]);
  await turns(play, 16, true);
  await runsOf(play, 2);
  // Over for good: it opens for a person only, in this run as in the first.
  const waiting = await play.until('ready', (s) => s.gate?.ready === true);
  expect(waiting.gate).toMatchObject({ opensAt: opens.from, closesAt: opens.to });
  await play.command('approve');
  expect(stepOf(await play.done(), 'go').note).toBe('approved by ann');
});

test('commands that come as the history is cut are all answered, and the pause they end with holds', async () => {
  const play = await stage.start('long-commands', [
    { do: 'step', id: 'attach', undo: 'detach' },
    { do: 'gate', id: 'go' },
  ]);
  let taken = 0;
  let over = false;
  const commands = (async () => {
    while (!over) {
      for (const command of ['pause', 'resume'] as const) {
        await play.command(command);
        taken += 1;
      }
    }
  })();
  const readings = (async () => {
    for (let turn = 1; !over; turn++) {
      play.read('go', { ready: true, progress: { text: `turn ${turn}` } });
      await new Promise((next) => setTimeout(next, 20));
    }
  })();
  await Promise.race([runsOf(play, 4), commands, readings]);
  over = true;
  await Promise.all([commands, readings]);
  expect(taken).toBeGreaterThan(10);
  const status = await play.until('nobody paused it', (s) => s.phase === 'waiting');
  expect(status.decisions).toHaveLength(Math.min(taken, 100));
  expect(status.pausedBy).toBeUndefined();
  await play.command('pause');
  await play.untilPhase('paused');
  await expect(play.command('approve')).rejects.toThrow(WorkflowUpdateFailedError);
  await play.command('abort');
  await play.aborted();
  expect(play.log.slice(-2)).toEqual(['detach begins', 'detach ends']);
});

test('the code of now replays every run of this file', async () => {
  expect(await stage.replayAll()).toBeGreaterThanOrEqual(12);
});
