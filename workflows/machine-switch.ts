/** Users are sent to a restored machine by the file's hooks, and back. From the first hook on the machine stays. */
import type { HooksArgs } from '../activities/hooks/run-hooks.ts';
import type { Launched } from '../activities/machine/launch.ts';
import type { MachineRestore } from '../spec/kind-machine-restore.ts';
import type { activityProxies } from './activity-options.ts';
import { HookList } from './hook-list.ts';
import type { Run, Undo } from './runbook.ts';
import { runSwitchHooks, undoSwitchHooks } from './switch-hooks.ts';

type Act = ReturnType<typeof activityProxies>;

/** What the hooks are used for: carried to their undo, so that both tell a receiver the same. */
interface Use {
  machine: Launched;
  /** Of the run. */
  run: string;
}

function hookArgs(
  { id: migrationId, switch: hooks, switchPort, aws }: MachineRestore,
  { machine, run }: Use,
): HooksArgs {
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
  await run.step('switch', () =>
    runSwitchHooks(run, act, list, {
      args,
      arm: () => {
        // From here on users may write to it: no abort terminates what only it has.
        keepMachine(run, use.machine);
        run.arm({ id: 'hooks', undo: 'undo-hooks', arg: use, title: `the switch: ${list.titles}` });
      },
    }),
  );
}

/** Registered as `undo-hooks`. */
export function undoSwitchUndo(act: Act, migration: MachineRestore): Undo {
  return async (use: Use, run) => {
    const args = hookArgs(migration, use);
    const { undone, left } = await undoSwitchHooks(run, act, { args, summary: 'undo the switch' });
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
