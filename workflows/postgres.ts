/**
 * A self-hosted Postgres to RDS, with the application writing until the cutover. The runbook, from top to bottom; its
 * order comes from facts/postgres-dms 3.3. The critical section is in postgres-cutover.ts, what an operator may do with
 * single tables in postgres-tables.ts, the engine behind the interface of postgres-replication.ts.
 */
import { ApplicationFailure } from '@temporalio/workflow';
import type { MigrationInput } from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import type { Postgres } from '../spec/kind-postgres.ts';
import { OWN_SCHEMA, tableText, type ReplicationState, type TablePlan } from '../spec/postgres-plan.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { activityProxies } from './activity-options.ts';
import { gate } from './gate.ts';
import { PostgresCutover } from './postgres-cutover.ts';
import { dmsEngine } from './postgres-dms.ts';
import { postgresPlan } from './postgres-plan.ts';
import { replicationProgress } from './postgres-progress.ts';
import type { ReplicationEngine, WatchUntil } from './postgres-replication.ts';
import { TABLE_CHANGES, TableCommands } from './postgres-tables.ts';
import { preflightStep } from './preflight-passed.ts';
import { conduct, type Run } from './runbook.ts';

/** Of a step's notes, so many become warnings; the rest is in its result. */
const NOTES = 5;

export async function postgres(input: MigrationInput<Postgres>): Promise<MigrationStatus> {
  const runbook = new PostgresRunbook(input);
  return conduct(input, {
    plan: postgresPlan(input.migration, runbook.engine),
    undo: {
      'lift-fence': (_arg, run) => runbook.cutover.undo(run),
      'clean-up-replication': () => runbook.engine.cleanUp(),
      'remove-target-tables': (arg: { plan: TablePlan }) => runbook.removeTargetTables(arg.plan),
      'remove-own-schema': () => runbook.removeOwnSchema(),
    },
    body: (run) => runbook.run(run),
    onPause: () => runbook.pause(),
    onResume: () => runbook.resume(),
    afterAbort: () => runbook.proveSourceWritable(),
  });
}

class PostgresRunbook {
  readonly engine: ReplicationEngine;
  readonly cutover: PostgresCutover;
  private readonly migration: Postgres;
  private readonly act: ReturnType<typeof activityProxies>;
  private readonly commands: TableCommands;
  /** From its start until it is stopped for good: only then is there something to pause. */
  private replicating = false;

  constructor(input: MigrationInput<Postgres>) {
    this.migration = input.migration;
    this.act = activityProxies(input);
    this.engine = dmsEngine(input);
    this.cutover = new PostgresCutover(input, this.engine);
    this.commands = new TableCommands(input, this.engine);
  }

  async run(run: Run): Promise<void> {
    await this.preflight(run);
    const plan = await this.planTables(run);
    this.commands.serve(run, plan);
    await this.schema(run, plan);
    await this.engine.prepare(run, plan);
    await this.fullLoad(run, plan);
    if (this.migration.schema.afterLoad.length > 0) await this.finishSchema(run, plan);
    const followed = await this.follow(run, plan);
    await this.proveCopy(run, plan, followed);
    while (!run.isDone('cutover')) {
      await this.approveCutover(run, plan);
      await this.cutover.attempt(run, plan);
    }
    this.replicating = false;
    run.disarm('target-tables');
    run.disarm('replication');
    run.disarm('own-schema');
    await this.cutover.switch(run);
    await this.cutover.checks(run);
    await this.report(run, plan);
    if (this.migration.soak > 0) await this.soak(run);
    await this.cleanUp(run);
  }

  private async preflight(run: Run): Promise<void> {
    const { migration } = this;
    await preflightStep(run, () =>
      this.act.quick.preflightPostgres.executeWithOptions({ summary: 'preflight checks' }, [{ migration }]),
    );
  }

  private async planTables(run: Run): Promise<TablePlan> {
    const { migration } = this;
    const plan = await run.step(
      'plan-tables',
      async () => {
        const found = await this.act.copy.planTables.executeWithOptions({ summary: 'tables of the source' }, [
          { migration },
        ]);
        const uncovered = found.tables.filter(({ treatment }) => treatment === 'uncovered');
        const named = (treatment: string) =>
          found.tables.filter((table) => table.treatment === treatment).map(tableText);
        run.board.update((status) => {
          status.report['tables'] = {
            replicated: named('replicated').length,
            copiedByHand: named('by-hand'),
            leftOut: named('left-out'),
          };
        });
        if (uncovered.length === 0) return found;
        throw ApplicationFailure.create({
          type: ErrorType.preflight,
          nonRetryable: true,
          message: `neither replicated, nor copied by hand, nor left out: ${uncovered.map(tableText).join(', ')}`,
          details: [{ remedy: 'name each under tables.copyByHand or tables.leaveOut, and start again' }],
        });
      },
      ({ tables }) => {
        const count = (treatment: string) => tables.filter((table) => table.treatment === treatment).length;
        return `${count('replicated')} replicated, ${count('by-hand')} by hand, ${count('left-out')} left out`;
      },
    );
    // The step can't be skipped: a plan is there, or the migration has parked.
    return plan!;
  }

  private async schema(run: Run, plan: TablePlan): Promise<void> {
    const { migration } = this;
    await run.step(
      'schema',
      async () => {
        run.arm({ id: 'own-schema', undo: 'remove-own-schema', arg: null, title: `the schema ${OWN_SCHEMA}` });
        await this.act.quick.prepareOwnSchema.executeWithOptions({ summary: `schema ${OWN_SCHEMA} on both sides` }, [
          { migration },
        ]);
        if (migration.schema.create) {
          const title = 'what was created on the target';
          run.arm({ id: 'target-tables', undo: 'remove-target-tables', arg: { plan }, title });
        }
        const copied = await this.act.copy.copySchema.executeWithOptions({ summary: 'schema, source to target' }, [
          { migration, plan },
        ]);
        for (const note of copied.notes.slice(0, NOTES)) run.board.warn(note);
        return copied;
      },
      ({ created, same }) => `${created} created, ${same} there already and the same`,
    );
  }

  private async fullLoad(run: Run, plan: TablePlan): Promise<void> {
    await run.step(
      'full-load',
      async () => {
        await this.engine.start();
        this.replicating = true;
        return this.watch(
          run,
          plan,
          'full-load',
          'load-done',
          ({ phase }) =>
            // It follows already where a retry has started it again after the load.
            phase === 'load-done' || phase === 'following',
        );
      },
      ({ rowsLoaded, tables }) => `${rowsLoaded} rows in ${tables.loaded} tables`,
    );
    this.replicating = true;
  }

  private async finishSchema(run: Run, plan: TablePlan): Promise<void> {
    const { migration } = this;
    await run.step(
      'finish-schema',
      async () => {
        const built = await this.act.copy.finishSchema.executeWithOptions({ summary: 'indexes, keys, triggers' }, [
          { migration, plan },
        ]);
        for (const note of built.notes.slice(0, NOTES)) run.board.warn(note);
        await this.engine.resume();
        return built;
      },
      ({ indexes, foreignKeys, triggers }) =>
        `${indexes} indexes, ${foreignKeys} foreign keys, ${triggers} triggers built`,
    );
  }

  private async follow(run: Run, plan: TablePlan): Promise<ReplicationState> {
    const state = await run.step(
      'follow',
      async () => {
        // After an operator's retry it may have stopped.
        await this.engine.start();
        return this.watch(run, plan, 'follow', 'ready', ({ ready }) => ready);
      },
      (found) => replicationProgress(found).text,
    );
    // As the plan, it can't be skipped.
    return state!;
  }

  /**
   * Watches until `until` holds; each material change is one turn of this loop.
   * @throws ApplicationFailure where the replication has stopped or failed, or a table has: the step parks then
   */
  private async watch(
    run: Run,
    plan: TablePlan,
    step: string,
    goal: WatchUntil,
    until: (state: ReplicationState) => boolean,
  ): Promise<ReplicationState> {
    let last: ReplicationState | undefined;
    for (;;) {
      // No activity is under way here: weeks of changes must not fill the history.
      if (last) await run.breathe();
      await run.pauseWithin(step);
      const state = await this.commands.letWatch(run, () => this.engine.watch(plan, goal, last));
      if (!state) continue;
      last = state;
      run.progress(replicationProgress(state));
      run.board.update((status) => {
        status.report['replication'] = state;
      });
      if (state.phase === 'failed' || state.phase === 'stopped') throw ended(state);
      if (state.tables.failed > 0) throw tablesFailed(run.status.id, state);
      const [problem] = state.problems;
      if (problem) run.board.warn(problem.table ? `${problem.table}: ${problem.reason}` : problem.reason);
      if (state.stalledSince !== undefined) {
        run.board.warn(`no progress since ${new Date(state.stalledSince).toISOString()}, though ${state.engineState}`);
      }
      if (until(state)) return state;
    }
  }

  private async proveCopy(run: Run, plan: TablePlan, followed: ReplicationState): Promise<void> {
    const { migration } = this;
    await run.step(
      'prove-copy',
      async () => {
        const { validated } = await this.act.copy.validateForeignKeys.executeWithOptions(
          { summary: 'foreign keys of replicated tables' },
          [{ migration, plan, touching: 'replicated' }],
        );
        await this.act.copy.analyzeTarget.executeWithOptions({ summary: 'ANALYZE' }, [{ migration, plan }]);
        await this.compareUnproven(run, plan, followed);
        return { validated };
      },
      ({ validated }) => `${validated} foreign keys validated`,
    );
  }

  /** The source moves: a difference is no proof yet, and the fence will tell. But it is better known before. */
  private async compareUnproven(run: Run, plan: TablePlan, followed: ReplicationState): Promise<void> {
    const which = this.engine.unproven(plan, followed).map(({ schema, name }) => ({ schema, name }));
    if (which.length === 0) return;
    const { differences } = await this.act.copy.verifyTables.executeWithOptions(
      { summary: 'tables that the replication does not validate' },
      [{ migration: this.migration, plan, which, mode: 'checksum' }],
    );
    for (const { table, source, target } of differences) {
      run.board.warn(`${table} differs while it is written (source ${source}, target ${target}); the fence will tell`);
    }
  }

  private async approveCutover(run: Run, plan: TablePlan): Promise<void> {
    await gate<ReplicationState>(run, 'approve-cutover', {
      title: 'Cut over now? The application is down from the fence to the switch.',
      opens: this.migration.cutover.gate,
      watch: async (last) => {
        const state = await this.commands.letWatch(run, () =>
          this.engine.watch(plan, 'ready', last?.engineState === TABLE_CHANGES ? undefined : last),
        );
        // What was read before says nothing of a table that is being changed: the gate must not open by it.
        if (!state) return whileTableChanges();
        if (state.phase === 'failed' || state.phase === 'stopped') throw ended(state);
        return { ...state, progress: replicationProgress(state) };
      },
      // A retry at the gate must find it running again.
      beforeRetry: () => this.engine.start(),
    });
  }

  /** Pausing a migration stops the copy itself, too; its slot keeps what comes meanwhile. */
  async pause(): Promise<void> {
    if (this.replicating) await this.engine.pause();
  }

  async resume(): Promise<void> {
    if (this.replicating) await this.engine.resume();
  }

  async removeTargetTables(plan: TablePlan): Promise<{ leftovers: string[] }> {
    return this.act.undo.removeTargetTables.executeWithOptions({ summary: 'what was created on the target' }, [
      { migration: this.migration, plan },
    ]);
  }

  async removeOwnSchema(): Promise<{ leftovers: string[] }> {
    return this.act.undo.removeOwnSchema.executeWithOptions({ summary: `schema ${OWN_SCHEMA}` }, [
      { migration: this.migration },
    ]);
  }

  async proveSourceWritable(): Promise<void> {
    await this.act.undo.provePostgresSourceWritable.executeWithOptions({ summary: 'the source takes writes' }, [
      { migration: this.migration },
    ]);
  }

  private async report(run: Run, plan: TablePlan): Promise<void> {
    await run.step(
      'report',
      async () => {
        const { equal, differences } = await this.act.copy.compareSchema.executeWithOptions(
          { summary: 'schemas, once more' },
          [{ migration: this.migration, plan }],
        );
        run.board.update((status) => {
          status.report['schema'] = { equal, differences };
        });
        for (const difference of differences.slice(0, 5)) run.board.warn(`the schemas differ: ${difference}`);
        run.board.leave(
          'the old source stays fenced and keeps its data; to let it take writes: cutover unfence <file>',
        );
        return { equal };
      },
      ({ equal }) => (equal ? 'the schemas are equal' : 'the schemas differ, see the warnings'),
    );
  }

  private async soak(run: Run): Promise<void> {
    await run.step('soak', async () => {
      const until = Date.parse(run.board.step('soak').startedAt!) + this.migration.soak;
      await this.act.watch.watchPostgresTarget.executeWithOptions({ summary: 'the target answers' }, [
        { migration: this.migration, until },
      ]);
    });
  }

  private async cleanUp(run: Run): Promise<void> {
    await run.step(
      'clean-up',
      async () => {
        const cleaned = await this.engine.cleanUp();
        const { leftovers } = await this.removeOwnSchema();
        run.board.leave(...(cleaned.leftovers ?? []), ...leftovers);
        return cleaned;
      },
      ({ note }) => note,
    );
  }
}

function whileTableChanges(): ReplicationState {
  return {
    phase: 'following',
    engineState: TABLE_CHANGES,
    tables: { total: 0, loaded: 0, loading: 0, failed: 0 },
    rowsLoaded: 0,
    changesApplied: 0,
    problems: [],
    readings: 0,
    ready: false,
    notReady: TABLE_CHANGES,
  };
}

function ended(state: ReplicationState): ApplicationFailure {
  return ApplicationFailure.create({
    type: ErrorType.replication,
    nonRetryable: true,
    message: `the replication is ${state.engineState}: ${state.problems.map(({ reason }) => reason).join('; ') || state.stopReason}`,
    details: [{ remedy: 'mend what the reason names; retry lets it go on from where it stopped' }],
  });
}

function tablesFailed(id: string, state: ReplicationState): ApplicationFailure {
  const named = state.problems.map(({ table, reason }) => (table ? `${table}: ${reason}` : reason));
  return ApplicationFailure.create({
    type: ErrorType.replication,
    nonRetryable: true,
    message: `${state.tables.failed} tables failed: ${named.join('; ')}`,
    details: [
      {
        remedy: `mend the cause, then: cutover reload-table ${id} <schema.table>, or cutover leave-out-table ${id} <schema.table>; then retry`,
      },
    ],
  });
}
