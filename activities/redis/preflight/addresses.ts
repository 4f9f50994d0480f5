/** Addresses: which are this machine's own, which are private, and what a name stands for. */
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { CannotCheck } from '../../preflight/check.ts';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

const privateRanges = new BlockList();
for (const [net, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
] as const) {
  privateRanges.addSubnet(net, bits);
}
privateRanges.addSubnet('fc00::', 7, 'ipv6');

export type Reach = 'loopback' | 'private' | 'public' | 'any';

/** What an IP address can be reached from; `any` is 0.0.0.0 and ::, which are no address of anything. */
export function reachOf(ip: string): Reach {
  const family = isIP(ip) === 6 ? 'ipv6' : 'ipv4';
  if (ip === '0.0.0.0' || ip === '::') return 'any';
  if (loopback.check(ip, family)) return 'loopback';
  return privateRanges.check(ip, family) ? 'private' : 'public';
}

/** The addresses of a host name, as the worker's resolver knows them; of an IP address, itself. @throws CannotCheck */
export async function addressesOf(host: string): Promise<string[]> {
  if (isIP(host)) return [host];
  try {
    return [...new Set((await lookup(host, { all: true })).map(({ address }) => address))];
  } catch (error) {
    throw new CannotCheck(
      `the name ${host} can't be resolved from the worker: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
