import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import type { z } from 'zod';
import type { Cloud } from '../cloud.ts';
import { BASE_IMAGE } from './base-image.ts';
import type { MACHINES_SCHEMAS } from './control-schemas.ts';
import { volumeFolder } from './folders.ts';
import { bringUp } from './instance-lifecycle.ts';
import { volumesOf } from './machines.ts';
import { ROOT_DEVICE, addInstance, addVolumes } from './new-instance.ts';
import type { InstanceState } from './state.ts';

export interface SeededMachine {
  instanceId: string;
  privateIp: string;
  publicIp: string;
  /** Where each volume's folder lies on this host. */
  volumes: { volumeId: string; device: string; mount: string; folder: string }[];
}

type NewMachine = z.output<typeof MACHINES_SCHEMAS.create>;

/** What a machine sees of the host's there, or the kernel's: files of its own would be hidden. */
const NOT_ITS_OWN = /^\/(usr(?!\/local\/)|bin|sbin|lib\w*|proc|dev|run|etc\/alternatives)\//;

/** Makes a machine with its files, and waits until it runs. @throws Error, AwsFault for an address in use */
export async function seedMachine(cloud: Cloud, given: NewMachine): Promise<SeededMachine> {
  const hidden = Object.keys(given.files).find((path) => NOT_ITS_OWN.test(normalize(path)));
  if (hidden !== undefined) {
    throw new Error(
      `${hidden} would be hidden: a machine sees the host's programs there. Put it in /usr/local, /opt or /etc.`,
    );
  }
  const instance = addInstance(cloud, specOf(cloud, given));
  await addVolumes(cloud, instance, volumesFor(given));
  putFiles(cloud, instance, given);
  bringUp(cloud, instance);
  const came = await cloud.background.until(60_000, async () => instance.state === 'running' || undefined);
  if (came === undefined)
    throw new Error(`Machine ${given.name} (${instance.id}) is still ${instance.state} after 60 s.`);
  return {
    instanceId: instance.id,
    privateIp: instance.privateIp,
    publicIp: instance.publicIp,
    volumes: volumesOf(cloud, instance).map(({ id, attachment, mount = '' }) => ({
      volumeId: id,
      device: attachment?.device ?? '',
      mount,
      folder: volumeFolder(cloud, id),
    })),
  };
}

function specOf(cloud: Cloud, given: NewMachine): Parameters<typeof addInstance>[1] {
  const { privateIp, publicIp, subnetId, keyName, profile } = given;
  return {
    imageId: BASE_IMAGE,
    type: given.instanceType,
    tags: { Name: given.name, ...given.tags },
    securityGroups: (given.securityGroupIds ?? []).map((id) => ({ id, name: id })),
    ...(privateIp === undefined ? {} : { privateIp }),
    ...(publicIp === undefined ? {} : { publicIp }),
    ...(subnetId === undefined ? {} : { subnetId }),
    ...(keyName === undefined ? {} : { keyName }),
    ...(profile === undefined
      ? {}
      : { profile: { arn: `arn:aws:iam::${cloud.account}:instance-profile/${profile}`, id: 'AIPASANDBOX' } }),
  };
}

function volumesFor(given: NewMachine): Parameters<typeof addVolumes>[2] {
  const all = [{ mount: '/', device: ROOT_DEVICE, size: given.size }, ...given.volumes];
  return all.map(({ mount, device, size }, i) => ({
    device: device ?? `/dev/sd${String.fromCodePoint('e'.codePointAt(0)! + i)}`,
    size,
    type: 'gp3',
    // As EC2: the root volume goes with the machine, another stays.
    deleteOnTermination: i === 0,
    encrypted: false,
    mount,
    tags: { Name: `${given.name}${mount === '/' ? '' : ` ${mount}`}` },
  }));
}

/** Each to the volume that is mounted nearest to it. */
function putFiles(cloud: Cloud, instance: InstanceState, given: NewMachine): void {
  const volumes = volumesOf(cloud, instance);
  for (const [path, entry] of Object.entries(given.files)) {
    const { content, mode = 0o644 } = typeof entry === 'string' ? { content: entry } : entry;
    const inside = normalize(path);
    const volume = volumes.findLast(({ mount = '/' }) => mount === '/' || inside.startsWith(`${mount}/`));
    if (volume === undefined) throw new Error(`There is no volume for ${path}.`);
    const file = join(
      volumeFolder(cloud, volume.id),
      volume.mount === '/' ? inside : inside.slice(volume.mount?.length),
    );
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    chmodSync(file, mode); // The umask has no say in it.
  }
}
