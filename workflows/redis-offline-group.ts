/** The new group of `redis-offline`: made from the RDB, waited for, and deleted by an abort. */
import type { Restored, RestorePlan } from '../activities/elasticache/restore-group.ts';
import type { MigrationInput } from '../spec/contract.ts';
import { restoreOf, type RedisOffline } from '../spec/kind-redis-offline.ts';
import { rdbArn, type UploadedRdb } from '../spec/redis-rdb.ts';
import { activityProxies } from './activity-options.ts';
import type { OfflineFencing } from './redis-offline-fence.ts';
import type { RunIdentity } from './run-identity.ts';
import type { Run } from './runbook.ts';

export interface MadeArg {
  id: string;
  migrationId: string;
  run: string;
  aws: { region?: string | undefined };
  /** Until when the call may have been under way, epoch ms: a group that is not listed yet may still appear. */
  begunAt?: number;
}

export interface NewGroup {
  restored: Restored;
  plan: RestorePlan;
}

export class OfflineGroup {
  private readonly migration: RedisOffline;
  private readonly act: ReturnType<typeof activityProxies>;
  private readonly fencing: OfflineFencing;

  constructor(input: MigrationInput<RedisOffline>, fencing: OfflineFencing) {
    this.migration = input.migration;
    this.act = activityProxies(input);
    this.fencing = fencing;
  }

  get id(): string {
    return this.migration.to.replicationGroup;
  }

  /** The step `create`. */
  async create(run: Run, { migrationId, run: runId }: RunIdentity, uploaded: UploadedRdb): Promise<NewGroup> {
    const { migration, act, id } = this;
    const { aws, timeout } = migration;
    const made: MadeArg = { id, migrationId, run: runId, aws };
    const restore = restoreOf(migration, rdbArn(uploaded, partitionOf(aws.region)));
    return (await run.step(
      'create',
      async () => {
        // A try that failed leaves a group that never recovers; AWS wants it deleted first.
        await act.wait.clearBroken.executeWithOptions({ summary: 'what an earlier try left' }, [made]);
        await act.quick.requireLoadableRdb.executeWithOptions({ summary: 'can it be loaded there?' }, [
          { migration, rdb: uploaded.rdb },
        ]);
        const plan = await act.quick.planGroupRestore.executeWithOptions({ summary: 'what the group is to be' }, [
          { migration: restore, target: id },
        ]);
        const since = await act.quick.backupWatermark.executeWithOptions({ summary: 'newest event' }, [
          { sources: [{ id }], aws },
        ]);
        const begun = () => {
          const arg: MadeArg = { ...made, begunAt: Date.now() };
          const title = `the replication group ${id}`;
          this.fencing.armUnder(run, { id: 'group', undo: 'delete-group', arg, title });
        };
        begun();
        // Again at its end: its last attempt may have called until then, and nobody has heard the answer.
        await act.quick.createRestored
          .executeWithOptions({ summary: `CreateReplicationGroup ${id}` }, [{ ...made, migration: restore, plan }])
          .finally(begun);
        const restored = await this.fencing.phase(run, 'create', () =>
          act.wait.awaitRestored.executeWithOptions({ summary: `until ${id} is available` }, [
            { ...made, shape: plan.shape, since, timeoutMs: timeout },
          ]),
        );
        return { restored, plan };
      },
      ({ restored: { primary, nodes } }) => `${id} is available at ${primary.host}:${primary.port}, ${nodes} node(s)`,
    ))!;
  }

  /** Registered as `delete-group`. */
  async delete(made: MadeArg): Promise<{ note: string }> {
    const { id } = made;
    const { removed, notOurs } = await this.act.wait.removeMadeGroup.executeWithOptions({ summary: `delete ${id}` }, [
      made,
    ]);
    if (removed) return { note: `the replication group ${id} is deleted, and gone` };
    return {
      note: notOurs
        ? `the replication group ${id} is not the one that this run made, and is left alone`
        : `there is no replication group ${id}`,
    };
  }
}

function partitionOf(region: string | undefined): string {
  if (region?.startsWith('cn-')) return 'aws-cn';
  return region?.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
}
