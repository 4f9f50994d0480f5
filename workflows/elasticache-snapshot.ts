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

interface ToDelete {
  snapshotName: string;
  migrationId: string;
  run: string;
  aws: { region?: string | undefined };
  /** Until when the call may have been under way, epoch ms: one that is not listed yet may still appear. */
  begunAt: number;
}

/** Registered under the name `delete-snapshot`. */
export function deleteSnapshotUndo(act: Act): Undo {
  return async (arg: ToDelete) => {
    const { removed, notOurs } = await act.wait.removeSnapshot.executeWithOptions(
      { summary: `delete ${arg.snapshotName}` },
      [arg],
    );
    if (removed) return { note: `the snapshot ${arg.snapshotName} is deleted` };
    return {
      note: notOurs
        ? `the snapshot ${arg.snapshotName} is not this run’s and is left alone; this run made none`
        : `there is no snapshot ${arg.snapshotName}`,
    };
  };
}

interface KeptSnapshot {
  snapshotName: string;
  replicationGroup: string;
  /** Why it is not proven. */
  problem?: string;
}

/** From here on no abort deletes it: it may be all that is left. */
export function keepSnapshot(run: Run, arg: KeptSnapshot, id: 'snapshot' | 'final-snapshot' = 'snapshot'): void {
  run.arm({ id, undo: 'keep-snapshot', arg, title: `the snapshot ${arg.snapshotName}, which stays` });
}

/** Registered under the name `keep-snapshot`: an abort names what it leaves. */
export const keptSnapshotUndo: Undo = ({ snapshotName, replicationGroup, problem }: KeptSnapshot) =>
  Promise.resolve(
    problem === undefined
      ? {
          note: `the snapshot ${snapshotName} stays: from that step on it may be the last good one`,
          leftovers: [`the snapshot ${snapshotName} of ${replicationGroup}`],
        }
      : {
          note: `the snapshot ${snapshotName} is not touched, and not proven: ${problem}`,
          leftovers: [`the snapshot ${snapshotName} of ${replicationGroup}, which is not proven: ${problem}`],
        },
  );

export interface ProvenSnapshot {
  snapshot: SnapshotResult;
  /** Of what it was taken, and when that was made. */
  plan: SnapshotPlan;
}

/** The steps `snapshot` and `verify`. */
export async function takeProvenSnapshot(run: Run, act: Act, wanted: OurSnapshot): Promise<ProvenSnapshot> {
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
      const begun = () => {
        const arg: ToDelete = { ...ours, begunAt: Date.now() };
        run.arm({ id: 'snapshot', undo: 'delete-snapshot', arg, title: `the snapshot ${snapshotName}` });
      };
      begun();
      // Again at its end: its last attempt may have called until then, and nobody has heard the answer.
      await act.quick.createSnapshot
        .executeWithOptions({ summary: `CreateSnapshot ${snapshotName}` }, [
          { ...ours, plan, ...(wanted.kmsKeyId ? { kmsKeyId: wanted.kmsKeyId } : {}) },
        ])
        .finally(begun);
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
  return made;
}

function takenFrom({ of }: SnapshotPlan): string {
  return 'cacheClusterId' in of ? `from ${of.cacheClusterId} (${of.role})` : `from ${of.replicationGroupId}`;
}
