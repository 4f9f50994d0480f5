/**
 * The engine that every migration is written in: declared steps, parking with retry / skip / abort, undo, gates,
 * pause, status. The critical section is in critical-section.ts, what an operator may do when in commands.ts.
 */
import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  ContinueAsNew,
  continueAsNew,
  patched,
  setHandler,
  TemporalFailure,
  workflowInfo,
} from '@temporalio/workflow';
import {
  COMMANDS,
  commandUpdates,
  planQuery,
  REFUSED,
  statusQuery,
  type CarriedState,
  type Command,
  type CommandInput,
  type JournalEntry,
  type MigrationInput,
} from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import type { MigrationStatus, OperatorRequest, Plan, Progress } from '../spec/status.ts';
import { Board, freshStatus, now } from './board.ts';
import { refusal } from './commands.ts';
import { reasonOf } from './failure-reason.ts';

/** How an undo is carried out. It gets what was journaled and may run twice; it answers what an operator should know. */
// oxlint-disable-next-line typescript/no-explicit-any -- each undo knows the argument that its own step journaled
export type Undo = (arg: any, run: Run) => Promise<{ note?: string; leftovers?: string[] } | void>;

export interface Runbook {
  plan: Plan;
  undo: Record<string, Undo>;
  body(run: Run): Promise<void>;
  /** What a pause stops beside the runbook, and its resume lets go on. Both may run twice. */
  onPause?(run: Run): Promise<void>;
  onResume?(run: Run): Promise<void>;
  /** Ends what runs beside the steps before the history is cut: a run that goes on as new has no activities. */
  beforeCut?(): Promise<void> | undefined;
  /** After the journal was run backwards: proves that the source takes writes. */
  afterAbort?(run: Run): Promise<void>;
}

/** Thrown through a runbook's body when an operator aborted. */
class Abort extends Error {}

export type OperatorChoice = 'retry' | 'skip' | 'abort';

/**
 * Runs a runbook to its end.
 * @returns the last status, where it is done
 * @throws ApplicationFailure `cutover.Aborted` where an operator aborted it: an aborted migration must not look completed
 */
export async function conduct(input: MigrationInput, runbook: Runbook): Promise<MigrationStatus> {
  const run = new Run(input, runbook);
  // A Temporal cancel is an operator's wish to roll back. It must not reach the activities of an undo or of a critical
  // section, so the whole runbook is out of its reach and it is taken as an abort instead.
  CancellationScope.current().cancelRequested.catch(() => run.abortByCancel());
  return CancellationScope.nonCancellable(async () => {
    try {
      await runbook.body(run);
      // An abort that was accepted while the last step ended is kept: the operator was told that all is undone.
      if (run.aborting) throw new Abort('aborted');
      run.end('done');
      return run.status;
    } catch (error) {
      if (!(error instanceof Abort)) throw error;
      await run.unwind();
      run.end('aborted');
      const by = run.status.abortedBy;
      throw ApplicationFailure.create({
        message: `aborted by ${by?.by ?? 'an operator'}${by?.reason ? `: ${by.reason}` : ''}`,
        type: ErrorType.aborted,
        nonRetryable: true,
        details: [run.status],
        cause: error,
      });
    } finally {
      await condition(allHandlersFinished);
    }
  });
}

/** The id by which commands reach it: a schedule's run has the schedule's with a time, any other the file's own. */
const idOf = (input: MigrationInput) => (input.schedule ? workflowInfo().workflowId : input.migration.id);

export class Run {
  readonly board: Board;
  /** Set once the target is known to be the primary. */
  switched = false;
  /** Set while writes are held back after the switch: no pause and no cut of the history until they are let go. */
  holding = false;
  /** Set while the outcome of a call that may have switched is open. */
  committing = false;
  private readonly input: MigrationInput;
  private readonly runbook: Runbook;
  private readonly results: Record<string, unknown>;
  private journal: JournalEntry[];
  private scope: CancellationScope | undefined;
  private decision: OperatorChoice | undefined;
  private approval: CommandInput | undefined;

  constructor(input: MigrationInput, runbook: Runbook) {
    this.input = input;
    this.runbook = runbook;
    const carried = input.carried;
    this.board = new Board(carried?.status ?? freshStatus(idOf(input), runbook.plan));
    this.results = carried?.results ?? {};
    this.journal = carried?.journal ?? [];
    this.switched = carried?.switched ?? false;
    setHandler(statusQuery, () => this.status, { description: 'The whole state of the migration' });
    setHandler(planQuery, () => runbook.plan, { description: 'The steps, as declared before the start' });
    for (const command of COMMANDS) {
      setHandler(commandUpdates[command], (given) => this.obey(command, given), {
        validator: (given) => this.check(command, given),
        description: `cutover ${command}`,
      });
    }
    this.board.update(() => {});
  }

  get status(): MigrationStatus {
    return this.board.status;
  }

  get aborting(): boolean {
    return this.status.abortedBy !== undefined;
  }

  isDone(id: string): boolean {
    return id in this.results;
  }

  /**
   * A step: activities with retries. When it fails for good the migration does not fail; it parks, and an operator says
   * retry, skip (where the plan allows it) or abort. A step that is done is never run again, also after continue-as-new.
   */
  async step<T>(id: string, body: () => Promise<T>, note?: (value: T) => string | undefined): Promise<T | undefined> {
    while (!this.isDone(id)) {
      await this.border(id);
      this.board.begin(id, this.holding ? 'critical' : 'running');
      try {
        const value = await this.interruptible(body);
        this.complete(id, value, note?.(value));
      } catch (error) {
        this.rethrowUnlessFailure(error);
        const choice = await this.park(id, error as Error, this.choicesFor(id));
        if (choice === 'skip') {
          this.results[id] = null;
          this.board.end(id, 'skipped', `skipped: ${reasonOf(error).message}`);
        }
      }
    }
    return (this.results[id] ?? undefined) as T | undefined;
  }

  /** Marks a step as done that another one has carried out. */
  complete(id: string, value: unknown, note?: string): void {
    this.results[id] = value ?? null;
    this.board.end(id, 'done', note);
  }

  progress(progress: Progress): void {
    this.board.update((status) => {
      status.progress = progress;
    });
  }

  /** Writes down how a step is undone. Called before the step applies anything; again with the same id replaces it. */
  arm(entry: JournalEntry): void {
    this.journal = [...this.journal.filter((e) => e.id !== entry.id), entry];
    this.showJournal();
  }

  /** Takes an undo back, because what it would undo is undone, or is meant to stay. */
  disarm(id: string): void {
    this.journal = this.journal.filter((e) => e.id !== id);
    this.showJournal();
  }

  /** What would be undone, where it was armed and not taken back. */
  armed(id: string): JournalEntry | undefined {
    return this.journal.find((entry) => entry.id === id);
  }

  isArmed(id: string): boolean {
    return this.armed(id) !== undefined;
  }

  /** Runs one undo now and takes it out of the journal. */
  async undoNow(id: string): Promise<void> {
    const entry = this.armed(id);
    if (!entry) return;
    await this.carryOut(entry);
    this.disarm(id);
  }

  /** Where a migration may stop: takes a pause, an abort, and cuts the history where Temporal suggests it. */
  async border(next: string): Promise<void> {
    await this.pauseWithin(next);
    await this.breathe();
  }

  /** Takes a pause inside a step that waits for long. @throws Abort; TemporalFailure of what a pause stops */
  async pauseWithin(step: string): Promise<void> {
    if (this.status.pausedBy && !this.aborting && !this.holding) {
      const { phase } = this.status;
      this.board.update((status) => {
        status.phase = 'paused';
        status.step = step;
      });
      await this.orWarn('it is paused, but not all of it', () => this.runbook.onPause?.(this));
      await condition(() => !this.status.pausedBy || this.aborting);
      if (!this.aborting) await this.orWarn('it goes on, but not all of it', () => this.runbook.onResume?.(this));
      this.board.update((status) => {
        status.phase = phase;
      });
    }
    if (this.aborting) throw new Abort('aborted');
  }

  /** A pause or its end must not fail a migration: what could not be stopped or started is said, and shows by itself. */
  private async orWarn(what: string, body: () => Promise<void> | undefined): Promise<void> {
    try {
      await body();
    } catch (error) {
      this.rethrowUnlessFailure(error);
      this.board.warn(`${what}: ${reasonOf(error).message}`);
    }
  }

  /** Continues as new where the history has grown long. Call only where no activity is under way. */
  async breathe(): Promise<void> {
    if (this.holding || !workflowInfo().continueAsNewSuggested) return;
    // An approval that was accepted would be lost with this run: its gate takes it first.
    if (this.approval && patched('approval-before-cut')) return;
    // Nor must one be accepted while it is cut, which takes seconds where something runs beside the steps.
    this.board.update(({ gate }) => {
      if (gate) Object.assign(gate, { ready: false, notReady: 'its history is being cut, it goes on in a moment' });
    });
    await this.runbook.beforeCut?.();
    await condition(allHandlersFinished);
    const carried: CarriedState = {
      version: 1,
      status: this.status,
      results: this.results,
      journal: this.journal,
      switched: this.switched,
    };
    await continueAsNew({ ...this.input, carried });
  }

  /** Runs `body` so that an abort can end it; waits until its activities have really stopped. */
  async interruptible<T>(body: () => Promise<T>): Promise<T> {
    // Two commands in one moment: an abort right behind the one that led here finds no scope to cancel.
    if (this.aborting) throw new Abort('aborted');
    const scope = new CancellationScope();
    this.scope = scope;
    try {
      return await scope.run(body);
    } catch (error) {
      if (this.aborting && !(error instanceof ContinueAsNew)) throw new Abort('aborted');
      throw error;
    } finally {
      this.scope = undefined;
    }
  }

  /** Parks with the reason shown until an operator decides. @throws Abort where the decision is to abort */
  async park(
    id: string,
    error: Error,
    choices: OperatorChoice[],
    phase: 'needs-operator' | 'in-doubt' = 'needs-operator',
  ) {
    this.ask(id, error, choices, phase);
    await condition(() => this.decision !== undefined || (this.aborting && phase !== 'in-doubt'));
    return this.takeDecision();
  }

  /** Shows the operator what is asked, without waiting. */
  ask(id: string, error: Error, choices: OperatorChoice[], phase: 'needs-operator' | 'in-doubt'): void {
    const { message, type, remedy } = reasonOf(error);
    const request: OperatorRequest = { step: id, reason: message, choices, since: now() };
    if (type) request.errorType = type;
    if (remedy) request.remedy = remedy;
    this.decision = undefined;
    this.board.update((status) => {
      status.phase = phase;
      status.step = id;
      status.operator = request;
      const step = this.board.step(id);
      step.state = 'failed';
      step.note = message;
    });
  }

  get decided(): boolean {
    return this.decision !== undefined;
  }

  /** Ends the question and answers what was decided. @throws Abort */
  takeDecision(): OperatorChoice {
    const decision = this.decision ?? 'abort';
    this.clearQuestion();
    if (decision === 'abort') throw new Abort('aborted');
    return decision;
  }

  clearQuestion(): void {
    // Left behind, it would answer the next question.
    this.decision = undefined;
    this.board.update((status) => {
      delete status.operator;
      if (status.phase === 'needs-operator' || status.phase === 'in-doubt') status.phase = 'running';
    });
  }

  /** The approval of the gate that waits, once. */
  takeApproval(): CommandInput | undefined {
    const approval = this.approval;
    this.approval = undefined;
    return approval;
  }

  get approved(): boolean {
    return this.approval !== undefined;
  }

  abortByCancel(): void {
    const given = { by: 'temporal workflow cancel' };
    const refused = refusal(this.status, this, 'abort', given);
    if (refused) this.board.warn(`a workflow cancel was not obeyed: ${refused}`);
    else this.obey('abort', given);
  }

  /** Runs the journal backwards. What can't be undone is shown, and the operator says retry or skip. */
  async unwind(): Promise<void> {
    this.board.update((status) => {
      status.phase = 'aborting';
      delete status.gate;
      delete status.operator;
      delete status.progress;
      delete status.pausedBy;
    });
    for (const entry of this.journal.toReversed()) await this.undoOrAsk(entry.id, () => this.carryOut(entry));
    if (this.runbook.afterAbort) await this.undoOrAsk(undefined, () => this.runbook.afterAbort!(this));
    for (const step of this.status.steps)
      if (step.state === 'running' || step.state === 'failed') step.state = 'undone';
  }

  private async undoOrAsk(entryId: string | undefined, attempt: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await attempt();
        return;
      } catch (error) {
        this.rethrowUnlessFailure(error);
        const { message } = reasonOf(error);
        const step = this.status.step ?? this.status.steps[0]!.id;
        this.ask(step, error as Error, ['retry', 'skip'], 'needs-operator');
        await condition(() => this.decision === 'retry' || this.decision === 'skip');
        const choice = this.takeDecision();
        this.board.update((status) => {
          status.phase = 'aborting';
        });
        if (choice === 'skip') {
          const title = this.journal.find((e) => e.id === entryId)?.title ?? 'the proof that the source takes writes';
          this.board.leave(`not undone: ${title} (${message})`);
          return;
        }
      }
    }
  }

  private async carryOut(entry: JournalEntry): Promise<void> {
    const undo = this.runbook.undo[entry.undo];
    if (!undo) throw new Error(`no undo is registered as ${entry.undo}`);
    const mark = (state: 'undone' | 'failed', note?: string) =>
      this.board.update((status) => {
        const shown = status.undo.find((u) => u.id === entry.id);
        if (shown) Object.assign(shown, { state }, note ? { note } : {});
      });
    try {
      const answer = await undo(entry.arg, this);
      mark('undone', answer?.note);
      if (answer?.leftovers?.length) this.board.leave(...answer.leftovers);
    } catch (error) {
      if (error instanceof TemporalFailure) mark('failed', reasonOf(error).message);
      throw error;
    }
  }

  end(phase: 'done' | 'aborted'): void {
    this.board.update((status) => {
      status.phase = phase;
      status.endedAt = now();
      delete status.progress;
      delete status.gate;
      delete status.operator;
    });
  }

  /** Says that applications can write again: the end of the write pause. */
  opened(): void {
    if (!this.holding) return;
    this.holding = false;
    this.board.update((status) => {
      const attempt = status.cutovers.at(-1);
      if (attempt?.fencedAt !== undefined) attempt.writePauseMs ??= Date.now() - attempt.fencedAt;
      status.phase = 'running';
    });
  }

  private showJournal(): void {
    this.board.update((status) => {
      status.undo = this.journal.map(({ id, title }) => ({ id, title, state: 'armed' }));
    });
  }

  private choicesFor(id: string): OperatorChoice[] {
    const skippable = this.runbook.plan.steps.find((s) => s.id === id)?.skip !== undefined;
    return ['retry', ...(skippable ? (['skip'] as const) : []), ...(this.switched ? [] : (['abort'] as const))];
  }

  /** A plain Error is a bug of ours: it fails the workflow task, which is retried once the bug is mended. */
  rethrowUnlessFailure(error: unknown): void {
    if (error instanceof Abort || error instanceof ContinueAsNew || !(error instanceof TemporalFailure)) throw error;
  }

  private check(command: Command, given: CommandInput): void {
    const refused = refusal(this.status, this, command, given);
    if (refused) throw ApplicationFailure.nonRetryable(refused, REFUSED);
  }

  private obey(command: Command, given: CommandInput): { message: string } {
    const { by, reason } = given;
    const who = { by, at: now(), ...(reason ? { reason } : {}) };
    const step = this.status.gate?.id ?? this.status.operator?.step ?? this.status.step;
    this.board.update((status) => {
      status.decisions.push({ command, ...who, ...(step ? { step } : {}) });
      if (command === 'pause') status.pausedBy = who;
      if (command === 'resume') delete status.pausedBy;
      if (command === 'abort') status.abortedBy = who;
    });
    if (command === 'approve') this.approval = given;
    if (command === 'retry' || command === 'skip') this.decision = command;
    if (command === 'abort') {
      if (this.status.operator) this.decision = 'abort';
      this.scope?.cancel();
    }
    return { message: ANSWERS[command](step ?? '') };
  }
}

const ANSWERS: Record<Command, (step: string) => string> = {
  approve: (step) => `${step} approved`,
  pause: () => 'it pauses before the next step',
  resume: () => 'it goes on',
  retry: (step) => `${step} is tried again`,
  skip: (step) => `${step} is skipped`,
  abort: () => 'it aborts: what was done is undone now',
};
