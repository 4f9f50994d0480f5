import type { BlockDeviceMapping, Reservation, RunInstancesRequest } from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import type { Forwarder } from '../forwarding.ts';
import { findImage, findSnapshot } from './find.ts';
import { invalid, invalidCombination, stopIfDryRun } from './faults.ts';
import { bringUp } from './instance-lifecycle.ts';
import { instanceView } from './instance-view.ts';
import { addInstance, addVolumes } from './new-instance.ts';
import type { NewVolume } from './new-instance.ts';
import { placeOf } from './places.ts';
import type { ImageState, InstanceState } from './state.ts';
import { tagsByKind } from './tag-rules.ts';

export const VOLUME_TYPES = ['standard', 'gp2', 'gp3', 'io1', 'io2', 'sc1', 'st1'];

export async function runInstances(
  cloud: Cloud,
  input: RunInstancesRequest,
  forwarder: Forwarder,
): Promise<Reservation> {
  checkCounts(input);
  const { ClientToken: token, ...rest } = input;
  const same = token === undefined ? undefined : madeFor(cloud, token, rest);
  if (same !== undefined) return reservation(cloud, same);
  const image = usableImage(cloud, input.ImageId);
  const type = input.InstanceType ?? 'm1.small';
  if (!/^[a-z0-9-]+\.[a-z0-9-]+$/.test(type)) throw invalid(`Invalid value '${type}' for InstanceType.`);
  if ((input.UserData ?? '').length > 25_600) throw invalid('User data is limited to 16384 bytes');
  const tags = tagsByKind(input.TagSpecifications, [
    'instance',
    'volume',
    'network-interface',
    'spot-instances-request',
  ]);
  const volumes = volumesFor(cloud, image, input.BlockDeviceMappings ?? [], tags['volume'] ?? {});
  const wanted = networkOf(input);
  const place = await placeOf(cloud, forwarder, wanted);
  stopIfDryRun(input);
  // Asked again: another call with the token may have come while we asked for the subnet.
  const meanwhile = token === undefined ? undefined : madeFor(cloud, token, rest);
  if (meanwhile !== undefined) return reservation(cloud, meanwhile);
  const instance = addInstance(cloud, {
    imageId: image.id,
    type,
    tags: tags['instance'] ?? {},
    rootDevice: image.rootDevice,
    ...settings(cloud, input),
    ...place,
    ...(wanted.privateIp === undefined ? {} : { privateIp: wanted.privateIp }),
    ...(token === undefined ? {} : { clientToken: token }),
  });
  if (token !== undefined) cloud.store.state.ec2.tokens[token] = { input: JSON.stringify(rest), id: instance.id };
  await addVolumes(cloud, instance, volumes);
  bringUp(cloud, instance);
  return reservation(cloud, instance);
}

function checkCounts({ MinCount, MaxCount }: RunInstancesRequest): void {
  if (MinCount === 1 && MaxCount === 1) return;
  if ((MinCount ?? 0) < 1 || (MaxCount ?? 0) < (MinCount ?? 0)) {
    throw invalid(`Invalid value '${String(MaxCount)}' for MaxCount, with MinCount ${String(MinCount)}.`);
  }
  throw invalid('The sandbox starts one machine at a time: MinCount and MaxCount must be 1.');
}

/** @throws AwsFault IdempotentParameterMismatch */
function madeFor(cloud: Cloud, token: string, input: object): InstanceState | undefined {
  const { tokens, instances } = cloud.store.state.ec2;
  const known = tokens[token];
  if (known === undefined) return undefined;
  if (known.input !== JSON.stringify(input)) {
    throw new AwsFault(
      'IdempotentParameterMismatch',
      'Arguments on this idempotent request are inconsistent with arguments used in previous request(s).',
    );
  }
  return instances[known.id];
}

function usableImage(cloud: Cloud, id: string | undefined): ImageState {
  if (id === undefined) throw new AwsFault('MissingParameter', 'The request must contain the parameter ImageId');
  const image = findImage(cloud, id);
  if (image.state === 'available') return image;
  throw new AwsFault('InvalidAMIID.Unavailable', `The image ID '${id}' is not available: its state is ${image.state}`);
}

/** The image's volumes, as changed and added to by the call. */
function volumesFor(
  cloud: Cloud,
  image: ImageState,
  given: readonly BlockDeviceMapping[],
  tags: Record<string, string>,
): NewVolume[] {
  const ofImage = image.mappings.map(({ snapshotId, ...mapping }): NewVolume => {
    const { mount } = cloud.store.state.ec2.snapshots[snapshotId] ?? { mount: '/' };
    return { ...mapping, snapshotId, tags, ...(mount === undefined ? {} : { mount }) };
  });
  const byDevice = new Map(ofImage.map((volume) => [volume.device, volume]));
  for (const { DeviceName, Ebs, NoDevice } of given) {
    if (DeviceName === undefined)
      throw new AwsFault('MissingParameter', 'The request must contain the parameter BlockDeviceMapping.DeviceName');
    if (NoDevice !== undefined) {
      if (DeviceName === image.rootDevice) throw invalid('The root device cannot be left out.');
      byDevice.delete(DeviceName);
      continue;
    }
    byDevice.set(DeviceName, changed(cloud, DeviceName, byDevice.get(DeviceName), Ebs ?? {}, tags));
  }
  return [...byDevice.values()];
}

function changed(
  cloud: Cloud,
  device: string,
  before: NewVolume | undefined,
  ebs: NonNullable<BlockDeviceMapping['Ebs']>,
  tags: Record<string, string>,
): NewVolume {
  const snapshot = ebs.SnapshotId === undefined ? undefined : findSnapshot(cloud, ebs.SnapshotId);
  const least = snapshot?.size ?? (before?.snapshotId === undefined ? 1 : before.size);
  const size = ebs.VolumeSize ?? least;
  if (size < least) {
    throw new AwsFault(
      'InvalidBlockDeviceMapping',
      `Volume of size ${size}GB is smaller than snapshot '${snapshot?.id ?? before?.snapshotId ?? ''}', expect size >= ${least}GB`,
    );
  }
  const type = ebs.VolumeType ?? before?.type ?? 'gp3';
  if (!VOLUME_TYPES.includes(type)) throw invalid(`Invalid value '${type}' for VolumeType.`);
  const snapshotId = snapshot?.id ?? before?.snapshotId;
  const mount = snapshot?.mount ?? before?.mount;
  return {
    device,
    size,
    type,
    deleteOnTermination: ebs.DeleteOnTermination ?? before?.deleteOnTermination ?? true,
    encrypted: ebs.Encrypted ?? before?.encrypted ?? false,
    tags,
    ...(snapshotId === undefined ? {} : { snapshotId }),
    ...(mount === undefined ? {} : { mount }),
  };
}

/** Given directly, or by the one network interface. @throws AwsFault InvalidParameterCombination for both */
function networkOf(input: RunInstancesRequest): {
  subnetId?: string | undefined;
  groupIds?: string[] | undefined;
  privateIp?: string | undefined;
} {
  const interfaces = input.NetworkInterfaces ?? [];
  const direct = { subnetId: input.SubnetId, groupIds: input.SecurityGroupIds, privateIp: input.PrivateIpAddress };
  const [first] = interfaces;
  if (first === undefined) return direct;
  if (interfaces.length > 1) throw invalid('The sandbox gives a machine one network interface.');
  if (Object.values(direct).some((value) => value !== undefined)) {
    throw invalidCombination(
      'Network interfaces and an instance-level subnet ID, security groups or private IP address may not be specified on the same request',
    );
  }
  return { subnetId: first.SubnetId, groupIds: first.Groups, privateIp: first.PrivateIpAddress };
}

function settings(cloud: Cloud, input: RunInstancesRequest): Partial<InstanceState> {
  const { MetadataOptions: metadata, IamInstanceProfile: profile } = input;
  const profileArn = profile?.Arn ?? `arn:aws:iam::${cloud.account}:instance-profile/${profile?.Name ?? ''}`;
  return {
    ...(input.KeyName === undefined ? {} : { keyName: input.KeyName }),
    ...(input.UserData === undefined ? {} : { userData: input.UserData }),
    ...(profile === undefined ? {} : { profile: { arn: profileArn, id: 'AIPASANDBOX' } }),
    terminationProtected: input.DisableApiTermination ?? false,
    stopProtected: input.DisableApiStop ?? false,
    shutdownBehavior: input.InstanceInitiatedShutdownBehavior ?? 'stop',
    ebsOptimized: input.EbsOptimized ?? false,
    metadata: {
      tokens: metadata?.HttpTokens ?? 'required',
      endpoint: metadata?.HttpEndpoint ?? 'enabled',
      hopLimit: metadata?.HttpPutResponseHopLimit ?? 2,
      tags: metadata?.InstanceMetadataTags ?? 'disabled',
    },
  };
}

function reservation(cloud: Cloud, instance: InstanceState): Reservation {
  return {
    ReservationId: instance.reservationId,
    OwnerId: cloud.account,
    Groups: [],
    Instances: [instanceView(instance, cloud.store.state.ec2)],
  };
}
