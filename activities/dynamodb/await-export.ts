/** Waits for an export. The SDK's waiter gives up after 20 minutes, and an export may take hours (facts/redis-aws 3.4). */
import { ErrorType } from '../../spec/errors.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { keep, kept } from '../aws/kept.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { findExport } from './find-exports.ts';
import { exportMeaning } from './status-table.ts';

/** A new export may not be known at once. */
const NOT_YET_KNOWN_MS = 120_000;

/**
 * Ends when it is COMPLETED.
 * @param args.timeoutMs ms in all; attempts of the activity that were lost count
 * @throws cutover.ServiceFailed with FailureCode and FailureMessage, cutover.Deadline, cutover.NotFound; the passing ones
 */
export async function awaitExport(args: {
  tableName: string;
  exportArn: string;
  timeoutMs: number;
  aws: AwsTarget;
}): Promise<{ warning?: string }> {
  const { tableName, exportArn, timeoutMs, aws } = args;
  const { beganAt = Date.now() } = kept<{ beganAt: number }>();
  keep({ beganAt });
  let warning: string | undefined;
  await waitUntil({
    intervalMs: pollInterval(),
    read: async () => {
      const found = await findExport(exportArn, aws);
      const waited = Date.now() - beganAt;
      if (!found && waited > NOT_YET_KNOWN_MS) {
        throw permanent(ErrorType.notFound, `${tableName}: AWS knows no export ${exportArn}`);
      }
      const status = found?.ExportStatus ?? 'not known yet';
      const meaning = found ? exportMeaning(found.ExportStatus) : { meaning: 'pending' as const };
      if ('warning' in meaning) warning = meaning.warning;
      if (meaning.meaning === 'failed') {
        throw permanent(
          ErrorType.serviceFailed,
          `the export of ${tableName} is ${status}: ${found?.FailureCode ?? 'no code'}: ${found?.FailureMessage ?? 'no message'}`,
          {
            remedy: 'mend what the code names (bucket, permissions, KMS key), then retry',
            facts: { exportArn, failureCode: found?.FailureCode },
          },
        );
      }
      if (meaning.meaning !== 'ok' && waited > timeoutMs) {
        throw permanent(ErrorType.deadline, `the export of ${tableName} is ${status} after ${seconds(timeoutMs)} s`, {
          remedy: 'AWS goes on with it, and can not be told to stop; a retry exports the table anew',
          facts: { exportArn },
        });
      }
      return { status, waited, done: meaning.meaning === 'ok' };
    },
    done: ({ done }) => done,
    progress: ({ status, waited }) => ({ text: `${tableName}: ${status} (${seconds(waited)} s)` }),
  });
  return warning ? { warning } : {};
}

const seconds = (ms: number) => Math.round(ms / 1000);
