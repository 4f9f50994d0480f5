/** An export as a file names it: by its ARN, or by where it is in S3. AWS forgets exports after 90 days; S3 does not. */
import { Context } from '@temporalio/activity';
import { ErrorType } from '../../spec/errors.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { permanent } from '../errors.ts';
import { bucketTarget } from '../s3/bucket.ts';
import { listKeys, type Bucket } from '../s3/objects.ts';
import { findExport } from './find-exports.ts';
import { folderOfExport, readManifest, type Manifest } from './manifest.ts';

export interface ExportInS3 {
  bucket: string;
  from: Bucket;
  manifest: Manifest;
}

/**
 * Finds it and reads its manifests.
 * @throws cutover.NotFound, cutover.Invalid where several exports are below the location, cutover.ServiceFailed where it is
 *   not COMPLETED, cutover.Differs where its manifests are not whole; as S3
 */
export async function exportInS3(
  named: { export: string; bucketOwner?: string | undefined },
  aws: AwsTarget,
): Promise<ExportInS3> {
  const at = named.export.startsWith('s3://') ? split(named.export) : await byArn(named.export, aws);
  const bucket = { bucket: at.bucket, owner: named.bucketOwner };
  const from: Bucket = {
    ...bucket,
    aws: await bucketTarget({ ...bucket, aws }),
    signal: Context.current().cancellationSignal,
  };
  const folder = 'folder' in at ? at.folder : await onlyFolder(from, at.path, named.export);
  return { bucket: at.bucket, from, manifest: await readManifest(from, folder) };
}

function split(location: string): { bucket: string; path: string } {
  const [bucket = '', ...path] = location.slice('s3://'.length).split('/');
  return { bucket, path: path.join('/').replace(/manifest-summary\.json$/, '') };
}

async function byArn(exportArn: string, aws: AwsTarget): Promise<{ bucket: string; folder: string }> {
  const region = exportArn.split(':')[3];
  const found = await findExport(exportArn, { ...aws, ...(region ? { region } : {}) });
  if (!found) {
    throw permanent(ErrorType.notFound, `AWS knows no export ${exportArn}`, {
      remedy: 'AWS forgets them after 90 days: give where it is in S3 instead, s3://bucket/prefix/AWSDynamoDB/<id>/',
    });
  }
  if (found.ExportStatus !== 'COMPLETED') {
    throw permanent(
      ErrorType.serviceFailed,
      `the export ${exportArn} is ${found.ExportStatus}: it can't be restored from`,
    );
  }
  return { bucket: found.S3Bucket ?? '', folder: folderOfExport(found) };
}

/** The one export at or below a path; several are the operator's choice. */
async function onlyFolder(from: Bucket, path: string, location: string): Promise<string> {
  const prefix = path === '' || path.endsWith('/') ? path : `${path}/`;
  const keys = await listKeys(from, prefix);
  const folders = keys
    .filter((key) => /(^|\/)AWSDynamoDB\/[^/]+\/manifest-summary\.json$/.test(key))
    .map((key) => key.slice(0, key.lastIndexOf('/') + 1));
  if (folders.length === 1) return folders[0]!;
  const which = folders.slice(-5).map((folder) => `s3://${from.bucket}/${folder}`);
  throw permanent(
    folders.length === 0 ? ErrorType.notFound : ErrorType.invalid,
    folders.length === 0
      ? `there is no manifest of an export below ${location}`
      : `there are ${folders.length} exports below ${location}`,
    { remedy: which.length > 0 ? `name one of them: ${which.join(' ')}` : 'correct `from.export`' },
  );
}
