/** How EC2 and SSM are waited for. */
import { Context } from '@temporalio/activity';

/** A machine takes minutes. A test's or the sandbox's takes milliseconds. */
const POLL_MS = 5_000;

/** What was just made may not be found yet (ansible amazon.aws#1321), ms. */
export const NOT_YET_VISIBLE_MS = 120_000;

/**
 * The same, for what is looked at again and again: 120 s. A sandbox shows at once what was made, and is asked so much
 * more often.
 */
export function notYetVisibleMs(): number {
  return NOT_YET_VISIBLE_MS * (ec2PollMs() / POLL_MS);
}

/** So many readings in a row without a trace, before something counts as gone or never made. */
export const READINGS_OF_NOTHING = 3;

export function ec2PollMs(): number {
  return Number(process.env['CUTOVER_AWS_POLL_MS'] ?? POLL_MS);
}

/**
 * Since this activity was first scheduled, ms: attempts that were lost count. Ask it only after a reading, so that what
 * has ended well while no worker was there is not taken for late.
 */
export function waitedMs(): number {
  return Date.now() - Context.current().info.scheduledTimestampMs;
}
