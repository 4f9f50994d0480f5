import { invalidCombination, invalidValue } from './faults.ts';

/** Rules that creating and modifying a group share. All throw AWS's own refusals. */

/** @param replicas in the shard that has the fewest. */
export function checkFailover(automaticFailover: boolean, multiAz: boolean, replicas: number): void {
  if (automaticFailover && replicas < 1) {
    throw invalidCombination(
      'Automatic failover needs at least two nodes: NumCacheClusters must be greater than 1 when AutomaticFailoverEnabled is true.',
    );
  }
  if (multiAz && !automaticFailover) {
    throw invalidCombination(
      'Multi-AZ needs automatic failover: AutomaticFailoverEnabled must be true when MultiAZEnabled is true.',
    );
  }
}

export function checkRetention(days: number): number {
  if (days < 0 || days > 35) throw invalidValue(`SnapshotRetentionLimit must be between 0 and 35 days, not ${days}.`);
  return days;
}

export function checkAuthToken(token: string | undefined, encrypted: boolean): void {
  if (token === undefined) return;
  if (!encrypted) throw invalidCombination('AuthToken needs TransitEncryptionEnabled to be true.');
  // The value itself must not be shown.
  if (!/^[\x21-\x7e]{16,128}$/.test(token) || /["@/]/.test(token)) {
    throw invalidValue(
      'Invalid AuthToken provided. AuthToken must be 16 to 128 printable ASCII characters without spaces, @, " and /.',
    );
  }
}

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const DAY = 24 * 60;

const DAY_MS = DAY * 60_000;
/** The epoch was a Thursday. */
const EPOCH_DAY = DAYS.indexOf('thu');

/**
 * A day that is far from now: AWS takes any, and a sandbox whose groups are always due on Sunday mornings would be of no use
 * on Sunday mornings.
 */
function ownMaintenanceWindow(): string {
  const day = DAYS[(Math.floor(Date.now() / DAY_MS) + EPOCH_DAY + 3) % DAYS.length];
  return `${day}:06:00-${day}:07:00`;
}

/** Checks both windows: the snapshot window is daily, at least an hour, and outside of the weekly maintenance window. */
export function checkWindows(
  snapshot: string | undefined,
  maintenance: string | undefined,
): { snapshotWindow: string; maintenanceWindow: string } {
  const snapshotWindow = (snapshot ?? '03:00-04:00').toLowerCase();
  const maintenanceWindow = (maintenance ?? ownMaintenanceWindow()).toLowerCase();
  const daily = /^(\d\d):(\d\d)-(\d\d):(\d\d)$/.exec(snapshotWindow);
  const weekly = /^([a-z]{3}):(\d\d):(\d\d)-([a-z]{3}):(\d\d):(\d\d)$/.exec(maintenanceWindow);
  if (daily === null) throw invalidValue(`Invalid SnapshotWindow '${snapshotWindow}'. Use the format hh24:mi-hh24:mi.`);
  if (weekly === null || !DAYS.includes(weekly[1] ?? '') || !DAYS.includes(weekly[4] ?? '')) {
    throw invalidValue(
      `Invalid PreferredMaintenanceWindow '${maintenanceWindow}'. Use the format ddd:hh24:mi-ddd:hh24:mi.`,
    );
  }
  const from = minutes(daily[1], daily[2]);
  const length = (minutes(daily[3], daily[4]) - from + DAY) % DAY;
  if (length < 60) throw invalidValue(`The SnapshotWindow '${snapshotWindow}' must be at least 60 minutes long.`);
  const start = DAYS.indexOf(weekly[1] ?? '') * DAY + minutes(weekly[2], weekly[3]);
  const end = DAYS.indexOf(weekly[4] ?? '') * DAY + minutes(weekly[5], weekly[6]);
  const weeklyLength = (end - start + 7 * DAY) % (7 * DAY);
  if (weeklyLength < 60) {
    throw invalidValue(`The PreferredMaintenanceWindow '${maintenanceWindow}' must be at least 60 minutes long.`);
  }
  for (let day = -1; day <= 7; day++) {
    // Both on one line of minutes; the snapshot window comes back every day.
    const at = day * DAY + from;
    if (at < start + weeklyLength && at + length > start) {
      throw invalidValue(
        `The SnapshotWindow '${snapshotWindow}' and the PreferredMaintenanceWindow '${maintenanceWindow}' must not overlap.`,
      );
    }
  }
  return { snapshotWindow, maintenanceWindow };
}

function minutes(hours: string | undefined, mins: string | undefined): number {
  const [h, m] = [Number(hours), Number(mins)];
  if (h > 23 || m > 59) throw invalidValue(`Invalid time of day '${hours}:${mins}'.`);
  return h * 60 + m;
}
