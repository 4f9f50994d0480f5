/** From when to when an incremental export is. It is never moved or shortened: that would be a gap without a word. */
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import type { Restorable } from './window.ts';

const DAY_MS = 24 * 3600 * 1000;

/**
 * @param base The end of the export that it goes on from, or the file's `from`; ISO.
 * @param to The file's: `now` is `latest`.
 * @throws cutover.Invalid where AWS can't export that span
 */
export function spanOf(
  table: string,
  given: { base: string; to: string; latest: string },
  window: Restorable,
): { from: string; to: string } {
  const span = {
    from: new Date(given.base).toISOString(),
    to: given.to === 'now' ? given.latest : new Date(given.to).toISOString(),
  };
  requireSpan(table, span, window);
  return span;
}

function requireSpan(
  table: string,
  { from, to }: { from: string; to: string },
  { earliest, latest }: Restorable,
): void {
  const long = Date.parse(to) - Date.parse(from);
  const why =
    long <= 0
      ? 'it ends before it begins'
      : long > DAY_MS
        ? 'AWS exports at most 24 hours of changes at once'
        : Date.parse(from) < Date.parse(earliest)
          ? `its beginning is not restorable any more: only ${earliest} and later is`
          : Date.parse(to) > Date.parse(latest)
            ? `its end is not restorable yet: only ${latest} and before is`
            : undefined;
  if (why) {
    throw permanent(ErrorType.invalid, `${table}: changes from ${from} to ${to} can't be exported: ${why}`, {
      remedy: 'correct `type.incremental`; where its beginning is too old, make a full export and go on from that one',
    });
  }
}
