/** The connections of a compare, and what is known of the two servers. */
import { once } from 'node:events';
import type { Redis } from 'ioredis';
import { parseInfo } from '../replication.ts';
import { abilitiesOf } from './abilities.ts';
import { Reader } from './reader.ts';
import { CompareError } from './types.ts';
import type { Connections } from './types.ts';

export interface Side {
  name: 'source' | 'target';
  /** For SCAN and the bulk readings. */
  bulk: Redis;
  /** For rereads and large keys, which must not wait behind the bulk. */
  aside: Redis;
  reader: Reader;
  /** Of the process; '' where it can't be known. */
  runId: string;
}

export interface Sides {
  source: Side;
  target: Side;
  close: () => void;
}

/** @returns the error as the operator needs it: a lost connection by name, everything else as it is */
export function lossOf(error: unknown, sides: Sides | undefined): unknown {
  if (!(error instanceof Error) || error instanceof CompareError || error.name === 'ReplyError') return error;
  for (const { name, bulk, aside } of sides ? [sides.source, sides.target] : []) {
    const lost = [bulk, aside].find(({ status }) => status !== 'ready');
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
 * @throws what connecting throws; CompareError OPTIONS_INVALID for replyMapping resp3
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
  const side = async (name: Side['name']): Promise<Side> => {
    const [bulk, aside] = await Promise.all([ready(connections[name], opened), ready(connections[name], opened)]);
    const abilities = await abilitiesOf(bulk);
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
    return { name, bulk, aside, runId, reader: new Reader(name, abilities, Math.min(...trips), note) };
  };
  try {
    signal.throwIfAborted();
    const [source, target] = await Promise.all([side('source'), side('target')]);
    return { source, target, close };
  } catch (error) {
    close();
    throw error;
  }
}

async function ready(make: () => Redis, opened: Redis[]): Promise<Redis> {
  const redis = make();
  opened.push(redis);
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
  for (const { name, aside, reader } of [sides.source, sides.target]) {
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
  return [...found].sort((a, b) => a - b);
}

/** Points all connections at the database. @throws CompareError DATABASE_MISSING where a side has no such number */
export async function selectDatabase(sides: Sides, db: number): Promise<void> {
  for (const { name, bulk, aside } of [sides.source, sides.target]) {
    try {
      await Promise.all([bulk.select(db), aside.select(db)]);
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'ReplyError') throw error;
      throw new CompareError(
        'DATABASE_MISSING',
        `compare: the ${name} has no database ${db} (${error.message}), the other side has keys in it. ` +
          'Raise `databases` on that server (on ElastiCache in its parameter group, before the group is made), or leave the database out.',
        false,
      );
    }
  }
}
