/** Which time a DescribeEvents asks for; ElastiCache and DMS have the same rules, and errors of their own. */
import type { AwsFault } from './faults.ts';

const HOUR = 3_600_000;
/** Events are kept 14 days (facts 3.1), ms. */
export const EVENTS_KEPT = 14 * 24 * HOUR;

interface Asked {
  /** Minutes. */
  Duration?: number | undefined;
  StartTime?: Date | undefined;
  EndTime?: Date | undefined;
}

/**
 * From and to, epoch ms; without a time, the last hour only.
 * @param refuse makes the service's error of an input that contradicts itself
 * @param inRange gives the duration back, minutes, or throws the service's error
 */
export function eventWindow(
  input: Asked,
  refuse: (message: string) => AwsFault,
  inRange: (minutes: number, largest: number) => number,
): [number, number] {
  const now = Date.now();
  if (input.Duration !== undefined) {
    if (input.StartTime !== undefined || input.EndTime !== undefined) {
      throw refuse('Duration must not be provided together with StartTime or EndTime.');
    }
    return [now - inRange(input.Duration, EVENTS_KEPT / 60_000) * 60_000, now];
  }
  const to = input.EndTime?.getTime() ?? now;
  const from = input.StartTime?.getTime() ?? to - HOUR;
  if (from > to) throw refuse('StartTime must not be later than EndTime.');
  return [from, to];
}
