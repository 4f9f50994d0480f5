/**
 * The manifests that DynamoDB writes beside an export: manifest-summary.json, and manifest-files.json with a line for each
 * data file. Both have a file with their MD5, `.md5` as AWS writes it, `.checksum` as its documentation has it.
 */
import { createHash } from 'node:crypto';
import type { ExportDescription } from '@aws-sdk/client-dynamodb';
import { z } from 'zod';
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import { readWhole, type Bucket } from '../s3/objects.ts';
import { exportIdOf, folderOf } from './export-prefix.ts';

const summary = z.object({
  exportArn: z.string(),
  tableArn: z.string(),
  exportTime: z.string().nullish(),
  startTime: z.string().nullish(),
  itemCount: z.number().int().min(0),
  outputFormat: z.string().nullish(),
  exportType: z.string().nullish(),
  billedSizeBytes: z.number().nullish(),
});
export type ManifestSummary = z.output<typeof summary>;

const dataFile = z.object({
  itemCount: z.number().int().min(0),
  md5Checksum: z.string(),
  etag: z.string(),
  dataFileS3Key: z.string().min(1),
});
export type ManifestFile = z.output<typeof dataFile>;

export interface Manifest {
  /** `prefix/AWSDynamoDB/<id>/` */
  folder: string;
  /** Key of manifest-summary.json. */
  key: string;
  summary: ManifestSummary;
  files: ManifestFile[];
}

/** The folder of an export's manifests. */
export function folderOfExport(found: Pick<ExportDescription, 'ExportArn' | 'S3Prefix'>): string {
  return folderOf(found.S3Prefix, exportIdOf(found.ExportArn ?? ''));
}

/**
 * Both manifests below `folder`, each against its checksum.
 * @throws cutover.Differs naming the object that is missing, is not what its checksum says, or is no manifest; as readWhole
 */
export async function readManifest(from: Bucket, folder: string): Promise<Manifest> {
  const key = `${folder}manifest-summary.json`;
  const parsed = parse(summary, (await checked(from, key)).toString('utf8'), from, key);
  const filesKey = `${folder}manifest-files.json`;
  const lines = (await checked(from, filesKey)).toString('utf8').split('\n');
  const files = lines.filter((line) => line.trim() !== '').map((line) => parse(dataFile, line, from, filesKey));
  return { folder, key, summary: parsed, files };
}

async function checked(from: Bucket, key: string): Promise<Buffer> {
  const body = await readWhole(from, key);
  if (!body) throw differs(from, key, 'it is missing');
  const stem = key.replace(/\.json$/, '');
  const told = (await readWhole(from, `${stem}.md5`)) ?? (await readWhole(from, `${stem}.checksum`));
  if (!told) throw differs(from, `${stem}.md5`, 'the checksum file is missing');
  const wanted = told.toString('utf8').trim();
  const hash = createHash('md5').update(body).digest();
  if (wanted !== hash.toString('base64') && wanted.toLowerCase() !== hash.toString('hex')) {
    throw differs(from, key, `its MD5 is ${hash.toString('base64')}, its checksum file says ${wanted.slice(0, 64)}`);
  }
  return body;
}

function parse<T>(schema: z.ZodType<T>, text: string, from: Bucket, key: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw differs(from, key, 'it is not JSON');
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const issue = read.error.issues[0];
  throw differs(from, key, `it is not a manifest: ${issue?.path.join('.')}: ${issue?.message}`);
}

/** A part of an export that is not as it has to be. */
export function differs(from: { bucket: string }, key: string, why: string): Error {
  return permanent(ErrorType.differs, `s3://${from.bucket}/${key}: ${why}`, {
    remedy: 'the export is not whole: retry, which exports the table anew; do not restore from this one',
    facts: { key },
  });
}
