/** What is known of a schedule, in one serialisable form: what `cutover schedule list` and `show` print. */
import type { Client, ScheduleDescription } from '@temporalio/client';
import { WORKFLOW_TYPES, type MigrationInput } from '../spec/contract.ts';
import type { Overlap } from '../spec/schedule-overlap.ts';
import type { Schedule, ScheduleSource } from '../spec/schedule.ts';
import { clockChanges, type ClockChange } from './clock-changes.ts';
import { noSchedule, scheduleCall } from './schedule-errors.ts';
import { sectionAsWritten, sectionInWords } from './schedule-section.ts';
import { OVERLAP_POLICY } from './schedule-spec.ts';
import { scheduleTimes } from './schedule-times.ts';
import { blockingRun, scheduledRuns, type Blocking, type ScheduledRun } from './scheduled-runs.ts';

export interface ScheduleInfo {
  id: string;
  kind: string;
  /** The file that it was made from, where one was named. */
  file?: string;
  taskQueue: string;
  createdBy: string;
  createdAt: string;
  updatedAt?: string;
  /** As a file has it; the server itself keeps a cron line as calendars only. */
  section: ScheduleSource;
  /** `cron 0 3 * * *`. */
  words: string;
  timeZone: string;
  overlap: Overlap;
  paused: boolean;
  /** Who paused or resumed it and why; or that a failed run did. */
  note?: string;
  /** The next times, ISO, at most ten; none where it is over. Times are given while it is paused, too. */
  next: string[];
  /** So many runs more, where there is a limit. */
  remaining?: number;
  /** The last ten, and older ones that still run; newest first. */
  runs: ScheduledRun[];
  blockedBy?: Blocking;
  counts: {
    started: number;
    /** Late by more than `catchUp` after an outage of Temporal. */
    missed: number;
    /** Due while another one ran. */
    skipped: number;
    /** Wait for the running one to end. */
    waiting: number;
    /** Waited, but too many did. */
    dropped: number;
  };
  clockChanges: ClockChange[];
}

/** @throws NoSchedule where there is none, or one that cutover did not make; Unreachable */
export async function scheduleInfo(client: Client, id: string): Promise<ScheduleInfo> {
  const description = await describeSchedule(client, id);
  const { action, policies, state, info, spec, raw } = description;
  const input = action.args?.[0] as MigrationInput;
  const section = sectionIn(description)!;
  const overlap = overlapOf(policies.overlap);
  const runs = await scheduledRuns(client, description);
  const waiting = Number(raw.info?.bufferSize ?? 0);
  const blockedBy = blockingRun(runs, overlap, waiting);
  const file = action.memo?.['file'];
  return {
    id,
    kind: input.migration.kind,
    ...(typeof file === 'string' ? { file } : {}),
    taskQueue: input.taskQueue,
    createdBy: input.startedBy,
    createdAt: info.createdAt.toISOString(),
    ...(info.lastUpdatedAt ? { updatedAt: info.lastUpdatedAt.toISOString() } : {}),
    section: sectionAsWritten(section),
    words: sectionInWords(section),
    timeZone: section.timeZone,
    overlap,
    paused: state.paused,
    ...(state.note ? { note: state.note } : {}),
    next: info.nextActionTimes.map((time) => time.toISOString()),
    ...(state.remainingActions === undefined ? {} : { remaining: state.remainingActions }),
    runs,
    ...(blockedBy ? { blockedBy } : {}),
    counts: {
      started: info.numActionsTaken,
      missed: info.numActionsMissedCatchupWindow,
      skipped: info.numActionsSkippedOverlap,
      waiting,
      dropped: Number(raw.info?.bufferDropped ?? 0),
    },
    clockChanges: await clockChanges(spec, (from, to) => scheduleTimes(client, id, from, to)),
  };
}

/** As Temporal has it. @throws NoSchedule where there is none, or one that cutover did not make: it is left alone */
export async function describeSchedule(client: Client, id: string): Promise<ScheduleDescription> {
  const description = await scheduleCall(client, id, () => client.schedule.getHandle(id).describe());
  const type = description.action.workflowType;
  if (!isOurs(type)) throw noSchedule(`"${id}" is a schedule of workflows of type ${type}, not of a migration`);
  if (!sectionIn(description)) throw noSchedule(`"${id}" is a schedule that cutover did not make`);
  return description;
}

/** `create` and `update` put the section that they used into the migration. Of a foreign one the argument may be anything. */
function sectionIn({ action }: ScheduleDescription): Schedule | undefined {
  const input = action.args?.[0] as Partial<MigrationInput> | undefined;
  return (input?.migration as { schedule?: Schedule } | undefined)?.schedule;
}

export const isOurs = (workflowType: string) => Object.values(WORKFLOW_TYPES).includes(workflowType);

function overlapOf(policy: string | undefined): Overlap {
  const found = Object.entries(OVERLAP_POLICY).find(([, name]) => name === policy);
  return (found?.[0] ?? 'skip') as Overlap;
}
