/** The loop of every long wait: one activity that polls, beats, and returns at a material change (facts/temporal 4.3). */
import { sleep } from '@temporalio/activity';
import type { Progress } from '../spec/status.ts';
import { beat } from './beat.ts';

export interface Wait<T> {
  intervalMs: number;
  read(): Promise<T>;
  /** True at a material change: the workflow is to hear of it. */
  done(value: T): boolean;
  progress(value: T): Progress;
}

/** Ends by `done`, by an error of `read`, or by cancellation (CancelledFailure). */
export async function waitUntil<T>(wait: Wait<T>): Promise<T> {
  for (;;) {
    const value = await wait.read();
    beat({ progress: wait.progress(value) });
    if (wait.done(value)) return value;
    await sleep(wait.intervalMs);
  }
}
