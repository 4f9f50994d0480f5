/** Point-in-time recovery switched on for an export, and off again by an abort. */
import { UpdateContinuousBackupsCommand } from '@aws-sdk/client-dynamodb';
import { ErrorType } from '../../spec/errors.ts';
import { dynamodb, type AwsTarget } from '../aws/clients.ts';
import { keep, kept } from '../aws/kept.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { permanent, transient } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { enableCommand, findTable, recoveryOf, type Recovery } from './tables.ts';

/** Those of the tables that have none, by name or ARN as given. One that does not exist is left out: its export tells. */
export async function tablesWithoutRecovery(args: { tables: string[]; aws: AwsTarget }): Promise<string[]> {
  const without: string[] = [];
  for (const table of args.tables) {
    if (!(await findTable(table, args.aws))) continue;
    if (!(await recoveryOf(table, args.aws)).enabled) without.push(table);
  }
  return without;
}

/**
 * Switches it on; it may be on already. @param args.days 1 to 35; default: AWS's, 35
 * @throws cutover.NotFound, cutover.Denied, cutover.Invalid; cutover.Busy while AWS is still at something (retried)
 */
export async function enableRecovery(args: { table: string; days?: number; aws: AwsTarget }): Promise<void> {
  await update(args.table, args.aws, {
    PointInTimeRecoveryEnabled: true,
    ...(args.days === undefined ? {} : { RecoveryPeriodInDays: args.days }),
  });
}

/** Switches it off, for undo; a table that is gone needs none. @throws as enableRecovery */
export async function disableRecovery(args: { table: string; aws: AwsTarget }): Promise<void> {
  if (!(await findTable(args.table, args.aws))) return;
  await update(args.table, args.aws, { PointInTimeRecoveryEnabled: false });
}

async function update(
  table: string,
  aws: AwsTarget,
  wanted: { PointInTimeRecoveryEnabled: boolean; RecoveryPeriodInDays?: number },
): Promise<void> {
  try {
    await dynamodb(aws).send(
      new UpdateContinuousBackupsCommand({ TableName: table, PointInTimeRecoverySpecification: wanted }),
    );
  } catch (error) {
    // AWS: backups are still being enabled for the table.
    if (isCode(error, 'ContinuousBackupsUnavailable')) {
      throw transient(ErrorType.busy, `UpdateContinuousBackups of ${table}: ${(error as Error).message}`, {
        afterMs: 10_000,
        benign: true,
      });
    }
    throw awsFailure(error, `UpdateContinuousBackups of ${table}`);
  }
}

/**
 * Waits until there is a point in time to export: just after it was switched on there is none.
 * @param args.timeoutMs ms in all; attempts that were lost count
 * @throws cutover.Deadline, cutover.Invalid where it is off; as recoveryOf
 */
export async function awaitRecovery(args: { table: string; timeoutMs: number; aws: AwsTarget }): Promise<Recovery> {
  const { table, aws } = args;
  const deadlineAt = kept<{ deadlineAt: number }>().deadlineAt ?? Date.now() + args.timeoutMs;
  keep({ deadlineAt });
  return waitUntil({
    intervalMs: pollInterval(),
    read: async () => {
      const found = await recoveryOf(table, aws);
      if (!found.enabled) throw recoveryIsOff(table, aws);
      if (!found.latest && Date.now() > deadlineAt) {
        throw permanent(
          ErrorType.deadline,
          `${table}: AWS names no restorable time within ${args.timeoutMs / 1000} s`,
          {
            remedy: 'retry the step to wait on',
          },
        );
      }
      return found;
    },
    done: ({ latest }) => latest !== undefined,
    progress: () => ({ text: `${table}: AWS names no restorable time yet` }),
  });
}

export function recoveryIsOff(table: string, aws: AwsTarget): Error {
  return permanent(ErrorType.invalid, `${table} has no point-in-time recovery: there is nothing to export`, {
    remedy: `switch it on: ${enableCommand(table, aws)}; or give \`pointInTimeRecovery: enable\` in the file`,
  });
}
