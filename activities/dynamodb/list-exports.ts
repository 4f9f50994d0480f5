/** The exports of DynamoDB, for the catalogue. */
import type { ExportDescription } from '@aws-sdk/client-dynamodb';
import { ApplicationFailure } from '@temporalio/common';
import pLimit from 'p-limit';
import type { CatalogueEntry, ListBackupsInput } from '../../spec/catalogue.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { bucketTarget } from '../s3/bucket.ts';
import { head } from '../s3/objects.ts';
import { madeBy } from './client-token.ts';
import { exportIdOf } from './export-prefix.ts';
import { findExport, listExports } from './find-exports.ts';
import { folderOfExport } from './manifest.ts';
import { findTable } from './tables.ts';

const AT_ONCE = 4;

/**
 * All that AWS still lists (90 days), newest first, those of one table where `source` names it. One counts as complete
 * where it is COMPLETED and its manifest is there: S3 objects may be gone while AWS still lists the export.
 * @throws cutover.Denied and the passing ones
 */
export async function listDynamoDbExports(input: ListBackupsInput): Promise<CatalogueEntry[]> {
  const aws: AwsTarget = { ...input.aws };
  const { source } = input;
  // ListExports takes an ARN; of a table that is gone only its exports still know it.
  const table = source === undefined ? undefined : await findTable(source, aws);
  const summaries = await listExports({ ...(table?.TableArn ? { tableArn: table.TableArn } : {}), aws });
  const arns = summaries.flatMap(({ ExportArn }) => (ExportArn ? [ExportArn] : []));
  const name = source?.split('/').at(-1);
  const wanted = arns.filter((arn) => name === undefined || tableOfArn(arn) === name);
  const limit = pLimit(AT_ONCE);
  const entries = await Promise.all(
    wanted.map((arn) =>
      limit(async () => {
        const found = await findExport(arn, aws);
        return found ? [await entryOf(found, aws)] : [];
      }),
    ),
  );
  return entries.flat().sort((a, b) => (b.createdAt ?? '').localeCompare(a.createdAt ?? ''));
}

/** `arn:…:table/orders` and `arn:…:table/orders/export/…` → `orders` */
function tableOfArn(arn: string | undefined): string {
  return arn?.split('/')[1] ?? '';
}

async function entryOf(found: ExportDescription, aws: AwsTarget): Promise<CatalogueEntry> {
  const owner = madeBy(found.ClientToken);
  const increment = found.IncrementalExportSpecification;
  const asOf = found.ExportType === 'INCREMENTAL_EXPORT' ? increment?.ExportToTime : found.ExportTime;
  const problem = await problemOf(found, aws);
  return {
    system: 'dynamodb',
    type: 'export',
    id: found.ExportArn ?? '',
    name: exportIdOf(found.ExportArn ?? ''),
    source: tableOfArn(found.TableArn ?? found.ExportArn),
    ...(found.StartTime ? { createdAt: found.StartTime.toISOString() } : {}),
    ...(asOf ? { asOf: asOf.toISOString() } : {}),
    ...(found.BilledSizeBytes === undefined ? {} : { sizeBytes: found.BilledSizeBytes }),
    state: found.ExportStatus ?? '',
    complete: problem === undefined,
    ...(problem ? { problem } : {}),
    automatic: false,
    ...(owner ? { madeBy: owner } : {}),
  };
}

async function problemOf(found: ExportDescription, aws: AwsTarget): Promise<string | undefined> {
  if (found.ExportStatus === 'FAILED') return `${found.FailureCode ?? 'failed'}: ${found.FailureMessage ?? ''}`;
  if (found.ExportStatus !== 'COMPLETED') return 'it is not finished';
  const key = `${folderOfExport(found)}manifest-summary.json`;
  const bucket = { bucket: found.S3Bucket ?? '', owner: found.S3BucketOwner };
  try {
    const there = await head({ ...bucket, aws: await bucketTarget({ ...bucket, aws }) }, key);
    if (!there) return `its manifest is gone: s3://${bucket.bucket}/${key}`;
  } catch (error) {
    if (!(error instanceof ApplicationFailure) || !error.nonRetryable) throw error;
    return `its manifest can't be looked at: ${error.message}`;
  }
  return found.ExportType === 'INCREMENTAL_EXPORT'
    ? 'changes alone: of use only with every export before it'
    : undefined;
}
