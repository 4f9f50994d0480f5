/** CLIENT LIST, as far as the checks need it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { RedisProbe } from './probe.ts';

export interface ConnectedClient {
  addr: string;
  name: string;
  /** `S` a replica, `M` the primary, `N` none in particular. */
  flags: string;
  /** The last command, `client|list` with its subcommand. */
  cmd: string;
}

/** @throws CannotCheck where CLIENT LIST is not allowed */
export async function clientsOf(probe: RedisProbe): Promise<ConnectedClient[]> {
  return parsed(await probe.call('CLIENT', 'LIST'));
}

/** Within which a connection of ours has told its name. */
const NAMED_WITHIN_MS = 500;

/**
 * Applications and people. A connection of our own, which another check has just opened, has no name for a moment: so only
 * who stays, and stays a stranger, is one.
 * @throws CannotCheck where CLIENT LIST is not allowed
 */
export async function strangersOf(probe: RedisProbe): Promise<ConnectedClient[]> {
  const seen = strangers(await clientsOf(probe));
  if (seen.length === 0) return [];
  await delay(NAMED_WITHIN_MS);
  const now = strangers(parsed(await probe.callAgain('CLIENT', 'LIST')));
  return now.filter(({ addr }) => seen.some((one) => one.addr === addr));
}

function parsed(list: unknown): ConnectedClient[] {
  const lines = String(list).split('\n').filter(Boolean);
  return lines.map((line) => {
    const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? '';
    return { addr: field('addr'), name: field('name'), flags: field('flags'), cmd: field('cmd') };
  });
}

/** No replication, none of ours, no Sentinel. */
function strangers(clients: ConnectedClient[]): ConnectedClient[] {
  return clients.filter(
    ({ flags, name }) => !/[SM]/.test(flags) && !name.startsWith('cutover') && !name.startsWith('sentinel-'),
  );
}
