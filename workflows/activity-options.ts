/** How activities are called: queues, timeouts, retries. All of it in one place. */
import { proxyActivities, type ActivityOptions } from '@temporalio/workflow';
import type * as activities from '../activities/index.ts';
import { taskQueues, type MigrationInput } from '../spec/contract.ts';

export type Activities = typeof activities;

// Retries by type, not by count: a failure that no retry mends says so itself. A step that gets nowhere within this time
// parks and asks the operator.
const FORWARD_DEADLINE = '10m';
const RETRY = { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '30s' } as const;

const YEAR = '365d';

/**
 * The same activities under six sets of options.
 * Every activity beats (worker/interceptors.ts), and is waited for when it is cancelled: an undo must not start while
 * what it undoes is still going on. The SDK's default is not to wait (facts/temporal 0.1).
 */
export function activityProxies(input: MigrationInput) {
  const queues = taskQueues(input.taskQueue);
  const crash = input.migration.crashDetection;
  const proxy = (options: ActivityOptions) =>
    proxyActivities<Activities>({
      heartbeatTimeout: crash,
      cancellationType: 'WAIT_CANCELLATION_COMPLETED',
      retry: RETRY,
      ...options,
    });
  return {
    /** Short calls. */
    quick: proxy({ taskQueue: queues.main, startToCloseTimeout: '2m', scheduleToCloseTimeout: FORWARD_DEADLINE }),
    /** Long waits; they end by what they wait for, or by their own deadline. */
    wait: proxy({ taskQueue: queues.wait, startToCloseTimeout: YEAR }),
    /** Long looks that change nothing: nobody has to wait until one of them has heard that it is cancelled. */
    watch: proxy({ taskQueue: queues.wait, startToCloseTimeout: YEAR, cancellationType: 'TRY_CANCEL' }),
    /** Reading or moving much data. */
    copy: proxy({ taskQueue: queues.copy, startToCloseTimeout: YEAR }),
    /** Beside the steps, from the first copy to the cutover: it must not hold the place of a compare. */
    follow: proxy({ taskQueue: queues.follow, startToCloseTimeout: YEAR }),
    /** Undo: as quick; the runbook asks the operator where it fails. */
    undo: proxy({ taskQueue: queues.main, startToCloseTimeout: '2m', scheduleToCloseTimeout: '2m' }),
  };
}

/** A busy machine must not make a second attempt of a critical activity start, ms. */
const SILENCE_MS = 3_000;

/**
 * Options of an activity inside a critical section: all its attempts together must end within `budgetMs`, and a dead
 * worker is noticed within seconds. `firstPhaseMs` is how long an attempt may take to begin to act; an attempt is never
 * given up before that, so that one that was given up can't begin any more (activities/redis/critical-lease.ts).
 */
export function criticalOptions(input: MigrationInput, budgetMs: number, firstPhaseMs = SILENCE_MS): ActivityOptions {
  const crash = Math.min(input.migration.crashDetection, 5_000);
  return {
    taskQueue: taskQueues(input.taskQueue).main,
    startToCloseTimeout: budgetMs,
    scheduleToCloseTimeout: budgetMs,
    heartbeatTimeout: Math.max(crash, firstPhaseMs + 2_000),
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
    retry: { initialInterval: '100ms', backoffCoefficient: 1.5, maximumInterval: '2s' },
  };
}
