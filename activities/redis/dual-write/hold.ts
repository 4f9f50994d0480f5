/**
 * Moving the authority: no instance sends a write, what was touched is brought over until nothing is left, reads are turned,
 * and only then may the other side be written first. Every change is one compare-and-set on the source; a hold that runs
 * out ends by itself in the phase that it came from, and no script moves on from it.
 */
import {
  authorityOf,
  DUAL_MARGIN_MS,
  holdOver,
  otherSide,
  type DualControl,
  type DualSide,
  type HoldFrom,
} from '../../../spec/dual-write.ts';
import { ErrorType } from '../../../spec/errors.ts';
import type { PhaseTiming } from '../../../spec/status.ts';
import { permanent, transient } from '../../errors.ts';
import { acksWithin } from './acks.ts';
import type { ControlKey } from './control.ts';
import { endConnections, readInstances } from './instances.ts';
import { journalSize, repairTouched } from './journal.ts';
import { changedSince, DualSession, type DualProcesses } from './session.ts';

export interface HoldBudgets {
  hold: number;
  drain: number;
  /** For the last change, after the reads were turned. */
  commitMs: number;
}

/** What has to be as it was when both sides were found equal. */
export interface Compared {
  processes: DualProcesses | undefined;
  sides: readonly DualSide[];
}

/** Nothing was held, nor changed. What is to be done about it is the caller's to say. */
export class SidesChanged extends Error {
  override readonly name = 'SidesChanged';
}

export interface Held {
  control: DualControl;
  /** Epoch ms, by the worker's clock. */
  heldAt: number;
  phases: PhaseTiming[];
}

/**
 * Holds all writes, brings the other side up to date, and turns the reads. What is left to do is the one change of phase.
 * @param from the control as it is: the phase to move from, or a hold of it that an earlier attempt left
 * @throws SidesChanged, before anything is held, where a side is not what was compared; cutover.Deadline and whatever
 *   stood in the way, after the hold was released
 */
export async function holdAndDrain(
  key: ControlKey,
  from: DualControl,
  budgets: HoldBudgets,
  compared: Compared,
  signal: AbortSignal | undefined,
): Promise<Held> {
  const { migration } = key;
  const holdFrom: HoldFrom = authorityOf(from) === 'source' ? 'both' : 'target-first';
  const authority = authorityOf(from);
  // Opened before: connecting is no part of the pause. It also ends a repair that was under way.
  const session = await DualSession.open(migration, authority, signal);
  try {
    const changed = changedSince(compared.processes, session.processes(), compared.sides);
    if (changed) throw new SidesChanged(changed);
    const heldAt = Date.now();
    const began = performance.now();
    let control = await raise(key, from, holdFrom, budgets);
    try {
      await acksWithin(key, control, budgets.hold, signal);
      const held = performance.now();
      await quieten(key, session);
      await drain(session, migration.id, began + budgets.hold + budgets.drain);
      control = await key.change(control, { ...holdFields(control), reads: otherSide(authority) });
      await acksWithin(key, control, Math.max(1, began + budgets.hold + budgets.drain - performance.now()), signal);
      await requireEmpty(session, migration.id);
      // The other side was last asked before the instances acknowledged where they read: it must not have gone since.
      await session.settle();
      return {
        control,
        heldAt,
        phases: [
          { name: 'hold', ms: Math.round(held - began), budgetMs: budgets.hold },
          { name: 'drain', ms: Math.round(performance.now() - held), budgetMs: budgets.drain },
        ],
      };
    } catch (error) {
      // Frozen meanwhile: another attempt may have gone on, and its hold is not ours to release.
      if (!key.stoodStill) {
        await releaseHold(key).catch(() => {
          // The workflow releases it with retries and shows why where it can't; and it runs out by itself.
        });
      }
      throw error;
    }
  } finally {
    session.close();
  }
}

const holdFields = ({ holdFrom, holdUntil }: DualControl) => ({
  phase: 'hold' as const,
  ...(holdFrom === undefined ? {} : { holdFrom }),
  ...(holdUntil === undefined ? {} : { holdUntil }),
});

async function raise(
  key: ControlKey,
  from: DualControl,
  holdFrom: HoldFrom,
  { hold, drain, commitMs }: HoldBudgets,
): Promise<DualControl> {
  const { nowMs } = await key.read();
  const holdUntil = nowMs + hold + drain + commitMs + 2 * DUAL_MARGIN_MS;
  return key.change(from, { phase: 'hold', holdFrom, holdUntil, reads: holdFrom === 'both' ? 'source' : 'target' });
}

/**
 * Nobody sends a write any more. What a dead or stopped process, or one whose write was given up, may have on its way ends
 * here: its connections are closed, and each server has then answered twice.
 */
async function quieten(key: ControlKey, session: DualSession): Promise<void> {
  const known = await readInstances(key);
  const healthy = new Set(known.filter(({ instance }) => instance?.failedSecondWrites === 0).map(({ name }) => name));
  const alive = new Set(known.map(({ name }) => name));
  await endConnections(key.migration, (name, side) =>
    // Reads go on at the authority; the other side has nothing under way that somebody waits for.
    side === session.authoritySide ? !alive.has(name) : !healthy.has(name),
  );
  await session.settle();
}

const PAUSE_MS = 20;

/** Both journals: a write may have reached the other side alone, and its key is brought back to what the authority has. */
async function drain(session: DualSession, id: string, deadline: number): Promise<void> {
  for (;;) {
    let left = 0;
    for (const journal of [session.authority, session.other]) {
      await session.during(() => repairTouched(session, id, journal, 0));
      left += (await journalSize(journal, id, 0)).all;
    }
    if (left === 0) return;
    if (performance.now() > deadline) {
      throw permanent(ErrorType.deadline, `${left} touched keys were not equal on both sides within the budget`, {
        remedy: 'wait until fewer are touched, or give cutover.budgets.drain more time',
      });
    }
    await session.wait(PAUSE_MS);
  }
}

/** @throws cutover.Differs where something was written while all instances held their writes */
async function requireEmpty(session: DualSession, id: string): Promise<void> {
  const { all } = await journalSize(session.authority, id, 0);
  if (all === 0) return;
  throw permanent(ErrorType.differs, `${all} keys were written while every instance held its writes`, {
    remedy:
      'find the process that uses the library with this id and does not acknowledge (CLIENT LIST on both servers)',
  });
}

/**
 * Ends a hold, in the phase that it came from. Where reads had been turned they are turned back first, and only when nobody
 * can read from the other side any more may writes go on. Another worker may have begun with it, and have died in between.
 * @returns the control as it is; where there is no hold, unchanged
 */
export async function releaseHold(key: ControlKey): Promise<DualControl> {
  for (let round = 0; round < 5; round++) {
    const { control, nowMs } = await key.read();
    if (control.phase !== 'hold' || control.holdFrom === undefined) return control;
    const authority = authorityOf(control);
    const released = { phase: control.holdFrom, reads: authority };
    const turned = control.reads !== authority;
    try {
      if (turned && nowMs >= holdOver(control)) return await key.change(control, released);
      const back = turned ? await key.change(control, { ...holdFields(control), reads: authority }) : control;
      return await key.change(back, released, await readsTurned(key, back));
    } catch (error) {
      // Changed meanwhile, or the time for it has come or gone: read anew.
      if (!(error instanceof Error) || error.name !== 'ApplicationFailure' || round === 4) throw error;
      await key.wait(PAUSE_MS);
    }
  }
  throw transient(ErrorType.busy, 'the hold of the writes could not be released: the control key changes all the time');
}

/**
 * Until every instance has acknowledged where it reads, or can't read any more because its lease is over.
 * @returns have all acknowledged it?
 */
async function readsTurned(key: ControlKey, { epoch, readsUntil }: DualControl): Promise<boolean> {
  if (readsUntil === undefined) return false; // they were never turned: nothing to wait for
  for (;;) {
    const known = await readInstances(key);
    if (known.every(({ instance }) => instance?.epoch === epoch)) return true;
    const { control: now, nowMs } = await key.read();
    // Where somebody else has changed it, the change that was to follow says so.
    if (nowMs >= readsUntil || now.epoch !== epoch) return false;
    await key.wait(PAUSE_MS);
  }
}
