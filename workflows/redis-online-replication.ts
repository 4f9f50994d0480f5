/** How a target that is a replica of the source is followed, by whichever engine it was attached. */
import type { RedisOnlineElastiCache, RedisOnlineReplicaOf } from '../spec/kind-redis-online.ts';
import { syncProgress } from '../spec/redis-sync.ts';
import type { activityProxies } from './activity-options.ts';
import type { RedisOnlineEngine } from './redis-online-engine.ts';

export function followReplication(
  act: ReturnType<typeof activityProxies>,
  migration: RedisOnlineReplicaOf | RedisOnlineElastiCache,
): Pick<RedisOnlineEngine, 'watch' | 'mayLiftBufferLimit'> {
  const { id: migrationId, source, inSync } = migration;
  return {
    watch: (_run, { target, syncFull }, last, intervalFactor) =>
      act.watch.watchSync.executeWithOptions(
        { summary: last ? `after: ${syncProgress(last).text}` : 'follow the replication' },
        [
          {
            migrationId,
            source,
            target,
            intervalMs: inSync.interval * intervalFactor,
            maxLagBytes: inSync.maxLagBytes,
            readings: inSync.readings,
            syncFull,
            last,
          },
        ],
      ),
    mayLiftBufferLimit: migration.fixFullResyncLoop,
  };
}
