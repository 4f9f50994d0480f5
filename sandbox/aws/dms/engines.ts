import { setTimeout as delay } from 'node:timers/promises';
import type {
  EngineEndpoint,
  EngineScript,
  OnEnd,
  OpenTaskEngine,
  TaskEngine,
  TaskSpec,
  TestConnection,
} from './engine/contract.ts';

/** How long engines get to end when the sandbox does, in milliseconds. */
const STOP_MS = 10_000;

/** What really moves the rows, and really connects. */
export interface DmsParts {
  openTaskEngine: OpenTaskEngine;
  testConnection: TestConnection;
}

/** The engines of the tasks that were started, by the task's ARN; an ended one is kept, because it knows the statistics. */
export class Engines {
  readonly #parts: () => Promise<DmsParts>;
  readonly #engines = new Map<string, TaskEngine>();
  readonly #scripts = new Map<string, EngineScript>();
  #stopped = false;

  constructor(parts: () => Promise<DmsParts>) {
    this.#parts = parts;
  }

  async testConnection(endpoint: EngineEndpoint, type: 'source' | 'target'): ReturnType<TestConnection> {
    return (await this.#parts()).testConnection(endpoint, type);
  }

  /** Opens a task's engine with the spec as it is now, in place of the one there was, which must have ended. */
  async open(arn: string, spec: TaskSpec, onEnd: OnEnd): Promise<TaskEngine> {
    return this.#openWith(await this.#parts(), arn, spec, onEnd);
  }

  /** The task's engine, opened where it is not. */
  async known(arn: string, spec: () => TaskSpec, onEnd: OnEnd): Promise<TaskEngine> {
    const parts = await this.#parts();
    // Nothing is awaited from here on: two calls at a time must not open two.
    return this.#engines.get(arn) ?? this.#openWith(parts, arn, spec(), onEnd);
  }

  get(arn: string): TaskEngine | undefined {
    return this.#engines.get(arn);
  }

  /** For the engine that is open, and those opened for this task later. */
  script(arn: string, script: EngineScript): void {
    this.#scripts.set(arn, script);
    this.#engines.get(arn)?.script(script);
  }

  forget(arn: string): void {
    this.#engines.delete(arn);
    this.#scripts.delete(arn);
  }

  /** Without the scripts of tests. */
  reset(): void {
    this.#scripts.clear();
    for (const engine of this.#engines.values()) engine.script({});
  }

  /** Ends all without a word to the tasks: what ran is taken up at the next start of the sandbox. */
  async stopAll(): Promise<void> {
    this.#stopped = true;
    const engines = [...this.#engines.values()];
    this.#engines.clear();
    const all = Promise.allSettled(engines.map((engine) => engine.stop()));
    // A database that hangs must not keep the sandbox from ending.
    const limit = new AbortController();
    await Promise.race([all, delay(STOP_MS, undefined, { signal: limit.signal })]);
    limit.abort();
  }

  #openWith({ openTaskEngine }: DmsParts, arn: string, spec: TaskSpec, onEnd: OnEnd): TaskEngine {
    // Nobody would end it.
    if (this.#stopped) throw new Error('The sandbox is being stopped.');
    const engine = openTaskEngine(spec, (end) => {
      // An engine that was replaced has nothing to say any more.
      if (this.#engines.get(arn) === engine) onEnd(end);
    });
    this.#engines.set(arn, engine);
    const script = this.#scripts.get(arn);
    if (script !== undefined) engine.script(script);
    return engine;
  }
}

/** The part of the cloud that DMS's own files add to it. */
export interface DmsCloud {
  readonly engines: Engines;
}
