/** A run of a schedule beside its times. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, ScheduleDescription } from '@temporalio/client';
import type { Overlap } from '../spec/schedule-overlap.ts';
import { MigrationHandle } from './migration-handle.ts';
import { notTakenOver, scheduleCall, wouldBeDropped, wouldBeSkipped } from './schedule-errors.ts';
import { describeSchedule } from './schedule-info.ts';
import { OVERLAP_POLICY } from './schedule-spec.ts';

/** How long is waited for the server to say what came of it. */
const SETTLES_MS = 15_000;
const LOOK_MS = 100;
/** Under these a run that is due waits until the running one has ended; under cancel-other that one is undone first. */
const WAITS = ['BUFFER_ONE', 'BUFFER_ALL', 'CANCEL_OTHER'];

/**
 * Runs it now, beside its times; also while it is paused.
 * @returns the run; undefined where it waits for the running one to end (overlap buffer-… and cancel-other)
 * @throws Refused where Temporal would drop it without a word: overlap is skip and a run has not ended, or buffer-one and
 *   one waits already; Failed where nothing has come of it
 */
export async function triggerSchedule(
  client: Client,
  id: string,
  options: { overlap?: Overlap | undefined } = {},
): Promise<MigrationHandle | undefined> {
  const before = await describeSchedule(client, id);
  const overlap = options.overlap ? OVERLAP_POLICY[options.overlap] : (before.policies.overlap ?? 'SKIP');
  const running = before.info.runningActions[0]?.workflow.workflowId;
  if (overlap === 'SKIP' && running !== undefined) throw wouldBeSkipped(id, running);
  if (overlap === 'BUFFER_ONE' && waiting(before) > 0) throw wouldBeDropped(id);
  const known = new Set(startedIn(before));
  await scheduleCall(client, id, () => client.schedule.getHandle(id).trigger(overlap));
  const end = Date.now() + SETTLES_MS;
  for (;;) {
    const now = await describeSchedule(client, id);
    const started = startedIn(now).findLast((run) => !known.has(run));
    if (started !== undefined) return new MigrationHandle(client, started);
    if (running !== undefined && WAITS.includes(overlap) && waiting(now) > 0) return undefined;
    if (Date.now() > end) throw notTakenOver(id, 'trigger', SETTLES_MS);
    await delay(LOOK_MS);
  }
}

const startedIn = ({ info }: ScheduleDescription) => info.recentActions.map(({ action }) => action.workflow.workflowId);
const waiting = ({ raw }: ScheduleDescription) => Number(raw.info?.bufferSize ?? 0);
