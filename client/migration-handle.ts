/** One migration: looked at, followed and commanded by its id. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  WorkflowFailedError,
  WorkflowNotFoundError,
  type Client,
  type WorkflowExecutionDescription,
  type WorkflowHandle,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import {
  commandUpdates,
  leaveOutTableUpdate,
  planQuery,
  reloadTableUpdate,
  SearchAttributes,
  statusQuery,
  WORKFLOW_TYPES,
  type Command,
  type CommandAnswer,
  type CommandInput,
  type TableCommandInput,
} from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import { ENDED, type MigrationStatus, type Plan } from '../spec/status.ts';
import { reasonOf } from '../workflows/failure-reason.ts';
import { commandFailure } from './command-failure.ts';
import { CutoverError, EndedUncleanly, NoMigration, NoWorker, Refused, Unreachable } from './errors.ts';
import { addressOf, call, grpcError, Grpc } from './grpc-failure.ts';
import { merged, pendingActivities, type LiveStatus } from './live-status.ts';
import { operatorName } from './operator-name.ts';
import { reportOf, type MigrationReport } from './report.ts';
import { expectWorker } from './workers.ts';

export interface CommandOptions {
  /** Who commands, for the record. Default: CUTOVER_USER, or user@host. */
  by?: string | undefined;
  reason?: string | undefined;
  /** The gate or step that is meant: refused if another one waits by now. */
  step?: string | undefined;
  /** approve: what the gate asks to be typed, the name of what can't be brought back. */
  confirm?: string | undefined;
  /** How long to wait for the answer, in ms. Default 30 s: a worker may have a long history to replay first. */
  timeoutMs?: number | undefined;
}

export interface WatchOptions {
  /** How often to look, in ms. Default 1000. */
  intervalMs?: number;
  signal?: AbortSignal;
  /** Told when the migration can't be asked; it keeps on asking until `patienceMs` have passed without an answer. */
  onTrouble?: (error: CutoverError) => void;
  /** Default: for ever. A worker that restarts, or a server that does, must not end the watch. */
  patienceMs?: number;
}

const ANSWER_MS = 10_000;
const COMMAND_MS = 30_000;
/** A table is loaded, or the task stopped, changed and started again, before the answer comes. */
const TABLE_COMMAND_MS = 600_000;

export class MigrationHandle {
  readonly id: string;
  private readonly client: Client;
  private readonly workflow: WorkflowHandle;

  constructor(client: Client, id: string) {
    this.client = client;
    this.id = id;
    this.workflow = client.workflow.getHandle(id);
  }

  /**
   * What it does now. An ended migration is answered by its result, without a worker.
   * @throws NoMigration, NoWorker, Unreachable; EndedUncleanly where the workflow was terminated, timed out or failed by
   *   a bug: that is never reported as a phase
   */
  async status(): Promise<LiveStatus> {
    const description = await this.describe();
    if (description.status.name !== 'RUNNING') return merged(await this.lastStatus(description), []);
    const [status, activities] = await Promise.all([
      this.ask(description, () => this.workflow.query(statusQuery)),
      pendingActivities(this.client, description),
    ]);
    return merged(status, activities);
  }

  /** The plan as the workflow declared it. @throws as `status` */
  async plan(): Promise<Plan> {
    const description = await this.describe();
    return this.ask(description, () => this.workflow.query(planQuery));
  }

  /** Opens the gate that waits. Every command: @throws Refused with the reason, NoMigration, NoWorker, Unreachable */
  approve(options?: CommandOptions): Promise<CommandAnswer> {
    return this.command('approve', options);
  }

  /** Stops at the border of the next step. */
  pause(options?: CommandOptions): Promise<CommandAnswer> {
    return this.command('pause', options);
  }

  resume(options?: CommandOptions): Promise<CommandAnswer> {
    return this.command('resume', options);
  }

  /** Tries the failed step again. */
  retry(options?: CommandOptions): Promise<CommandAnswer> {
    return this.command('retry', options);
  }

  /** Goes on without the failed step, where its plan allows that. */
  skip(options?: CommandOptions): Promise<CommandAnswer> {
    return this.command('skip', options);
  }

  /** Undoes what was done and ends. Refused once the target is the primary. */
  abort(options?: CommandOptions): Promise<CommandAnswer> {
    return this.command('abort', options);
  }

  /** Any command by its name. */
  command(command: Command, options: CommandOptions = {}): Promise<CommandAnswer> {
    const { by = operatorName(), reason, step, confirm } = options;
    const input: CommandInput = {
      by,
      ...(reason ? { reason } : {}),
      ...(step ? { step } : {}),
      ...(confirm ? { confirm } : {}),
    };
    return this.update(command, options, () => this.workflow.executeUpdate(commandUpdates[command], { args: [input] }));
  }

  /**
   * Loads one table of a Postgres migration again, while the others go on; with `validateOnly` its rows are only compared
   * again. `table`: `schema.table`. @throws as `approve`
   */
  reloadTable(
    table: string,
    options: CommandOptions & { validateOnly?: boolean | undefined } = {},
  ): Promise<CommandAnswer> {
    return this.update('reload-table', { timeoutMs: TABLE_COMMAND_MS, ...options }, () =>
      this.workflow.executeUpdate(reloadTableUpdate, {
        args: [{ ...tableInput(table, options), ...(options.validateOnly ? { validateOnly: true } : {}) }],
      }),
    );
  }

  /** Takes one table out of a Postgres migration: it will not be on the target. @throws as `approve` */
  leaveOutTable(table: string, options: CommandOptions = {}): Promise<CommandAnswer> {
    return this.update('leave-out-table', { timeoutMs: TABLE_COMMAND_MS, ...options }, () =>
      this.workflow.executeUpdate(leaveOutTableUpdate, { args: [tableInput(table, options)] }),
    );
  }

  private async update(
    command: string,
    { timeoutMs = COMMAND_MS }: CommandOptions,
    send: () => Promise<CommandAnswer>,
  ): Promise<CommandAnswer> {
    const description = await this.describe();
    if (description.status.name !== 'RUNNING') throw new Refused(command, 'the migration has ended');
    // Asked first, and nothing is sent without one: a command must not wait for a worker, and act hours later.
    await expectWorker(this.client, description.taskQueue);
    try {
      return await call(this.client, timeoutMs, send);
    } catch (error) {
      throw commandFailure(error, {
        command,
        id: this.id,
        address: addressOf(this.client),
        taskQueue: description.taskQueue,
        timeoutMs,
      });
    }
  }

  /**
   * Every change of the status, the first at once, until it has ended.
   * @throws EndedUncleanly, NoMigration; NoWorker and Unreachable after `patienceMs`
   */
  async *watch(options: WatchOptions = {}): AsyncGenerator<LiveStatus, void, undefined> {
    const { intervalMs = 1000, signal, onTrouble, patienceMs = Infinity } = options;
    let seen = '';
    let answeredAt = Date.now();
    for (;;) {
      if (signal?.aborted) return;
      try {
        const status = await this.status();
        answeredAt = Date.now();
        const state = JSON.stringify(status);
        if (state !== seen) yield status;
        seen = state;
        if (ENDED.includes(status.phase)) return;
      } catch (error) {
        if (!(error instanceof NoWorker) && !(error instanceof Unreachable)) throw error;
        if (Date.now() - answeredAt > patienceMs) throw error;
        onTrouble?.(error);
      }
      await delay(intervalMs, undefined, signal ? { signal } : {}).catch(() => undefined);
    }
  }

  /**
   * Waits for the end. @returns the last status, of phase `done` or `aborted`: look at it
   * @throws EndedUncleanly, NoMigration, Unreachable
   */
  async result(): Promise<MigrationStatus> {
    return this.outcome(await this.describe());
  }

  /** The report of what it did: final once it has ended, of the time until now before. @throws as `status` */
  async report(): Promise<MigrationReport> {
    return reportOf(await this.status());
  }

  /** What Temporal itself knows of it. @throws NoMigration, Unreachable */
  async describe(): Promise<WorkflowExecutionDescription> {
    let description: WorkflowExecutionDescription;
    try {
      description = await call(this.client, ANSWER_MS, () => this.workflow.describe());
    } catch (error) {
      if (error instanceof WorkflowNotFoundError || grpcError(error)?.code === Grpc.NOT_FOUND) {
        const where = `namespace "${this.client.options.namespace}" at ${addressOf(this.client)}`;
        throw new NoMigration(`there is no migration "${this.id}" (${where})`, {
          mend: 'see which there are: npx cutover list --all',
          cause: error,
        });
      }
      throw error;
    }
    if (Object.values(WORKFLOW_TYPES).includes(description.type)) return description;
    throw new NoMigration(`"${this.id}" is a workflow of type ${description.type}, not a migration`, {
      mend: 'see which there are: npx cutover list --all',
    });
  }

  /** A query, in time; tells the missing worker from the silent server. */
  private async ask<T>(description: WorkflowExecutionDescription, query: () => Promise<T>): Promise<T> {
    const { taskQueue, typedSearchAttributes: attributes } = description;
    const [phase, step] = [attributes.get(SearchAttributes.phase), attributes.get(SearchAttributes.step)];
    const known = `; "${this.id}" said last: ${phase ?? 'nothing yet'}${step ? `, step ${step}` : ''}`;
    const until = Date.now() + ANSWER_MS;
    for (;;) {
      // Asked first: the server would keep a query for ten seconds for a worker that is not there.
      await expectWorker(this.client, taskQueue, known);
      try {
        return await call(this.client, Math.max(500, until - Date.now()), query);
      } catch (error) {
        const code = grpcError(error)?.code;
        if (code !== Grpc.FAILED_PRECONDITION && !(error instanceof Unreachable)) throw error;
        // Before the first task of a workflow has run, the server answers so at once.
        if (Date.now() >= until || code !== Grpc.FAILED_PRECONDITION) {
          const silent = `; one polled lately, but gave no answer in ${ANSWER_MS / 1000} s${known}`;
          throw new NoWorker(taskQueue, silent, 'no worker answers on the task queue');
        }
        await delay(200);
      }
    }
  }

  private async lastStatus(description: WorkflowExecutionDescription): Promise<MigrationStatus> {
    // A run that continued as new is closed, and the next one is not there yet for a moment.
    if (description.status.name === 'CONTINUED_AS_NEW') return this.status();
    return call(this.client, ANSWER_MS, () => this.outcome(description));
  }

  private async outcome(description: WorkflowExecutionDescription): Promise<MigrationStatus> {
    try {
      return (await this.workflow.result()) as MigrationStatus;
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) {
        if (error instanceof CutoverError) throw error;
        throw grpcError(error)
          ? new Unreachable(addressOf(this.client), 'Temporal no longer answers', { cause: error })
          : error;
      }
      const { cause } = error;
      if (cause instanceof ApplicationFailure && cause.type === ErrorType.aborted && cause.details?.[0])
        return cause.details[0] as MigrationStatus;
      const how = {
        TerminatedFailure: 'was terminated',
        TimeoutFailure: 'timed out',
        CancelledFailure: 'was cancelled',
      };
      throw new EndedUncleanly(
        this.id,
        how[cause?.name as keyof typeof how] ?? 'failed',
        cause ? reasonOf(cause).message : undefined,
        { file: description.memo?.['file'], cause: error },
      );
    }
  }
}

function tableInput(table: string, { by = operatorName(), reason }: CommandOptions): TableCommandInput {
  return { table, by, ...(reason ? { reason } : {}) };
}
