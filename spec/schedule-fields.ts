/** The fields of a calendar or cron line: which hours, days, months. What is accepted here, Temporal's server accepts. */

export interface FieldRange {
  start: number;
  end: number;
  step: number;
}

export interface FieldLimits {
  /** As people call it, in errors. */
  name: string;
  min: number;
  max: number;
  /** Names of its values, the first for `first`; three letters are enough. */
  names?: readonly string[];
  /** Numbers are refused where people count them from different days. */
  namesOnly?: boolean;
}

export const MONTHS = [
  'january',
  'february',
  'march',
  'april',
  'may',
  'june',
  'july',
  'august',
  'september',
  'october',
  'november',
  'december',
] as const;
export const DAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] as const;

export const MINUTE: FieldLimits = { name: 'minute', min: 0, max: 59 };
export const HOUR: FieldLimits = { name: 'hour', min: 0, max: 23 };
export const DAY_OF_MONTH: FieldLimits = { name: 'day of the month', min: 1, max: 31 };
export const MONTH: FieldLimits = { name: 'month', min: 1, max: 12, names: MONTHS };
export const DAY_OF_WEEK: FieldLimits = { name: 'day of the week', min: 0, max: 6, names: DAYS };

/** `3`, `1-5`, `*`, a star with a step, `9-17/2`, `monday-friday`, and lists of these with commas. */
export function parseField(text: string, limits: FieldLimits): FieldRange[] {
  return text.split(',').map((part) => parsePart(part.trim(), limits));
}

/** @throws FieldProblem */
function parsePart(part: string, limits: FieldLimits): FieldRange {
  const [, first, last, by] = /^(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:\/(\d+))?$/i.exec(part) ?? fail(part, limits);
  const step = by === undefined ? 1 : Number(by);
  if (step < 1 || step > limits.max) fail(part, limits);
  if (first === '*') {
    if (last !== undefined) fail(part, limits);
    return { start: limits.min, end: limits.max, step };
  }
  const start = valueOf(first!, part, limits);
  // Cron's `5/15` is "from 5 on", not the single 5.
  const end = last === undefined ? (by === undefined ? start : limits.max) : valueOf(last, part, limits);
  // Temporal takes a range that runs backwards for its first value alone: saturday-sunday would be saturdays only.
  if (end < start)
    throw new FieldProblem(`${limits.name} ${part} runs backwards: write it as a list, ${split(start, end, limits)}`);
  return { start, end, step };
}

function valueOf(text: string, part: string, limits: FieldLimits): number {
  const named = text.length < 3 ? -1 : (limits.names?.findIndex((name) => name.startsWith(text.toLowerCase())) ?? -1);
  if (named >= 0) return named + limits.min;
  if (limits.namesOnly || !/^\d{1,2}$/.test(text)) return fail(part, limits);
  const value = Number(text);
  return value >= limits.min && value <= limits.max ? value : fail(part, limits);
}

/** How a range over the end of the week, the year or the day is written as a list. */
function split(start: number, end: number, { min, max, names }: FieldLimits): string {
  const word = (value: number) => names?.[value - min] ?? String(value);
  const range = (from: number, to: number) => (from === to ? word(from) : `${word(from)}-${word(to)}`);
  return `${range(start, max)},${range(min, end)}`;
}

function fail(part: string, { name, min, max, names, namesOnly }: FieldLimits): never {
  const values = namesOnly
    ? names!.join(', ')
    : `${min} to ${max}${names ? ` or ${names[0]!.slice(0, 3)}, ${names[1]!.slice(0, 3)}, …` : ''}`;
  throw new FieldProblem(`${name} "${part}" is not one of ${values}`);
}

/** What is wrong with a field, to follow "expected …: ". */
export class FieldProblem extends Error {}
