/**
 * The migration's status and how it is shown: every change goes through here, so that the Query, the search attributes
 * and the details of the Temporal UI can never tell different stories.
 */
import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import { SearchAttributes } from '../spec/contract.ts';
import {
  NEEDS_OPERATOR,
  type MigrationStatus,
  type Phase,
  type Plan,
  type StepState,
  type StepStatus,
} from '../spec/status.ts';
import { describeStatus } from './status-text.ts';

const KEPT_WARNINGS = 20;
const KEPT_DECISIONS = 100;

export function now(): string {
  return new Date().toISOString();
}

/** The status of a migration that has not begun. */
export function freshStatus(id: string, plan: Plan): MigrationStatus {
  return {
    id,
    kind: plan.kind,
    summary: plan.summary,
    phase: 'running',
    steps: plan.steps.map(({ id, title, kind }) => ({ id, title, kind, state: 'pending', tries: 0 })),
    fence: { state: 'none' },
    cutovers: [],
    warnings: [],
    decisions: [],
    undo: [],
    leftovers: [],
    report: {},
    startedAt: now(),
    updatedAt: now(),
  };
}

export class Board {
  readonly status: MigrationStatus;
  private shown = '';

  constructor(status: MigrationStatus) {
    this.status = status;
  }

  /** Changes the status and shows it. An upsert costs an event, so it is sent only where an attribute changed. */
  update(change: (status: MigrationStatus) => void): void {
    change(this.status);
    this.status.updatedAt = now();
    this.status.warnings = this.status.warnings.slice(-KEPT_WARNINGS);
    this.status.decisions = this.status.decisions.slice(-KEPT_DECISIONS);
    setCurrentDetails(describeStatus(this.status));
    const { phase, steps, step } = this.status;
    const number = steps.findIndex((s) => s.id === step) + 1;
    const label = step ? `${number}/${steps.length} ${step}` : `0/${steps.length}`;
    const key = `${phase} ${label}`;
    if (key === this.shown) return;
    this.shown = key;
    upsertSearchAttributes([
      { key: SearchAttributes.phase, value: phase },
      { key: SearchAttributes.step, value: label },
      { key: SearchAttributes.needsOperator, value: NEEDS_OPERATOR.includes(phase) },
    ]);
  }

  /** @throws a plain Error, which fails the workflow task, where a runbook uses a step that its plan doesn't declare. */
  step(id: string): StepStatus {
    const step = this.status.steps.find((s) => s.id === id);
    if (!step) throw new Error(`step ${id} is not in the plan of ${this.status.kind}`);
    return step;
  }

  begin(id: string, phase: Phase = 'running'): void {
    this.update((status) => {
      const step = this.step(id);
      // Running already: its history was cut while it waited, and it goes on.
      if (step.state !== 'running') step.tries += 1;
      step.state = 'running';
      step.startedAt ??= now();
      delete step.endedAt;
      delete step.note;
      status.step = id;
      status.phase = phase;
      delete status.progress;
    });
  }

  end(id: string, state: StepState, note?: string): void {
    this.update((status) => {
      const step = this.step(id);
      step.state = state;
      step.endedAt = now();
      if (note) step.note = note;
      delete status.progress;
    });
  }

  /** Names something that stays behind. */
  leave(...texts: string[]): void {
    this.update((status) => {
      status.leftovers = [...new Set([...status.leftovers, ...texts])];
    });
  }

  warn(text: string): void {
    if (this.status.warnings.at(-1) === text) return;
    this.update((status) => status.warnings.push(text));
  }
}
