/**
 * In CI a failed test is tried once more (vitest.config.ts). What its first attempt left under the same names would fail the
 * second for a reason of its own, and hide the first one's.
 */
import type { Client } from '@temporalio/client';
import { TestRunner } from 'vitest';

/** True while a test is tried again. */
export function isSecondAttempt(): boolean {
  return (TestRunner.getCurrentTest()?.result?.retryCount ?? 0) > 0;
}

/** Ends the migration that the first attempt left running. */
export async function endFirstAttempt(client: Client, id: string): Promise<void> {
  if (!isSecondAttempt()) return;
  await client.workflow
    .getHandle(id)
    .terminate('the test is tried again')
    // Not started, or ended already.
    .catch(() => undefined);
}
