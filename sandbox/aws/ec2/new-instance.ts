import { mkdirSync } from 'node:fs';
import type { Cloud } from '../cloud.ts';
import { BASE_SNAPSHOT } from './base-image.ts';
import { checkAddress, freeAddress } from './addresses.ts';
import { newId } from './find.ts';
import { copyFolder, snapshotFolder, volumeFolder } from './folders.ts';
import { scriptOf } from './script.ts';
import type { InstanceState, VolumeState } from './state.ts';

export const ROOT_DEVICE = '/dev/xvda';

export interface NewVolume {
  device: string;
  size: number;
  type: string;
  deleteOnTermination: boolean;
  encrypted: boolean;
  snapshotId?: string;
  mount?: string;
  tags: Record<string, string>;
}

/** What a machine is made of; the rest of its state is the same for all new ones. */
export type InstanceSpec = Pick<InstanceState, 'imageId' | 'type' | 'tags'> &
  Partial<Omit<InstanceState, 'id' | 'state' | 'checks'>>;

/** Takes a new machine down as `pending`, its addresses with it. @throws AwsFault for an address in use */
export function addInstance(cloud: Cloud, spec: InstanceSpec): InstanceState {
  const script = scriptOf(cloud);
  const { nextChecks: checks = { system: 'ok', instance: 'ok' }, nextAgent } = script;
  const instance: InstanceState = {
    id: newId('i'),
    reservationId: newId('r'),
    state: 'pending',
    launchedAt: new Date().toISOString(),
    zone: `${cloud.region}a`,
    securityGroups: [],
    terminationProtected: false,
    stopProtected: false,
    shutdownBehavior: 'stop',
    sourceDestCheck: true,
    ebsOptimized: false,
    metadata: { tokens: 'required', endpoint: 'enabled', hopLimit: 2, tags: 'disabled' },
    rootDevice: ROOT_DEVICE,
    agent: nextAgent?.status ?? 'online',
    agentDelay: nextAgent?.afterMs ?? 0,
    ...spec,
    checks,
    privateIp: spec.privateIp === undefined ? freeAddress(cloud) : checkAddress(cloud, spec.privateIp),
    publicIp: spec.publicIp === undefined ? freeAddress(cloud) : checkAddress(cloud, spec.publicIp),
  };
  script.nextChecks = undefined;
  script.nextAgent = undefined;
  cloud.store.state.ec2.instances[instance.id] = instance;
  cloud.store.save();
  return instance;
}

/** A volume with a snapshot's copy in it, or empty. */
export async function addVolume(
  cloud: Cloud,
  zone: string,
  spec: Omit<NewVolume, 'device' | 'deleteOnTermination'>,
): Promise<VolumeState> {
  const volume: VolumeState = {
    id: newId('vol'),
    size: spec.size,
    type: spec.type,
    state: 'creating',
    zone,
    encrypted: spec.encrypted,
    ...(spec.snapshotId === undefined ? {} : { snapshotId: spec.snapshotId }),
    ...(spec.mount === undefined ? {} : { mount: spec.mount }),
    createdAt: new Date().toISOString(),
    tags: spec.tags,
  };
  cloud.store.state.ec2.volumes[volume.id] = volume;
  cloud.store.save();
  const folder = volumeFolder(cloud, volume.id);
  // The empty machine's snapshot has no folder.
  if (spec.snapshotId === undefined || spec.snapshotId === BASE_SNAPSHOT) mkdirSync(folder, { recursive: true });
  else await copyFolder(snapshotFolder(cloud, spec.snapshotId), folder);
  volume.state = 'available';
  cloud.store.save();
  return volume;
}

/** Makes a new machine's volumes and attaches them. */
export async function addVolumes(cloud: Cloud, instance: InstanceState, specs: readonly NewVolume[]): Promise<void> {
  for (const { device, deleteOnTermination, ...spec } of specs) {
    const volume = await addVolume(cloud, instance.zone, spec);
    attach(cloud, volume, instance.id, device, deleteOnTermination);
  }
}

export function attach(
  cloud: Cloud,
  volume: VolumeState,
  instanceId: string,
  device: string,
  deleteOnTermination: boolean,
): void {
  volume.attachment = { instanceId, device, deleteOnTermination, attachedAt: new Date().toISOString() };
  volume.state = 'in-use';
  cloud.store.save();
}
