/** What is done with the new primary after the switch: canary, final reading, watch, and tidying up. */
import { ErrorType } from '../../spec/errors.ts';
import type { RedisOnlineReplicaOf } from '../../spec/kind-redis-online.ts';
import type { RedisEndpoint } from '../../spec/values.ts';
import { permanent } from '../errors.ts';
import { waitUntil } from '../wait-until.ts';
import { forgetReplicationCredentials } from './attach-replicaof.ts';
import { sendCanaries } from './canary.ts';
import { withRedis } from './connect.ts';
import { nameOf, nodeFailure, withPrimaries, type PrimaryNode } from './primaries.ts';
import { parseInfo } from './replication.ts';
import { readRole } from './role.ts';

export interface TargetInput {
  migrationId: string;
  target: RedisEndpoint;
}

/** @throws cutover.Invalid where the target, or a primary of it, does not do as told; cutover.Busy, cutover.Unreachable */
export async function canaryOnTarget(input: TargetInput): Promise<void> {
  const { migrationId, target } = input;
  await withPrimaries(target, 'target', `cutover:${migrationId}`, (primaries) => sendCanaries(primaries, migrationId));
}

export interface FinalState {
  sourceRole: string;
  targetRole: string;
  /** Keys by database, as INFO keyspace counts them; the target takes writes already, so they may differ. */
  sourceKeys: Record<string, number>;
  targetKeys: Record<string, number>;
  sourceRunId: string;
}

/**
 * Roles and key counts for the report; of a cluster the sums of its primaries, and their run ids joined by comma.
 * @throws cutover.Replication where the target is not the primary; cutover.Busy where a cluster is not well
 */
export async function readFinalState(input: TargetInput & { source: RedisEndpoint }): Promise<FinalState> {
  const read = (endpoint: RedisEndpoint, side: 'source' | 'target') =>
    withPrimaries(endpoint, side, `cutover:${input.migrationId}`, ({ nodes }) => Promise.all(nodes.map(stateOf)));
  const [source, target] = await Promise.all([read(input.source, 'source'), read(input.target, 'target')]);
  requirePrimaries(target, 'it is not the primary');
  return {
    sourceRole: rolesOf(source),
    targetRole: rolesOf(target),
    sourceKeys: sumOf(source),
    targetKeys: sumOf(target),
    sourceRunId: source.map(({ runId }) => runId).join(','),
  };
}

interface NodeState {
  where: string;
  role: string;
  keys: Record<string, number>;
  runId: string;
}

async function stateOf(node: PrimaryNode): Promise<NodeState> {
  const { redis } = node;
  try {
    return {
      where: nameOf(node),
      role: (await readRole(redis)).role,
      keys: keyCounts(await redis.info('keyspace')),
      runId: parseInfo(await redis.info('server'))['run_id'] ?? '',
    };
  } catch (error) {
    throw nodeFailure(error, node);
  }
}

/** One word where all say the same. */
const rolesOf = (states: NodeState[]): string => [...new Set(states.map(({ role }) => role))].join(',');

function requirePrimaries(states: { where: string; role: string }[], what: string): void {
  const other = states.find(({ role }) => role !== 'master');
  if (!other) return;
  const who = states.length === 1 ? 'the target' : `${other.where}, of the target,`;
  throw permanent(ErrorType.replication, `${who} answers ROLE ${other.role}: ${what}`);
}

function sumOf(states: NodeState[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const { keys } of states) for (const [db, count] of Object.entries(keys)) sum[db] = (sum[db] ?? 0) + count;
  return sum;
}

function keyCounts(keyspace: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [db, value] of Object.entries(parseInfo(keyspace)))
    counts[db] = Number(/keys=(\d+)/.exec(value)?.[1] ?? 0);
  return counts;
}

const SOAK_INTERVAL_MS = 5_000;

/**
 * Watches the new primary until `until` (epoch ms). Of a cluster each primary of that moment is asked, and whether its
 * slots are served; that they are not for a while, in a failover, is retried.
 * @throws cutover.Replication where it is not the primary any more; cutover.Busy where a cluster is not well
 */
export async function watchPrimary(input: TargetInput & { until: number }): Promise<void> {
  await waitUntil({
    intervalMs: Math.min(SOAK_INTERVAL_MS, Math.max(100, input.until - Date.now())),
    read: async () => {
      const name = `cutover:${input.migrationId}:watch`;
      const roles = await withPrimaries(input.target, 'target', name, ({ nodes }) => Promise.all(nodes.map(roleOf)));
      requirePrimaries(roles, 'it is not the primary any more');
      return Math.max(0, input.until - Date.now());
    },
    done: (leftMs) => leftMs === 0,
    progress: (leftMs) => ({ text: 'the target is the primary', etaMs: leftMs }),
  });
}

async function roleOf(node: PrimaryNode): Promise<{ where: string; role: string }> {
  return readRole(node.redis).then(
    ({ role }) => ({ where: nameOf(node), role }),
    (error: unknown) => {
      throw nodeFailure(error, node);
    },
  );
}

/** The target needs the source's password no more. */
export async function forgetSourceCredentials(input: { migration: RedisOnlineReplicaOf }): Promise<void> {
  await withRedis(input.migration.target, { name: `cutover:${input.migration.id}` }, (target) =>
    forgetReplicationCredentials(target, input.migration),
  );
}
