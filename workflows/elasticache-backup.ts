/** A manual snapshot of a replication group, waited for and checked, exported where asked; its daily settings. */
import type { DailySettings } from '../activities/elasticache/daily.ts';
import type { MigrationInput } from '../spec/contract.ts';
import type { ElastiCacheBackup } from '../spec/kind-elasticache-backup.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { activityProxies } from './activity-options.ts';
import { elasticacheBackupPlan } from './elasticache-backup-plan.ts';
import { deleteSnapshotUndo, keepSnapshot, keptSnapshotUndo, takeProvenSnapshot } from './elasticache-snapshot.ts';
import { preflightStep } from './preflight-passed.ts';
import { nameOfRun, runIdentity } from './run-identity.ts';
import { conduct, type Run } from './runbook.ts';

export async function elasticacheBackup(input: MigrationInput<ElastiCacheBackup>): Promise<MigrationStatus> {
  const { migration } = input;
  const backup = new Backup(input);
  return conduct(input, {
    plan: elasticacheBackupPlan(migration),
    undo: {
      'delete-snapshot': deleteSnapshotUndo(backup.act),
      'keep-snapshot': keptSnapshotUndo,
      'remove-export': (name: string) => backup.removeExport(name),
      'keep-export': (where: string) => Promise.resolve({ note: `${where} stays`, leftovers: [where] }),
      'restore-daily': (before: DailySettings, run) => backup.restoreDaily(before, run),
    },
    async body(run) {
      await preflightStep(run, () =>
        backup.act.quick.preflightBackup.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]),
      );
      if (!migration.snapshot) return backup.daily(run);
      const identity = runIdentity(input, run);
      // An earlier run's name taken for this one's would be a backup that is called done and was never taken.
      const snapshotName = migration.snapshotName ?? nameOfRun(identity);
      const { kmsKeyId, replicationGroup, timeout, aws } = migration;
      await takeProvenSnapshot(run, backup.act, {
        replicationGroup,
        snapshotName,
        migrationId: identity.migrationId,
        run: identity.run,
        kmsKeyId,
        timeout,
        aws,
      });
      await backup.export(run, snapshotName);
      await backup.daily(run);
      await backup.retention(run, snapshotName);
    },
  });
}

class Backup {
  readonly act: ReturnType<typeof activityProxies>;
  private readonly migration: ElastiCacheBackup;

  constructor(input: MigrationInput<ElastiCacheBackup>) {
    this.migration = input.migration;
    this.act = activityProxies(input);
  }

  async export(run: Run, snapshotName: string): Promise<void> {
    const { export: to, replicationGroup, timeout, aws } = this.migration;
    if (!to) return;
    const eventSources = [{ id: replicationGroup }];
    await run.step(
      'export',
      async () => {
        const since = await this.act.quick.backupWatermark.executeWithOptions({ summary: 'newest event' }, [
          { sources: eventSources, aws },
        ]);
        run.arm({
          id: 'export',
          undo: 'remove-export',
          arg: snapshotName,
          title: `the export to s3://${to.bucket}/${to.prefix}${snapshotName}-*.rdb`,
        });
        const result = await this.act.wait.exportSnapshot.executeWithOptions(
          { summary: `CopySnapshot to ${to.bucket}` },
          [{ snapshotName, ...to, eventSources, since, timeoutMs: timeout, aws }],
        );
        run.board.update((status) => {
          status.report['export'] = result;
        });
        return result;
      },
      ({ bucket, objects }) => `${objects.length} object(s) in s3://${bucket}: ${objects.map((o) => o.key).join(', ')}`,
    );
  }

  async removeExport(snapshotName: string): Promise<{ note: string; leftovers?: string[] }> {
    const { export: to, aws } = this.migration;
    if (!to) return { note: 'nothing was exported' };
    const { removed, unknown } = await this.act.wait.removeExport.executeWithOptions(
      { summary: 'delete what was exported' },
      [{ snapshotName, ...to, aws }],
    );
    if (unknown) {
      const where = `s3://${to.bucket}/${to.prefix}${snapshotName}-*.rdb`;
      return {
        note: `somebody deleted the snapshot ${snapshotName}: what its export is can't be told any more`,
        leftovers: [`${where}, if it is there`],
      };
    }
    return { note: removed.length > 0 ? `deleted: ${removed.join(', ')}` : 'nothing was exported' };
  }

  private keepExport(run: Run, snapshotName: string): void {
    const { export: to } = this.migration;
    if (!to) return;
    const where = `the export s3://${to.bucket}/${to.prefix}${snapshotName}-*.rdb`;
    run.arm({ id: 'export', undo: 'keep-export', arg: where, title: `${where}, which stays` });
  }

  async daily(run: Run): Promise<void> {
    const { daily, replicationGroup: id, timeout, aws } = this.migration;
    if (!daily) return;
    await run.step(
      'daily',
      async () => {
        const found = await this.act.quick.readDaily.executeWithOptions({ summary: 'daily settings, before' }, [
          { id, aws },
        ]);
        // A second try finds our own change: what was there before the first is what counts.
        const before = (run.status.report['daily'] as { before: DailySettings } | undefined)?.before ?? found;
        run.board.update((status) => {
          status.report['daily'] = { before };
        });
        run.arm({ id: 'daily', undo: 'restore-daily', arg: before, title: `the daily snapshots of ${id}` });
        const { after } = await this.act.wait.applyDaily.executeWithOptions({ summary: 'ModifyReplicationGroup' }, [
          { id, wanted: daily, timeoutMs: timeout, aws },
        ]);
        run.board.update((status) => {
          status.report['daily'] = { before, after };
        });
        return { before, after };
      },
      ({ before, after }) => `${inWords(before)} → ${inWords(after)}`,
    );
  }

  async restoreDaily(before: DailySettings, run: Run): Promise<{ note: string; leftovers?: string[] }> {
    const { replicationGroup: id, timeout, daily, aws } = this.migration;
    const applied = (run.status.report['daily'] as { after?: DailySettings } | undefined)?.after;
    const ours = applied ?? daily ?? before;
    const { after, others } = await this.act.wait.applyDaily.executeWithOptions(
      { summary: 'put the daily settings back' },
      [{ id, wanted: before, unlessNot: ours, timeoutMs: timeout, aws }],
    );
    if (others) {
      const now = `the daily snapshots of ${id} are ${inWords(after)}`;
      return {
        note: `${now}: somebody else's setting, which stays`,
        leftovers: [`${now}, which this run did not set (it set ${inWords(ours)}; before it: ${inWords(before)})`],
      };
    }
    return { note: `the daily snapshots of ${id} are as before: ${inWords(before)}` };
  }

  async retention(run: Run, proven: string): Promise<void> {
    const { retention, replicationGroup, id: migrationId, aws } = this.migration;
    if (!retention) return;
    await run.step(
      'retention',
      async () => {
        // From here on older ones go: an abort that deleted this one as well might leave no good snapshot at all.
        keepSnapshot(run, { snapshotName: proven, replicationGroup });
        this.keepExport(run, proven);
        const result = await this.act.wait.applySnapshotRetention.executeWithOptions({ summary: 'old snapshots' }, [
          { replicationGroup, migrationId, proven, retention, aws },
        ]);
        run.board.update((status) => {
          status.report['retention'] = result;
        });
        return result;
      },
      ({ kept, deleted }) =>
        `${kept.length} kept, ${deleted.length} deleted${deleted.length > 0 ? `: ${deleted.map((d) => d.name).join(', ')}` : ''}`,
    );
  }
}

function inWords({ retentionLimit, window }: DailySettings): string {
  return retentionLimit === 0 ? 'off' : `${retentionLimit} day(s)${window ? ` at ${window} UTC` : ''}`;
}
