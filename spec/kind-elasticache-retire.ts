/** `kind: elasticache-retire`: a replication group is deleted, once a snapshot is proven and its name was typed. */
import { z } from 'zod';
import { nodeAccess, snapshotName } from './elasticache-values.ts';
import { migrationBase } from './migration-base.ts';
import { awsSettings, duration, replicationGroupId } from './values.ts';

export const elasticacheRetire = z
  .strictObject({
    ...migrationBase,
    kind: z.literal('elasticache-retire'),
    replicationGroup: replicationGroupId,
    snapshotName: snapshotName
      .optional()
      .describe('of the snapshot that is proven before anything is deleted; default: the id and the time of the run'),
    finalSnapshotName: snapshotName
      .optional()
      .describe('of the last one, taken by the deletion itself; default: the same with -final'),
    kmsKeyId: z.string().optional().describe('for the first snapshot'),
    access: z
      .strictObject(nodeAccess)
      .prefault({})
      .describe('for a look at who is still connected; without it, that is unknown where a password is asked for'),
    timeout: duration({ min: '30s', max: '48h' })
      .prefault('6h')
      .describe('how long the snapshot, and then the deletion, may take before the operator is asked'),
    gate: z
      .literal('manual', {
        error: 'expected manual: a group is deleted only where somebody types its name; leave it out',
      })
      .default('manual'),
    aws: awsSettings.prefault({}),
  })
  .refine((file) => file.snapshotName === undefined || file.snapshotName !== file.finalSnapshotName, {
    error: 'expected another name than snapshotName: the final snapshot is a second one',
    path: ['finalSnapshotName'],
  });
export type ElastiCacheRetire = z.output<typeof elasticacheRetire>;
