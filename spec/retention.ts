/** Retention beyond AWS's own: which backups of one source a file wants kept. */
import { z } from 'zod';
import { timeZone } from './time-zone.ts';

const count = z.int({ error: 'expected a whole number, 0 or more' }).min(0).max(1000);

export const retention = z
  .strictObject({
    keepLast: count.optional().describe('the newest so many'),
    daily: count.optional().describe('the newest of each of the last so many days that have one'),
    weekly: count.optional().describe('the newest of each of the last so many ISO weeks that have one'),
    monthly: count.optional().describe('the newest of each of the last so many months that have one'),
    yearly: count.optional().describe('the newest of each of the last so many years that have one'),
    timeZone: timeZone.prefault('UTC').describe('in which a day begins and ends'),
  })
  .refine((r) => [r.keepLast, r.daily, r.weekly, r.monthly, r.yearly].some((n) => n !== undefined && n > 0), {
    error: 'expected at least one of keepLast, daily, weekly, monthly, yearly above 0: else nothing would be kept',
  });
export type Retention = z.output<typeof retention>;

/** What is decided about: backups of one source that the same migration made. */
export interface RetentionCandidate {
  id: string;
  /** ISO. */
  createdAt: string;
  complete: boolean;
  /** Not finished yet: never deleted. */
  pending?: boolean;
}

export interface RetentionDecision {
  id: string;
  keep: boolean;
  /** `keepLast 3`, `daily 2026-11-21`, `the last complete one`, `under way`. */
  because: string;
}
