/** How EC2 and SSM are waited for. */
import { Context } from '@temporalio/activity';

/** So many readings in a row without a trace, before something counts as gone or never made. */
export const READINGS_OF_NOTHING = 3;

/**
 * Since this activity was first scheduled, ms: attempts that were lost count. Ask it only after a reading, so that what
 * has ended well while no worker was there is not taken for late.
 */
export function waitedMs(): number {
  return Date.now() - Context.current().info.scheduledTimestampMs;
}
