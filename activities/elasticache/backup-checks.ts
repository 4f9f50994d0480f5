/** The checks of `elasticache-backup` (facts/redis-aws 3.3), as data. */
import type { ElastiCacheBackup } from '../../spec/kind-elasticache-backup.ts';
import { fail, pass, unmet, warn, type Check } from '../preflight/check.ts';
import { awsElastiCache } from '../redis/preflight/commands.ts';
import { dailyText } from './daily.ts';
import { availableCheck, describe, nodeTypeCheck, type GroupContext } from './group-checks.ts';
import { findSnapshot } from './snapshot.ts';
import { firstOverlap } from './windows.ts';

type BackupContext = GroupContext<ElastiCacheBackup>;
type BackupCheck = Check<BackupContext>;

const available = availableCheck('B1', 'wait until it is; its events tell what it is doing');
const nodeType = nodeTypeCheck('B2', 'cache.t1.micro has no backups: another node type');

const freeName: BackupCheck = {
  id: 'B3',
  title: 'the snapshot’s name is free',
  severity: 'fail',
  remedy: ({ migration: { snapshotName = '', aws } }) =>
    `leave snapshotName out of the file (then each run has a name of its own), give another, or remove it: ${awsElastiCache(aws.region, 'delete-snapshot', '--snapshot-name', snapshotName)}`,
  byHand: ({ migration: { snapshotName = '', aws } }) =>
    awsElastiCache(aws.region, 'describe-snapshots', '--snapshot-name', snapshotName),
  run: async ({ migration: { snapshotName, aws } }) => {
    if (snapshotName === undefined) return pass('each run has a name of its own');
    const existing = await findSnapshot({ snapshotName, aws });
    // An earlier run's counts as taken: called done with it, this one would have backed up nothing.
    return existing
      ? fail(`there is a snapshot ${snapshotName} already (${existing.SnapshotStatus}), and this run did not make it`)
      : pass(`${snapshotName} is free`);
  },
};

/** More than a week: a weekly and a daily window that meet at all do so within it. */
const WEEK_MS = 7 * 24 * 3_600_000;

const windows: BackupCheck = {
  id: 'B4',
  title: 'the daily window is clear of the maintenance window',
  severity: 'fail',
  remedy: ({ group }) =>
    `AWS refuses windows that meet: another daily.window; maintenance is ${group.maintenanceWindow ?? 'at a time that AWS does not tell'} UTC`,
  byHand: describe,
  run: async ({ migration: { daily }, group }) => {
    const { maintenanceWindow: maintenance } = group;
    const window = daily?.window ?? group.snapshotWindow;
    if (!daily || daily.retentionLimit === 0) return pass('no daily snapshots are asked for');
    if (!window || !maintenance) return warn('AWS does not tell both windows');
    return (meet(window, maintenance) ? unmet : pass)(`daily ${window}, maintenance ${maintenance} UTC`);
  },
};

/** Whether any day's window meets the weekly one. */
export function meet(daily: string, weekly: string): boolean {
  // Each day's window as a span of its own, in a week that is as good as any.
  const monday = Date.UTC(2024, 0, 1);
  const [h1 = 0, m1 = 0, h2 = 0, m2 = 0] = daily.split(/[:-]/).map(Number);
  const minutes = (h2 * 60 + m2 - h1 * 60 - m1 + 1440) % 1440;
  for (let at = monday + (h1 * 60 + m1) * 60_000; at < monday + WEEK_MS; at += WEEK_MS / 7) {
    if (firstOverlap(weekly, at, at + minutes * 60_000) !== undefined) return true;
  }
  return false;
}

const lowered: BackupCheck = {
  id: 'B5',
  title: 'no automatic snapshot is lost by the daily settings',
  severity: 'warn',
  remedy: () =>
    'AWS deletes automatic snapshots that are older than the new limit, and an abort does not bring them back; copy the ones to keep: aws elasticache copy-snapshot',
  byHand: describe,
  run: async ({ migration: { daily }, group }) => {
    if (!daily) return pass('the daily settings stay as they are');
    const now = { retentionLimit: group.snapshotRetention, window: group.snapshotWindow };
    const change = `now ${dailyText(now)}; then ${dailyText({ ...now, ...daily, window: daily.window ?? now.window })}`;
    return (daily.retentionLimit < group.snapshotRetention ? unmet : pass)(change);
  },
};

const exportable: BackupCheck = {
  id: 'B6',
  title: 'the node type can be exported',
  severity: 'fail',
  remedy: () => 'ElastiCache exports no snapshot of data tiering (r6gd): leave `export` out',
  byHand: describe,
  run: async ({ migration, group }) => {
    if (!migration.export) return pass('no export is asked for');
    return (group.dataTiering || group.cacheNodeType.includes('.r6gd.') ? unmet : pass)(group.cacheNodeType);
  },
};

export const backupChecks: readonly BackupCheck[] = [available, nodeType, freeName, windows, lowered, exportable];
