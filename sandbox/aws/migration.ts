import type {
  CompleteMigrationMessage,
  CompleteMigrationResponse,
  CustomerNodeEndpoint,
  StartMigrationMessage,
  StartMigrationResponse,
  TestMigrationMessage,
  TestMigrationResponse,
} from '@aws-sdk/client-elasticache';
import { findGroup, setStatus } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { AwsFault, invalidValue } from './faults.ts';
import { groupView } from './group-view.ts';
import { attach, complete, test } from './migration-work.ts';
import type { GroupState } from './state.ts';

/** Answers at once; the result comes as an event only (facts 3.1). */
export function testMigration(cloud: Cloud, input: TestMigrationMessage): TestMigrationResponse {
  const group = findGroup(cloud, input.ReplicationGroupId);
  const { host, port } = customerNode(input.CustomerNodeEndpointList);
  requireStartable(group);
  cloud.background.run(`test migration of ${group.id}`, group.id, () => test(cloud, group, host, port));
  return { ReplicationGroup: groupView(cloud, group) };
}

/** `available` to `modifying`, and then `migrating`; or back to `available` with an event when it cannot attach. */
export function startMigration(cloud: Cloud, input: StartMigrationMessage): StartMigrationResponse {
  const group = findGroup(cloud, input.ReplicationGroupId);
  const { host, port } = customerNode(input.CustomerNodeEndpointList);
  requireStartable(group);
  group.migration = { host, port, phase: 'attaching', force: false, deaths: 0 };
  setStatus(cloud, group, 'modifying');
  cloud.background.run(`start migration of ${group.id}`, group.id, () => attach(cloud, group));
  return { ReplicationGroup: groupView(cloud, group) };
}

/** `migrating` to `available` when the data is in sync; else it stays `migrating`, and an event says why. */
export function completeMigration(cloud: Cloud, input: CompleteMigrationMessage): CompleteMigrationResponse {
  const group = findGroup(cloud, input.ReplicationGroupId);
  const force = input.Force ?? false;
  const { migration } = group;
  if (migration === undefined) {
    throw new AwsFault(
      'ReplicationGroupNotUnderMigrationFault',
      `Replication group ${group.id} is not under migration.`,
    );
  }
  const promotedButStuck = migration.phase === 'promoted' && force;
  if (group.status !== 'migrating' || (migration.phase !== 'migrating' && !promotedButStuck)) {
    throw new AwsFault(
      'InvalidReplicationGroupState',
      `Replication group ${group.id} has status ${group.status} with an operation in progress; CompleteMigration is not possible now.`,
    );
  }
  migration.phase = 'completing';
  migration.force = force;
  cloud.store.save();
  const mode = cloud.script.takeCompleteMode();
  const { replacing } = group;
  cloud.background.run(`complete migration of ${group.id}`, group.id, () => complete(cloud, group, mode, replacing));
  return { ReplicationGroup: groupView(cloud, group) };
}

function requireStartable(group: GroupState): void {
  if (group.migration !== undefined) {
    throw new AwsFault(
      'ReplicationGroupAlreadyUnderMigrationFault',
      `Replication group ${group.id} is already under migration.`,
    );
  }
  if (group.status !== 'available') {
    throw new AwsFault(
      'InvalidReplicationGroupState',
      `Replication group ${group.id} has status ${group.status}; it must be available for a migration.`,
    );
  }
  // AWS documents these as conditions of a target, not how it refuses; the code is one of the call's own (facts 3.2).
  const refuse = (why: string): never => {
    throw invalidValue(`Replication group ${group.id} cannot be the target of a migration: ${why}.`);
  };
  if (group.clusterEnabled) refuse('the sandbox migrates with cluster mode disabled only');
  if (group.transitEncryption) refuse('in-transit encryption must be disabled');
  if (group.authToken !== undefined || group.userGroupIds.length > 0) refuse('authentication must be disabled');
  if (!group.multiAz || group.automaticFailover !== 'enabled') refuse('Multi-AZ must be enabled');
  if (group.dataTiering) refuse('data tiering must be disabled');
  if (group.engine === 'redis' && group.engineVersion.localeCompare('5.0.5', undefined, { numeric: true }) < 0) {
    refuse(`its engine version must be 5.0.5 or higher, not ${group.engineVersion}`);
  }
}

/** Exactly one endpoint, in both cluster modes (facts 4.1 N2). */
function customerNode(list: CustomerNodeEndpoint[] | undefined): { host: string; port: number } {
  if (list?.length !== 1) {
    throw invalidValue(`CustomerNodeEndpointList must have exactly one endpoint, not ${list?.length ?? 0}.`);
  }
  const host = list[0]?.Address;
  const port = list[0]?.Port;
  if (host === undefined || !/^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$/.test(host)) {
    throw invalidValue(`Invalid Address '${host ?? ''}' in CustomerNodeEndpointList.`);
  }
  if (port === undefined || port < 1 || port > 65_535) {
    throw invalidValue(`Invalid Port '${port ?? ''}' in CustomerNodeEndpointList. It must be between 1 and 65535.`);
  }
  return { host, port };
}
