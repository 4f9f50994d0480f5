/** The context of `engine: elasticache`: what AWS says of the group, and its primary as a Redis server. */
import type { RedisOnlineElastiCache } from '../../../spec/kind-redis-online.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { parameterValue } from '../../elasticache/parameters.ts';
import type { ElastiCacheContext } from '../../elasticache/preflight.ts';
import { describeGroup } from '../../elasticache/replication-group.ts';
import { CannotCheck } from './check.ts';
import { awsElastiCache } from './commands.ts';
import type { SharedContext } from './context.ts';
import { redisProbe, type RedisProbe } from './probe.ts';
import { engineVersion } from './versions.ts';

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
