/** What goes on beside the moving of rows: validation, heartbeats, the status and history tables. */
import { setTimeout as delay } from 'node:timers/promises';
import type { TableKey } from './decoding.ts';
import { beat, heartbeatMs } from './heartbeat.ts';
import type { Run } from './run.ts';
import { withSession } from './sessions.ts';
import type { ValidationFigures } from './statistics.ts';
import { ValidatedTable } from './validated-table.ts';
import { validateOn, validateRound } from './validation.ts';

const STATUS_MS = 2_000;

export class Sidelines {
  private run: Run;
  private readonly backlog: () => number;
  private readonly tables = new Map<TableKey, ValidatedTable>();
  private going: Promise<unknown> = Promise.resolve();

  constructor(run: Run, backlog: () => number) {
    this.run = run;
    this.backlog = backlog;
    if (!run.settings.validation) return;
    for (const key of Object.keys(run.state.tables)) this.tables.set(key, new ValidatedTable());
  }

  /** A new attempt has new connections and a new signal. What failed of the old one's rounds is no matter. */
  async moveTo(run: Run): Promise<void> {
    await this.going;
    this.run = run;
    this.going = Promise.allSettled([
      this.tables.size === 0 || run.spec.migrationType === 'full-load' ? undefined : validateOn(run, this.tables),
      this.heartbeats(run),
      this.status(run),
    ]);
  }

  /** A row was changed on the target. */
  touched(table: TableKey, key: (string | null)[]): void {
    if (key.length > 0) this.tables.get(table)?.touch(key.map((value) => value ?? ''));
  }

  revalidate(keys: TableKey[]): void {
    for (const key of keys) this.tables.get(key)?.restart();
  }

  validationOf(key: TableKey): ValidationFigures | undefined {
    const table = this.tables.get(key);
    if (table === undefined) return undefined;
    const state = this.run.state.tables[key];
    const figures = table.figures();
    if (state?.suspended === true) return { ...figures, ValidationState: 'Table error' };
    return state?.table.key.length === 0 ? { ...figures, ValidationState: 'No primary key' } : figures;
  }

  /** For a task that ends with its load: until each table is compared. */
  async validated(run: Run): Promise<void> {
    const open = (): boolean =>
      [...this.tables].some(([key, table]) => {
        const state = run.state.tables[key];
        return state?.state === 'Table completed' && state.table.key.length > 0 && !table.settled;
      });
    while (open() && !run.ended.aborted) {
      await validateRound(run, this.tables);
      if (open()) await delay(250, undefined, { signal: run.ended });
    }
  }

  private async heartbeats(run: Run): Promise<void> {
    const every = heartbeatMs(run.spec);
    if (every === undefined) return;
    while (!run.ended.aborted) {
      await beat(run.spec).catch(() => {}); // A source that is away is the follower's matter.
      await delay(every, undefined, { signal: run.ended });
    }
  }

  private async status(run: Run): Promise<void> {
    const { settings, control, spec } = run;
    if (!settings.statusTable && !settings.historyTable) return;
    while (!run.ended.aborted) {
      const slot = Math.floor(Date.now() / settings.historySlotMs) * settings.historySlotMs;
      const applied = Object.values(run.state.tables).reduce(
        (sum, { applied }) => sum + applied.inserts + applied.updates + applied.deletes,
        0,
      );
      await withSession(spec.target, 'target', spec.id, async (client) => {
        await control.status(client, run.state, this.backlog());
        await control.history(client, slot, settings.historySlotMs, applied);
      }).catch(() => {}); // Nothing of the migration hangs on them.
      await delay(STATUS_MS, undefined, { signal: run.ended });
    }
  }

  async close(): Promise<void> {
    await this.going;
  }
}
