/** What a replication group must be, to be the target of StartMigration (facts/redis-aws 4.1, T and O rows). */
import type { RedisOnlineElastiCache } from '../../spec/kind-redis-online.ts';
import { ErrorType } from '../../spec/errors.ts';
import { CannotCheck, fail, pass, unknown, unmet, warn, type Check, type Finding } from '../redis/preflight/check.ts';
import { awsElastiCache } from '../redis/preflight/commands.ts';
import { followsOurSource, type RedisOnlineContext } from '../redis/preflight/context.ts';
import { failureOf, reachable } from '../redis/preflight/reachable.ts';
import type { GroupFacts } from './replication-group.ts';
import { MIGRATION_TAG } from './tags.ts';
import { firstOverlap } from './windows.ts';

export interface ElastiCacheContext extends RedisOnlineContext {
  migration: RedisOnlineElastiCache;
  /** Asked once. @throws as describeGroup */
  describe(): Promise<GroupFacts>;
  /** Epoch ms. */
  now(): number;
}

type GroupCheck = Check<ElastiCacheContext>;

/** Before the fence only its own budgets count; at the start, what is about to begin. */
const SOON_MS = 60 * 60_000;

const idOf = (c: ElastiCacheContext) => c.migration.target.replicationGroup;
const aws = (c: ElastiCacheContext, command: string, ...words: string[]) =>
  awsElastiCache(c.migration.aws.region, command, '--replication-group-id', idOf(c), ...words);
const modify = (c: ElastiCacheContext, ...words: string[]) =>
  aws(c, 'modify-replication-group', ...words, '--apply-immediately');
const describe = (c: ElastiCacheContext) => aws(c, 'describe-replication-groups');
const anew = (what: string) => `can't be changed on an existing group: make a new one ${what}`;

async function group(c: ElastiCacheContext): Promise<GroupFacts> {
  return c.describe().catch(() => {
    throw new CannotCheck(`the replication group ${idOf(c)} can't be described (see T0)`);
  });
}

export const groupChecks: readonly GroupCheck[] = [
  {
    id: 'T0',
    title: 'the replication group exists, and we may describe it',
    severity: 'fail',
    cheap: true,
    remedy: describe,
    byHand: describe,
    run: async (c) => {
      try {
        const facts = await c.describe();
        return pass(
          `${facts.id}, ${facts.engine ?? 'engine unknown'} ${facts.engineVersion ?? ''}, ${facts.cacheNodeType}`,
        );
      } catch (error) {
        const { type, message, remedy } = failureOf(error);
        if (type === ErrorType.throttled || type === ErrorType.busy) return unknown(message);
        return fail(message, remedy);
      }
    },
  },
  {
    id: 'T0.primary',
    title: "the worker reaches the group's primary",
    severity: 'fail',
    cheap: true,
    remedy: (c) => `open port ${c.target.endpoint.port} of the group's security groups to the worker`,
    byHand: (c) => `${describe(c)}  # PrimaryEndpoint; from the worker: redis-cli -h <it> PING`,
    run: async (c) => {
      await group(c);
      return reachable(c.target);
    },
  },
  {
    id: 'T1',
    title: 'the group has the status it needs now',
    severity: 'fail',
    cheap: true,
    remedy: (c) => `wait for it, and see the events: ${eventsOf(c)}`,
    byHand: describe,
    run: checkStatus,
  },
  {
    id: 'T1.pending',
    title: 'no change of the group is pending',
    severity: 'fail',
    cheap: true,
    remedy: (c) => `wait until it is done: ${describe(c)}  # PendingModifiedValues is empty`,
    byHand: (c) => `${describe(c)}  # PendingModifiedValues is empty`,
    run: async (c) => {
      const { pendingModifications } = await group(c);
      return pendingModifications.length === 0 ? pass('none') : unmet(pendingModifications.join('; '));
    },
  },
  {
    id: 'T1.nodes',
    title: 'every node of the group is available',
    severity: 'fail',
    cheap: true,
    remedy: (c) => `wait until a node that is replaced is back: ${eventsOf(c)}`,
    byHand: (c) => awsElastiCache(c.migration.aws.region, 'describe-cache-clusters'),
    run: async (c) => {
      const { members } = await group(c);
      if (members.length === 0) return unmet('the group has no nodes');
      // While it migrates, a node says so as the group does.
      const allowed = c.moment === 'before-fence' ? ['available', 'migrating', 'modifying'] : ['available'];
      const others = members.filter(({ status }) => status === undefined || !allowed.includes(status));
      if (others.length === 0) return pass(`${members.length} nodes`);
      return unmet(others.map(({ id, status }) => `${id}: ${status ?? 'gone'}`).join(', '));
    },
  },
  {
    id: 'T3',
    title: 'encryption in transit is off',
    severity: 'fail',
    remedy: (c) =>
      `${modify(c, '--transit-encryption-mode', 'preferred')} and, when available again: ${modify(c, '--no-transit-encryption-enabled')}`,
    byHand: (c) => `${describe(c)}  # TransitEncryptionEnabled: false`,
    run: async (c) => {
      const { transitEncryption, atRestEncryption } = await group(c);
      if (transitEncryption) return unmet('TransitEncryptionEnabled: true; it can be switched on after the migration');
      return pass(`off in transit; at rest ${atRestEncryption ? 'on, which is no hindrance' : 'off'}`);
    },
  },
  {
    id: 'T4',
    title: 'Multi-AZ and automatic failover are on',
    severity: 'fail',
    remedy: (c) => modify(c, '--multi-az-enabled', '--automatic-failover-enabled'),
    byHand: (c) => `${describe(c)}  # MultiAZ: enabled, AutomaticFailover: enabled`,
    run: async (c) => {
      const { multiAz, automaticFailover, members } = await group(c);
      const found = `MultiAZ ${multiAz ? 'enabled' : 'disabled'}, AutomaticFailover ${automaticFailover}`;
      if (multiAz && automaticFailover === 'enabled') return pass(found);
      const replica = aws(c, 'increase-replica-count', '--new-replica-count', '1', '--apply-immediately');
      const remedy = modify(c, '--multi-az-enabled', '--automatic-failover-enabled');
      return members.length < 2
        ? unmet(`${found}, one node`, `${replica} and, when available again: ${remedy}`)
        : unmet(found);
    },
  },
  {
    id: 'T6',
    title: 'cluster mode is off on the group',
    severity: 'fail',
    remedy: () => anew('with cluster mode disabled (without --num-node-groups)'),
    byHand: (c) => `${describe(c)}  # ClusterEnabled: false`,
    run: async (c) => {
      const { clusterEnabled, nodeGroups } = await group(c);
      if (clusterEnabled) return unmet(`ClusterEnabled: true, ${nodeGroups.length} shards; the source is one primary`);
      return nodeGroups.length > 1
        ? unmet(`${nodeGroups.length} node groups`)
        : pass('ClusterEnabled: false, one node group');
    },
  },
  {
    id: 'T7',
    title: 'the group is of a sort that StartMigration takes',
    severity: 'fail',
    remedy: () => anew('outside of a global datastore, without data tiering (no r6gd), in a Region proper'),
    byHand: (c) => `${describe(c)}  # no GlobalReplicationGroupInfo, DataTiering: disabled`,
    run: async (c) => {
      const facts = await group(c);
      const wrong = [
        facts.globalDatastore && `member of the global datastore ${facts.globalDatastore}`,
        (facts.dataTiering || facts.cacheNodeType.includes('r6gd')) && `data tiering (${facts.cacheNodeType})`,
        ...facts.members.map(
          ({ id, availabilityZone }) => isLocalZone(availabilityZone) && `${id} in the Local Zone ${availabilityZone}`,
        ),
      ].filter(Boolean);
      return wrong.length === 0 ? pass('no global datastore, no data tiering, no Local Zone') : unmet(wrong.join('; '));
    },
  },
  {
    id: 'T8',
    title: 'the group asks for no password',
    severity: 'fail',
    remedy: (c) => modify(c, '--auth-token-update-strategy', 'DELETE'),
    byHand: (c) => `${describe(c)}  # AuthTokenEnabled: false, no UserGroupIds`,
    run: async (c) => {
      const { authToken, userGroups } = await group(c);
      if (userGroups.length > 0) {
        return unmet(`user groups: ${userGroups.join(', ')}`, modify(c, '--user-group-ids-to-remove', ...userGroups));
      }
      return authToken ? unmet('AuthTokenEnabled: true') : pass('AuthTokenEnabled: false, no user groups');
    },
  },
  {
    id: 'T17',
    title: 'the group is not claimed by another migration',
    severity: 'fail',
    cheap: true,
    remedy: () => 'end the other migration first',
    byHand: (c) => `${describe(c)}  # its ARN, for: aws elasticache list-tags-for-resource --resource-name <ARN>`,
    run: async (c) => {
      const { tags, status, arn } = await group(c);
      if (tags === undefined) {
        // AWS tells the tags of an available group alone; once it is migrating, T1 tells whose it is.
        if (status === 'migrating' && (await followsOurSource(c))) return pass('it replicates from our source');
        throw new CannotCheck(`AWS does not tell the tags of a group that is ${status}`);
      }
      const owner = tags[MIGRATION_TAG];
      if (owner === undefined) return pass(`no tag ${MIGRATION_TAG}`);
      if (owner === c.migration.id) return pass(`claimed by this migration`);
      const remove = awsElastiCache(
        c.migration.aws.region,
        'remove-tags-from-resource',
        '--resource-name',
        arn,
        '--tag-keys',
        MIGRATION_TAG,
      );
      return unmet(`its tag ${MIGRATION_TAG} is ${owner}`, `end that migration, or, if it is over: ${remove}`);
    },
  },
  {
    id: 'O1',
    title: 'neither maintenance nor snapshot falls into the migration',
    severity: 'warn',
    cheap: true,
    remedy: (c) => modify(c, '--preferred-maintenance-window', '<ddd:hh:mm-ddd:hh:mm, away from it>'),
    byHand: (c) =>
      `${awsElastiCache(c.migration.aws.region, 'describe-cache-clusters')}  # PreferredMaintenanceWindow, SnapshotWindow`,
    run: checkWindows,
  },
];

function eventsOf(c: ElastiCacheContext): string {
  return awsElastiCache(
    c.migration.aws.region,
    'describe-events',
    '--source-type',
    'replication-group',
    '--source-identifier',
    idOf(c),
  );
}

/** `us-west-2-lax-1a`; an Availability Zone is `us-west-2a`. */
function isLocalZone(zone: string | undefined): boolean {
  return zone !== undefined && /^[a-z]{2}(-[a-z]+)+-\d-[a-z]+-\d[a-z]$/.test(zone);
}

async function checkStatus(c: ElastiCacheContext): Promise<Finding> {
  const { status, statusMeaning, warnings } = await group(c);
  const found = [status, ...warnings].join('; ');
  if (c.moment === 'before-fence') {
    if (status !== 'migrating') {
      return unmet(`${found}: it has to be migrating`, `it ended by itself; the events say why: ${eventsOf(c)}`);
    }
    const [source, target] = await Promise.all([c.source.info(), c.target.info()]);
    if (!(await followsOurSource(c))) return unmet(`${found}, but not from our source`);
    return target['master_link_status'] === 'up' && target['master_replid'] === source['master_replid']
      ? pass(`${found} from our source, link up`)
      : unmet(`${found} from our source, but its link is ${target['master_link_status'] ?? 'unknown'}`);
  }
  if (status === 'available') return pass(found);
  if (status === 'migrating' && (await followsOurSource(c))) return pass(`${found} from our source already: adopted`);
  return statusMeaning === 'failed' ? unmet(found, anew('of another name')) : unmet(found);
}

async function checkWindows(c: ElastiCacheContext): Promise<Finding> {
  const { maintenanceWindow, snapshotWindow, snapshotRetention } = await group(c);
  const snapshots = snapshotRetention > 0 ? snapshotWindow : undefined;
  const windows = [
    {
      what: 'maintenance',
      window: maintenanceWindow,
      flag: '--preferred-maintenance-window',
      form: '<ddd:hh:mm-ddd:hh:mm, away from it>',
    },
    { what: 'snapshot', window: snapshots, flag: '--snapshot-window', form: '<hh:mm-hh:mm, away from it>' },
  ].flatMap(({ window, ...rest }) => (window === undefined ? [] : [{ ...rest, window }]));
  const named = windows.map(({ what, window }) => `${what} ${window} UTC`).join(', ');
  const spans = plannedSpans(c);
  for (const { what, window, flag, form } of windows) {
    for (const span of spans) {
      const at = firstOverlap(window, span.from, span.to);
      if (at === undefined) continue;
      const when = new Date(at).toISOString();
      const found = `the ${what} window ${window} UTC begins or goes on at ${when}, ${span.what}; CompleteMigration fails while a node is replaced or snapshotted`;
      const remedy = modify(c, flag, form);
      // The fence would be held through all of it.
      return c.moment === 'before-fence' ? fail(found, `wait until it is over, or: ${remedy}`) : warn(found, remedy);
    }
  }
  return pass(windows.length === 0 ? 'no windows are set' : `${named}; keep the cutover out of them`);
}

function plannedSpans(c: ElastiCacheContext): { what: string; from: number; to: number }[] {
  const now = c.now();
  const { gate, budgets } = c.migration.cutover;
  const fenced = budgets.fence + budgets.drain + budgets.complete + budgets.canary;
  if (c.moment === 'before-fence') return [{ what: 'within the budgets of the cutover', from: now, to: now + fenced }];
  const start = { what: 'within the next hour', from: now, to: now + SOON_MS };
  if (typeof gate === 'string') return [start];
  return [start, { what: "within the gate's window", from: Date.parse(gate.from), to: Date.parse(gate.to) + fenced }];
}
