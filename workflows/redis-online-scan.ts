/**
 * `engine: scan`: the keys are copied by SCAN, and followed by keyspace notifications. One activity does both, the follower,
 * beside the steps (activities/redis/follow). Nothing is promoted: until the hooks send an application to the target, lifting
 * the fence undoes everything.
 */
import { CancellationScope, condition, patched, workflowInfo } from '@temporalio/workflow';
import type { DrainedCopy } from '../activities/redis/follow/fence-and-drain.ts';
import type { MigrationInput } from '../spec/contract.ts';
import type { RedisOnlineScan } from '../spec/kind-redis-online.ts';
import type { SyncState } from '../spec/redis-sync.ts';
import { activityProxies, criticalOptions } from './activity-options.ts';
import { runBeside, type Beside } from './beside.ts';
import type { Outcome } from './critical-section.ts';
import type { RedisOnlineEngine } from './redis-online-engine.ts';
import type { Run } from './runbook.ts';

const SLACK_MS = 15_000;
const BEFORE_HOOKS_MS = 60_000;
const NOTIFICATIONS = 'notifications';
/** `patched`: the canary is a part of the section, and an abort undoes everything until the hooks begin. */
export const BACK_UNTIL_HOOKS = 'back-until-hooks';

export function scanEngine(input: MigrationInput, migration: RedisOnlineScan): RedisOnlineEngine {
  const act = activityProxies(input);
  const { id: migrationId, source, target } = migration;
  const shelter = new CancellationScope({ cancellable: false });
  let follower: Beside | undefined;
  let claim = '';
  let claims = 0;
  /** Of the cutover under way: what has to hold until the hooks begin. */
  let closing: { fence: DrainedCopy['fence']; generation: number } | undefined;

  /** Takes the target and begins to follow; what is there from before is compared first. */
  const begin = async (again: boolean): Promise<Beside> => {
    claims += 1;
    claim = `${workflowInfo().runId}:${claims}`;
    const given = { migration, claim };
    const taken = await act.quick.takeCopyTarget.executeWithOptions({ summary: 'take the target' }, [
      { ...given, again },
    ]);
    const fresh = !again && !taken.mayHoldKeys;
    follower = runBeside(shelter, () =>
      act.follow.followCopy.executeWithOptions({ summary: 'copy, and follow' }, [{ ...given, fresh }]),
    );
    return follower;
  };
  /** The follower, begun again where it has ended. @throws what it failed with, once: whoever retries begins it anew */
  const following = async (): Promise<Beside> => {
    const { outcome } = follower ?? {};
    if (follower && !outcome) return follower;
    follower = undefined;
    if (outcome && 'error' in outcome) throw outcome.error;
    return begin(true);
  };
  const endFollower = async (): Promise<void> => {
    follower?.cancel();
    await follower?.over;
    follower = undefined;
  };

  return {
    async attach(run) {
      await switchNotificationsOn(run);
      await begin(false);
      return { note: 'every key is copied, and what is touched meanwhile is followed', syncFull: 0, target };
    },

    async detach() {
      await endFollower();
      // An attempt that lets go and dies has said what it left to nobody, and the next one finds nothing of its own.
      const keepClaim = patched('left-before-forgotten');
      const left = await act.undo.letGoOfCopyTarget.executeWithOptions({ summary: 'end the copy' }, [
        { migration, keepClaim },
      ]);
      if (keepClaim)
        await act.undo.forgetCopy.executeWithOptions({ summary: 'our keys on the target' }, [{ migration }]);
      return left;
    },

    catchesUp: true,

    async watch(run, _attached, last, intervalFactor): Promise<SyncState> {
      const beside = await following();
      const { maxLag, readings, interval } = migration.inSync;
      const scope = new CancellationScope();
      const watched = scope.run(() =>
        act.watch.watchCopy.executeWithOptions({ summary: 'watch the follower' }, [
          { migrationId, target, claim, intervalMs: interval * intervalFactor, maxLagMs: maxLag, readings, last },
        ]),
      );
      const settled = watched.then(
        () => true,
        () => true,
      );
      let seen = false;
      void settled.then(() => (seen = true));
      await condition(() => seen || beside.outcome !== undefined);
      if (seen) {
        const state = await watched;
        const known = run.status.warnings;
        for (const note of state.notes ?? []) if (!known.includes(note)) run.board.warn(note);
        return state;
      }
      scope.cancel();
      await settled;
      await following();
      // It ended without a failure, and has been begun again: nothing is known of it yet.
      return { phase: 'attaching', readBytes: 0, totalBytes: -1, inSync: false, fullSyncs: 0, tenth: 0 };
    },

    section(run, _attached, cutover) {
      const { budgets } = migration.cutover;
      let drained: DrainedCopy | undefined;
      return {
        id: 'cutover',
        fenceUndo: { undo: 'lift-fence', arg: { cutover }, title: 'the fence on the source' },
        async before(section) {
          const budget = budgets.fence + budgets.drain;
          drained = await section.phase('fence and drain', budget, async () =>
            act.quick.fenceAndDrainCopy.executeWithOptions(
              { ...criticalOptions(input, budget + SLACK_MS, budgets.fence), summary: 'fence the source, drain' },
              [{ migration, cutover }],
            ),
          );
          section.attempt.fencedAt = drained.fencedAt;
          section.fenceUp('the source refuses writes');
          const { totals, notes, fence } = drained;
          if (fence.note) run.board.warn(fence.note);
          run.board.update((status) => {
            status.report['copy'] = { ...totals, notes };
          });
        },
        async commit(section) {
          const { fence, generation } = drained!;
          closing = { fence, generation };
          await section.phase('complete', budgets.complete, async () =>
            act.quick.closeCopy.executeWithOptions(
              {
                ...criticalOptions(input, budgets.complete + SLACK_MS),
                summary: 'nobody of ours writes to the target',
              },
              [{ migration, fence, generation }],
            ),
          );
          if (!patched(BACK_UNTIL_HOOKS)) return;
          // In here, where it is undone if it fails: a target that died meanwhile must not leave the source fenced.
          await section.phase('canary', budgets.canary, async () =>
            act.quick.canaryOnTarget.executeWithOptions(
              { ...criticalOptions(input, budgets.canary + SLACK_MS), summary: 'canary' },
              [{ migrationId, target }],
            ),
          );
          run.complete('canary', null, 'done inside the critical section');
        },
        // Whatever came of the call: no application was sent to the target, and its copy can be gone on with.
        outcome: async (): Promise<Outcome> => ({
          outcome: 'not-switched',
          evidence: 'no application was sent to the target',
        }),
        giveUp: async () => {},
      };
    },

    async beforeHooks() {
      // A source that restarted since has forgotten the fence, and what it has taken is nowhere else.
      await act.quick.closeCopy.executeWithOptions(
        // Writes are refused: where it can't be told soon, an operator has to know.
        { summary: 'the fence still stands', scheduleToCloseTimeout: BEFORE_HOOKS_MS },
        [{ migration, ...closing!, sendingNow: true }],
      );
    },

    async tidyUp(_attached, run) {
      await endFollower();
      await act.quick.forgetCopy.executeWithOptions({ summary: 'our keys on the target' }, [{ migration }]);
      await run.undoNow(NOTIFICATIONS);
    },

    pauseBeside: endFollower,
  };

  async function switchNotificationsOn(run: Run): Promise<void> {
    if (migration.notifications !== 'switch-on') return;
    const given = { migrationId, source };
    const nodes = await act.quick.readNotifications.executeWithOptions({ summary: 'what they are set to' }, [given]);
    // Where the step is tried again they are on by now: what they were set to before is what is armed already. Only of a
    // node that became a primary since is the reading of now the one to put back.
    const armed = run.armed(NOTIFICATIONS)?.arg as { nodes: typeof nodes } | undefined;
    const before = armed?.nodes ?? [];
    const nameOf = ({ at }: (typeof nodes)[number]) => `${at.host}:${at.port}`;
    const known = new Set(before.map(nameOf));
    run.arm({
      id: NOTIFICATIONS,
      undo: 'restore-notifications',
      arg: { nodes: [...before, ...nodes.filter((node) => !known.has(nameOf(node)))] },
      title: 'notify-keyspace-events on the source',
    });
    // Behind them, so that it is undone first: a follower that hears nothing any more would say that it fails.
    run.arm({ id: 'attach', undo: 'detach', arg: null, title: 'the copy to the target' });
    const { note } = await act.quick.switchOnNotifications.executeWithOptions({ summary: 'switch them on' }, [
      { ...given, nodes },
    ]);
    run.board.warn(`${note}, until the migration ends`);
  }
}
