/** The context of `engine: elasticache`: what AWS says of the group, and its primary as a Redis server. */
import type { RedisOnlineElastiCache } from '../../../spec/kind-redis-online.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { parameterValue } from '../../elasticache/parameters.ts';
import type { ElastiCacheContext } from '../../elasticache/preflight.ts';
import { describeGroup, type GroupFacts } from '../../elasticache/replication-group.ts';
import { CannotCheck } from '../../preflight/check.ts';
import { awsElastiCache } from './commands.ts';
import type { SharedContext } from './context.ts';
import { redisProbe, type RedisProbe } from './probe.ts';
import { engineVersion } from './versions.ts';

const DESCRIBE_DEADLINE_MS = 30_000;

/** What AWS is asked; a test gives recorded answers instead. */
export interface ElastiCacheQuestions {
  describeGroup: typeof describeGroup;
  parameterValue: typeof parameterValue;
  now(): number;
}

const asked: ElastiCacheQuestions = { describeGroup, parameterValue, now: () => Date.now() };

/** Asks AWS for the group once; that it can't be had is T0's to tell, and nothing is thrown here. */
export async function elastiCacheContext(
  migration: RedisOnlineElastiCache,
  shared: SharedContext,
  questions: ElastiCacheQuestions = asked,
): Promise<ElastiCacheContext> {
  const { aws } = migration;
  const id = migration.target.replicationGroup;
  const described = inTime(questions.describeGroup({ id, aws }), `AWS has not described ${id}`);
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
    targetSettingRemedy: (name, value) => groupSettingRemedy(migration, facts, name, value),
  };
}

function groupSettingRemedy(
  migration: RedisOnlineElastiCache,
  facts: GroupFacts | undefined,
  name: string,
  value: string,
): string {
  const { region } = migration.aws;
  const modify = (...words: string[]) =>
    awsElastiCache(
      region,
      'modify-replication-group',
      '--replication-group-id',
      migration.target.replicationGroup,
      ...words,
      '--apply-immediately',
    );
  if (name === 'maxmemory') return modify('--cache-node-type', '<a bigger one>');
  const set = (group: string) =>
    awsElastiCache(
      region,
      'modify-cache-parameter-group',
      '--cache-parameter-group-name',
      group,
      '--parameter-name-values',
      `ParameterName=${name},ParameterValue=${value}`,
    );
  // Default groups can't be changed; `databases` only in a parameter group that no replication group uses yet.
  const own = facts?.parameterGroup;
  if (own !== undefined && !own.startsWith('default.') && name !== 'databases') return set(own);
  const create = awsElastiCache(
    region,
    'create-cache-parameter-group',
    '--cache-parameter-group-name',
    migration.id,
    '--cache-parameter-group-family',
    familyOf(facts),
    '--description',
    migration.id,
  );
  const made = `${create} && ${set(migration.id)}`;
  return name === 'databases'
    ? `${made}, then make the replication group anew with it: ${name} can't be changed on an existing one`
    : `${made} && ${modify('--cache-parameter-group-name', migration.id)}`;
}

/** `redis7`, `redis6.x`, `valkey8`: the family that a parameter group of this engine must be of. */
function familyOf(facts: GroupFacts | undefined): string {
  const major = /^\d+/.exec(facts?.engineVersion ?? '')?.[0];
  if (major === undefined) return '<its family>';
  if (facts?.engine === 'valkey') return `valkey${major}`;
  return { '5': 'redis5.0', '6': 'redis6.x' }[major] ?? `redis${major}`;
}

/** The SDK tries a call that hangs three times, which together outlast the activity. */
async function inTime<T>(asked: Promise<T>, late: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new CannotCheck(`${late} within ${DESCRIBE_DEADLINE_MS / 1000} s`)),
      DESCRIBE_DEADLINE_MS,
    );
  });
  try {
    return await Promise.race([asked, deadline]);
  } finally {
    clearTimeout(timer);
  }
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
    callAgain: refuse,
    info: refuse,
    setting: refuse,
    version: refuse,
    writeRate: refuse,
    close: () => {},
  };
}
