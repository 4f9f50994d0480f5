/** Proves an export: AWS says COMPLETED, but what a restore needs are the files. */
import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { CancelledFailure } from '@temporalio/common';
import type { ExportDescription } from '@aws-sdk/client-dynamodb';
import type { VerifiedExport } from '../../spec/dynamodb-export-state.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { keep, kept } from '../aws/kept.ts';
import { awsCode, awsFailure } from '../aws/failure.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { bucketTarget } from '../s3/bucket.ts';
import { digestGzip, type FileDigest } from '../s3/data-file.ts';
import { bare, head, open, type Bucket } from '../s3/objects.ts';
import { differs, folderOfExport, readManifest, type Manifest, type ManifestFile } from './manifest.ts';
import { findExport } from './find-exports.ts';

export interface CheckExportArgs {
  exportArn: string;
  /** `full`: every data file is read. `objects`: each is only asked for its ETag. */
  how: 'full' | 'objects';
  bucketOwner?: string | undefined;
  aws: AwsTarget;
  /** Told after each file; the sums so far. */
  onFile?: (files: number, of: number, sums: Sums) => void;
  /** Where an attempt that was lost had come to. */
  from?: Sums | undefined;
}

export interface Sums {
  files: number;
  items: number;
  bytes: number;
}

/** An activity: checkExport with its progress; a new attempt goes on with the next file. */
export async function verifyExport(
  args: Omit<CheckExportArgs, 'onFile' | 'from'> & { tableName: string },
): Promise<VerifiedExport> {
  return checkExport({
    ...args,
    from: kept<{ sums: Sums }>().sums,
    onFile: (files, of, sums) => {
      keep({ sums });
      beat({ progress: { text: `${args.tableName}: ${files} of ${of} files read`, done: files, total: of } });
    },
  });
}

/**
 * Manifests against their checksums, every data file against the manifest, and all counts against each other and against
 * DescribeExport's.
 * @throws cutover.Differs with what and where; cutover.NotFound, cutover.ServiceFailed where it is not COMPLETED; as S3
 */
export async function checkExport(args: CheckExportArgs): Promise<VerifiedExport> {
  const found = await completed(args.exportArn, args.aws);
  const bucket = { bucket: found.S3Bucket ?? '', owner: args.bucketOwner };
  const signal = Context.current().cancellationSignal;
  const from: Bucket = { ...bucket, aws: await bucketTarget({ ...bucket, aws: args.aws }), signal };
  const manifest = await readManifest(from, folderOfExport(found));
  compareCounts(found, manifest, from);
  const sums = { ...(args.from ?? { files: 0, items: 0, bytes: 0 }) };
  for (const file of manifest.files.slice(sums.files)) {
    const digest = await checkFile(from, file, found.S3Prefix, args.how);
    sums.files += 1;
    sums.items += file.itemCount;
    sums.bytes += digest.bytes;
    args.onFile?.(sums.files, manifest.files.length, sums);
  }
  return {
    itemCount: manifest.summary.itemCount,
    files: manifest.files.length,
    bytes: sums.bytes,
    how: args.how,
    manifest: manifest.key,
    ...(found.BilledSizeBytes === undefined ? {} : { billedSizeBytes: found.BilledSizeBytes }),
  };
}

async function completed(exportArn: string, aws: AwsTarget): Promise<ExportDescription> {
  const found = await findExport(exportArn, aws);
  if (!found) throw permanent(ErrorType.notFound, `AWS knows no export ${exportArn}`);
  if (found.ExportStatus === 'COMPLETED') return found;
  throw permanent(ErrorType.serviceFailed, `the export ${exportArn} is ${found.ExportStatus}`);
}

function compareCounts(found: ExportDescription, { key, folder, summary, files }: Manifest, from: Bucket): void {
  if (summary.exportArn !== found.ExportArn) throw differs(from, key, `it is of another export, ${summary.exportArn}`);
  const sum = files.reduce((all, { itemCount }) => all + itemCount, 0);
  if (sum !== summary.itemCount) {
    throw differs(
      from,
      `${folder}manifest-files.json`,
      `its files hold ${sum} items, the summary says ${summary.itemCount}`,
    );
  }
  if (found.ItemCount !== undefined && found.ItemCount !== summary.itemCount) {
    throw differs(from, key, `it says ${summary.itemCount} items, DescribeExport says ${found.ItemCount}`);
  }
  const keys = new Set(files.map(({ dataFileS3Key }) => dataFileS3Key));
  if (keys.size !== files.length) throw differs(from, `${folder}manifest-files.json`, 'it names a data file twice');
}

async function checkFile(
  from: Bucket,
  file: ManifestFile,
  prefix: string | undefined,
  how: 'full' | 'objects',
): Promise<{ bytes: number }> {
  const { key, etag, bytes } = await locate(from, file, prefix);
  if (etag !== bare(file.etag)) throw differs(from, key, `its ETag is ${etag}, the manifest says ${bare(file.etag)}`);
  if (how === 'objects') return { bytes };
  const digest = await digestOf(from, key, bytes);
  // Documentation does not say of what the MD5 is; both are computed, and neither fits a file that was changed.
  if (![digest.md5, digest.unpackedMd5].includes(file.md5Checksum)) {
    throw differs(from, key, `its MD5 is ${digest.md5}, the manifest says ${file.md5Checksum}`);
  }
  if (digest.lines !== file.itemCount) {
    throw differs(from, key, `it holds ${digest.lines} items, the manifest says ${file.itemCount}`);
  }
  return { bytes: digest.bytes };
}

/** AWS's examples name data files without the prefix of the export; its exports name them with it. */
export async function locate(
  from: Bucket,
  { dataFileS3Key }: ManifestFile,
  prefix: string | undefined,
): Promise<{ key: string; etag: string; bytes: number }> {
  const candidates = [dataFileS3Key, ...(prefix ? [`${prefix}/${dataFileS3Key}`] : [])];
  for (const key of candidates) {
    const found = await head(from, key);
    if (found) return { key, ...found };
  }
  throw differs(from, dataFileS3Key, 'the data file is missing');
}

async function digestOf(from: Bucket, key: string, bytes: number): Promise<FileDigest> {
  const found = await open(from, key);
  if (!found) throw differs(from, key, 'the data file is gone');
  // AWS writes a file for an empty partition too; nothing at all is no gzip file.
  if (bytes === 0) {
    found.body.destroy();
    const md5 = createHash('md5').digest('base64');
    return { bytes: 0, unpackedBytes: 0, lines: 0, md5, unpackedMd5: md5 };
  }
  try {
    return await digestGzip(found.body, from.signal);
  } catch (error) {
    if (from.signal?.aborted) throw new CancelledFailure('the verification was cancelled');
    if (/^Z_|^ERR_ZLIB/.test(awsCode(error))) {
      throw differs(from, key, `it is no whole gzip file (${bytes} bytes): ${(error as Error).message}`);
    }
    throw awsFailure(error, `reading s3://${from.bucket}/${key}`);
  }
}
