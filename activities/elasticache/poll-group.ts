/** One loop for every wait on a replication group: status and events together, a beat per turn, an end by deadline. */
import { sleep } from '@temporalio/activity';
import type { AwsTarget } from '../aws/clients.ts';
import { keep, kept } from '../aws/kept.ts';
import { beat } from '../beat.ts';
import { eventsSince, type EventSource, type ServiceEvent, type Watermark } from './events.ts';
import { groupStatus, type GroupStatus } from './replication-group.ts';

export interface Wait {
  /** The replication group. */
  id: string;
  /** From `eventWatermark`, taken before the call that is waited for. */
  since: Watermark;
  /** Between two readings, ms. */
  intervalMs: number;
  /** How long to wait in all, ms; attempts of the activity that were lost count. */
  timeoutMs: number;
  /** How long events may stay behind the status that they explain, ms; default 30 s. */
  eventLagMs?: number;
  aws?: AwsTarget;
}

export interface Reading {
  group: GroupStatus;
  /** All since the watermark, oldest first. */
  events: ServiceEvent[];
  /** Every status seen so far that was not `available`; it outlives a crash of the worker. */
  left: string[];
  /** How long the group has been seen as `available` without a break, ms. */
  settledMs: number;
}

interface Checkpoint {
  deadlineAt: number;
  left: string[];
}

type Waits = Record<string, Checkpoint>;

/**
 * Reads until `decide` gives an answer; undefined at the deadline, together with the last reading.
 * @param what is waited for, unlike any other wait of the same activity.
 * Failures of a reading are thrown and retried by Temporal: the checkpoint keeps the deadline and what was seen.
 * @throws CancelledFailure, and what groupStatus and eventsSince throw
 */
export async function pollGroup<T>(
  what: string,
  wait: Wait,
  decide: (reading: Reading) => T | undefined,
): Promise<{ decided: T | undefined; last: Reading; waitedMs: number }> {
  const { id, aws = {} } = wait;
  const began = Date.now();
  // One activity may wait for several things, one after the other.
  const key = `${what} ${id}`;
  const others = (): Waits => Object.fromEntries(Object.entries(waits()).filter(([name]) => name !== key));
  const carried = waits()[key];
  const deadlineAt = carried?.deadlineAt ?? began + wait.timeoutMs;
  const left = [...(carried?.left ?? [])];
  const sources: EventSource[] = [{ id }];
  let settledSince: number | undefined;
  for (;;) {
    const group = await groupStatus({ id, aws });
    const events = await eventsSince({ sources, since: wait.since, aws });
    const now = Date.now();
    settledSince = group.status === 'available' ? (settledSince ?? now) : undefined;
    if (group.status !== 'available' && !left.includes(group.status)) left.push(group.status);
    const reading = { group, events, left, settledMs: settledSince === undefined ? 0 : now - settledSince };
    const decided = decide(reading);
    if (decided !== undefined || now >= deadlineAt) {
      keep({ waits: others() });
      return { decided, last: reading, waitedMs: now - began };
    }
    keep({ waits: { ...others(), [key]: { deadlineAt, left } } });
    beat({ progress: { text: describe(reading, began, now) } });
    await sleep(Math.max(1, Math.min(wait.intervalMs, deadlineAt - now)));
  }
}

const waits = (): Waits => kept<{ waits: Waits }>().waits ?? {};

function describe({ group, events }: Reading, began: number, now: number): string {
  const newest = events.at(-1);
  const since = `${Math.round((now - began) / 1000)} s`;
  return `${group.id} is ${group.status} (${since})${newest ? `: ${newest.message}` : ''}`;
}

export interface GroupChange {
  change: 'status' | 'event' | 'deadline';
  status: string;
  statusMeaning: GroupStatus['statusMeaning'];
  warnings: string[];
  primary?: GroupStatus['primary'];
  /** All since the watermark, oldest first. */
  events: ServiceEvent[];
}

/**
 * Waits until the group has another status than `status`, or an event is newer than the watermark, or the time is up.
 * For loops that a workflow or an engine steps itself, such as the outcome of CompleteMigration.
 */
export async function awaitChange(args: Wait & { status: string }): Promise<GroupChange> {
  const { decided, last } = await pollGroup('change', args, ({ group, events }) => {
    if (group.status !== args.status) return 'status' as const;
    return events.length > 0 ? ('event' as const) : undefined;
  });
  const { status, statusMeaning, warnings, primary } = last.group;
  return {
    change: decided ?? 'deadline',
    status,
    statusMeaning,
    warnings,
    ...(primary ? { primary } : {}),
    events: last.events,
  };
}
