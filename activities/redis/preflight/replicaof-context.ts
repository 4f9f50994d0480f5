/** The context of `engine: replicaof`: two Redis or Valkey servers. */
import type { RedisOnlineReplicaOf } from '../../../spec/kind-redis-online.ts';
import { redisCli } from './commands.ts';
import type { RedisOnlineContext, SharedContext } from './context.ts';
import { redisProbe } from './probe.ts';

/** Not settable while it runs: these are in redis.conf alone. */
const FIXED = new Set(['databases']);

export function replicaOfContext(migration: RedisOnlineReplicaOf, shared: SharedContext): RedisOnlineContext {
  const target = redisProbe('target', migration.target, `cutover:${migration.id}:preflight`);
  return {
    ...shared,
    migration,
    target,
    targetSetting: (name) => target.setting(name),
    targetVersion: () => target.version(),
    targetSettingByHand: (name) => redisCli(migration.target, 'CONFIG', 'GET', name),
    targetSettingRemedy: (name, value) =>
      FIXED.has(name)
        ? `set "${name} ${value}" in redis.conf of the target ${target.where}, and restart it`
        : redisCli(migration.target, 'CONFIG', 'SET', name, value),
  };
}
