import type {
  EngineEnd,
  EngineScript,
  EngineTableStatistics,
  OnEnd,
  StartType,
  TaskEngine,
  TaskSpec,
} from '../sandbox/aws/dms/engine/contract.ts';
import type { DmsParts } from '../sandbox/aws/dms/engines.ts';

/** An engine that keeps what it was told, for tests of the control plane alone. */
export class FakeEngine implements TaskEngine {
  readonly spec: TaskSpec;
  readonly calls: string[] = [];
  readonly scripts: EngineScript[] = [];
  tables: EngineTableStatistics[] = [];
  readonly #onEnd: OnEnd;
  readonly #owner: FakeEngines;

  constructor(spec: TaskSpec, onEnd: OnEnd, owner: FakeEngines) {
    this.spec = spec;
    this.#onEnd = onEnd;
    this.#owner = owner;
    this.tables = Array.from({ length: owner.tables }, (_, i) => table(`t${String(i).padStart(4, '0')}`));
  }

  async start(type: StartType): Promise<void> {
    this.calls.push(`start ${type}`);
    if (this.#owner.startFailure !== undefined) throw new Error(this.#owner.startFailure);
    if (this.#owner.startHangs) await new Promise(() => {});
    if (this.#owner.endAtStart !== undefined) this.#onEnd(this.#owner.endAtStart);
  }

  stop(): Promise<void> {
    this.calls.push('stop');
    return Promise.resolve();
  }

  reloadTables(tables: { schema: string; table: string }[], option: string): Promise<void> {
    this.calls.push(`reload ${tables.map((one) => `${one.schema}.${one.table}`).join(',')} ${option}`);
    const { reloadFailure } = this.#owner;
    return reloadFailure === undefined ? Promise.resolve() : Promise.reject(reloadFailure);
  }

  tableStatistics(): EngineTableStatistics[] {
    return this.tables;
  }

  stats(): ReturnType<TaskEngine['stats']> {
    return {
      FullLoadProgressPercent: 50,
      ElapsedTimeMillis: 7,
      TablesLoaded: 1,
      TablesLoading: 2,
      TablesQueued: 3,
      TablesErrored: 4,
      FullLoadStartDate: Date.parse('2026-01-02T03:04:05.678Z'),
    };
  }

  latency(): { source: number; target: number } {
    return { source: 1, target: 2 };
  }

  script(script: EngineScript): void {
    this.scripts.push(script);
  }

  remove(): Promise<void> {
    this.calls.push('remove');
    return Promise.resolve();
  }

  /** As if it ended by itself. */
  end(end: EngineEnd): void {
    this.#onEnd(end);
  }
}

export class FakeEngines {
  readonly opened: FakeEngine[] = [];
  tables = 3;
  startFailure: string | undefined;
  startHangs = false;
  reloadFailure: Error | undefined;
  endAtStart: EngineEnd | undefined;
  /** By endpoint user: why a connection can't be made. */
  readonly refused = new Map<string, string>();

  readonly parts: DmsParts = {
    openTaskEngine: (spec, onEnd) => {
      const engine = new FakeEngine(spec, onEnd, this);
      this.opened.push(engine);
      return engine;
    },
    testConnection: (endpoint) => {
      const message = this.refused.get(endpoint.user);
      return Promise.resolve(message === undefined ? { ok: true } : { ok: false, message });
    },
  };

  get last(): FakeEngine {
    const engine = this.opened.at(-1);
    if (engine === undefined) throw new Error('No engine was opened.');
    return engine;
  }
}

function table(name: string): EngineTableStatistics {
  return {
    SchemaName: 'public',
    TableName: name,
    Inserts: 1,
    Deletes: 2,
    Updates: 3,
    Ddls: 0,
    AppliedInserts: 1,
    AppliedDeletes: 2,
    AppliedUpdates: 3,
    AppliedDdls: 0,
    FullLoadRows: 10,
    FullLoadStartTime: Date.parse('2026-01-02T03:04:05.678Z'),
    FullLoadReloaded: false,
    LastUpdateTime: Date.parse('2026-01-02T03:04:06Z'),
    TableState: 'Table completed',
    ValidationPendingRecords: 0,
    ValidationFailedRecords: 0,
    ValidationSuspendedRecords: 0,
    ValidationState: 'Validated',
  };
}
