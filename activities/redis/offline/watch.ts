/** What the gates look at: before the fence the source; before the switch the new group, and whether the fence stands. */
import { ApplicationFailure } from '@temporalio/common';
import type { Progress } from '../../../spec/status.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import type { AwsTarget } from '../../aws/clients.ts';
import { pollInterval } from '../../aws/poll-interval.ts';
import { groupStatus } from '../../elasticache/replication-group.ts';
import { waitUntil } from '../../wait-until.ts';
import { withRedis } from '../connect.ts';
import { readRole } from '../role.ts';
import { requireFence } from './fence.ts';

export interface OfflineReading {
  ready: boolean;
  notReady?: string;
  progress: Progress;
}

/**
 * The first reading at once (without `last`), then each that is another one.
 * @param args.fence of this run; absent without one
 * @throws cutover.Replication where the fence fell, cutover.NotFound (the group is gone), cutover.Denied,
 *   cutover.Unreachable
 */
export async function watchOffline(args: {
  id: string;
  migrationId: string;
  source: RedisEndpoint;
  fence?: { runId: string; fencedAt: number } | undefined;
  last?: OfflineReading | undefined;
  aws?: AwsTarget;
}): Promise<OfflineReading> {
  const { id, migrationId, source, fence, last, aws = {} } = args;
  return waitUntil({
    intervalMs: pollInterval(),
    read: async (): Promise<OfflineReading> => {
      const { status } = await groupStatus({ id, aws });
      if (fence) await requireFence({ migrationId, source, runId: fence.runId });
      const refused = fence
        ? `; the source refuses writes since ${new Date(fence.fencedAt).toISOString()}`
        : '; the source takes writes, which the new group will not have';
      if (status === 'available') return { ready: true, progress: { text: `${id} is available${refused}` } };
      const notReady = `${id} is ${status}`;
      return { ready: false, notReady, progress: { text: `${notReady}${refused}` } };
    },
    done: (now) => now.ready !== last?.ready || now.notReady !== last.notReady,
    progress: (now) => now.progress,
  });
}

const SOURCE_INTERVAL_MS = 15_000;

/** For the gate before the fence: whether the source is there, and is a primary. @throws cutover.Denied, cutover.Secret */
export async function watchFenceable(args: {
  migrationId: string;
  source: RedisEndpoint;
  last?: OfflineReading | undefined;
}): Promise<OfflineReading> {
  const { migrationId, source, last } = args;
  return waitUntil({
    // A test's AWS is asked more often than a real one, and so is its source.
    intervalMs: Math.min(SOURCE_INTERVAL_MS, pollInterval() * 3),
    read: async (): Promise<OfflineReading> => {
      const where = `${source.host}:${source.port}`;
      const notReady = await withRedis(source, { name: `cutover:${migrationId}:watch` }, async (redis) => {
        const { role } = await readRole(redis);
        return role === 'master' ? undefined : `${where} answers ROLE ${role}`;
      }).catch((error: unknown) => {
        if (error instanceof ApplicationFailure && error.nonRetryable !== true) return error.message;
        throw error;
      });
      if (notReady === undefined) return { ready: true, progress: { text: `${where} is a primary, and takes writes` } };
      return { ready: false, notReady, progress: { text: notReady } };
    },
    done: (now) => now.ready !== last?.ready || now.notReady !== last.notReady,
    progress: (now) => now.progress,
  });
}
