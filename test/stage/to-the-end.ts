/** A migration is brought to its end, whatever happens to it on the way. */
import { setTimeout as delay } from 'node:timers/promises';
import type { MigrationHandle, MigrationStatus } from '../../client/index.ts';
import { atGate, isDone, untilStatus } from './stage.ts';

/** Approves it wherever it comes back to its gate: a call that was made twice may still be under way, and refuse the next. */
export function approvedToTheEnd(handle: MigrationHandle, withinMs = 120_000): Promise<MigrationStatus> {
  return untilStatus(
    handle,
    'done',
    (status) => {
      if (atGate(status)) void handle.approve({ by: 'test' }).catch(() => {});
      return isDone(status);
    },
    withinMs,
  );
}

/** Approves it, and retries wherever it asks. @param withinMs from one question to the next */
export async function retriedToTheEnd(handle: MigrationHandle, withinMs?: number): Promise<MigrationStatus> {
  const asks = (status: MigrationStatus) => atGate(status) || isDone(status) || !!status.operator;
  for (;;) {
    const status = await untilStatus(handle, 'it asks, or is done', asks, withinMs);
    if (isDone(status)) return status;
    if (status.operator) console.log(`  asked at ${status.operator.step}: ${status.operator.reason}`);
    // What it asked may be answered by itself, or be asked by a worker that was killed since.
    const answer = status.operator ? handle.retry({ by: 'test' }) : handle.approve({ by: 'test' });
    await answer.catch(() => undefined);
    await delay(100);
  }
}

export interface Kill<What> {
  what: What;
  /** After the one before, ms. */
  afterMs: number;
}

/**
 * Kills one after the other, beside the test.
 * @param kill starts it again, too
 * @returns kills no more, and waits for the one that is under way
 */
export function killMeanwhile<What>(
  plan: readonly Kill<What>[],
  kill: (what: What) => Promise<void>,
): () => Promise<void> {
  let over = false;
  const killing = (async () => {
    for (const { what, afterMs } of plan) {
      await delay(afterMs);
      if (over) return;
      await kill(what);
    }
  })();
  return () => {
    over = true;
    return killing;
  };
}
