/** The preflight of `elasticache-backup`. Changes nothing. */
import { summarisePreflight, type PreflightReport } from '../../spec/preflight.ts';
import type { ElastiCacheBackup } from '../../spec/kind-elasticache-backup.ts';
import { runChecks } from '../preflight/run-checks.ts';
import { backupChecks } from './backup-checks.ts';
import { exportChecks } from './bucket-checks.ts';
import { describeGroup } from './replication-group.ts';

/** @throws what describeGroup throws: without the group there is nothing to check */
export async function preflightBackup({ migration }: { migration: ElastiCacheBackup }): Promise<PreflightReport> {
  const group = await describeGroup({ id: migration.replicationGroup, aws: migration.aws });
  const reports = await runChecks(backupChecks, { migration, group });
  if (migration.export) {
    reports.push(...(await runChecks(exportChecks, { migration, bucket: migration.export.bucket })));
  }
  return summarisePreflight(reports);
}
