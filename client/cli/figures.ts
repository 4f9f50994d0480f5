/** Numbers as people read them. */
import prettyBytes from 'pretty-bytes';
import prettyMs from 'pretty-ms';
import type { Progress } from '../../spec/status.ts';

/** `2m 10s`; below a second `420ms`. */
export function span(ms: number): string {
  if (!Number.isFinite(ms)) return 'unknown';
  return prettyMs(Math.max(0, ms), ms < 10_000 ? {} : { unitCount: 2, secondsDecimalDigits: 0 });
}

export function bytes(count: number): string {
  return prettyBytes(count, { binary: true });
}

function amount(count: number, unit: Progress['unit']): string {
  if (unit === 'bytes') return bytes(count);
  if (unit === 'seconds') return span(count * 1000);
  return `${Math.round(count).toLocaleString('en-US')}${unit ? ` ${unit}` : ''}`;
}

/** 0 to 1, where it is known how much there is. */
export function fraction({ done, total }: Progress): number | undefined {
  return done === undefined || !total ? undefined : Math.min(1, Math.max(0, done / total));
}

/** `1.2 GiB of 2 GiB, 34 MiB/s, lag 3 MiB, ETA 24s`: all that is known. */
export function figures(progress: Progress): string {
  const { done, total, unit, perSecond, lagBytes, lagSeconds, etaMs } = progress;
  const parts: string[] = [];
  if (done !== undefined) {
    const short = total !== undefined && unit !== 'bytes' && unit !== 'seconds' ? undefined : unit;
    parts.push(total === undefined ? amount(done, unit) : `${amount(done, short)} of ${amount(total, unit)}`);
  }
  if (perSecond !== undefined) parts.push(`${amount(perSecond, unit === 'seconds' ? undefined : unit)}/s`);
  if (lagBytes !== undefined) parts.push(`lag ${bytes(lagBytes)}`);
  if (lagSeconds !== undefined) parts.push(`lag ${span(lagSeconds * 1000)}`);
  if (etaMs !== undefined) parts.push(`ETA ${span(etaMs)}`);
  return parts.join(', ');
}
