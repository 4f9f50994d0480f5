/** The preflight of `redis-offline`. Changes nothing. */
import type { RedisOffline } from '../../../spec/kind-redis-offline.ts';
import { summarisePreflight, type PreflightReport } from '../../../spec/preflight.ts';
import { cancellation } from '../../preflight/cancellation.ts';
import { runChecks } from '../../preflight/run-checks.ts';
import { bucketChecks } from './bucket-checks.ts';
import { offlineContext } from './context.ts';
import { sourceChecks } from './source-checks.ts';
import { targetChecks } from './target-checks.ts';

/**
 * It never throws for what it finds: a source that is down is a report with one `fail` and many `unknown`.
 * @param given.cheap right before the fence: the checks that take milliseconds
 * @throws the cancellation's reason, where the activity is cancelled
 */
export async function preflightRedisOffline(given: {
  migration: RedisOffline;
  cheap?: boolean;
}): Promise<PreflightReport> {
  const { migration, cheap = false } = given;
  const signal = cancellation();
  const context = offlineContext(migration, cheap ? 'before-fence' : 'start');
  const all = [...sourceChecks(migration), ...targetChecks(migration), ...bucketChecks];
  const checks = cheap ? all.filter((check) => check.cheap) : all;
  try {
    return summarisePreflight(await runChecks(checks, context, signal ? { signal } : {}));
  } finally {
    context.source.close();
  }
}
