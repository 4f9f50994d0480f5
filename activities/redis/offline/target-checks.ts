/** The new group of an offline migration: its name, and whether it can hold and read what the source has. */
import prettyBytes from 'pretty-bytes';
import { hasShards, type RedisOffline } from '../../../spec/kind-redis-offline.ts';
import { parameterValue } from '../../elasticache/parameters.ts';
import { restoreChecks } from '../../elasticache/restore-checks.ts';
import { CannotCheck, pass, unmet } from '../../preflight/check.ts';
import { awsElastiCache, redisCli } from '../preflight/commands.ts';
import { infoNumber, keysByDatabase } from '../preflight/probe.ts';
import { engineVersion, whyNotFollow } from '../preflight/versions.ts';
import type { OfflineCheck, OfflineContext } from './context.ts';
import { shardChecks } from './shard-checks.ts';
import { roomOf, shapeOf, shareOf, slotsOfShards } from './target-shape.ts';

const bytes = (n: number) => prettyBytes(n, { binary: true });
const cli = ({ source }: OfflineContext, ...command: string[]) => redisCli(source.endpoint, ...command);
const aws = ({ migration }: OfflineContext, ...words: string[]) => awsElastiCache(migration.aws.region, ...words);

/** Of `elasticache-restore`: E2 the name, E5 the parameter group. */
const borrowed = restoreChecks
  .filter(({ id }) => id === 'E2' || id === 'E5')
  .map((check): OfflineCheck => ({
    id: check.id,
    title: check.title,
    severity: check.severity,
    cheap: check.id === 'E2',
    remedy: (c) =>
      check.id === 'E2'
        ? 'give another name under to.replicationGroup: ElastiCache restores to new groups only'
        : check.remedy(c.restore),
    byHand: (c) => check.byHand(c.restore),
    run: (c) => check.run(c.restore),
  }));

const readable: OfflineCheck = {
  id: 'G1',
  title: 'the new group can read the RDB that the source writes',
  severity: 'fail',
  remedy: (c) =>
    `a higher to.engineVersion, or to.engine: valkey; which there are: ${aws(c, 'describe-cache-engine-versions')}`,
  byHand: (c) => `${cli(c, 'INFO', 'server')}  # against: ${aws(c, 'describe-cache-engine-versions')}`,
  run: async (c) => {
    const source = await c.source.version();
    const { engine, engineVersion: version } = shapeOf(c);
    if (version === undefined) {
      throw new CannotCheck(
        `which version AWS takes for ${engine} is not known here (the source is ${source.text}); name it: to.engineVersion`,
      );
    }
    const target = engineVersion(engine, version);
    const why = whyNotFollow(source, target);
    return why === undefined
      ? pass(`${source.text} → ${target.text}`)
      : unmet(`${source.text} → ${target.text}: ${why}`);
  },
};

const fits: OfflineCheck = {
  id: 'G2',
  title: 'the data fits the node type',
  severity: 'fail',
  remedy: (c) =>
    `a larger to.nodeType${hasShards(c.migration) ? ', or more shards' : ''}: one that does not fit ends as restore-failed, after minutes`,
  byHand: (c) =>
    `${cli(c, 'INFO', 'memory')}  # used_memory, below maxmemory less reserved-memory-percent of ${c.migration.to.nodeType}`,
  run: async (c) => {
    const { bytes: room, reserved } = await roomOf(c);
    const used = infoNumber(await c.source.info(), 'used_memory');
    const share = Math.max(...slotsOfShards(c).map(shareOf));
    const most = used * share;
    const ofShard = share === 1 ? '' : `, of which the largest shard has ${bytes(Math.ceil(most))} by its slots`;
    return (most <= room ? pass : unmet)(
      `the source uses ${bytes(used)}${ofShard}; ${c.migration.to.nodeType} has room for ${bytes(room)} (${reserved} % reserved)`,
    );
  },
};

const databases: OfflineCheck = {
  id: 'G3',
  title: 'every database in use exists in the new group',
  severity: 'fail',
  cheap: true,
  remedy: (c) =>
    hasShards(c.migration)
      ? 'move the keys of the others to database 0, or choose a group without shards: ElastiCache fails to restore several databases to cluster mode'
      : 'a parameter group of your own with `databases` above the highest in use: it can only be set before the group is made',
  byHand: (c) => cli(c, 'INFO', 'keyspace'),
  run: async (c) => {
    const used = [...keysByDatabase(await c.source.info()).keys()];
    const highest = Math.max(0, ...used);
    if (highest === 0) return pass('db0 alone');
    if (hasShards(c.migration)) {
      return unmet(`db${used.filter((db) => db !== 0).join(', db')} in use; a group with shards has db0 alone`);
    }
    const { parameterGroup } = shapeOf(c);
    if (parameterGroup === undefined)
      throw new CannotCheck(`db${highest} is in use; AWS's default parameter group is not known here`);
    const there = await parameterValue({ parameterGroup, name: 'databases', aws: c.migration.aws });
    if (there === undefined) throw new CannotCheck(`${parameterGroup} does not tell how many databases it has`);
    return (highest < Number(there) ? pass : unmet)(`db${highest} is in use; ${parameterGroup} has ${there} databases`);
  },
};

/** In the order of the report. */
export const targetChecks = (migration: RedisOffline): OfflineCheck[] => [
  ...borrowed,
  readable,
  fits,
  databases,
  ...(hasShards(migration) ? shardChecks : []),
];
