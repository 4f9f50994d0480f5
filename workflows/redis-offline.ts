/**
 * Redis → RDB → S3 → a new replication group (article 002's offline way; facts/redis-aws 3.3). What the article leaves
 * out: writes after BGSAVE are lost unless the source is fenced before it, ElastiCache has to be let read the object, and
 * a restore that fails says so nowhere but in the nodes' states and events.
 */
import { ApplicationFailure } from '@temporalio/workflow';
import type { HooksArgs } from '../activities/hooks/run-hooks.ts';
import type { RemoveRdbArgs } from '../activities/redis/rdb/args.ts';
import type { OfflineFence } from '../activities/redis/offline/fence.ts';
import type { OfflineReading } from '../activities/redis/offline/watch.ts';
import type { MigrationInput } from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import { restoreOf, targetOf, type RedisOffline } from '../spec/kind-redis-offline.ts';
import { rdbArn, type UploadedRdb } from '../spec/redis-rdb.ts';
import type { MigrationStatus } from '../spec/status.ts';
import type { RedisEndpoint } from '../spec/values.ts';
import { activityProxies } from './activity-options.ts';
import { gate } from './gate.ts';
import { HookList } from './hook-list.ts';
import { preflightStep, requireStillReady } from './preflight-passed.ts';
import { OfflineFencing } from './redis-offline-fence.ts';
import { OfflineGroup, type MadeArg, type NewGroup } from './redis-offline-group.ts';
import { differences, offlineReport } from './redis-offline-report.ts';
import { redisOfflinePlan } from './redis-offline-plan.ts';
import { keptRdbUndo, OfflineRdb } from './redis-offline-rdb.ts';
import { hooksRun, runIdentity } from './run-identity.ts';
import { conduct, type Run } from './runbook.ts';
import { runSwitchHooks, switchState } from './switch-hooks.ts';

export async function redisOffline(input: MigrationInput<RedisOffline>): Promise<MigrationStatus> {
  const offline = new Offline(input);
  return conduct(input, {
    plan: redisOfflinePlan(input.migration),
    undo: {
      'lift-fence': (_arg, run) => offline.fencing.lift(run),
      'remove-rdb': (arg: RemoveRdbArgs) => offline.rdb.remove(arg),
      'keep-rdb': keptRdbUndo,
      'delete-group': (made: MadeArg) => offline.group.delete(made),
    },
    body: (run) => offline.run(run),
    afterAbort: (run) => offline.fencing.proveWritable(run),
  });
}

class Offline {
  readonly fencing: OfflineFencing;
  readonly rdb: OfflineRdb;
  readonly group: OfflineGroup;
  private readonly input: MigrationInput<RedisOffline>;
  private readonly migration: RedisOffline;
  private readonly act: ReturnType<typeof activityProxies>;

  constructor(input: MigrationInput<RedisOffline>) {
    this.input = input;
    this.migration = input.migration;
    this.act = activityProxies(input);
    this.fencing = new OfflineFencing(input);
    this.rdb = new OfflineRdb(input, this.fencing);
    this.group = new OfflineGroup(input, this.fencing);
  }

  async run(run: Run): Promise<void> {
    const { migration } = this;
    const identity = runIdentity(this.input, run);
    await preflightStep(run, () => this.checks());
    const fence = migration.fence ? await this.fence(run) : undefined;
    const saved = await this.rdb.save(run);
    const uploaded = await this.rdb.upload(run, identity, saved);
    await this.rdb.grant(run, identity, uploaded);
    const made = await this.group.create(run, identity, uploaded);
    const target = targetOf(migration, made.restored.primary);
    await this.verify(run, made, target, uploaded);
    if (migration.compare.mode !== 'off') await this.compare(run, target, fence);
    await this.approve(run, fence);
    await this.switch(run, target, fence);
    await offlineReport(run, this.act, migration, {
      target,
      saved,
      uploaded,
      removal: this.rdb.removal(identity, saved),
    });
    if (migration.soak > 0) await this.soak(run, target);
  }

  private checks(cheap = false) {
    const { migration } = this;
    return this.act.quick.preflightRedisOffline.executeWithOptions({ summary: 'preflight checks' }, [
      { migration, cheap },
    ]);
  }

  private async fence(run: Run): Promise<OfflineFence> {
    const { id: migrationId, cutover } = this.migration;
    const { gate: opens } = cutover;
    if (opens !== undefined && run.board.step('approve-fence').state !== 'done') {
      const { host, port } = this.migration.source;
      await gate<OfflineReading>(run, 'approve-fence', {
        title: `Refuse writes at ${host}:${port} from now on?`,
        opens,
        watch: (last) =>
          this.act.watch.watchFenceable.executeWithOptions({ summary: `${host}:${port}` }, [
            { migrationId, source: this.migration.source, last },
          ]),
      });
    }
    // At the gate it may have waited for days.
    return this.fencing.raise(run, async () => {
      if (opens !== undefined) await requireStillReady(run, () => this.checks(true));
    });
  }

  private async verify(run: Run, made: NewGroup, target: RedisEndpoint, uploaded: UploadedRdb): Promise<void> {
    const { migration, act } = this;
    const id = this.group.id;
    await run.step(
      'verify',
      async () => {
        const found = await act.quick.verifyRestored.executeWithOptions({ summary: 'nodes and keys' }, [
          { migration: restoreOf(migration, rdbArn(uploaded)), id, shape: made.plan.shape },
        ]);
        run.board.update((status) => {
          status.report['verify'] = found;
        });
        // It deletes the record of the fence, too, which came with the RDB and is the old source's alone.
        await act.quick.canaryOnTarget.executeWithOptions({ summary: 'canary' }, [
          { migrationId: migration.id, target },
        ]);
        return found;
      },
      ({ keys, replicas }) => `${keys} keys, ${replicas} replica(s) with the same data; a canary came and went`,
    );
  }

  private async compare(run: Run, target: RedisEndpoint, fence: OfflineFence | undefined): Promise<void> {
    const { id: migrationId, source, compare } = this.migration;
    await run.step(
      'compare',
      async () => {
        const result = await this.fencing.phase(run, 'compare', () =>
          this.act.copy.compareRedis.executeWithOptions({ summary: 'compare source and target' }, [
            { migrationId, source, target, compare },
          ]),
        );
        run.board.update((status) => {
          status.report['compare'] = result;
        });
        // Under a fence nothing moves: a key that could not be settled is not proven either.
        if (fence && (!result.equal || result.unsettled > 0)) {
          throw ApplicationFailure.create({
            type: ErrorType.differs,
            nonRetryable: true,
            message: `though the source is fenced, ${differences(result)}`,
            details: [
              {
                remedy: `see examples: cutover report ${migrationId}. Did the fence hold, or did somebody write to the new group? Retry compares again; an abort deletes what was made`,
              },
            ],
          });
        }
        if (fence) await this.fencing.require(fence);
        else if (!result.equal)
          run.board.warn(`without a fence: ${differences(result)}; the new group does not have them`);
        return result;
      },
      (result) => (result.equal ? `${result.keysCompared} keys are equal` : differences(result)),
    );
  }

  private async approve(run: Run, fence: OfflineFence | undefined): Promise<void> {
    if (run.board.step('approve-switch').state === 'done') return;
    const { id: migrationId, source, aws, gate: opens } = this.migration;
    const id = this.group.id;
    const compared = run.status.report['compare'] as { equal: boolean } | undefined;
    const isLoss = !fence && compared?.equal === false;
    await gate<OfflineReading>(run, 'approve-switch', {
      title: isLoss ? `Send the application to ${id}, though it lacks writes?` : `Send the application to ${id}?`,
      // What is lost is a person's to decide.
      opens: isLoss ? 'manual' : opens,
      watch: (last) =>
        this.act.watch.watchOffline.executeWithOptions({ summary: id }, [
          { id, migrationId, source, fence, last, aws },
        ]),
    });
  }

  private async switch(run: Run, target: RedisEndpoint, fence: OfflineFence | undefined): Promise<void> {
    const { id: migrationId, switch: hooks, aws } = this.migration;
    const list = new HookList(hooks);
    const { host, port } = target;
    const args: HooksArgs = { migrationId, run: hooksRun(1), hooks, target: { host, port }, aws };
    await run.step('switch', async () => {
      // Once hooks have begun the fence decides nothing any more, and the old source may be gone.
      if (fence && !run.switched) await this.fencing.require(fence);
      list.prepared =
        switchState(run)?.before ??
        (hooks.length === 0
          ? []
          : await this.act.quick.prepareHooks.executeWithOptions({ summary: 'look ahead at the hooks' }, [args]));
      if (hooks.length === 0) return this.commit(run);
      await runSwitchHooks(run, this.act, list, { args, arm: () => this.commit(run) });
      this.fencing.opened(run);
    });
    // Skipped: the operator sends the application by hand.
    if (!run.aborting) this.commit(run);
  }

  /** From here the application may write to the new group: nothing of it is undone any more. */
  private commit(run: Run): void {
    if (run.switched) return;
    // An abort that was accepted a moment ago is kept: the operator was told that all is undone.
    if (run.aborting) throw ApplicationFailure.nonRetryable('aborted before the switch', ErrorType.aborted);
    run.switched = true;
    run.disarm('group');
    run.disarm('rdb');
    this.fencing.keep(run);
  }

  private async soak(run: Run, target: RedisEndpoint): Promise<void> {
    await run.step('soak', async () => {
      const until = Date.parse(run.board.step('soak').startedAt!) + this.migration.soak;
      await this.act.watch.watchPrimary.executeWithOptions({ summary: 'the new group is a primary' }, [
        { migrationId: this.migration.id, target, until },
      ]);
    });
  }
}
