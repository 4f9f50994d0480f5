/** The critical section of a dual write as activities: hold, commit, judge, release, and stepping back. */
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { authorityOf, dualKeys, type DualControl } from '../../../spec/dual-write.ts';
import { ErrorType } from '../../../spec/errors.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import type { PhaseTiming } from '../../../spec/status.ts';
import { permanent } from '../../errors.ts';
import { requireEpoch } from './acks.ts';
import { withControl } from './control.ts';
import { dualFailure } from './failure.ts';
import { holdAndDrain, releaseHold, SidesChanged, type Compared } from './hold.ts';
import { copyPhase } from './target-copy.ts';
import { phaseNow, targetIsRight, type PhaseNow } from './phases.ts';
import type { DualProcesses } from './session.ts';

export interface HoldInput {
  migration: RedisDualWrite;
  /** Set by this migration, with phase both. */
  epoch: number;
  commitMs: number;
  /** The processes that were found equal. */
  compared?: DualProcesses;
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
 * @throws cutover.Deadline for a budget, and where an earlier attempt had held writes already; cutover.Differs where a side
 *   is not what was compared
 */
export async function holdDual({ migration, epoch, commitMs, compared }: HoldInput): Promise<HoldResult> {
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
    const both: Compared = { processes: compared, sides: ['source', 'target'] };
    const held = await holdAndDrain(key, control, budgets, both, signal).catch(async (error: unknown) => {
      if (error instanceof SidesChanged) {
        throw permanent(ErrorType.differs, error.message, { remedy: 'the gate does it, and opens again after it' });
      }
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

export interface SteppedBack extends PhaseNow {
  note: string;
  /** Nothing was changed: the source is another process than the one that was compared, and has to be compared first. */
  compareFirst?: boolean;
}

/**
 * Makes the source the authority again: holds the writes, brings the source up to date from the target, phase both.
 * @param input.epoch what this migration has set last; none is known of a run of an earlier version
 * @param input.compared the processes that were found equal
 * @throws cutover.Invalid where the source is off: what the target took since is not on it; cutover.NotOurs where the source
 *   has lost what was set
 */
export async function stepBackDual({
  migration,
  epoch,
  commitMs,
  compared,
}: {
  migration: RedisDualWrite;
  epoch?: number;
  commitMs: number;
  compared?: DualProcesses;
}): Promise<SteppedBack> {
  return withControl(migration, async (key) => {
    const found = await releaseHold(key);
    if (authorityOf(found) === 'source') {
      if (epoch !== undefined && found.epoch < epoch) throw lostChange(migration.id, found, epoch);
      await copyPhase(migration, undefined);
      return { ...phaseNow(found), note: 'the source is the authority' };
    }
    if (found.phase === 'target') throw targetIsRight(found);
    const budgets = { ...migration.cutover.budgets, commitMs };
    const signal = Context.current().cancellationSignal;
    return asOurs(async () => {
      const sides: Compared = { processes: compared, sides: ['source'] };
      const held = await holdAndDrain(key, found, budgets, sides, signal).catch((error: unknown) => {
        if (error instanceof SidesChanged) return error;
        throw error;
      });
      if (held instanceof SidesChanged) return { ...phaseNow(found), note: held.message, compareFirst: true };
      const now = await key.change(held.control, { phase: 'both', reads: 'source' });
      await copyPhase(migration, undefined);
      return { ...phaseNow(now), note: 'the source was brought up to date, and is the authority again' };
    });
  });
}

/** A failover to a replica that had not heard of the change: what the target took meanwhile is named in its journal alone. */
const lostChange = (id: string, { phase, epoch }: DualControl, known: number) =>
  permanent(
    ErrorType.notOurs,
    `the source has lost the change of phase (it says ${phase}, epoch ${epoch}; epoch ${known} was set): the target may have acknowledged writes that the source lacks`,
    {
      remedy: `they are named in the journal on the target (ZRANGE ${dualKeys(id).touched} 0 -1, in each database): bring those over that the source lacks, then skip; nothing was removed`,
    },
  );
