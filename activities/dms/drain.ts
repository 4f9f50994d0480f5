/**
 * Proves inside the fence that everything written before it is on the target: the fence's marker has arrived, and for
 * every table as many changes are applied as were captured (facts/postgres-dms 3.3). The slot's confirmed_flush_lsn and
 * CDCLatencyTarget prove neither.
 */
import { sleep } from '@temporalio/activity';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import type { TablePlan } from '../../spec/postgres-plan.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { sessionName, withPostgres } from '../postgres/connect.ts';
import { pollMs } from './await-dms.ts';
import { judge, type Judged } from './judge.ts';
import { hasMarker } from './marker.ts';
import { readControlTables } from './control-tables.ts';
import { resourceIdOf, type DmsResources } from './resources.ts';
import { nameOf, notApplied, readTableStatistics, sortByPlan } from './table-statistics.ts';
import { readTask } from './task-state.ts';

export interface DrainArgs {
  migration: Postgres;
  resources: DmsResources;
  plan: TablePlan;
  /** The value that the fence wrote into cutover.marker after the last session had ended. */
  marker: string;
  /** ms */
  budgetMs: number;
}

export interface DrainResult {
  /** ms until the marker was seen and the counters agreed. */
  ms: number;
  /** Tables whose newest rows DMS had not compared yet; our own checksum does it, else this is 0. */
  validationPending: number;
}

/** Between two looks; the application is down meanwhile, ms. */
const HASTE_MS = 1_000;
const MARKER_MS = 100;
/** Of what is left, DMS's validation gets so much, where our own checksum follows. */
const VALIDATION_SHARE = 0.5;
/** What is kept back of the budget to end in good order. */
const RESERVE = 0.05;

/**
 * Changes nothing, and may run twice.
 * @throws cutover.Deadline with what is missing still; cutover.Replication where the task does not run any more, or has
 *   given up on a table or row; cutover.Differs where DMS's validation has found differences
 */
export async function drainDms(args: DrainArgs): Promise<DrainResult> {
  const { migration, resources, plan, marker, budgetMs } = args;
  const began = performance.now();
  const left = () => budgetMs * (1 - RESERVE) - (performance.now() - began);
  const options = { name: sessionName(migration.id, 'drain'), aws: migration.aws };
  return await withPostgres(migration.target, options, async (target) => {
    const say = (text: string) => beat({ progress: { text: `draining: ${text}` } });
    while (!(await hasMarker(target, marker))) {
      say('the marker of the fence is under way');
      if (left() <= 0) {
        const { task } = await readTask(migration.replication.aws, resources.taskArn);
        throw late('the marker written after the fence has not arrived on the target', String(task.Status));
      }
      await sleep(MARKER_MS);
    }
    const look = async () => {
      const { aws } = migration.replication;
      const { task } = await readTask(aws, resources.taskArn);
      const statistics = await readTableStatistics(aws, resources.taskArn);
      const control = await readControlTables(target, plan, [resources.taskId, resourceIdOf(resources.taskArn)]);
      const judged = judge({ task, statistics, control, unreadable: [] }, plan);
      requireSound(judged);
      const { counted, marker: own } = sortByPlan(statistics, plan);
      const behind = (own ? [...counted, own] : counted).filter((table) => notApplied(table) > 0);
      return { judged, behind: behind.map((table) => `${nameOf(table)} (${notApplied(table)})`) };
    };
    const pauseMs = Math.min(HASTE_MS, pollMs());
    let now = await look();
    // Twice in a row: counters are refreshed now and then, not with each change.
    for (let agreed = now.behind.length === 0 ? 1 : 0; agreed < 2; agreed = now.behind.length === 0 ? agreed + 1 : 0) {
      say(now.behind.length > 0 ? `not applied yet: ${now.behind.slice(0, 5).join(', ')}` : 'counters agree');
      if (left() <= 0) throw late(`changes are captured and not applied: ${now.behind.join(', ')}`, 'running');
      await sleep(pauseMs);
      now = await look();
    }
    const ms = Math.round(performance.now() - began);
    const patience = left() * (migration.cutover.verify === 'checksum' ? VALIDATION_SHARE : 1);
    const until = performance.now() + patience;
    while (now.judged.pendingTables.length > 0 && performance.now() + pauseMs < until) {
      say(`${now.judged.pendingTables.length} tables are validated still`);
      await sleep(pauseMs);
      now = await look();
    }
    const validationPending = now.judged.pendingTables.length;
    if (validationPending > 0 && migration.cutover.verify !== 'checksum') {
      throw late(`DMS's validation is pending for ${now.judged.pendingTables.join(', ')}`, 'running');
    }
    return { ms, validationPending };
  });
}

/** What makes all waiting vain. */
function requireSound(judged: Judged): void {
  if (judged.phase !== 'following' || judged.engineState !== 'running') {
    throw permanent(ErrorType.replication, `the task is ${judged.engineState} while the cutover drains it`, {
      remedy: 'the cutover is undone; mend why it stopped, and it goes on from where it was',
    });
  }
  const { validation, problems, tables } = judged;
  const told = problems.map(({ table, reason }) => (table ? `${table}: ${reason}` : reason)).join('; ');
  if (validation && validation.failed + validation.suspended > 0) {
    throw permanent(ErrorType.differs, `DMS's validation fails: ${told}`, {
      remedy:
        'look at awsdms_validation_failures_v1 on the target; reload the table (cutover reload-table), then cut over again',
    });
  }
  if (tables.loaded < tables.total || problems.length > 0) {
    throw permanent(
      ErrorType.replication,
      told || `only ${tables.loaded} of ${tables.total} tables are loaded: one is being loaded again`,
      { remedy: 'reload the table or leave it out (cutover reload-table, leave-out-table), then cut over again' },
    );
  }
}

function late(what: string, status: string): Error {
  return permanent(ErrorType.deadline, `not drained within its budget: ${what} (the task is ${status})`, {
    remedy: 'the cutover is undone; wait until the lag is smaller, or give cutover.budgets.drain more time',
  });
}
