/** What a machine is made of. */
import {
  DescribeInstancesCommand,
  paginateDescribeInstances,
  paginateDescribeVolumes,
  type Filter,
  type Instance,
  type Volume,
} from '@aws-sdk/client-ec2';
import { ErrorType } from '../../spec/errors.ts';
import { selectorText, type InstanceSelector } from '../../spec/machine.ts';
import { ec2, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { tagFilter, tagsOf } from './tags.ts';

export interface MachineVolume {
  id: string;
  device: string;
  sizeGiB?: number;
  encrypted?: boolean;
  kmsKeyId?: string;
  state?: string;
}

/** Plain facts, for history. */
export interface MachineFacts {
  id: string;
  name?: string;
  state: string;
  type?: string;
  privateIp?: string;
  publicIp?: string;
  subnet?: string;
  securityGroups: string[];
  key?: string;
  profile?: string;
  rootDevice?: string;
  /** `ebs` or `instance-store`. */
  rootDeviceType?: string;
  volumes: MachineVolume[];
}

const GONE = new Set(['terminated', 'shutting-down']);

/**
 * The one machine that is meant, with its volumes. Changes nothing.
 * @throws cutover.NotFound, cutover.Invalid where several have the tags, cutover.Denied, cutover.Throttled,
 *   cutover.Unreachable
 */
export async function findMachine(selector: InstanceSelector, aws: AwsTarget = {}): Promise<MachineFacts> {
  const what = selectorText(selector);
  const found =
    typeof selector === 'string'
      ? await instanceById(selector, aws)
      : (
          await describeInstances(
            Object.entries(selector.tags).map(([key, value]) => tagFilter(key, value)),
            aws,
          )
        ).filter((instance) => !GONE.has(instance.State?.Name ?? ''));
  const [instance, ...others] = found;
  if (!instance) {
    throw permanent(ErrorType.notFound, `${what}: there is no such machine`, {
      remedy: 'check the id or the tags, the region and the account of the worker',
    });
  }
  if (others.length > 0) {
    throw permanent(
      ErrorType.invalid,
      `${what}: ${found.length} machines: ${found.map((i) => i.InstanceId).join(', ')}`,
      {
        remedy: 'give its instance id, or tags that it alone has',
      },
    );
  }
  return factsOf(instance, await volumesOf(instance, aws));
}

async function instanceById(id: string, aws: AwsTarget): Promise<Instance[]> {
  const found = await describeInstance(id, aws);
  return found ? [found] : [];
}

/** Undefined where there is none. @throws as findMachine */
export async function describeInstance(id: string, aws: AwsTarget = {}): Promise<Instance | undefined> {
  try {
    const { Reservations = [] } = await ec2(aws).send(new DescribeInstancesCommand({ InstanceIds: [id] }));
    return Reservations.flatMap(({ Instances = [] }) => Instances)[0];
  } catch (error) {
    if (isCode(error, 'InvalidInstanceID.NotFound')) return undefined;
    throw awsFailure(error, `DescribeInstances ${id}`);
  }
}

/** @throws as findMachine */
export async function describeInstances(filters: Filter[], aws: AwsTarget = {}): Promise<Instance[]> {
  const all: Instance[] = [];
  try {
    for await (const { Reservations = [] } of paginateDescribeInstances({ client: ec2(aws) }, { Filters: filters })) {
      all.push(...Reservations.flatMap(({ Instances = [] }) => Instances));
    }
  } catch (error) {
    throw awsFailure(error, 'DescribeInstances');
  }
  return all;
}

/** Volumes that match. @throws cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function describeVolumes(filters: Filter[], aws: AwsTarget = {}): Promise<Volume[]> {
  const all: Volume[] = [];
  try {
    for await (const { Volumes = [] } of paginateDescribeVolumes({ client: ec2(aws) }, { Filters: filters })) {
      all.push(...Volumes);
    }
  } catch (error) {
    throw awsFailure(error, 'DescribeVolumes');
  }
  return all;
}

async function volumesOf(instance: Instance, aws: AwsTarget): Promise<MachineVolume[]> {
  const devices = (instance.BlockDeviceMappings ?? []).flatMap(({ DeviceName, Ebs }) =>
    DeviceName && Ebs?.VolumeId ? [{ id: Ebs.VolumeId, device: DeviceName }] : [],
  );
  if (devices.length === 0) return [];
  const volumes = await describeVolumes([{ Name: 'volume-id', Values: devices.map(({ id }) => id) }], aws);
  return devices.map(({ id, device }) => {
    const volume = volumes.find(({ VolumeId }) => VolumeId === id);
    return {
      id,
      device,
      ...(volume?.Size === undefined ? {} : { sizeGiB: volume.Size }),
      ...(volume?.Encrypted === undefined ? {} : { encrypted: volume.Encrypted }),
      ...(volume?.KmsKeyId ? { kmsKeyId: volume.KmsKeyId } : {}),
      ...(volume?.State ? { state: volume.State } : {}),
    };
  });
}

function factsOf(instance: Instance, volumes: MachineVolume[]): MachineFacts {
  const name = tagsOf(instance.Tags)['Name'];
  // An instance profile's name is the last part of its ARN.
  const profile = instance.IamInstanceProfile?.Arn?.split('/').at(-1);
  return {
    id: instance.InstanceId ?? '',
    state: instance.State?.Name ?? '',
    securityGroups: (instance.SecurityGroups ?? []).flatMap(({ GroupId }) => (GroupId ? [GroupId] : [])),
    volumes,
    ...(name ? { name } : {}),
    ...(instance.InstanceType ? { type: instance.InstanceType } : {}),
    ...(instance.PrivateIpAddress ? { privateIp: instance.PrivateIpAddress } : {}),
    ...(instance.PublicIpAddress ? { publicIp: instance.PublicIpAddress } : {}),
    ...(instance.SubnetId ? { subnet: instance.SubnetId } : {}),
    ...(instance.KeyName ? { key: instance.KeyName } : {}),
    ...(profile ? { profile } : {}),
    ...(instance.RootDeviceName ? { rootDevice: instance.RootDeviceName } : {}),
    ...(instance.RootDeviceType ? { rootDeviceType: instance.RootDeviceType } : {}),
  };
}
