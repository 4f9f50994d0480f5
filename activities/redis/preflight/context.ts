/** What the checks of `redis-online` look at. */
import type { RedisOnlineReplicating } from '../../../spec/kind-redis-online.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import type { Check } from '../../preflight/check.ts';
import type { Info, RedisProbe } from './probe.ts';
import type { EngineVersion } from './versions.ts';

export interface RedisOnlineContext {
  migration: RedisOnlineReplicating;
  /** What is right before the target is attached (a primary, empty) is wrong before the fence, and the other way round. */
  moment: 'before-attach' | 'before-fence';
  source: RedisProbe;
  /** The file's target, or the primary of the replication group. */
  target: RedisProbe;
  /** Where the target reaches the source. */
  replication: { host: string; port: number };
  /** A setting of the target: by CONFIG GET, or from the parameter group, because ElastiCache blocks CONFIG. */
  targetSetting(name: string): Promise<string | undefined>;
  targetVersion(): Promise<EngineVersion>;
  /** How to read a setting of the target by hand. */
  targetSettingByHand(name: string): string;
  /** How to change it. */
  targetSettingRemedy(name: string, value: string): string;
}

/** The part that does not depend on the engine. */
export type SharedContext = Pick<RedisOnlineContext, 'moment' | 'source' | 'replication'>;

export type RedisOnlineCheck = Check<RedisOnlineContext>;

/** The user that the target replicates with. ElastiCache can't be given one: it comes as the default user. */
export function replicationUser(context: RedisOnlineContext): string {
  return context.migration.engine === 'replicaof' ? (context.migration.source.username ?? 'default') : 'default';
}

export function userOf(endpoint: RedisEndpoint): string {
  return endpoint.username ?? 'default';
}

/** Whether the target is a replica of our source already: left by an earlier attempt, and adopted. */
export async function followsOurSource(context: RedisOnlineContext): Promise<boolean> {
  return isReplicaOf(await context.target.info(), context.replication, await context.source.info());
}

/** By the address it was given, or, where names differ, by the history that it shares over a live link. */
export function isReplicaOf(target: Info, address: { host: string; port: number }, source: Info): boolean {
  if (target['role'] !== 'slave') return false;
  if (target['master_host'] === address.host && target['master_port'] === String(address.port)) return true;
  return target['master_link_status'] === 'up' && target['master_replid'] === source['master_replid'];
}
