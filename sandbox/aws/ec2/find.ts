import { randomBytes } from 'node:crypto';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import { imagesOf } from './base-image.ts';
import type { ImageState, InstanceState, VolumeSnapshotState, VolumeState } from './state.ts';

/** EC2's names: `i-` and 17 hexadecimal digits. */
export function newId(prefix: 'i' | 'r' | 'vol' | 'snap' | 'ami'): string {
  return `${prefix}-0${randomBytes(8).toString('hex')}`;
}

const WELL_FORMED = /^[0-9a-f]{8}$|^[0-9a-f]{17}$/;

function checkForm(prefix: string, id: string, malformed: () => AwsFault): void {
  if (!id.startsWith(`${prefix}-`) || !WELL_FORMED.test(id.slice(prefix.length + 1))) throw malformed();
}

/** @throws AwsFault InvalidInstanceID.Malformed, InvalidInstanceID.NotFound */
export function findInstance(cloud: Cloud, id: string, among = cloud.store.state.ec2.instances): InstanceState {
  checkForm('i', id, () => new AwsFault('InvalidInstanceID.Malformed', `Invalid id: "${id}"`));
  const found = among[id];
  if (found === undefined) throw instancesNotFound([id]);
  return found;
}

function instancesNotFound(ids: string[]): AwsFault {
  return ids.length === 1
    ? new AwsFault('InvalidInstanceID.NotFound', `The instance ID '${ids[0]}' does not exist`)
    : new AwsFault('InvalidInstanceID.NotFound', `The instance IDs '${ids.join(', ')}' do not exist`);
}

/** All of them, or the refusal that names those that are not there. @throws AwsFault */
export function findInstances(cloud: Cloud, ids: string[], among = cloud.store.state.ec2.instances): InstanceState[] {
  for (const id of ids) {
    checkForm('i', id, () => new AwsFault('InvalidInstanceID.Malformed', `Invalid id: "${id}"`));
  }
  const missing = ids.filter((id) => among[id] === undefined);
  if (missing.length > 0) throw instancesNotFound(missing);
  return [...new Set(ids)].map((id) => findInstance(cloud, id, among));
}

/** @throws AwsFault InvalidAMIID.Malformed, .Unavailable for one that was deregistered, .NotFound, for one that is not visible yet too */
export function findImage(cloud: Cloud, id: string, among = imagesOf(cloud.store.state)): ImageState {
  checkForm('ami', id, () => new AwsFault('InvalidAMIID.Malformed', `Invalid id: "${id}" (expecting "ami-...")`));
  const found = among[id];
  if (found === undefined && cloud.store.state.ec2.deregistered.includes(id)) {
    throw new AwsFault('InvalidAMIID.Unavailable', `The image ID '${id}' is no longer available`);
  }
  if (found === undefined || found.visibleFrom > Date.now()) {
    throw new AwsFault('InvalidAMIID.NotFound', `The image id '[${id}]' does not exist`);
  }
  return found;
}

/** @throws AwsFault InvalidSnapshotID.Malformed, InvalidSnapshot.NotFound */
export function findSnapshot(cloud: Cloud, id: string, among = cloud.store.state.ec2.snapshots): VolumeSnapshotState {
  checkForm(
    'snap',
    id,
    () => new AwsFault('InvalidSnapshotID.Malformed', `Invalid id: "${id}" (expecting "snap-...")`),
  );
  const found = among[id];
  if (found === undefined) throw new AwsFault('InvalidSnapshot.NotFound', `The snapshot '${id}' does not exist.`);
  return found;
}

/** @throws AwsFault InvalidVolumeID.Malformed, InvalidVolume.NotFound */
export function findVolume(cloud: Cloud, id: string, among = cloud.store.state.ec2.volumes): VolumeState {
  checkForm('vol', id, () => new AwsFault('InvalidVolumeID.Malformed', `Invalid id: "${id}" (expecting "vol-...")`));
  const found = among[id];
  if (found === undefined) throw new AwsFault('InvalidVolume.NotFound', `The volume '${id}' does not exist.`);
  return found;
}
