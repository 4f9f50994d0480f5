/**
 * `engine: replicaof`: the whole critical section in one activity, because each activity more would hold writes back for
 * another 50 to 100 ms: fence, drain, promote, prove, canary, hooks. It is safe to run twice, and what it leaves open
 * when it dies is found out by promotion-outcome.ts.
 */
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { Redis } from 'ioredis';
import { ErrorType } from '../../spec/errors.ts';
import type { RedisOnlineReplicaOf } from '../../spec/kind-redis-online.ts';
import type { PhaseTiming } from '../../spec/status.ts';
import { permanent } from '../errors.ts';
import { runHooks, type HookDone } from '../hooks/run-hooks.ts';
import { sendCanary } from './canary.ts';
import { connectRedis, redisFailure } from './connect.ts';
import { CriticalLease } from './critical-lease.ts';
import { drain } from './drain.ts';
import { liftFence, raiseFence, whyNotHeld } from './fence.ts';
import { cutoverOfFence, generationOf, readFenceSettings } from './fence-record.ts';
import { judgeSync, readSource, readTarget } from './replication.ts';
import { endEarlierFencers, endEarlierPromoters, fencerName, promoterName, readRole } from './role.ts';

export interface SwitchOverInput {
  migration: RedisOnlineReplicaOf;
  /** Which pass through the critical section this is, from 1. */
  cutover: number;
  /** From prepareHooks, before the fence. */
  hooksBefore: Pick<HookDone, 'index' | 'undoState'>[];
  /** The hooks' HooksArgs.run. */
  hooksRun?: string;
}

export interface SwitchOverResult {
  phases: PhaseTiming[];
  /** Fence until open, ms, on this worker's clock. */
  writePauseMs: number;
  evidence: string;
}

/** What a failure tells of the outcome; in the failure's details. */
export interface SwitchOverFacts {
  promoted: 'no' | 'unknown' | 'yes';
  /** Epoch ms. */
  raisedAt?: number;
  phases: PhaseTiming[];
}

/**
 * @throws with SwitchOverFacts in the details: `promoted: 'no'` and the fence lifted again for anything that went wrong
 *   before REPLICAOF NO ONE was sent; 'unknown' where its answer is missing; 'yes' where what comes after it failed
 */
export async function switchOver(input: SwitchOverInput): Promise<SwitchOverResult> {
  const { migration } = input;
  const lease = new CriticalLease();
  const { attempt } = Context.current().info;
  // An earlier attempt may have promoted, and may be about to, until this one has taken the fence over.
  const facts: SwitchOverFacts = { promoted: attempt === 1 ? 'no' : 'unknown', phases: [] };
  const generation = generationOf(input.cutover, attempt);
  let source: Redis | undefined;
  let target: Redis | undefined;
  try {
    source = await connectRedis(migration.source, { name: fencerName(migration.id) });
    await endEarlierFencers(source, migration.id);
    target = await connectRedis(migration.target, { name: promoterName(migration.id) });
    return await holdAndSwitch(input, { source, target, lease, facts, generation });
  } catch (error) {
    // Once given up, it must not lift what may be the fence of the attempt that went on.
    if (facts.promoted === 'no' && source && !lease.stoodStill)
      await liftAfterFailure(source, migration.id, generation);
    const failure = redisFailure(error, 'source or target');
    // A hook's failure tells how far the hooks are, in facts of its own.
    const told = failure instanceof ApplicationFailure ? (failure.details?.[0] as object | undefined) : undefined;
    const type = failure instanceof ApplicationFailure ? (failure.type as ErrorType) : ErrorType.replication;
    throw permanent(type, failure.message, { facts: { ...told, ...facts }, cause: failure });
  } finally {
    lease.end();
    source?.disconnect();
    target?.disconnect();
  }
}

interface Held {
  source: Redis;
  target: Redis;
  lease: CriticalLease;
  facts: SwitchOverFacts;
  generation: number;
}

async function holdAndSwitch(input: SwitchOverInput, held: Held): Promise<SwitchOverResult> {
  const { migration } = input;
  const { source, target, lease, facts, generation } = held;
  const { budgets } = migration.cutover;
  const timed = async <T>(name: string, budgetMs: number, body: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    const value = await body();
    facts.phases.push({ name, ms: round(performance.now() - began), budgetMs });
    return value;
  };

  let promotedBefore = await isPromoted(target, migration.id);
  // A target that is a primary already was promoted by an earlier attempt of this cutover, or by somebody else. Only the
  // former may go on, and only that one has left this cutover's fence up.
  if (promotedBefore && !(await fenceIsOfThisCutover(source, input.cutover))) {
    throw permanent(ErrorType.replication, 'the target is not a replica of the source: it is a primary already');
  }
  if (promotedBefore) facts.promoted = 'yes';
  else await requireOnline(source, target);

  const fence = await timed('fence', budgets.fence, async () => {
    lease.check('fence', budgets.fence);
    return raiseFence(source, migration.id, generation);
  });
  facts.raisedAt = fence.raisedAt;
  if (facts.promoted === 'unknown') {
    // Now that the fence has this attempt's number no earlier one can pass its last check: this look is final.
    promotedBefore = await isPromoted(target, migration.id);
    facts.promoted = promotedBefore ? 'yes' : 'no';
  }
  if (!promotedBefore) {
    facts.promoted = 'no';
    await timed('drain', budgets.drain, () => drain(source, target, fence, budgets.drain));
    await timed('complete', budgets.complete, () => promote(held, budgets.fence + budgets.drain + budgets.complete));
  }
  await timed('canary', budgets.canary, () => sendCanary(target, migration.id));
  if (migration.switch.length > 0) {
    const hookBudget = migration.switch.reduce((sum, hook) => sum + hook.timeout, 0);
    const { host, port } = migration.target;
    await timed('switch', hookBudget, () =>
      runHooks({
        migrationId: migration.id,
        ...(input.hooksRun === undefined ? {} : { run: input.hooksRun }),
        hooks: migration.switch,
        target: { host, port },
        aws: migration.aws,
        before: input.hooksBefore,
      }),
    );
  }
  return {
    phases: facts.phases,
    writePauseMs: Date.now() - fence.raisedAt,
    evidence: 'ROLE on the target says master',
  };
}

/** Whether the target is a primary; what earlier attempts may still have on its way is ended first. */
async function isPromoted(target: Redis, migration: string): Promise<boolean> {
  await endEarlierPromoters(target, migration);
  return (await readRole(target)).role === 'master';
}

async function promote({ source, target, lease, facts, generation }: Held, withinMs: number): Promise<void> {
  lease.check('promote', withinMs);
  // The connection that promotes is open and named since before this check: whoever gave this attempt up has either
  // taken the fence over, which is seen here, or ends the connection.
  const why = await whyNotHeld(source, generation);
  if (why !== undefined) throw permanent(ErrorType.replication, why);
  facts.promoted = 'unknown';
  await target.replicaof('NO', 'ONE');
  const { role } = await readRole(target);
  if (role !== 'master')
    throw permanent(ErrorType.replication, `the target answers ROLE ${role} after REPLICAOF NO ONE`);
  facts.promoted = 'yes';
}

async function requireOnline(source: Redis, target: Redis): Promise<void> {
  const [s, t] = await Promise.all([readSource(source), readTarget(target)]);
  const { phase } = judgeSync(s, t);
  if (phase !== 'online')
    throw permanent(ErrorType.replication, `the target is not in sync with the source (${phase})`);
}

async function fenceIsOfThisCutover(source: Redis, cutover: number): Promise<boolean> {
  return cutoverOfFence((await readFenceSettings(source)).toWrite) === cutover;
}

async function liftAfterFailure(source: Redis, migration: string, generation: number): Promise<void> {
  try {
    await liftFence(source, { migration, generation });
  } catch {
    // The workflow lifts it with retries, and shows why where it can't; this is only the faster way.
  }
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
