/** CLIENT LIST, as far as the checks need it. */
import type { RedisProbe } from './probe.ts';

export interface ConnectedClient {
  addr: string;
  name: string;
  /** `S` a replica, `M` the primary, `N` none in particular. */
  flags: string;
}

/** @throws CannotCheck where CLIENT LIST is not allowed */
export async function clientsOf(probe: RedisProbe): Promise<ConnectedClient[]> {
  const lines = String(await probe.call('CLIENT', 'LIST'))
    .split('\n')
    .filter(Boolean);
  return lines.map((line) => {
    const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? '';
    return { addr: field('addr'), name: field('name'), flags: field('flags') };
  });
}

/** Applications and people: no replication, none of ours, no Sentinel. */
export function strangers(clients: ConnectedClient[]): ConnectedClient[] {
  return clients.filter(
    ({ flags, name }) => !/[SM]/.test(flags) && !name.startsWith('cutover') && !name.startsWith('sentinel-'),
  );
}
