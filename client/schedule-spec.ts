/** A file's `schedule` section as Temporal takes it. */
import type { CalendarSpec, ScheduleOptions, ScheduleOverlapPolicy, ScheduleSpec } from '@temporalio/client';
import { DAYS, MONTHS, type FieldRange } from '../spec/schedule-fields.ts';
import type { Overlap } from '../spec/schedule-overlap.ts';
import { calendarRanges, type Calendar, type Schedule } from '../spec/schedule.ts';

export const OVERLAP_POLICY: Record<Overlap, NonNullable<ScheduleOverlapPolicy>> = {
  skip: 'SKIP',
  'buffer-one': 'BUFFER_ONE',
  'buffer-all': 'BUFFER_ALL',
  'cancel-other': 'CANCEL_OTHER',
  'terminate-other': 'TERMINATE_OTHER',
  'allow-all': 'ALLOW_ALL',
};

export function temporalSpec(section: Schedule): ScheduleSpec {
  const { cron, calendar, every, offset, startAt, endAt, jitter, timeZone } = section;
  return {
    ...(cron === undefined ? {} : { cronExpressions: [cron] }),
    ...(calendar === undefined ? {} : { calendars: [calendar].flat().map(calendarSpec) }),
    ...(every === undefined ? {} : { intervals: [{ every, offset: offset ?? 0 }] }),
    ...(startAt === undefined ? {} : { startAt: new Date(startAt) }),
    ...(endAt === undefined ? {} : { endAt: new Date(endAt) }),
    ...(jitter === undefined ? {} : { jitter }),
    timezone: timeZone,
  };
}

export function temporalPolicies(section: Schedule): NonNullable<ScheduleOptions['policies']> {
  return {
    overlap: OVERLAP_POLICY[section.overlap],
    catchupWindow: section.catchUp,
    pauseOnFailure: section.pauseOnFailure,
  };
}

function calendarSpec(calendar: Calendar): CalendarSpec {
  const { minute, hour, dayOfMonth, month, dayOfWeek } = calendarRanges(calendar);
  return {
    minute,
    hour,
    dayOfMonth,
    month: named(month, (value) => MONTHS[value - 1]!.toUpperCase()),
    dayOfWeek: named(dayOfWeek, (value) => DAYS[value]!.toUpperCase()),
  } as CalendarSpec;
}

const named = (ranges: FieldRange[], name: (value: number) => string) =>
  ranges.map(({ start, end, step }) => ({ start: name(start), end: name(end), step }));
