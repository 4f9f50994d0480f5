/** The preflight of `elasticache-restore`. Changes nothing. */
import type { ElastiCacheRestore } from '../../spec/kind-elasticache-restore.ts';
import { summarisePreflight, type PreflightReport } from '../../spec/preflight.ts';
import { runChecks } from '../preflight/run-checks.ts';
import { restoreChecks } from './restore-checks.ts';
import { restoreSource, type RestoreSource } from './restore-source.ts';
import { seedChecks } from './seed-checks.ts';

/** It never throws for what it finds: a snapshot that is not there is a report with one `fail` and many `unknown`. */
export async function preflightElastiCacheRestore({
  migration,
}: {
  migration: ElastiCacheRestore;
}): Promise<PreflightReport> {
  let asked: Promise<RestoreSource> | undefined;
  const context = { migration, source: () => (asked ??= restoreSource(migration)) };
  const seeds = 's3' in migration.from ? seedChecks(migration.from.s3) : [];
  return summarisePreflight(await runChecks([...restoreChecks, ...seeds], context));
}
