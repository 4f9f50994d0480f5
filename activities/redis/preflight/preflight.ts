/** The preflight of `redis-online`. Changes nothing. */
import { cancellation } from '../../preflight/cancellation.ts';
import type { RedisOnline } from '../../../spec/kind-redis-online.ts';
import { summarisePreflight, type PreflightReport } from '../../../spec/preflight.ts';
import { checksAt, elastiCacheChecks, replicaOfChecks } from './catalogue.ts';
import type { Check } from '../../preflight/check.ts';
import type { RedisOnlineContext, SharedContext } from './context.ts';
import { elastiCacheContext } from './elasticache-context.ts';
import { redisProbe } from './probe.ts';
import { replicaOfContext } from './replicaof-context.ts';
import { runChecks } from '../../preflight/run-checks.ts';
import { preflightScan } from './scan-preflight.ts';

export interface PreflightInput {
  migration: RedisOnline;
  /** Right before the fence: the checks that take milliseconds, of a target that follows by now. */
  cheap?: boolean;
}

/**
 * Runs every check of facts/redis-aws 4.1 that fits the file's engine, side by side.
 * It never throws for what it finds: a source that is down is a report with one `fail` and many `unknown`. Whether the
 * migration may go on is the caller's to judge, by `failed`.
 * @throws the cancellation's reason, where the activity is cancelled
 */
export async function preflightRedisOnline({ migration, cheap }: PreflightInput): Promise<PreflightReport> {
  if (migration.engine === 'scan') return preflightScan({ migration, ...(cheap ? { cheap } : {}) });
  const { host, port } = migration.source;
  const shared: SharedContext = {
    moment: cheap ? 'before-fence' : 'before-attach',
    source: redisProbe('source', migration.source, `cutover:${migration.id}:preflight`),
    replication: migration.source.replicationAddress ?? { host, port },
  };
  return migration.engine === 'replicaof'
    ? report(replicaOfChecks, replicaOfContext(migration, shared))
    : report(elastiCacheChecks, await elastiCacheContext(migration, shared));
}

async function report<C extends RedisOnlineContext>(checks: readonly Check<C>[], context: C): Promise<PreflightReport> {
  const signal = cancellation();
  try {
    return summarisePreflight(await runChecks(checksAt(context.moment, checks), context, signal ? { signal } : {}));
  } finally {
    context.source.close();
    context.target.close();
  }
}
