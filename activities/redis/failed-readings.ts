/** What a watch makes of readings that fail: a side that is away does not end it. */
import { ApplicationFailure } from '@temporalio/common';
import { ErrorType } from '../../spec/errors.ts';
import type { SyncState } from '../../spec/redis-sync.ts';
import { redisFailure } from './connect.ts';

const UNREACHABLE_AFTER = 3;

/** Those in a row. */
export class FailedReadings {
  private count = 0;

  ended(): void {
    this.count = 0;
  }

  /**
   * After one more: for some readings nothing is said, then it is `unreachable`, and in sync no more.
   * @throws cutover.Denied where a password was changed under us
   */
  oneMore(error: unknown, where: string, latest: SyncState): SyncState {
    const failure = redisFailure(error, where);
    if (failure instanceof ApplicationFailure && failure.type === ErrorType.denied) throw failure;
    this.count += 1;
    if (this.count < UNREACHABLE_AFTER) return latest;
    return { ...latest, inSync: false, unreachable: failure.message };
  }
}
