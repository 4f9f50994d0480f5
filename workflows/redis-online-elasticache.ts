/** `engine: elasticache`: TestMigration, StartMigration, CompleteMigration. A promotion takes AWS minutes. */
import { ApplicationFailure } from '@temporalio/workflow';
import type { CompleteAnswer } from '../activities/elasticache/complete-migration.ts';
import type { Watermark } from '../activities/elasticache/events.ts';
import type { MigrationInput } from '../spec/contract.ts';
import { ErrorType } from '../spec/errors.ts';
import type { RedisOnlineElastiCache } from '../spec/kind-redis-online.ts';
import { activityProxies, criticalOptions } from './activity-options.ts';
import type { RedisOnlineEngine } from './redis-online-engine.ts';
import { followReplication } from './redis-online-replication.ts';

const SLACK_MS = 15_000;
const CALL_MS = 60_000;
const CALL_AGAIN_MS = 1_000;
const FOREVER = -1;

export function elastiCacheEngine(input: MigrationInput, migration: RedisOnlineElastiCache): RedisOnlineEngine {
  const act = activityProxies(input);
  const group = migration.target.replicationGroup;
  let claimed = false;
  const watermark = () =>
    act.quick.groupWatermark.executeWithOptions({ summary: `newest event of ${group}` }, [{ migration }]);
  const detach = async () => {
    const since = await watermark();
    return act.wait.detachGroup.executeWithOptions({ summary: `CompleteMigration of ${group} with Force` }, [
      { migration, since },
    ]);
  };
  return {
    ...followReplication(act, migration),
    async testMigration() {
      const since = await watermark();
      return act.wait.testGroupMigration.executeWithOptions({ summary: `TestMigration of ${group}` }, [
        { migration, since },
      ]);
    },
    async attach() {
      const since = await watermark();
      if (!claimed) {
        await act.quick.claimForMigration.executeWithOptions({ summary: `tag ${group} as ours` }, [{ migration }]);
        claimed = true;
      }
      return act.wait.attachGroup.executeWithOptions({ summary: `StartMigration of ${group}` }, [{ migration, since }]);
    },
    detach,
    section(_run, attached, cutover) {
      const { budgets } = migration.cutover;
      let since: Watermark = { seen: [] };
      let answer: CompleteAnswer | undefined;
      const outcome = (withinMs: number) => {
        const proxy = withinMs === FOREVER ? act.watch : act.quick;
        return proxy.groupOutcome.executeWithOptions(
          {
            summary: 'was the target promoted?',
            ...(withinMs > 0 ? criticalOptions(input, withinMs + SLACK_MS, 0) : {}),
          },
          [{ migration, since, answer, withinMs }],
        );
      };
      const call = async () => {
        const told = await act.quick.completeGroupMigration.executeWithOptions(
          { ...criticalOptions(input, CALL_MS, 0), summary: `CompleteMigration of ${group}` },
          [{ migration, cutover }],
        );
        // A refusal proves that this call did nothing. It says nothing of an earlier one that may have been taken.
        const proof = answer === undefined || answer.answer === 'refused';
        answer = told.answer === 'refused' && !proof ? { ...told, answer: 'ambiguous' } : told;
        return answer;
      };
      return {
        id: 'cutover',
        fenceUndo: { undo: 'lift-fence', arg: { cutover }, title: 'the fence on the source' },
        async before(section) {
          since = await watermark();
          const budget = budgets.fence + budgets.drain;
          const fenced = await section.phase('fence and drain', budget, async () =>
            act.quick.fenceAndDrain.executeWithOptions(
              { ...criticalOptions(input, budget + SLACK_MS, budgets.fence), summary: 'fence the source, drain' },
              [{ migrationId: migration.id, source: migration.source, target: attached.target, cutover, budgets }],
            ),
          );
          section.attempt.fencedAt = fenced.fencedAt;
          section.fenceUp('the source refuses writes');
        },
        async commit(section) {
          await section.phase('complete', budgets.complete, async () => {
            const until = Date.now() + budgets.complete;
            for (;;) {
              const told = await call();
              const left = Math.max(0, until - Date.now());
              // A call that nobody answered may never have arrived: it is made again, with time left for its outcome.
              const within = told.answer === 'refused' ? 0 : told.answer === 'ambiguous' ? Math.ceil(left / 3) : left;
              const known = await outcome(within);
              if (known.outcome === 'switched') return;
              if (known.outcome === 'unknown' && told.answer === 'ambiguous' && left > CALL_AGAIN_MS) continue;
              throw ApplicationFailure.nonRetryable(`${told.message}; ${known.evidence}`, ErrorType.serviceFailed);
            }
          });
        },
        outcome: (patient) => outcome(patient ? FOREVER : 0),
        async again() {
          await call();
        },
        async giveUp() {
          await detach();
        },
      };
    },
    async tidyUp() {
      await act.quick.releaseGroup.executeWithOptions({ summary: `take our tag off ${group}` }, [{ migration }]);
    },
  };
}
