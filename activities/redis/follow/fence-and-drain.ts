/** `engine: scan`: the fence on every primary of the source, and the follower's drain behind it. */
import { randomUUID } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { ErrorType } from '../../../spec/errors.ts';
import type { RedisOnlineScan } from '../../../spec/kind-redis-online.ts';
import type { CopyTotals } from '../../../spec/redis-copy.ts';
import type { PhaseTiming } from '../../../spec/status.ts';
import { permanent } from '../../errors.ts';
import { redisFailure } from '../connect.ts';
import { CriticalLease } from '../critical-lease.ts';
import { generationOf } from '../fence-record.ts';
import { withPrimaries, type Primaries } from '../primaries.ts';
import { fencerName } from '../role.ts';
import {
  endEarlierFencersEverywhere,
  liftSourceFences,
  raiseSourceFence,
  type RaisedSourceFence,
} from '../source-fence.ts';
import { Desk } from './desk.ts';

/** So much of the budget is the follower's: it must not end itself for an answer that nobody waits for any more. */
const FOR_THE_FOLLOWER = 0.9;

export interface DrainedCopy {
  phases: PhaseTiming[];
  /** Epoch ms. */
  fencedAt: number;
  fence: RaisedSourceFence;
  generation: number;
  totals: CopyTotals;
  notes: string[];
}

/**
 * Raises the fence and has the follower drain: everything heard, everything copied, what was touched last compared. The
 * follower has ended then. Where that fails, or is cancelled, the fence is lifted again at once; the workflow does it all
 * the same.
 * @throws cutover.Deadline where the follower does not answer within its budget, cutover.Differs, and what raising throws
 */
export async function fenceAndDrainCopy(input: { migration: RedisOnlineScan; cutover: number }): Promise<DrainedCopy> {
  const { migration, cutover } = input;
  const lease = new CriticalLease();
  const generation = generationOf(cutover, Context.current().info.attempt);
  const desk = await Desk.open(migration.target, migration.id, 'ask').catch((error: unknown) => {
    lease.end();
    throw redisFailure(error, 'the target');
  });
  try {
    return await withPrimaries(migration.source, 'source', fencerName(migration.id), async (found) => {
      const source = await endEarlierFencersEverywhere(found, migration.id);
      if (source.unreached[0]) throw source.unreached[0].why;
      try {
        return await fenceAndDrain(migration, source, desk, lease, generation);
      } catch (error) {
        // Once given up, it must not lift what may be the fence of the attempt that went on.
        if (!lease.stoodStill) {
          await liftSourceFences(source, { migration: migration.id, generation }).catch(() => {
            // The workflow lifts it with retries and shows why where it can't.
          });
        }
        throw error;
      }
    });
  } catch (error) {
    throw redisFailure(error, 'source or target');
  } finally {
    lease.end();
    desk.close();
  }
}

async function fenceAndDrain(
  migration: RedisOnlineScan,
  source: Primaries,
  desk: Desk,
  lease: CriticalLease,
  generation: number,
): Promise<DrainedCopy> {
  const { budgets } = migration.cutover;
  lease.check('fence', budgets.fence);
  const began = performance.now();
  const fence = await raiseSourceFence(source, migration.id, generation);
  const fenced = performance.now();
  const cancelled = Context.current().cancelled;
  const answer = await Promise.race([
    desk.askToDrain({ id: randomUUID(), timeoutMs: budgets.drain * FOR_THE_FOLLOWER }, budgets.drain),
    // An abort does not wait for the drain.
    cancelled,
  ]);
  if (!answer) {
    throw permanent(
      ErrorType.deadline,
      `the follower did not answer within ${budgets.drain} ms: it may be dead, or far behind`,
      {
        remedy: 'wait until it is in sync again, and give the drain more time: cutover.budgets.drain',
      },
    );
  }
  if (!answer.drained) {
    throw permanent(ErrorType.deadline, answer.why, answer.remedy === undefined ? {} : { remedy: answer.remedy });
  }
  return {
    fence,
    generation,
    fencedAt: fence.raisedAt,
    totals: answer.totals,
    notes: answer.notes,
    phases: [
      { name: 'fence', ms: Math.round(fenced - began), budgetMs: budgets.fence },
      { name: 'drain', ms: Math.round(performance.now() - fenced), budgetMs: budgets.drain },
    ],
  };
}
