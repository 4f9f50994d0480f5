/** What is done with the new primary after the switch: canary, final reading, watch, and tidying up. */
import { ErrorType } from '../../spec/errors.ts';
import type { RedisOnlineReplicaOf } from '../../spec/kind-redis-online.ts';
import type { RedisEndpoint } from '../../spec/values.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { forgetReplicationCredentials } from './attach-replicaof.ts';
import { sendCanary } from './canary.ts';
import { withRedis } from './connect.ts';
import { parseInfo } from './replication.ts';
import { readRole } from './role.ts';

export interface TargetInput {
  migrationId: string;
  target: RedisEndpoint;
}

export async function canaryOnTarget(input: TargetInput): Promise<void> {
  await withRedis(input.target, { name: `cutover:${input.migrationId}` }, (target) =>
    sendCanary(target, input.migrationId),
  );
}

export interface FinalState {
  sourceRole: string;
  targetRole: string;
  /** Keys by database, as INFO keyspace counts them; the target takes writes already, so they may differ. */
  sourceKeys: Record<string, number>;
  targetKeys: Record<string, number>;
  sourceRunId: string;
}

/** Roles and key counts for the report. @throws cutover.Replication where the target is not the primary */
export async function readFinalState(input: TargetInput & { source: RedisEndpoint }): Promise<FinalState> {
  const read = (endpoint: RedisEndpoint) =>
    withRedis(endpoint, { name: `cutover:${input.migrationId}` }, async (redis) => ({
      role: (await readRole(redis)).role,
      keys: keyCounts(await redis.info('keyspace')),
      runId: parseInfo(await redis.info('server'))['run_id'] ?? '',
    }));
  const [source, target] = await Promise.all([read(input.source), read(input.target)]);
  if (target.role !== 'master') {
    throw permanent(ErrorType.replication, `the target answers ROLE ${target.role}: it is not the primary`);
  }
  return {
    sourceRole: source.role,
    targetRole: target.role,
    sourceKeys: source.keys,
    targetKeys: target.keys,
    sourceRunId: source.runId,
  };
}

function keyCounts(keyspace: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [db, value] of Object.entries(parseInfo(keyspace)))
    counts[db] = Number(/keys=(\d+)/.exec(value)?.[1] ?? 0);
  return counts;
}

const SOAK_INTERVAL_MS = 5_000;

/** Watches the new primary until `until` (epoch ms). @throws cutover.Replication where it is not the primary any more */
export async function watchPrimary(input: TargetInput & { until: number }): Promise<void> {
  await waitUntil({
    intervalMs: Math.min(SOAK_INTERVAL_MS, Math.max(100, input.until - Date.now())),
    read: async () => {
      const { role } = await withRedis(input.target, { name: `cutover:${input.migrationId}:watch` }, readRole);
      if (role !== 'master')
        throw permanent(ErrorType.replication, `the target answers ROLE ${role}: it is not the primary any more`);
      return Math.max(0, input.until - Date.now());
    },
    done: (leftMs) => leftMs === 0,
    progress: (leftMs) => ({ text: 'the target is the primary', etaMs: leftMs }),
  });
}

/** The target needs the source's password no more. */
export async function forgetSourceCredentials(input: { migration: RedisOnlineReplicaOf }): Promise<void> {
  await withRedis(input.migration.target, { name: `cutover:${input.migration.id}` }, (target) =>
    forgetReplicationCredentials(target, input.migration),
  );
}
