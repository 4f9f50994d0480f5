/** Follows a task from its start to the gate: one long activity that returns when something material changed. */
import { ApplicationFailure } from '@temporalio/common';
import { sleep } from '@temporalio/activity';
import type { Postgres } from '../../spec/kind-postgres.ts';
import type { ReplicationState, TablePlan, TableState } from '../../spec/postgres-plan.ts';
import { keep, kept } from '../aws/kept.ts';
import { beat } from '../beat.ts';
import { pollMs } from './await-dms.ts';
import { judge, type DmsReading } from './judge.ts';
import { isMaterial, Readiness, type Memory } from './readiness.ts';
import type { DmsResources } from './resources.ts';
import { tableMeaning } from './status-table.ts';
import { readTableStatistics, tableStateOf } from './table-statistics.ts';
import { readTask } from './task-state.ts';
import { watchProgress } from './watch-progress.ts';
import { WatchedDatabases } from './watched-databases.ts';

export interface WatchDmsInput {
  migration: Postgres;
  resources: DmsResources;
  plan: TablePlan;
  /** What is waited for; the watch returns on the way as well, at every material change. */
  until: 'load-done' | 'ready' | 'never';
  /** What was returned last time; it returns as soon as something differs materially from it. */
  last?: ReplicationState;
}

/** What the watch's heartbeat holds beside its progress. */
export interface WatchCheckpoint extends Record<string, unknown> {
  memory: Memory;
  /** Tables that are loading or have failed, the largest first; at most 20. */
  tables: TableState[];
}

/** So many failed readings in a row are no hiccup any more. */
const UNREACHABLE_AFTER = 3;
const TABLES_SHOWN = 20;

/**
 * Reads task, tables, slot, marker and DMS's own tables every pollMs(), and returns at a material change.
 * May be run twice, and at once: it changes nothing but the marker row.
 * @throws cutover.NotFound where the task is gone, cutover.Denied. A server that is away, or DMS that can't be asked for
 *   a while, does not fail it: it is not ready then, and says why.
 */
export async function watchDms(input: WatchDmsInput): Promise<ReplicationState> {
  const watcher = new DmsWatcher(input);
  try {
    for (;;) {
      const state = await watcher.read();
      if (state && isMaterial(input.last, state)) return state;
      await sleep(pollMs());
    }
  } finally {
    await watcher.close();
  }
}

class DmsWatcher {
  private readonly input: WatchDmsInput;
  private readonly databases: WatchedDatabases;
  private readonly readiness: Readiness;
  private failures = 0;
  private latest: ReplicationState | undefined;
  /** A stop that was seen once may be of before a resume: Describe lags behind. */
  private seenStop = false;

  constructor(input: WatchDmsInput) {
    this.input = input;
    this.latest = input.last;
    this.databases = new WatchedDatabases(input.migration, input.resources);
    const { memory } = kept<WatchCheckpoint>();
    this.readiness = new Readiness(input.migration, Date.now(), input.last, memory);
  }

  /** Undefined where there is nothing to be told yet. */
  async read(): Promise<ReplicationState | undefined> {
    try {
      const state = await this.readAll();
      this.failures = 0;
      const ended = state.phase === 'stopped' || state.phase === 'failed' || state.phase === 'load-done';
      const doubtful = ended && !this.seenStop && this.latest?.phase !== state.phase;
      this.seenStop = ended;
      if (doubtful) return undefined;
      this.latest = state;
      return state;
    } catch (error) {
      if (!(error instanceof ApplicationFailure) || error.nonRetryable) throw error;
      this.failures += 1;
      beat({ progress: { text: error.message } });
      if (this.failures < UNREACHABLE_AFTER || !this.latest) return undefined;
      const why = { reason: error.message };
      const problems = [why, ...this.latest.problems.filter(({ reason }) => reason !== error.message)].slice(0, 20);
      return { ...this.latest, problems, readings: 0, ready: false, notReady: error.message };
    }
  }

  async close(): Promise<void> {
    await this.databases.close();
  }

  private async readAll(): Promise<ReplicationState> {
    const { migration, resources, plan } = this.input;
    const { aws } = migration.replication;
    const { task } = await readTask(aws, resources.taskArn);
    const statistics = await readTableStatistics(aws, resources.taskArn);
    const before = judge({ task, statistics, control: [], unreadable: [] }, plan);
    const databases = await this.databases.read(plan, before.phase === 'following' && task.Status === 'running');
    const reading: DmsReading = { task, statistics, ...databases };
    const state = this.readiness.take(judge(reading, plan), Date.now(), this.databases.lastMarker);
    const checkpoint: WatchCheckpoint = { memory: this.readiness.remembered, tables: shown(reading) };
    keep(checkpoint);
    beat({ progress: watchProgress(state) });
    return state;
  }
}

function shown({ statistics }: DmsReading): TableState[] {
  return statistics
    .filter(({ TableState: state }) => ['loading', 'failed'].includes(tableMeaning(state)))
    .map(tableStateOf)
    .sort((a, b) => b.rows - a.rows)
    .slice(0, TABLES_SHOWN);
}
