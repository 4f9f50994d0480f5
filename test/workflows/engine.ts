/**
 * A runbook written by the test: parts in a list, every activity played by the test (test/engine-stage.ts). It runs on the
 * real engine and with the product's own activity options, which are half of what the tests are about.
 */
import type { CarriedState, MigrationInput } from '../../spec/contract.ts';
import type { MigrationStatus, Plan, PlannedStep } from '../../spec/status.ts';
import { activityProxies, criticalOptions } from '../../workflows/activity-options.ts';
import { critical, type Measured, type Outcome } from '../../workflows/critical-section.ts';
import { gate, type GateReading } from '../../workflows/gate.ts';
import { conduct, type Run, type Runbook } from '../../workflows/runbook.ts';
import type { ActivityFunctionWithOptions } from '@temporalio/workflow';

export type Opens = 'manual' | 'auto' | { from: string; to: string };

export type Part =
  | { do: 'step'; id: string; skip?: string; undo?: string; calls?: number; on?: 'quick' | 'copy' }
  | { do: 'disarm'; id: string }
  | { do: 'gate'; id: string; opens?: Opens }
  | { do: 'cutover'; gate: string; id: string; opens?: Opens; budgetMs?: number };

export interface Script {
  kind: 'engine-test';
  id: string;
  crashDetection: number;
  parts: Part[];
  /** The name of the activity that proves after an abort that the source takes writes. */
  afterAbort?: string;
}

/** The one argument of a workflow of a script. */
export interface ScriptInput {
  migration: Script;
  startedBy: string;
  taskQueue: string;
  carried?: CarriedState;
}

export interface Call {
  name: string;
  arg?: unknown;
}

type Proxy = { call: ActivityFunctionWithOptions<(given: Call) => Promise<unknown>> };

export async function engineTest(given: ScriptInput): Promise<MigrationStatus> {
  const input = given as unknown as MigrationInput;
  const act = activityProxies(input) as unknown as Record<'quick' | 'watch' | 'copy' | 'undo', Proxy>;
  const { parts, afterAbort } = given.migration;
  const call = (name: string, arg?: unknown, on: keyof typeof act = 'quick', options = {}) =>
    act[on].call.executeWithOptions({ summary: `calls ${name}`, ...options }, [{ name, arg }]);

  const openGate = (run: Run, id: string, opens: Opens = 'manual') =>
    gate<GateReading>(run, id, {
      title: `Open ${id}?`,
      opens,
      watch: (last) => call(`watch-${id}`, last, 'watch') as Promise<GateReading>,
    });

  const play = async (run: Run, part: Part): Promise<void> => {
    if (part.do === 'disarm') return run.disarm(part.id);
    if (part.do === 'gate') return openGate(run, part.id, part.opens);
    if (part.do === 'cutover') {
      while (!run.isDone(part.id)) {
        await openGate(run, part.gate, part.opens);
        await cutOver(run, part);
      }
      return;
    }
    await run.step(
      part.id,
      async () => {
        if (part.undo) run.arm({ id: part.id, undo: 'call', arg: part.undo, title: `undo of ${part.id}` });
        let value: unknown;
        for (let i = 0; i < (part.calls ?? 1); i++) value = await call(part.id, i, part.on);
        return value;
      },
      (value) => (typeof value === 'string' ? value : undefined),
    );
    if (part.id === 'switch') run.opened();
  };

  const cutOver = (run: Run, { id, budgetMs = 60_000 }: Extract<Part, { do: 'cutover' }>) => {
    const within = criticalOptions(input, budgetMs, 0);
    return critical(run, {
      id,
      fenceUndo: { undo: 'call', arg: 'lift-fence', title: 'the fence' },
      async before(section) {
        await section.phase('fence', budgetMs, () => call('fence', undefined, 'quick', within) as Promise<Measured>);
        section.attempt.fencedAt = Date.now();
        section.fenceUp('the source refuses writes');
      },
      async commit(section) {
        await section.phase('commit', budgetMs, () => call('commit', undefined, 'quick', within) as Promise<Measured>);
      },
      outcome: (patient) =>
        call(patient ? 'outcome-patient' : 'outcome', undefined, patient ? 'watch' : 'quick') as Promise<Outcome>,
      async again() {
        await call('again');
      },
      async giveUp() {
        await call('give-up', undefined, 'undo');
      },
    });
  };

  const runbook: Runbook = {
    plan: planOf(given.migration),
    undo: {
      call: async (name: string) => (await call(name, undefined, 'undo')) as { leftovers?: string[] } | void,
    },
    async body(run) {
      for (const part of parts) await play(run, part);
    },
    ...(afterAbort === undefined
      ? {}
      : {
          async afterAbort() {
            await call(afterAbort, undefined, 'undo');
          },
        }),
  };
  return conduct(input, runbook);
}

function planOf({ parts }: Script): Plan {
  const steps = parts.flatMap((part): PlannedStep[] => {
    if (part.do === 'disarm') return [];
    if (part.do === 'gate') return [{ id: part.id, kind: 'gate', title: `Gate ${part.id}` }];
    if (part.do === 'cutover') {
      return [
        { id: part.gate, kind: 'gate', title: `Gate ${part.gate}` },
        { id: part.id, kind: 'critical', title: `Critical section ${part.id}` },
      ];
    }
    const { id, skip, undo } = part;
    return [{ id, kind: 'step', title: `Step ${id}`, ...(skip ? { skip } : {}), ...(undo ? { undo } : {}) }];
  });
  return { kind: 'engine-test', title: 'written by a test', summary: 'here → there', steps, warnings: [] };
}
