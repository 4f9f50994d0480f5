/** The preflight of `elasticache-retire`: what a deletion takes with it, and whom it would cut off. Changes nothing. */
import type { ElastiCacheRetire } from '../../spec/kind-elasticache-retire.ts';
import { summarisePreflight, type PreflightReport } from '../../spec/preflight.ts';
import { CannotCheck, fail, pass, unmet, warn, type Check } from '../preflight/check.ts';
import { runChecks } from '../preflight/run-checks.ts';
import { awsElastiCache } from '../redis/preflight/commands.ts';
import { allSnapshots } from './all-snapshots.ts';
import { connectedClients } from './connected-clients.ts';
import { availableCheck, describe, nodeTypeCheck, type GroupContext } from './group-checks.ts';
import { describeGroup } from './replication-group.ts';
import { findSnapshot } from './snapshot.ts';

type RetireContext = GroupContext<ElastiCacheRetire>;
type RetireCheck = Check<RetireContext>;

const cli = ({ migration }: RetireContext, command: string, ...words: string[]) =>
  awsElastiCache(migration.aws.region, command, ...words);
const automatic = (c: RetireContext) =>
  cli(c, 'describe-snapshots', '--replication-group-id', c.migration.replicationGroup, '--snapshot-source', 'system');

const available = availableCheck('D1', 'AWS deletes no group in another state; wait until it is');

const alone: RetireCheck = {
  id: 'D2',
  title: 'the group is in no Global Datastore',
  severity: 'fail',
  remedy: (c) =>
    `take it out first: ${cli(c, 'disassociate-global-replication-group', '--global-replication-group-id', c.group.globalDatastore ?? '', '--replication-group-id', c.group.id, '--replication-group-region', c.migration.aws.region ?? '<region>')}`,
  byHand: describe,
  run: async ({ group }) =>
    group.globalDatastore === undefined ? pass('it is in none') : unmet(`it is a member of ${group.globalDatastore}`),
};

const nodeType = nodeTypeCheck('D3', 'cache.t1.micro has no snapshots: nothing would be left; copy its keys by hand');

const freeNames: RetireCheck = {
  id: 'D4',
  title: 'the snapshots’ names are free',
  severity: 'fail',
  remedy: () => 'leave snapshotName and finalSnapshotName out (then each run has names of its own), or give others',
  byHand: (c) => cli(c, 'describe-snapshots'),
  run: async ({ migration: { snapshotName, finalSnapshotName, aws } }) => {
    const given = [snapshotName, finalSnapshotName].flatMap((name) => name ?? []);
    for (const name of given) {
      if (await findSnapshot({ snapshotName: name, aws })) return fail(`there is a snapshot ${name} already`);
    }
    return pass(given.length > 0 ? `${given.join(' and ')} are free` : 'each run has names of its own');
  },
};

const dies: RetireCheck = {
  id: 'D5',
  title: 'no automatic snapshot dies with the group',
  severity: 'warn',
  remedy: (c) =>
    `AWS deletes them with the group; copy those that are to stay first: ${cli(c, 'copy-snapshot', '--source-snapshot-name', '<name>', '--target-snapshot-name', '<new name>')}`,
  byHand: automatic,
  run: async ({ migration: { aws }, group }) => {
    const all = await allSnapshots({ source: 'system', group: group.id, aws });
    return all.length === 0 ? pass('there is none') : unmet(`${all.length}: ${all.map(({ name }) => name).join(', ')}`);
  },
};

const SHOWN = 10;

const unused: RetireCheck = {
  id: 'D6',
  title: 'nobody is connected to the group',
  severity: 'warn',
  remedy: ({ group }) => `they get errors once it is gone: send them elsewhere first, then look again at ${group.id}`,
  byHand: () => 'on a node: redis-cli CLIENT LIST, and INFO commandstats twice; CloudWatch CurrConnections',
  run: async ({ migration, group }) => {
    const nodes = await connectedClients(group, migration.access, migration.id).catch((error: unknown) => {
      throw new CannotCheck(error instanceof Error ? error.message : String(error));
    });
    if (nodes.length === 0) throw new CannotCheck('AWS tells no address of its nodes');
    const texts = nodes.flatMap(({ node, addresses, commandsPerSecond }) => {
      const hosts = Object.entries(addresses);
      const count = hosts.reduce((sum, [, n]) => sum + n, 0);
      if (count === 0 && commandsPerSecond === 0) return [];
      const shown = hosts.slice(0, SHOWN).map(([host, n]) => `${host} ×${n}`);
      return [
        `${node}: ${count} connection(s) (${shown.join(', ')}${hosts.length > SHOWN ? ', …' : ''}), ${commandsPerSecond} commands/s`,
      ];
    });
    return texts.length === 0 ? pass(`nobody, on ${nodes.length} node(s)`) : warn(texts.join('; '));
  },
};

const checks: readonly RetireCheck[] = [available, alone, nodeType, freeNames, dies, unused];

/** @throws what describeGroup throws: without the group there is nothing to retire */
export async function preflightElastiCacheRetire({
  migration,
}: {
  migration: ElastiCacheRetire;
}): Promise<PreflightReport> {
  const group = await describeGroup({ id: migration.replicationGroup, aws: migration.aws });
  return summarisePreflight(await runChecks(checks, { migration, group }));
}
