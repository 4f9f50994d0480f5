/** The prefix of an export's objects, and the names below it. Pure. */
import { DateTime } from 'luxon';

/**
 * `YYYY/MM/DD/<table>` with the point in time put in. A token counts only where it stands alone, so that a prefix
 * `COMMON/` stays what it is.
 * @param at ISO @param zone In which it is dated.
 */
export function prefixOf(template: string, of: { table: string; id: string; at: string; zone: string }): string {
  const at = DateTime.fromISO(of.at, { zone: of.zone });
  const parts: Record<string, string> = { YYYY: 'yyyy', MM: 'MM', DD: 'dd', hh: 'HH', mm: 'mm', ss: 'ss' };
  return template
    .replaceAll(/(?<![A-Za-z])(?:YYYY|MM|DD|hh|mm|ss)(?![A-Za-z])/g, (token) => at.toFormat(parts[token]!))
    .replaceAll('<table>', of.table)
    .replaceAll('<id>', of.id);
}

/** The time as the article's result has it: with the zone's offset. */
export function inZone(at: string, zone: string): string {
  return DateTime.fromISO(at, { zone }).toISO({ suppressMilliseconds: true }) ?? at;
}

/** `arn:…:table/orders/export/01695-a1b2` → `01695-a1b2`; the folder below AWSDynamoDB/ has the same name. */
export function exportIdOf(exportArn: string): string {
  return exportArn.split('/').at(-1) ?? exportArn;
}

/** `<prefix>/AWSDynamoDB/<id>/`, without a prefix `AWSDynamoDB/<id>/`. */
export function folderOf(prefix: string | undefined, exportId: string): string {
  return `${prefix ? `${prefix}/` : ''}AWSDynamoDB/${exportId}/`;
}

/** When AWS took the export: the first part of its id is epoch ms. undefined where it isn't. */
export function startOfExport(exportArn: string): number | undefined {
  const ms = Number(exportIdOf(exportArn).split('-')[0]);
  return ms > 1_500_000_000_000 && ms < 10_000_000_000_000 ? ms : undefined;
}
