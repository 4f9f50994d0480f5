/** The fence as activities of their own, for engines whose promotion takes a service minutes. */
import { Context } from '@temporalio/activity';
import { ErrorType } from '../../spec/errors.ts';
import type { PhaseTiming } from '../../spec/status.ts';
import type { RedisEndpoint } from '../../spec/values.ts';
import { permanent } from '../errors.ts';
import { connectRedis, redisFailure, withRedis } from './connect.ts';
import { CriticalLease } from './critical-lease.ts';
import { drain } from './drain.ts';
import { liftFence, raiseFence } from './fence.ts';
import { cutoverOfFence, generationOf, readFenceSettings } from './fence-record.ts';
import { withPrimaries, type Primaries } from './primaries.ts';
import { judgeSync, readSource, readTarget } from './replication.ts';
import { endEarlierFencers, fencerName, replicaOf } from './role.ts';
import { endEarlierFencersEverywhere, liftSourceFences, proveSourceWritableEverywhere } from './source-fence.ts';

export interface FenceAndDrainInput {
  migrationId: string;
  source: RedisEndpoint;
  target: RedisEndpoint;
  cutover: number;
  /** ms */
  budgets: { fence: number; drain: number };
}

export interface FenceAndDrainResult {
  phases: PhaseTiming[];
  /** Epoch ms. */
  fencedAt: number;
}

/**
 * Raises the fence and waits until the target has everything. Where it fails, or is cancelled, it lifts the fence again
 * at once, which is quicker than to wait for the workflow to do so; the workflow does it all the same.
 */
export async function fenceAndDrain(input: FenceAndDrainInput): Promise<FenceAndDrainResult> {
  const lease = new CriticalLease();
  const generation = generationOf(input.cutover, Context.current().info.attempt);
  const name = fencerName(input.migrationId);
  const source = await connectRedis(input.source, { name });
  try {
    await endEarlierFencers(source, input.migrationId);
    return await withRedis(input.target, { name }, async (target) => {
      const { phase } = judgeSync(await readSource(source), await readTarget(target));
      if (phase !== 'online')
        throw permanent(ErrorType.replication, `the target is not in sync with the source (${phase})`);
      lease.check('fence', input.budgets.fence);
      const began = performance.now();
      const fence = await raiseFence(source, input.migrationId, generation);
      const fenced = performance.now() - began;
      const drained = await drain(source, target, fence, input.budgets.drain);
      return {
        fencedAt: fence.raisedAt,
        phases: [
          { name: 'fence', ms: Math.round(fenced), budgetMs: input.budgets.fence },
          { name: 'drain', ms: Math.round(drained.ms), budgetMs: input.budgets.drain },
        ],
      };
    });
  } catch (error) {
    // Once given up, it must not lift what may be the fence of the attempt that went on.
    if (!lease.stoodStill) {
      await liftFence(source, { migration: input.migrationId, generation }).catch(() => {
        // The workflow lifts it with retries and shows why where it can't.
      });
    }
    throw redisFailure(error, 'source or target');
  } finally {
    lease.end();
    source.disconnect();
  }
}

/** True where the fence of this pass through the critical section is up, on what still is the primary. */
export async function fenceOfCutoverIsUp(input: {
  migrationId: string;
  source: RedisEndpoint;
  cutover: number;
}): Promise<boolean> {
  return withRedis(input.source, { name: fencerName(input.migrationId) }, async (source) => {
    if (cutoverOfFence((await readFenceSettings(source)).toWrite) !== input.cutover) return false;
    return (await replicaOf(source)) === undefined;
  });
}

/**
 * Lifts this migration's fence, on every primary of a source that is a cluster, and proves that the source takes writes.
 * Runs as often as it likes.
 * @throws as liftSourceFences
 */
export async function liftSourceFence(input: {
  migrationId: string;
  source: RedisEndpoint;
}): Promise<{ detail: string }> {
  const { migrationId, source } = input;
  const lift = async (primaries: Primaries) => {
    const settled = await endEarlierFencersEverywhere(primaries, migrationId);
    return liftSourceFences(settled, { migration: migrationId });
  };
  return withPrimaries(source, 'source', fencerName(migrationId), lift, { patchy: true });
}

/** @throws cutover.Invalid with the server's reason where the source, or a primary of it, does not take writes */
export async function proveSourceWritable(input: { migrationId: string; source: RedisEndpoint }): Promise<void> {
  const name = `cutover:${input.migrationId}`;
  await withPrimaries(input.source, 'source', name, proveSourceWritableEverywhere, { patchy: true });
}
