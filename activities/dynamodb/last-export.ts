/** Where the last export of a table ended: what an increment begins with. A wrong answer would be a gap in the backup. */
import { ApplicationFailure } from '@temporalio/common';
import type { ExportDescription } from '@aws-sdk/client-dynamodb';
import { ErrorType } from '../../spec/errors.ts';
import type { DynamoDbExport } from '../../spec/kind-dynamodb-export.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { madeBy } from './client-token.ts';
import { describeExports } from './find-exports.ts';
import { checkExport } from './verify-export.ts';

/** AWS exports 24 hours of changes at most, so an older one can't be gone on from; the hour is for a slow start. */
const RECENT_MS = 49 * 3600 * 1000;

export interface Base {
  exportArn: string;
  /** Its end, ISO: where the increment begins. */
  end: string;
  /** Newer ones that are not whole, each with why. */
  notWhole: string[];
}

export interface BaseArgs {
  tableArn: string;
  migration: DynamoDbExport;
  /** Whose exports are none: of a retry, those that its own run made and did not verify. Absent: no run yet. */
  run?: string | undefined;
}

/**
 * The table's newest whole export of an earlier run of this migration. COMPLETED is no proof: its run may have found it
 * damaged, and its operator skipped that. So it is verified again, as the file says (`verify`). One that is not whole is
 * passed over for the one before: the increment then has all of what the damaged one should have had, so no gap is left.
 * @throws cutover.NotFound where there is none; cutover.Differs where there are, and none is whole; as AWS
 */
export async function lastExportOf(args: BaseArgs): Promise<Base> {
  const { aws, bucketOwner, verify } = args.migration;
  const notWhole: string[] = [];
  for (const base of await basesOf(args)) {
    const { exportArn, end } = base;
    try {
      await checkExport({
        exportArn,
        how: verify,
        bucketOwner,
        aws,
        onFile: (files, of) =>
          beat({ progress: { text: `${exportArn}, to go on from: ${files} of ${of} files`, done: files, total: of } }),
      });
      return { exportArn, end, notWhole };
    } catch (error) {
      if (!isDamage(error)) throw error;
      notWhole.push(`${exportArn} (${error.message})`);
    }
  }
  throw permanent(
    ErrorType.differs,
    `${args.tableArn}: no export of ${args.migration.id} of the last two days is whole: ${notWhole.join('; ')}`,
    { remedy: 'make a full export: an increment of what is not whole is of no use' },
  );
}

/**
 * Those that could be gone on from, newest end first, by what AWS says of them alone: nothing is read.
 * @throws cutover.NotFound where there is none
 */
export async function basesOf({ tableArn, migration, run }: BaseArgs): Promise<{ exportArn: string; end: string }[]> {
  const all = await describeExports({ tableArn, sinceMs: Date.now() - RECENT_MS, aws: migration.aws });
  const bases = all.flatMap((one) => {
    const maker = madeBy(one.ClientToken);
    const end = endOf(one)?.toISOString();
    const fits = one.ExportStatus === 'COMPLETED' && maker?.migration === migration.id && maker.run !== run;
    return fits && end && one.ExportArn ? [{ exportArn: one.ExportArn, end }] : [];
  });
  if (bases.length > 0) return bases.sort((a, b) => Date.parse(b.end) - Date.parse(a.end));
  throw permanent(
    ErrorType.notFound,
    `${tableArn} has no completed export of ${migration.id}, of an earlier run, in the last two days`,
    { remedy: 'make a full export first, or give the time to begin with in `type.incremental.from`' },
  );
}

/** Its objects are not there or not as they were written. All else, such as a right that is missing, says nothing of it. */
function isDamage(error: unknown): error is ApplicationFailure {
  return error instanceof ApplicationFailure && (error.type === ErrorType.differs || error.type === ErrorType.notFound);
}

function endOf(one: ExportDescription): Date | undefined {
  return one.ExportType === 'INCREMENTAL_EXPORT' ? one.IncrementalExportSpecification?.ExportToTime : one.ExportTime;
}
