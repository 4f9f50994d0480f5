/** The preflight of `redis-offline`. Changes nothing. */
import type { RedisOffline } from '../../../spec/kind-redis-offline.ts';
import { summarisePreflight, type PreflightReport } from '../../../spec/preflight.ts';
import { runChecks } from '../../preflight/run-checks.ts';
import { bucketChecks } from './bucket-checks.ts';
import { offlineContext } from './context.ts';
import { sourceChecks } from './source-checks.ts';
import { targetChecks } from './target-checks.ts';

/**
 * It never throws for what it finds: a source that is down is a report with one `fail` and many `unknown`.
 * @param given.cheap right before the fence: the checks that take milliseconds
 */
export async function preflightRedisOffline(given: {
  migration: RedisOffline;
  cheap?: boolean;
}): Promise<PreflightReport> {
  const { migration, cheap = false } = given;
  const context = offlineContext(migration, cheap ? 'before-fence' : 'start');
  const checks = [...sourceChecks(migration), ...targetChecks, ...bucketChecks];
  try {
    return summarisePreflight(await runChecks(cheap ? checks.filter((check) => check.cheap) : checks, context));
  } finally {
    context.source.close();
  }
}
