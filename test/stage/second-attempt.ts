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

/** Ends all that the first attempt left running, where it used ids of its own. For `beforeEach`. */
export async function endFirstAttempts(client: Client): Promise<void> {
  if (!isSecondAttempt()) return;
  for await (const { workflowId } of client.workflow.list({ query: "ExecutionStatus = 'Running'" })) {
    await endFirstAttempt(client, workflowId);
  }
}

const SECOND = '-2nd';

/** A name of its own for each attempt; a name that is one already stays. */
export function named(id: string): string {
  return isSecondAttempt() && !id.endsWith(SECOND) ? `${id}${SECOND}` : id;
}
