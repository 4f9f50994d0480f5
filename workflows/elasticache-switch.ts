/** The application is sent to a restored group: a gate, then the file's hooks, and their way back. */
import { workflowInfo } from '@temporalio/workflow';
import type { GroupReading } from '../activities/elasticache/watch-group.ts';
import type { HooksArgs } from '../activities/hooks/run-hooks.ts';
import type { ElastiCacheRestore } from '../spec/kind-elasticache-restore.ts';
import type { activityProxies } from './activity-options.ts';
import { gate } from './gate.ts';
import { HookList } from './hook-list.ts';
import type { Run, Undo } from './runbook.ts';
import { runSwitchHooks, switchState, undoSwitchHooks } from './switch-hooks.ts';

type Act = ReturnType<typeof activityProxies>;

interface Address {
  host: string;
  port: number;
}

function hookArgs({ id: migrationId, switch: hooks, aws }: ElastiCacheRestore, { host, port }: Address): HooksArgs {
  return { migrationId, run: workflowInfo().firstExecutionRunId, hooks, target: { host, port }, aws };
}

/** The gate `approve-switch` and the step `switch`. */
export async function switchTo(
  run: Run,
  act: Act,
  migration: ElastiCacheRestore,
  target: { id: string; primary: Address },
): Promise<void> {
  const { id, primary } = target;
  const list = new HookList(migration.switch);
  const args = hookArgs(migration, primary);
  if (run.board.step('approve-switch').state !== 'done') {
    await gate<GroupReading>(run, 'approve-switch', {
      title: `Send the application to ${id}?`,
      opens: migration.gate,
      watch: (last) => act.watch.watchGroup.executeWithOptions({ summary: id }, [{ id, last, aws: migration.aws }]),
    });
  }
  await run.step('switch', async () => {
    list.prepared =
      switchState(run)?.before ?? (await act.quick.prepareHooks.executeWithOptions({ summary: 'look ahead' }, [args]));
    await runSwitchHooks(run, act, list, {
      args,
      arm: () => {
        // From here on the application may write to it: no abort deletes what only it has.
        run.arm({ id: 'group', undo: 'keep-group', arg: id, title: `the replication group ${id}, which stays` });
        run.arm({ id: 'hooks', undo: 'undo-hooks', arg: primary, title: list.titles });
      },
    });
  });
}

/** Registered as `undo-hooks`. */
export function undoHooksUndo(act: Act, migration: ElastiCacheRestore): Undo {
  return async (primary: Address, run) => {
    const args = hookArgs(migration, primary);
    const { left } = await undoSwitchHooks(run, act, { args, summary: 'undo the hooks' });
    return {
      note: 'the hooks are undone',
      leftovers: left.map((title) => `not undone, for the file names no way back: ${title}`),
    };
  };
}

/** Registered as `keep-group`: an abort names what it leaves. */
export const keptGroupUndo: Undo = (id: string) =>
  Promise.resolve({
    note: `the replication group ${id} stays: the application may have written to it`,
    leftovers: [
      `the replication group ${id}: the application may have written to it. Once it is not needed: kind: elasticache-retire`,
    ],
  });
