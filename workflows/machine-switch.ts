/** Users are sent to a restored machine by the file's hooks, and back. From the first hook on the machine stays. */
import type { HookDone } from '../activities/hooks/run-hooks.ts';
import type { Launched } from '../activities/machine/launch.ts';
import type { MachineRestore } from '../spec/kind-machine-restore.ts';
import type { activityProxies } from './activity-options.ts';
import { reasonOf } from './failure-reason.ts';
import { HookList } from './hook-list.ts';
import type { Run, Undo } from './runbook.ts';

type Act = ReturnType<typeof activityProxies>;

/** How far the hooks came. In the status, so that it outlives a continue-as-new: their undo rests on it. */
interface HooksState {
  before: HookList['prepared'];
  done: HookDone[];
  from: number;
  /** Cut off in the middle, nobody told how far the hooks came. */
  cutOff: boolean;
}

/** What the hooks are used for: carried to their undo, so that both tell a receiver the same. */
interface Use {
  machine: Launched;
  /** Of the run. */
  run: string;
}

const stateOf = (run: Run) => run.status.report['switch'] as HooksState | undefined;

function hookArgs({ id: migrationId, switch: hooks, switchPort, aws }: MachineRestore, { machine, run }: Use) {
  return { migrationId, run, hooks, target: { host: machine.privateIp, port: switchPort }, aws };
}

/** The steps `look-ahead` and `switch`. */
export async function switchTo(run: Run, act: Act, migration: MachineRestore, use: Use): Promise<void> {
  const list = new HookList(migration.switch);
  const args = hookArgs(migration, use);
  // A step of its own: looked up again, after a try or a continue-as-new, it would find our own doing.
  list.prepared = (await run.step('look-ahead', () =>
    act.quick.prepareHooks.executeWithOptions({ summary: 'look ahead at the hooks' }, [args]),
  ))!;
  await run.step('switch', async () => {
    const known = stateOf(run);
    list.done = known?.done ?? [];
    list.from = known?.from ?? 0;
    const save = (cutOff: boolean) =>
      run.board.update((status) => {
        const state: HooksState = { before: list.prepared, done: list.done, from: list.from, cutOff };
        status.report['switch'] = state;
      });
    save(true);
    // From here on users may write to it: no abort terminates what only it has.
    keepMachine(run, use.machine);
    run.arm({ id: 'hooks', undo: 'undo-hooks', arg: use, title: `the switch: ${list.titles}` });
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
  });
}

/** Those that were begun, the last one first; all of them, where it is not known which. Registered as `undo-hooks`. */
export function undoSwitchUndo(act: Act, migration: MachineRestore): Undo {
  return async (use: Use, run) => {
    const { before, done: known, cutOff } = stateOf(run)!;
    const begun = new Set(known.map(({ index }) => index));
    const done: HookDone[] = before
      .filter(({ index }) => cutOff || begun.has(index))
      .map(({ index, undoState }) => ({ index, undoState, complete: false }));
    const { undone, left } = await act.wait.undoHooks.executeWithOptions({ summary: 'undo the switch' }, [
      { ...hookArgs(migration, use), done },
    ]);
    return {
      note: `${undone.length} hook(s) undone`,
      leftovers: left.map((title) => `${title}: its way back is not in the file`),
    };
  };
}

/** In place of the undo that terminates it. */
export function keepMachine(run: Run, machine: Launched): void {
  const title = `the machine ${machine.instanceId}, which stays`;
  run.arm({ id: 'machine', undo: 'keep-machine', arg: machine, title });
}

/** Registered as `keep-machine`: an abort names what it leaves. */
export const keptMachineUndo: Undo = ({ instanceId, privateIp }: Launched) =>
  Promise.resolve({
    note: `the machine ${instanceId} stays: users may have written to it`,
    leftovers: [
      `the machine ${instanceId} (${privateIp}): users may have written to it. Once it is not needed: aws ec2 terminate-instances --instance-ids ${instanceId}`,
    ],
  });
