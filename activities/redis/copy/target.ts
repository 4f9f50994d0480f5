/** The side that is written to: which of its servers holds a key, and the commands that bring it there. */
import type { Redis } from 'ioredis';
import type { Command } from '../compare/replies.ts';
import { printable } from '../compare/key-names.ts';
import type { Dumped } from './read-keys.ts';
import type { Server } from './server.ts';
import { SLOTS, slotOf } from './slots.ts';
import { CopyError } from './types.ts';
import { writeByScript } from './write-script.ts';

export class Target {
  readonly servers: readonly Server[];
  readonly cluster: boolean;
  readonly #bySlot: Server[] = Array.from<Server>({ length: SLOTS });

  constructor(servers: readonly Server[], cluster: boolean) {
    this.servers = servers;
    this.cluster = cluster;
    for (const server of servers) {
      for (const [from, to] of server.slots) this.#bySlot.fill(server, from, to + 1);
    }
  }

  serverOf(key: Buffer): Server {
    const server = this.cluster ? this.#bySlot[slotOf(key)] : this.servers[0];
    if (!server) throw new Error(`copy: no server of the target holds the slot of ${printable(key)}`);
    return server;
  }

  /** The items by the server that holds their key. */
  group<T>(items: readonly T[], keyOf: (item: T) => Buffer): Map<Server, T[]> {
    const groups = new Map<Server, T[]>();
    for (const item of items) {
      const server = this.serverOf(keyOf(item));
      const group = groups.get(server);
      if (group) group.push(item);
      else groups.set(server, [item]);
    }
    return groups;
  }
}

export interface Written {
  /** Keys whose DUMP the target is too old for. */
  tooNew: Buffer[];
  restored: Dumped[];
  deleted: number;
  kept: number;
}

export const TOO_NEW = /DUMP payload version or checksum/i;

/** RESTORE takes the time at which a key expires, not only what is left of it. */
const knowsAbsTtl = (server: Server): boolean => Number(server.version.split('.')[0]) >= 5;

/** What RESTORE is given as expiry; 0 = never. */
function ttlFor(absolute: boolean, expireAt: number): number {
  // An expiry that has just passed must not become "never", which 0 is.
  return expireAt === 0 ? 0 : absolute ? expireAt : Math.max(1, expireAt - Date.now());
}

/** RESTORE, or UNLINK of what is gone. */
export function writeCommand(server: Server, { key, dump, expireAt }: Dumped, keep: boolean): Command {
  if (dump === null) return ['UNLINK', key];
  const absolute = knowsAbsTtl(server);
  const ttl = ttlFor(absolute, expireAt);
  return ['RESTORE', key, ttl, dump, ...(keep ? [] : ['REPLACE']), ...(absolute && ttl > 0 ? ['ABSTTL'] : [])];
}

/** Restores and deletes what was read, on one server. @throws CopyError WRITE_REFUSED, SLOTS_MOVED */
export async function writeKeys(
  server: Server,
  redis: Redis,
  items: readonly Dumped[],
  keep: boolean,
): Promise<Written> {
  // What is gone on the source may have been made anew on the target, by others.
  const wanted = keep ? items.filter(({ dump }) => dump !== null) : items;
  const absolute = knowsAbsTtl(server);
  const expiryOf = ({ expireAt }: Dumped) => ttlFor(absolute, expireAt);
  const { left: sent, ...done } = await writeByScript(server, redis, wanted, { keep, absolute, expiryOf });
  const written: Written = { tooNew: [], ...done };
  const pipeline = redis.pipeline();
  for (const item of sent) {
    const [name, ...args] = writeCommand(server, item, keep);
    pipeline.callBuffer(name, args);
  }
  const replies = sent.length === 0 ? [] : ((await pipeline.exec()) ?? []);
  for (const [i, item] of sent.entries()) {
    const [error, reply] = replies[i] ?? [new Error('no reply'), undefined];
    if (!error) {
      if (item.dump) written.restored.push(item);
      else written.deleted += Number(reply);
    } else if (error.message.startsWith('BUSYKEY') && keep) written.kept++;
    else if (TOO_NEW.test(error.message)) written.tooNew.push(item.key);
    else throw refused(server, item.key, error);
  }
  return written;
}

/** What a server of the target answered to a write, as the operator needs it. */
export function refused(server: Server, key: Buffer, error: Error): Error {
  if (error.name !== 'ReplyError') return error;
  if (/^(MOVED|ASK|TRYAGAIN|CROSSSLOT) ?/.test(error.message)) return slotsMoved(server);
  if (/^(LOADING|BUSY|MASTERDOWN|CLUSTERDOWN)/.test(error.message)) return error;
  const remedy = error.message.startsWith('OOM')
    ? 'the target is full: give it more memory (maxmemory), then retry'
    : error.message.startsWith('READONLY')
      ? 'the target is a replica: name its primary'
      : /Bad data format|unknown command/i.test(error.message)
        ? 'the target does not know this type (a module?): leave the key out with `ignore`, or choose a newer target'
        : 'see the target’s log, and docs/redis-copy.md for the permissions';
  return new CopyError(
    'WRITE_REFUSED',
    `copy: the target ${server.name} refused key ${printable(key)}: ${error.message}`,
    { remedy },
  );
}

export const slotsMoved = (server: Server) =>
  new CopyError('SLOTS_MOVED', `copy: slots of ${server.side} ${server.name} moved to another node`, {
    retryable: true,
    remedy: 'let the resharding end; what was moved is copied again',
  });
