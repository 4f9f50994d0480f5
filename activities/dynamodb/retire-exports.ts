/**
 * Retention of exports. AWS has no call that deletes one: what can be deleted are its objects, below its own folder
 * AWSDynamoDB/<id>/ and nowhere else. AWS goes on listing the export for 90 days; without its manifest it counts as gone.
 */
import type { ExportDescription } from '@aws-sdk/client-dynamodb';
import { ApplicationFailure } from '@temporalio/common';
import type { DynamoDbExport } from '../../spec/kind-dynamodb-export.ts';
import type { RetentionDecision } from '../../spec/retention.ts';
import { ErrorType } from '../../spec/errors.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { planRetention } from '../retention/plan-retention.ts';
import { bucketTarget } from '../s3/bucket.ts';
import { deleteKeys, head, listKeys, type Bucket } from '../s3/objects.ts';
import { madeBy } from './client-token.ts';
import { exportIdOf } from './export-prefix.ts';
import { describeExports, findExport } from './find-exports.ts';
import { folderOfExport } from './manifest.ts';

export interface ExportsToRetire {
  /** Of this table, newest first; those that are to go have `keep: false`. Ids are export ARNs. */
  decisions: RetentionDecision[];
}

/**
 * Decides about this migration's full exports of a table; changes nothing.
 * @param args.verified The export that was verified just now, of which alone it is known that it can be restored from:
 *   whatever the rules say, it stays.
 * @throws cutover.Denied and the passing ones
 */
export async function planExportRetention(args: {
  migration: DynamoDbExport;
  tableArn: string;
  verified: string;
}): Promise<ExportsToRetire> {
  const { migration, tableArn, verified } = args;
  const { aws, retention } = migration;
  if (!retention) return { decisions: [] };
  const all = await describeExports({ tableArn, aws });
  const own = all.filter((one) => isOurs(one, migration.id) && one.ExportType !== 'INCREMENTAL_EXPORT');
  const candidates = [];
  const cutShort: string[] = [];
  for (const one of own) {
    // A failed one has nothing that could be restored, nor anything worth deleting; one without manifest is gone already.
    if (one.ExportStatus === 'FAILED') continue;
    const pending = one.ExportStatus !== 'COMPLETED';
    if (!pending && !(await hasManifest(one, migration))) {
      if (await hasObjects(one, migration)) cutShort.push(one.ExportArn!);
      continue;
    }
    candidates.push({
      id: one.ExportArn!,
      createdAt: (one.ExportTime ?? one.StartTime ?? new Date()).toISOString(),
      complete: !pending,
      ...(pending ? { pending } : {}),
    });
  }
  const begunFrom = new Set(all.map((one) => one.IncrementalExportSpecification?.ExportFromTime?.getTime()));
  const decisions = planRetention(candidates, retention).map((decision) => {
    const time = own.find((one) => one.ExportArn === decision.id)?.ExportTime?.getTime();
    const why =
      decision.id === verified
        ? 'it was verified just now'
        : time !== undefined && begunFrom.has(time)
          ? 'an incremental export goes on from it'
          : undefined;
    return !decision.keep && why ? { ...decision, keep: true, because: why } : decision;
  });
  // Whose doing it was is not known, and data files can be imported without a manifest.
  const because = 'it has objects and no manifest: its deletion was cut short, or somebody removed the manifest';
  const rest = cutShort.map((id) => ({ id, keep: true, because }));
  return { decisions: [...decisions, ...rest] };
}

/**
 * Deletes an export's objects; those that are gone already are fine. The manifest goes first: without it nothing takes a
 * half-deleted export for a whole one.
 * @throws cutover.NotOurs where this migration did not make it; cutover.Denied; the passing ones
 */
export async function deleteExportObjects(args: {
  migration: DynamoDbExport;
  exportArn: string;
}): Promise<{ deleted: number; folder: string }> {
  const { migration, exportArn } = args;
  const found = await findExport(exportArn, migration.aws);
  if (!found) return { deleted: 0, folder: '' };
  if (!isOurs(found, migration.id)) {
    throw permanent(ErrorType.notOurs, `the export ${exportArn} was not made by ${migration.id}: it is left alone`);
  }
  const folder = folderOfExport(found);
  if (!folder.endsWith(`AWSDynamoDB/${exportIdOf(exportArn)}/`)) throw new Error(`not an export's folder: ${folder}`);
  const from = await reach(found, migration);
  const keys = await listKeys(from, folder);
  const manifest = keys.filter((key) => key === `${folder}manifest-summary.json`);
  await deleteKeys(from, manifest);
  beat({ progress: { text: `deleting ${keys.length} objects of ${folder}` } });
  await deleteKeys(
    from,
    keys.filter((key) => !manifest.includes(key)),
  );
  return { deleted: keys.length, folder: `s3://${from.bucket}/${folder}` };
}

function isOurs(one: ExportDescription, migrationId: string): boolean {
  return one.ExportArn !== undefined && madeBy(one.ClientToken)?.migration === migrationId;
}

async function hasManifest(one: ExportDescription, migration: DynamoDbExport): Promise<boolean> {
  try {
    return (await head(await reach(one, migration), `${folderOfExport(one)}manifest-summary.json`)) !== undefined;
  } catch (error) {
    // The bucket of an older export may be gone with all that was in it.
    if (error instanceof ApplicationFailure && error.type === ErrorType.notFound) return false;
    throw error;
  }
}

async function hasObjects(one: ExportDescription, migration: DynamoDbExport): Promise<boolean> {
  try {
    return (await listKeys(await reach(one, migration), folderOfExport(one))).length > 0;
  } catch (error) {
    if (error instanceof ApplicationFailure && error.type === ErrorType.notFound) return false;
    throw error;
  }
}

async function reach(one: ExportDescription, migration: DynamoDbExport): Promise<Bucket> {
  const bucket = { bucket: one.S3Bucket ?? '', owner: migration.bucketOwner };
  return { ...bucket, aws: await bucketTarget({ ...bucket, aws: migration.aws }) };
}
