/** Starts a table's export. The ClientToken makes a second sending the same export, for 8 hours (facts/redis-aws 3.4). */
import { ExportTableToPointInTimeCommand } from '@aws-sdk/client-dynamodb';
import type { TableExportPlan } from '../../spec/dynamodb-export-state.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { DynamoDbExport } from '../../spec/kind-dynamodb-export.ts';
import { dynamodb } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent, transient } from '../errors.ts';
import { clientToken } from './client-token.ts';
import { recoveryIsOff } from './recovery.ts';

/** Exports end after minutes: trying sooner finds the limit still reached. ms */
const LIMIT_PAUSE_MS = 30_000;

export interface StartExportArgs {
  migration: DynamoDbExport;
  bucket: string;
  /** From planExports, without an error. */
  plan: TableExportPlan;
  run: string;
  attempt: number;
}

/**
 * The export's ARN, which the workflow keeps before it does anything else.
 * @throws cutover.Invalid (time, recovery off, parameters), cutover.NotFound, cutover.Denied, cutover.NotOurs (the token
 *   was used for something else), cutover.Busy while 300 exports run (retried); the passing ones
 */
export async function startExport(args: StartExportArgs): Promise<{ exportArn: string }> {
  const { migration, bucket, plan, run, attempt } = args;
  const what = `ExportTableToPointInTime of ${plan.tableName}`;
  try {
    const { ExportDescription: made } = await dynamodb(migration.aws).send(
      new ExportTableToPointInTimeCommand({
        TableArn: plan.tableArn,
        ClientToken: clientToken({ migrationId: migration.id, run, subject: plan.tableArn ?? plan.table, attempt }),
        S3Bucket: bucket,
        ...(plan.prefix ? { S3Prefix: plan.prefix } : {}),
        ...(migration.bucketOwner ? { S3BucketOwner: migration.bucketOwner } : {}),
        ...encryption(migration),
        ExportFormat: migration.format,
        ...point(plan),
      }),
    );
    if (!made?.ExportArn) throw transient(ErrorType.unreachable, `${what}: the answer is not DynamoDB's`);
    return { exportArn: made.ExportArn };
  } catch (error) {
    throw failure(error, what, args);
  }
}

function encryption({ sse }: DynamoDbExport) {
  if (!sse) return {};
  return { S3SseAlgorithm: sse.algorithm, ...(sse.kmsKeyId ? { S3SseKmsKeyId: sse.kmsKeyId } : {}) };
}

function point({ exportTime, incremental }: TableExportPlan) {
  if (!incremental) return { ExportType: 'FULL_EXPORT' as const, ExportTime: new Date(exportTime!) };
  return {
    ExportType: 'INCREMENTAL_EXPORT' as const,
    IncrementalExportSpecification: {
      ExportFromTime: new Date(incremental.from),
      ExportToTime: new Date(incremental.to),
      ExportViewType: incremental.view,
    },
  };
}

function failure(error: unknown, what: string, { migration, plan }: StartExportArgs): Error {
  const told = `${what}: ${(error as Error).message}`;
  if (isCode(error, 'PointInTimeRecoveryUnavailable'))
    return recoveryIsOff(plan.tableName ?? plan.table, migration.aws);
  if (isCode(error, 'InvalidExportTime')) {
    const { earliest, latest } = plan.window ?? {};
    return permanent(ErrorType.invalid, `${told} (asked: ${plan.exportTime}; restorable: ${earliest} to ${latest})`, {
      remedy: 'retry: the time is chosen anew from what is restorable then',
    });
  }
  if (isCode(error, 'ExportConflict')) {
    return permanent(ErrorType.notOurs, `${told}: its ClientToken was used for another export`, {
      remedy: 'retry: another token is used then',
    });
  }
  // Not a quota of the account's: it frees itself as other exports end.
  if (isCode(error, 'LimitExceeded')) {
    return transient(ErrorType.busy, told, { afterMs: LIMIT_PAUSE_MS, benign: true, remedy: 'lower `concurrency`' });
  }
  return awsFailure(error, what);
}
