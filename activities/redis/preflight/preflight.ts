/** The preflight of `redis-online`: which checks there are, of what they are asked, and the report. Changes nothing. */
import { Context } from '@temporalio/activity';
import type { RedisOnline, RedisOnlineElastiCache, RedisOnlineReplicaOf } from '../../../spec/kind-redis-online.ts';
import { summarisePreflight, type PreflightReport } from '../../../spec/preflight.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { parameterValue } from '../../elasticache/parameters.ts';
import { groupChecks, type ElastiCacheContext } from '../../elasticache/preflight.ts';
import { describeGroup } from '../../elasticache/replication-group.ts';
import { CannotCheck } from './check.ts';
import { awsElastiCache, redisCli } from './commands.ts';
import type { RedisOnlineCheck, RedisOnlineContext } from './context.ts';
import { copyChecks } from './copy-checks.ts';
import { eitherTargetChecks } from './either-target-checks.ts';
import { fenceChecks } from './fence-checks.ts';
import { networkChecks } from './network-checks.ts';
import { redisProbe, type RedisProbe } from './probe.ts';
import { rateChecks } from './rate-checks.ts';
import { runChecks } from './run-checks.ts';
import { sourceAccessChecks } from './source-access-checks.ts';
import { targetChecks } from './target-checks.ts';
import { engineVersion } from './versions.ts';

export interface PreflightInput {
  migration: RedisOnline;
  /** Right before the fence: the checks that take milliseconds, of a target that follows by now. */
  cheap?: boolean;
}

/**
 * Runs every check of facts/redis-aws 4.1 that fits the file's engine, side by side.
 * It never throws for what it finds: a source that is down is a report with one `fail` and many `unknown`. Whether the
 * migration may go on is the caller's to judge, by `failed`.
 * @throws the cancellation's reason, where the activity is cancelled
 */
export async function preflightRedisOnline(input: PreflightInput): Promise<PreflightReport> {
  const { migration } = input;
  const signal = cancellation();
  const moment = input.cheap ? 'before-fence' : 'before-attach';
  const options = signal ? { signal } : {};
  const source = redisProbe('source', migration.source, `cutover:${migration.id}:preflight`);
  const shared = {
    moment,
    source,
    replication: migration.source.replicationAddress ?? { host: migration.source.host, port: migration.source.port },
  } as const;
  if (migration.engine === 'replicaof') {
    const context = replicaOfContext(migration, shared);
    const checks = [...sourceChecks, ...targetChecks, ...eitherTargetChecks].filter(
      ({ cheap }) => !input.cheap || cheap,
    );
    return closing([source, context.target], async () => runChecks(checks, context, options));
  }
  const context = await elastiCacheContext(migration, shared);
  const forAny: readonly RedisOnlineCheck[] = [...sourceChecks, ...eitherTargetChecks];
  const checks = [...forAny, ...groupChecks].filter(({ cheap }) => !input.cheap || cheap);
  return closing([source, context.target], async () => runChecks(checks, context, options));
}

/** Absent outside of an activity, where tests and scripts call it. */
function cancellation(): AbortSignal | undefined {
  try {
    return Context.current().cancellationSignal;
  } catch {
    return undefined;
  }
}

const sourceChecks: readonly RedisOnlineCheck[] = [
  ...sourceAccessChecks,
  ...networkChecks,
  ...copyChecks,
  ...rateChecks,
  ...fenceChecks,
];

type Shared = Pick<RedisOnlineContext, 'moment' | 'source' | 'replication'>;

async function closing(probes: RedisProbe[], run: () => ReturnType<typeof runChecks>): Promise<PreflightReport> {
  try {
    return summarisePreflight(await run());
  } finally {
    for (const probe of probes) probe.close();
  }
}

/** Not settable while it runs: these are in redis.conf alone. */
const FIXED = new Set(['databases']);

function replicaOfContext(migration: RedisOnlineReplicaOf, shared: Shared): RedisOnlineContext {
  const target = redisProbe('target', migration.target, `cutover:${migration.id}:preflight`);
  return {
    ...shared,
    migration,
    target,
    targetSetting: (name) => target.setting(name),
    targetVersion: () => target.version(),
    targetSettingByHand: (name) => redisCli(migration.target, 'CONFIG', 'GET', name),
    targetSettingRemedy: (name, value) =>
      FIXED.has(name)
        ? `set "${name} ${value}" in redis.conf of the target ${target.where}, and restart it`
        : redisCli(migration.target, 'CONFIG', 'SET', name, value),
  };
}

/** What AWS is asked; a test gives recorded answers instead. */
export interface ElastiCacheQuestions {
  describeGroup: typeof describeGroup;
  parameterValue: typeof parameterValue;
  now(): number;
}

const asked: ElastiCacheQuestions = { describeGroup, parameterValue, now: () => Date.now() };

export async function elastiCacheContext(
  migration: RedisOnlineElastiCache,
  shared: Shared,
  questions: ElastiCacheQuestions = asked,
): Promise<ElastiCacheContext> {
  const { aws } = migration;
  const id = migration.target.replicationGroup;
  const described = questions.describeGroup({ id, aws });
  // Awaited here for the primary's address; a failure is T0's to tell.
  const facts = await described.catch(() => undefined);
  const primary = facts?.primary ?? { host: `${id}.primary.unknown`, port: 6379 };
  const endpoint: RedisEndpoint = { ...primary, tls: facts?.transitEncryption ?? false };
  const target = facts?.primary
    ? redisProbe('target', endpoint, `cutover:${migration.id}:preflight`)
    : unknownPrimary(endpoint, id);
  return {
    ...shared,
    migration,
    target,
    describe: () => described,
    now: () => questions.now(),
    targetVersion: async () => {
      if (!facts?.engineVersion) throw new CannotCheck(`the engine version of ${id} is not known (see T0)`);
      return engineVersion(facts.engine ?? 'redis', facts.engineVersion);
    },
    targetSetting: async (name) => {
      if (!facts?.parameterGroup) throw new CannotCheck(`the parameter group of ${id} is not known (see T0)`);
      const { parameterGroup, cacheNodeType } = facts;
      return questions.parameterValue({ parameterGroup, name, cacheNodeType, aws });
    },
    targetSettingByHand: (name) =>
      `${awsElastiCache(aws.region, 'describe-cache-parameters', '--cache-parameter-group-name', facts?.parameterGroup ?? '<its parameter group>')}  # ${name}`,
    targetSettingRemedy: (name, value) => groupSettingRemedy(migration, facts?.parameterGroup, name, value),
  };
}

function groupSettingRemedy(
  migration: RedisOnlineElastiCache,
  parameterGroup: string | undefined,
  name: string,
  value: string,
): string {
  const { region } = migration.aws;
  if (name === 'maxmemory') {
    const id = migration.target.replicationGroup;
    return awsElastiCache(
      region,
      'modify-replication-group',
      '--replication-group-id',
      id,
      '--cache-node-type',
      '<a bigger one>',
      '--apply-immediately',
    );
  }
  const pair = `ParameterName=${name},ParameterValue=${value}`;
  const change = (group: string) =>
    awsElastiCache(
      region,
      'modify-cache-parameter-group',
      '--cache-parameter-group-name',
      group,
      '--parameter-name-values',
      pair,
    );
  // `databases` can be changed only while no group uses the parameter group; default groups can't be changed at all.
  const own = parameterGroup !== undefined && !parameterGroup.startsWith('default.');
  if (own && name !== 'databases') return change(parameterGroup);
  const create = awsElastiCache(
    region,
    'create-cache-parameter-group',
    '--cache-parameter-group-name',
    migration.id,
    '--cache-parameter-group-family',
    '<its family>',
    '--description',
    'cutover',
  );
  return `${create} && ${change(migration.id)}, then make the replication group anew with it`;
}

/** Stands for a primary whose address AWS has not told. */
function unknownPrimary(endpoint: RedisEndpoint, id: string): RedisProbe {
  const refuse = async (): Promise<never> => {
    throw new CannotCheck(`the address of the primary of ${id} is not known (see T0)`);
  };
  return {
    side: 'target',
    endpoint,
    where: `the primary of ${id}`,
    connection: refuse,
    call: refuse,
    info: refuse,
    setting: refuse,
    version: refuse,
    writeRate: refuse,
    close: () => {},
  };
}
