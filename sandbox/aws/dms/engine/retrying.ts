/** RecoverableError*: how often and how long the task tries to come back. */
import { setTimeout as delay } from 'node:timers/promises';
import { TaskFailure, isPassing, messageOf } from './failures.ts';
import type { TaskSettings } from './task-settings.ts';

export class Retrying {
  private readonly settings: TaskSettings;
  private tries = 0;
  private waitMs: number;

  constructor(settings: TaskSettings) {
    this.settings = settings;
    this.waitMs = settings.recoverableIntervalMs;
  }

  /** Something worked: the next failure is a first one. */
  reset(): void {
    this.tries = 0;
    this.waitMs = this.settings.recoverableIntervalMs;
  }

  /**
   * Waits until the next try.
   * @throws TaskFailure: FATAL_ERROR for what does not pass, RECOVERABLE_ERROR when the tries are used up
   */
  async after(error: unknown, signal: AbortSignal): Promise<void> {
    if (error instanceof TaskFailure) throw error;
    if (!isPassing(error)) throw new TaskFailure('FATAL_ERROR', `Last Error  ${messageOf(error)}`, { cause: error });
    const { settings } = this;
    const limit = settings.recoverableCount;
    const atMost = this.waitMs >= settings.recoverableThrottlingMaxMs && settings.recoverableStopAfterMax;
    if ((limit !== -1 && this.tries >= limit) || (limit === -1 && atMost)) {
      throw new TaskFailure(
        'RECOVERABLE_ERROR',
        `Task was not recovered after ${this.tries} retries. Last Error  ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
    this.tries++;
    await delay(this.waitMs, undefined, { signal });
    if (settings.recoverableThrottling) this.waitMs = Math.min(this.waitMs * 2, settings.recoverableThrottlingMaxMs);
  }
}
