/** Which command is taken when: the table of phases, and what no sequence of commands may ever lead to. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { COMMANDS, type Command, type CommandInput } from '../spec/contract.ts';
import type { MigrationStatus, OperatorRequest, Phase } from '../spec/status.ts';
import { refusal, type CommandContext } from '../workflows/commands.ts';

const NOBODY_DECIDED: CommandContext = { switched: false, committing: false, approved: false, decided: false };
const who = { by: 'ann', at: '2026-11-21T00:00:00.000Z' };
const input: CommandInput = { by: 'bob' };

function statusIn(phase: Phase, more: Partial<MigrationStatus> = {}): MigrationStatus {
  return {
    id: 'shop',
    kind: 'redis-online',
    summary: 'a to b',
    phase,
    step: 'copy',
    steps: [{ id: 'copy', title: 'Copy', kind: 'step', state: 'running', tries: 1 }],
    fence: { state: 'none' },
    cutovers: [],
    warnings: [],
    decisions: [],
    undo: [],
    leftovers: [],
    report: {},
    startedAt: who.at,
    updatedAt: who.at,
    ...more,
  };
}

const asked = (...choices: OperatorRequest['choices']): OperatorRequest => ({
  step: 'copy',
  reason: 'disk full',
  choices,
  since: who.at,
});
const gateOf = (ready: boolean, notReady?: string) => ({
  gate: { id: 'go', title: 'Go?', since: who.at, ready, ...(notReady ? { notReady } : {}) },
});

interface Row {
  name: string;
  status: MigrationStatus;
  context?: Partial<CommandContext>;
  allowed: Command[];
  /** What a refused command is told; the rest is only asked to say something. */
  told?: Partial<Record<Command, RegExp>>;
}

const ROWS: Row[] = [
  {
    name: 'a step runs',
    status: statusIn('running'),
    allowed: ['pause', 'abort'],
    told: {
      approve: /no gate waits.*it is at copy \(running\)/,
      retry: /nothing waits for a decision/,
      resume: /not paused/,
    },
  },
  {
    name: 'a step runs, and a pause is asked for',
    status: statusIn('running', { pausedBy: who }),
    allowed: ['resume', 'abort'],
    told: { pause: /paused already, by ann/ },
  },
  { name: 'paused', status: statusIn('paused', { pausedBy: who }), allowed: ['resume', 'abort'] },
  {
    name: 'at a gate without a reading',
    status: statusIn('waiting', gateOf(false)),
    allowed: ['pause', 'abort'],
    told: { approve: /go is not ready: no reading yet/ },
  },
  {
    name: 'at a gate that is not ready',
    status: statusIn('waiting', gateOf(false, 'lag 9 GB')),
    allowed: ['pause', 'abort'],
    told: { approve: /go is not ready: lag 9 GB/ },
  },
  {
    name: 'at a gate that is ready',
    status: statusIn('waiting', gateOf(true)),
    allowed: ['approve', 'pause', 'abort'],
  },
  {
    name: 'at a gate that is approved',
    status: statusIn('waiting', gateOf(true)),
    context: { approved: true },
    allowed: ['pause', 'abort'],
    told: { approve: /approved already/ },
  },
  {
    name: 'parked, no skip',
    status: statusIn('needs-operator', { operator: asked('retry', 'abort') }),
    allowed: ['pause', 'retry', 'abort'],
    told: { skip: /copy can't be skipped; it takes retry or abort/, approve: /no gate waits/ },
  },
  {
    name: 'parked, skip allowed',
    status: statusIn('needs-operator', { operator: asked('retry', 'skip', 'abort') }),
    allowed: ['pause', 'retry', 'skip', 'abort'],
  },
  {
    name: 'parked, decided already',
    status: statusIn('needs-operator', { operator: asked('retry', 'skip', 'abort') }),
    context: { decided: true },
    allowed: ['pause', 'abort'],
    told: { skip: /decided already/ },
  },
  {
    name: 'parked after the switch',
    status: statusIn('needs-operator', { operator: asked('retry') }),
    context: { switched: true },
    allowed: ['pause', 'retry'],
    told: { abort: /no way back by an abort/ },
  },
  { name: 'in the critical section, before the call', status: statusIn('critical'), allowed: ['pause', 'abort'] },
  {
    name: 'in the critical section, the call is made',
    status: statusIn('critical'),
    context: { committing: true },
    allowed: ['pause'],
    told: { abort: /its outcome is not known yet/ },
  },
  {
    name: 'in doubt',
    status: statusIn('in-doubt', { operator: asked('retry', 'abort') }),
    context: { committing: true },
    allowed: ['pause', 'retry', 'abort'],
  },
  {
    name: 'in doubt, an abort did not succeed',
    status: statusIn('in-doubt', { operator: asked('retry', 'abort'), abortedBy: who }),
    context: { committing: true },
    allowed: ['pause', 'retry', 'abort'],
  },
  {
    name: 'switched',
    status: statusIn('critical'),
    context: { switched: true },
    allowed: ['pause'],
    told: { abort: /the target is the primary/ },
  },
  {
    name: 'an abort is accepted, and not begun yet',
    status: statusIn('running', { abortedBy: who }),
    allowed: [],
    told: { abort: /being aborted, by ann/, pause: /being aborted/ },
  },
  { name: 'aborting', status: statusIn('aborting', { abortedBy: who }), allowed: [], told: { abort: /being aborted/ } },
  {
    name: 'aborting, and an undo failed',
    status: statusIn('needs-operator', { abortedBy: who, operator: asked('retry', 'skip') }),
    allowed: ['retry', 'skip'],
    told: { abort: /being aborted, by ann/ },
  },
  { name: 'done', status: statusIn('done'), allowed: [], told: { abort: /has ended \(done\)/ } },
  { name: 'aborted', status: statusIn('aborted', { abortedBy: who }), allowed: [], told: { retry: /has ended/ } },
];

describe('the table', () => {
  test.for(ROWS)('$name', ({ status, context, allowed, told }) => {
    const before = JSON.stringify(status);
    for (const command of COMMANDS) {
      const refused = refusal(status, { ...NOBODY_DECIDED, ...context }, command, input);
      if (allowed.includes(command)) expect(refused, command).toBeUndefined();
      else expect(refused, command).toMatch(told?.[command] ?? /\w{3}/);
    }
    expect(JSON.stringify(status)).toBe(before);
  });

  test('every phase is in it', () => {
    const all: Record<Phase, true> = {
      running: true,
      waiting: true,
      paused: true,
      'needs-operator': true,
      critical: true,
      'in-doubt': true,
      aborting: true,
      done: true,
      aborted: true,
    };
    expect(new Set(ROWS.map(({ status }) => status.phase))).toEqual(new Set(Object.keys(all)));
  });

  test('a command that names another step than the one that waits is refused, and told which', () => {
    const gate = statusIn('waiting', gateOf(true));
    expect(refusal(gate, NOBODY_DECIDED, 'approve', { by: 'bob', step: 'go' })).toBeUndefined();
    expect(refusal(gate, NOBODY_DECIDED, 'approve', { by: 'bob', step: 'stop' })).toMatch(/waits is go, not stop/);
    const parked = statusIn('needs-operator', { operator: asked('retry') });
    expect(refusal(parked, NOBODY_DECIDED, 'retry', { by: 'bob', step: 'copy' })).toBeUndefined();
    expect(refusal(parked, NOBODY_DECIDED, 'retry', { by: 'bob', step: 'attach' })).toMatch(
      /waits is copy, not attach/,
    );
  });
});

/** Any state, also those that the engine should never reach. */
const anyStatus = fc
  .record({
    phase: fc.constantFrom<Phase>(
      'running',
      'waiting',
      'paused',
      'needs-operator',
      'critical',
      'in-doubt',
      'aborting',
      'done',
      'aborted',
    ),
    gate: fc.option(fc.boolean(), { nil: undefined }),
    choices: fc.option(fc.subarray<'retry' | 'skip' | 'abort'>(['retry', 'skip', 'abort']), { nil: undefined }),
    paused: fc.boolean(),
    aborted: fc.boolean(),
  })
  .map(({ phase, gate, choices, paused, aborted }) =>
    statusIn(phase, {
      ...(gate === undefined ? {} : gateOf(gate)),
      ...(choices ? { operator: asked(...choices) } : {}),
      ...(paused ? { pausedBy: who } : {}),
      ...(aborted ? { abortedBy: who } : {}),
    }),
  );
const anyContext = fc.record({
  switched: fc.boolean(),
  committing: fc.boolean(),
  approved: fc.boolean(),
  decided: fc.boolean(),
});
const anyCommand = fc.constantFrom(...COMMANDS);
const anyInput = fc.record({ by: fc.constant('bob'), step: fc.constantFrom('go', 'copy', 'other') });

test('in no state at all is something irrevocable taken that must not be', () => {
  fc.assert(
    fc.property(anyStatus, anyContext, anyCommand, anyInput, (status, context, command, given) => {
      if (refusal(status, context, command, given) !== undefined) return;
      expect(['done', 'aborted']).not.toContain(status.phase);
      if (command === 'abort') {
        expect(context.switched).toBe(false);
        if (context.committing) expect(status.phase).toBe('in-doubt');
      }
      if (command === 'approve') {
        expect(status.gate?.ready).toBe(true);
        expect(given.step).toBe('go');
        expect(context.approved).toBe(false);
        expect(status.abortedBy === undefined || status.phase === 'in-doubt').toBe(true);
      }
      if (command === 'retry' || command === 'skip') {
        expect(status.operator?.choices).toContain(command);
        expect(given.step).toBe('copy');
        expect(context.decided).toBe(false);
      }
    }),
    { numRuns: 5_000 },
  );
});

/**
 * The engine in small: what obeying a command and each of the engine's own moves do to the state that `refusal` reads.
 * Commands come in any order between the engine's moves, as operators give them.
 */
type Move =
  | 'reads-ready'
  | 'reads-unready'
  | 'opens'
  | 'fails'
  | 'takes-decision'
  | 'commits'
  | 'doubts'
  | 'switches'
  | 'unwinds';
const anyMove = fc.constantFrom<Move>(
  'reads-ready',
  'reads-unready',
  'opens',
  'fails',
  'takes-decision',
  'commits',
  'doubts',
  'switches',
  'unwinds',
);

// An abort ends a sequence, so it is the rarer one.
const anyTurn = fc.oneof(
  { arbitrary: anyMove, weight: 12 },
  { arbitrary: fc.constantFrom<Command>('approve', 'pause', 'resume', 'retry', 'skip'), weight: 8 },
  { arbitrary: fc.constant<Command>('abort'), weight: 1 },
);

class SmallEngine {
  readonly status = statusIn('waiting', gateOf(false));
  readonly context = { ...NOBODY_DECIDED };
  readonly taken: { command: Command; switched: boolean; ready: boolean }[] = [];

  command(command: Command): void {
    const { status, context } = this;
    if (refusal(status, context, command, input) !== undefined) return;
    this.taken.push({ command, switched: context.switched, ready: status.gate?.ready === true });
    if (command === 'approve') context.approved = true;
    if (command === 'pause') status.pausedBy = who;
    if (command === 'resume') delete status.pausedBy;
    if (command === 'retry' || command === 'skip') context.decided = true;
    if (command === 'abort') status.abortedBy = who;
  }

  move(move: Move): void {
    const { status, context } = this;
    if (status.gate && move === 'reads-ready') status.gate.ready = true;
    if (status.gate && move === 'reads-unready') status.gate.ready = false;
    if (status.gate && move === 'opens' && context.approved && !status.abortedBy) {
      delete status.gate;
      context.approved = false;
      status.phase = 'critical';
    }
    if (status.phase === 'critical' && move === 'commits' && !status.abortedBy) context.committing = true;
    if (context.committing && move === 'doubts') {
      status.phase = 'in-doubt';
      status.operator = asked('retry', 'abort');
    }
    if (context.committing && move === 'switches') {
      Object.assign(context, { committing: false, switched: true });
      delete status.operator;
      delete status.abortedBy;
      status.phase = 'critical';
    }
    if (move === 'fails' && !context.committing && !status.gate) {
      status.phase = 'needs-operator';
      status.operator = context.switched ? asked('retry', 'skip') : asked('retry', 'abort');
    }
    if (move === 'takes-decision' && context.decided) {
      context.decided = false;
      delete status.operator;
      status.phase = 'running';
    }
    if (move === 'unwinds' && status.abortedBy && !context.committing) {
      status.phase = 'aborted';
      delete status.gate;
      delete status.operator;
    }
  }
}

test('no sequence of accepted commands aborts after the switch, opens an unready gate, or is taken twice', () => {
  let aborts = 0;
  let switches = 0;
  fc.assert(
    fc.property(fc.array(anyTurn, { maxLength: 60, size: 'max' }), (sequence) => {
      const engine = new SmallEngine();
      for (const one of sequence) {
        if ((COMMANDS as readonly string[]).includes(one)) engine.command(one as Command);
        else engine.move(one as Move);
        expect(engine.context.switched && engine.status.abortedBy !== undefined).toBe(false);
      }
      for (const { command, switched, ready } of engine.taken) {
        if (command === 'abort') expect(switched).toBe(false);
        if (command === 'approve') expect(ready).toBe(true);
      }
      // Whatever was accepted: an ended migration stays ended.
      if (engine.status.phase === 'aborted') {
        for (const command of COMMANDS)
          expect(refusal(engine.status, engine.context, command, input)).toMatch(/has ended/);
      }
      aborts += engine.taken.filter(({ command }) => command === 'abort').length;
      switches += engine.context.switched ? 1 : 0;
    }),
    { numRuns: 3_000 },
  );
  // The property must have been put to the test.
  expect(aborts).toBeGreaterThan(100);
  expect(switches).toBeGreaterThan(10);
});
