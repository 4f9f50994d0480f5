/**
 * Waits for what TestMigration, StartMigration and changes of a group come to. A status alone never tells: after a
 * StartMigration that failed the group is `available` again, as if nothing had happened (facts/redis-aws 3.1).
 */
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import type { ServiceEvent } from './events.ts';
import { pollGroup, type Reading, type Wait } from './poll-group.ts';
import { regionFlag } from './replication-group.ts';

const EVENT_LAG_MS = 30_000;

export interface WaitResult {
  status: string;
  /** What the service said meanwhile, oldest first. */
  events: ServiceEvent[];
  warnings: string[];
  /** ms, of this attempt. */
  waitedMs: number;
}

/**
 * The result of TestMigration. It comes as an event whose text is not documented, so silence until the deadline is
 * told as such, and never taken for success.
 * @throws cutover.ServiceFailed with the event's text; cutover.Deadline where nothing was said
 */
export async function awaitTestResult(wait: Wait): Promise<WaitResult> {
  const { decided, last, waitedMs } = await pollGroup('test', wait, ({ group, events }) => {
    if (group.statusMeaning === 'failed') return 'failed' as const;
    if (group.status !== 'available') return undefined;
    return outcomeOf(events.filter(({ about }) => about === 'test' || about === undefined));
  });
  if (decided === 'failed') throw serviceFailed(wait, 'TestMigration', last, SOURCE_REMEDY);
  if (decided === undefined) throw silent(wait, 'TestMigration', last);
  return result(last, waitedMs);
}

/**
 * The result of StartMigration: `migrating` is attached; `available` again, or a failure event, is not.
 * @throws cutover.ServiceFailed with the event's text; cutover.Deadline
 */
export async function awaitAttached(wait: Wait): Promise<WaitResult> {
  const { decided, last, waitedMs } = await pollGroup('attached', wait, ({ group, events, left, settledMs }) => {
    if (group.statusMeaning === 'failed') return 'failed' as const;
    if (group.status === 'migrating') return 'attached' as const;
    // Before its first status but `available`, Describe may just lag behind the call.
    if (group.status !== 'available') return undefined;
    // The result of a test that came late is none of this call's.
    if (outcomeOf(events.filter(({ about }) => about !== 'test')) === 'failed') return 'failed' as const;
    // Back without a word: the event is given a little time, for it is the only one who knows why.
    return left.length > 0 && settledMs >= (wait.eventLagMs ?? EVENT_LAG_MS) ? ('failed' as const) : undefined;
  });
  if (decided === 'failed') throw serviceFailed(wait, 'StartMigration', last, SOURCE_REMEDY);
  if (decided === undefined) throw silent(wait, 'StartMigration', last);
  return result(last, waitedMs);
}

/**
 * Waits until the group is `available`: after a Force complete, a modification, a creation. Changes that wait for the
 * maintenance window may still be pending then.
 * @throws cutover.ServiceFailed for a failure status; cutover.Deadline
 */
export async function awaitAvailable(wait: Wait): Promise<WaitResult> {
  const { decided, last, waitedMs } = await pollGroup('available', wait, ({ group }) => {
    if (group.statusMeaning === 'failed') return 'failed' as const;
    return group.status === 'available' ? ('available' as const) : undefined;
  });
  if (decided === 'failed') throw serviceFailed(wait, `replication group ${wait.id}`, last, undefined);
  if (decided === undefined) throw silent(wait, `replication group ${wait.id}`, last);
  return result(last, waitedMs);
}

/** The newest event that tells success or failure is what counts: AWS retries, and reports each try. */
function outcomeOf(events: ServiceEvent[]): 'failed' | 'succeeded' | undefined {
  for (const { kind } of events.toReversed()) {
    if (kind === 'migration-failed' || kind === 'complete-failed') return 'failed';
    if (kind === 'migration-succeeded') return 'succeeded';
  }
  return undefined;
}

const SOURCE_REMEDY = [
  "may the target's nodes connect to the source (security groups, routes, bind, protected-mode no, AUTH off), by the very",
  'address in the file? `cutover preflight` checks what can be checked from the worker; then retry the step',
].join(' ');

function serviceFailed(wait: Wait, what: string, last: Reading, remedy: string | undefined): Error {
  const said = reasonsOf(last.events);
  const why = said.length > 0 ? said.join(' | ') : 'and its events give no reason';
  return permanent(ErrorType.serviceFailed, `${what} failed: ${wait.id} is ${last.group.status}; ${why}`, {
    ...(remedy === undefined ? {} : { remedy }),
    facts: { status: last.group.status, events: last.events.slice(-20) },
  });
}

function reasonsOf(events: ServiceEvent[]): string[] {
  const failures = events.filter((event) => event.kind.endsWith('-failed'));
  return (failures.length > 0 ? failures : events).slice(-3).map((event) => event.message);
}

function silent(wait: Wait, what: string, last: Reading): Error {
  const { aws = {} } = wait;
  const said = last.events.at(-1)?.message ?? 'no event';
  return permanent(
    ErrorType.deadline,
    `${what}: no result within ${Math.round(wait.timeoutMs / 1000)} s: ${wait.id} is ${last.group.status}, ${said}`,
    {
      remedy: `look for yourself: aws elasticache describe-events${regionFlag(aws)} --source-type replication-group --source-identifier ${wait.id} --duration 1440; then retry the step`,
      facts: { status: last.group.status, events: last.events.slice(-20) },
    },
  );
}

function result({ group, events }: Reading, waitedMs: number): WaitResult {
  return { status: group.status, events, warnings: group.warnings, waitedMs };
}
