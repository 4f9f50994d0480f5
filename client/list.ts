/** The migrations that run, or ran, by Temporal's search attributes. */
import type { Client, WorkflowExecutionStatusName } from '@temporalio/client';
import { SearchAttributes, WORKFLOW_TYPES } from '../spec/contract.ts';
import { call } from './grpc-failure.ts';

export interface ListedMigration {
  id: string;
  kind: string;
  /** As the workflow last said; where `execution` is not RUNNING or COMPLETED, `execution` has the last word. */
  phase: string;
  /** `step 4/12 follow`. */
  step?: string;
  needsOperator: boolean;
  execution: WorkflowExecutionStatusName;
  startedAt: string;
  endedAt?: string;
  /** The file that it was started from, where the client that started it said so. */
  file?: string;
  taskQueue: string;
}

export interface ListOptions {
  /** Also those that have ended, as long as the server's retention keeps them. */
  all?: boolean | undefined;
  /** Default: all there are. */
  limit?: number | undefined;
}

/**
 * Newest first, page by page. The server's index lags behind by up to some seconds: what was just started may be missing.
 * @throws Unreachable
 */
export async function* listMigrations(
  client: Client,
  options: ListOptions = {},
): AsyncGenerator<ListedMigration, void, undefined> {
  const types = Object.values(WORKFLOW_TYPES).map((type) => `'${type}'`);
  // A migration whose history was cut has one closed run for each cut; only its latest is the migration.
  const which = options.all ? " AND ExecutionStatus != 'ContinuedAsNew'" : " AND ExecutionStatus = 'Running'";
  const pages = client.workflow.list({ query: `WorkflowType IN (${types.join(', ')})${which}`, pageSize: 200 });
  const rows = pages[Symbol.asyncIterator]();
  for (let count = 0; count < (options.limit ?? Infinity); count++) {
    const { value: row, done } = await call(client, 15_000, () => rows.next());
    if (done) return;
    const attributes = row.typedSearchAttributes;
    const step = attributes.get(SearchAttributes.step);
    const file = row.memo?.['file'];
    yield {
      id: row.workflowId,
      kind: attributes.get(SearchAttributes.kind) ?? row.type,
      phase: attributes.get(SearchAttributes.phase) ?? 'unknown',
      ...(step ? { step } : {}),
      needsOperator: row.status.name === 'RUNNING' && (attributes.get(SearchAttributes.needsOperator) ?? false),
      execution: row.status.name,
      startedAt: row.startTime.toISOString(),
      ...(row.closeTime ? { endedAt: row.closeTime.toISOString() } : {}),
      ...(typeof file === 'string' ? { file } : {}),
      taskQueue: row.taskQueue,
    };
  }
}
