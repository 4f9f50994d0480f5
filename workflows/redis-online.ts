/**
 * Redis → ElastiCache, or any Redis or Valkey, with the application writing all the time. The runbook, from top to
 * bottom; facts/redis-aws section 4 is where its order comes from.
 */
import { ApplicationFailure, patched } from '@temporalio/workflow';
import type { NodeNotifications } from '../activities/redis/copy/switch-notifications.ts';
import type { MigrationInput } from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import type { RedisOnline } from '../spec/kind-redis-online.ts';
import { syncProgress, type SyncState } from '../spec/redis-sync.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { activityProxies } from './activity-options.ts';
import { critical, FENCE } from './critical-section.ts';
import { reasonOf } from './failure-reason.ts';
import { gate } from './gate.ts';
import { HookList } from './hook-list.ts';
import { elastiCacheEngine } from './redis-online-elasticache.ts';
import type { Attached, RedisOnlineEngine } from './redis-online-engine.ts';
import { preflightStep, requireStillReady } from './preflight-passed.ts';
import { redisOnlinePlan } from './redis-online-plan.ts';
import { replicaOfEngine } from './redis-online-replicaof.ts';
import { hooksRun } from './run-identity.ts';
import { BACK_UNTIL_HOOKS, scanEngine } from './redis-online-scan.ts';
import { conduct, type Run } from './runbook.ts';

// At the gate nothing is urgent; what matters there is that a thousand waiting migrations stay cheap.
const GATE_INTERVAL_FACTOR = 15;
// So many full copies mean that each is cut off before its end (facts/redis-aws 4.3).
const LOOP = 2;

export async function redisOnline(input: MigrationInput<RedisOnline>): Promise<MigrationStatus> {
  const runbook = new RedisOnlineRunbook(input);
  return conduct(input, {
    plan: redisOnlinePlan(input.migration),
    undo: {
      detach: runbook.engine.detach,
      'lift-fence': (_arg, run) => runbook.liftFence(run),
      'restore-buffer-limit': (arg) => runbook.restoreBufferLimit(arg),
      'restore-notifications': (arg) => runbook.restoreNotifications(arg),
    },
    body: (run) => runbook.run(run),
    beforeCut: () => runbook.engine.pauseBeside?.(),
    afterAbort: () => runbook.proveSourceWritable(),
  });
}

function engineOf(input: MigrationInput<RedisOnline>): RedisOnlineEngine {
  const { migration } = input;
  if (migration.engine === 'elasticache') return elastiCacheEngine(input, migration);
  if (migration.engine === 'replicaof') return replicaOfEngine(input, migration);
  return scanEngine(input, migration);
}

class RedisOnlineRunbook {
  readonly engine: RedisOnlineEngine;
  private readonly hooks: HookList;
  private readonly migration: RedisOnline;
  private readonly act: ReturnType<typeof activityProxies>;
  /** The section has ended and no hook has begun: nothing was promoted, and an abort goes back. */
  private undoable = false;

  constructor(input: MigrationInput<RedisOnline>) {
    this.migration = input.migration;
    this.hooks = new HookList(input.migration.switch);
    this.act = activityProxies(input);
    this.engine = engineOf(input);
  }

  async run(run: Run): Promise<void> {
    await this.preflight(run);
    if (this.engine.testMigration && this.migration.engine === 'elasticache' && this.migration.testMigration) {
      await run.step(
        'test-migration',
        () => this.engine.testMigration!(),
        (note) => note,
      );
    }
    const attached = (await this.attach(run))!;
    await this.firstSync(run, attached);
    await this.follow(run, attached);
    if (this.migration.compare.mode !== 'off') await this.compare(run, attached);
    while (!run.isDone('cutover')) {
      await this.approveCutover(run, attached);
      await this.cutOver(run, attached);
    }
    if (!this.undoable) run.disarm('attach');
    await this.canary(run, attached);
    await this.switch(run, attached);
    await this.report(run, attached);
    if (this.migration.soak > 0) await this.soak(run, attached);
  }

  private async preflight(run: Run): Promise<void> {
    const { migration } = this;
    await preflightStep(run, () =>
      this.act.quick.preflightRedisOnline.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]),
    );
  }

  private attach(run: Run): Promise<Attached | undefined> {
    return run.step(
      'attach',
      async () => {
        run.arm({ id: 'attach', undo: 'detach', arg: null, title: 'the attachment of the target' });
        return this.engine.attach(run);
      },
      (attached) => attached.note,
    );
  }

  /** Follows until `until` holds; each material change is one turn of this loop. */
  private async watch(run: Run, attached: Attached, until: (state: SyncState) => boolean): Promise<SyncState> {
    let last: SyncState | undefined;
    // What had gone wrong before an operator's retry, or before the limit was lifted, is not held against what follows.
    let before: number | undefined;
    for (;;) {
      // No activity is under way here: a link that comes and goes for days must not fill the history.
      if (last) await run.breathe();
      const isFirst = last === undefined;
      last = await this.engine.watch(run, attached, last, 1);
      run.progress(syncProgress(last));
      if (until(last)) return last;
      if (last.phase === 'detached') throw detached();
      before ??= isFirst && last.fullSyncs < LOOP ? 0 : last.fullSyncs;
      // The source counts from its own start.
      before = Math.min(before, last.fullSyncs);
      if (last.fullSyncs - before < LOOP) continue;
      // The source counts the copies of all its replicas: another one's are not held against a target that follows.
      if (last.phase === 'online' && patched('copies-of-other-replicas')) {
        if (last.inSync) before = last.fullSyncs;
        continue;
      }
      if (!this.engine.mayLiftBufferLimit || run.isArmed('buffer-limit')) throw copiesForEver(last);
      await this.liftBufferLimit(run);
      // Counted anew from the next reading: more of them may have been cut off until the limit was lifted.
      before = undefined;
    }
  }

  private async firstSync(run: Run, attached: Attached): Promise<void> {
    await run.step(
      'first-sync',
      () => this.watch(run, attached, (state) => state.phase === 'online'),
      () => 'the target follows',
    );
  }

  private async follow(run: Run, attached: Attached): Promise<void> {
    await run.step(
      'follow',
      async () => {
        const state = await this.watch(run, attached, (now) => now.inSync);
        // The limit was lifted for the first copy only.
        await run.undoNow('buffer-limit');
        return state;
      },
      ({ lagBytes }) => (lagBytes === undefined ? 'in sync' : `in sync, lag ${lagBytes} bytes`),
    );
  }

  private async liftBufferLimit(run: Run): Promise<void> {
    const given = { migrationId: this.migration.id, source: this.migration.source };
    const limit = await this.act.quick.readBufferLimit.executeWithOptions({ summary: 'what the limit is now' }, [
      given,
    ]);
    run.arm({
      id: 'buffer-limit',
      undo: 'restore-buffer-limit',
      arg: limit,
      title: 'client-output-buffer-limit on the source',
    });
    const { note } = await this.act.quick.liftBufferLimit.executeWithOptions({ summary: 'lift the limit' }, [given]);
    run.board.warn(`the full copy began again and again; ${note}`);
  }

  async restoreBufferLimit(limit: { old: string }): Promise<{ note: string }> {
    const given = { migrationId: this.migration.id, source: this.migration.source, limit };
    return this.act.undo.restoreBufferLimit.executeWithOptions({ summary: 'put the limit back' }, [given]);
  }

  async restoreNotifications({ nodes }: { nodes: NodeNotifications[] }): Promise<{ note: string }> {
    const given = { migrationId: this.migration.id, source: this.migration.source, nodes };
    return this.act.undo.restoreNotifications.executeWithOptions({ summary: 'put the notifications back' }, [given]);
  }

  private async compare(run: Run, attached: Attached): Promise<void> {
    const { migration } = this;
    await run.step(
      'compare',
      async () => {
        if (this.engine.catchesUp) await this.watch(run, attached, (now) => now.inSync);
        const result = await this.act.copy.compareRedis.executeWithOptions({ summary: 'compare source and target' }, [
          { migrationId: migration.id, source: migration.source, target: attached.target, compare: migration.compare },
        ]);
        run.board.update((status) => {
          status.report['compare'] = result;
        });
        if (result.equal) return result;
        const { missing, extra, typeDiffers, ttlDiffers, valueDiffers, uncompared } = result;
        throw ApplicationFailure.create({
          type: ErrorType.differs,
          nonRetryable: true,
          message: `of ${result.keysCompared} keys ${missing} are missing, ${extra} extra, ${typeDiffers} of another type, ${ttlDiffers} of another TTL, ${valueDiffers} of another value, ${uncompared} could not be compared`,
          details: [{ remedy: `see examples: cutover report ${migration.id}; then retry` }],
        });
      },
      // A key that moved at every reading is proven neither equal nor different: it must not count as equal.
      ({ keysCompared, unsettled }) =>
        unsettled === 0
          ? `${keysCompared} keys are equal`
          : `no difference in ${keysCompared} keys; ${unsettled} of them changed at every reading and are not proven equal`,
    );
  }

  private async approveCutover(run: Run, attached: Attached): Promise<void> {
    await gate<SyncState & { ready: boolean; notReady?: string }>(run, 'approve-cutover', {
      title: 'Cut over now?',
      opens: this.migration.cutover.gate,
      watch: async (last) => {
        const state = await this.engine.watch(run, attached, last, last?.inSync ? GATE_INTERVAL_FACTOR : 1);
        if (state.phase === 'detached') throw detached();
        const notReady = state.unreachable ?? (state.inSync ? undefined : `not in sync (${syncProgress(state).text})`);
        return {
          ...state,
          ready: notReady === undefined,
          ...(notReady ? { notReady } : {}),
          progress: syncProgress(state),
        };
      },
    });
  }

  private async cutOver(run: Run, attached: Attached): Promise<void> {
    const section = this.engine.section(run, attached, run.status.cutovers.length + 1, this.hooks);
    const switched = await critical(run, {
      ...section,
      before: async (told) => {
        await this.lookAhead(run, attached);
        await section.before?.(told);
      },
    });
    if (!switched || !this.engine.beforeHooks || !patched(BACK_UNTIL_HOOKS)) return;
    this.undoable = true;
    run.switched = false;
    run.arm({ id: FENCE, ...section.fenceUndo });
    run.board.update((status) => {
      status.fence = { ...status.fence, state: 'up', detail: 'the source refuses writes until the hooks begin' };
    });
  }

  private async requireFence(run: Run): Promise<void> {
    try {
      await this.engine.beforeHooks?.(run);
    } catch (error) {
      const { type, message } = reasonOf(error);
      if (type === ErrorType.replication) {
        run.board.update((status) => {
          status.fence = { ...status.fence, state: 'lifted', detail: message };
        });
      }
      throw error;
    }
  }

  /** From here the application may write to the target: nothing is undone any more. */
  private commit(run: Run): void {
    if (!this.undoable) return;
    // An abort that was accepted a moment ago is kept: the operator was told that all is undone.
    if (run.aborting) throw ApplicationFailure.nonRetryable('aborted before the switch', ErrorType.aborted);
    this.undoable = false;
    run.switched = true;
    run.disarm(FENCE);
    run.disarm('attach');
    // Skipped, though the source takes writes: what was found stays what is told.
    if (run.status.fence.state === 'lifted') return;
    run.board.update((status) => {
      status.fence = {
        ...status.fence,
        state: 'kept',
        detail:
          'the application is sent to the target; the old source refuses writes, so that a straggler gets an error and loses nothing',
      };
    });
  }

  /** Before anything is fenced: what may have changed since the preflight, and whether the hooks can do their work. */
  private async lookAhead(run: Run, attached: Attached): Promise<void> {
    const { migration } = this;
    await requireStillReady(run, () =>
      this.act.quick.preflightRedisOnline.executeWithOptions({ summary: 'checks before the fence' }, [
        { migration, cheap: true },
      ]),
    );
    this.hooks.undone();
    if (migration.switch.length === 0) return;
    this.hooks.prepared = await this.act.quick.prepareHooks.executeWithOptions({ summary: 'look ahead at the hooks' }, [
      this.hookArgs(run, attached),
    ]);
  }

  private hookArgs(run: Run, { target }: Attached) {
    const { id: migrationId, switch: hooks, aws } = this.migration;
    return {
      migrationId,
      run: hooksRun(run.status.cutovers.length),
      hooks,
      target: { host: target.host, port: target.port },
      aws,
    };
  }

  async liftFence(run: Run): Promise<{ note: string }> {
    const { id: migrationId, source } = this.migration;
    try {
      const { detail } = await this.act.undo.liftSourceFence.executeWithOptions({ summary: 'lift the fence' }, [
        { migrationId, source },
      ]);
      if (this.undoable) this.tellUndone(run, detail);
      return { note: detail };
    } catch (error) {
      const { type, message } = reasonOf(error);
      if (type !== ErrorType.notOurs) throw error;
      // Ours is not up then, and another migration's must stay: its target may be the primary by now.
      return { note: `left alone: ${message}` };
    }
  }

  /** An abort after the section, before the hooks. */
  private tellUndone(run: Run, detail: string): void {
    run.opened();
    run.board.update((status) => {
      Object.assign(status.cutovers.at(-1)!, { outcome: 'undone', reason: `aborted by ${status.abortedBy?.by ?? ''}` });
      status.fence = { ...status.fence, state: 'lifted', detail };
      status.phase = 'aborting';
    });
  }

  async proveSourceWritable(): Promise<void> {
    const { id: migrationId, source } = this.migration;
    await this.act.undo.proveSourceWritable.executeWithOptions({ summary: 'the source takes writes' }, [
      { migrationId, source },
    ]);
  }

  private async canary(run: Run, attached: Attached): Promise<void> {
    await run.step(
      'canary',
      () =>
        this.act.quick.canaryOnTarget.executeWithOptions({ summary: 'canary' }, [
          { migrationId: this.migration.id, target: attached.target },
        ]),
      () => 'written, read and deleted',
    );
  }

  private async switch(run: Run, attached: Attached): Promise<void> {
    const list = this.hooks;
    await run.step('switch', async () => {
      if (this.undoable) await this.requireFence(run);
      this.commit(run);
      if (list.hooks.length === 0) return;
      try {
        await this.act.wait.runHooks.executeWithOptions({ summary: list.titles }, [
          { ...this.hookArgs(run, attached), from: list.from, before: list.before },
        ]);
      } catch (error) {
        list.failed(reasonOf(error).facts);
        throw error;
      }
    });
    // Skipped: the operator sends the application by hand.
    if (!run.aborting) this.commit(run);
    run.opened();
  }

  private async report(run: Run, attached: Attached): Promise<void> {
    await run.step('report', async () => {
      await this.engine.tidyUp?.(attached, run);
      const { id: migrationId, source } = this.migration;
      const final = await this.act.quick.readFinalState.executeWithOptions({ summary: 'roles and key counts' }, [
        { migrationId, source, target: attached.target },
      ]);
      run.board.update((status) => {
        status.report['final'] = final;
      });
      run.board.leave(
        run.status.fence.state === 'lifted'
          ? 'the old source keeps its data and is NOT fenced: what it takes is not on the target'
          : 'the old source stays fenced and keeps its data; to let it take writes again: cutover unfence <file>',
      );
      return final;
    });
  }

  private async soak(run: Run, attached: Attached): Promise<void> {
    await run.step('soak', async () => {
      const until = Date.parse(run.board.step('soak').startedAt!) + this.migration.soak;
      await this.act.watch.watchPrimary.executeWithOptions({ summary: 'the target stays the primary' }, [
        { migrationId: this.migration.id, target: attached.target, until },
      ]);
    });
  }
}

function detached(): ApplicationFailure {
  return ApplicationFailure.create({
    type: ErrorType.replication,
    nonRetryable: true,
    message: 'the target is no longer a replica of the source: the service gave up, or somebody promoted it',
    details: [{ remedy: 'abort, empty the target and start again; its events tell why it was detached' }],
  });
}

function copiesForEver(state: SyncState): ApplicationFailure {
  return ApplicationFailure.create({
    type: ErrorType.replication,
    nonRetryable: true,
    message: `the full copy was begun ${state.fullSyncs} times since the attach: it is cut off before its end, again and again`,
    details: [
      {
        remedy:
          'on the source, memory allowing: redis-cli CONFIG SET client-output-buffer-limit "slave 0 0 0" (and a larger repl-backlog-size), then retry; or set fixFullResyncLoop: true',
      },
    ],
  });
}
