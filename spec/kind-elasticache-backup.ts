/** `kind: elasticache-backup`: a manual snapshot of a replication group, waited for and checked; its daily settings. */
import { z } from 'zod';
import { dailyWindow, snapshotName } from './elasticache-values.ts';
import { migrationBase } from './migration-base.ts';
import { retention } from './retention.ts';
import { schedule } from './schedule.ts';
import { awsSettings, duration, replicationGroupId } from './values.ts';

const daily = z
  .strictObject({
    retentionLimit: z
      .int({ error: 'expected whole days, 0 to 35; 0 turns the daily snapshots off' })
      .min(0, { error: 'expected whole days, 0 to 35; 0 turns the daily snapshots off' })
      .max(35, { error: 'expected whole days, 0 to 35: AWS keeps automatic snapshots no longer' })
      .describe('days that AWS keeps its automatic snapshots; 0: off. They die with their group'),
    window: dailyWindow.optional().describe('when AWS takes them, in UTC; default: as it is'),
  })
  .describe("AWS's own daily snapshots");

const exportTo = z.strictObject({
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, { error: "expected a bucket's name, without s3:// and without a key" })
    .describe('in the same region as the group'),
  prefix: z
    .string()
    .regex(/^[\w./-]{0,200}$/, { error: 'expected letters, digits and . _ - / alone: ElastiCache takes no commas' })
    .default('')
    .describe("stands before the snapshot's name: <prefix><snapshot>-<shard>.rdb"),
});

export const elasticacheBackup = z
  .strictObject({
    ...migrationBase,
    kind: z.literal('elasticache-backup'),
    replicationGroup: replicationGroupId,
    snapshot: z.boolean().default(true).describe('false: only the daily settings are applied'),
    snapshotName: snapshotName
      .optional()
      .describe('default: the id and the time of the run. A name can be used by one run only'),
    kmsKeyId: z.string().optional(),
    timeout: duration({ min: '10s', max: '24h' })
      .prefault('6h')
      .describe('how long the snapshot, and then its export, may take before the operator is asked'),
    daily: daily.optional(),
    export: exportTo.optional().describe('copies the snapshot to S3, one RDB for each shard'),
    retention: retention
      .optional()
      .describe('which manual snapshots of this group that this file made are kept; the others are deleted'),
    schedule: schedule.optional(),
    aws: awsSettings.prefault({}),
  })
  .superRefine((file, ctx) => {
    const refuse = (path: string, message: string) => ctx.addIssue({ code: 'custom', path: [path], message });
    if (!file.snapshot) {
      if (!file.daily) refuse('snapshot', 'expected `daily` beside snapshot: false, or nothing would be done');
      for (const field of ['snapshotName', 'kmsKeyId', 'export', 'retention', 'schedule'] as const) {
        if (file[field] !== undefined) refuse(field, `expected no ${field} with snapshot: false: there is no snapshot`);
      }
    }
    if (file.schedule && file.snapshotName) {
      refuse('snapshotName', 'expected none with a schedule: the second run would find the name taken; leave it out');
    }
  });
export type ElastiCacheBackup = z.output<typeof elasticacheBackup>;
