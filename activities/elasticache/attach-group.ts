/** `engine: elasticache`: tests, attaches and detaches a replication group, each from its call to its proven end. */
import type { RedisOnlineElastiCache } from '../../spec/kind-redis-online.ts';
import type { RedisEndpoint } from '../../spec/values.ts';
import { ErrorType } from '../../spec/errors.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { lastBeat, beat } from '../beat.ts';
import { permanent, transient } from '../errors.ts';
import { removeOrName, type DetachResult } from '../redis/attach-replicaof.ts';
import { withRedis } from '../redis/connect.ts';
import { parseInfo } from '../redis/replication.ts';
import { readRole } from '../redis/role.ts';
import { awaitAttached, awaitAvailable, awaitTestResult } from './await-status.ts';
import { claimGroup, untag } from './claim.ts';
import { completeMigration } from './complete-migration.ts';
import { eventWatermark, type Watermark } from './events.ts';
import { startMigration, testMigration } from './migration.ts';
import { groupStatus, type Address } from './replication-group.ts';

export interface GroupInput {
  migration: RedisOnlineElastiCache;
  /** Events older than this are another call's. Taken by its own activity before the call, so that a retry keeps it. */
  since: Watermark;
}

// AWS retries an attachment "several times" before it gives up, and publishes no time.
const ATTACH_TIMEOUT_MS = 60 * 60_000;
const TEST_TIMEOUT_MS = 15 * 60_000;

/** Where the target reaches the source. */
function sourceAddress(migration: RedisOnlineElastiCache): Address {
  return migration.source.replicationAddress ?? { host: migration.source.host, port: migration.source.port };
}

/** The newest event before a call. */
export async function groupWatermark({ migration }: { migration: RedisOnlineElastiCache }): Promise<Watermark> {
  return eventWatermark({ sources: [{ id: migration.target.replicationGroup }], aws: migration.aws });
}

/** @throws cutover.ServiceFailed with the event's text; cutover.Deadline where no event came, for silence is no success */
export async function testGroupMigration({ migration, since }: GroupInput): Promise<string> {
  const id = migration.target.replicationGroup;
  await testMigration({ id, migrationId: migration.id, source: sourceAddress(migration), aws: migration.aws });
  const result = await awaitTestResult({
    id,
    since,
    intervalMs: pollInterval(),
    timeoutMs: TEST_TIMEOUT_MS,
    aws: migration.aws,
  });
  // The group may tell of other things meanwhile, such as a snapshot that succeeded.
  return result.events.findLast(({ kind }) => kind === 'migration-succeeded')?.message ?? 'succeeded';
}

export interface GroupAttached {
  syncFull: number;
  target: RedisEndpoint;
  note: string;
}

/**
 * Tags the group as this migration's. An activity of its own: once the group is migrating AWS does not tell its tags, and
 * then the history is what says that it is ours.
 */
export async function claimForMigration({ migration }: { migration: RedisOnlineElastiCache }): Promise<void> {
  await claimGroup({ id: migration.target.replicationGroup, migrationId: migration.id, aws: migration.aws });
}

/**
 * StartMigration, until the group is `migrating`. Only for a group that was claimed.
 * @throws as startMigration and awaitAttached
 */
export async function attachGroup({ migration, since }: GroupInput): Promise<GroupAttached> {
  const { aws, id: migrationId } = migration;
  const id = migration.target.replicationGroup;
  const { primary } = await groupStatus({ id, aws });
  if (!primary)
    throw transient(ErrorType.busy, `replication group ${id} has no primary endpoint yet`, { afterMs: 10_000 });
  const target: RedisEndpoint = { ...primary, tls: false };
  const syncFull = await baseline(migration);
  // Only before the first call: afterwards the group holds what was copied.
  if ((await groupStatus({ id, aws })).status === 'available') await refuseToWipe(target, migration);
  const { answer } = await startMigration({ id, migrationId, source: sourceAddress(migration), aws, claimed: true });
  await awaitAttached({ id, since, intervalMs: pollInterval(), timeoutMs: ATTACH_TIMEOUT_MS, aws });
  return { syncFull, target, note: `${id} is migrating (${answer})` };
}

/** The source's sync_full before the first call; kept over a crash, after which the copy has begun already. */
async function baseline(migration: RedisOnlineElastiCache): Promise<number> {
  const carried = lastBeat<{ syncFull?: number }>()?.checkpoint?.syncFull;
  if (carried !== undefined) return carried;
  const syncFull = await withRedis(migration.source, { name: `cutover:${migration.id}` }, async (source) =>
    Number(parseInfo(await source.info('stats'))['sync_full'] ?? 0),
  );
  beat({ checkpoint: { syncFull } });
  return syncFull;
}

async function refuseToWipe(target: RedisEndpoint, migration: RedisOnlineElastiCache): Promise<void> {
  if (migration.allowNonEmptyTarget) return;
  const keyspace = await withRedis(target, { name: `cutover:${migration.id}` }, (redis) => redis.info('keyspace'));
  const databases = Object.entries(parseInfo(keyspace)).map(([db, value]) => `${db}: ${value.split(',')[0]}`);
  if (databases.length === 0) return;
  throw permanent(ErrorType.differs, `the target holds keys (${databases.join('; ')})`, {
    remedy: 'attaching deletes them all: empty the target, or set allowNonEmptyTarget: true',
  });
}

/**
 * The undo of attachGroup: ends the migration with Force and waits until the group stands alone. The group is then a
 * primary of its own with partial data, which is named, or deleted where the file says so.
 */
export async function detachGroup({ migration, since }: GroupInput): Promise<DetachResult> {
  const { aws, id: migrationId } = migration;
  const id = migration.target.replicationGroup;
  const { status } = await groupStatus({ id, aws });
  const before = lastBeat<{ detached?: boolean }>()?.checkpoint?.detached === true;
  // An interrupted StartMigration may still be on its way: `modifying` becomes `migrating`, and only then can be ended.
  if (status !== 'available') {
    const answer = await completeMigration({ id, force: true, aws });
    if (answer.answer === 'refused') {
      throw transient(ErrorType.busy, `${id} is ${status} and can't be ended yet: ${answer.message}`, {
        afterMs: 5_000,
        benign: true,
      });
    }
    beat({ progress: { text: `CompleteMigration with Force: ${answer.message}` }, checkpoint: { detached: true } });
  }
  await awaitAvailable({ id, since, intervalMs: pollInterval(), timeoutMs: ATTACH_TIMEOUT_MS, aws });
  const { primary } = await groupStatus({ id, aws });
  if (!primary)
    throw transient(ErrorType.busy, `replication group ${id} has no primary endpoint yet`, { afterMs: 10_000 });
  const result = await withRedis({ ...primary, tls: false }, { name: `cutover:${migrationId}` }, async (target) => {
    const { role } = await readRole(target);
    if (role !== 'master') {
      throw transient(ErrorType.busy, `${id} is available and its primary still answers ROLE ${role}`, {
        afterMs: 5_000,
      });
    }
    return removeOrName(target, id, migration.abort.removePartialData && (before || status !== 'available'));
  });
  await untag({ id, migrationId, aws });
  return result;
}

/** Takes our claim off the group. Runs as often as it likes. */
export async function releaseGroup({ migration }: { migration: RedisOnlineElastiCache }): Promise<void> {
  await untag({ id: migration.target.replicationGroup, migrationId: migration.id, aws: migration.aws });
}
