/**
 * `cutover reload-table` and `cutover leave-out-table`: one bad table must not make the whole migration start over. The
 * watch stands still meanwhile: a task that is stopped to change its tables is not a task that stopped.
 */
import { ApplicationFailure, CancellationScope, condition, setHandler } from '@temporalio/workflow';
import {
  leaveOutTableUpdate,
  REFUSED,
  reloadTableUpdate,
  type MigrationInput,
  type TableCommandInput,
} from '../spec/contract.ts';
import { tableText, type PlannedTable, type TablePlan } from '../spec/postgres-plan.ts';
import { ENDED } from '../spec/status.ts';
import { now } from './board.ts';
import type { Postgres } from '../spec/kind-postgres.ts';
import { activityProxies } from './activity-options.ts';
import type { ReplicationEngine } from './postgres-replication.ts';
import type { Run } from './runbook.ts';

/** Why a gate is not ready meanwhile. */
export const TABLE_CHANGES = 'a table is being changed';

export class TableCommands {
  private readonly migration: Postgres;
  private readonly act: ReturnType<typeof activityProxies>;
  private readonly engine: ReplicationEngine;
  private commanding = 0;
  private watching = false;

  constructor(input: MigrationInput<Postgres>, engine: ReplicationEngine) {
    this.migration = input.migration;
    this.act = activityProxies(input);
    this.engine = engine;
  }

  serve(run: Run, plan: TablePlan): void {
    const validator = (input: TableCommandInput) => {
      const refused = this.refusal(run, plan, input);
      if (refused) throw ApplicationFailure.nonRetryable(refused, REFUSED);
    };
    setHandler(
      reloadTableUpdate,
      (input) =>
        this.alone(run, 'reload-table', input, async () => {
          const table = find(plan, input.table)!;
          if (input.validateOnly) {
            await this.engine.revalidate([{ schema: table.schema, name: table.name }]);
            return { message: `${input.table} is being validated again; the gate waits for what comes of it` };
          }
          await this.reload(plan, table);
          return { message: `${input.table} was loaded again` };
        }),
      { validator, description: 'cutover reload-table' },
    );
    setHandler(
      leaveOutTableUpdate,
      (input) =>
        this.alone(run, 'leave-out-table', input, async () => {
          const table = find(plan, input.table)!;
          await this.engine.leaveOut(plan, table);
          // The plan is the step's own result: it goes along when the history is cut.
          table.treatment = 'left-out';
          run.board.leave(`${input.table} was left out by ${input.by} and is not on the target`);
          return { message: `${input.table} is left out` };
        }),
      { validator, description: 'cutover leave-out-table' },
    );
  }

  /** Watches, unless a command comes: then undefined, once the command has ended. */
  async letWatch<T>(run: Run, watch: () => Promise<T>): Promise<T | undefined> {
    await condition(() => this.commanding === 0);
    this.watching = true;
    const scope = new CancellationScope();
    try {
      const looked = scope.run(watch);
      let over = false;
      const settled = looked.then(
        () => (over = true),
        () => (over = true),
      );
      await condition(() => over || this.commanding > 0 || run.status.pausedBy !== undefined);
      if (over) return await looked;
      scope.cancel();
      await settled;
      return undefined;
    } finally {
      this.watching = false;
    }
  }

  private refusal(run: Run, plan: TablePlan, input: TableCommandInput): string | undefined {
    const { status } = run;
    if (ENDED.includes(status.phase)) return `the migration has ended (${status.phase})`;
    if (run.switched || status.phase === 'critical' || status.phase === 'in-doubt' || status.phase === 'aborting') {
      return `not while it is ${status.phase}, at ${status.step ?? 'its start'}`;
    }
    if (status.pausedBy) return 'it is paused; resume it first';
    if (!this.engine.steps.every(({ id }) => run.isDone(id))) return 'the replication has not begun yet';
    const table = find(plan, input.table);
    if (!table)
      return `there is no table ${input.table} in the plan; expected schema.table as \`cutover report\` shows it`;
    if (table.treatment !== 'replicated') return `${input.table} is ${table.treatment}, not replicated`;
    return undefined;
  }

  /** Keys that point at it would forbid its load; they are dropped and made again. */
  private async reload(plan: TablePlan, { schema, name }: PlannedTable): Promise<void> {
    const { migration } = this;
    const { dropped } = await this.act.quick.dropForeignKeysTo.executeWithOptions({ summary: 'keys that forbid it' }, [
      { migration, tables: [{ schema, name }] },
    ]);
    await this.engine.reload([{ schema, name }]);
    if (dropped.length === 0) return;
    await this.act.copy.finishSchema.executeWithOptions({ summary: 'the keys again' }, [{ migration, plan }]);
    await this.act.copy.validateForeignKeys.executeWithOptions({ summary: 'validate them' }, [
      { migration, plan, touching: 'replicated' },
    ]);
  }

  private async alone<T>(run: Run, command: string, input: TableCommandInput, body: () => Promise<T>): Promise<T> {
    this.commanding += 1;
    // At once, and not only when the watch has stopped: an approval in between would let the cutover begin meanwhile.
    run.board.update(({ gate }) => {
      if (gate) Object.assign(gate, { ready: false, notReady: TABLE_CHANGES });
    });
    try {
      await condition(() => !this.watching);
      run.board.update((status) => {
        const { by, reason } = input;
        status.decisions.push({ command: `${command} ${input.table}`, by, at: now(), ...(reason ? { reason } : {}) });
      });
      return await body();
    } finally {
      this.commanding -= 1;
    }
  }
}

function find(plan: TablePlan, text: string): PlannedTable | undefined {
  return plan.tables.find((table) => tableText(table) === text || `${table.schema}.${table.name}` === text);
}
