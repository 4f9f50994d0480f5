/** `kind: redis-online`: a running Redis to ElastiCache, or to any Redis or Valkey, with the application writing. */
import { z } from 'zod';
import { gate } from './gate.ts';
import { hook } from './hooks.ts';
import { migrationBase } from './migration-base.ts';
import { redisCopy } from './redis-copy.ts';
import { awsSettings, duration, host, port, redisEndpoint, replicationGroupId } from './values.ts';

const source = redisEndpoint.extend({
  replicationAddress: z
    .strictObject({ host, port: port.default(6379) })
    .optional()
    .describe('where the target reaches the source, if that is not where the worker does'),
});

const compare = z.strictObject({
  mode: z.enum(['full', 'sample', 'off']).default('full'),
  sampleRatio: z.number().gt(0).max(1).default(0.05).describe('with mode: sample'),
  values: z.boolean().default(true).describe('false: existence, type and TTL only'),
  ttlTolerance: duration().prefault('1s'),
  ignore: z.array(z.string()).default([]).describe('glob patterns of keys that may differ'),
  maxKeysPerSecond: z.int().min(1).optional().describe('spares a busy source'),
});

const readings = {
  readings: z.int().min(1).max(1000).default(5).describe('that many in a row'),
  interval: duration({ min: '50ms', max: '1h' }).prefault('1s'),
};

const inSync = z.strictObject({
  maxLagBytes: z.int().min(0).default(1_048_576),
  ...readings,
});

const phaseBudgets = (complete: string) =>
  z
    .strictObject({
      fence: duration({ min: '100ms' }).prefault('5s'),
      drain: duration({ min: '100ms' }).prefault('10s'),
      complete: duration({ min: '1s' }).prefault(complete).describe('from the call to its proven outcome'),
      canary: duration({ min: '100ms' }).prefault('10s'),
    })
    .prefault({});

const cutoverSection = (complete: string) =>
  z
    .strictObject({
      gate: gate.default('manual'),
      budgets: phaseBudgets(complete).describe('how long each phase may hold writes back before it is undone'),
    })
    .prefault({});

const shared = {
  ...migrationBase,
  kind: z.literal('redis-online'),
  source,
  allowNonEmptyTarget: z
    .boolean()
    .default(false)
    .describe('attaching deletes every key the target has; true says that this is meant'),
  compare: compare.prefault({}),
  switch: z.array(hook).default([]).describe('run in order once the target is proven to be the primary'),
  abort: z
    .strictObject({
      removePartialData: z.boolean().default(false).describe('FLUSHALL on the target after an abort'),
    })
    .prefault({}),
  soak: duration().prefault('0s').describe('how long to watch the target before the migration ends'),
};

/** Where the target is a replica of the source until it is promoted. */
const replicating = {
  ...shared,
  fixFullResyncLoop: z
    .boolean()
    .default(false)
    .describe('lift client-output-buffer-limit on the source if the copy restarts for ever; put back afterwards'),
  inSync: inSync.prefault({}),
};

export const withElastiCache = z.strictObject({
  ...replicating,
  engine: z.literal('elasticache'),
  target: z.strictObject({ replicationGroup: replicationGroupId }),
  aws: awsSettings.prefault({}),
  testMigration: z.boolean().default(true).describe('TestMigration before StartMigration'),
  cutover: cutoverSection('30m'),
});

const notItself = {
  error: 'expected another server than the source',
  path: ['target'],
};
const areTwoServers = (ends: Record<'source' | 'target', { host: string; port: number }>) =>
  ends.source.host !== ends.target.host || ends.source.port !== ends.target.port;

const withReplicaOf = z
  .strictObject({
    ...replicating,
    engine: z.literal('replicaof'),
    target: redisEndpoint,
    aws: awsSettings.prefault({}),
    cutover: cutoverSection('10s'),
  })
  .refine(areTwoServers, notItself);

const withScan = z
  .strictObject({
    ...shared,
    engine: z.literal('scan'),
    // Each a single server, any node of a cluster, or its configuration endpoint. Not described to the schema: a file without
    // an engine is told what is missing for all engines alike.
    source: redisEndpoint,
    target: redisEndpoint,
    aws: awsSettings.prefault({}),
    copy: redisCopy.omit({ allowNonEmptyTarget: true }).prefault({}).describe('how the keys are read and written'),
    notifications: z
      .enum(['required', 'switch-on'])
      .default('required')
      .describe(
        'keyspace notifications tell what is changed meanwhile. required: they must be on; switch-on: they are switched on by CONFIG SET and put back',
      ),
    inSync: z
      .strictObject({
        maxLag: duration().prefault('2s').describe('how long a touched key may wait to be copied again'),
        ...readings,
      })
      .prefault({}),
    cutover: cutoverSection('10s'),
  })
  .refine(areTwoServers, notItself);

export const redisOnline = z.discriminatedUnion('engine', [withElastiCache, withReplicaOf, withScan], {
  error: 'expected engine: elasticache, replicaof or scan',
});
export type RedisOnline = z.output<typeof redisOnline>;
export type RedisOnlineElastiCache = z.output<typeof withElastiCache>;
export type RedisOnlineReplicaOf = z.output<typeof withReplicaOf>;
export type RedisOnlineScan = z.output<typeof withScan>;
/** The engines whose target is a replica of the source until it is promoted. */
export type RedisOnlineReplicating = RedisOnlineElastiCache | RedisOnlineReplicaOf;
