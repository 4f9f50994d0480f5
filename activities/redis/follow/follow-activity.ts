/**
 * The follower of `engine: scan`: one long activity that copies every key and carries over what is touched, beside the
 * steps of its migration, until it is asked to drain and to end. It is asked, and tells, by keys on the target (desk.ts).
 */
import { Context } from '@temporalio/activity';
import type { RedisOnlineScan } from '../../../spec/kind-redis-online.ts';
import type { CopyRedisResult } from '../../../spec/redis-copy.ts';
import { beat } from '../../beat.ts';
import { connectionsOf, copyFailure, copyProgress } from '../copy/copy-activity.ts';
import { CopySession } from '../copy/session.ts';
import { CopyError } from '../copy/types.ts';
import type { CopyCheckpoint, CopyState } from '../copy/types.ts';
import { Desk, ownerOf } from './desk.ts';

export interface FollowCopyInput {
  migration: RedisOnlineScan;
  /** Given by whoever took the target for this follower (take-target.ts). */
  claim: string;
  /** The target was empty when it was taken, and nobody has copied to it since. */
  fresh: boolean;
}

/**
 * Copies and follows until it has drained. Can run twice: an attempt ends the connections of the one before it, goes on from
 * the checkpoint beside the data, and compares what was copied before, because nobody listened meanwhile.
 * @throws cutover.Unreachable, cutover.Busy (retried), cutover.NotOurs where the target was taken by somebody else since,
 *   cutover.Invalid where something would be lost in silence
 */
export async function followCopy(input: FollowCopyInput): Promise<CopyRedisResult> {
  const { migration, claim } = input;
  const desk = await Desk.open(migration.target, migration.id, 'follow');
  try {
    await desk.requireClaim(migration.id, claim);
    try {
      return await follow(input, desk);
    } catch (error) {
      const failure = copyFailure(error);
      // It is told where the operator looks; that it can't be told must not hide why.
      await desk.say(claim, { notes: [], failed: failure.message }).catch(() => {});
      throw failure;
    }
  } catch (error) {
    throw copyFailure(error);
  } finally {
    desk.close();
  }
}

async function follow({ migration, claim, fresh }: FollowCopyInput, desk: Desk): Promise<CopyRedisResult> {
  const { id, source, target, copy, allowNonEmptyTarget } = migration;
  const { attempt } = Context.current().info;
  const checkpoint = await desk.checkpoint();
  let session: CopySession | undefined;
  let saying = Promise.resolve();
  let next: (() => Promise<void>) | undefined;
  const tell = (state: CopyState, at: CopyCheckpoint) => {
    beat({ progress: copyProgress(state) });
    const notes = session?.notes ?? [];
    // One after the other: an older word must not stand over a newer one, nor a slow target make a queue of them.
    const isFirst = next === undefined;
    next = () => desk.say(claim, { state, notes }, at);
    if (!isFirst) return;
    saying = saying.then(() => {
      const say = next!;
      next = undefined;
      return say();
    });
    saying.catch((error: unknown) => session?.fail(error));
  };
  session = await CopySession.open(
    connectionsOf({ migrationId: id, source, target }),
    { ...copy, allowNonEmptyTarget, mode: 'replace', migrationId: id },
    {
      follow: true,
      claim: { owner: ownerOf(id, claim), holdsMore: !fresh || attempt > 1 },
      ...(checkpoint ? { resumeFrom: checkpoint } : {}),
      signal: Context.current().cancellationSignal,
      onProgress: tell,
    },
  );
  try {
    await session.firstCopy();
    const request = await drained(session, desk);
    // Closed before it is answered: who asked may let others write to the target.
    const result = await session.end();
    await saying;
    await desk.answer(request, { drained: true, totals: result.totals, notes: result.notes });
    return result;
  } finally {
    session.close();
  }
}

/** Follows until a request to drain could be met. @returns the request's id */
async function drained(session: CopySession, desk: Desk): Promise<string> {
  for (;;) {
    const { id, timeoutMs } = await session.during(desk.nextRequest());
    try {
      await session.drain(timeoutMs);
      return id;
    } catch (error) {
      if (!(error instanceof CopyError) || (error.code !== 'DEADLINE' && error.code !== 'DIFFERS')) throw error;
      const { message: why, remedy } = error;
      await desk.answer(id, { drained: false, why, ...(remedy === undefined ? {} : { remedy }) });
    }
  }
}
