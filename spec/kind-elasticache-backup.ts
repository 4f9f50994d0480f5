/** `kind: elasticache-backup`: a manual snapshot of a replication group, waited for and checked. */
import { z } from 'zod';
import { migrationBase } from './migration-base.ts';
import { awsSettings, duration, replicationGroupId } from './values.ts';

export const elasticacheBackup = z.strictObject({
  ...migrationBase,
  kind: z.literal('elasticache-backup'),
  replicationGroup: replicationGroupId,
  snapshotName: z
    .string()
    .regex(/^[a-zA-Z](?!.*--)[a-zA-Z0-9-]{0,39}(?<!-)$/, {
      error: 'expected a snapshot name: 1 to 40 letters, digits and single hyphens, a letter first, no hyphen last',
    })
    .transform((name) => name.toLowerCase())
    .optional()
    .describe("default: the migration's id"),
  kmsKeyId: z.string().optional(),
  timeout: duration({ min: '10s', max: '24h' })
    .prefault('6h')
    .describe('how long the snapshot may take before the operator is asked'),
  aws: awsSettings.prefault({}),
});
export type ElastiCacheBackup = z.output<typeof elasticacheBackup>;
