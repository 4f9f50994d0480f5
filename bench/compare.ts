/**
 * Compare of two Redis servers against the plain loop everybody writes: SCAN COUNT 1000, a pipeline of TYPE, PTTL and DUMP on both
 * sides, equality of the bytes (facts/performance.md, Redis). Peer and product run in turn in the same run, on the same
 * two servers, and the ratio of the medians counts. RedisFullCheck (every value, one direction) runs with them where it is found.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { compare } from '../activities/redis/compare/compare.ts';
import { ask } from '../activities/redis/compare/replies.ts';
import type { CompareOptions, CompareResult } from '../activities/redis/compare/types.ts';
import { startRedis } from '../sandbox/runtime/redis.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { fullCheck, peer } from './redis-peers.ts';
import { figure, median, type Bench, type BenchResult } from './result.ts';

const KEYS = 520_000;
const QUICK_KEYS = 50_000;
const ROUNDS = 3;
const LEAST_RATIO = 2;

const OPTIONS: CompareOptions = {
  mode: 'full',
  ttlToleranceMs: 1000,
  ignore: [],
  values: true,
  rereadDelayMs: 200,
  rereadTimes: 3,
  maxReported: 20,
};

/** Numbers that look random and are the same in every run. */
function sequence(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/**
 * Mixed keys as an application has them: 60 % strings of 20–300 bytes, 20 % hashes, 8 % lists, 6 % sets, 5 % sorted
 * sets, 1 % streams; three in ten expire; one in 20,000 is a hash of 5,000 fields.
 */
export async function fill(redis: Redis, keys: number): Promise<void> {
  const random = sequence(7);
  const text = (least: number, most: number) => {
    let made = '';
    while (made.length < least) made += random(2 ** 32).toString(36);
    return made.slice(0, least + random(most - least));
  };
  const list = (count: number, make: (i: number) => (string | number)[]) =>
    Array.from({ length: count }, (_, i) => make(i)).flat();
  for (let from = 0; from < keys; from += 2000) {
    const pipeline = redis.pipeline();
    for (let i = from; i < Math.min(keys, from + 2000); i++) {
      const dice = random(100);
      const count = 2 + random(12);
      const key = `app:${['user', 'session', 'cart', 'stock'][i % 4]}:${i}`;
      if (i % 20_000 === 0) pipeline.hset(key, ...list(5000, (n) => [`field:${n}`, text(10, 30)]));
      else if (dice < 60) pipeline.set(key, text(300, 301).slice(0, 20 + random(280)));
      else if (dice < 80) pipeline.hset(key, ...list(count, (n) => [`field:${n}`, text(8, 40)]));
      else if (dice < 88) pipeline.rpush(key, ...list(count, () => [text(8, 40)]));
      else if (dice < 94) pipeline.sadd(key, ...list(count, () => [text(8, 20)]));
      else if (dice < 99) pipeline.zadd(key, ...list(count, () => [random(1e6) / 4, text(8, 20)]));
      else for (let n = 0; n < 3; n++) pipeline.xadd(key, '*', 'event', text(8, 40));
      if (random(10) < 3) pipeline.pexpire(key, 3_600_000 + random(86_400_000));
    }
    await pipeline.exec();
  }
}

/** The peer. Gives up on the order of sets and hashes, on rereads, on resuming and on extra keys. */
async function plainLoop(source: Redis, target: Redis): Promise<{ keys: number; differences: number }> {
  let cursor = '0';
  let [keys, differences] = [0, 0];
  do {
    const [next, page] = await source.scanBuffer(cursor, 'COUNT', 1000);
    cursor = next.toString();
    const read = (redis: Redis) => {
      const pipeline = redis.pipeline();
      for (const key of page) {
        pipeline.type(key);
        pipeline.pttl(key);
        pipeline.dumpBuffer(key);
      }
      return pipeline.exec();
    };
    const [left, right] = await Promise.all([read(source), read(target)]);
    if (!left || !right) throw new Error('the pipeline gave no replies');
    for (let i = 0; i < page.length; i++) {
      keys++;
      const [type, ttl, dump] = [left[i * 3]?.[1], left[i * 3 + 1]?.[1], left[i * 3 + 2]?.[1]];
      const [type2, ttl2, dump2] = [right[i * 3]?.[1], right[i * 3 + 1]?.[1], right[i * 3 + 2]?.[1]];
      const near = Math.abs(Number(ttl) - Number(ttl2)) <= OPTIONS.ttlToleranceMs;
      const equal = Buffer.isBuffer(dump) && Buffer.isBuffer(dump2) && dump.equals(dump2);
      if (type !== type2 || !near || !equal) differences++;
    }
  } while (cursor !== '0');
  return { keys, differences };
}

async function replicated(source: RedisServer, target: RedisServer): Promise<void> {
  const replica = target.connect();
  await replica.replicaof(source.host, source.port);
  const deadline = Date.now() + 120_000;
  for (;;) {
    const info = await replica.info('replication');
    if (/master_link_status:up/.test(info)) break;
    if (Date.now() > deadline) throw new Error(`the target did not come up as a replica:\n${info}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await ask(replica, 'REPLICAOF', 'NO', 'ONE');
  replica.disconnect();
}

async function withServers<T>(keys: number, use: (source: RedisServer, target: RedisServer) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'cutover-bench-compare-'));
  const servers: RedisServer[] = [];
  try {
    const source = await startRedis({
      dir: join(dir, 'source'),
      config: { 'repl-diskless-sync': 'yes', 'repl-diskless-sync-delay': '0' },
    });
    servers.push(source);
    const target = await startRedis({ dir: join(dir, 'target') });
    servers.push(target);
    const client = source.connect();
    await fill(client, keys);
    client.disconnect();
    await replicated(source, target);
    return await use(source, target);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    rmSync(dir, { recursive: true, force: true });
  }
}

const product = (sourcePort: number, targetPort: number): Promise<CompareResult> =>
  compare(
    { source: () => new Redis(sourcePort, '127.0.0.1'), target: () => new Redis(targetPort, '127.0.0.1') },
    OPTIONS,
  );

function mustBeEqual(result: CompareResult, keys: number): void {
  if (result.equal && result.keysCompared >= keys) return;
  throw new Error(`the compare is wrong: ${JSON.stringify(result)} of ${keys} equal keys`);
}

async function speed(count: number, say: (text: string) => void): Promise<BenchResult[]> {
  const program = peer('REDIS_FULL_CHECK', say);
  return withServers(count, async (source, target) => {
    const [peerRates, checkRates, rates]: [number[], number[], number[]] = [[], [], []];
    for (let round = 0; round < ROUNDS; round++) {
      const [left, right] = [source.connect(), target.connect()];
      let started = performance.now();
      const { keys } = await plainLoop(left, right);
      peerRates.push((keys / (performance.now() - started)) * 1000);
      left.disconnect();
      right.disconnect();
      started = performance.now();
      const result = await product(source.port, target.port);
      rates.push((result.keysCompared / (performance.now() - started)) * 1000);
      mustBeEqual(result, count);
      if (program === undefined) continue;
      started = performance.now();
      await fullCheck(program, join(source.dir, `full-check-${round}`), source, target);
      checkRates.push((count / (performance.now() - started)) * 1000);
    }
    const ratio = median(rates) / median(peerRates);
    return [
      figure(`plain loop, ${count} keys with values`, median(peerRates), 'keys/s'),
      figure(`cutover, both directions, ${count} keys with values`, median(rates), 'keys/s'),
      {
        name: 'cutover ÷ plain loop',
        value: Math.round(ratio * 100) / 100,
        unit: '×',
        target: `≥ ${LEAST_RATIO}`,
        pass: ratio >= LEAST_RATIO,
      },
      ...(program === undefined ? [] : besideFullCheck(count, median(rates), median(checkRates))),
    ];
  });
}

function besideFullCheck(count: number, rate: number, checkRate: number): BenchResult[] {
  return [
    figure(`RedisFullCheck, one direction, ${count} keys with values`, checkRate, 'keys/s'),
    { name: 'cutover ÷ RedisFullCheck', value: Math.round((rate / checkRate) * 100) / 100, unit: '×' },
  ];
}

/** About a minute on two cores. */
export const run: Bench = ({ quick, say }) => speed(quick ? QUICK_KEYS : KEYS, say);
