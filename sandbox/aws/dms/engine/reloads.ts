/** ReloadTables: a table is loaded again while the others go on; or for the first time, where the mappings took it in late. */
import type { Change } from './change-stream.ts';
import type { TableKey } from './decoding.ts';
import { messageOf } from './failures.ts';
import { tableState, type Run } from './run.ts';

/** Of a table whose load a kill or a stop broke off, or that was not begun. */
const UNFINISHED = ['Table is being reloaded', 'Before load', 'Full load'];

interface Reload {
  /** Its changes since the load began, kept until that is through. */
  kept: { xid: number; changes: Change[] }[];
  done: boolean;
  failure?: unknown;
}

/**
 * Starts and finishes between two transactions only, so that each change of a table goes to one of the two: applied at
 * once, or kept. A kill in between loses the kept ones, hence the table is then loaded anew, from a newer snapshot.
 */
export class Reloads {
  private readonly run: Run;
  private readonly load: (key: TableKey, first: boolean) => Promise<void>;
  private readonly asked = new Set<TableKey>();
  private readonly going = new Map<TableKey, Reload>();
  private readonly loads = new Set<Promise<void>>();

  /** @param load with whether it is the table's first: the mappings took it in when the full load was through already */
  constructor(run: Run, load: (key: TableKey, first: boolean) => Promise<void>) {
    this.run = run;
    this.load = load;
    for (const [key, table] of Object.entries(run.state.tables)) {
      if (UNFINISHED.includes(table.state)) this.asked.add(key);
    }
  }

  ask(key: TableKey): void {
    const table = tableState(this.run, key);
    table.state = 'Table is being reloaded';
    this.run.file.write(this.run.state);
    this.asked.add(key);
  }

  keeps(change: Change, xid: number): boolean {
    const reload = this.going.get(change.table);
    if (reload === undefined) return false;
    const last = reload.kept.at(-1);
    if (last?.xid === xid) last.changes.push(change);
    else reload.kept.push({ xid, changes: [change] });
    return true;
  }

  /** @param apply applies and commits changes that were kept */
  async atBoundary(apply: (xid: number, changes: Change[]) => Promise<void>): Promise<void> {
    for (const [key, reload] of this.going) {
      if (!reload.done) continue;
      this.going.delete(key);
      if (reload.failure !== undefined) throw reload.failure;
      for (const { xid, changes } of reload.kept) await apply(xid, changes);
      const table = tableState(this.run, key);
      if (!table.suspended) table.state = 'Table completed';
      this.run.file.write(this.run.state);
    }
    for (const key of this.asked) {
      if (this.going.has(key)) continue;
      this.asked.delete(key);
      const reload: Reload = { kept: [], done: false };
      this.going.set(key, reload);
      const first = tableState(this.run, key).state !== 'Table is being reloaded';
      const load = this.load(key, first).then(
        () => void (reload.done = true),
        (error: unknown) => {
          reload.failure = error instanceof Error ? error : new Error(messageOf(error));
          reload.done = true;
        },
      );
      this.loads.add(load);
      void load.finally(() => this.loads.delete(load));
    }
  }

  /** Resolves when no load is at work any more; the run has ended, and that cuts them off. */
  async close(): Promise<void> {
    await Promise.all(this.loads);
  }
}
