/**
 * The critical section of `postgres`, facts/postgres-dms 3.3: services stopped, fence, marker, tables copied by hand,
 * drain, replication stopped, sequences, constraints, verified, opened, switched, checked. Everything before the opening
 * is undone as a whole. From the opening on it is undone only as long as the target is known to have taken no write.
 */
import { ApplicationFailure } from '@temporalio/workflow';
import { taskQueues, type MigrationInput } from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import type { Postgres } from '../spec/kind-postgres.ts';
import type { CopyResult, PostgresFence, TablePlan } from '../spec/postgres-plan.ts';
import { activityProxies, criticalOptions } from './activity-options.ts';
import { critical, type Outcome, type Section } from './critical-section.ts';
import { reasonOf } from './failure-reason.ts';
import { HookList } from './hook-list.ts';
import type { ReplicationEngine } from './postgres-replication.ts';
import { requireStillReady } from './preflight-passed.ts';
import { hooksRun } from './run-identity.ts';
import type { Run } from './runbook.ts';

export class PostgresCutover {
  private readonly input: MigrationInput<Postgres>;
  private readonly migration: Postgres;
  private readonly engine: ReplicationEngine;
  private readonly act: ReturnType<typeof activityProxies>;
  private readonly services: HookList;
  private readonly traffic: HookList;
  private fence: PostgresFence | undefined;
  private checksFailed = false;
  private stopped = false;

  constructor(input: MigrationInput<Postgres>, engine: ReplicationEngine) {
    this.input = input;
    this.migration = input.migration;
    this.engine = engine;
    this.act = activityProxies(input);
    this.services = new HookList(input.migration.cutover.stopServices);
    this.traffic = new HookList(input.migration.switch);
  }

  /** One pass through the critical section: switched, or everything is as it was before, at the gate. */
  async attempt(run: Run, plan: TablePlan): Promise<boolean> {
    const number = run.status.cutovers.length + 1;
    this.fence = undefined;
    this.checksFailed = false;
    this.stopped = false;
    return critical(run, {
      id: 'cutover',
      fenceUndo: { undo: 'lift-fence', arg: null, title: 'the fence on the source, and the stopped services' },
      before: (section) => this.beforeOpening(run, section, plan, number),
      commit: (section) => this.open(run, section, number),
      outcome: () => this.outcome(number),
      giveUp: async () => {
        const { outcome, evidence } = await this.close(number);
        if (outcome !== 'not-switched') throw notGivenUp(evidence);
      },
    });
  }

  private async beforeOpening(run: Run, section: Section, plan: TablePlan, number: number): Promise<void> {
    const { migration } = this;
    const { budgets } = migration.cutover;
    await this.lookAhead(run, plan);
    const byHand = plan.tables.some(({ treatment }) => treatment === 'by-hand');
    const ahead = byHand ? await this.copyAhead(plan) : { tables: [] };
    await this.runHooks(run, this.services, 'stop the services');
    const fence = await this.phase(section, 'fence', budgets.fence, (options) =>
      this.act.quick.fencePostgres.executeWithOptions({ ...options, summary: 'fence, marker' }, [
        { migration, cutover: number },
      ]),
    );
    this.fence = fence;
    section.attempt.fencedAt = fence.raisedAt;
    section.fenceUp(fence.detail);
    if (byHand) {
      await this.phase(section, 'copy by hand', budgets.copy, (options) =>
        this.act.copy.copyByHand.executeWithOptions(
          { ...options, taskQueue: this.copyQueue, summary: 'copy by hand' },
          [{ migration, plan, ahead }],
        ),
      );
    }
    await this.phase(section, 'drain', budgets.drain, (_options, left) => this.engine.drain(plan, fence, left));
    this.stopped = true;
    await this.phase(section, 'stop the replication', budgets.drain, (_options, left) => this.engine.stop(left));
    const sequences = await this.phase(section, 'sequences', budgets.finish, (options) =>
      this.act.quick.setSequences.executeWithOptions({ ...options, summary: 'sequences' }, [{ migration, plan }]),
    );
    if (sequences.missed.length > 0) run.board.warn(`sequences not set: ${sequences.missed.join(', ')}`);
    await this.phase(section, 'constraints and triggers', budgets.finish, async (options) => {
      if (byHand) {
        await this.act.quick.validateForeignKeys.executeWithOptions({ ...options, summary: 'foreign keys' }, [
          { migration, plan, touching: 'by-hand' },
        ]);
      }
      await this.act.quick.makeTargetReady.executeWithOptions({ ...options, summary: 'roles, triggers, keys' }, [
        { migration, plan },
      ]);
    });
    const verified = await this.phase(section, 'verify', budgets.verify, (options) =>
      this.act.copy.verifyTables.executeWithOptions({ ...options, taskQueue: this.copyQueue, summary: 'every table' }, [
        { migration, plan, which: 'all', mode: migration.cutover.verify },
      ]),
    );
    run.board.update((status) => {
      status.report['verify'] = verified;
      status.report['sequences'] = sequences;
    });
    if (!verified.equal) throw differs(verified.differences);
    if (this.engine.reverse) {
      await this.phase(section, 'way back', budgets.finish, (_options, left) => this.engine.reverse!(plan, left));
    }
  }

  /** Before anything is fenced: what may have changed since the preflight, and whether the hooks can do their work. */
  private async lookAhead(run: Run, plan: TablePlan): Promise<void> {
    const { migration } = this;
    await requireStillReady(run, () =>
      this.act.quick.preflightPostgres.executeWithOptions({ summary: 'checks before the fence' }, [
        { migration, cheap: true, plan },
      ]),
    );
    await this.completeSchema(plan);
    for (const list of [this.services, this.traffic]) {
      list.undone();
      if (list.hooks.length === 0) continue;
      list.prepared = await this.act.quick.prepareHooks.executeWithOptions({ summary: 'look ahead at the hooks' }, [
        this.hookArgs(run, list),
      ]);
    }
  }

  /** A reload that failed half-way may have left keys out. Costs a second where nothing is missing, and no write pause. */
  private async completeSchema(plan: TablePlan): Promise<void> {
    const { migration } = this;
    if (!migration.schema.create) return;
    await this.act.copy.finishSchema.executeWithOptions({ summary: 'is the schema complete?' }, [{ migration, plan }]);
    await this.act.copy.validateForeignKeys.executeWithOptions({ summary: 'are all keys validated?' }, [
      { migration, plan, touching: 'replicated' },
    ]);
  }

  private copyAhead(plan: TablePlan): Promise<CopyResult> {
    return this.act.copy.copyAhead.executeWithOptions({ summary: 'big tables, before the fence' }, [
      { migration: this.migration, plan },
    ]);
  }

  /** Opens the target, sends the application there and looks whether it works. */
  private async open(run: Run, section: Section, number: number): Promise<void> {
    const { migration } = this;
    const { budgets } = migration.cutover;
    await this.phase(section, 'open', budgets.open, (options) =>
      this.act.quick.openTarget.executeWithOptions({ ...options, summary: 'the target opens' }, [
        { migration, cutover: number },
      ]),
    );
    await section.phase('switch', sum(this.traffic.hooks), () => this.runHooks(run, this.traffic, 'switch'));
    run.board.update(() => {
      if (this.fence) section.attempt.writePauseMs = Date.now() - this.fence.raisedAt;
    });
    try {
      await section.phase('checks', sum(migration.checks), () => this.runChecks());
    } catch (error) {
      this.checksFailed = true;
      throw error;
    }
    // What would come next is done.
    run.complete('switch', null, 'done inside the critical section');
    run.complete('checks', null, 'done inside the critical section');
  }

  /** Whether the target has been opened for good: closed again where it has taken no write, kept where it has. */
  private async outcome(number: number): Promise<Outcome> {
    if (this.checksFailed && this.migration.checksFail === 'ask') {
      return { outcome: 'switched', evidence: 'the target is open, the checks failed, and the file says to ask' };
    }
    return this.close(number);
  }

  private close(number: number): Promise<Outcome> {
    return this.act.quick.closeTargetIfUnwritten.executeWithOptions({ summary: 'has the target taken a write?' }, [
      { migration: this.migration, cutover: number },
    ]);
  }

  /** Traffic back, fence lifted, services started, replication going on. Each may run twice. */
  async undo(run: Run): Promise<{ note: string }> {
    await this.undoHooks(run, this.traffic);
    const { detail } = await this.act.undo.liftPostgresFence.executeWithOptions({ summary: 'lift the fence' }, [
      { migration: this.migration },
    ]);
    await this.undoHooks(run, this.services);
    // An abort takes the replication down right after this.
    if (this.stopped && !run.aborting) await this.engine.resume();
    this.stopped = false;
    return { note: detail };
  }

  /** What of the switch is left, once there is no way back: the operator may retry or skip it. */
  async switch(run: Run): Promise<void> {
    await run.step('switch', () => this.runHooks(run, this.traffic, 'switch'));
    run.opened();
  }

  async checks(run: Run): Promise<void> {
    await run.step('checks', () => this.runChecks());
  }

  private async runChecks(): Promise<void> {
    const { migration } = this;
    if (migration.checks.length === 0) return;
    await this.act.wait.runFunctionalChecks.executeWithOptions({ summary: 'functional checks' }, [
      { migration, checks: migration.checks },
    ]);
  }

  private async runHooks(run: Run, list: HookList, what: string): Promise<void> {
    if (list.hooks.length === 0) return;
    try {
      const { done } = await this.act.wait.runHooks.executeWithOptions({ summary: `${what}: ${list.titles}` }, [
        { ...this.hookArgs(run, list), from: list.from, before: list.before },
      ]);
      list.note(done);
      list.from = list.hooks.length;
    } catch (error) {
      list.failed(reasonOf(error).facts);
      throw error;
    }
  }

  private async undoHooks(run: Run, list: HookList): Promise<void> {
    if (list.done.length === 0) return;
    await this.act.wait.undoHooks.executeWithOptions({ summary: `undo: ${list.titles}` }, [
      { ...this.hookArgs(run, list), done: list.done },
    ]);
    list.undone();
  }

  private hookArgs(run: Run, list: HookList) {
    const { id, target, aws } = this.migration;
    // Two lists in one pass: the first webhook of the one is not the first of the other.
    const which = list === this.services ? 'stop-services' : 'switch';
    return {
      migrationId: id,
      run: `${hooksRun(run.status.cutovers.length)}/${which}`,
      hooks: list.hooks,
      target: { host: target.host, port: target.port },
      aws,
    };
  }

  private get copyQueue(): string {
    return taskQueues(this.input.taskQueue).copy;
  }

  /** Runs one phase within its own budget and what is left of the whole. @throws ApplicationFailure `cutover.Deadline` */
  private phase<T>(
    section: Section,
    name: string,
    budgetMs: number,
    body: (options: ReturnType<typeof criticalOptions>, leftMs: number) => Promise<T>,
  ): Promise<T> {
    const { budget } = this.migration.cutover;
    const fencedAt = this.fence?.raisedAt;
    const left = fencedAt === undefined ? budgetMs : Math.min(budgetMs, fencedAt + budget - Date.now());
    if (left <= 0) throw overBudget(name, budget);
    return section.phase(name, left, () => body(criticalOptions(this.input, left), left));
  }
}

function sum(list: { timeout: number }[]): number {
  return list.reduce((total, { timeout }) => total + timeout, 0);
}

function differs(differences: { table: string; source: string; target: string }[]): ApplicationFailure {
  const named = differences.map(({ table, source, target }) => `${table} (source ${source}, target ${target})`);
  return ApplicationFailure.create({
    type: ErrorType.differs,
    nonRetryable: true,
    message: `after the drain source and target differ: ${named.join('; ')}`,
    details: [{ remedy: 'reload the tables that differ (cutover reload-table), then approve again' }],
  });
}

function overBudget(name: string, budgetMs: number): ApplicationFailure {
  return ApplicationFailure.create({
    type: ErrorType.deadline,
    nonRetryable: true,
    message: `the budget of ${budgetMs} ms was used up before: ${name}`,
    details: [{ remedy: 'raise cutover.budget, or make the phases before it shorter (see the timings)' }],
  });
}

function notGivenUp(evidence: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: ErrorType.inDoubt,
    nonRetryable: true,
    message: `it can't be told whether the target has taken writes: ${evidence}`,
    details: [{ remedy: 'bring the target back within reach, then abort again' }],
  });
}
