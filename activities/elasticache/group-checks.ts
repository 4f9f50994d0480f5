/** The checks of a group that more than one kind begins with. */
import type { AwsTarget } from '../aws/clients.ts';
import { pass, unmet, type Check } from '../preflight/check.ts';
import { awsElastiCache } from '../redis/preflight/commands.ts';
import type { GroupFacts } from './replication-group.ts';

/** What such a check looks at. */
export interface GroupContext<M extends { replicationGroup: string; aws: AwsTarget }> {
  migration: M;
  group: GroupFacts;
}

type AnyGroup = GroupContext<{ replicationGroup: string; aws: AwsTarget }>;

/** The command that shows the group. */
export const describe = ({ migration: { aws, replicationGroup } }: AnyGroup) =>
  awsElastiCache(aws.region, 'describe-replication-groups', '--replication-group-id', replicationGroup);

/** @param mend what to do; the command that shows the group comes behind it */
export function availableCheck(id: string, mend: string): Check<AnyGroup> {
  return {
    id,
    title: 'the group is available',
    severity: 'fail',
    remedy: (c) => `${mend}: ${describe(c)}`,
    byHand: describe,
    run: async ({ group }) => (group.status === 'available' ? pass : unmet)(`${group.id} is ${group.status}`),
  };
}

/** cache.t1.micro has no backups. */
export function nodeTypeCheck(id: string, mend: string): Check<AnyGroup> {
  return {
    id,
    title: 'the node type can be backed up',
    severity: 'fail',
    remedy: () => mend,
    byHand: describe,
    run: async ({ group }) => (group.cacheNodeType.startsWith('cache.t1.') ? unmet : pass)(group.cacheNodeType),
  };
}
