/** The `schedule` section of a file: with what the command line sets instead, as it was written, and in words. */
import { SCHEDULED_KINDS, NOT_SCHEDULED, schedule, type Schedule, type ScheduleSource } from '../spec/schedule.ts';
import type { Migration } from '../spec/migration.ts';
import { durationText } from './duration-text.ts';
import { WrongUsage } from './errors.ts';

/** What may be set beside the file; wins over it. As in the file: durations as `30s`. */
export interface ScheduleOverrides {
  cron?: string | undefined;
  timeZone?: string | undefined;
  overlap?: string | undefined;
  catchUp?: string | undefined;
}

/** Names of a run's resources are the id, a hyphen and `20261121-030000`, and 40 characters is what AWS takes. */
const LONGEST_SCHEDULED_ID = 24;

/**
 * The section that `migration` is scheduled by.
 * @throws WrongUsage where its kind has no schedule, where nothing says when, or where an override is wrong
 */
export function sectionOf(migration: Migration, overrides: ScheduleOverrides = {}): Schedule {
  const { id, kind } = migration;
  if (!(SCHEDULED_KINDS as readonly string[]).includes(kind))
    throw new WrongUsage(`"${id}" is of kind ${kind}, which has no schedule: ${NOT_SCHEDULED}`, {
      mend: `start it by hand: npx cutover start <file>; with a schedule: ${SCHEDULED_KINDS.join(', ')}`,
    });
  if (id.length > LONGEST_SCHEDULED_ID)
    throw new WrongUsage(
      `the id "${id}" has ${id.length} characters: a schedule's has at most ${LONGEST_SCHEDULED_ID}, because each run's resources are named by it and the time`,
      { mend: 'give it a shorter id in the file' },
    );
  const unfit = unfitForNights(migration);
  if (unfit) throw new WrongUsage(`"${id}" can't run on a schedule: ${unfit.because}`, { mend: unfit.mend });
  const written = (migration as { schedule?: Schedule | undefined }).schedule;
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  if (!written && given['cron'] === undefined)
    throw new WrongUsage(`"${id}" does not say when it runs`, {
      mend: 'give it a section `schedule: { cron: "0 3 * * *", timeZone: Europe/Berlin }`, or --cron and --time-zone',
    });
  if (Object.keys(given).length === 0) return written!;
  const base: ScheduleSource = written ? sectionAsWritten(written) : {};
  // One of them says when; the one on the command line stands for the others.
  if (given['cron'] !== undefined) for (const other of ['calendar', 'every', 'offset'] as const) delete base[other];
  const parsed = schedule.safeParse({ ...base, ...given });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'schedule'}: ${message}`);
  throw new WrongUsage(`the schedule of "${id}" is wrong: ${problems.join('; ')}`);
}

/**
 * What each kind's schema refuses beside a section `schedule`. A schedule that the command line gives to a file without
 * one must not get past it: a restore that is no drill would make a real cluster every night, and send its users there.
 */
function unfitForNights(migration: Migration): { because: string; mend: string } | undefined {
  switch (migration.kind) {
    case 'elasticache-restore':
    case 'dynamodb-restore':
    case 'machine-restore':
      return migration.drill
        ? undefined
        : { because: 'it is a restore and no drill', mend: 'set drill: true in the file, or start it by hand' };
    case 'elasticache-backup':
      if (!migration.snapshot) return { because: 'with snapshot: false it takes none', mend: 'leave that out' };
      return migration.snapshotName === undefined
        ? undefined
        : { because: 'the second run would find its snapshotName taken', mend: 'leave snapshotName out of the file' };
    default:
      return undefined;
  }
}

/** In the form of the file: it can be pasted into one. */
export function sectionAsWritten(section: Schedule): ScheduleSource {
  const { every, offset, catchUp, jitter, ...rest } = section;
  return {
    ...rest,
    ...(every === undefined ? {} : { every: durationText(every) }),
    ...(offset === undefined ? {} : { offset: durationText(offset) }),
    catchUp: durationText(catchUp),
    ...(jitter === undefined ? {} : { jitter: durationText(jitter) }),
  };
}

/** `cron 0 3 * * *`, `monday-friday 03:00`, `every 6h and 10m`: when it runs, without its time zone. */
export function sectionInWords({ cron, calendar, every, offset }: Schedule): string {
  if (cron !== undefined) return `cron ${cron}`;
  if (every !== undefined) return `every ${durationText(every)}${offset ? `, ${durationText(offset)} after` : ''}`;
  return [calendar ?? []].flat().map(calendarInWords).join('; ');
}

function calendarInWords(of: Exclude<Schedule['calendar'], undefined | unknown[]>): string {
  const days = [of.month, of.dayOfMonth === undefined ? undefined : `day ${of.dayOfMonth}`, of.dayOfWeek];
  const plain = /^\d+$/.test(of.hour) && /^\d+$/.test(of.minute);
  const time = plain
    ? `${of.hour.padStart(2, '0')}:${of.minute.padStart(2, '0')}`
    : `hour ${of.hour}, minute ${of.minute}`;
  return [...days.filter((part) => part !== undefined), time].join(' ');
}
