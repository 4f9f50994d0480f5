/**
 * Whether a table is the one that this run made: the guard before every deletion. A restored table has no tags at first,
 * and its name alone proves nothing. What does: the table's id, which the answer told; and where no answer came, that
 * there was none of the name before, and that it was restored from our source to our very point in time since, or imported
 * with our ClientToken.
 */
import {
  DeleteTableCommand,
  DescribeImportCommand,
  ListImportsCommand,
  TagResourceCommand,
} from '@aws-sdk/client-dynamodb';
import type { TableDescription } from '@aws-sdk/client-dynamodb';
import type { MadeTable } from '../../spec/dynamodb-restore-state.ts';
import { ErrorType } from '../../spec/errors.ts';
import { dynamodb, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { findTable, regionFlag } from './tables.ts';

/** AWS's clock may be behind the worker's. */
const SKEW_MS = 5 * 60_000;

/**
 * A table may be asked for and not be listed yet (CreateTable's documentation: DescribeTable may not find it at once). An
 * undo that took the first "there is none" for an answer would leave it behind without a word. ms
 */
const NOT_YET_LISTED_MS = 10_000;

export type Ownership =
  | { answer: 'gone' }
  | { answer: 'ours'; tableId: string; tableArn: string; status: string; importArn?: string }
  | { answer: 'not ours' };

/** @throws cutover.Denied and the passing ones */
export async function ownTable(made: MadeTable, aws: AwsTarget): Promise<Ownership> {
  const table = await findTable(made.table, aws);
  if (!table) return { answer: 'gone' };
  const { TableId: tableId, TableArn: tableArn, TableStatus: status = '' } = table;
  if (tableId === undefined || tableArn === undefined) return { answer: 'not ours' };
  const ours = { answer: 'ours', tableId, tableArn, status } as const;
  if (made.tableId !== undefined) return tableId === made.tableId ? ours : { answer: 'not ours' };
  if (restoredAsWeAsked(table, made)) return ours;
  const importArn = await importedByUs(table, made, aws);
  return importArn === undefined ? { answer: 'not ours' } : { ...ours, importArn };
}

function restoredAsWeAsked(
  { RestoreSummary: from, CreationDateTime: created }: TableDescription,
  made: MadeTable,
): boolean {
  if (!made.source || !from?.RestoreDateTime || !created) return false;
  return (
    from.SourceTableArn === made.source.arn &&
    from.RestoreDateTime.getTime() === Date.parse(made.source.at) &&
    created.getTime() >= Date.parse(made.absentAt) - SKEW_MS
  );
}

/** The import of our token that made this very table. */
async function importedByUs(table: TableDescription, made: MadeTable, aws: AwsTarget): Promise<string | undefined> {
  if (made.token === undefined || !table.TableArn) return undefined;
  try {
    const { ImportSummaryList } = await dynamodb(aws).send(new ListImportsCommand({ TableArn: table.TableArn }));
    for (const { ImportArn } of ImportSummaryList ?? []) {
      const { ImportTableDescription: task } = await dynamodb(aws).send(new DescribeImportCommand({ ImportArn }));
      if (task?.ClientToken === made.token && task.TableId === table.TableId) return ImportArn;
    }
    return undefined;
  } catch (error) {
    throw awsFailure(error, `ListImports of ${table.TableArn}`);
  }
}

/**
 * Proves that the table is the one that was made, marks it as this migration's, and tells its id: from here on only that
 * one is compared or deleted, also where the answer to the call had no id.
 * @throws cutover.NotOurs where another table has the name, cutover.NotFound where there is none; cutover.Denied and the
 *   passing ones
 */
export async function tagMadeTable(args: {
  made: MadeTable;
  migrationId: string;
  run: string;
  aws: AwsTarget;
}): Promise<MadeTable> {
  const { made, migrationId, run, aws } = args;
  const own = await ownTable(made, aws);
  if (own.answer === 'gone') throw permanent(ErrorType.notFound, `the table ${made.table} is gone`);
  if (own.answer === 'not ours') {
    throw permanent(ErrorType.notOurs, `the table ${made.table} is not the one that this run made`, {
      remedy: 'somebody made it, or replaced ours: give another name in `table`, in a new run',
    });
  }
  try {
    await dynamodb(aws).send(
      new TagResourceCommand({
        ResourceArn: own.tableArn,
        Tags: [
          { Key: 'cutover:migration', Value: migrationId },
          { Key: 'cutover:run', Value: run },
        ],
      }),
    );
  } catch (error) {
    throw awsFailure(error, `TagResource ${own.tableArn}`);
  }
  return { ...made, tableId: own.tableId };
}

/**
 * Deletes the table that this run made and waits until it is gone; any other of its name is left alone. One that is still
 * being made is waited for: AWS deletes none before. Runs as often as it likes.
 * @throws cutover.Invalid where somebody protected it against deletion; cutover.Denied and the passing ones
 */
export async function removeMadeTable(args: {
  made: MadeTable;
  aws: AwsTarget;
}): Promise<{ removed: boolean; note: string }> {
  const { made, aws } = args;
  const beganAt = Date.now();
  let removed = false;
  const last = await waitUntil({
    intervalMs: pollInterval(),
    read: async () => {
      const own = await ownTable(made, aws);
      if (own.answer === 'ours' && own.status !== 'DELETING' && own.status !== 'CREATING') {
        removed = (await remove(made.table, aws)) || removed;
      }
      if (own.answer === 'ours' && own.status === 'DELETING') removed = true;
      return own;
    },
    done: ({ answer }) =>
      answer === 'not ours' || (answer === 'gone' && (removed || Date.now() - beganAt > NOT_YET_LISTED_MS)),
    progress: (own) => ({ text: `${made.table}: ${own.answer === 'ours' ? own.status : own.answer}` }),
  });
  if (last.answer === 'not ours' && !removed) {
    return { removed, note: `the table ${made.table} was not made by this run and is left alone` };
  }
  return { removed, note: removed ? `the table ${made.table} is deleted` : `there is no table ${made.table}` };
}

async function remove(table: string, aws: AwsTarget): Promise<boolean> {
  try {
    await dynamodb(aws).send(new DeleteTableCommand({ TableName: table }));
    return true;
  } catch (error) {
    if (isCode(error, 'ResourceNotFound')) return true;
    // It is being made, or changed: the next reading tries again.
    if (isCode(error, 'ResourceInUse')) return false;
    if (isCode(error, 'ValidationException') && /protect/i.test((error as Error).message)) {
      throw permanent(ErrorType.invalid, `the table ${table} is protected against deletion since it was restored`, {
        remedy: `keep it, or: aws dynamodb update-table${regionFlag(aws)} --table-name ${table} --no-deletion-protection-enabled; then retry`,
      });
    }
    throw awsFailure(error, `DeleteTable ${table}`);
  }
}
