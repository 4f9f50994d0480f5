/**
 * An application in front of a Redis that is moved, as a process: `node --import tsx redis-offline-app.ts '<JSON>'`. It
 * writes to the server that a file names, as one behind service discovery does, and goes to another as soon as the file says
 * so. Each write is written down before it is sent and after its answer, so that a killed one leaves its record.
 */
import { openSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';

export interface OfflineAppSettings {
  instance: string;
  /** Holds the port, on 127.0.0.1. */
  endpoint: string;
  log: string;
  clients: number;
  /** Writes per second of all clients together. */
  rate: number;
}

const settings = JSON.parse(process.argv[2]!) as OfflineAppSettings;
const log = openSync(settings.log, 'a');
const note = (...words: (string | number)[]) => writeSync(log, `${words.join(' ')}\n`);
const configured = () => Number(readFileSync(settings.endpoint, 'utf8'));

/** Written over again and again, so that an old value can be seen. */
const POOL = 40;
/** Grows over restarts as well. */
let last = Date.now() * 1000;
let port = configured();
const at = new Set<number>();
const open = (to: number) => {
  const redis = new Redis({
    host: '127.0.0.1',
    port: to,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    retryStrategy: () => null,
    commandTimeout: 5_000,
  });
  redis.on('error', () => {});
  return redis;
};

async function client(number: number): Promise<void> {
  const mine = `app:${settings.instance}:${number}`;
  const acknowledged = new Map<string, number>();
  let redis = open(port);
  let mineAt = 0;
  for (let turn = 0; ; turn++) {
    const began = performance.now();
    if (mineAt !== port || redis.status !== 'ready') {
      redis.disconnect();
      redis = open((mineAt = port));
      await redis.connect().catch(() => delay(20));
      // Nothing of this client is under way elsewhere any more.
      at.add(number);
      if (at.size === settings.clients) note('at', process.pid, port);
    }
    const seq = (last += 1);
    try {
      const kind = (['set', 'once', 'incr', 'push'] as const)[turn % 4]!;
      const key =
        kind === 'set'
          ? `${mine}:${Math.floor(turn / 4) % POOL}`
          : kind === 'once'
            ? `${mine}:${seq}`
            : `${mine}:${kind}`;
      if (kind === 'set') {
        const read = Number(await redis.get(key));
        if (read < (acknowledged.get(key) ?? 0)) {
          note('stale', key, acknowledged.get(key)!, read);
          acknowledged.set(key, read);
        }
      }
      note('try', kind, key, seq, mineAt, Date.now());
      if (kind === 'incr') await redis.incr(key);
      else if (kind === 'push') await redis.rpush(key, String(seq));
      else await redis.set(key, String(seq));
      note('ack', kind, key, seq, mineAt);
      if (kind === 'set') acknowledged.set(key, seq);
    } catch (error) {
      note('error', (error as Error).message.replaceAll(/\s+/g, ' ').slice(0, 200));
      await delay(20);
    }
    await delay(Math.max(0, (1000 * settings.clients) / settings.rate - (performance.now() - began)));
  }
}

setInterval(() => {
  const now = configured();
  if (now === port) return;
  at.clear();
  port = now;
}, 20);
await Promise.all(Array.from({ length: settings.clients }, (_, number) => client(number)));
