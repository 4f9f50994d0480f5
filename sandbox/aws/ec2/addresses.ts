import { randomInt } from 'node:crypto';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import { invalid } from './faults.ts';

/**
 * An address of 127.0.0.0/8 for one machine: all of them are this host's own on Linux, so that a machine's app can really
 * listen on its address. Drawn by chance from 16 million, because other sandboxes on this host draw too.
 */
export function freeAddress(cloud: Cloud): string {
  for (;;) {
    const address = `127.${randomInt(1, 255)}.${randomInt(0, 255)}.${randomInt(2, 255)}`;
    if (!inUse(cloud, address)) return address;
  }
}

/** @throws AwsFault InvalidParameterValue outside of 127.0.0.0/8, InvalidIPAddress.InUse */
export function checkAddress(cloud: Cloud, address: string): string {
  const parts = /^127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address);
  if (parts === null || parts.slice(1).some((part) => Number(part) > 255)) {
    throw invalid(`Address ${address} does not fall within the subnet's address range (the sandbox's is 127.0.0.0/8)`);
  }
  if (inUse(cloud, address)) throw new AwsFault('InvalidIPAddress.InUse', `Address ${address} is in use.`);
  return address;
}

function inUse(cloud: Cloud, address: string): boolean {
  return Object.values(cloud.store.state.ec2.instances).some(
    ({ state, privateIp, publicIp }) => state !== 'terminated' && (privateIp === address || publicIp === address),
  );
}
