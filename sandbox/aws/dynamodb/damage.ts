import { gunzipSync, gzipSync } from 'node:zlib';
import type { Cloud } from '../cloud.ts';
import { deleteObject, getObject, putObject } from './s3-objects.ts';
import { dynamoDbOf } from './service.ts';

export const DAMAGES = ['corrupt', 'truncated', 'missing', 'manifest', 'manifest-missing'] as const;
export type Damage = (typeof DAMAGES)[number];

interface Entry {
  itemCount: number;
  dataFileS3Key: string;
}

/**
 * Damages what a COMPLETED export left in S3. @param which its ARN, or the id at its end. @param file which data file of
 * those that are not empty. @returns the key that was damaged. @throws Error when there is no such export or file
 */
export async function damageExport(cloud: Cloud, which: string, damage: Damage, file: number): Promise<string> {
  const db = dynamoDbOf(cloud);
  const task = Object.values(db.state.exports).find((entry) => entry.arn === which || entry.id === which);
  if (task === undefined) throw new Error(`There is no export ${which}.`);
  if (task.manifest === undefined) throw new Error(`Export ${which} is ${task.status}: it has no files to damage.`);
  if (!db.attached) throw new Error('The way to S3 is known after the first call of DynamoDB: make one.');
  const s3 = await (await db.moto()).s3();
  const { bucket } = task;
  const manifest = task.manifest.replace('manifest-summary', 'manifest-files');
  const text = (await getObject(s3, bucket, manifest)).toString('utf8');
  const entries = text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Entry);
  const key = damage.startsWith('manifest')
    ? manifest
    : entries.filter((entry) => entry.itemCount > 0)[file]?.dataFileS3Key;
  if (key === undefined) throw new Error(`Export ${which} has no data file ${file} with items.`);
  if (damage === 'missing' || damage === 'manifest-missing') {
    await deleteObject(s3, bucket, key);
    return key;
  }
  const bytes = await getObject(s3, bucket, key);
  if (damage === 'truncated') {
    const lines = gunzipSync(bytes).toString('utf8').trimEnd().split('\n').slice(0, -1);
    await putObject(s3, bucket, key, gzipSync(lines.map((line) => `${line}\n`).join('')));
    return key;
  }
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 0x01;
  await putObject(s3, bucket, key, bytes);
  return key;
}
