/** The file's hooks in the step `switch` of a restore, and their way back: how far they came outlives every failure. */
import type { HookDone, HooksArgs } from '../activities/hooks/run-hooks.ts';
import type { activityProxies } from './activity-options.ts';
import { reasonOf } from './failure-reason.ts';
import type { HookList } from './hook-list.ts';
import type { Run } from './runbook.ts';

type Act = ReturnType<typeof activityProxies>;

/** How far the hooks came. In the status, so that it outlives a continue-as-new: their undo rests on it. */
interface HooksState {
  /** What was there before the first try: a second one would find our own doing. */
  before: HookList['prepared'];
  done: HookDone[];
  from: number;
  /** Cut off in the middle, nobody told how far the hooks came. */
  cutOff: boolean;
}

/** Undefined where none was begun. */
export function switchState(run: Run): HooksState | undefined {
  return run.status.report['switch'] as HooksState | undefined;
}

/**
 * Runs those that are still to be run. `list.prepared` is set already; `arm` arms the undo of the hooks, and whatever else
 * holds from the first hook on.
 * @throws as the activity runHooks
 */
export async function runSwitchHooks(
  run: Run,
  act: Act,
  list: HookList,
  { args, arm }: { args: HooksArgs; arm: () => void },
): Promise<void> {
  const known = switchState(run);
  list.done = known?.done ?? [];
  list.from = known?.from ?? 0;
  const save = (cutOff: boolean) =>
    run.board.update((status) => {
      const state: HooksState = { before: list.prepared, done: list.done, from: list.from, cutOff };
      status.report['switch'] = state;
    });
  save(true);
  arm();
  try {
    const { done } = await act.wait.runHooks.executeWithOptions({ summary: list.titles }, [
      { ...args, from: list.from, before: list.before },
    ]);
    list.note(done);
    save(false);
  } catch (error) {
    const { facts } = reasonOf(error);
    list.failed(facts);
    save(!Array.isArray(facts?.['done']));
    throw error;
  }
}

/**
 * Undoes those that were begun, the last one first; all of them, where it is not known which.
 * @returns as the activity undoHooks: `left` names those that the file has no way back for
 */
export function undoSwitchHooks(
  run: Run,
  act: Act,
  { args, summary }: { args: HooksArgs; summary: string },
): Promise<{ undone: number[]; left: string[] }> {
  const { before, done: known, cutOff } = switchState(run)!;
  const begun = new Set(known.map(({ index }) => index));
  const done: HookDone[] = before
    .filter(({ index }) => cutOff || begun.has(index))
    .map(({ index, undoState }) => ({ index, undoState, complete: false }));
  return act.wait.undoHooks.executeWithOptions({ summary }, [{ ...args, done }]);
}
