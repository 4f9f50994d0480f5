/** What a replication group must be, to be the target of StartMigration (facts/redis-aws 4.1, T rows). */
import { pass, unmet } from '../preflight/check.ts';
import { anew, aws, describe, group, modify, type GroupCheck } from './preflight-context.ts';
import { groupStateChecks } from './preflight-state.ts';

export type { ElastiCacheContext } from './preflight-context.ts';

const groupFieldChecks: readonly GroupCheck[] = [
  {
    id: 'T3',
    title: 'encryption in transit is off',
    severity: 'fail',
    remedy: (c) =>
      `${modify(c, '--transit-encryption-mode', 'preferred')} and, when available again: ${modify(c, '--no-transit-encryption-enabled')}`,
    byHand: (c) => `${describe(c)}  # TransitEncryptionEnabled: false`,
    run: async (c) => {
      const { transitEncryption, atRestEncryption } = await group(c);
      if (transitEncryption) return unmet('TransitEncryptionEnabled: true; it can be switched on after the migration');
      return pass(`off in transit; at rest ${atRestEncryption ? 'on, which is no hindrance' : 'off'}`);
    },
  },
  {
    id: 'T4',
    title: 'Multi-AZ and automatic failover are on',
    severity: 'fail',
    remedy: (c) => modify(c, '--multi-az-enabled', '--automatic-failover-enabled'),
    byHand: (c) => `${describe(c)}  # MultiAZ: enabled, AutomaticFailover: enabled`,
    run: async (c) => {
      const { multiAz, automaticFailover, members } = await group(c);
      const found = `MultiAZ ${multiAz ? 'enabled' : 'disabled'}, AutomaticFailover ${automaticFailover}`;
      if (multiAz && automaticFailover === 'enabled') return pass(found);
      const replica = aws(c, 'increase-replica-count', '--new-replica-count', '1', '--apply-immediately');
      const remedy = modify(c, '--multi-az-enabled', '--automatic-failover-enabled');
      return members.length < 2
        ? unmet(`${found}, one node`, `${replica} and, when available again: ${remedy}`)
        : unmet(found);
    },
  },
  {
    id: 'T6',
    title: 'cluster mode is off on the group',
    severity: 'fail',
    remedy: () => anew('with cluster mode disabled (without --num-node-groups)'),
    byHand: (c) => `${describe(c)}  # ClusterEnabled: false`,
    run: async (c) => {
      const { clusterEnabled, nodeGroups } = await group(c);
      if (clusterEnabled) return unmet(`ClusterEnabled: true, ${nodeGroups.length} shards; the source is one primary`);
      return nodeGroups.length > 1
        ? unmet(`${nodeGroups.length} node groups`)
        : pass('ClusterEnabled: false, one node group');
    },
  },
  {
    id: 'T7',
    title: 'the group is of a sort that StartMigration takes',
    severity: 'fail',
    remedy: () => anew('outside of a global datastore, without data tiering (no r6gd), in a Region proper'),
    byHand: (c) => `${describe(c)}  # no GlobalReplicationGroupInfo, DataTiering: disabled`,
    run: async (c) => {
      const facts = await group(c);
      const wrong = [
        facts.globalDatastore && `member of the global datastore ${facts.globalDatastore}`,
        (facts.dataTiering || facts.cacheNodeType.includes('r6gd')) && `data tiering (${facts.cacheNodeType})`,
        ...facts.members.map(
          ({ id, availabilityZone }) => isLocalZone(availabilityZone) && `${id} in the Local Zone ${availabilityZone}`,
        ),
      ].filter(Boolean);
      return wrong.length === 0 ? pass('no global datastore, no data tiering, no Local Zone') : unmet(wrong.join('; '));
    },
  },
  {
    id: 'T8',
    title: 'the group asks for no password',
    severity: 'fail',
    remedy: (c) => modify(c, '--auth-token-update-strategy', 'DELETE'),
    byHand: (c) => `${describe(c)}  # AuthTokenEnabled: false, no UserGroupIds`,
    run: async (c) => {
      const { authToken, userGroups } = await group(c);
      if (userGroups.length > 0) {
        return unmet(`user groups: ${userGroups.join(', ')}`, modify(c, '--user-group-ids-to-remove', ...userGroups));
      }
      return authToken ? unmet('AuthTokenEnabled: true') : pass('AuthTokenEnabled: false, no user groups');
    },
  },
];

export const groupChecks: readonly GroupCheck[] = [...groupStateChecks, ...groupFieldChecks];

/** `us-west-2-lax-1a`; an Availability Zone is `us-west-2a`. */
function isLocalZone(zone: string | undefined): boolean {
  return zone !== undefined && /^[a-z]{2}(-[a-z]+)+-\d-[a-z]+-\d[a-z]$/.test(zone);
}
