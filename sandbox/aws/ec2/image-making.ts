import type {
  BlockDeviceMapping,
  CreateImageRequest,
  CreateImageResult,
  DeregisterImageRequest,
  DeregisterImageResult,
  RegisterImageRequest,
  RegisterImageResult,
} from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import { imagesOf } from './base-image.ts';
import { incorrectState, invalid, missing, stopIfDryRun } from './faults.ts';
import { findImage, findInstance, findSnapshot, newId } from './find.ts';
import { inTurn, restart } from './instance-lifecycle.ts';
import { volumesOf } from './machines.ts';
import { waitOut } from './pending.ts';
import { scriptOf } from './script.ts';
import { addSnapshot, copyNow } from './snapshot-taking.ts';
import { dropSnapshot } from './snapshots.ts';
import type { ImageMapping, ImageState, InstanceState, VolumeSnapshotState, VolumeState } from './state.ts';
import { tagsByKind } from './tag-rules.ts';

export async function createImage(cloud: Cloud, input: CreateImageRequest): Promise<CreateImageResult> {
  const instance = findInstance(cloud, input.InstanceId ?? '');
  const name = checkImageName(cloud, input.Name);
  if (instance.state !== 'running' && instance.state !== 'stopped') {
    throw incorrectState(`The instance '${instance.id}' is ${instance.state}: it must be running or stopped.`);
  }
  const tags = tagsByKind(input.TagSpecifications, ['image', 'snapshot']);
  const volumes = volumesFor(cloud, instance, input.BlockDeviceMappings ?? []);
  stopIfDryRun(input);
  const id = newId('ami');
  const snapshots = volumes.map((volume) =>
    addSnapshot(cloud, volume, {
      description: `Created by CreateImage(${instance.id}) for ${id}`,
      tags: tags['snapshot'] ?? {},
    }),
  );
  const image = addImage(cloud, {
    id,
    name,
    description: input.Description ?? '',
    sourceInstanceId: instance.id,
    noReboot: input.NoReboot ?? false,
    rootDevice: instance.rootDevice,
    mappings: volumes.map((volume, i) => mappingOf(volume, snapshots[i]!)),
    tags: tags['image'] ?? {},
  });
  const hiddenMs = image.visibleFrom - Date.parse(image.createdAt);
  await copyVolumes(cloud, instance, image.noReboot === true, snapshots);
  // Counted from the answer: copying may have taken longer.
  if (hiddenMs > 0) image.visibleFrom = Date.now() + hiddenMs;
  settleImage(cloud, image);
  return { ImageId: image.id };
}

/** @throws AwsFault InvalidAMIName.Malformed, InvalidAMIName.Duplicate */
function checkImageName(cloud: Cloud, name: string | undefined): string {
  if (name === undefined) throw missing('Name');
  if (name.length < 3 || name.length > 128 || !/^[\w()[\] ./\-'@]*$/.test(name)) {
    throw new AwsFault(
      'InvalidAMIName.Malformed',
      "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'",
    );
  }
  const other = Object.values(imagesOf(cloud.store.state)).find((image) => image.name === name);
  if (other === undefined) return name;
  throw new AwsFault('InvalidAMIName.Duplicate', `AMI name ${name} is already in use by AMI ${other.id}`);
}

function volumesFor(cloud: Cloud, instance: InstanceState, given: readonly BlockDeviceMapping[]): VolumeState[] {
  const left = new Set<string>();
  for (const { DeviceName = '', NoDevice, Ebs } of given) {
    if (NoDevice === undefined || Ebs !== undefined) {
      throw invalid('The sandbox takes a BlockDeviceMapping of CreateImage only with NoDevice, to leave a volume out.');
    }
    if (DeviceName === instance.rootDevice) throw invalid('The root device cannot be left out of an image.');
    left.add(DeviceName);
  }
  return volumesOf(cloud, instance).filter(({ attachment }) => !left.has(attachment?.device ?? ''));
}

function mappingOf(volume: VolumeState, snapshot: VolumeSnapshotState): ImageMapping {
  return {
    device: volume.attachment?.device ?? '',
    snapshotId: snapshot.id,
    size: volume.size,
    type: volume.type,
    deleteOnTermination: volume.attachment?.deleteOnTermination ?? true,
    encrypted: volume.encrypted,
  };
}

function addImage(
  cloud: Cloud,
  spec: Omit<ImageState, 'ownerId' | 'isPublic' | 'state' | 'createdAt' | 'visibleFrom' | 'takes'>,
): ImageState {
  const script = scriptOf(cloud);
  const fails = script.imageFailures.shift();
  const now = Date.now();
  const image: ImageState = {
    ...spec,
    ownerId: cloud.account,
    isPublic: false,
    state: 'pending',
    createdAt: new Date(now).toISOString(),
    visibleFrom: now + (script.hiddenImages.shift() ?? 0),
    takes: cloud.timing.imagePending,
    ...(fails === undefined ? {} : { fails }),
  };
  cloud.store.state.ec2.images[image.id] = image;
  cloud.store.save();
  return image;
}

/** Without NoReboot the machine is shut down for it, and comes up again. */
async function copyVolumes(
  cloud: Cloud,
  instance: InstanceState,
  noReboot: boolean,
  snapshots: readonly VolumeSnapshotState[],
): Promise<void> {
  if (noReboot || instance.state !== 'running') return copyNow(cloud, instance.id, snapshots);
  const done = new Promise<void>((resolve, reject) => {
    inTurn(cloud, instance, 'reboot for an image', async () => {
      await restart(cloud, instance, () => copyNow(cloud, instance.id, snapshots)).then(resolve, reject);
    });
  });
  await cloud.background.orStopped(done);
}

/** `pending` to `available` or `failed`, when its time has come and its snapshots have ended. */
export function settleImage(cloud: Cloud, image: ImageState): void {
  const { background, store } = cloud;
  background.run(`image ${image.id}`, `ec2:${image.id}`, async () => {
    await waitOut(cloud, image.createdAt, image.takes, 'imagePending');
    const of = (): VolumeSnapshotState[] =>
      image.mappings.flatMap(({ snapshotId }) => store.state.ec2.snapshots[snapshotId] ?? []);
    while (of().some(({ state }) => state === 'pending')) await background.sleep(10);
    const failed = of().find(({ state }) => state === 'error');
    const reason =
      image.fails ??
      (failed && { code: 'Server.InternalError', message: `Snapshot ${failed.id}: ${failed.stateMessage ?? ''}` });
    image.state = reason === undefined ? 'available' : 'failed';
    if (reason !== undefined) image.reason = reason;
    store.save();
  });
}

export function registerImage(cloud: Cloud, input: RegisterImageRequest): RegisterImageResult {
  const name = checkImageName(cloud, input.Name);
  const rootDevice = input.RootDeviceName ?? '/dev/sda1';
  const mappings = (input.BlockDeviceMappings ?? []).map(({ DeviceName, Ebs }): ImageMapping => {
    if (DeviceName === undefined || Ebs?.SnapshotId === undefined) {
      throw invalid(
        'The sandbox registers images whose BlockDeviceMappings each name a DeviceName and an Ebs.SnapshotId.',
      );
    }
    const snapshot = findSnapshot(cloud, Ebs.SnapshotId);
    if (snapshot.state !== 'completed') {
      throw new AwsFault('IncorrectState', `Snapshot '${snapshot.id}' is not in the 'completed' state.`);
    }
    const size = Ebs.VolumeSize ?? snapshot.size;
    if (size < snapshot.size)
      throw invalid(
        `Volume of size ${size}GB is smaller than snapshot '${snapshot.id}', expect size >= ${snapshot.size}GB`,
      );
    return {
      device: DeviceName,
      snapshotId: snapshot.id,
      size,
      type: Ebs.VolumeType ?? 'gp3',
      deleteOnTermination: Ebs.DeleteOnTermination ?? true,
      encrypted: snapshot.encrypted,
    };
  });
  if (!mappings.some(({ device }) => device === rootDevice)) {
    throw new AwsFault(
      'InvalidBlockDeviceMapping',
      `The root device ${rootDevice} is not among the block device mappings.`,
    );
  }
  const tags = tagsByKind(input.TagSpecifications, ['image'])['image'] ?? {};
  stopIfDryRun(input);
  const image = addImage(cloud, {
    id: newId('ami'),
    name,
    description: input.Description ?? '',
    rootDevice,
    mappings,
    tags,
  });
  settleImage(cloud, image);
  return { ImageId: image.id };
}

/** Its snapshots stay, unless asked otherwise: whoever forgets them pays for them for ever (facts 3.5). */
export function deregisterImage(cloud: Cloud, input: DeregisterImageRequest): DeregisterImageResult {
  const image = findImage(cloud, input.ImageId ?? '');
  const { images, deregistered } = cloud.store.state.ec2;
  if (images[image.id] === undefined) {
    throw new AwsFault('AuthFailure', `Not authorized for image: ${image.id}`, 403);
  }
  stopIfDryRun(input);
  delete images[image.id];
  deregistered.push(image.id);
  cloud.store.save();
  if (input.DeleteAssociatedSnapshots !== true) return { Return: true };
  const ids = image.mappings.map(({ snapshotId }) => snapshotId);
  const unused = ids.filter(
    (id) => !Object.values(images).some(({ mappings }) => mappings.some((m) => m.snapshotId === id)),
  );
  for (const id of unused) dropSnapshot(cloud, id);
  return {
    Return: true,
    DeleteSnapshotResults: ids.map((id) => ({
      SnapshotId: id,
      ReturnCode: unused.includes(id) ? ('success' as const) : ('skipped' as const),
    })),
  };
}
