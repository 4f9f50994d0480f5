/**
 * Migrations on a schedule: backups and restore drills that run by themselves, on Temporal's own Schedules. A schedule's
 * id is the migration's; each run is a migration of its own, whose id is the schedule's with the time it was due.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Client } from '@temporalio/client';
import type { MigrationInput } from '../spec/contract.ts';
import type { Migration } from '../spec/migration.ts';
import type { Overlap } from '../spec/schedule-overlap.ts';
import type { Schedule } from '../spec/schedule.ts';
import { Failed } from './errors.ts';
import { call } from './grpc-failure.ts';
import { operatorName } from './operator-name.ts';
import { notTakenOver, scheduleCall } from './schedule-errors.ts';
import { describeSchedule, isOurs, scheduleInfo, type ScheduleInfo } from './schedule-info.ts';
import { sectionOf, type ScheduleOverrides } from './schedule-section.ts';
import { OVERLAP_POLICY, temporalPolicies, temporalSpec } from './schedule-spec.ts';
import { scheduleTimes } from './schedule-times.ts';
import { startOptions } from './start-options.ts';
import { defaultTaskQueue } from './task-queue.ts';

export interface ScheduleOptions {
  /** As `loadMigrationFile` returns it. */
  migration: Migration;
  /** Where it was read from, for the record. */
  file?: string | undefined;
  /** Win over the file's section. */
  overrides?: ScheduleOverrides;
  /** Default: CUTOVER_TASK_QUEUE, or `cutover`. */
  taskQueue?: string | undefined;
  /** For the record. Default: CUTOVER_USER, or user@host. */
  createdBy?: string | undefined;
}

export interface ScheduleNote {
  by?: string | undefined;
  reason?: string | undefined;
}

/** How long is waited for the server to say what came of a command. */
const SETTLES_MS = 15_000;
const LOOK_MS = 100;
/** The server reckons a schedule's times at once; a busy one is given so long. */
const FIRST_TIME_MS = 5_000;
/** The server names no more times than this at once. */
const MOST_TIMES = 1000;

/**
 * Makes a schedule; its first run is at its first time.
 * @throws WrongUsage where the kind has no schedule or nothing says when; ScheduleExists; Failed where no time ever comes
 */
export async function createSchedule(client: Client, options: ScheduleOptions): Promise<ScheduleInfo> {
  const section = sectionOf(options.migration, options.overrides);
  const { id } = options.migration;
  const state = section.remainingActions === undefined ? {} : { remainingActions: section.remainingActions };
  const { typedSearchAttributes } = startOptions(options.migration);
  await scheduleCall(client, id, () =>
    client.schedule.create({
      scheduleId: id,
      ...scheduleBody(options, section),
      state,
      // Of the schedule itself, so that the Temporal UI lists it by its kind.
      typedSearchAttributes: typedSearchAttributes.slice(0, 1),
    }),
  );
  // One that has had its only run already has no time to come either, and must not be taken for one that never runs.
  const runs = ({ next, counts }: ScheduleInfo) => next.length > 0 || counts.started + counts.missed > 0;
  const info = await settled(client, id, runs, FIRST_TIME_MS);
  if (runs(info)) return info;
  await scheduleCall(client, id, () => client.schedule.getHandle(id).delete());
  throw new Failed(
    `"${id}" would never run: ${info.words} (${info.timeZone}) names no time to come; no schedule was made`,
    {
      mend: 'look at the days, months, startAt and endAt of its section `schedule`',
    },
  );
}

/**
 * Takes the file over: when it runs, and what. A paused schedule stays paused; a run that is under way is not touched.
 * @throws as createSchedule; NoSchedule; Failed where Temporal does not say that it took it over, or no time ever comes
 */
export async function updateSchedule(client: Client, options: ScheduleOptions): Promise<ScheduleInfo> {
  const section = sectionOf(options.migration, options.overrides);
  const { id } = options.migration;
  const before = await describeSchedule(client, id);
  const { remainingActions } = section;
  const body = scheduleBody(options, section);
  await scheduleCall(client, id, () =>
    client.schedule.getHandle(id).update(({ state }) => ({
      ...body,
      state: {
        paused: state.paused,
        ...(state.note ? { note: state.note } : {}),
        ...(remainingActions === undefined ? {} : { remainingActions }),
      },
      typedSearchAttributes: before.typedSearchAttributes,
    })),
  );
  // The server answers before it has taken it over: until then it describes the old one, with the old times.
  const [wanted] = JSON.parse(JSON.stringify(body.action.args)) as [MigrationInput];
  await until(id, 'update', async () => {
    const { action, info } = await describeSchedule(client, id);
    const changed = info.lastUpdatedAt?.getTime() !== before.info.lastUpdatedAt?.getTime();
    return changed && isDeepStrictEqual(action.args?.[0], wanted);
  });
  const info = await scheduleInfo(client, id);
  if (info.next.length > 0 || info.counts.started > before.info.numActionsTaken) return info;
  throw new Failed(
    `"${id}" is updated, but will never run again: ${info.words} (${info.timeZone}) names no time to come`,
    { mend: 'look at the days, months, startAt and endAt of its section `schedule`, and update it again' },
  );
}

function scheduleBody(options: ScheduleOptions, section: Schedule) {
  const { migration, file, taskQueue = defaultTaskQueue(), createdBy = operatorName() } = options;
  const scheduled = { ...migration, schedule: section } as Migration;
  const input: MigrationInput = { migration: scheduled, taskQueue, startedBy: createdBy, schedule: migration.id };
  return {
    spec: temporalSpec(section),
    policies: temporalPolicies(section),
    action: {
      type: 'startWorkflow' as const,
      // Temporal appends the time it was due, to the second and in UTC: no two runs share an id, also in an hour that
      // the clock shows twice.
      workflowId: migration.id,
      taskQueue,
      args: [input],
      ...startOptions(migration, { file, schedule: migration.id }),
    },
  };
}

/** All schedules of migrations, by id. @throws Unreachable */
export async function* listSchedules(client: Client): AsyncGenerator<ScheduleInfo, void, undefined> {
  const summaries = client.schedule.list({ pageSize: 200 })[Symbol.asyncIterator]();
  const ids: string[] = [];
  for (;;) {
    const { value, done } = await call(client, SETTLES_MS, () => summaries.next());
    if (done) break;
    if (!value.action || isOurs(value.action.workflowType)) ids.push(value.scheduleId);
  }
  for (const id of ids.toSorted()) {
    try {
      yield await scheduleInfo(client, id);
    } catch (error) {
      // The list lags behind: one that was deleted meanwhile is no failure.
      if ((error as Error).name !== 'NoSchedule') throw error;
    }
  }
}

/** Nothing is started until it is resumed; what runs goes on. @throws NoSchedule; Failed where Temporal does not say so */
export async function pauseSchedule(client: Client, id: string, note: ScheduleNote = {}): Promise<ScheduleInfo> {
  await describeSchedule(client, id);
  await scheduleCall(client, id, () => client.schedule.getHandle(id).pause(noteText('paused', note)));
  await until(id, 'pause', async () => (await describeSchedule(client, id)).state.paused);
  return scheduleInfo(client, id);
}

/** Runs that were due meanwhile are not made up for. @throws as pauseSchedule */
export async function resumeSchedule(client: Client, id: string, note: ScheduleNote = {}): Promise<ScheduleInfo> {
  await describeSchedule(client, id);
  await scheduleCall(client, id, () => client.schedule.getHandle(id).unpause(noteText('resumed', note)));
  await until(id, 'resume', async () => !(await describeSchedule(client, id)).state.paused);
  return scheduleInfo(client, id);
}

function noteText(what: string, { by = operatorName(), reason }: ScheduleNote): string {
  return `${what} by ${by} at ${new Date().toISOString()}${reason ? `: ${reason}` : ''}`;
}

/**
 * Runs it now once for each of its times between `from` and `to`, as if they passed by now: `buffer-all` (the default)
 * one after the other. What a run copies is the data of NOW, except where its kind can reach back (dynamodb-export).
 * @returns the times, ISO: with `buffer-all` and `allow-all` each of them gets a run, with the others those that the policy lets
 * @throws Failed where the schedule has no time in between, or a thousand
 */
export async function backfillSchedule(
  client: Client,
  id: string,
  { from, to, overlap = 'buffer-all' }: { from: Date; to: Date; overlap?: Overlap | undefined },
): Promise<string[]> {
  await describeSchedule(client, id);
  const times = await scheduleTimes(client, id, from, to);
  if (times.length === 0)
    throw new Failed(`"${id}" has no time between ${from.toISOString()} and ${to.toISOString()}; nothing was started`, {
      mend: `see its times: npx cutover schedule show ${id}`,
    });
  if (times.length >= MOST_TIMES)
    throw new Failed(
      `"${id}" has ${MOST_TIMES} times or more between ${from.toISOString()} and ${to.toISOString()}, and more than Temporal lets wait are dropped; nothing was started`,
      { mend: 'take a shorter range' },
    );
  await scheduleCall(client, id, () =>
    // Temporal leaves out a time that is exactly `start`; our range holds both its ends.
    client.schedule
      .getHandle(id)
      .backfill({ start: new Date(from.getTime() - 1000), end: to, overlap: OVERLAP_POLICY[overlap] }),
  );
  return times;
}

/** Runs that are under way go on. @returns their ids */
export async function deleteSchedule(client: Client, id: string): Promise<{ running: string[] }> {
  const { info } = await describeSchedule(client, id);
  await scheduleCall(client, id, () => client.schedule.getHandle(id).delete());
  return { running: info.runningActions.map(({ workflow }) => workflow.workflowId) };
}

/** The server takes a command over within moments; until then it describes what was before. The last that was seen. */
async function settled(
  client: Client,
  id: string,
  holds: (info: ScheduleInfo) => boolean,
  deadlineMs: number,
): Promise<ScheduleInfo> {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const info = await scheduleInfo(client, id);
    if (holds(info) || Date.now() > end) return info;
    await delay(LOOK_MS);
  }
}

/** Nothing is called done that the server does not say. @throws Failed */
async function until(id: string, command: string, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + SETTLES_MS;
  while (!(await holds())) {
    if (Date.now() > end) throw notTakenOver(id, command, SETTLES_MS);
    await delay(LOOK_MS);
  }
}
