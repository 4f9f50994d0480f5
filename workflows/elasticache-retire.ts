/** A replication group is deleted: only once a snapshot of it is proven, and its name was typed by an operator. */
import type { RetireState } from '../activities/elasticache/retire.ts';
import type { SnapshotFacts } from '../activities/elasticache/snapshot-facts.ts';
import type { GroupReading } from '../activities/elasticache/watch-group.ts';
import type { MigrationInput } from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import type { ElastiCacheRetire } from '../spec/kind-elasticache-retire.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { activityProxies } from './activity-options.ts';
import { elasticacheRetirePlan } from './elasticache-retire-plan.ts';
import { deleteSnapshotUndo, keepSnapshot, keptSnapshotUndo, takeProvenSnapshot } from './elasticache-snapshot.ts';
import { reasonOf } from './failure-reason.ts';
import { gate } from './gate.ts';
import { preflightStep } from './preflight-passed.ts';
import { nameOfRun, runIdentity } from './run-identity.ts';
import { conduct, type Run } from './runbook.ts';

/** The final snapshot that is tried: its name, the how manieth, and how many shards it has to have. */
interface Final {
  name: string;
  number: number;
  shards: number;
}

interface ToProve {
  snapshotName: string;
  migrationId: string;
  run: string;
  shards: number;
  aws: { region?: string | undefined };
}

/** A snapshot is not there, not whole, or another's by now. */
const LOST = [ErrorType.serviceFailed, ErrorType.notFound, ErrorType.notOurs];

/** `-final`, and `-12` of a later try, have to fit into AWS's 40 characters. */
const LONGEST_NAME = 31;

export async function elasticacheRetire(input: MigrationInput<ElastiCacheRetire>): Promise<MigrationStatus> {
  const { migration } = input;
  const retirement = new Retirement(input);
  return conduct(input, {
    plan: elasticacheRetirePlan(migration),
    undo: {
      'delete-snapshot': deleteSnapshotUndo(retirement.act),
      'keep-snapshot': keptSnapshotUndo,
    },
    body: (run) => retirement.run(run),
  });
}

class Retirement {
  readonly act: ReturnType<typeof activityProxies>;
  private readonly input: MigrationInput<ElastiCacheRetire>;
  private readonly migration: ElastiCacheRetire;

  constructor(input: MigrationInput<ElastiCacheRetire>) {
    this.input = input;
    this.migration = input.migration;
    this.act = activityProxies(input);
  }

  async run(run: Run): Promise<void> {
    const { migration } = this;
    const { replicationGroup, kmsKeyId, timeout, aws } = migration;
    const { migrationId, run: runId, ...named } = runIdentity(this.input, run);
    const snapshotName = migration.snapshotName ?? nameOfRun({ migrationId, run: runId, ...named }, LONGEST_NAME);
    const ours = { snapshotName, migrationId, run: runId, aws };
    await preflightStep(run, () =>
      this.act.quick.preflightElastiCacheRetire.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]),
    );
    const { snapshot: first, plan } = await takeProvenSnapshot(run, this.act, {
      replicationGroup,
      kmsKeyId,
      timeout,
      ...ours,
    });
    const shards = first.nodeSnapshots.length;
    if (!run.isDone('delete')) await this.approve(run, snapshotName, plan.createdAt);
    const final = await this.delete(run, ours, shards, plan.createdAt);
    await run.step(
      'prove',
      () => this.prove(run, { ...ours, shards }, { ...ours, snapshotName: final.name, shards: final.shards }),
      () => `${snapshotName} (${shards} shard(s)) and ${final.name} (${final.shards}) are available`,
    );
  }

  /** Where one is not to be had any more no retry brings it back: an abort is then the honest end, and names both. */
  private async prove(run: Run, first: ToProve, final: ToProve): Promise<void> {
    const { replicationGroup } = this.migration;
    const { shards: _, ...last } = final;
    let looked = final;
    run.switched = true;
    try {
      await this.act.quick.tagFinalSnapshot.executeWithOptions({ summary: `tag ${final.snapshotName}` }, [last]);
      for (looked of [first, final]) {
        await this.act.quick.verifySnapshot.executeWithOptions({ summary: looked.snapshotName }, [looked]);
      }
    } catch (error) {
      const { type, message } = reasonOf(error);
      if (LOST.some((lost) => lost === type)) {
        run.switched = false;
        const kept = ({ snapshotName }: ToProve) => ({
          snapshotName,
          replicationGroup,
          ...(snapshotName === looked.snapshotName ? { problem: message } : {}),
        });
        keepSnapshot(run, kept(first));
        keepSnapshot(run, kept(final), 'final-snapshot');
        run.board.warn(
          `${replicationGroup} is gone, and its snapshot ${looked.snapshotName} is not proven: ${message}`,
        );
      }
      throw error;
    }
  }

  private async approve(run: Run, snapshotName: string, createdAt: string | undefined): Promise<void> {
    const { replicationGroup: id, aws } = this.migration;
    if (run.board.step('approve-delete').state === 'done') return;
    await gate<GroupReading>(run, 'approve-delete', {
      title: `Delete the replication group ${id}, with all its automatic snapshots?`,
      opens: 'manual',
      confirm: id,
      watch: (last) =>
        this.act.watch.watchGroup.executeWithOptions({ summary: `${id} and ${snapshotName}` }, [
          { id, snapshotName, createdAt, last, aws },
        ]),
    });
  }

  private async delete(
    run: Run,
    ours: { snapshotName: string; migrationId: string; run: string; aws: { region?: string | undefined } },
    shards: number,
    createdAt: string | undefined,
  ): Promise<Final> {
    const { replicationGroup: id, timeout, aws } = this.migration;
    const eventSources = [{ id }];
    return (await run.step(
      'delete',
      async () => {
        const final = await this.final(run, ours.snapshotName, shards, createdAt);
        const since = await this.act.quick.backupWatermark.executeWithOptions({ summary: 'newest event' }, [
          { sources: eventSources, aws },
        ]);
        // Once more, right before: nothing is deleted without it.
        await this.act.quick.verifySnapshot.executeWithOptions({ summary: ours.snapshotName }, [{ ...ours, shards }]);
        // From here on this snapshot may be all that is left: no abort may delete it.
        keepSnapshot(run, { snapshotName: ours.snapshotName, replicationGroup: id });
        run.switched = true;
        try {
          await this.act.quick.deleteGroupFinally.executeWithOptions({ summary: `DeleteReplicationGroup ${id}` }, [
            { id, finalName: final.name, createdAt, aws },
          ]);
          const found = await this.act.wait.awaitRetired.executeWithOptions({ summary: `until ${id} is gone` }, [
            {
              id,
              finalName: final.name,
              createdAt,
              shards: final.shards,
              eventSources,
              since,
              timeoutMs: timeout,
              aws,
            },
          ]);
          this.report(run, id, ours.snapshotName, found);
          return { ...final, shards: found.shards.length };
        } catch (error) {
          this.reopenUnlessUnderWay(run, error, id, final.name);
          throw error;
        }
      },
      ({ name }) => `${id} is gone; its last writes are in ${name}`,
    ))!;
  }

  private async final(run: Run, snapshotName: string, shards: number, createdAt: string | undefined): Promise<Final> {
    const { replicationGroup: id, finalSnapshotName, aws } = this.migration;
    const base = finalSnapshotName ?? `${shortened(snapshotName, 34)}-final`;
    const tried = run.status.report['final'] as Final | undefined;
    const last = tried ?? { name: base, number: 1, shards };
    const now = await this.act.quick.retireState.executeWithOptions({ summary: 'how far it is' }, [
      { id, finalName: last.name, createdAt, aws },
    ]);
    const number = last.number + (isUsedUp(now, tried !== undefined) ? 1 : 0);
    const final = {
      name: number === 1 ? base : `${shortened(base, 36)}-${number}`,
      number,
      // The gate may have waited for weeks, and the group have been resharded meanwhile.
      shards: now.shards ?? last.shards,
    };
    run.board.update((status) => {
      status.report['final'] = final;
    });
    return final;
  }

  /**
   * Where the deletion came to nothing and the group is as it was, an operator may keep it after all. Where it is gone and
   * its final snapshot is not to be had, nothing can be done any more: an abort is then the honest end, never a "done".
   * Only the failure itself tells that. Another look would not: a reading may lag behind, and "kept" would be said of a
   * group that AWS is deleting.
   */
  private reopenUnlessUnderWay(run: Run, error: unknown, id: string, finalName: string): void {
    const group = reasonOf(error).facts?.['group'];
    if (group !== 'available' && group !== 'gone') return;
    run.switched = false;
    if (group === 'gone') run.board.warn(`${id} is gone, and its final snapshot ${finalName} is not proven`);
  }

  private report(run: Run, id: string, snapshotName: string, final: SnapshotFacts): void {
    run.board.update((status) => {
      status.report['retired'] = { replicationGroup: id, snapshot: snapshotName, finalSnapshot: final };
    });
  }
}

/**
 * Whether the final snapshot needs another name. That of the last try is kept, unless its snapshot was taken, and the group
 * is still there: one that is still being taken is the last try's own, whatever the group's status says, which may lag
 * behind. Before the first try any snapshot of that name is another's, whatever the group does.
 */
export function isUsedUp({ group, finalStatus }: RetireState, tried: boolean): boolean {
  return tried ? finalStatus === 'available' && group === 'available' : finalStatus !== undefined;
}

/** AWS takes no name with two hyphens in a row. */
const shortened = (name: string, longest: number) => name.slice(0, longest).replace(/-+$/, '');
