/** The runs of a schedule: what came of each, and whether one of them holds the next ones up. */
import { WorkflowNotFoundError, type Client, type ScheduleDescription } from '@temporalio/client';
import pLimit from 'p-limit';
import { SearchAttributes } from '../spec/contract.ts';
import type { Overlap } from '../spec/schedule-overlap.ts';
import { call, grpcError, Grpc } from './grpc-failure.ts';

export interface ScheduledRun {
  /** The workflow's id: `cutover status`, `watch`, `approve` … take it. */
  id: string;
  /** ISO. When it was due; absent where Temporal no longer says so. */
  dueAt?: string;
  startedAt?: string;
  endedAt?: string;
  /**
   * The phase that it ended or is in (`done`, `aborted`, `running`, `needs-operator`, …); or, where its workflow had no
   * last word: `terminated`, `timed out`, `failed`; or `no longer kept` by Temporal.
   */
  outcome: string;
  /** `step 2/3 snapshot`. */
  step?: string;
  ended: boolean;
  needsOperator: boolean;
}

/** A run that was begun long ago and waits for its operator: nothing runs on this schedule until somebody acts. */
export interface Blocking {
  id: string;
  outcome: string;
  step?: string;
  since?: string;
}

/** A schedule may have hundreds of runs; Temporal names the last ten, and those that run. */
const AT_ONCE = 5;
/** Phases of a run that goes on only when somebody acts. */
const WAITING = ['waiting', 'needs-operator', 'in-doubt', 'paused'];
const BLOCKED_BY: readonly Overlap[] = ['skip', 'buffer-one', 'buffer-all'];

/** Newest first. Asked of each workflow itself, because the server's index lags behind. @throws Unreachable */
export async function scheduledRuns(client: Client, { info }: ScheduleDescription): Promise<ScheduledRun[]> {
  const recent = info.recentActions.map(({ action, scheduledAt, takenAt }) => ({
    ...action.workflow,
    dueAt: scheduledAt.toISOString(),
    startedAt: takenAt.toISOString(),
  }));
  const known = new Set(recent.map(({ workflowId }) => workflowId));
  const older = info.runningActions.map(({ workflow }) => workflow).filter(({ workflowId }) => !known.has(workflowId));
  const limit = pLimit(AT_ONCE);
  const all = [...recent, ...older.map((workflow) => ({ ...workflow, dueAt: undefined, startedAt: undefined }))];
  const runs = await Promise.all(
    all.map(({ workflowId, dueAt, startedAt }) =>
      limit(async (): Promise<ScheduledRun> => {
        const found = await outcomeOf(client, workflowId);
        const begun = startedAt ?? found.startedAt;
        return { id: workflowId, ...found, ...(dueAt ? { dueAt } : {}), ...(begun ? { startedAt: begun } : {}) };
      }),
    ),
  );
  const order = ({ startedAt = '', dueAt = '' }: ScheduledRun) => `${startedAt} ${dueAt}`;
  return runs.toSorted((a, b) => order(b).localeCompare(order(a)));
}

async function outcomeOf(client: Client, workflowId: string): Promise<Omit<ScheduledRun, 'id' | 'dueAt'>> {
  try {
    // Its latest run: a history that was cut goes on under the same id.
    const description = await call(client, 10_000, () => client.workflow.getHandle(workflowId).describe());
    const { typedSearchAttributes: attributes, status, startTime, closeTime } = description;
    const phase = attributes.get(SearchAttributes.phase) ?? 'running';
    const step = attributes.get(SearchAttributes.step);
    const ended = status.name !== 'RUNNING' && status.name !== 'CONTINUED_AS_NEW';
    // A workflow that was terminated keeps the phase it had: it must not look as if it ran, or was done.
    const clean = !ended || (status.name === 'COMPLETED' && phase === 'done') || phase === 'aborted';
    return {
      outcome: clean ? phase : status.name === 'COMPLETED' ? 'completed' : status.name.toLowerCase().replace('_', ' '),
      ...(step ? { step } : {}),
      startedAt: startTime.toISOString(),
      ...(closeTime ? { endedAt: closeTime.toISOString() } : {}),
      ended,
      needsOperator: !ended && WAITING.includes(phase),
    };
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError) && grpcError(error)?.code !== Grpc.NOT_FOUND) throw error;
    return { outcome: 'no longer kept', ended: true, needsOperator: false };
  }
}

/**
 * The run that waits for its operator while the overlap policy keeps the next ones back. Under cancel-other that is one
 * whose undo failed, or that can't be undone any more, where `waiting` ones are there.
 */
export function blockingRun(runs: readonly ScheduledRun[], overlap: Overlap, waiting: number): Blocking | undefined {
  if (!BLOCKED_BY.includes(overlap) && !(overlap === 'cancel-other' && waiting > 0)) return undefined;
  const run = runs.find(({ needsOperator }) => needsOperator);
  if (!run) return undefined;
  const { id, outcome, step, startedAt } = run;
  return { id, outcome, ...(step ? { step } : {}), ...(startedAt ? { since: startedAt } : {}) };
}
