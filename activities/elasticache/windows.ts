/** Maintenance and snapshot windows, and whether they meet a span of time. All in UTC, as AWS gives them. Pure. */

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const WEEK_MS = 7 * DAY_MS;
/** The epoch was a Thursday; weeks are counted from the Sunday before it. */
const EPOCH_TO_SUNDAY_MS = 4 * DAY_MS;

interface Recurring {
  /** Where in its period it begins, in ms. */
  start: number;
  lengthMs: number;
  periodMs: number;
  /** What is added to a time to get its place in the period. */
  originMs: number;
}

/**
 * The first time at or after `from` (epoch ms) that lies in the window and before `to`; undefined where they don't meet.
 * @param window `05:00-06:00` daily, or `sun:23:00-mon:01:30` weekly
 * @throws Error for a window of another form
 */
export function firstOverlap(window: string, from: number, to: number): number | undefined {
  const { start, lengthMs, periodMs, originMs } = parse(window);
  const place = (from + originMs) % periodMs;
  const sinceStart = (place - start + periodMs) % periodMs;
  const begins = sinceStart < lengthMs ? from : from + (periodMs - sinceStart);
  return begins < to || begins === from ? begins : undefined;
}

function parse(window: string): Recurring {
  const ends = window.trim().toLowerCase().split(/-/).map(parseEnd);
  const [from, to] = ends;
  if (ends.length !== 2 || !from || !to || (from.day !== undefined) !== (to.day !== undefined)) {
    throw new Error(`the window "${window}" is neither hh:mm-hh:mm nor ddd:hh:mm-ddd:hh:mm`);
  }
  const weekly = from.day !== undefined;
  const periodMs = weekly ? WEEK_MS : DAY_MS;
  const place = (end: { day?: number; ms: number }) => (end.day ?? 0) * DAY_MS + end.ms;
  const start = place(from);
  return {
    start,
    lengthMs: (place(to) - start + periodMs) % periodMs,
    periodMs,
    originMs: weekly ? EPOCH_TO_SUNDAY_MS : 0,
  };
}

function parseEnd(text: string): { day?: number; ms: number } | undefined {
  const match = /^(?:([a-z]{3}):)?(\d{1,2}):(\d{2})$/.exec(text.trim());
  if (!match) return undefined;
  const day = match[1] === undefined ? undefined : DAYS.indexOf(match[1]);
  if (day === -1) return undefined;
  const ms = (Number(match[2]) * 60 + Number(match[3])) * MINUTE_MS;
  return day === undefined ? { ms } : { day, ms };
}
