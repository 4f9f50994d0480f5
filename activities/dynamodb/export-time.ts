/** Which point in time a file asks for. Pure: the clock is given. The rules of `parameters` are the article's. */
import { DateTime } from 'luxon';
import { ErrorType } from '../../spec/errors.ts';
import { timeZoneProblem } from '../../spec/time-zone.ts';
import { permanent } from '../errors.ts';
import { pythonInt } from './python-int.ts';

/** The article's zone, where its parameters name none. */
const ARTICLE_ZONE = 'Asia/Tokyo';

/** The parameters with what SSM held put in. */
export interface GivenTime {
  day: number | string;
  hour: number | string;
  minute: number | string;
  second: number | string;
  timeZone?: string;
  /** Those of a SecureString: what is no good number or zone may be somebody's password, and is not shown. */
  hidden?: string[];
}

/** Instead of a value of a SecureString, in what an operator is told. */
export const HIDDEN = '[value of a SecureString]';

export interface AskedTime {
  /** ISO, UTC. Absent: the latest that is restorable. */
  at?: string;
  /** In which it is meant and shown. */
  zone: string;
  /** How it was read: which day was taken for today. */
  notes: string[];
  /** What an operator has to hear of: a clock put forward. */
  warnings: string[];
}

/**
 * @param at As in the file (`now`, a time, the parameters), settings of SSM put in.
 * @param now ISO: what `today` is counted from.
 * @throws cutover.Invalid naming the parameter and its value
 */
export function askedTime(at: string | GivenTime, now: string): AskedTime {
  if (at === 'now') return { zone: 'UTC', notes: [], warnings: [] };
  if (typeof at === 'string') {
    const given = DateTime.fromISO(at, { setZone: true });
    if (!given.isValid) throw invalid('at', { at }, 'not a time with an offset');
    return { at: given.toUTC().toISO(), zone: given.zoneName, notes: [], warnings: [] };
  }
  return byParameters(at, now);
}

function byParameters(given: GivenTime, now: string): AskedTime {
  const zone = given.timeZone ?? ARTICLE_ZONE;
  const shown = { ...given, timeZone: zone };
  const problem = timeZoneProblem(zone);
  if (problem) throw invalid('timeZone', shown, problem);
  const notes: string[] = [];
  const warnings: string[] = [];
  const today = DateTime.fromISO(now, { zone });
  const hour = needed('hour', given);
  const minute = needed('minute', given);
  const second = needed('second', given);
  const day = dayOf(given, today, notes);
  within('hour', given, hour, 23);
  within('minute', given, minute, 59);
  within('second', given, second, 59);
  const month = today.toFormat('yyyy-MM');
  if (day > (today.daysInMonth ?? 0)) {
    const no = given.hidden?.includes('day') ? 'does not have that day' : `has no day ${day}`;
    throw invalid('day', given, `${month} ${no}, only ${today.daysInMonth}`);
  }
  const local = today.set({ day, hour, minute, second, millisecond: 0 });
  const asked = `${month}-${two(day)} ${two(hour)}:${two(minute)}:${two(second)}`;
  if (local.toFormat('yyyy-MM-dd HH:mm:ss') !== asked) {
    warnings.push(`${asked} does not exist in ${zone}: the clocks were put forward; ${local.toISO()} is taken`);
    return { at: local.toUTC().toISO()!, zone, notes, warnings };
  }
  const earliest = firstOf(local);
  if (earliest.length > 1) {
    warnings.push(
      `${asked} exists twice in ${zone}: the clocks were put back; the first, ${earliest[0]!.toISO()}, is taken`,
    );
  }
  return { at: earliest[0]!.toUTC().toISO()!, zone, notes, warnings };
}

function firstOf(local: DateTime): DateTime[] {
  return local.getPossibleOffsets().sort((a, b) => a.toMillis() - b.toMillis());
}

function dayOf(given: GivenTime, today: DateTime, notes: string[]): number {
  const day = typeof given.day === 'number' ? given.day : pythonInt(given.day);
  if (day === undefined || day === 0) {
    notes.push(
      day === 0
        ? `day is 0: today, ${today.toISODate()}, is taken`
        : `day ${told('day', given)} is not a number: today, ${today.toISODate()}, is taken`,
    );
    return today.day;
  }
  if (day < 0 || day > 31) throw invalid('day', given, 'expected 1 to 31, or 0 for every day');
  return day;
}

type Field = 'hour' | 'minute' | 'second';

function needed(name: Field, given: GivenTime): number {
  const value = typeof given[name] === 'number' ? given[name] : pythonInt(given[name]);
  if (value === undefined)
    throw invalid(name, given, 'expected a whole number: hour, minute and second must be numbers');
  return value;
}

function within(name: Field, given: GivenTime, value: number, most: number): void {
  if (value < 0 || value > most) throw invalid(name, given, `expected 0 to ${most}`);
}

const two = (value: number) => String(value).padStart(2, '0');

function told(name: string, given: Partial<GivenTime> & { at?: string }): string {
  return given.hidden?.includes(name) ? HIDDEN : JSON.stringify(given[name as keyof GivenTime]);
}

function invalid(name: string, given: Partial<GivenTime> & { at?: string }, why: string): Error {
  return permanent(ErrorType.invalid, `the export's time: ${name} is ${told(name, given)}: ${why}`, {
    remedy: `correct \`at${name === 'at' ? '' : `.${name}`}\` in the file, or the SSM parameter that it names`,
  });
}
