/** `replication.engine: dms`: AWS DMS, full load with CDC (facts/postgres-dms 2 to 4). */
import type { DmsResources } from '../activities/dms/resources.ts';
import type { MigrationInput } from '../spec/contract.ts';
import type { Postgres } from '../spec/kind-postgres.ts';
import { activityProxies, criticalOptions } from './activity-options.ts';
import { dmsSteps } from './postgres-dms-plan.ts';
import type { ReplicationEngine } from './postgres-replication.ts';

export function dmsEngine(input: MigrationInput<Postgres>): ReplicationEngine {
  const { migration } = input;
  const act = activityProxies(input);
  const resources: Partial<DmsResources> = {};
  const given = () => ({ migration, resources: resources as DmsResources });
  const critical = (budgetMs: number) => criticalOptions(input, budgetMs);
  return {
    ...dmsSteps(migration),
    async prepare(run, plan) {
      run.arm({ id: 'replication', undo: 'clean-up-replication', arg: null, title: 'the DMS resources' });
      Object.assign(
        resources,
        await run.step('dms-instance', () =>
          act.wait.ensureDmsInstance.executeWithOptions({ summary: 'replication instance' }, [{ migration }]),
        ),
      );
      Object.assign(
        resources,
        await run.step('dms-endpoints', async () => {
          const endpoints = await act.quick.ensureDmsEndpoints.executeWithOptions({ summary: 'endpoints' }, [
            { migration },
          ]);
          Object.assign(resources, endpoints);
          await act.wait.testDmsConnections.executeWithOptions({ summary: 'connection tests' }, [given()]);
          return endpoints;
        }),
      );
      Object.assign(
        resources,
        await run.step('dms-task', () =>
          act.wait.ensureDmsTask.executeWithOptions({ summary: 'task' }, [{ ...given(), plan }]),
        ),
      );
    },
    async start() {
      await act.wait.startDms.executeWithOptions({ summary: 'start, or resume' }, [given()]);
    },
    watch: (plan, until, last) =>
      act.watch.watchDms.executeWithOptions({ summary: last ? `after: ${last.phase}` : 'watch the DMS task' }, [
        { ...given(), plan, until, ...(last ? { last } : {}) },
      ]),
    async pause() {
      await act.wait.pauseDms.executeWithOptions({ summary: 'stop the task, its slot stays' }, [given()]);
    },
    async resume() {
      await act.wait.resumeDms.executeWithOptions({ summary: 'resume the task' }, [given()]);
    },
    async reload(tables) {
      const { since } = await act.quick.reloadDmsTables.executeWithOptions({ summary: 'reload tables' }, [
        { ...given(), tables, option: 'data-reload' },
      ]);
      await act.wait.awaitDmsReload.executeWithOptions({ summary: 'until they are loaded' }, [
        { ...given(), tables, since },
      ]);
    },
    async revalidate(tables) {
      await act.quick.reloadDmsTables.executeWithOptions({ summary: 'validate tables again' }, [
        { ...given(), tables, option: 'validate-only' },
      ]);
    },
    async leaveOut(plan, table) {
      await act.wait.leaveOutDmsTable.executeWithOptions({ summary: 'take a table out of the task' }, [
        { ...given(), plan, table },
      ]);
    },
    unproven: (plan, state) =>
      plan.tables.filter(
        (table) =>
          table.treatment === 'replicated' && (!state.validation || table.primaryKey.length === 0 || table.partitioned),
      ),
    async drain(plan, fence, budgetMs) {
      await act.quick.drainDms.executeWithOptions({ ...critical(budgetMs), summary: 'marker and counters' }, [
        { ...given(), plan, marker: fence.marker, budgetMs },
      ]);
    },
    async stop(budgetMs) {
      await act.quick.stopDms.executeWithOptions({ ...critical(budgetMs), summary: 'stop the task' }, [given()]);
    },
    async cleanUp() {
      const { deleted, leftovers } = await act.wait.cleanUpDms.executeWithOptions(
        { summary: 'delete the DMS resources' },
        [given()],
      );
      return { note: deleted.length > 0 ? `deleted: ${deleted.join(', ')}` : 'nothing was left to delete', leftovers };
    },
  };
}
