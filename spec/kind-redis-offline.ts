/** `kind: redis-offline`: a running Redis to a new replication group, by an RDB in S3 (article 002's second way). */
import { z } from 'zod';
import { nodeAccess } from './elasticache-values.ts';
import { gate } from './gate.ts';
import { hook } from './hooks.ts';
import { elasticacheRestore, type ElastiCacheRestore } from './kind-elasticache-restore.ts';
import { redisOnline } from './kind-redis-online.ts';
import { migrationBase } from './migration-base.ts';
import { rdbBucket, rdbFrom } from './redis-rdb.ts';
import { awsSettings, duration, redisEndpoint, replicationGroupId, type RedisEndpoint } from './values.ts';

const to = elasticacheRestore.shape.to.unwrap().extend({
  replicationGroup: replicationGroupId.describe('the new group'),
  nodeType: z
    .string({ error: 'expected one: an RDB does not tell a node type' })
    .regex(/^cache\.[a-z0-9]+\.[a-z0-9]+$/, { error: 'expected a node type such as cache.r7g.large' }),
});

export const redisOffline = z
  .strictObject({
    ...migrationBase,
    kind: z.literal('redis-offline'),
    source: redisEndpoint,
    fence: z
      .boolean()
      .default(true)
      .describe('writes are refused from before the RDB is made; false: every write after it was begun is lost'),
    rdb: z
      .strictObject({ from: rdbFrom })
      .prefault({ from: { type: 'replication' } })
      .describe('how the RDB leaves the source'),
    s3: rdbBucket,
    keepRdb: z.boolean().default(false).describe('the RDB stays in S3, also after an abort'),
    to,
    access: z.strictObject(nodeAccess).prefault({}).describe('how the worker signs on to the new group'),
    compare: redisOnline.options[0].shape.compare,
    cutover: z
      .strictObject({ gate: gate.optional().describe('before the fence; default: none, it begins at once') })
      .prefault({}),
    gate: gate.default('manual').describe('before the switch; writes are refused while it waits, with fence: true'),
    switch: z.array(hook).default([]).describe('sends the application to the new group, after the gate'),
    timeout: duration({ min: '30s', max: '48h' })
      .prefault('6h')
      .describe('how long the save, and then the new group, may take before the operator is asked'),
    soak: duration().prefault('0s').describe('how long to watch the new group before the migration ends'),
    aws: awsSettings.prefault({}),
  })
  .superRefine((file, ctx) => {
    const refuse = (path: PropertyKey[], message: string) => ctx.addIssue({ code: 'custom', path: [...path], message });
    if (!file.fence && file.cutover.gate !== undefined) {
      refuse(['cutover', 'gate'], 'expected none with fence: false: there is no fence that it could stand before');
    }
    // What a restore asks of its group, this kind asks as well.
    const restore = elasticacheRestore.safeParse({ ...base(file), to: file.to });
    for (const { path, message } of restore.error?.issues ?? []) if (path[0] === 'to') refuse(path, message);
  });
export type RedisOffline = z.output<typeof redisOffline>;

const base = ({ id }: { id: string }, arn = 'arn:aws:s3:::the-bucket/the.rdb') => ({
  kind: 'elasticache-restore' as const,
  id,
  from: { s3: [arn] },
});

/** Whether the new group is to have cluster mode enabled: its keys are then spread over shards, and database 0 is all there is. */
export const hasShards = ({ to: { clusterMode, shards } }: RedisOffline): boolean =>
  clusterMode === undefined ? shards !== undefined : clusterMode === 'enabled';

/** The part that is a restore: from this object, to the file's new group. */
export function restoreOf(migration: RedisOffline, arn: string): ElastiCacheRestore {
  const { crashDetection, gate: opens, timeout, aws, access, switch: hooks } = migration;
  return {
    ...base(migration, arn),
    crashDetection,
    to: { ...migration.to, clusterMode: hasShards(migration) ? 'enabled' : 'disabled' },
    drill: false,
    // The compare tells what is missing; a source may be empty.
    verify: { keys: 0, sampleKeys: [], ...access },
    switch: hooks,
    gate: opens,
    timeout,
    aws,
  };
}

/** The new group as a Redis server: its primary, or with shards any of its nodes, which tells of the others. */
export function targetOf(
  { to: group, access }: RedisOffline,
  { host, port }: { host: string; port: number },
): RedisEndpoint {
  const password = group.authToken ?? access.password;
  return {
    host,
    port,
    tls: group.tls ? (access.ca === undefined ? true : { ca: access.ca }) : false,
    ...(access.username === undefined ? {} : { username: access.username }),
    ...(password === undefined ? {} : { password }),
  };
}
