/** Waits for a restored or imported table. */
import { DescribeImportCommand, type ImportTableDescription } from '@aws-sdk/client-dynamodb';
import type { MadeTable } from '../../spec/dynamodb-restore-state.ts';
import { ErrorType } from '../../spec/errors.ts';
import { dynamodb, type AwsTarget } from '../aws/clients.ts';
import { keep, kept } from '../aws/kept.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { importMeaning, tableMeaning, type StatusMeaning } from './status-table.ts';
import { findTable } from './tables.ts';

const NOT_YET_LISTED_MS = 120_000;

interface Reading {
  done: boolean;
  text: string;
}

/**
 * Ends when the table is ACTIVE, nothing is being restored into it, and its import, if it is one, is COMPLETED with no error.
 * @param args.timeoutMs ms in all; attempts of the activity that were lost count
 * @throws cutover.ServiceFailed with what the service says, cutover.NotOurs where another table is there, cutover.Deadline;
 *   the passing ones
 */
export async function awaitTable(args: {
  made: MadeTable;
  timeoutMs: number;
  aws: AwsTarget;
}): Promise<{ imported?: number; warning?: string }> {
  const { made, timeoutMs, aws } = args;
  const { beganAt = Date.now() } = kept<{ beganAt: number }>();
  keep({ beganAt });
  let imported: number | undefined;
  let warning: string | undefined;
  await waitUntil<Reading>({
    intervalMs: pollInterval(),
    read: async () => {
      const waited = Date.now() - beganAt;
      const task = made.importArn ? await findImport(made.importArn, aws) : undefined;
      const ended = task ? importEnd(made, task) : undefined;
      const table = await tableEnd(made, waited, aws);
      imported = task?.ImportedItemCount;
      warning = ended?.warning ?? table.warning;
      const done = table.meaning === 'ok' && (ended === undefined || ended.meaning === 'ok');
      const text = `${made.table}: ${[table.status, task?.ImportStatus, task?.ProcessedItemCount && `${task.ProcessedItemCount} items`].filter(Boolean).join(', ')} (${Math.round(waited / 1000)} s)`;
      if (!done && waited > timeoutMs) {
        throw permanent(ErrorType.deadline, `not restored within ${Math.round(timeoutMs / 1000)} s: ${text}`, {
          remedy: 'AWS goes on with it: retry the step to wait on',
        });
      }
      return { done, text };
    },
    done: ({ done }) => done,
    progress: ({ text }) => ({ text }),
  });
  return { ...(imported === undefined ? {} : { imported }), ...(warning ? { warning } : {}) };
}

async function findImport(importArn: string, aws: AwsTarget): Promise<ImportTableDescription | undefined> {
  try {
    return (await dynamodb(aws).send(new DescribeImportCommand({ ImportArn: importArn }))).ImportTableDescription;
  } catch (error) {
    if (isCode(error, 'ImportNotFound')) return undefined;
    throw awsFailure(error, `DescribeImport ${importArn}`);
  }
}

function importEnd(made: MadeTable, task: ImportTableDescription): StatusMeaning {
  const meaning = importMeaning(task.ImportStatus);
  const errors = task.ErrorCount ?? 0;
  if (meaning.meaning === 'failed' || (meaning.meaning === 'ok' && errors > 0)) {
    throw permanent(
      ErrorType.serviceFailed,
      `the import into ${made.table} is ${task.ImportStatus}, with ${errors} errors: ${task.FailureCode ?? ''} ${task.FailureMessage ?? ''}`.trim(),
      {
        remedy: `its log names the items: ${task.CloudWatchLogGroupArn ?? 'CloudWatch /aws-dynamodb/imports'}; a retry deletes the table and imports again`,
        facts: { importArn: task.ImportArn },
      },
    );
  }
  return meaning;
}

async function tableEnd(made: MadeTable, waited: number, aws: AwsTarget) {
  const table = await findTable(made.table, aws);
  if (!table) {
    if (waited > NOT_YET_LISTED_MS) throw permanent(ErrorType.serviceFailed, `the table ${made.table} is not there`);
    return { meaning: 'pending' as const, status: 'not listed yet' };
  }
  if (made.tableId !== undefined && table.TableId !== made.tableId) {
    throw permanent(ErrorType.notOurs, `the table ${made.table} was replaced by another one of its name`);
  }
  const { meaning, warning } = tableMeaning(table.TableStatus);
  const status = table.TableStatus ?? '';
  if (meaning === 'failed' || meaning === 'ask') {
    throw permanent(ErrorType.serviceFailed, `the table ${made.table} is ${status}`);
  }
  const busy = meaning === 'ok' && table.RestoreSummary?.RestoreInProgress === true;
  return { meaning: busy ? ('pending' as const) : meaning, status, ...(warning ? { warning } : {}) };
}
