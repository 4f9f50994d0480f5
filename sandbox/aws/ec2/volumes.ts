import type {
  AttachVolumeRequest,
  CreateVolumeRequest,
  DeleteVolumeRequest,
  DescribeVolumesRequest,
  DescribeVolumesResult,
  DetachVolumeRequest,
  Volume,
  VolumeAttachment,
} from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import { incorrectState, invalid, missing, stopIfDryRun } from './faults.ts';
import { filtered, paged } from './filters.ts';
import { findInstance, findSnapshot, findVolume } from './find.ts';
import { dropFolder, volumeFolder } from './folders.ts';
import { volumesOf } from './machines.ts';
import { addVolume, attach } from './new-instance.ts';
import { VOLUME_TYPES } from './run-instances.ts';
import type { VolumeState } from './state.ts';
import { tagList, tagsByKind } from './tag-rules.ts';

export async function createVolume(cloud: Cloud, input: CreateVolumeRequest): Promise<Volume> {
  const { ClientToken: token, ...rest } = input;
  const { tokens, volumes } = cloud.store.state.ec2;
  const known = token === undefined ? undefined : tokens[`volume:${token}`];
  if (known !== undefined && known.input !== JSON.stringify(rest)) {
    throw new AwsFault(
      'IdempotentParameterMismatch',
      'Arguments on this idempotent request are inconsistent with arguments used in previous request(s).',
    );
  }
  const same = known === undefined ? undefined : volumes[known.id];
  if (same !== undefined) return volumeView(same);
  const zone = input.AvailabilityZone ?? '';
  if (!zone.startsWith(cloud.region)) throw new AwsFault('InvalidZone.NotFound', `The zone '${zone}' does not exist.`);
  const snapshot = input.SnapshotId === undefined ? undefined : findSnapshot(cloud, input.SnapshotId);
  if (snapshot !== undefined && snapshot.state !== 'completed') {
    throw new AwsFault('IncorrectState', `Snapshot '${snapshot.id}' is not in the 'completed' state.`);
  }
  const size = input.Size ?? snapshot?.size;
  if (size === undefined) throw missing('size/snapshot');
  if (size < (snapshot?.size ?? 1))
    throw invalid(`The size of a volume can't be smaller than that of its snapshot: ${size} GiB.`);
  const type = input.VolumeType ?? 'gp2';
  if (!VOLUME_TYPES.includes(type)) throw invalid(`Invalid value '${type}' for VolumeType.`);
  const tags = tagsByKind(input.TagSpecifications, ['volume'])['volume'] ?? {};
  stopIfDryRun(input);
  const making = addVolume(cloud, zone, {
    size,
    type,
    encrypted: input.Encrypted ?? snapshot?.encrypted ?? false,
    tags,
    ...(snapshot === undefined ? {} : { snapshotId: snapshot.id }),
    ...(snapshot?.mount === undefined ? {} : { mount: snapshot.mount }),
  });
  const volume = await making;
  if (token !== undefined) tokens[`volume:${token}`] = { input: JSON.stringify(rest), id: volume.id };
  cloud.store.save();
  return volumeView(volume);
}

export function describeVolumes(cloud: Cloud, input: DescribeVolumesRequest): DescribeVolumesResult {
  const seen = cloud.store.visible().ec2.volumes;
  const ids = input.VolumeIds;
  const named = ids === undefined ? Object.values(seen) : [...new Set(ids)].map((id) => findVolume(cloud, id, seen));
  const found = filtered(
    named,
    input.Filters,
    {
      'volume-id': ({ id }) => [id],
      status: ({ state }) => [state],
      size: ({ size }) => [String(size)],
      'volume-type': ({ type }) => [type],
      'snapshot-id': ({ snapshotId }) => [snapshotId],
      'availability-zone': ({ zone }) => [zone],
      encrypted: ({ encrypted }) => [String(encrypted)],
      'attachment.instance-id': ({ attachment }) => [attachment?.instanceId],
      'attachment.device': ({ attachment }) => [attachment?.device],
      'attachment.delete-on-termination': ({ attachment }) => [attachment && String(attachment.deleteOnTermination)],
      'attachment.status': ({ attachment }) => [attachment && 'attached'],
    },
    ({ tags }) => tags,
  );
  stopIfDryRun(input);
  const { items, ...token } = paged(found, ({ id }) => id, input, { ids });
  return { Volumes: items.map(volumeView), ...token };
}

/** In the sandbox a machine sees a volume from its next start on: what is mounted is fixed when it starts. */
export function attachVolume(cloud: Cloud, input: AttachVolumeRequest): VolumeAttachment {
  const volume = findVolume(cloud, input.VolumeId ?? '');
  const instance = findInstance(cloud, input.InstanceId ?? '');
  const device = input.Device ?? '';
  if (volume.attachment !== undefined) {
    throw new AwsFault('VolumeInUse', `${volume.id} is already attached to an instance`);
  }
  if (volume.state !== 'available')
    throw new AwsFault('IncorrectState', `The volume '${volume.id}' is not 'available'.`);
  if (instance.state !== 'running' && instance.state !== 'stopped') {
    throw incorrectState(`Instance '${instance.id}' is not 'running' or 'stopped'.`);
  }
  if (volume.zone !== instance.zone) {
    throw new AwsFault(
      'InvalidVolume.ZoneMismatch',
      `The volume '${volume.id}' is not in the same availability zone as instance '${instance.id}'`,
    );
  }
  if (volumesOf(cloud, instance).some(({ attachment }) => attachment?.device === device)) {
    throw invalid(`Invalid value '${device}' for unixDevice. Attachment point ${device} is already in use`);
  }
  stopIfDryRun(input);
  attach(cloud, volume, instance.id, device, false);
  return attachmentView(volume);
}

export function detachVolume(cloud: Cloud, input: DetachVolumeRequest): VolumeAttachment {
  const volume = findVolume(cloud, input.VolumeId ?? '');
  const { attachment } = volume;
  if (attachment === undefined || (input.InstanceId !== undefined && input.InstanceId !== attachment.instanceId)) {
    throw new AwsFault('IncorrectState', `Volume '${volume.id}' is in the '${volume.state}' state.`);
  }
  const instance = findInstance(cloud, attachment.instanceId);
  if (instance.state !== 'stopped') {
    if (attachment.device === instance.rootDevice) {
      throw new AwsFault(
        'OperationNotPermitted',
        `Unable to detach root volume '${volume.id}' from instance '${instance.id}'`,
      );
    }
    throw incorrectState(
      `The sandbox detaches a volume from a stopped machine only; '${instance.id}' is ${instance.state}.`,
    );
  }
  stopIfDryRun(input);
  const view = attachmentView(volume);
  delete volume.attachment;
  volume.state = 'available';
  cloud.store.save();
  return { ...view, State: 'detaching' };
}

export function deleteVolume(cloud: Cloud, input: DeleteVolumeRequest): object {
  const volume = findVolume(cloud, input.VolumeId ?? '');
  if (volume.attachment !== undefined) {
    throw new AwsFault('VolumeInUse', `Volume ${volume.id} is currently attached to ${volume.attachment.instanceId}`);
  }
  stopIfDryRun(input);
  delete cloud.store.state.ec2.volumes[volume.id];
  cloud.store.save();
  dropFolder(volumeFolder(cloud, volume.id));
  return {};
}

function volumeView(volume: VolumeState): Volume {
  return {
    VolumeId: volume.id,
    Size: volume.size,
    SnapshotId: volume.snapshotId ?? '',
    VolumeType: volume.type as 'gp3',
    State: volume.state,
    AvailabilityZone: volume.zone,
    CreateTime: new Date(volume.createdAt),
    Encrypted: volume.encrypted,
    MultiAttachEnabled: false,
    Attachments: volume.attachment === undefined ? [] : [attachmentView(volume)],
    Tags: tagList(volume.tags),
  };
}

function attachmentView({ id, attachment }: VolumeState): VolumeAttachment {
  if (attachment === undefined) throw new Error(`sandbox: ${id} is not attached`);
  return {
    VolumeId: id,
    InstanceId: attachment.instanceId,
    Device: attachment.device,
    State: 'attached',
    AttachTime: new Date(attachment.attachedAt),
    DeleteOnTermination: attachment.deleteOnTermination,
  };
}
