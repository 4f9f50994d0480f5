/** A time zone by its IANA name, as Temporal's server and luxon both know it. */
import { z } from 'zod';

/**
 * Why a time zone can't be used, or undefined where it can. Intl takes more than Temporal's server does: `+09:00`, which
 * has no daylight saving and would silently be off for half of the year, and names in any case, which the server looks
 * up as file names.
 */
export function timeZoneProblem(name: string): string | undefined {
  if (/^[+-]|^(?:GMT|UTC)[+-]\d/i.test(name)) {
    return `expected a time zone by its IANA name, such as Europe/Berlin: an offset knows no daylight saving`;
  }
  let known: string;
  try {
    known = new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return 'expected a time zone by its IANA name, such as UTC, Europe/Berlin or Asia/Tokyo';
  }
  if (known !== name && known.toLowerCase() === name.toLowerCase()) {
    return `expected ${known}, letter by letter`;
  }
  return undefined;
}

export const timeZone = z.string().superRefine((name, context) => {
  const problem = timeZoneProblem(name);
  if (problem) context.addIssue({ code: 'custom', message: problem, input: name });
});
