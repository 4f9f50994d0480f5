/** What only a row of readings tells: readiness, and that nothing moves any more. Pure but for the times it is given. */
import type { Postgres } from '../../spec/kind-postgres.ts';
import type { ReplicationState } from '../../spec/postgres-plan.ts';
import type { Judged } from './judge.ts';

type Rules = Pick<Postgres, 'ready'> & {
  replication: Pick<Postgres['replication'], 'stallAfter'>;
  cutover: Pick<Postgres['cutover'], 'verify'>;
};

/** What must survive a crash of the worker; in the heartbeat. */
export interface Memory {
  readings: number;
  /** When the last good reading was counted, epoch ms. */
  countedAt: number;
  movedAt: number;
  /** What is compared to tell whether something moved. */
  fingerprint: string;
}

export class Readiness {
  private readonly rules: Rules;
  private readonly validatedOnce: Set<string>;
  private memory: Memory;
  /** Every table was validated before this run of the watch. */
  private readonly provenBefore: boolean;

  constructor(rules: Rules, now: number, last?: ReplicationState, memory?: Memory) {
    this.rules = rules;
    this.validatedOnce = new Set();
    this.provenBefore = last?.ready ?? false;
    this.memory = memory ?? {
      readings: last?.readings ?? 0,
      countedAt: 0,
      movedAt: last?.stalledSince ?? now,
      fingerprint: '',
    };
  }

  get remembered(): Memory {
    return this.memory;
  }

  /** @param marker changes with every marker that arrives; `now`: epoch ms */
  take(judged: Judged, now: number, marker: string): ReplicationState {
    for (const table of judged.validatedTables) this.validatedOnce.add(table);
    const notReady = this.whyNot(judged);
    this.count(notReady === undefined, now);
    this.observe(judged, now, marker);
    const { pendingTables: _pending, validatedTables: _validated, nearlyTables: _nearly, ...state } = judged;
    const ready = this.memory.readings >= this.rules.ready.readings;
    const waiting = `${this.memory.readings} of ${this.rules.ready.readings} good readings in a row`;
    const stalled = now - this.memory.movedAt >= this.rules.replication.stallAfter;
    return {
      ...state,
      ...(stalled ? { stalledSince: this.memory.movedAt } : {}),
      readings: this.memory.readings,
      ready,
      ...(ready ? {} : { notReady: notReady ?? waiting }),
    };
  }

  private count(good: boolean, now: number): void {
    if (!good) {
      this.memory = { ...this.memory, readings: 0, countedAt: 0 };
      return;
    }
    // Readings closer together than the file asks for are one.
    if (now - this.memory.countedAt < this.rules.ready.interval) return;
    this.memory = { ...this.memory, readings: this.memory.readings + 1, countedAt: now };
  }

  private observe(judged: Judged, now: number, marker: string): void {
    const { phase, tables, rowsLoaded, changesApplied, percent } = judged;
    const rests = phase === 'load-done' || phase === 'stopped' || phase === 'failed';
    const fingerprint = [phase, tables.loaded, tables.loading, rowsLoaded, changesApplied, percent, marker].join(' ');
    // The first reading of a run has nothing to be compared with but what the last run said; a marker that came is a move.
    const first = this.memory.fingerprint === '' && marker === '';
    if (rests || (!first && fingerprint !== this.memory.fingerprint)) {
      this.memory = { ...this.memory, movedAt: now, fingerprint };
    } else this.memory = { ...this.memory, fingerprint };
  }

  private whyNot(judged: Judged): string | undefined {
    const { phase, engineState, tables, lagMs, problems, validation } = judged;
    const { maxLag } = this.rules.ready;
    if (phase !== 'following' || engineState !== 'running') return `the task is ${engineState}, ${phase}`;
    if (tables.total === 0) return 'the task shows no table yet';
    const [first] = problems;
    if (first) return first.table ? `${first.table}: ${first.reason}` : first.reason;
    if (tables.loaded < tables.total) return `${tables.loaded} of ${tables.total} tables are loaded`;
    if (lagMs === undefined) return 'no marker has arrived on the target yet';
    if (lagMs > maxLag) return `the lag is ${Math.round(lagMs / 1000)} s, more than ${maxLag / 1000} s`;
    if (!validation) return undefined;
    if (validation.failed + validation.suspended > 0) {
      return `validation: ${validation.failed} tables failed, ${validation.suspended} suspended`;
    }
    // Under writes a table is "pending" again and again, and a busy one always: its newest rows wait. It must have been
    // found equal once, or only a few rows wait and the checksum inside the fence shows the rest.
    const nearly = this.rules.cutover.verify === 'checksum' ? judged.nearlyTables : [];
    const unproven = judged.pendingTables.filter(
      (table) => !this.provenBefore && !this.validatedOnce.has(table) && !nearly.includes(table),
    );
    return unproven.length > 0
      ? `validation is pending for ${unproven.length} tables: ${unproven.slice(0, 5).join(', ')}`
      : undefined;
  }
}

/** Another phase, another tenth of the load, ready or not any more, another table failed, a problem or none, a stop, a stall. */
export function isMaterial(last: ReplicationState | undefined, now: ReplicationState): boolean {
  if (!last) return true;
  const tenth = (state: ReplicationState) => {
    if (state.phase !== 'loading') return -1;
    const { loaded, total } = state.tables;
    return Math.floor((state.percent ?? (total > 0 ? (100 * loaded) / total : 0)) / 10);
  };
  return (
    last.phase !== now.phase ||
    tenth(last) !== tenth(now) ||
    last.ready !== now.ready ||
    last.tables.failed !== now.tables.failed ||
    differing(last) !== differing(now) ||
    (last.problems.length === 0) !== (now.problems.length === 0) ||
    last.stopReason !== now.stopReason ||
    (last.stalledSince === undefined) !== (now.stalledSince === undefined)
  );
}

/** Tables that DMS's validation has found to differ, or has given up on. */
function differing({ validation }: ReplicationState): number {
  return (validation?.failed ?? 0) + (validation?.suspended ?? 0);
}
