/** What a change to or from daylight saving does to a schedule: which of its times do not exist then, or come twice. */
import type { CalendarSpecDescription, ScheduleSpecDescription } from '@temporalio/client';
import { DateTime } from 'luxon';
import { DAYS, MONTHS } from '../spec/schedule-fields.ts';

export interface ClockChange {
  /** ISO, UTC. */
  at: string;
  /** The local day, and the clock before and after: `2027-03-28`, `02:00`, `03:00`. */
  day: string;
  from: string;
  to: string;
  /**
   * What comes of the schedule's times that the change takes away or brings twice:
   * - `left-out`: they do not exist on that day, so it does not run at them
   * - `twice`: it runs at both
   * - `once`: it runs at one of the two
   * - `hole`: it runs in every hour, and at only one of the two: for so long there is no run
   */
  effect: 'none' | 'left-out' | 'twice' | 'once' | 'hole';
  /** The times of the schedule that are meant, by the clock: `02:30`. */
  times: string[];
}

/** The schedule's times between two moments, both included, as the server reckons them. ISO. */
export type TimesBetween = (from: Date, to: Date) => Promise<string[]>;

/** A zone changes its clock twice a year, if at all. */
const AHEAD_DAYS = 366;
const MINUTE_MS = 60_000;
const DAY_MS = 1440 * MINUTE_MS;

/**
 * The next changes of the clock in the schedule's zone within a year, and what they do, from the calendars that the
 * SERVER made of the schedule. Intervals count from 1970 and know no clock.
 *
 * Of an hour that comes twice the server is asked: the SDK's docs say that it runs twice then, and measured (1.29) it
 * does so west of Greenwich alone; in Europe, Asia and Australia it runs once, and what runs every hour has a hole there.
 */
export async function clockChanges(
  spec: ScheduleSpecDescription,
  timesBetween: TimesBetween,
  from: Date = new Date(),
): Promise<ClockChange[]> {
  const zone = spec.timezone || 'UTC';
  const calendars = spec.calendars ?? [];
  const found: ClockChange[] = [];
  for (const at of calendars.length > 0 ? offsetChanges(zone, from) : []) {
    const before = DateTime.fromMillis(at - MINUTE_MS, { zone }).offset;
    const after = DateTime.fromMillis(at, { zone });
    const moved = after.offset - before;
    // The face of the clock as if it was not changed: luxon would move a time in the gap by itself.
    const face = DateTime.fromMillis(at + before * MINUTE_MS, { zone: 'utc' });
    const begin = moved > 0 ? face : face.plus({ minutes: moved });
    const faces = Array.from({ length: Math.abs(moved) }, (_, minute) => ({
      minute,
      at: begin.plus({ minutes: minute }),
    }));
    const meant = (hourly: boolean) =>
      faces.filter((one) =>
        matches(
          calendars.filter(({ hour }) => everyHour(hour) === hourly),
          one.at,
        ),
      );
    const change = {
      at: new Date(at).toISOString(),
      day: after.toFormat('yyyy-MM-dd'),
      from: face.toFormat('HH:mm'),
      to: after.toFormat('HH:mm'),
    };
    const [daily, hourly] = [meant(false), meant(true)];
    const times = (of: typeof faces) => of.map((one) => one.at.toFormat('HH:mm'));
    if (moved > 0) {
      // What runs in every hour loses nothing by an hour that there is not.
      found.push({ ...change, effect: daily.length > 0 ? 'left-out' : 'none', times: times(daily) });
      continue;
    }
    const asked = [...daily, ...hourly];
    const length = -moved * MINUTE_MS;
    // From the day before: the server reckons each time from the one before it.
    const real = asked.length > 0 ? await timesBetween(new Date(at - DAY_MS), new Date(at + length)) : [];
    const runs = new Set(real.map((time) => Date.parse(time)));
    const both = (of: typeof faces) =>
      of.filter(({ minute }) => [at - length, at].every((start) => runs.has(start + minute * MINUTE_MS)));
    const hole = hourly.filter((one) => !both(hourly).includes(one));
    if (both(daily).length > 0) found.push({ ...change, effect: 'twice', times: times(both(daily)) });
    else if (hole.length > 0) found.push({ ...change, effect: 'hole', times: times(hole) });
    else found.push({ ...change, effect: daily.length > 0 ? 'once' : 'none', times: times(daily) });
  }
  return found;
}

/** When the zone's offset from UTC changes, epoch ms, to the minute. */
function offsetChanges(zone: string, from: Date): number[] {
  const offset = (ms: number) => DateTime.fromMillis(ms, { zone }).offset;
  const start = Math.floor(from.getTime() / MINUTE_MS) * MINUTE_MS;
  const found: number[] = [];
  for (let day = 0; day < AHEAD_DAYS; day++) {
    let low = start + day * DAY_MS;
    let high = low + DAY_MS;
    if (offset(low) === offset(high)) continue;
    while (high - low > MINUTE_MS) {
      const middle = low + Math.floor((high - low) / 2 / MINUTE_MS) * MINUTE_MS;
      if (offset(middle) === offset(low)) low = middle;
      else high = middle;
    }
    found.push(high);
  }
  return found;
}

/** Does one of the calendars name this minute? */
function matches(calendars: readonly CalendarSpecDescription[], at: DateTime): boolean {
  return calendars.some(
    ({ minute, hour, dayOfMonth, month, year, dayOfWeek }) =>
      within(minute, at.minute) &&
      within(hour, at.hour) &&
      within(dayOfMonth, at.day) &&
      (year.length === 0 || within(year, at.year)) &&
      within(numbered(month, MONTHS, 1), at.month) &&
      within(numbered(dayOfWeek, DAYS, 0), at.weekday % 7),
  );
}

interface Range {
  start: number;
  end: number;
  step: number;
}

const within = (ranges: readonly Range[], value: number) =>
  ranges.some(
    ({ start, end, step }) => value >= start && value <= Math.max(start, end) && (value - start) % step === 0,
  );

const everyHour = (hours: readonly Range[]) =>
  Array.from({ length: 24 }, (_, hour) => hour).every((hour) => within(hours, hour));

const numbered = (
  ranges: readonly { start: string; end: string; step: number }[],
  names: readonly string[],
  first: number,
): Range[] =>
  ranges.map(({ start, end, step }) => ({
    start: names.indexOf(start.toLowerCase()) + first,
    end: names.indexOf(end.toLowerCase()) + first,
    step,
  }));
