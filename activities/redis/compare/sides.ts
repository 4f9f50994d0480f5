/** The connections of a compare, and what is known of the two sides. */
import { once } from 'node:events';
import type { Redis } from 'ioredis';
import { tagOf } from '../copy/slots.ts';
import type { Address } from '../copy/types.ts';
import { parseInfo } from '../replication.ts';
import { PROBE, abilitiesOf } from './abilities.ts';
import { isCluster, primariesOf, servedBy, signatureNow, signatureOf, slotTable, unsteady } from './cluster.ts';
import type { Served } from './cluster.ts';
import { Reader } from './reader.ts';
import { Side } from './side.ts';
import type { Node } from './side.ts';
import { CompareError } from './types.ts';
import type { Connections } from './types.ts';

export interface Sides {
  source: Side;
  target: Side;
  /** Which node has which slots, of both sides; undefined where neither is a cluster. */
  topology: string | undefined;
  close: () => void;
}

/** @returns the error as the operator needs it: a lost connection by name, slots that moved, everything else as it is */
export function lossOf(error: unknown, sides: Sides | undefined): unknown {
  if (!(error instanceof Error) || error instanceof CompareError) return error;
  if (error.name === 'ReplyError') {
    return /^(MOVED|ASK|TRYAGAIN) ?/.test(error.message) ? unsteady(`a slot is moving: ${error.message}`) : error;
  }
  for (const { name, nodes } of sides ? [sides.source, sides.target] : []) {
    const lost = nodes.flatMap(({ bulk, aside }) => [bulk, aside]).find(({ status }) => status !== 'ready');
    if (lost) return connectionLost(name, lost, error.message);
  }
  return error;
}

const connectionLost = (name: Side['name'], redis: Redis, why: string) =>
  new CompareError(
    'CONNECTION_LOST',
    `compare: the connection to the ${name} (${redis.options.host}:${redis.options.port}) was lost: ${why}. ` +
      'The same call goes on from its last checkpoint.',
    true,
  );

/**
 * Opens two connections to each server. A connection that closes ends the compare (`fail`): ioredis would connect again, perhaps to
 * another process behind the same name, where the cursor of SCAN means something else.
 * @throws what connecting throws; CompareError OPTIONS_INVALID for replyMapping resp3, SLOTS_UNSTEADY
 */
export async function openSides(
  connections: Connections,
  note: (text: string) => void,
  fail: (error: unknown) => void,
  signal: AbortSignal,
): Promise<Sides> {
  const opened: Redis[] = [];
  const close = () => {
    for (const redis of opened) redis.disconnect();
  };
  signal.addEventListener('abort', close, { once: true });

  const pair = async (name: Side['name'], at?: Address): Promise<[Redis, Redis]> => {
    const make = async () => {
      const redis = await connections[name](at);
      opened.push(redis);
      // Made too late for `close`.
      if (signal.aborted) redis.disconnect();
      signal.throwIfAborted();
      return ready(redis);
    };
    return Promise.all([make(), make()]);
  };
  const node = async (name: Side['name'], [bulk, aside]: [Redis, Redis], served?: Served): Promise<Node> => {
    const tag = served && tagOf(served.slots[0]?.[0] ?? 0);
    const abilities = await abilitiesOf(bulk, tag === undefined ? PROBE : `${PROBE}{${tag}}`);
    const trips: number[] = [];
    for (let i = 0; i < 3; i++) {
      const started = performance.now();
      await bulk.ping();
      trips.push(performance.now() - started);
    }
    const runId = abilities.info ? (parseInfo(await bulk.info('server'))['run_id'] ?? '') : '';
    for (const redis of [bulk, aside]) {
      redis.on('close', () => signal.aborted || fail(connectionLost(name, redis, 'it was closed')));
    }
    const reader = new Reader(name, abilities, Math.min(...trips), note, served !== undefined);
    const { host, port } = bulk.options;
    return { name: `${host}:${port}`, id: served?.id ?? `${host}:${port}`, bulk, aside, runId, reader };
  };
  const side = async (name: Side['name']): Promise<{ side: Side; signature: string }> => {
    const first = await pair(name);
    if (!(await isCluster(first[0], name))) {
      return { side: new Side(name, [await node(name, first)]), signature: '' };
    }
    const primaries = await primariesOf(first[0], name);
    for (const redis of first) redis.disconnect();
    const nodes = await Promise.all(
      primaries.map(async (primary) => {
        const redis = await pair(name, primary.at);
        const served = await servedBy(redis[0], primary.id, name);
        return { served, node: await node(name, redis, served) };
      }),
    );
    return {
      side: new Side(
        name,
        nodes.map((one) => one.node),
        slotTable(nodes, name),
      ),
      signature: signatureOf(nodes.map(({ served }) => served)),
    };
  };
  try {
    signal.throwIfAborted();
    const [source, target] = await Promise.all([side('source'), side('target')]);
    const topology = together(source.signature, target.signature);
    return { source: source.side, target: target.side, topology, close };
  } catch (error) {
    close();
    throw error;
  }
}

const together = (source: string, target: string) =>
  source === '' && target === '' ? undefined : `${source} | ${target}`;

/** @throws CompareError SLOTS_UNSTEADY where a cluster is not as it was when the compare began */
export async function requireSteady(sides: Sides): Promise<void> {
  if (sides.topology === undefined) return;
  const now = together(...(await Promise.all([signatureNow(sides.source), signatureNow(sides.target)])));
  if (now !== sides.topology) throw unsteady('slots changed hands, or a node failed over, during the compare');
}

async function ready(redis: Redis): Promise<Redis> {
  let lastError: unknown;
  // Without a listener ioredis prints every error of a connection; the commands' promises tell them to us anyway.
  redis.on('error', (error) => (lastError = error));
  if (redis.options.replyMapping === 'resp3') {
    throw new CompareError(
      'OPTIONS_INVALID',
      "compare: the connections must use ioredis' replyMapping: 'legacy'",
      false,
    );
  }
  if (redis.status === 'wait') await redis.connect().catch((error: unknown) => Promise.reject(lastError ?? error));
  else if (redis.status !== 'ready') {
    await Promise.race([
      once(redis, 'ready'),
      once(redis, 'end').then(() => Promise.reject(lastError ?? new Error('Connection is closed.'))),
    ]);
  }
  return redis;
}

/** Numbers of the databases that hold keys on either side, ascending. @throws CompareError COMMAND_REFUSED */
export async function databasesOf(sides: Sides): Promise<number[]> {
  const found = new Set<number>();
  for (const { name, nodes } of [sides.source, sides.target]) {
    for (const { aside, reader } of nodes) {
      if (!reader.abilities.info) {
        throw new CompareError(
          'COMMAND_REFUSED',
          `compare: the ${name} refuses INFO: permit it, or list the databases`,
          false,
        );
      }
      for (const field of Object.keys(parseInfo(await aside.info('keyspace')))) {
        if (/^db\d+$/.test(field)) found.add(Number(field.slice(2)));
      }
    }
  }
  return [...found].sort((a, b) => a - b);
}

/** Points all connections at the database. @throws CompareError DATABASE_MISSING where a side has no such number */
export async function selectDatabase(sides: Sides, db: number): Promise<void> {
  for (const { name, nodes, cluster } of [sides.source, sides.target]) {
    try {
      await Promise.all(nodes.flatMap(({ bulk, aside }) => [bulk.select(db), aside.select(db)]));
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'ReplyError') throw error;
      throw new CompareError(
        'DATABASE_MISSING',
        `compare: the ${name} has no database ${db} (${error.message}), the other side has keys in it. ` +
          (cluster
            ? 'A cluster has one database, 0 (Valkey 9: as many as `cluster-databases` says): move the keys, or leave the database out.'
            : 'Raise `databases` on that server (on ElastiCache in its parameter group, before the group is made), or leave the database out.'),
        false,
      );
    }
  }
}
