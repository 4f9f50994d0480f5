/** What the checks of a replication group look at, and the commands that mend one. */
import type { RedisOnlineElastiCache } from '../../spec/kind-redis-online.ts';
import { CannotCheck, type Check } from '../preflight/check.ts';
import { awsElastiCache } from '../redis/preflight/commands.ts';
import type { RedisOnlineContext } from '../redis/preflight/context.ts';
import type { GroupFacts } from './replication-group.ts';

export interface ElastiCacheContext extends RedisOnlineContext {
  migration: RedisOnlineElastiCache;
  /** Asked once. @throws as describeGroup */
  describe(): Promise<GroupFacts>;
  /** Epoch ms. */
  now(): number;
}

export type GroupCheck = Check<ElastiCacheContext>;

const idOf = (c: ElastiCacheContext) => c.migration.target.replicationGroup;
export const aws = (c: ElastiCacheContext, command: string, ...words: string[]) =>
  awsElastiCache(c.migration.aws.region, command, '--replication-group-id', idOf(c), ...words);
export const modify = (c: ElastiCacheContext, ...words: string[]) =>
  aws(c, 'modify-replication-group', ...words, '--apply-immediately');
export const describe = (c: ElastiCacheContext) => aws(c, 'describe-replication-groups');
export const anew = (what: string) => `can't be changed on an existing group: make a new one ${what}`;

/** What AWS says of the group. @throws CannotCheck where it can't be had, which is T0's to tell */
export async function group(c: ElastiCacheContext): Promise<GroupFacts> {
  return c.describe().catch(() => {
    throw new CannotCheck(`the replication group ${idOf(c)} can't be described (see T0)`);
  });
}

/** Where AWS says why: services report the reason in their events alone. */
export function eventsOf(c: ElastiCacheContext): string {
  return awsElastiCache(
    c.migration.aws.region,
    'describe-events',
    '--source-type',
    'replication-group',
    '--source-identifier',
    idOf(c),
  );
}
