/** What a replication group is doing: its status, its nodes, whose it is, what is planned for it (facts/redis-aws 3.1, 4.1). */
import { ErrorType } from '../../spec/errors.ts';
import { CannotCheck, fail, pass, unknown, unmet, warn, type Finding } from '../preflight/check.ts';
import { awsElastiCache } from '../redis/preflight/commands.ts';
import { followsOurSource } from '../redis/preflight/context.ts';
import { failureOf, reachable } from '../redis/preflight/reachable.ts';
import {
  anew,
  describe,
  eventsOf,
  group,
  modify,
  type ElastiCacheContext,
  type GroupCheck,
} from './preflight-context.ts';
import { MIGRATION_TAG } from './tags.ts';
import { firstOverlap } from './windows.ts';

/** Before the fence only its own budgets count; at the start, what is about to begin. */
const SOON_MS = 60 * 60_000;

/** Failures that say something of the group or of us; any other says only that AWS could not be asked just now. */
const SETTLED = new Set<string>([ErrorType.notFound, ErrorType.denied, ErrorType.invalid, ErrorType.unreachable]);

export const groupStateChecks: readonly GroupCheck[] = [
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
        return type !== undefined && SETTLED.has(type) ? fail(message, remedy) : unknown(message);
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
