/** `MigrationStatus`: the one serialisable state of a migration, the same for Query, search attributes, UI and terminal. */

/**
 * - `running`: a step is under way
 * - `waiting`: at a gate, waits for approval or a window
 * - `paused`: an operator paused it; it stops at the next step's border
 * - `needs-operator`: a step failed and waits for retry, skip or abort
 * - `critical`: inside the critical section, writes may be held back
 * - `in-doubt`: a call that may have switched has no known outcome; the fence stays
 * - `aborting`: undoing what was done
 * - `done` / `aborted`: ended
 */
export type Phase =
  'running' | 'waiting' | 'paused' | 'needs-operator' | 'critical' | 'in-doubt' | 'aborting' | 'done' | 'aborted';

export const ENDED: readonly Phase[] = ['done', 'aborted'];
export const NEEDS_OPERATOR: readonly Phase[] = ['waiting', 'needs-operator', 'in-doubt'];

export type StepKind = 'step' | 'gate' | 'critical';

/** A step as it is declared, before anything runs: what `cutover plan` prints. */
export interface PlannedStep {
  id: string;
  title: string;
  kind: StepKind;
  /** What undoing it does, in a sentence; absent where there is nothing to undo. */
  undo?: string;
  /** True where an operator may skip it after a failure; says what is lost by it. */
  skip?: string;
  /** What an operator must know before it starts, such as that there is no way back after it. */
  warning?: string;
}

export interface Plan {
  kind: string;
  title: string;
  /** From what to what, in a line, without secrets. */
  summary: string;
  steps: PlannedStep[];
  warnings: string[];
}

export interface Progress {
  /** What is going on, for people: `copying, 62 %`. */
  text: string;
  done?: number;
  total?: number;
  unit?: 'bytes' | 'keys' | 'rows' | 'seconds';
  perSecond?: number;
  etaMs?: number;
  lagBytes?: number;
  lagSeconds?: number;
}

export type StepState = 'pending' | 'running' | 'done' | 'skipped' | 'failed' | 'undone';

export interface StepStatus {
  id: string;
  title: string;
  kind: StepKind;
  state: StepState;
  /** How often it was begun; above 1 after an operator's retry or a cutover that was undone. */
  tries: number;
  startedAt?: string;
  endedAt?: string;
  /** One line of result or reason. */
  note?: string;
}

export interface GateStatus {
  id: string;
  title: string;
  since: string;
  ready: boolean;
  /** Why it can't be approved yet. */
  notReady?: string;
  /** ISO times, where the file gives a window. */
  opensAt?: string;
  closesAt?: string;
  /** What has to be typed to approve it: the name of what can't be brought back afterwards. */
  confirm?: string;
}

export interface OperatorRequest {
  step: string;
  reason: string;
  /** The error's type from spec/errors.ts. */
  errorType?: string;
  remedy?: string;
  choices: ('retry' | 'skip' | 'abort')[];
  since: string;
}

export interface FenceStatus {
  state: 'none' | 'up' | 'lifted' | 'kept' | 'in-doubt';
  since?: string;
  detail?: string;
}

export interface PhaseTiming {
  name: string;
  ms: number;
  budgetMs?: number;
}

/** One pass through the critical section. */
export interface CutoverAttempt {
  number: number;
  startedAt: string;
  endedAt?: string;
  outcome: 'under-way' | 'switched' | 'undone' | 'in-doubt';
  reason?: string;
  phases: PhaseTiming[];
  /** When the source began to refuse writes, epoch ms on the worker's clock. */
  fencedAt?: number;
  /** From the fence until the target was open for writes (or the fence was lifted), in ms, as measured by the worker. */
  writePauseMs?: number;
}

export interface Decision {
  command: string;
  by: string;
  at: string;
  reason?: string;
  step?: string;
}

export interface UndoEntry {
  id: string;
  title: string;
  state: 'armed' | 'undone' | 'failed';
  note?: string;
}

export interface MigrationStatus {
  id: string;
  kind: string;
  summary: string;
  phase: Phase;
  /** The step under way, or the last one. */
  step?: string;
  steps: StepStatus[];
  progress?: Progress;
  gate?: GateStatus;
  operator?: OperatorRequest;
  pausedBy?: { by: string; at: string; reason?: string };
  abortedBy?: { by: string; at: string; reason?: string };
  fence: FenceStatus;
  cutovers: CutoverAttempt[];
  /** Newest last; at most 20 are kept. */
  warnings: string[];
  /** Newest last; at most 100 are kept. */
  decisions: Decision[];
  undo: UndoEntry[];
  /** What an abort or the end leaves behind, by name. */
  leftovers: string[];
  /** What the kind of migration reports: preflight results, compare counts, snapshot names. */
  report: Record<string, unknown>;
  startedAt: string;
  updatedAt: string;
  endedAt?: string;
}
