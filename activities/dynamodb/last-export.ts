/** Where the last export of a table ended: what an increment begins with. A wrong answer would be a gap in the backup. */
import type { ExportDescription } from '@aws-sdk/client-dynamodb';
import { ErrorType } from '../../spec/errors.ts';
import type { DynamoDbExport } from '../../spec/kind-dynamodb-export.ts';
import { permanent } from '../errors.ts';
import { madeBy } from './client-token.ts';
import { describeExports } from './find-exports.ts';
import { checkExport } from './verify-export.ts';

/** AWS exports 24 hours of changes at most, so an older one can't be gone on from; the hour is for a slow start. */
const RECENT_MS = 49 * 3600 * 1000;

/**
 * The end of the table's newest completed export of this migration, ISO. It is looked at again first: its manifests with
 * their checksums, and that each data file is there with its ETag.
 * @throws cutover.NotFound where there is none; cutover.Differs where the newest is not whole: older ones would leave a gap
 */
export async function lastExportOf(args: { tableArn: string; migration: DynamoDbExport }): Promise<string> {
  const { tableArn, migration } = args;
  const { aws, bucketOwner } = migration;
  const all = await describeExports({ tableArn, sinceMs: Date.now() - RECENT_MS, aws });
  const own = all.filter(
    (one) => one.ExportStatus === 'COMPLETED' && madeBy(one.ClientToken)?.migration === migration.id && endOf(one),
  );
  const last = own.sort((a, b) => endOf(b)!.getTime() - endOf(a)!.getTime())[0];
  if (!last?.ExportArn) {
    throw permanent(ErrorType.notFound, `${tableArn} has no completed export of ${migration.id} in the last two days`, {
      remedy: 'make a full export first, or give the time to begin with in `type.incremental.from`',
    });
  }
  await checkExport({ exportArn: last.ExportArn, how: 'objects', bucketOwner, aws });
  return endOf(last)!.toISOString();
}

function endOf(one: ExportDescription): Date | undefined {
  return one.ExportType === 'INCREMENTAL_EXPORT' ? one.IncrementalExportSpecification?.ExportToTime : one.ExportTime;
}
