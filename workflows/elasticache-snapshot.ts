/** A manual snapshot that is proven: what `elasticache-backup` is, and what `elasticache-retire` begins with. */
import type { SnapshotResult } from '../activities/elasticache/await-snapshot.ts';
import type { SnapshotPlan } from '../activities/elasticache/snapshot.ts';
import type { activityProxies } from './activity-options.ts';
import type { Run, Undo } from './runbook.ts';

export interface OurSnapshot {
  replicationGroup: string;
  snapshotName: string;
  migrationId: string;
  run: string;
  kmsKeyId?: string | undefined;
  /** ms */
  timeout: number;
  aws: { region?: string | undefined };
}

type Act = ReturnType<typeof activityProxies>;

/** Registered under the name `delete-snapshot`. */
export function deleteSnapshotUndo(act: Act): Undo {
  return async (arg: { snapshotName: string; migrationId: string; run: string; aws: { region?: string } }) => {
    await act.wait.removeSnapshot.executeWithOptions({ summary: `delete ${arg.snapshotName}` }, [arg]);
    return { note: `the snapshot ${arg.snapshotName} is deleted` };
  };
}

interface KeptSnapshot {
  snapshotName: string;
  replicationGroup: string;
}

/** From here on no abort deletes it: it may be all that is left. */
export function keepSnapshot(run: Run, arg: KeptSnapshot): void {
  run.arm({ id: 'snapshot', undo: 'keep-snapshot', arg, title: `the snapshot ${arg.snapshotName}, which stays` });
}

/** Registered under the name `keep-snapshot`: an abort names what it leaves. */
export const keptSnapshotUndo: Undo = ({ snapshotName, replicationGroup }: KeptSnapshot) =>
  Promise.resolve({
    note: `the snapshot ${snapshotName} stays: from that step on it may be the last good one`,
    leftovers: [`the snapshot ${snapshotName} of ${replicationGroup}`],
  });

/** The steps `snapshot` and `verify`. */
export async function takeProvenSnapshot(run: Run, act: Act, wanted: OurSnapshot): Promise<SnapshotResult> {
  const { replicationGroup: id, snapshotName, migrationId, aws } = wanted;
  const ours = { snapshotName, migrationId, run: wanted.run, aws };
  const made = (await run.step(
    'snapshot',
    async () => {
      const plan = await act.quick.planGroupSnapshot.executeWithOptions({ summary: `what ${id} is made of` }, [
        { id, aws },
      ]);
      const since = await act.quick.backupWatermark.executeWithOptions({ summary: 'newest event' }, [
        { sources: plan.eventSources, aws },
      ]);
      run.arm({ id: 'snapshot', undo: 'delete-snapshot', arg: ours, title: `the snapshot ${snapshotName}` });
      await act.quick.createSnapshot.executeWithOptions({ summary: `CreateSnapshot ${snapshotName}` }, [
        { ...ours, plan, ...(wanted.kmsKeyId ? { kmsKeyId: wanted.kmsKeyId } : {}) },
      ]);
      const { shards, eventSources } = plan;
      const snapshot = await act.wait.awaitGroupSnapshot.executeWithOptions(
        { summary: `until ${snapshotName} is available` },
        [{ snapshotName, shards, eventSources, since, timeoutMs: wanted.timeout, aws }],
      );
      return { snapshot, plan };
    },
    ({ snapshot, plan }) => `${snapshot.name} is ${snapshot.status}, ${plan.shards} shard(s), ${takenFrom(plan)}`,
  ))!;
  await run.step(
    'verify',
    async () => {
      run.board.update((status) => {
        status.report['snapshot'] = made.snapshot;
      });
      return act.quick.verifySnapshot.executeWithOptions({ summary: 'one node snapshot for each shard' }, [
        { ...ours, shards: made.plan.shards },
      ]);
    },
    (found) => found.note,
  );
  return made.snapshot;
}

function takenFrom({ of }: SnapshotPlan): string {
  return 'cacheClusterId' in of ? `from ${of.cacheClusterId} (${of.role})` : `from ${of.replicationGroupId}`;
}
