/**
 * An instance of an application that uses the library: `node --import tsx dual-write-app.ts '<JSON>'`. Every write that is
 * about to be made and every one that was acknowledged is written to a file before and after it, so that what was
 * acknowledged is known whenever the process is killed. Every value is read back at once, and a stale one is written down too.
 */
import { openSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Cluster } from 'ioredis';
import { DualWriteRedis } from '../../client/dual-write/index.ts';

export interface DualAppServer {
  host: string;
  port: number;
  username?: string;
  password?: string;
  /** The port is that of one node of it. */
  cluster?: boolean;
  /** Over TLS, with this file as the only CA. */
  ca?: string;
  db?: number;
}

export interface DualAppSettings {
  id: string;
  instance: string;
  source: DualAppServer;
  target: DualAppServer;
  /** Where what happens is written down. */
  log: string;
  clients: number;
  /** Writes per second of all clients together. */
  rate: number;
  /** A hash: two in three of the writes set a field of it, one in three deletes one. */
  big?: { key: string; fields: number };
}

const settings = JSON.parse(process.argv[2]!) as DualAppSettings;
const log = openSync(settings.log, 'a');
const note = (...words: (string | number)[]) => writeSync(log, `${words.join(' ')}\n`);
const client = ({ cluster, ca, host, port, ...more }: DualAppServer) => {
  const options = { ...more, ...(ca === undefined ? {} : { tls: { ca: readFileSync(ca, 'utf8') } }) };
  if (!cluster) return { host, port, ...options };
  return new Cluster([{ host, port }], { lazyConnect: true, redisOptions: options });
};
const redis = new DualWriteRedis({
  id: settings.id,
  instance: settings.instance,
  source: client(settings.source),
  target: client(settings.target),
  secondWrite: 'record',
});

/** Grows over restarts of the instance as well. */
let last = Date.now() * 1000;
const next = () => (last += 1);
const POOL = 40;
const HSET = "return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])";

/** Each client has fields of its own, so that what was acknowledged last is what has to be there. */
async function writeBig({ key, fields }: { key: string; fields: number }, number: number): Promise<void> {
  for (let turn = 0; ; turn++) {
    const began = performance.now();
    const field = `field-${((turn * 7919 * settings.clients) % fields) + number}`;
    const value = turn % 3 === 2 ? '-' : String(next());
    note('try', 'field', field, value);
    try {
      await (value === '-' ? redis.hdel(key, field) : redis.hset(key, field, value));
      note('ack', 'field', field, value);
    } catch (error) {
      note('error', (error as Error).message.replaceAll(/\s+/g, ' ').slice(0, 200));
      await delay(20);
    }
    await delay(Math.max(0, (1000 * settings.clients) / settings.rate - (performance.now() - began)));
  }
}

async function write(number: number): Promise<void> {
  // In one slot: a transaction has two of its keys.
  const mine = `{app:${settings.instance}:${number}}`;
  for (let turn = 0; ; turn++) {
    const began = performance.now();
    const seq = next();
    const key = `${mine}:${turn % POOL}`;
    try {
      const kind = turn % 5;
      if (kind === 0) {
        note('try', 'set', key, seq);
        await redis.set(key, String(seq), 'EX', 3600);
        note('ack', 'set', key, seq);
        const read = Number(await redis.get(key));
        // It is written by this client alone.
        if (read !== seq) note('stale', key, seq, read);
      } else if (kind === 1) {
        note('try', 'incr', 'app:shared', seq);
        await redis.incr('app:shared');
        note('ack', 'incr', 'app:shared', seq);
      } else if (kind === 2) {
        note('try', 'push', `${mine}:list`, seq);
        await redis.rpush(`${mine}:list`, String(seq));
        note('ack', 'push', `${mine}:list`, seq);
      } else if (kind === 3) {
        // What a script did goes over by DUMP and RESTORE; an older server refuses that, and it is left to the repair.
        note('try', 'hash', `${mine}:scripted`, seq);
        await redis.eval(HSET, 1, `${mine}:scripted`, String(turn % 100), String(seq));
        note('ack', 'hash', `${mine}:scripted`, seq);
      } else {
        note('try', 'hash', `${mine}:hash`, seq);
        await redis
          .multi([
            ['hset', `${mine}:hash`, String(turn % 100), String(seq)],
            ['del', `${mine}:gone`],
          ])
          .exec();
        note('ack', 'hash', `${mine}:hash`, seq);
      }
    } catch (error) {
      note('error', (error as Error).message.replaceAll(/\s+/g, ' ').slice(0, 200));
      await delay(20);
    }
    await delay(Math.max(0, (1000 * settings.clients) / settings.rate - (performance.now() - began)));
  }
}

process.on('SIGTERM', () => {
  void redis.close().finally(() => process.exit(0));
});
note('start', settings.instance, process.pid);
const { big } = settings;
const writer = big ? (number: number) => writeBig(big, number) : write;
await Promise.all(Array.from({ length: settings.clients }, (_, number) => writer(number)));
