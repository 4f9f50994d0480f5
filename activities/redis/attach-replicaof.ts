/** `engine: replicaof`: makes the target a replica of the source, and takes that back. */
import type { Redis } from 'ioredis';
import { ErrorType } from '../../spec/errors.ts';
import type { RedisOnlineReplicaOf } from '../../spec/kind-redis-online.ts';
import { beat, lastBeat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { resolveSecret } from '../secrets/resolve.ts';
import { withRedis } from './connect.ts';
import { parseInfo } from './replication.ts';
import { readRole } from './role.ts';

export interface AttachInput {
  migration: RedisOnlineReplicaOf;
}

/** What a full resync loop is judged against. */
export interface AttachResult {
  /** The source's sync_full before the attach. */
  syncFull: number;
  note: string;
}

/** Where the target reaches the source. */
function replicationAddress(migration: RedisOnlineReplicaOf): { host: string; port: number } {
  return migration.source.replicationAddress ?? { host: migration.source.host, port: migration.source.port };
}

/**
 * REPLICAOF on the target. A target that replicates from the source already is adopted.
 * @throws cutover.NotOurs where the target replicates from another server; cutover.Differs where it holds keys and the
 *   file doesn't consent to losing them
 */
export async function attachReplicaOf({ migration }: AttachInput): Promise<AttachResult> {
  const from = replicationAddress(migration);
  const syncFull = await withRedis(migration.source, { name: `cutover:${migration.id}` }, readSyncFull);
  return withRedis(migration.target, { name: `cutover:${migration.id}` }, async (target) => {
    const role = await readRole(target);
    if (role.role === 'slave') {
      if (role.masterHost === from.host && role.masterPort === from.port) {
        return { syncFull, note: 'adopted: the target replicates from the source already' };
      }
      throw permanent(
        ErrorType.notOurs,
        `the target replicates from ${role.masterHost}:${role.masterPort}, not from the source`,
      );
    }
    await refuseToWipe(target, migration.allowNonEmptyTarget);
    await setReplicationCredentials(target, migration);
    await target.replicaof(from.host, from.port);
    return { syncFull, note: `replicates from ${from.host}:${from.port}` };
  });
}

/** Asked again at the last moment: a full resync deletes every key of the target. */
async function refuseToWipe(target: Redis, allowed: boolean): Promise<void> {
  if (allowed) return;
  const keyspace = Object.entries(parseInfo(await target.info('keyspace')));
  if (keyspace.length === 0) return;
  throw permanent(
    ErrorType.differs,
    `the target holds keys (${keyspace.map(([db, v]) => `${db}: ${v.split(',')[0]}`).join('; ')})`,
    {
      remedy: 'attaching deletes them all: empty the target, or set allowNonEmptyTarget: true',
    },
  );
}

async function setReplicationCredentials(target: Redis, migration: RedisOnlineReplicaOf): Promise<void> {
  const { username, password, tls } = migration.source;
  if (password) {
    await target.config('SET', 'masterauth', await resolveSecret(password));
    await target.config('SET', 'masteruser', username ?? '');
  }
  if (tls) await target.config('SET', 'tls-replication', 'yes');
}

/** Forgets the source's password on the target. For after the promotion and after an abort; runs as often as it likes. */
export async function forgetReplicationCredentials(target: Redis, migration: RedisOnlineReplicaOf): Promise<void> {
  const { password, tls } = migration.source;
  if (password) {
    await target.config('SET', 'masterauth', '');
    await target.config('SET', 'masteruser', '');
  }
  if (tls) await target.config('SET', 'tls-replication', 'no');
}

export interface DetachResult {
  note: string;
  leftovers: string[];
}

/** Kept in the heartbeat, so that a second attempt of an undo knows what the first one did. */
interface DetachCheckpoint {
  detached?: boolean;
}

/**
 * The undo of attachReplicaOf: the target stands alone again. Its partial data is named, or removed where the file says
 * so. A target that is no replica of the source is left alone: what it holds may never have been ours to delete.
 */
export async function detachReplicaOf({ migration }: AttachInput): Promise<DetachResult> {
  const from = replicationAddress(migration);
  const where = `${migration.target.host}:${migration.target.port}`;
  return withRedis(migration.target, { name: `cutover:${migration.id}` }, async (target) => {
    const role = await readRole(target);
    const ours = role.role === 'slave' && role.masterHost === from.host && role.masterPort === from.port;
    if (role.role === 'slave' && !ours) {
      return { note: `${where} replicates from another server by now; left alone`, leftovers: [] };
    }
    const before = lastBeat<DetachCheckpoint>()?.checkpoint?.detached === true;
    if (ours) {
      await target.replicaof('NO', 'ONE');
      beat({ checkpoint: { detached: true } satisfies DetachCheckpoint });
    }
    await forgetReplicationCredentials(target, migration);
    return removeOrName(target, where, migration.abort.removePartialData && (ours || before));
  });
}

/**
 * Names what an abort leaves on a target, or deletes it.
 * @param remove only where this very undo detached the target: else the keys may be the target's own
 */
export async function removeOrName(target: Redis, where: string, remove: boolean): Promise<DetachResult> {
  if (remove) {
    await target.flushall();
    return { note: `${where} stands alone and is empty`, leftovers: [] };
  }
  const keys = Object.entries(parseInfo(await target.info('keyspace'))).map(([db, v]) => `${db} ${v.split(',')[0]}`);
  const leftovers = keys.length > 0 ? [`data on ${where}: ${keys.join('; ')}; empty it before another try`] : [];
  return { note: `${where} stands alone`, leftovers };
}

async function readSyncFull(source: Redis): Promise<number> {
  return Number(parseInfo(await source.info('stats'))['sync_full'] ?? 0);
}
