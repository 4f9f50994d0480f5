/** The critical section of a dual write as activities: hold, commit, judge, release, and stepping back. */
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { authorityOf } from '../../../spec/dual-write.ts';
import { ErrorType } from '../../../spec/errors.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import type { PhaseTiming } from '../../../spec/status.ts';
import { permanent } from '../../errors.ts';
import { requireEpoch } from './acks.ts';
import { withControl } from './control.ts';
import { dualFailure } from './failure.ts';
import { holdAndDrain, releaseHold } from './hold.ts';
import { copyPhase } from './target-copy.ts';
import { phaseNow, targetIsRight, type PhaseNow } from './phases.ts';

export interface HoldInput {
  migration: RedisDualWrite;
  /** Set by this migration, with phase both. */
  epoch: number;
  commitMs: number;
}

export interface HoldResult {
  /** Of the hold: what is to be committed. */
  epoch: number;
  /** Epoch ms. */
  fencedAt: number;
  phases: PhaseTiming[];
}

/**
 * Holds the writes, drains, and turns the reads; releases the hold where it fails.
 * @throws cutover.Deadline for a budget, and where an earlier attempt had held writes already
 */
export async function holdDual({ migration, epoch, commitMs }: HoldInput): Promise<HoldResult> {
  return withControl(migration, async (key) => {
    const { control } = await key.read();
    // Not begun anew: writes have waited for long enough.
    if (control.phase === 'hold' && control.holdFrom === 'both' && control.epoch > epoch) {
      await releaseHold(key);
      throw permanent(ErrorType.deadline, 'an attempt ended while it held the writes: did its worker die? They go on', {
        remedy: 'approve it again',
      });
    }
    requireEpoch(control, epoch);
    const budgets = { ...migration.cutover.budgets, commitMs };
    const signal = Context.current().cancellationSignal;
    const held = await holdAndDrain(key, control, budgets, signal).catch(async (error: unknown) => {
      const failure = dualFailure(error);
      const { control: now } = await key.read();
      // Writes have waited once. Another attempt would find another epoch, and could not say why.
      throw now.epoch === control.epoch ? failure : forGood(failure);
    });
    return { epoch: held.control.epoch, fencedAt: held.heldAt, phases: held.phases };
  });
}

function forGood(failure: Error): Error {
  if (!(failure instanceof ApplicationFailure)) return failure;
  const { message, type, details } = failure;
  return ApplicationFailure.create({
    message,
    nonRetryable: true,
    ...(type ? { type } : {}),
    ...(details ? { details } : {}),
  });
}

/** What the copy's parts throw, as a failure of ours. */
async function asOurs<T>(body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw dualFailure(error);
  }
}

/** The one change that makes the target the authority. @throws cutover.Deadline where the hold has run out */
export async function commitDual({ migration, held }: { migration: RedisDualWrite; held: number }): Promise<PhaseNow> {
  return withControl(migration, async (key) => {
    const { control } = await key.read();
    // An earlier attempt was given up after its change had been made.
    if (control.phase === 'target-first' && control.epoch === held + 1) return phaseNow(control);
    requireEpoch(control, held);
    // Before it: a target that is the authority and does not say so is worse than one that says so too early.
    await copyPhase(migration, 'target-first');
    return phaseNow(await key.change(control, { phase: 'target-first', reads: 'target' }));
  });
}

export interface JudgedMove extends PhaseNow {
  outcome: 'switched' | 'not-switched';
  evidence: string;
}

/**
 * What a commit did. The control key is the one place of truth; where it says that the hold is still up, the hold is
 * released here, after which no late commit can succeed.
 */
export async function judgeDual({ migration, held }: { migration: RedisDualWrite; held: number }): Promise<JudgedMove> {
  return withControl(migration, async (key) => {
    const { control } = await key.read();
    const now = control.phase === 'hold' ? await releaseHold(key) : control;
    const evidence = `the control key says ${now.phase}, epoch ${now.epoch}`;
    if (now.phase === 'target-first' && now.epoch === held + 1)
      return { ...phaseNow(now), outcome: 'switched', evidence };
    if (authorityOf(now) === 'source') return { ...phaseNow(now), outcome: 'not-switched', evidence };
    throw permanent(ErrorType.notOurs, `${evidence}: that is not of this migration's run`);
  });
}

/** Writes go on at the source, where they were held. Runs as often as it likes. */
export async function releaseDual({ migration }: { migration: RedisDualWrite }): Promise<PhaseNow & { note: string }> {
  return withControl(migration, async (key) => {
    const now = await releaseHold(key);
    if (authorityOf(now) === 'target') throw targetIsRight(now);
    return { ...phaseNow(now), note: `writes go on at the source, phase ${now.phase}` };
  });
}

/**
 * Makes the source the authority again: holds the writes, brings the source up to date from the target, phase both.
 * @throws cutover.Invalid where the source is off: what the target took since is not on it
 */
export async function stepBackDual({
  migration,
  commitMs,
}: {
  migration: RedisDualWrite;
  commitMs: number;
}): Promise<PhaseNow & { note: string }> {
  return withControl(migration, async (key) => {
    const found = await releaseHold(key);
    if (authorityOf(found) === 'source') {
      await copyPhase(migration, undefined);
      return { ...phaseNow(found), note: 'the source is the authority' };
    }
    if (found.phase === 'target') throw targetIsRight(found);
    const budgets = { ...migration.cutover.budgets, commitMs };
    const signal = Context.current().cancellationSignal;
    const { control } = await asOurs(() => holdAndDrain(key, found, budgets, signal));
    const now = await key.change(control, { phase: 'both', reads: 'source' });
    await copyPhase(migration, undefined);
    return { ...phaseNow(now), note: 'the source was brought up to date, and is the authority again' };
  });
}
