/** A new replication group from a snapshot, verified; then the application's switch to it, or, as a drill, its deletion. */
import { ApplicationFailure } from '@temporalio/workflow';
import type { Restored, RestorePlan } from '../activities/elasticache/restore-group.ts';
import type { MigrationInput } from '../spec/contract.ts';
import type { ElastiCacheRestore } from '../spec/kind-elasticache-restore.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { ErrorType } from '../spec/errors.ts';
import { activityProxies } from './activity-options.ts';
import { elasticacheRestorePlan } from './elasticache-restore-plan.ts';
import { keptGroupUndo, switchTo, undoHooksUndo } from './elasticache-switch.ts';
import { preflightStep } from './preflight-passed.ts';
import { nameOfRun, runIdentity } from './run-identity.ts';
import { conduct, type Run } from './runbook.ts';

interface Made {
  id: string;
  migrationId: string;
  run: string;
  aws: { region?: string | undefined };
}

interface ToDelete extends Made {
  /** Until when the call may have been under way, epoch ms: a group that is not listed yet may still appear. */
  begunAt?: number;
}

interface Begun {
  plan: RestorePlan;
  /** ms; of the try that made the group: how long a recovery takes counts from there. */
  startedAt: number;
}

interface Result extends Begun {
  restored: Restored;
  availableAt: number;
}

export async function elasticacheRestore(input: MigrationInput<ElastiCacheRestore>): Promise<MigrationStatus> {
  const restore = new Restore(input);
  return conduct(input, {
    plan: elasticacheRestorePlan(input.migration),
    undo: {
      'delete-group': (made: ToDelete) => restore.deleteGroup(made),
      'keep-group': keptGroupUndo,
      'undo-hooks': undoHooksUndo(restore.act, input.migration),
    },
    body: (run) => restore.run(run),
  });
}

class Restore {
  readonly act: ReturnType<typeof activityProxies>;
  private readonly input: MigrationInput<ElastiCacheRestore>;
  private readonly migration: ElastiCacheRestore;

  constructor(input: MigrationInput<ElastiCacheRestore>) {
    this.input = input;
    this.migration = input.migration;
    this.act = activityProxies(input);
  }

  async run(run: Run): Promise<void> {
    const { migration } = this;
    const identity = runIdentity(this.input, run);
    const id = migration.to.replicationGroup ?? nameOfRun(identity);
    const made: Made = { id, migrationId: identity.migrationId, run: identity.run, aws: migration.aws };
    await preflightStep(run, () =>
      this.act.quick.preflightElastiCacheRestore.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]),
    );
    const result = await this.restore(run, made);
    await this.verify(run, made, result);
    if (migration.drill) return this.endDrill(run, made);
    if (migration.switch.length > 0) {
      await switchTo(run, this.act, migration, { id, primary: result.restored.primary });
    }
  }

  private async restore(run: Run, made: Made): Promise<Result> {
    const { migration } = this;
    const { id, aws } = made;
    return (await run.step(
      'restore',
      async () => {
        // A try that failed leaves a group that never recovers; AWS wants it deleted first.
        const { left } = await this.act.wait.clearBroken.executeWithOptions({ summary: 'what an earlier try left' }, [
          made,
        ]);
        const { plan, startedAt } = await this.plan(run, id, left);
        const since = await this.act.quick.backupWatermark.executeWithOptions({ summary: 'newest event' }, [
          { sources: [{ id }], aws },
        ]);
        const begun = () => {
          const arg: ToDelete = { ...made, begunAt: Date.now() };
          run.arm({ id: 'group', undo: 'delete-group', arg, title: `the replication group ${id}` });
        };
        begun();
        // Again at its end: its last attempt may have called until then, and nobody has heard the answer.
        await this.act.quick.createRestored
          .executeWithOptions({ summary: `CreateReplicationGroup ${id}` }, [{ ...made, migration, plan }])
          .finally(begun);
        const restored = await this.act.wait.awaitRestored.executeWithOptions({ summary: `until ${id} is available` }, [
          { ...made, shape: plan.shape, since, timeoutMs: migration.timeout },
        ]);
        return { plan, restored, startedAt, availableAt: Date.now() };
      },
      ({ plan, restored, startedAt, availableAt }) =>
        `${id} is available at ${restored.primary.host}:${restored.primary.port}, from ${plan.from}${plan.asOf ? ` of ${plan.asOf}` : ''}, in ${inSeconds(availableAt - startedAt)}`,
    ))!;
  }

  /** A group that is being made is of the snapshot that it was begun with, though `latestOf` may mean a newer one by now. */
  private async plan(run: Run, target: string, begun: boolean): Promise<Begun> {
    const { migration } = this;
    const known = run.status.report['restore'] as Begun | undefined;
    if (begun && known) return known;
    const plan = await this.act.quick.planGroupRestore.executeWithOptions({ summary: 'what the new group is to be' }, [
      { migration, target },
    ]);
    const now = { plan, startedAt: Date.now() };
    run.board.update((status) => {
      status.report['restore'] = now;
    });
    return now;
  }

  private async verify(run: Run, { id }: Made, { plan, startedAt, availableAt }: Result): Promise<void> {
    await run.step(
      'verify',
      async () => {
        const found = await this.act.quick.verifyRestored.executeWithOptions({ summary: 'nodes, keys, samples' }, [
          { migration: this.migration, id, sourceGroup: plan.sourceGroup, shape: plan.shape },
        ]);
        const verifiedAt = Date.now();
        run.board.update((status) => {
          status.report['verify'] = found;
          status.report['recovery'] = {
            from: plan.from,
            ...(plan.asOf === undefined
              ? {}
              : { asOf: plan.asOf, lostAtMost: inSeconds(startedAt - Date.parse(plan.asOf)) }),
            restoreMs: availableAt - startedAt,
            verifyMs: verifiedAt - availableAt,
            totalMs: verifiedAt - startedAt,
          };
        });
        return found;
      },
      ({ keys, shards, source }) =>
        `${keys} keys in ${shards.length} shard(s)${source ? `; ${source.replicationGroup} has ${source.keys} now` : ''}`,
    );
  }

  private async endDrill(run: Run, made: Made): Promise<void> {
    await run.step(
      'delete',
      async () => {
        const { removed, note } = await this.deleteGroup(made);
        // It was there when it was verified. Only a second try may find none: the first may have deleted it.
        const gone = removed === 'gone' && run.board.step('delete').tries > 1;
        if (removed !== 'yes' && !gone) throw notDeleted(removed, note);
        run.disarm('group');
        return { note };
      },
      ({ note }) => note,
    );
  }

  async deleteGroup(made: ToDelete): Promise<{ note: string; removed: 'yes' | 'gone' | 'not ours' }> {
    const { id } = made;
    const { removed, notOurs } = await this.act.wait.removeMadeGroup.executeWithOptions({ summary: `delete ${id}` }, [
      made,
    ]);
    if (removed) return { removed: 'yes', note: `the replication group ${id} is deleted, and gone` };
    return notOurs
      ? {
          removed: 'not ours',
          note: `the replication group ${id} is not the one that this run made, and is left alone`,
        }
      : { removed: 'gone', note: `there is no replication group ${id}` };
  }
}

function notDeleted(removed: 'gone' | 'not ours', note: string): Error {
  return ApplicationFailure.create({
    type: removed === 'gone' ? ErrorType.notFound : ErrorType.notOurs,
    nonRetryable: true,
    message: `${note}: somebody deleted the drill’s group before its end`,
    details: [
      {
        remedy:
          removed === 'gone'
            ? 'find out who did; a retry looks again and takes it as gone'
            : 'look what has the name now; an abort leaves it alone',
      },
    ],
  });
}

const inSeconds = (ms: number) => `${Math.round(ms / 1000)} s`;
