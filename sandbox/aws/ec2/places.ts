import { DescribeSecurityGroupsCommand, DescribeSubnetsCommand, EC2Client } from '@aws-sdk/client-ec2';
import type { SecurityGroup, Subnet } from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import type { Forwarder } from '../forwarding.ts';
import type { InstanceState } from './state.ts';

export interface Place {
  subnetId: string;
  vpcId: string;
  zone: string;
  securityGroups: { id: string; name: string }[];
}

/** In a sandbox without the other server there are no subnets to ask for: any name will do. */
const NOWHERE = {
  subnetId: 'subnet-00000000000000001',
  vpcId: 'vpc-00000000000000001',
  groupId: 'sg-00000000000000001',
};

/**
 * Where a machine is to be: its subnet and its security groups, as the server that emulates VPCs has them.
 * @throws AwsFault InvalidSubnetID.NotFound, InvalidGroup.NotFound
 */
export async function placeOf(
  cloud: Cloud,
  forwarder: Forwarder | undefined,
  { subnetId, groupIds }: { subnetId?: string | undefined; groupIds?: string[] | undefined },
): Promise<Place> {
  const ec2 = forwarder === undefined ? undefined : await clientOf(cloud, forwarder);
  if (ec2 === undefined) {
    return {
      subnetId: subnetId ?? NOWHERE.subnetId,
      vpcId: NOWHERE.vpcId,
      zone: `${cloud.region}a`,
      securityGroups: (groupIds ?? [NOWHERE.groupId]).map((id) => ({
        id,
        name: id === NOWHERE.groupId ? 'default' : id,
      })),
    };
  }
  try {
    const subnet = await findSubnet(ec2, subnetId);
    const groups = await findGroups(ec2, subnet, groupIds);
    return {
      subnetId: subnet.SubnetId ?? '',
      vpcId: subnet.VpcId ?? '',
      zone: subnet.AvailabilityZone ?? `${cloud.region}a`,
      securityGroups: groups.map(({ GroupId = '', GroupName = '' }) => ({ id: GroupId, name: GroupName })),
    };
  } finally {
    ec2.destroy();
  }
}

/** A machine that was seeded before anybody asked the other server is given its default subnet. */
export async function settlePlaces(cloud: Cloud, forwarder: Forwarder): Promise<void> {
  const unplaced = Object.values(cloud.store.state.ec2.instances).filter(({ vpcId }) => vpcId === undefined);
  for (const instance of unplaced) {
    const wanted = {
      subnetId: instance.subnetId,
      groupIds: instance.securityGroups.length === 0 ? undefined : instance.securityGroups.map(({ id }) => id),
    };
    putAt(instance, await placeOf(cloud, forwarder, wanted));
  }
  if (unplaced.length > 0) cloud.store.save();
}

function putAt(instance: InstanceState, place: Place): void {
  Object.assign(instance, place);
}

async function clientOf(cloud: Cloud, forwarder: Forwarder): Promise<EC2Client | undefined> {
  let endpoint: string;
  try {
    endpoint = await forwarder.url();
  } catch {
    return undefined; // Started without one; the calls that need it say so themselves.
  }
  const credentials = { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' };
  return new EC2Client({ endpoint, region: cloud.region, credentials });
}

async function findSubnet(ec2: EC2Client, id: string | undefined): Promise<Subnet> {
  const wanted = id === undefined ? { Filters: [{ Name: 'default-for-az', Values: ['true'] }] } : { SubnetIds: [id] };
  const subnets = await asked(ec2.send(new DescribeSubnetsCommand(wanted)));
  const [first] = (subnets.Subnets ?? []).sort((a, b) =>
    (a.AvailabilityZone ?? '').localeCompare(b.AvailabilityZone ?? ''),
  );
  if (first !== undefined) return first;
  throw id === undefined
    ? new AwsFault('MissingInput', 'No subnets found for the default VPC. Please specify a subnet.')
    : new AwsFault('InvalidSubnetID.NotFound', `The subnet ID '${id}' does not exist`);
}

async function findGroups(ec2: EC2Client, subnet: Subnet, ids: string[] | undefined): Promise<SecurityGroup[]> {
  const inVpc = [{ Name: 'vpc-id', Values: [subnet.VpcId ?? ''] }];
  const wanted =
    ids === undefined ? { Filters: [...inVpc, { Name: 'group-name', Values: ['default'] }] } : { GroupIds: ids };
  const groups = (await asked(ec2.send(new DescribeSecurityGroupsCommand(wanted)))).SecurityGroups ?? [];
  const absent = ids?.find((id) => !groups.some(({ GroupId }) => GroupId === id));
  if (absent !== undefined)
    throw new AwsFault('InvalidGroup.NotFound', `The security group '${absent}' does not exist`);
  return groups;
}

/** The other server's refusal is ours. */
async function asked<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof Error && /^Invalid(SubnetID|Group)/.test(error.name)) {
      throw new AwsFault(error.name, error.message);
    }
    throw error;
  }
}
