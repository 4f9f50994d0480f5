/** What the operator reads: figures, what to do now, the live view. */
import { stripVTControlCharacters } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { figures, span } from '../client/cli/figures.ts';
import { liveView } from '../client/cli/live-view.ts';
import { operatorChoices } from '../client/cli/operator-choices.ts';
import { reportMarkdown } from '../client/cli/report-view.ts';
import { statusLine, statusText, undoneCutovers } from '../client/cli/status-view.ts';
import { tableLines, wrapped } from '../client/cli/table.ts';
import { NoWorker } from '../client/errors.ts';
import type { LiveStatus } from '../client/live-status.ts';
import { reportOf } from '../client/report.ts';
import { waitsForOperator } from '../client/waits-for-operator.ts';
import type { CutoverAttempt, GateStatus, MigrationStatus, OperatorRequest } from '../spec/status.ts';

const NOON = '2026-11-21T12:00:00.000Z';

function status(change: Partial<LiveStatus> = {}): LiveStatus {
  return {
    id: 'shop',
    kind: 'redis-online',
    summary: 'a → b',
    phase: 'running',
    step: 'follow',
    steps: [
      {
        id: 'attach',
        title: 'Attach',
        kind: 'step',
        state: 'done',
        tries: 1,
        startedAt: NOON,
        endedAt: '2026-11-21T12:00:03.000Z',
        note: 'attached',
      },
      { id: 'follow', title: 'Follow', kind: 'step', state: 'running', tries: 2, startedAt: NOON },
      { id: 'cut-over', title: 'Cut over', kind: 'gate', state: 'pending', tries: 0 },
    ],
    fence: { state: 'none' },
    cutovers: [],
    warnings: [],
    decisions: [],
    undo: [],
    leftovers: [],
    report: {},
    startedAt: NOON,
    updatedAt: NOON,
    activities: [],
    ...change,
  };
}

const gate = (change: Partial<GateStatus> = {}): GateStatus => ({
  id: 'cut-over',
  title: 'Cut over',
  since: NOON,
  ready: true,
  ...change,
});
const operator = (choices: OperatorRequest['choices']): OperatorRequest => ({
  step: 'follow',
  reason: 'link down',
  choices,
  since: NOON,
});
const switched: CutoverAttempt = { number: 1, startedAt: NOON, outcome: 'switched', phases: [], writePauseMs: 41.6 };

describe('what the operator can do', () => {
  const words = (given: MigrationStatus) => operatorChoices(given).map((choice) => choice.words);
  const abort = 'abort shop --reason "…"';

  test.each<[string, Partial<LiveStatus>, string[]]>([
    ['running', {}, ['watch shop', 'pause shop', abort]],
    ['running, after the switch', { cutovers: [switched] }, ['watch shop', 'pause shop']],
    ['at a gate', { phase: 'waiting', gate: gate() }, ['approve shop --step cut-over', 'pause shop', abort]],
    [
      'at a gate that asks for a name',
      { phase: 'waiting', gate: gate({ confirm: 'shop-cache' }) },
      ['approve shop --step cut-over --confirm NAME', 'pause shop', abort],
    ],
    [
      'at a gate that is not ready',
      { phase: 'waiting', gate: gate({ ready: false }) },
      ['watch shop', 'pause shop', abort],
    ],
    ['paused', { phase: 'paused' }, ['resume shop', abort]],
    [
      'a failed step',
      { phase: 'needs-operator', operator: operator(['retry', 'abort']) },
      ['retry shop --step follow', abort],
    ],
    [
      'a failed step after the switch',
      { phase: 'needs-operator', operator: operator(['retry', 'skip']), cutovers: [switched] },
      ['retry shop --step follow', 'skip shop --step follow'],
    ],
    ['in doubt', { phase: 'in-doubt', operator: operator(['retry', 'abort']) }, ['retry shop --step follow', abort]],
    ['in the critical section', { phase: 'critical' }, ['watch shop']],
    ['aborting', { phase: 'aborting' }, ['watch shop']],
    ['done', { phase: 'done' }, ['report shop']],
  ])('%s', (_, change, expected) => {
    expect(words(status(change))).toEqual(expected);
  });

  test.each<[string, Partial<LiveStatus>, boolean]>([
    ['running', {}, false],
    ['critical', { phase: 'critical' }, false],
    ['a gate that is ready', { phase: 'waiting', gate: gate() }, true],
    ['a gate that is not', { phase: 'waiting', gate: gate({ ready: false }) }, false],
    [
      'a window that is to come',
      { phase: 'waiting', gate: gate({ opensAt: '2026-11-21T13:00:00Z', closesAt: '2026-11-21T14:00:00Z' }) },
      false,
    ],
    [
      'a window that was missed',
      { phase: 'waiting', gate: gate({ opensAt: '2026-11-21T10:00:00Z', closesAt: '2026-11-21T11:00:00Z' }) },
      true,
    ],
    ['a failed step', { phase: 'needs-operator' }, true],
    ['in doubt', { phase: 'in-doubt' }, true],
    ['paused', { phase: 'paused' }, true],
    ['aborting', { phase: 'aborting' }, false],
    ['done', { phase: 'done' }, false],
  ])('waits for the operator: %s', (_, change, expected) => {
    expect(waitsForOperator(status(change), Date.parse(NOON))).toBe(expected);
  });
});

describe('figures', () => {
  test('all that is known, in one line', () => {
    expect(
      figures({
        text: '',
        done: 1_258_291,
        total: 2_516_582,
        unit: 'bytes',
        perSecond: 1_048_576,
        etaMs: 1200,
        lagBytes: 0,
      }),
    ).toBe('1.2 MiB of 2.4 MiB, 1 MiB/s, lag 0 B, ETA 1.2s');
    expect(
      figures({ text: '', done: 120_000, total: 2_000_000, unit: 'keys', perSecond: 31_000.4, etaMs: 60_645 }),
    ).toBe('120,000 of 2,000,000 keys, 31,000 keys/s, ETA 1m');
    expect(figures({ text: '', lagSeconds: 90 })).toBe('lag 1m 30s');
    expect(figures({ text: '', done: 7, unit: 'keys' })).toBe('7 keys');
    expect(figures({ text: '' })).toBe('');
  });

  test('spans of time', () => {
    expect([span(420), span(9_500), span(130_000), span(8 * 86_400_000), span(-5), span(NaN)]).toEqual([
      '420ms',
      '9.5s',
      '2m 10s',
      '8d',
      '0ms',
      'unknown',
    ]);
  });
});

describe('status', () => {
  test('a line says state, reason and ETA, and stays one line', () => {
    const failing = { name: 'watchSync', attempt: 4, lastFailure: 'ECONNREFUSED\n  at 10.0.0.5' };
    const line = statusLine(
      status({ progress: { text: 'following', lagBytes: 2048, etaMs: 3000 }, activities: [failing] }),
    );
    expect(line).toBe(
      'running at follow (2/3) | following, lag 2 KiB, ETA 3s | watchSync tries again (attempt 4): ECONNREFUSED at 10.0.0.5',
    );
  });

  test('a cutover that was undone is told once, with why', () => {
    const at = { startedAt: NOON, phases: [] };
    const cutovers: MigrationStatus['cutovers'] = [
      { ...at, number: 1, outcome: 'undone', reason: 'O1 maintenance' },
      { ...at, number: 2, outcome: 'undone' },
      { ...at, number: 3, outcome: 'under-way' },
    ];
    expect(undoneCutovers(status({ cutovers }), 0)).toEqual([
      'cutover 1 was undone: O1 maintenance',
      'cutover 2 was undone',
    ]);
    expect(undoneCutovers(status({ cutovers }), 2)).toEqual([]);
  });

  test('nothing that an operator must know is left out', () => {
    const text = stripVTControlCharacters(
      statusText(
        status({
          phase: 'in-doubt',
          fence: { state: 'in-doubt', since: NOON, detail: 'the fence stays' },
          operator: { ...operator(['retry', 'abort']), remedy: 'ask ROLE by hand' },
          cutovers: [{ number: 1, startedAt: NOON, outcome: 'in-doubt', phases: [], reason: 'no answer' }],
          warnings: ['the link was down twice'],
          leftovers: ['partial data on b'],
        }),
        { address: 'temporal:7233' },
      ),
    );
    for (const part of [
      'fence     in-doubt since 2026-11-21T12:00:00.000Z: the fence stays',
      'failed    follow: link down',
      'mend      ask ROLE by hand',
      'cutover 1 in-doubt: no answer',
      'warning   the link was down twice',
      'leftover  partial data on b',
      '  npx cutover retry shop --step follow --address temporal:7233',
    ])
      expect(text).toContain(part);
  });
});

test('report as markdown: a bar in a note does not break the table', () => {
  const ended = status({
    phase: 'done',
    endedAt: '2026-11-21T12:10:00.000Z',
    cutovers: [switched],
    report: { compare: { keys: 200_000, equal: true }, checks: [{ id: 'S1' }] },
  });
  ended.steps[0]!.note = 'a | b';
  const text = reportMarkdown(reportOf(ended));
  expect(text).toContain('- took: 10m\n- write pause: 42 ms');
  expect(text).toContain('| Attach | done | 1 | 3s | a \\| b |');
  expect(text).toContain('| compare.keys | 200000 |\n| compare.equal | true |\n| checks | 1 (in --json) |');
});

describe('tables', () => {
  test('on a terminal the last column is wrapped, in a pipe it is not', () => {
    const rows = [['attach', 'the target is made a replica of the source']];
    expect(tableLines(undefined, rows, 32)).toEqual(['attach  the target is made a', '        replica of the source']);
    expect(tableLines(['step', 'what'], rows, Infinity).map(stripVTControlCharacters)).toEqual([
      'step    what',
      'attach  the target is made a replica of the source',
    ]);
    expect(tableLines(undefined, [], 80).join('')).toBe('');
  });

  test('no line is wider than it may be', () => {
    for (const line of ['x'.repeat(300), 'word '.repeat(60), 'short']) {
      for (const part of wrapped(line, 30)) expect(part.length).toBeLessThanOrEqual(30);
    }
  });
});

describe('the live view', () => {
  afterEach(() => vi.useRealTimers());

  test('draws over itself: as many lines up as were drawn, none wider or more than the terminal has', () => {
    vi.useFakeTimers();
    let written = '';
    const out = {
      columns: 60,
      rows: 12,
      write: (text: string) => ((written += text), true),
    } as unknown as NodeJS.WriteStream;
    const view = liveView(out);
    const frames: string[] = [];
    const take = () => {
      frames.push(written);
      written = '';
    };
    view.show(status({ progress: { text: 'copying', done: 1, total: 4, unit: 'keys' } }));
    take();
    view.show(
      status({
        phase: 'needs-operator',
        operator: { ...operator(['retry', 'abort']), reason: `line one\nline two ${'long '.repeat(80)}` },
      }),
    );
    take();
    view.trouble(new NoWorker('cutover'));
    take();
    view.end();
    vi.advanceTimersByTime(5000);
    expect(written, 'nothing after the end').toBe('');
    expect(stripVTControlCharacters(frames[0]!)).toContain('25 %');
    expect(stripVTControlCharacters(frames[2]!)).toContain('npx cutover worker');
    let before = 0;
    for (const frame of frames) {
      const up = new RegExp(`${String.fromCodePoint(27)}\\[(\\d+)A`).exec(frame);
      expect(Number(up?.[1] ?? 0)).toBe(before);
      const drawn = stripVTControlCharacters(frame).trimEnd().split('\n');
      expect(drawn.length).toBeLessThanOrEqual(11);
      for (const line of drawn) expect(line.length).toBeLessThanOrEqual(60);
      before = frame.split('\n').length - 1;
    }
  });
});
