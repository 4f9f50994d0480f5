import type {
  CreateReplicationSubnetGroupMessage,
  CreateReplicationSubnetGroupResponse,
  DeleteReplicationSubnetGroupMessage,
  DescribeReplicationSubnetGroupsMessage,
  DescribeReplicationSubnetGroupsResponse,
  ModifyReplicationSubnetGroupMessage,
  ModifyReplicationSubnetGroupResponse,
  ReplicationSubnetGroup,
} from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import { checkQuota } from './account.ts';
import { arnPrefix } from './arns.ts';
import { alreadyExists, invalidState, invalidValue, notFound } from './faults.ts';
import { dmsPage, filtered } from './filters.ts';
import type { SubnetGroupState } from './state.ts';
import { dmsTags } from './tag-rules.ts';
import { required } from './validation.ts';

export function createSubnetGroup(
  cloud: Cloud,
  input: CreateReplicationSubnetGroupMessage,
): CreateReplicationSubnetGroupResponse {
  const groups = cloud.store.state.dms.subnetGroups;
  const id = checkGroupName(required('ReplicationSubnetGroupIdentifier', input.ReplicationSubnetGroupIdentifier));
  const description = required('ReplicationSubnetGroupDescription', input.ReplicationSubnetGroupDescription);
  const subnetIds = checkSubnets(input.SubnetIds ?? []);
  const tags = dmsTags(input.Tags);
  if (groups[id] !== undefined) throw alreadyExists(`The replication subnet group '${id}' already exists.`);
  checkQuota('ReplicationSubnetGroups', Object.keys(groups).length);
  const group: SubnetGroupState = { id, arn: arnPrefix(cloud, 'subgrp') + id, description, subnetIds, tags };
  groups[id] = group;
  cloud.store.save();
  return { ReplicationSubnetGroup: view(cloud, group) };
}

export function describeSubnetGroups(
  cloud: Cloud,
  input: DescribeReplicationSubnetGroupsMessage,
): DescribeReplicationSubnetGroupsResponse {
  const found = filtered(
    Object.values(cloud.store.visible().dms.subnetGroups),
    input.Filters,
    { 'replication-subnet-group-id': (group) => [group.id] },
    'replication subnet groups',
  );
  const { items, ...marker } = dmsPage(found, (group) => group.id, input);
  return { ReplicationSubnetGroups: items.map((group) => view(cloud, group)), ...marker };
}

export function modifySubnetGroup(
  cloud: Cloud,
  input: ModifyReplicationSubnetGroupMessage,
): ModifyReplicationSubnetGroupResponse {
  const group = findSubnetGroup(cloud, input.ReplicationSubnetGroupIdentifier ?? '');
  group.subnetIds = checkSubnets(input.SubnetIds ?? []);
  group.description = input.ReplicationSubnetGroupDescription ?? group.description;
  cloud.store.save();
  return { ReplicationSubnetGroup: view(cloud, group) };
}

export function deleteSubnetGroup(cloud: Cloud, input: DeleteReplicationSubnetGroupMessage): object {
  const group = findSubnetGroup(cloud, input.ReplicationSubnetGroupIdentifier ?? '');
  const { dms } = cloud.store.state;
  const user = Object.values(dms.instances).find((instance) => instance.subnetGroup === group.id);
  if (user !== undefined) {
    throw invalidState(
      `Cannot delete the subnet group '${group.id}' because at least one database instance: ${user.id} is still using it.`,
    );
  }
  delete dms.subnetGroups[group.id];
  cloud.store.save();
  return {};
}

/** @throws AwsFault ResourceNotFoundFault. */
export function findSubnetGroup(cloud: Cloud, name: string): SubnetGroupState {
  const group = cloud.store.state.dms.subnetGroups[name.toLowerCase()];
  if (group === undefined) throw notFound(`Replication Subnet Group '${name}' not found.`);
  return group;
}

/** The default VPC's group is made by AWS itself, and can't be described by its name here. */
export function viewOf(cloud: Cloud, id: string | undefined): ReplicationSubnetGroup {
  const group = id === undefined ? undefined : cloud.store.state.dms.subnetGroups[id];
  return view(
    cloud,
    group ?? {
      id: 'default',
      arn: '',
      description: 'default',
      subnetIds: ['subnet-default-a', 'subnet-default-b'],
      tags: {},
    },
  );
}

function view(cloud: Cloud, group: SubnetGroupState): ReplicationSubnetGroup {
  return {
    ReplicationSubnetGroupIdentifier: group.id,
    ReplicationSubnetGroupDescription: group.description,
    VpcId: 'vpc-sandbox',
    SubnetGroupStatus: 'Complete',
    Subnets: group.subnetIds.map((id, i) => ({
      SubnetIdentifier: id,
      SubnetAvailabilityZone: { Name: `${cloud.region}${'abc'[i % 3]}` },
      SubnetStatus: 'Active',
    })),
    SupportedNetworkTypes: ['IPV4'],
  };
}

function checkGroupName(name: string): string {
  if (!/^[a-zA-Z0-9._ -]{1,255}$/.test(name) || name.toLowerCase() === 'default') {
    throw invalidValue(
      `The parameter ReplicationSubnetGroupIdentifier is not valid: '${name}'. 1 to 255 letters, digits, periods, spaces, underscores and hyphens, and not 'default'.`,
    );
  }
  return name.toLowerCase();
}

/** Whether the subnets exist is not looked up: the sandbox's subnets are EC2's, which another server emulates. */
function checkSubnets(ids: readonly string[]): string[] {
  for (const id of ids) {
    if (!/^subnet-[a-zA-Z0-9-]+$/.test(id)) throw new AwsFault('InvalidSubnet', `Invalid subnet: [${id}].`);
  }
  const distinct = [...new Set(ids)];
  if (distinct.length < 2) {
    throw new AwsFault(
      'ReplicationSubnetGroupDoesNotCoverEnoughAZs',
      'The Replication Subnet Group does not meet availability zone coverage requirement. Please add subnets to cover at least 2 availability zones.',
    );
  }
  return distinct;
}
