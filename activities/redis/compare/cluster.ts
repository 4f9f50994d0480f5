/**
 * Which primaries a cluster has, which slots each of them says it serves, and whether that stays so during a compare. A slot that
 * changes hands takes its keys from a node that is not scanned yet to one that was: nobody would have seen them.
 */
import type { Redis } from 'ioredis';
import { SLOTS } from '../copy/slots.ts';
import { refuseOpenSlots, topologyOf } from '../copy/topology.ts';
import type { Primary } from '../copy/topology.ts';
import { CopyError } from '../copy/types.ts';
import type { Address } from '../copy/types.ts';
import { parseInfo } from '../replication.ts';
import { ask } from './replies.ts';
import type { Side } from './side.ts';
import { CompareError } from './types.ts';

type Name = 'source' | 'target';

/** Tells a cluster's node from a single server. @throws CompareError COMMAND_REFUSED where it is a cluster's and refuses INFO */
export async function isCluster(redis: Redis, name: Name): Promise<boolean> {
  const answer = async (call: Promise<string>) =>
    call.catch((error: unknown) => {
      const refused = error instanceof Error && error.name === 'ReplyError';
      if (!refused || /^(LOADING|BUSY|MASTERDOWN|NOAUTH)/.test(error.message)) throw error;
      return undefined;
    });
  const info = await answer(redis.info('cluster'));
  if (info !== undefined) return parseInfo(info)['cluster_enabled'] === '1';
  // A single server answers that it has no cluster support. Taken for one, a cluster's node would stand for all of the keys.
  const nodes = await answer(ask<Buffer>(redis, 'CLUSTER', 'INFO').then(String));
  if (nodes === undefined) return false;
  throw new CompareError(
    'COMMAND_REFUSED',
    `compare: the ${name} is in cluster mode and refuses INFO: permit it`,
    false,
  );
}

/** The primaries that serve slots. @throws CompareError SLOTS_UNSTEADY where not all slots are served, or some are moving */
export async function primariesOf(redis: Redis, name: Name): Promise<readonly Primary[]> {
  return (await ofCompare(() => topologyOf(redis, addressOf(redis), name))).primaries;
}

/** A node's own word. */
export interface Served {
  id: string;
  slots: readonly (readonly [from: number, to: number])[];
  /** Changes whenever the node wins a slot or a failover. */
  epoch: string;
}

/**
 * What a node says of itself in CLUSTER NODES: `id host:port@bus flags primary ping pong epoch link slot slot-slot …`.
 * @throws CompareError SLOTS_UNSTEADY where it is a replica, another node than expected, or a slot is on its way
 */
export async function servedBy(redis: Redis, id: string, name: Name): Promise<Served> {
  const nodes = (await ask<Buffer>(redis, 'CLUSTER', 'NODES')).toString();
  const own = nodes.split('\n').find((line) => line.includes('myself'));
  const [ownId = '', , flags = '', , , , epoch = '', , ...fields] = (own ?? '').trim().split(' ');
  const { host, port } = addressOf(redis);
  const where = `${host}:${port} (${name})`;
  if (ownId !== id) throw unsteady(`${where} is node ${ownId || '?'}, and ${id} was expected there`);
  if (!flags.split(',').includes('master')) throw unsteady(`${where} is no primary any more`);
  await ofCompare(async () => refuseOpenSlots(nodes, name));
  const slots = fields
    .filter((field) => /^\d+(-\d+)?$/.test(field))
    .map((field) => {
      const [from = 0, to = from] = field.split('-').map(Number);
      return [from, to] as const;
    });
  return { id, slots, epoch };
}

/** The node of each slot, by the nodes' own words. @throws CompareError SLOTS_UNSTEADY where two or none say they serve one */
export function slotTable<T>(nodes: readonly { node: T; served: Served }[], name: Name): T[] {
  const table: T[] = [];
  for (const { node, served } of nodes) {
    for (const [from, to] of served.slots) {
      for (let slot = from; slot <= to; slot++) {
        if (table[slot] !== undefined) throw unsteady(`two nodes of the ${name} say that they serve slot ${slot}`);
        table[slot] = node;
      }
    }
  }
  for (let slot = 0; slot < SLOTS; slot++) {
    if (table[slot] === undefined) throw unsteady(`no node of the ${name} serves slot ${slot}`);
  }
  return table;
}

/** Two equal ones: no slot changed hands in between, not even there and back. */
export const signatureOf = (served: readonly Served[]): string =>
  served
    .map(({ id, slots, epoch }) => `${id} ${epoch} ${slots.map(([from, to]) => `${from}-${to}`).join(' ')}`)
    .sort()
    .join('; ');

/**
 * What the nodes of a cluster say now; '' for a single server.
 * @throws CompareError SLOTS_UNSTEADY
 */
export async function signatureNow(side: Side): Promise<string> {
  if (!side.cluster) return '';
  // Beside the nodes' own words: it tells when the cluster is down.
  await primariesOf(side.first.aside, side.name);
  return signatureOf(await Promise.all(side.nodes.map(({ id, aside }) => servedBy(aside, id, side.name))));
}

const addressOf = ({ options: { host = '', port = 0 } }: Redis): Address => ({ host, port });

export const unsteady = (what: string) =>
  new CompareError(
    'SLOTS_UNSTEADY',
    `compare: ${what}. Let the resharding or failover end (redis-cli --cluster check); the same call then begins anew.`,
    true,
  );

/** The copy says the same of a cluster, in its own error. */
async function ofCompare<T>(look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof CopyError)) throw error;
    throw new CompareError(
      'SLOTS_UNSTEADY',
      `${error.message.replace(/^copy:/, 'compare:')}${error.remedy ? `. Remedy: ${error.remedy}` : ''}`,
      error.retryable,
    );
  }
}
