/**
 * The fence of an offline migration. It stands for as long as save, upload, restore and compare take, not for seconds: so
 * whether it still stands is asked again and again, for a source that was restarted meanwhile has forgotten it (CONFIG SET
 * is not kept), and writes that it took since are not in the RDB.
 */
import { Context } from '@temporalio/activity';
import { ErrorType } from '../../../spec/errors.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { permanent } from '../../errors.ts';
import { connectRedis, redisFailure, withRedis } from '../connect.ts';
import { CriticalLease } from '../critical-lease.ts';
import { liftFence, raiseFence } from '../fence.ts';
import { generationOf, isFenceValue, readFenceRecord, readFenceSettings } from '../fence-record.ts';
import { parseInfo } from '../replication.ts';
import { endEarlierFencers, fencerName, replicaOf } from '../role.ts';

/** It is raised once in a run; a retry of the step takes it over. */
const PASS = 1;

export interface OfflineFence {
  /** Since when writes are refused, epoch ms. */
  fencedAt: number;
  /** Of the source's process: another one has no fence. */
  runId: string;
}

/**
 * Raises the fence, or takes it over from an earlier attempt.
 * @param input.withinMs an attempt begins to act so long after its start at most; else it is given up
 * @throws cutover.NotOurs (another migration's fence), cutover.Invalid (a replica, a proxy), cutover.Denied,
 *   cutover.Deadline (this worker stood still), cutover.Unreachable
 */
export async function fenceSource(input: {
  migrationId: string;
  source: RedisEndpoint;
  withinMs: number;
}): Promise<OfflineFence> {
  const { migrationId } = input;
  const lease = new CriticalLease();
  const generation = generationOf(PASS, Context.current().info.attempt);
  const source = await connectRedis(input.source, { name: fencerName(migrationId) }).catch((error: unknown) => {
    lease.end();
    throw error;
  });
  try {
    await endEarlierFencers(source, migrationId);
    lease.check('fence', input.withinMs);
    const { raisedAt, runId } = await raiseFence(source, migrationId, generation);
    return { fencedAt: raisedAt, runId };
  } catch (error) {
    // Once given up, it must not lift what may be the fence of the attempt that went on.
    if (!lease.stoodStill) {
      await liftFence(source, { migration: migrationId, generation }).catch(() => {
        // The workflow lifts it, with retries, and says why where it can't.
      });
    }
    throw redisFailure(error, `${input.source.host}:${input.source.port}`);
  } finally {
    lease.end();
    source.disconnect();
  }
}

/** Why this run's fence does not stand; undefined where it does. @throws cutover.Unreachable, cutover.Denied */
async function fallenFence(input: {
  migrationId: string;
  source: RedisEndpoint;
  runId: string;
}): Promise<string | undefined> {
  const { migrationId, runId } = input;
  return withRedis(input.source, { name: fencerName(migrationId) }, async (source) => {
    const now = parseInfo(await source.info('server'))['run_id'] ?? '';
    if (now !== runId) return 'the source was restarted or replaced since it was fenced, and takes writes again';
    const primary = await replicaOf(source);
    if (primary) return `the source is a replica of ${primary} by now, which was not fenced and takes writes`;
    const { toWrite, toWriteName, maxLag, maxLagName } = await readFenceSettings(source);
    if (!isFenceValue(toWrite)) return `somebody lifted the fence: ${toWriteName} is ${toWrite}`;
    if (maxLag === 0) return `${maxLagName} is 0, which switches the fence off`;
    const record = await readFenceRecord(source);
    if (record && record.migration !== migrationId) return `the fence is that of the migration ${record.migration}`;
    return undefined;
  });
}

/** @throws cutover.Replication where the fence fell: what was written since is not in the RDB; else as fallenFence */
export async function requireFence(input: {
  migrationId: string;
  source: RedisEndpoint;
  runId: string;
}): Promise<void> {
  const why = await fallenFence(input);
  if (why === undefined) return;
  throw permanent(ErrorType.replication, `the fence did not hold: ${why}; what was written since is not in the RDB`, {
    remedy: `abort, which deletes what was made, and start again: the new group does not have what ${input.source.host}:${input.source.port} took since`,
  });
}
