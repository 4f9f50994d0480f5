/**
 * The copy of Redis without REPLICAOF, in both its modes, against what everybody writes or types: a loop of SCAN COUNT 1000, a
 * pipeline of DUMP and PTTL, a pipeline of RESTORE REPLACE; and the same loop with the server's own MIGRATE COPY REPLACE.
 * Neither of them resumes, follows, spares the source, or can take a key that is larger than its memory. Peer and product
 * run in turn, on the same two servers and the same keys; the medians count. RedisShake runs with them where it is found.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { connectionsOf } from '../activities/redis/copy/copy-activity.ts';
import { copyOnce } from '../activities/redis/copy/session.ts';
import { startRedis } from '../sandbox/runtime/redis.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { redisCopy } from '../spec/redis-copy.ts';
import type { CopyMode } from '../spec/redis-copy.ts';
import { fill } from './compare.ts';
import { peer, shake } from './redis-peers.ts';
import { figure, median, type Bench, type BenchResult } from './result.ts';

const KEYS = 520_000;
const QUICK_KEYS = 20_000;
const ROUNDS = 3;
/** What resumes, spares the source and bounds its memory must not be slower than a loop of forty lines that does none of it. */
const LEAST_RATIO = 1;
/** Mode keep reads each key twice, to prove it: half as fast is the price that it may have. */
const LEAST_RATIO_KEEP = 0.5;

type Copy = (source: RedisServer, target: RedisServer) => Promise<void>;

/** Gives up on keys that change meanwhile, on the exact time of expiry, and on all that is large. */
const plainLoop: Copy = async (from, to) => {
  const [source, target] = [from.connect(), to.connect()];
  let cursor = '0';
  do {
    const [next, page] = await source.scanBuffer(cursor, 'COUNT', 1000);
    cursor = next.toString();
    const read = source.pipeline();
    for (const key of page) read.dumpBuffer(key).pttl(key);
    const replies = (await read.exec()) ?? [];
    const write = target.pipeline();
    for (const [i, key] of page.entries()) {
      const [dump, ttl] = [replies[i * 2]?.[1], Number(replies[i * 2 + 1]?.[1])];
      if (Buffer.isBuffer(dump)) write.restore(key, Math.max(0, ttl), dump, 'REPLACE');
    }
    await write.exec();
  } while (cursor !== '0');
  source.disconnect();
  target.disconnect();
};

/** The server copies by itself, and answers nobody else meanwhile. */
const migrateLoop: Copy = async (from, to) => {
  const source = from.connect();
  let cursor = '0';
  do {
    const [next, page] = await source.scanBuffer(cursor, 'COUNT', 1000);
    cursor = next.toString();
    if (page.length > 0) {
      await source.callBuffer('MIGRATE', [to.host, to.port, '', 0, 60_000, 'COPY', 'REPLACE', 'KEYS', ...page]);
    }
  } while (cursor !== '0');
  source.disconnect();
};

const product =
  (mode: CopyMode): Copy =>
  async (source, target) => {
    const at = ({ host, port }: RedisServer) => ({ host, port, tls: false });
    const ends = connectionsOf({ migrationId: 'bench', source: at(source), target: at(target) });
    // A server that two cores share with its client is slow to answer; that is not what is measured.
    const options = { ...redisCopy.parse({ maxLatency: '1m' }), mode, migrationId: 'bench' };
    await copyOnce(ends, options);
  };

const [LOOP, SHAKE, REPLACE, KEEP] = [
  'plain loop, DUMP and RESTORE',
  'RedisShake, scan_reader',
  'cutover, mode replace',
  'cutover, mode keep',
];

export const run: Bench = async ({ quick, say }) => {
  const keys = quick ? QUICK_KEYS : KEYS;
  const dir = mkdtempSync(join(tmpdir(), 'cutover-bench-copy-'));
  const servers: RedisServer[] = [];
  const rates = new Map<string, number[]>();
  const program = peer('REDIS_SHAKE', say);
  const copies: Record<string, Copy> = {
    [LOOP]: plainLoop,
    'plain loop, MIGRATE': migrateLoop,
    [REPLACE]: product('replace'),
    ...(program === undefined ? {} : { [SHAKE]: (from, to) => shake(program, join(dir, 'shake'), from, to) }),
    [KEEP]: product('keep'),
  };
  try {
    for (const name of ['source', 'target']) servers.push(await startRedis({ dir: join(dir, name) }));
    const [source, target] = servers as [RedisServer, RedisServer];
    const [s, t] = [new Redis(source.port), new Redis(target.port, { connectionName: 'cutover-bench' })];
    await fill(s, keys);
    const total = await s.dbsize();
    for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
      for (const [name, copy] of Object.entries(copies)) {
        await t.flushall('SYNC');
        // The source keeps the connection of MIGRATE for a while, and the product refuses a target that others write to.
        await t.call('CLIENT', 'KILL', 'TYPE', 'normal');
        const began = performance.now();
        await copy(source, target);
        const rate = (total / (performance.now() - began)) * 1000;
        const there = await t.dbsize();
        if (there !== total) throw new Error(`${name} copied ${there} of ${total} keys`);
        rates.set(name, [...(rates.get(name) ?? []), rate]);
        say(`round ${round + 1}, ${name}: ${Math.round(rate)} keys/s`);
      }
    }
    s.disconnect();
    t.disconnect();
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    rmSync(dir, { recursive: true, force: true });
  }
  const of = (name: string) => median(rates.get(name) ?? []);
  const ratio = (name: string, mode: string, peer: string, least?: number): BenchResult => {
    const value = of(mode) / of(peer);
    const rounded = { name, value: Math.round(value * 100) / 100, unit: '×' };
    if (least === undefined) return rounded;
    // A quick run shows that it works, and no more.
    return { ...rounded, target: `≥ ${least}`, ...(quick ? {} : { pass: value >= least }) };
  };
  return [
    ...Object.keys(copies).map((name) => figure(`${name}, ${keys} keys`, of(name), 'keys/s')),
    ratio('cutover (replace) ÷ plain loop', REPLACE, LOOP, LEAST_RATIO),
    ratio('cutover (keep) ÷ plain loop', KEEP, LOOP, LEAST_RATIO_KEEP),
    ...(program === undefined ? [] : [ratio('cutover (replace) ÷ RedisShake', REPLACE, SHAKE)]),
  ];
};
