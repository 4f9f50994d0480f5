/** The checks of a migration, run by a worker from where it would run: they change nothing. */
import { WorkflowFailedError, type Client } from '@temporalio/client';
import { PREFLIGHT_WORKFLOW, type MigrationInput } from '../spec/contract.ts';
import type { Migration } from '../spec/migration.ts';
import type { PreflightReport } from '../spec/preflight.ts';
import { reasonOf } from '../workflows/failure-reason.ts';
import { Failed } from './errors.ts';
import { call, grpcError, Grpc } from './grpc-failure.ts';
import { operatorName } from './operator-name.ts';
import { defaultTaskQueue } from './task-queue.ts';
import { expectWorker } from './workers.ts';

export interface PreflightOptions {
  migration: Migration;
  /** Default: CUTOVER_TASK_QUEUE, or `cutover`. */
  taskQueue?: string | undefined;
  /** How long all checks may take, in ms. Default: 5 minutes. */
  timeoutMs?: number | undefined;
}

/** @throws NoWorker, Unreachable; Failed where the checks could not be run. A failed check is in the report, not thrown. */
export async function runPreflight(client: Client, options: PreflightOptions): Promise<PreflightReport> {
  const { migration, taskQueue = defaultTaskQueue(), timeoutMs = 300_000 } = options;
  await expectWorker(client, taskQueue);
  const input: MigrationInput = { migration, taskQueue, startedBy: operatorName() };
  const workflow = await call(client, 15_000, () =>
    client.workflow.start(PREFLIGHT_WORKFLOW, {
      workflowId: `preflight-${migration.id}`,
      taskQueue,
      args: [input],
      // An earlier one may be of an older state of the file; it changes nothing, so it may be ended.
      workflowIdConflictPolicy: 'TERMINATE_EXISTING',
      workflowRunTimeout: timeoutMs,
      staticSummary: `preflight of ${migration.id}`,
    }),
  );
  try {
    // The run's own timeout ends it first, with a better word.
    return (await client.withDeadline(Date.now() + timeoutMs + 10_000, () => workflow.result())) as PreflightReport;
  } catch (error) {
    if (error instanceof WorkflowFailedError) {
      const reason = reasonOf(error.cause ?? error);
      throw new Failed(`the preflight could not be run: ${reason.message}`, { mend: reason.remedy, cause: error });
    }
    if (grpcError(error)?.code === Grpc.DEADLINE_EXCEEDED)
      throw new Failed(`the preflight gave no report within ${timeoutMs / 1000} s`, { cause: error });
    throw error;
  }
}
