/** What the checks of `redis-offline` look at. */
import { withElastiCache } from '../../../spec/kind-redis-online.ts';
import { restoreOf, type RedisOffline } from '../../../spec/kind-redis-offline.ts';
import { rdbArn, rdbObject } from '../../../spec/redis-rdb.ts';
import type { RestoreContext } from '../../elasticache/restore-checks.ts';
import { CannotCheck, type Check } from '../../preflight/check.ts';
import type { RedisOnlineContext } from '../preflight/context.ts';
import { redisProbe, type RedisProbe } from '../preflight/probe.ts';

export interface OfflineContext {
  migration: RedisOffline;
  /** Right before the fence an operator may have waited for days since the start. */
  moment: 'start' | 'before-fence';
  source: RedisProbe;
  /** For the checks of a source that `redis-online` has. */
  online: RedisOnlineContext;
  /** For those of a new group that `elasticache-restore` has. */
  restore: RestoreContext;
}

export type OfflineCheck = Check<OfflineContext>;

/** Close `source` when the checks are over. */
export function offlineContext(migration: RedisOffline, moment: OfflineContext['moment']): OfflineContext {
  const { id, source: endpoint, compare, to, s3 } = migration;
  const source = redisProbe('source', endpoint, `cutover:${id}:preflight`);
  const absent = (): never => {
    throw new CannotCheck(`${to.replicationGroup} is not there yet`);
  };
  const online = withElastiCache.parse({
    kind: 'redis-online',
    engine: 'elasticache',
    id,
    source: endpoint,
    target: { replicationGroup: to.replicationGroup },
  });
  const arn = rdbArn(rdbObject(s3, { migrationId: id, run: 'preflight' }));
  return {
    migration,
    moment,
    source,
    online: {
      migration: { ...online, compare },
      moment: moment === 'start' ? 'before-attach' : 'before-fence',
      source,
      // What is asked of it says that it can't be asked: the checks of a source do without.
      target: {
        side: 'target',
        endpoint,
        where: to.replicationGroup,
        connection: async () => absent(),
        call: async () => absent(),
        callAgain: async () => absent(),
        info: async () => absent(),
        setting: async () => absent(),
        version: async () => absent(),
        writeRate: async () => absent(),
        close: () => {},
      },
      replication: { host: endpoint.host, port: endpoint.port },
      targetSetting: async () => undefined,
      targetVersion: async () => absent(),
      targetSettingByHand: (name) => `aws elasticache describe-cache-parameters  # ${name}, of its parameter group`,
      targetSettingRemedy: (name, value) => `${name} ${value} in a parameter group of your own: to.parameterGroup`,
    },
    restore: { migration: restoreOf(migration, arn), source: async () => ({ s3: [arn] }) },
  };
}
