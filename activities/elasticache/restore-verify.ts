/** Whether a restored group holds data: every node asked, keys counted by shard and database, samples looked up. */
import type { Redis } from 'ioredis';
import type { ElastiCacheRestore } from '../../spec/kind-elasticache-restore.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { RedisEndpoint } from '../../spec/values.ts';
import { permanent } from '../errors.ts';
import { withRedis } from '../redis/connect.ts';
import { parseInfo } from '../redis/replication.ts';
import { readRole } from '../redis/role.ts';
import { describeGroup, type Address, type GroupFacts } from './replication-group.ts';
import type { AskedShape } from './restore-group.ts';

export interface ShardKeys {
  /** The node that answered as primary. */
  node: string;
  endpoint: string;
  slots?: string;
  /** By database. */
  keys: Record<string, number>;
}

export interface VerifyResult {
  shards: ShardKeys[];
  keys: number;
  replicas: number;
  sampleKeys: number;
  /** The source's count now, where it lives and can be asked: it may have moved on since the snapshot. */
  source?: { replicationGroup: string; keys: number };
  /** Why the source was not counted. */
  sourceUnknown?: string;
}

/**
 * @throws cutover.Differs (fewer keys than the file asks for, a sample key is missing, fewer shards or nodes than were
 *   asked for answer, a replica without the data),
 *   cutover.Unreachable, cutover.Denied, cutover.Secret
 */
export async function verifyRestored(args: {
  migration: ElastiCacheRestore;
  id: string;
  sourceGroup?: string | undefined;
  shape: AskedShape;
}): Promise<VerifyResult> {
  const { migration, id, sourceGroup, shape } = args;
  const { verify, aws } = migration;
  const group = await describeGroup({ id, aws });
  const read = await readNodes(migration, group);
  const shards = read.flatMap(({ shard }) => shard ?? []);
  requireShape(id, shape, read);
  const keys = shards.reduce((sum, shard) => sum + total(shard.keys), 0);
  if (keys < verify.keys) {
    throw permanent(ErrorType.differs, `${id} holds ${keys} keys, and at least ${verify.keys} are expected`, {
      remedy: 'is it the right snapshot? Where it may be empty: verify: { keys: 0 }',
    });
  }
  const missing = verify.sampleKeys.filter((key) => !read.some(({ samples }) => samples.includes(key)));
  if (missing.length > 0) {
    throw permanent(
      ErrorType.differs,
      `of the sample keys ${missing.length} are not in ${id}: ${missing.slice(0, 10).join(', ')}`,
      {
        remedy: 'is it the right snapshot? A key with a TTL may have expired since: name others',
      },
    );
  }
  return {
    shards,
    keys,
    replicas: read.length - shards.length,
    sampleKeys: verify.sampleKeys.length,
    ...(sourceGroup === undefined || sourceGroup === id ? {} : await countSource(migration, sourceGroup)),
  };
}

interface NodeReading {
  node: string;
  /** Of a primary. */
  shard?: ShardKeys;
  /** Of a replica: why it can't take over from its primary. */
  behind?: string;
  samples: string[];
}

/** @throws cutover.Differs */
function requireShape(id: string, wanted: AskedShape, read: NodeReading[]): void {
  const primaries = read.filter(({ shard }) => shard !== undefined).length;
  if (primaries !== wanted.shards || read.length !== wanted.nodes) {
    throw permanent(
      ErrorType.differs,
      `${id} was to have ${wanted.shards} shard(s) and ${wanted.nodes} node(s); ${read.length} answer, ${primaries} of them as a primary`,
      { remedy: 'a failover may be under way: retry the step; then look at the roles (redis-cli ROLE)' },
    );
  }
  const behind = read.flatMap((reading) => reading.behind ?? []);
  if (behind.length > 0) {
    throw permanent(ErrorType.differs, `not every replica of ${id} has the data: ${behind.join(', ')}`, {
      remedy: 'it may still be copying: retry the step',
    });
  }
}

async function readNodes(migration: ElastiCacheRestore, group: GroupFacts): Promise<NodeReading[]> {
  const slotsOf = new Map(group.nodeGroups.map(({ id, slots }) => [id, slots]));
  return Promise.all(
    group.members.flatMap(({ id: node, endpoint, nodeGroup }) => {
      // AWS tells no address of one that it replaces: that it does not answer is for the caller to judge.
      if (!endpoint) return [];
      return withRedis(
        accessTo(migration, endpoint, group),
        { name: `cutover:${migration.id}:verify` },
        async (redis) => {
          const { role, linkState } = await readRole(redis);
          if (role !== 'master') {
            return { node, samples: [], ...(linkState === 'connected' ? {} : { behind: `${node} (${linkState})` }) };
          }
          const slots = slotsOf.get(nodeGroup);
          const shard: ShardKeys = {
            node,
            endpoint: `${endpoint.host}:${endpoint.port}`,
            ...(slots === undefined ? {} : { slots }),
            keys: await keysByDatabase(redis),
          };
          return { node, shard, samples: await present(redis, migration.verify.sampleKeys) };
        },
      );
    }),
  );
}

function accessTo({ to, verify }: ElastiCacheRestore, { host, port }: Address, group: GroupFacts): RedisEndpoint {
  const password = to.authToken ?? verify.password;
  return {
    host,
    port,
    tls: group.transitEncryption ? (verify.ca === undefined ? true : { ca: verify.ca }) : false,
    ...(verify.username === undefined ? {} : { username: verify.username }),
    ...(password === undefined ? {} : { password }),
  };
}

async function keysByDatabase(redis: Redis): Promise<Record<string, number>> {
  const keyspace = parseInfo(await redis.info('keyspace'));
  return Object.fromEntries(
    Object.entries(keyspace).map(([db, value]) => [db, Number(/keys=(\d+)/.exec(value)?.[1] ?? 0)]),
  );
}

const total = (keys: Record<string, number>) => Object.values(keys).reduce((sum, n) => sum + n, 0);

/** With cluster mode enabled a shard answers MOVED for keys of another's. */
async function present(redis: Redis, keys: string[]): Promise<string[]> {
  const found: string[] = [];
  for (const key of keys) {
    const there = await redis.exists(key).catch((error: unknown) => {
      if (error instanceof Error && error.message.startsWith('MOVED')) return 0;
      throw error;
    });
    if (there === 1) found.push(key);
  }
  return found;
}

/** For the operator's eyes: the source may have gone on, so a difference is no failure. */
async function countSource(
  migration: ElastiCacheRestore,
  id: string,
): Promise<Pick<VerifyResult, 'source' | 'sourceUnknown'>> {
  try {
    const group = await describeGroup({ id, aws: migration.aws });
    const read = await readNodes({ ...migration, verify: { ...migration.verify, sampleKeys: [] } }, group);
    return {
      source: { replicationGroup: id, keys: read.reduce((sum, { shard }) => sum + total(shard?.keys ?? {}), 0) },
    };
  } catch (error) {
    return { sourceUnknown: `${id}: ${error instanceof Error ? error.message : String(error)}` };
  }
}
