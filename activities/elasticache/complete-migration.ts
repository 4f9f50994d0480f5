/**
 * CompleteMigration, the one call after which there may be no way back. It never throws for what AWS says: the caller
 * keeps the fence up or lifts it by the answer, so the answer must say what is known and what is not.
 */
import { Context, sleep } from '@temporalio/activity';
import { CompleteMigrationCommand } from '@aws-sdk/client-elasticache';
import { elasticacheOnce, type AwsTarget } from '../aws/clients.ts';
import { awsCode, describeAwsError, howToRetry, isCode, wasRefused } from '../aws/failure.ts';

export interface CompleteAnswer {
  /**
   * - `accepted`: AWS has taken it; its outcome comes by role and events, within minutes
   * - `refused`: certain that nothing was done
   * - `not-under-migration`: AWS says that there is no migration: it has ended, by us or by anybody; ask the role
   * - `ambiguous`: it may have been done. Only the target's role or an event can tell
   */
  answer: 'accepted' | 'refused' | 'not-under-migration' | 'ambiguous';
  /** AWS's code, or the network's. */
  code?: string;
  message: string;
}

/** How long a throttled call is tried again, ms. Writes are held back meanwhile. */
const THROTTLED_FOR_MS = 20_000;

/**
 * Calls CompleteMigration; it is sent again only where the answer proves that nothing was done (throttled).
 * A cancelled activity still waits for the answer of a call that is on its way: at most the client's 20 s.
 * In an activity's second attempt a refusal proves nothing about the first one, and the answer is `ambiguous`; not so
 * with Force, where it only matters whether it has to be called again.
 * @param args.force Ends the migration without checking that the data is in sync: for an abort alone.
 */
export async function completeMigration(args: {
  id: string;
  force?: boolean;
  aws?: AwsTarget;
}): Promise<CompleteAnswer> {
  const { attempt } = Context.current().info;
  const answer = await call(args);
  if (answer.answer !== 'refused' || attempt === 1 || args.force === true) return answer;
  return {
    ...answer,
    answer: 'ambiguous',
    message: `${answer.message} (and what attempt ${attempt - 1} of this call did is not known)`,
  };
}

async function call(args: { id: string; force?: boolean; aws?: AwsTarget }): Promise<CompleteAnswer> {
  const { id, force = false, aws = {} } = args;
  const what = `CompleteMigration of ${id}${force ? ' with Force' : ''}`;
  const giveUpAt = performance.now() + THROTTLED_FOR_MS;
  for (let pauseMs = 500; ; pauseMs = Math.min(pauseMs * 2, 4_000)) {
    try {
      const answer = await elasticacheOnce(aws).send(
        new CompleteMigrationCommand({ ReplicationGroupId: id, ...(force ? { Force: true } : {}) }),
      );
      // A proxy's empty 200 gives an empty answer without an error (facts 5.1).
      if (answer.ReplicationGroup?.ReplicationGroupId) return { answer: 'accepted', message: `${what}: accepted` };
      return { answer: 'ambiguous', message: `${what}: the answer is not ElastiCache's` };
    } catch (error) {
      const told = { code: awsCode(error), message: `${what}: ${describeAwsError(error)}` };
      if (isCode(error, 'ReplicationGroupNotUnderMigration')) return { answer: 'not-under-migration', ...told };
      if (!wasRefused(error)) return { answer: 'ambiguous', ...told };
      if (howToRetry(error) !== 'slow' || performance.now() + pauseMs > giveUpAt) return { answer: 'refused', ...told };
    }
    try {
      await sleep(pauseMs);
    } catch {
      return { answer: 'refused', message: `${what}: cancelled before AWS had accepted it` };
    }
  }
}
