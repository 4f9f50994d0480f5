/** The `schedule` section of a file: when a backup or a drill runs by itself. `cutover schedule create` reads it. */
import { z } from 'zod';
import {
  DAY_OF_MONTH,
  DAY_OF_WEEK,
  FieldProblem,
  HOUR,
  MINUTE,
  MONTH,
  parseField,
  type FieldLimits,
  type FieldRange,
} from './schedule-fields.ts';
import { OVERLAPS, type Overlap } from './schedule-overlap.ts';
import { timeZone } from './time-zone.ts';
import { duration } from './values.ts';

/** Kinds that may run with nobody awake: they make copies, or drill on things of their own. */
export const SCHEDULED_KINDS = [
  'elasticache-backup',
  'elasticache-restore',
  'dynamodb-export',
  'dynamodb-restore',
  'machine-backup',
  'machine-restore',
] as const;

/** Why the other kinds have no schedule. */
export const NOT_SCHEDULED =
  'only backups, exports and restore drills run on a schedule; this kind takes something out of service, and at night nobody is there to approve its gate or to answer it';

const SHORTHANDS = ['@hourly', '@daily', '@weekly', '@monthly', '@yearly'] as const;
const CRON_FIELDS = [MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK];
const CRON_FORM = `a cron line of 5 fields, such as "0 3 * * *" (minute, hour, day of month, month, day of week), or ${SHORTHANDS.join(', ')}`;

function cronProblem(text: string): string | undefined {
  const words = text.trim().split(/\s+/);
  if ((SHORTHANDS as readonly string[]).includes(text.trim())) return undefined;
  if (/(^|\s)(CRON_)?TZ=/.test(text)) return `expected ${CRON_FORM}; its time zone goes into timeZone`;
  if (text.startsWith('@every')) return `expected ${CRON_FORM}; an interval is written as every: 6h`;
  if (words.length !== 5) return `expected ${CRON_FORM}`;
  try {
    CRON_FIELDS.forEach((limits, place) => parseField(words[place]!, limits));
  } catch (error) {
    if (!(error instanceof FieldProblem)) throw error;
    return `expected ${CRON_FORM}: ${error.message}`;
  }
  // Cron runs when either of the two fits, Temporal when both do: the same line would run far more seldom here.
  if (words[2] !== '*' && words[4] !== '*')
    return 'expected a day of the month or a day of the week, not both: cron runs when either fits, Temporal when both do. Say what is meant with calendar: { dayOfMonth, dayOfWeek } (both), or with a list of two calendars (either)';
  return undefined;
}

const cron = z
  .string()
  .superRefine((text, context) => {
    const message = cronProblem(text);
    if (message) context.addIssue({ code: 'custom', message, input: text });
  })
  .describe(CRON_FORM);

/** One value, or a list of them; kept as text, as it was written. */
function calendarField(limits: FieldLimits, example: string) {
  const form = `${limits.name}: ${example}`;
  const one = z.union([z.int(), z.string()], { error: `expected a ${form}` });
  return z
    .union([one, z.array(one).min(1)], { error: `expected a ${form}, or a list of them` })
    .transform((value) => (Array.isArray(value) ? value : [value]).join(','))
    .superRefine((text, context) => {
      try {
        parseField(text, limits);
      } catch (error) {
        if (!(error instanceof FieldProblem)) throw error;
        context.addIssue({ code: 'custom', message: `expected a ${form}: ${error.message}`, input: text });
      }
    })
    .describe(form);
}

/** Numbers of weekdays begin on sunday for some and on monday for others. */
const NAMED_DAY: FieldLimits = { ...DAY_OF_WEEK, namesOnly: true };

const calendar = z.strictObject({
  hour: calendarField(HOUR, '3, "9-17", "*/6"').prefault(0),
  minute: calendarField(MINUTE, '0, 30, "*/15"').prefault(0),
  dayOfWeek: calendarField(NAMED_DAY, 'sunday, monday-friday').optional(),
  dayOfMonth: calendarField(DAY_OF_MONTH, '1, 15, "1-7"').optional(),
  month: calendarField(MONTH, 'january, "april-june"').optional(),
});
export type Calendar = z.output<typeof calendar>;

const overlapNames = Object.keys(OVERLAPS) as [Overlap, ...Overlap[]];

const moment = (example: string) =>
  z.iso.datetime({ offset: true, error: `expected a date and time with offset, ${example}` });

export const schedule = z
  .strictObject({
    cron: cron.optional(),
    calendar: z
      .union([calendar, z.array(calendar).min(1)], {
        error: 'expected a calendar { hour, minute, dayOfWeek, dayOfMonth, month }, or a list of them',
      })
      .optional(),
    every: duration({ min: '1s', max: '365d' }).optional(),
    offset: duration({ max: '365d' }).optional().describe('with every: how long after the hour, the day, … it runs'),
    timeZone: timeZone.prefault('UTC').describe('in which cron and calendar are read, daylight saving included'),
    overlap: z
      .enum(overlapNames)
      .prefault('skip')
      .describe(
        Object.entries(OVERLAPS)
          .map(([name, meaning]) => `${name}: ${meaning}`)
          .join('; '),
      ),
    catchUp: duration({ min: '10s', max: '365d' })
      .prefault('1h')
      .describe(
        'after an outage of Temporal: runs that are late by no more than this are made up for; older ones are missed, and counted',
      ),
    jitter: duration({ max: '24h' })
      .optional()
      .describe('each run begins up to so much later, at random: not all at once'),
    pauseOnFailure: z.boolean().prefault(false).describe('a run that was aborted or failed pauses the schedule'),
    startAt: moment('2026-12-01T00:00:00+09:00').optional().describe('no run before'),
    endAt: moment('2027-01-01T00:00:00+09:00').optional().describe('no run after'),
    remainingActions: z.int().min(1).optional().describe('so many runs, then no more'),
  })
  .superRefine((given, context) => {
    const wrong = (message: string, path: string[] = []) =>
      context.addIssue({ code: 'custom', message: `expected ${message}`, path, input: given });
    const times = [given.cron, given.calendar, given.every].filter((one) => one !== undefined);
    if (times.length !== 1) wrong('one of cron, calendar or every');
    if (given.offset !== undefined && given.every === undefined) wrong('no offset without every', ['offset']);
    if (given.offset !== undefined && given.every !== undefined && given.offset >= given.every)
      wrong('an offset shorter than every', ['offset']);
    if (given.every !== undefined && given.every % 1000 !== 0) wrong('whole seconds', ['every']);
    if (given.every !== undefined && given.timeZone !== 'UTC')
      wrong('no timeZone with every: it counts from 1970-01-01T00:00Z, and a day of 25 hours is none to it', [
        'timeZone',
      ]);
    if (given.startAt && given.endAt && Date.parse(given.startAt) >= Date.parse(given.endAt))
      wrong('a time after startAt', ['endAt']);
  });
export type Schedule = z.output<typeof schedule>;
export type ScheduleSource = z.input<typeof schedule>;

/** A calendar's fields as ranges of numbers, the week from sunday = 0, months from january = 1. */
export function calendarRanges(
  of: Calendar,
): Record<'minute' | 'hour' | 'dayOfMonth' | 'month' | 'dayOfWeek', FieldRange[]> {
  return {
    minute: parseField(of.minute, MINUTE),
    hour: parseField(of.hour, HOUR),
    dayOfMonth: parseField(of.dayOfMonth ?? '*', DAY_OF_MONTH),
    month: parseField(of.month ?? '*', MONTH),
    dayOfWeek: parseField(of.dayOfWeek ?? '*', NAMED_DAY),
  };
}
