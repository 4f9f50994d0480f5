/** A manual snapshot of a replication group, waited for and checked. */
import type { MigrationInput } from '../spec/contract.ts';
import type { ElastiCacheBackup } from '../spec/kind-elasticache-backup.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { activityProxies } from './activity-options.ts';
import { elasticacheBackupPlan, snapshotNameOf } from './elasticache-backup-plan.ts';
import { conduct } from './runbook.ts';

export async function elasticacheBackup(input: MigrationInput<ElastiCacheBackup>): Promise<MigrationStatus> {
  const { migration } = input;
  const act = activityProxies(input);
  const id = migration.replicationGroup;
  const { aws } = migration;
  const ours = { snapshotName: snapshotNameOf(migration), migrationId: migration.id, aws };

  return conduct(input, {
    plan: elasticacheBackupPlan(migration),
    undo: {
      'delete-snapshot': async () => {
        await act.wait.removeSnapshot.executeWithOptions({ summary: `delete ${ours.snapshotName}` }, [ours]);
        return { note: `the snapshot ${ours.snapshotName} is deleted` };
      },
    },
    async body(run) {
      const plan = (await run.step(
        'preflight',
        () => act.quick.planGroupSnapshot.executeWithOptions({ summary: `what ${id} is made of` }, [{ id, aws }]),
        (found) => `${found.shards} shard(s), by ${'cacheClusterId' in found.of ? found.of.cacheClusterId : id}`,
      ))!;
      const snapshot = (await run.step(
        'snapshot',
        async () => {
          const since = await act.quick.backupWatermark.executeWithOptions({ summary: 'newest event' }, [
            { sources: plan.eventSources, aws },
          ]);
          run.arm({ id: 'snapshot', undo: 'delete-snapshot', arg: null, title: `the snapshot ${ours.snapshotName}` });
          await act.quick.createSnapshot.executeWithOptions({ summary: `CreateSnapshot ${ours.snapshotName}` }, [
            { ...ours, plan, ...(migration.kmsKeyId ? { kmsKeyId: migration.kmsKeyId } : {}) },
          ]);
          return act.wait.awaitGroupSnapshot.executeWithOptions(
            { summary: `until ${ours.snapshotName} is available` },
            [
              {
                snapshotName: ours.snapshotName,
                shards: plan.shards,
                eventSources: plan.eventSources,
                since,
                timeoutMs: migration.timeout,
                aws,
              },
            ],
          );
        },
        (made) => `${made.name} is ${made.status}`,
      ))!;
      await run.step(
        'verify',
        async () => {
          run.board.update((status) => {
            status.report['snapshot'] = snapshot;
          });
          return act.quick.verifySnapshot.executeWithOptions({ summary: 'one node snapshot for each shard' }, [
            { ...ours, shards: plan.shards },
          ]);
        },
        (found) => found.note,
      );
    },
  });
}
