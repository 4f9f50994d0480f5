/** The checks of `elasticache-restore`: the file against the snapshot (facts/redis-aws 3.3), as data. */
import { DescribeCacheParameterGroupsCommand } from '@aws-sdk/client-elasticache';
import { ApplicationFailure } from '@temporalio/common';
import { NO_RESTORE_INTO_RUNNING, type ElastiCacheRestore } from '../../spec/kind-elasticache-restore.ts';
import { ErrorType } from '../../spec/errors.ts';
import { elasticache } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { CannotCheck, fail, pass, unmet, warn, type Check } from '../preflight/check.ts';
import { awsElastiCache } from '../redis/preflight/commands.ts';
import { downgrade, familyOf } from './engine-versions.ts';
import { nodeRoom } from './node-room.ts';
import { parameterValue } from './parameters.ts';
import { describeGroup, groupStatus, type GroupFacts } from './replication-group.ts';
import { restoreShape, sourceText, type RestoreShape } from './restore-shape.ts';
import type { RestoreSource } from './restore-source.ts';
import type { SnapshotFacts } from './snapshot-facts.ts';

export interface RestoreContext {
  migration: ElastiCacheRestore;
  /** Asked once. @throws as restoreSource */
  source(): Promise<RestoreSource>;
}

export type RestoreCheck = Check<RestoreContext>;

const cli = ({ migration }: RestoreContext, command: string, ...words: string[]) =>
  awsElastiCache(migration.aws.region, command, ...words);

async function sourceOf(c: RestoreContext): Promise<RestoreSource> {
  return c.source().catch(() => {
    throw new CannotCheck('what to restore from can’t be had (see E1)');
  });
}

async function snapshotOf(c: RestoreContext): Promise<SnapshotFacts | undefined> {
  const source = await sourceOf(c);
  return 'snapshot' in source ? source.snapshot : undefined;
}

const shapeOf = async (c: RestoreContext): Promise<RestoreShape> => restoreShape(c.migration, await sourceOf(c));

const complete: RestoreCheck = {
  id: 'E1',
  title: 'the snapshot is there, available and complete',
  severity: 'fail',
  remedy: () => 'name another: cutover snapshots --system elasticache',
  byHand: (c) => cli(c, 'describe-snapshots', '--show-node-group-config'),
  run: async (c) => {
    let source: RestoreSource;
    try {
      source = await c.source();
    } catch (error) {
      if (error instanceof ApplicationFailure && error.type === ErrorType.notFound) return fail(error.message);
      throw error;
    }
    // A file does not tell what is in it.
    if (!('snapshot' in source)) throw new CannotCheck(`whether ${sourceText(source)} are whole is not told (see E8)`);
    const { name, status, problem, createdAt, shards } = source.snapshot;
    if (problem !== undefined) return fail(`${name}: ${problem}`);
    if (status !== 'available')
      return fail(`${name} is ${status}: AWS restores from an available one only`, 'wait, and retry');
    return pass(`${name}, of ${createdAt ?? 'a time that is not told'}, ${shards.length} shard(s)`);
  },
};

const newName: RestoreCheck = {
  id: 'E2',
  title: 'the new group’s name is free',
  severity: 'fail',
  remedy: () => NO_RESTORE_INTO_RUNNING,
  byHand: (c) => cli(c, 'describe-replication-groups', '--replication-group-id', c.migration.to.replicationGroup ?? ''),
  run: async ({ migration: { to, aws } }) => {
    if (to.replicationGroup === undefined) return pass('each drill has a name of its own');
    try {
      const { status } = await groupStatus({ id: to.replicationGroup, aws });
      return fail(`there is a group ${to.replicationGroup} already, and it is ${status}`);
    } catch (error) {
      if (error instanceof ApplicationFailure && error.type === ErrorType.notFound) {
        return pass(`${to.replicationGroup} is free`);
      }
      throw error;
    }
  },
};

const clusterMode: RestoreCheck = {
  id: 'E3',
  title: 'the snapshot’s cluster mode can become the new group’s',
  severity: 'fail',
  remedy: () => 'leave clusterMode out, or set it to enabled: a snapshot with shards can’t become a group without',
  byHand: () => 'redis-cli INFO keyspace on the source: with cluster mode enabled only db0 can be restored',
  run: async (c) => {
    const snapshot = await snapshotOf(c);
    const { clusterEnabled } = await shapeOf(c);
    if (!snapshot) throw new CannotCheck('the cluster mode that RDB files were taken with is not told');
    if (snapshot.clusterEnabled === clusterEnabled) {
      return pass(`cluster mode ${clusterEnabled ? 'enabled' : 'disabled'}`);
    }
    if (!clusterEnabled)
      return unmet(`${snapshot.name} has cluster mode enabled, the new group is to have it disabled`);
    return warn(
      `${snapshot.name} has cluster mode disabled: the restore fails if it has keys in more than one database`,
      'a snapshot does not tell its databases: redis-cli INFO keyspace on the source; only db0 may have keys',
    );
  },
};

const version: RestoreCheck = {
  id: 'E4',
  title: 'the engine’s version is not lower than the snapshot’s',
  severity: 'fail',
  remedy: () => 'leave engine and engineVersion out, or give a higher version',
  byHand: (c) => cli(c, 'describe-cache-engine-versions'),
  run: async (c) => {
    const snapshot = await snapshotOf(c);
    const { engine, engineVersion } = await shapeOf(c);
    const to = `${engine} ${engineVersion ?? '(the newest)'}`;
    if (!snapshot?.engine || !snapshot.engineVersion) {
      throw new CannotCheck(`the engine and version of what is restored are not told; it is restored by ${to}`);
    }
    const from = { engine: snapshot.engine, version: snapshot.engineVersion };
    // Without a version AWS takes its newest; that one engine can't restore the other is known all the same.
    const wrong = downgrade(from, { engine, version: engineVersion ?? from.version });
    if (wrong !== undefined) return unmet(wrong);
    if (engineVersion === undefined) throw new CannotCheck(`which version ${to} is, is not known here`);
    return pass(`${from.engine} ${from.version} → ${to}`);
  },
};

const parameterGroup: RestoreCheck = {
  id: 'E5',
  title: 'the parameter group fits engine and cluster mode',
  severity: 'fail',
  remedy: (c) => `another parameterGroup: ${cli(c, 'describe-cache-parameter-groups')}`,
  byHand: (c) => cli(c, 'describe-cache-parameter-groups'),
  run: async (c) => {
    const { engine, engineVersion, parameterGroup: name, clusterEnabled } = await shapeOf(c);
    if (name === undefined) return pass("AWS's default");
    const { aws } = c.migration;
    const family = await familyOfGroup(c, name);
    if (family === undefined) return unmet(`there is no parameter group ${name}`);
    const wanted = engineVersion === undefined ? undefined : familyOf(engine, engineVersion);
    if (wanted !== undefined && family !== wanted) return unmet(`${name} is of ${family}, the group of ${wanted}`);
    const on = (await parameterValue({ parameterGroup: name, name: 'cluster-enabled', aws })) === 'yes';
    const is = `${name} (${family}) has cluster-enabled ${on ? 'yes' : 'no'}`;
    return on === clusterEnabled
      ? pass(is)
      : unmet(`${is}, the new group cluster mode ${clusterEnabled ? 'enabled' : 'disabled'}`);
  },
};

async function familyOfGroup({ migration }: RestoreContext, name: string): Promise<string | undefined> {
  try {
    const answer = await elasticache(migration.aws).send(
      new DescribeCacheParameterGroupsCommand({ CacheParameterGroupName: name }),
    );
    return answer.CacheParameterGroups?.[0]?.CacheParameterGroupFamily;
  } catch (error) {
    const failure = awsFailure(error, `DescribeCacheParameterGroups of ${name}`);
    if (failure instanceof ApplicationFailure && failure.type === ErrorType.notFound) return undefined;
    throw failure;
  }
}

const memory: RestoreCheck = {
  id: 'E6',
  title: 'the data fits the node type',
  severity: 'fail',
  remedy: () => 'a larger nodeType, or more shards: one that does not fit ends as restore-failed, after minutes',
  byHand: (c) => cli(c, 'describe-snapshots', '--show-node-group-config'),
  run: async (c) => {
    const { aws } = c.migration;
    const snapshot = await snapshotOf(c);
    const { nodeType, shards, parameterGroup: group } = await shapeOf(c);
    if (nodeType.includes('.r6gd.') !== (snapshot?.dataTiering ?? nodeType.includes('.r6gd.'))) {
      return fail(
        `data tiering is ${snapshot?.dataTiering ? 'on' : 'off'} in the snapshot, and ${nodeType} says otherwise`,
        'r6gd to r6gd only, others to others',
      );
    }
    if (snapshot?.sizeBytes === undefined) throw new CannotCheck('the size of what is restored is not told');
    if (group === undefined) throw new CannotCheck("AWS's default parameter group is not known here");
    const { bytes: room, reserved } = await nodeRoom({ parameterGroup: group, nodeType, aws });
    const same = shards.length === snapshot.shards.length;
    const largest = same
      ? Math.max(...snapshot.shards.map(({ bytes }) => bytes ?? 0))
      : snapshot.sizeBytes / shards.length;
    const found = `${megabytes(largest)} in a shard${same ? '' : ', on an average'}; ${nodeType} has room for ${megabytes(room)} (${reserved} % reserved)`;
    return (largest <= room ? pass : unmet)(found);
  },
};

const megabytes = (bytes: number) => `${Math.ceil(bytes / 1024 ** 2)} MB`;

const protection: RestoreCheck = {
  id: 'E7',
  title: 'the new group is protected as its source is',
  severity: 'warn',
  remedy: () =>
    'a snapshot tells none of this: say in `to` what is meant (tls, authToken, userGroups, atRestEncryption, multiAz)',
  byHand: (c) => cli(c, 'describe-replication-groups'),
  run: async (c) => {
    const { to, aws } = c.migration;
    const id = (await snapshotOf(c))?.replicationGroup;
    const source = id === undefined ? undefined : await describeGroup({ id, aws }).catch(() => undefined);
    if (!source) return warn('its source is gone or not known: what it had is not told by a snapshot');
    const lacks = lacking(source, to);
    return lacks.length === 0
      ? pass(`as ${source.id}`)
      : unmet(`${source.id} has ${lacks.join(', ')}; the new group would not`);
  },
};

function lacking(source: GroupFacts, to: ElastiCacheRestore['to']): string[] {
  return [
    ...(source.transitEncryption && !to.tls ? ['TLS'] : []),
    ...(source.authToken && !to.authToken && !to.userGroups ? ['an auth token'] : []),
    ...(source.userGroups.length > 0 && !to.userGroups ? ['user groups'] : []),
    ...(source.atRestEncryption && to.atRestEncryption !== true && !to.kmsKeyId ? ['encryption at rest'] : []),
    ...(source.multiAz && !to.multiAz ? ['Multi-AZ'] : []),
  ];
}

export const restoreChecks: readonly RestoreCheck[] = [
  complete,
  newName,
  clusterMode,
  version,
  parameterGroup,
  memory,
  protection,
];
