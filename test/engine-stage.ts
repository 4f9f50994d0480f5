/** A real Temporal server and a worker in this process whose activities are played by the test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CancelledFailure, Context } from '@temporalio/activity';
import { WorkflowFailedError, WorkflowUpdateFailedError, type Client, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { expect } from 'vitest';
import { connect } from '../client/index.ts';
import { startTemporal, type TemporalServer } from '../sandbox/runtime/temporal.ts';
import {
  commandUpdates,
  REFUSED,
  SearchAttributes,
  statusQuery,
  taskQueues,
  type Command,
  type CommandAnswer,
  type CommandInput,
} from '../spec/contract.ts';
import type { MigrationStatus, Phase } from '../spec/status.ts';
import type { GateReading } from '../workflows/gate.ts';
import { SEARCH_ATTRIBUTES, until } from './stage/stage.ts';
import type { Call, Part, Script, ScriptInput } from './workflows/engine.ts';

const QUEUE = 'engine';
const BEAT_MS = 100;
const LOOK_AGAIN_MS = 20;

/** What an activity is told beside its name. */
export interface Playing {
  arg: unknown;
  attempt: number;
  /** Rejects with CancelledFailure once the activity is cancelled. */
  cancelled: Promise<never>;
}
type Handler = (playing: Playing) => unknown;

/** One workflow of a script, and what its activities do. */
export class Play {
  readonly id: string;
  readonly handle: WorkflowHandle;
  /** What the activities did, in order: `copy begins`, `copy ends`, `copy fails`, `copy is cancelled`. */
  readonly log: string[] = [];
  private readonly handlers = new Map<string, Handler>();
  private readonly readings = new Map<string, GateReading>();

  constructor(client: Client, id: string) {
    this.id = id;
    this.handle = client.workflow.getHandle(id);
  }

  /** What the activity of that name does from now on; what is not told returns its own name. */
  on(name: string, handler: Handler): this {
    this.handlers.set(name, handler);
    return this;
  }

  /** As `on`, for its next call alone. */
  once(name: string, handler: Handler): this {
    const before = this.handlers.get(name);
    return this.on(name, (playing) => {
      if (before) this.handlers.set(name, before);
      else this.handlers.delete(name);
      return handler(playing);
    });
  }

  /** What the watcher of that gate sees from now on. Its activity returns at each change. */
  read(gate: string, reading: GateReading): this {
    this.readings.set(gate, reading);
    return this;
  }

  /** Holds the activity until it is let go, whether or not it is cancelled meanwhile. */
  hold(name: string): { begun: Promise<void>; letGo: (value?: unknown) => void } {
    const begun = promised<void>();
    const free = promised<unknown>();
    this.once(name, ({ cancelled }) => {
      cancelled.catch(() => {});
      begun.resolve();
      return free.promise;
    });
    return { begun: begun.promise, letGo: (value) => free.resolve(value) };
  }

  async perform({ name, arg }: Call): Promise<unknown> {
    const context = Context.current();
    const beats = setInterval(() => context.heartbeat(), BEAT_MS);
    if (!name.startsWith('watch-')) this.log.push(`${name} begins`);
    try {
      const handler =
        this.handlers.get(name) ?? (name.startsWith('watch-') ? this.watching(name.slice(6)) : () => name);
      const value = await handler({ arg, attempt: context.info.attempt, cancelled: context.cancelled });
      if (!name.startsWith('watch-')) this.log.push(`${name} ends`);
      return value;
    } catch (error) {
      if (!name.startsWith('watch-'))
        this.log.push(`${name} ${error instanceof CancelledFailure ? 'is cancelled' : 'fails'}`);
      throw error;
    } finally {
      clearInterval(beats);
    }
  }

  private watching(gate: string): Handler {
    return async ({ arg, cancelled }) => {
      cancelled.catch(() => {});
      for (;;) {
        const reading = this.readings.get(gate);
        if (reading && JSON.stringify(reading) !== JSON.stringify(arg)) return reading;
        await Promise.race([delay(LOOK_AGAIN_MS), cancelled]);
      }
    };
  }

  status(): Promise<MigrationStatus> {
    return this.handle.query(statusQuery);
  }

  async until(what: string, holds: (status: MigrationStatus) => boolean): Promise<MigrationStatus> {
    let last: MigrationStatus | undefined;
    const look = async () => {
      last = await this.status();
      return holds(last) ? last : undefined;
    };
    return until(`${this.id}: ${what}`, look).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}\n${this.log.join(', ')}\n${JSON.stringify(last, null, 1)}`);
    });
  }

  untilPhase(phase: Phase): Promise<MigrationStatus> {
    return this.until(phase, (status) => status.phase === phase);
  }

  command(command: Command, input: Partial<CommandInput> = {}): Promise<CommandAnswer> {
    return this.handle.executeUpdate(commandUpdates[command], { args: [{ by: 'ann', ...input }] });
  }

  /** The reason of the refusal. Fails where the command is taken. */
  async refused(command: Command, input: Partial<CommandInput> = {}): Promise<string> {
    const error: unknown = await this.command(command, input).then(
      ({ message }) => new Error(`${command} was taken: ${message}`),
      (error: unknown) => error,
    );
    if (!(error instanceof WorkflowUpdateFailedError) || !(error.cause instanceof ApplicationFailure)) throw error;
    expect(error.cause.type).toBe(REFUSED);
    return error.cause.message;
  }

  async done(): Promise<MigrationStatus> {
    return (await this.handle.result()) as MigrationStatus;
  }

  /** Waits for the end, which has to be an abort; the status that the failure carries. */
  async aborted(): Promise<MigrationStatus> {
    const error: unknown = await this.handle.result().then(
      () => new Error(`${this.id} is done, and not aborted`),
      (error: unknown) => error,
    );
    if (!(error instanceof WorkflowFailedError) || !(error.cause instanceof ApplicationFailure)) throw error;
    expect(error.cause.type).toBe('cutover.Aborted');
    expect((await this.handle.describe()).status.name).toBe('FAILED');
    return error.cause.details![0] as MigrationStatus;
  }
}

export interface EngineStage {
  client: Client;
  server: TemporalServer;
  /** Starts a workflow of that script. `prepare` runs before, so that no activity comes too early. */
  start(id: string, parts: Part[], prepare?: (play: Play) => void, more?: Partial<Script>): Promise<Play>;
  /** Replays all that ran here with the code of now: fails where a workflow is not deterministic. */
  replayAll(): Promise<number>;
  close(): Promise<void>;
}

export async function openEngineStage(options: { dynamicConfig?: string[] } = {}): Promise<EngineStage> {
  const quiet = new DefaultLogger('ERROR');
  Runtime.install({ logger: quiet });
  const dir = mkdtempSync(join(tmpdir(), 'cutover-engine-'));
  const { dynamicConfig = [] } = options;
  const server = await startTemporal({ dir, searchAttributes: SEARCH_ATTRIBUTES, dynamicConfig });
  const workflowsPath = fileURLToPath(new URL('./workflows/engine.ts', import.meta.url));
  const workflowBundle = await bundleWorkflowCode({ workflowsPath, logger: quiet });
  const client = await connect({ address: server.address });
  const connection = await NativeConnection.connect({ address: server.address });
  const plays = new Map<string, Play>();
  const activities = {
    call: (given: Call) => plays.get(Context.current().info.workflowExecution!.workflowId)!.perform(given),
  };
  const queues = taskQueues(QUEUE);
  const shared = { connection, activities, maxHeartbeatThrottleInterval: BEAT_MS };
  const workers = await Promise.all([
    Worker.create({ ...shared, taskQueue: queues.main, workflowBundle }),
    Worker.create({ ...shared, taskQueue: queues.wait }),
    Worker.create({ ...shared, taskQueue: queues.copy }),
  ]);
  const running = workers.map((worker) => worker.run());

  return {
    client,
    server,
    async start(id, parts, prepare, more) {
      const play = new Play(client, id);
      plays.set(id, play);
      prepare?.(play);
      const migration: Script = { kind: 'engine-test', id, crashDetection: 10_000, parts, ...more };
      const input: ScriptInput = { migration, startedBy: 'a test', taskQueue: QUEUE };
      await client.workflow.start('engineTest', {
        workflowId: id,
        taskQueue: QUEUE,
        args: [input],
        memo: { kind: 'engine-test' },
        staticSummary: 'here → there',
        typedSearchAttributes: [{ key: SearchAttributes.kind, value: 'engine-test' }],
      });
      return play;
    },
    async replayAll() {
      let replayed = 0;
      const histories = client.workflow.list().intoHistories();
      for await (const result of Worker.runReplayHistories({ workflowBundle }, histories)) {
        if (result.error) throw new Error(`${result.workflowId} does not replay`, { cause: result.error });
        replayed += 1;
      }
      return replayed;
    },
    async close() {
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
      await connection.close();
      await client.connection.close();
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function promised<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}

/** Fails the activity for good. */
export function fatal(message: string, details: Record<string, unknown> = {}): never {
  throw ApplicationFailure.create({ message, type: 'cutover.Invalid', nonRetryable: true, details: [details] });
}

/** Fails this attempt of the activity. */
export function passing(message: string): never {
  throw ApplicationFailure.create({ message, type: 'cutover.Busy', nextRetryDelay: '10ms' });
}

export const stepOf = (status: MigrationStatus, id: string) => status.steps.find((step) => step.id === id)!;
