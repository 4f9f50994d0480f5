/** One replication task: its life from start() to its end. */
import { setMaxListeners } from 'node:events';
import { rmSync } from 'node:fs';
import type {
  EngineScript,
  EngineStats,
  EngineTableStatistics,
  OnEnd,
  StartType,
  StopReason,
  TaskEngine,
  TaskSpec,
} from './contract.ts';
import { EngineRefusal } from './contract.ts';
import { settlePending } from './applier.ts';
import { ControlTables } from './control-tables.ts';
import { tableKey } from './decoding.ts';
import { Ended, messageOf, TaskFailure } from './failures.ts';
import { Follower, logEnd } from './follower.ts';
import { loadOne, loadTables } from './load-phase.ts';
import { lsnOf, lsnText } from './lsn.ts';
import { Reloads } from './reloads.ts';
import { Retrying } from './retrying.ts';
import type { Run } from './run.ts';
import { withSession } from './sessions.ts';
import { dropSlot, requireSlot } from './slot.ts';
import { StateFile, type TaskState } from './state.ts';
import { newState } from './task-begin.ts';
import { takeMappings } from './task-resume.ts';
import { endpointFlag, taskSettingsOf, type TaskSettings } from './task-settings.ts';
import { statisticsOf, statsOf } from './statistics.ts';
import { Sidelines } from './sidelines.ts';

export class Task implements TaskEngine {
  private readonly spec: TaskSpec;
  private readonly onEnd: OnEnd;
  private readonly file: StateFile;
  private readonly settings: TaskSettings;
  private readonly control: ControlTables;
  private readonly scripted: EngineScript = {};
  private state: TaskState | undefined;
  private working: Promise<void> | undefined;
  private stopping = new AbortController();
  private follower: Follower | undefined;
  private reloads: Reloads | undefined;
  private sidelines: Sidelines | undefined;
  private run: Run | undefined;

  constructor(spec: TaskSpec, onEnd: OnEnd) {
    this.spec = spec;
    this.onEnd = onEnd;
    this.file = new StateFile(spec.dir);
    this.settings = taskSettingsOf(spec.settings);
    this.control = new ControlTables(spec, this.settings);
    this.state = this.file.read();
  }

  async start(type: StartType): Promise<void> {
    if (this.working !== undefined) throw new Error(`Replication Task '${this.spec.id}' is already running`);
    const { spec } = this;
    if (type === 'resume-processing' && this.state === undefined) {
      throw new Error(`Replication Task '${spec.id}' cannot be resumed: it has not run yet`);
    }
    this.stopping = new AbortController();
    setMaxListeners(0, this.stopping.signal);
    await withSession(spec.target, 'target', spec.id, (client) => this.control.make(client));
    if (type === 'resume-processing' && this.state !== undefined) {
      // That the slot is gone is told as the end of a task that was running, as DMS does.
      const { state } = this;
      await withSession(spec.source, 'source', spec.id, (client) => takeMappings(client, spec, this.settings, state));
      delete state.dates.stop;
    } else {
      if (this.state?.slotOwned === true) await dropSlot(spec, this.state.slot);
      this.state = await newState(spec, this.settings);
    }
    this.state.dates.start = Date.now();
    this.file.write(this.state);
    this.sidelines = new Sidelines(this.makeRun(this.stopping.signal), () => this.follower?.backlog ?? 0);
    this.working = this.work();
  }

  private makeRun(ended: AbortSignal): Run {
    if (this.state === undefined) throw new Error('the task has no state');
    const { spec, settings, state, file, control, scripted: script } = this;
    const numericAsString = [spec.source, spec.target].every((end) =>
      endpointFlag(end.settings, 'MapUnboundedNumericAsString'),
    );
    const moves = { lobs: settings.lobs, lobMaxSize: settings.lobMaxSize, numericAsString };
    return { spec, settings, moves, state, file, control, plans: new Map(), script, ended, loadedRows: 0 };
  }

  /** Never rejects: how it ends is told through onEnd. */
  private async work(): Promise<void> {
    const retrying = new Retrying(this.settings);
    const { signal } = this.stopping;
    let end: { status: 'stopped' | 'failed'; reason: StopReason; message?: string } | undefined;
    while (end === undefined && !signal.aborted) {
      const position = this.state?.position;
      try {
        end = { status: 'stopped', reason: await this.attempt() };
      } catch (error) {
        if (signal.aborted) break;
        if (this.state?.position !== position) retrying.reset();
        try {
          await retrying.after(error, signal);
          this.state = this.file.read() ?? this.state;
        } catch (last) {
          if (signal.aborted) break;
          const reason = last instanceof TaskFailure ? last.reason : 'FATAL_ERROR';
          end = { status: 'failed', reason, message: messageOf(last) };
        }
      }
    }
    await this.sidelines?.close();
    const { state } = this;
    if (state !== undefined) {
      state.dates.stop = Date.now();
      state.elapsedMs += state.dates.stop - (state.dates.start ?? state.dates.stop);
      this.file.write({ ...state, ...pendingOf(this.file) });
    }
    this.working = undefined;
    if (end !== undefined) this.onEnd(end);
  }

  /** From wherever the state is to the task's end, on one set of connections. */
  private async attempt(): Promise<StopReason> {
    const inner = new AbortController();
    setMaxListeners(0, inner.signal); // Each table that is loaded listens, and there may be 49 at once.
    const { signal } = this.stopping;
    const stop = (): void => inner.abort();
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const run = this.makeRun(inner.signal);
    this.run = run;
    try {
      await this.sidelines?.moveTo(run);
      return await this.phases(run, inner);
    } finally {
      inner.abort();
      signal.removeEventListener('abort', stop);
      const { follower, reloads } = this;
      this.follower = undefined;
      this.reloads = undefined;
      await follower?.close();
      await reloads?.close(); // Before the next attempt: a load of this one writes its own state of the task.
    }
  }

  private async phases(run: Run, inner: AbortController): Promise<StopReason> {
    const { spec, state, settings } = run;
    if (settings.failOnNoTables && Object.keys(state.tables).length === 0) {
      throw new TaskFailure(
        'FATAL_ERROR',
        'No tables were found at task initialization. Either the selected table(s) or schema(s) no longer exist or no match was found for the table selection pattern(s).',
      );
    }
    const follows = spec.migrationType !== 'full-load';
    if (follows) await requireSlot(spec, state.slot);
    await withSession(spec.target, 'target', spec.id, (client) => settlePending(run, client));
    if (state.phase === 'load') {
      if (!settings.validationOnly) await loadTables(run, () => inner.abort());
      if (!follows) {
        await this.sidelines?.validated(run);
        state.phase = 'done';
        return 'FULL_LOAD_ONLY_FINISHED';
      }
      state.cachedUntil = lsnText(await withSession(spec.source, 'source', spec.id, logEnd));
      state.phase = 'cached';
      run.file.write(state);
      if (settings.stopBeforeCached) return 'STOPPED_AFTER_FULL_LOAD';
    }
    if (!follows) return 'FULL_LOAD_ONLY_FINISHED';
    this.reloads = new Reloads(run, (key, first) => loadOne(run, key, first ? 'late' : 'again'));
    this.follower = new Follower(run, this.reloads, (table, key) => this.sidelines?.touched(table, key));
    if (state.phase === 'cached') {
      await this.follower.follow(true, lsnOf(state.cachedUntil ?? '0/0'));
      state.phase = 'cdc';
      run.file.write(state);
      if (settings.stopAfterCached) return 'STOPPED_AFTER_CACHED_EVENTS';
    }
    await this.follower.follow(false);
    throw new Ended('stopped');
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.working;
  }

  // oxlint-disable-next-line typescript/require-await -- refusals are rejections
  async reloadTables(
    tables: { schema: string; table: string }[],
    option: 'data-reload' | 'validate-only',
  ): Promise<void> {
    const { run, state } = this;
    if (run === undefined || state === undefined || this.working === undefined) {
      throw new EngineRefusal('state', `Replication Task '${this.spec.id}' is not running`);
    }
    const keys = tables.map(({ schema, table }) => tableKey(schema, table));
    const unknown = keys.find((key) => state.tables[key] === undefined);
    if (unknown !== undefined) throw new EngineRefusal('value', `Table ${unknown} is not part of the task`);
    if (option === 'validate-only') return this.sidelines?.revalidate(keys);
    if (this.reloads === undefined) {
      throw new EngineRefusal('state', 'Tables can be reloaded once the full load of the task is through');
    }
    for (const key of keys) this.reloads.ask(key);
  }

  tableStatistics(): EngineTableStatistics[] {
    const { state } = this;
    return state === undefined
      ? []
      : statisticsOf(state, this.follower?.waiting, (key) => this.sidelines?.validationOf(key));
  }

  stats(): EngineStats {
    return statsOf(this.state, this.working !== undefined);
  }

  latency(): { source: number; target: number } {
    return this.follower?.latency() ?? { source: 0, target: 0 };
  }

  script(script: EngineScript): void {
    // The object stays: what runs holds it.
    for (const key of Object.keys(this.scripted) as (keyof EngineScript)[]) delete this.scripted[key];
    Object.assign(this.scripted, script);
  }

  async remove(): Promise<void> {
    await this.stop();
    if (this.state?.slotOwned === true && this.state.slot !== '') await dropSlot(this.spec, this.state.slot);
    this.state = undefined;
    rmSync(this.spec.dir, { recursive: true, force: true });
  }
}

/** A commit whose answer never came is settled at the next start. */
function pendingOf(file: StateFile): Pick<TaskState, 'pending'> {
  const pending = file.read()?.pending;
  return pending === undefined ? {} : { pending };
}
