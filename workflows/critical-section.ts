/**
 * The critical section, from the fence to the switch. Nothing parks in here before the call that may switch: a failure
 * or the end of a budget lifts the fence at once and the migration is back at its gate, with the reason shown.
 * From that call on the outcome is open. The fence is then lifted only when it is *known* that the target was not
 * promoted; in doubt it stays, and the operator is told: lifting it in doubt would lose writes.
 */
import { ApplicationFailure, CancellationScope, condition } from '@temporalio/workflow';
import { ErrorType } from '../spec/errors.ts';
import type { CutoverAttempt, PhaseTiming } from '../spec/status.ts';
import { now } from './board.ts';
import { reasonOf } from './failure-reason.ts';
import type { Run } from './runbook.ts';

export interface Outcome {
  outcome: 'switched' | 'not-switched' | 'unknown';
  /** What shows it: a ROLE, an event's text, an answer. */
  evidence: string;
}

/** What a phase measured itself, on the worker's clock; more exact than the workflow's. */
export interface Measured {
  phases?: PhaseTiming[];
  writePauseMs?: number;
}

export interface CriticalSection {
  id: string;
  /** The name of the undo that lifts the fence; journaled before anything is fenced. */
  fenceUndo: { undo: string; arg: unknown; title: string };
  /** Fence and drain: may be undone as a whole. */
  before?(section: Section): Promise<void>;
  /** Makes the call that may switch, and waits for its outcome. Runs to its end, no abort reaches it. */
  commit(section: Section): Promise<void>;
  /** Finds out what the call did. `patient` waits for an event for as long as it takes (in doubt), and can be cancelled. */
  outcome(patient: boolean): Promise<Outcome>;
  /** What an operator's retry does in doubt, before the outcome is asked for again. */
  again?(): Promise<void>;
  /**
   * An operator's way out of the doubt: makes sure that the target is not used, so that the fence may be lifted. Fails
   * where it can't make sure.
   */
  giveUp(): Promise<void>;
}

/** What a section's parts tell while they run. */
export class Section {
  readonly attempt: CutoverAttempt;
  private readonly run: Run;

  constructor(run: Run, attempt: CutoverAttempt) {
    this.run = run;
    this.attempt = attempt;
  }

  /** Runs one phase, shown with its budget; an activity that measured itself says so in its result. */
  async phase<T>(name: string, budgetMs: number, body: () => Promise<T>): Promise<T> {
    this.run.board.update((status) => {
      status.progress = { text: `${name}, budget ${budgetMs} ms` };
    });
    const began = Date.now();
    const value = await body();
    const { phases, writePauseMs } = (value ?? {}) as Measured;
    this.run.board.update(() => {
      this.attempt.phases.push(...(phases ?? [{ name, ms: Date.now() - began, budgetMs }]));
      if (writePauseMs !== undefined) this.attempt.writePauseMs = writePauseMs;
    });
    return value;
  }

  fenceUp(detail: string): void {
    this.run.board.update((status) => {
      status.fence = { state: 'up', since: now(), detail };
    });
  }
}

/** The journal's entry for it. */
export const FENCE = 'fence';
const LOOK_AGAIN = '1m';

/** @returns true where the target is the primary now; false where everything is as it was before, at the gate. */
export async function critical(run: Run, given: CriticalSection): Promise<boolean> {
  const { id } = given;
  run.board.begin(id);
  const attempt: CutoverAttempt = {
    number: run.status.cutovers.length + 1,
    startedAt: now(),
    outcome: 'under-way',
    phases: [],
  };
  run.board.update((status) => {
    status.phase = 'critical';
    status.cutovers.push(attempt);
  });
  const section = new Section(run, attempt);
  run.arm({ id: FENCE, ...given.fenceUndo });
  try {
    if (given.before) await run.interruptible(() => given.before!(section));
  } catch (error) {
    await undone(run, id, attempt, error);
    return false;
  }
  // Between the last cancellable call and the commit no abort may slip in unseen.
  if (run.aborting) {
    await undone(run, id, attempt, new Error('aborted'));
    return false;
  }
  run.committing = true;
  try {
    const failure = await settled(given.commit(section));
    const outcome = failure ? await resolve(run, given, attempt, failure.error) : 'switched';
    if (outcome === 'not-switched') {
      await undone(run, id, attempt, failure!.error);
      return false;
    }
  } finally {
    run.committing = false;
  }
  run.switched = true;
  run.holding = true;
  run.disarm(FENCE);
  run.board.update((status) => {
    if (status.abortedBy) status.warnings.push('an abort came too late: the target had been promoted');
    delete status.abortedBy;
    attempt.outcome = 'switched';
    attempt.endedAt = now();
    status.phase = 'critical';
    status.fence = {
      state: 'kept',
      since: status.fence.since ?? attempt.startedAt,
      detail:
        'the target is the primary; the old source refuses writes, so that a straggler gets an error and loses nothing',
    };
  });
  run.complete(
    id,
    null,
    attempt.writePauseMs === undefined ? undefined : `write pause ${Math.round(attempt.writePauseMs)} ms`,
  );
  return true;
}

async function settled(promise: Promise<void>): Promise<{ error: unknown } | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return { error };
  }
}

/** Finds out what happened, for as long as it takes. In doubt the operator is told, and may end it by giving up. */
async function resolve(
  run: Run,
  given: CriticalSection,
  attempt: CutoverAttempt,
  failure: unknown,
): Promise<'switched' | 'not-switched'> {
  run.rethrowUnlessFailure(failure);
  let patient = false;
  let why = reasonOf(failure).message;
  for (;;) {
    const scope = new CancellationScope();
    const asked = scope
      .run(() => given.outcome(patient))
      .then(
        (outcome) => outcome,
        (error: unknown): Outcome => {
          run.rethrowUnlessFailure(error);
          return { outcome: 'unknown', evidence: reasonOf(error).message };
        },
      );
    let known: Outcome | undefined;
    void asked.then((outcome) => (known = outcome));
    await condition(() => known !== undefined || run.decided);
    scope.cancel();
    known = await asked;
    if (known.outcome !== 'unknown') {
      if (patient) run.clearQuestion();
      run.board.warn(`cutover ${attempt.number}: ${why}; then: ${known.evidence}`);
      return known.outcome;
    }
    if (run.decided) {
      if (chosen(run) === 'retry') {
        const failed = given.again ? await settled(given.again()) : undefined;
        if (failed) run.rethrowUnlessFailure(failed.error);
        patient = false;
        continue;
      }
      // An abort may come just as the target can be asked again. Where it was promoted, the application may write there.
      const last = await given.outcome(false).catch((error: unknown): Outcome => {
        run.rethrowUnlessFailure(error);
        return { outcome: 'unknown', evidence: reasonOf(error).message };
      });
      if (last.outcome !== 'unknown') return last.outcome;
      const refused = await settled(given.giveUp());
      if (!refused) return 'not-switched';
      run.rethrowUnlessFailure(refused.error);
      why = `the target could not be made to give up: ${reasonOf(refused.error).message}`;
    } else {
      why = known.evidence;
      // A patient look that ends without an answer has failed for good: again at once would only fill the history.
      if (patient) await condition(() => run.decided, LOOK_AGAIN, { summary: 'then the outcome is asked for again' });
      if (run.decided) continue;
    }
    tellDoubt(run, given.id, attempt, why);
    // Once asked, the operator's answer or an event ends the wait, whichever comes first.
    patient = true;
  }
}

function chosen(run: Run): string {
  try {
    return run.takeDecision();
  } catch {
    return 'abort';
  }
}

function tellDoubt(run: Run, id: string, attempt: CutoverAttempt, why: string): void {
  run.ask(
    id,
    ApplicationFailure.create({
      type: ErrorType.inDoubt,
      message: `it is not known whether the target was promoted (${why}); the fence stays and writes are refused until it is`,
      details: [
        {
          remedy:
            'it goes on by itself as soon as ROLE or an event tells. retry asks at once; abort ends the migration for good, makes the target give up, and lets the source take writes again',
        },
      ],
    }),
    ['retry', 'abort'],
    'in-doubt',
  );
  run.board.update((status) => {
    attempt.outcome = 'in-doubt';
    attempt.reason = why;
    status.fence = { ...status.fence, state: 'in-doubt', detail: `the fence stays: ${why}` };
  });
}

/** Lifts the fence, shows why, and leaves the migration at its gate. An abort goes on from there. */
async function undone(run: Run, id: string, attempt: CutoverAttempt, error: unknown): Promise<void> {
  if (!run.aborting) run.rethrowUnlessFailure(error);
  const { message, remedy } = reasonOf(error);
  const reason = run.aborting ? `aborted by ${run.status.abortedBy!.by}` : message;
  await liftFence(run, id);
  run.board.update((status) => {
    attempt.outcome = 'undone';
    attempt.reason = reason;
    if (attempt.fencedAt !== undefined) attempt.writePauseMs = Date.now() - attempt.fencedAt;
    attempt.endedAt = now();
    status.fence = { state: 'lifted', since: now(), detail: `lifted after: ${reason}` };
    status.phase = 'running';
  });
  run.board.end(id, 'undone', reason);
  const mend = remedy && !run.aborting ? `; to mend it: ${remedy}` : '';
  run.board.warn(`cutover ${attempt.number} was undone, the source takes writes: ${reason}${mend}`);
}

/** The fence holds all writes back, so lifting it never gives up; while it fails, the operator sees why and how. */
async function liftFence(run: Run, id: string): Promise<void> {
  for (;;) {
    try {
      await run.undoNow(FENCE);
      return;
    } catch (error) {
      run.rethrowUnlessFailure(error);
      run.board.warn(`the fence could not be lifted yet: ${reasonOf(error).message}`);
      run.ask(id, error as Error, ['retry'], 'needs-operator');
      await condition(() => run.decided, '30s', { summary: 'then the fence is tried again' });
      run.clearQuestion();
    }
  }
}
