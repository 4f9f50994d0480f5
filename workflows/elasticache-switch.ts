/** The application is sent to a restored group: a gate, then the file's hooks, and their way back. */
import { workflowInfo } from '@temporalio/workflow';
import type { GroupReading } from '../activities/elasticache/watch-group.ts';
import type { HookDone } from '../activities/hooks/run-hooks.ts';
import type { ElastiCacheRestore } from '../spec/kind-elasticache-restore.ts';
import type { activityProxies } from './activity-options.ts';
import { reasonOf } from './failure-reason.ts';
import { gate } from './gate.ts';
import { HookList } from './hook-list.ts';
import type { Run, Undo } from './runbook.ts';

type Act = ReturnType<typeof activityProxies>;

interface Address {
  host: string;
  port: number;
}

/** How far the hooks came. In the status, so that it outlives a continue-as-new: their undo rests on it. */
interface HooksState {
  /** What was there before the first try: a second one would find our own doing. */
  before: HookList['prepared'];
  done: HookDone[];
  from: number;
  /** Cut off in the middle, nobody told how far the hooks came. */
  cutOff: boolean;
}

const stateOf = (run: Run) => run.status.report['switch'] as HooksState | undefined;
const note = (run: Run, state: HooksState) =>
  run.board.update((status) => {
    status.report['switch'] = state;
  });

function hookArgs({ id: migrationId, switch: hooks, aws }: ElastiCacheRestore, { host, port }: Address) {
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
    const known = stateOf(run);
    list.prepared =
      known?.before ?? (await act.quick.prepareHooks.executeWithOptions({ summary: 'look ahead' }, [args]));
    list.done = known?.done ?? [];
    list.from = known?.from ?? 0;
    const save = (cutOff: boolean) => note(run, { before: list.prepared, done: list.done, from: list.from, cutOff });
    save(true);
    // From here on the application may write to it: no abort deletes what only it has.
    run.arm({ id: 'group', undo: 'keep-group', arg: id, title: `the replication group ${id}, which stays` });
    run.arm({ id: 'hooks', undo: 'undo-hooks', arg: primary, title: list.titles });
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
export function undoHooksUndo(act: Act, migration: ElastiCacheRestore): Undo {
  return async (primary: Address, run) => {
    const { before, done: known, cutOff } = stateOf(run)!;
    const begun = new Set(known.map(({ index }) => index));
    const done: HookDone[] = before
      .filter(({ index }) => cutOff || begun.has(index))
      .map(({ index, undoState }) => ({ index, undoState, complete: false }));
    const { left } = await act.wait.undoHooks.executeWithOptions({ summary: 'undo the hooks' }, [
      { ...hookArgs(migration, primary), done },
    ]);
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
