/** `engine: replicaof`: any Redis or Valkey target. The critical section is one activity (activities/redis/switch-over.ts). */
import type { SwitchOverFacts } from '../activities/redis/switch-over.ts';
import type { MigrationInput } from '../spec/contract.ts';
import type { RedisOnlineReplicaOf } from '../spec/kind-redis-online.ts';
import { activityProxies, criticalOptions } from './activity-options.ts';
import type { Outcome } from './critical-section.ts';
import { reasonOf } from './failure-reason.ts';
import type { RedisOnlineEngine } from './redis-online-engine.ts';
import { followReplication } from './redis-online-replication.ts';
import { hooksRun } from './run-identity.ts';

// Temporal's own limit lies beyond the activity's: the activity ends itself, and knows what it did.
const SLACK_MS = 15_000;

export function replicaOfEngine(input: MigrationInput, migration: RedisOnlineReplicaOf): RedisOnlineEngine {
  const act = activityProxies(input);
  const from = migration.source.replicationAddress ?? migration.source;
  return {
    ...followReplication(act, migration),
    async attach() {
      const attached = await act.quick.attachReplicaOf.executeWithOptions(
        { summary: `REPLICAOF ${from.host} ${from.port}` },
        [{ migration }],
      );
      return { ...attached, target: migration.target };
    },
    async detach() {
      return act.undo.detachReplicaOf.executeWithOptions({ summary: 'REPLICAOF NO ONE' }, [{ migration }]);
    },
    section(run, _attached, cutover, list) {
      const { budgets } = migration.cutover;
      const hooks = migration.switch.reduce((sum, hook) => sum + hook.timeout, 0);
      const budget = budgets.fence + budgets.drain + budgets.complete + budgets.canary + hooks;
      let told: Outcome | undefined;
      const outcome = async (patient: boolean): Promise<Outcome> => {
        // The activity knows; a server that is down by now could not be asked.
        if (told) return told;
        const proxy = patient ? act.watch : act.quick;
        return proxy.replicaOfOutcome.executeWithOptions({ summary: 'was the target promoted?' }, [
          { migration, cutover, patient },
        ]);
      };
      return {
        id: 'cutover',
        fenceUndo: { undo: 'lift-fence', arg: { cutover }, title: 'the fence on the source' },
        async commit(section) {
          try {
            await section.phase('fence to switch', budget, async () =>
              act.quick.switchOver.executeWithOptions(
                {
                  ...criticalOptions(input, budget + SLACK_MS, budgets.fence),
                  summary: 'fence, drain, promote, canary, switch',
                },
                [{ migration, cutover, hooksBefore: list.before, hooksRun: hooksRun(cutover) }],
              ),
            );
          } catch (error) {
            const known = reasonOf(error).facts;
            list.failed(known);
            const facts = known as unknown as SwitchOverFacts | undefined;
            if (facts?.phases) section.attempt.phases.push(...facts.phases);
            if (facts?.promoted === 'no') told = { outcome: 'not-switched', evidence: 'REPLICAOF NO ONE was not sent' };
            if (facts?.promoted === 'yes') told = { outcome: 'switched', evidence: 'ROLE on the target said master' };
            if (facts?.raisedAt !== undefined) section.attempt.fencedAt = facts.raisedAt;
            throw error;
          }
          // The activity has also done what would come next.
          run.complete('canary', null, 'done inside the critical section');
          run.complete('switch', null, 'done inside the critical section');
        },
        outcome,
        async giveUp() {
          await act.undo.giveUpReplicaOf.executeWithOptions({ summary: 'the target gives up' }, [
            { migration, cutover },
          ]);
        },
      };
    },
    async tidyUp() {
      await act.quick.forgetSourceCredentials.executeWithOptions(
        { summary: 'the target forgets the source’s password' },
        [{ migration }],
      );
    },
  };
}
