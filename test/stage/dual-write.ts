/** A migration by dual write on a stage: two servers, instances of an application as processes, and what they saw. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Cluster, Redis } from 'ioredis';
import { parse } from 'yaml';
import { startMigration, type MigrationHandle } from '../../client/index.ts';
import { fillRedis } from '../../sandbox/app/fill.ts';
import type { RedisServer, StartRedisOptions } from '../../sandbox/runtime/redis.ts';
import { dualKeys, encodeInstance, type DualInstance } from '../../spec/dual-write.ts';
import type { DualAppServer, DualAppSettings } from './dual-write-app.ts';
import { endFirstAttempt } from './second-attempt.ts';
import { until, type Stage } from './stage.ts';

const EXAMPLE = fileURLToPath(new URL('../../examples/redis-dual-write.yaml', import.meta.url));
const APP = fileURLToPath(new URL('dual-write-app.ts', import.meta.url));

/** The product's own settings are for production; nothing here waits for as long. */
const QUICK = {
  kind: 'redis-dual-write',
  instances: { ackTimeout: '20s' },
  timing: { poll: '50ms', lease: '2s', writeTimeout: '1s' },
  cutover: { budgets: { hold: '8s', drain: '20s' } },
};

export interface Instance {
  name: string;
  process: ChildProcess;
  /** KILL: nothing is answered any more, nothing is taken back. */
  end(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

export interface DualScene {
  id: string;
  source: RedisServer;
  target: RedisServer;
  migration: Record<string, unknown>;
  start(): Promise<MigrationHandle>;
  instance(name: string): Promise<Instance>;
  /** Of all instances, those that were killed as well. */
  seen(): string[][];
  control(): Promise<Record<string, string>>;
  /** Second writes that the living instances have left to the repair. */
  recorded(): Promise<number>;
  close(): Promise<void>;
}

export async function openDualScene(
  stage: Stage,
  options: {
    id: string;
    keys?: number;
    rate?: number;
    more?: Record<string, unknown>;
    /** Laid over the example file, as it stands, rather than over settings for a quick test. */
    example?: boolean;
    servers?: { source?: Partial<StartRedisOptions>; target?: Partial<StartRedisOptions> };
    /** A node of a cluster, in place of a server of its own. */
    cluster?: RedisServer;
    /** Given to the application beside the addresses. */
    app?: { source?: Partial<DualAppServer>; target?: Partial<DualAppServer> };
    /** Runs with both servers up; fills the source. */
    prepare?: (servers: { source: RedisServer; target: RedisServer }) => Promise<void>;
  },
): Promise<DualScene> {
  const { id } = options;
  const [source, target] = await Promise.all([
    stage.redis(options.servers?.source),
    options.cluster ?? stage.redis(options.servers?.target),
  ]);
  if (options.prepare) await options.prepare({ source, target });
  else await fillRedis({ host: source.host, port: source.port, keys: options.keys ?? 2_000, seed: 1 });
  const at = ({ host, port }: RedisServer) => ({ host, port });
  const running = new Set<Instance>();
  const logs: string[] = [];
  const migration = {
    ...(options.example ? (parse(readFileSync(EXAMPLE, 'utf8')) as object) : QUICK),
    id,
    crashDetection: '2s',
    source: at(source),
    target: at(target),
    ...options.more,
  };
  const scene: DualScene = {
    id,
    source,
    target,
    migration,
    start: async () => {
      await endFirstAttempt(stage.client, id);
      return startMigration(stage.client, { migration: migration as never });
    },
    instance: async (name) => {
      const log = join(stage.dir, `${id}-${name}.log`);
      if (!logs.includes(log)) logs.push(log);
      const settings: DualAppSettings = {
        id,
        instance: name,
        source: { ...at(source), ...options.app?.source },
        target: { ...at(target), ...options.app?.target },
        log,
        clients: 2,
        rate: options.rate ?? 200,
      };
      const process = spawn(globalThis.process.execPath, ['--import', 'tsx', APP, JSON.stringify(settings)], {
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      const exited = once(process, 'exit');
      const one: Instance = {
        name,
        process,
        end: async (signal = 'SIGTERM') => {
          process.kill('SIGCONT');
          process.kill(signal);
          await exited;
          running.delete(one);
        },
      };
      running.add(one);
      const before = acksIn(log);
      await until(`instance ${name} writes`, async () => acksIn(log) > before || process.exitCode !== null);
      if (process.exitCode !== null) throw new Error(`instance ${name} ended with ${process.exitCode}`);
      return one;
    },
    seen: () => logs.flatMap((log) => linesOf(log)),
    control: async () => withRedis(source, (redis) => redis.hgetall(dualKeys(id).phase)),
    recorded: async () => {
      const known = await withRedis(source, (redis) => redis.hvals(dualKeys(id).instances));
      return known.reduce((sum, text) => sum + (JSON.parse(text) as DualInstance).recorded, 0);
    },
    close: async () => {
      await Promise.all([...running].map((one) => one.end('SIGKILL')));
      await Promise.all([source.stop(), ...(options.cluster ? [] : [target.stop()])]);
    },
  };
  stage.endLater(scene, () => Promise.all([...running].map((one) => one.end('SIGKILL'))));
  return scene;
}

const linesOf = (log: string): string[][] =>
  existsSync(log)
    ? readFileSync(log, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split(' '))
    : [];
const acksIn = (log: string) => linesOf(log).filter(([what]) => what === 'ack').length;

export interface Verdict {
  acknowledged: number;
  /** Acknowledged, and not on the server. */
  lost: string[];
  /** Read by the application itself, older than what it had been acknowledged. */
  stale: string[];
  /** On the server more often than it was sent. */
  doubled: string[];
}

/** Holds what the instances were told against what the server has. The instances must have ended. */
export async function verdictOf(scene: DualScene, redis: Redis | Cluster): Promise<Verdict> {
  const seen = scene.seen();
  const verdict: Verdict = { acknowledged: 0, lost: [], stale: [], doubled: [] };
  const sets = new Map<string, { acked: number; tried: number }>();
  const lists = new Map<string, number[]>();
  const counts = { tried: 0, acked: 0 };
  const hashes = new Map<string, number>();
  for (const [what, kind = '', key = '', text = ''] of seen) {
    if (what === 'stale') verdict.stale.push([kind, key, text].join(' '));
    if (what === 'ack') verdict.acknowledged++;
    if (what !== 'ack' && what !== 'try') continue;
    const seq = Number(text);
    if (kind === 'set') {
      const known = sets.get(key) ?? { acked: 0, tried: 0 };
      known[what === 'ack' ? 'acked' : 'tried'] = seq;
      sets.set(key, known);
    }
    if (kind === 'incr') counts[what === 'ack' ? 'acked' : 'tried']++;
    if (kind === 'push' && what === 'ack') lists.set(key, [...(lists.get(key) ?? []), seq]);
    if (kind === 'hash' && what === 'ack') hashes.set(key, seq);
  }
  for (const [key, { acked, tried }] of sets) {
    const value = Number(await redis.get(key));
    if (value < acked || value > tried) verdict.lost.push(`${key}: ${value}, acknowledged ${acked}`);
  }
  const shared = Number(await redis.get('app:shared'));
  if (shared < counts.acked) verdict.lost.push(`app:shared: ${shared}, acknowledged ${counts.acked}`);
  if (shared > counts.tried) verdict.doubled.push(`app:shared: ${shared}, tried ${counts.tried}`);
  for (const [key, acked] of lists) {
    const there = (await redis.lrange(key, 0, -1)).map(Number);
    const unique = new Set(there);
    if (unique.size !== there.length) verdict.doubled.push(`${key}: ${there.length - unique.size} twice`);
    const missing = acked.filter((seq) => !unique.has(seq));
    if (missing.length > 0) verdict.lost.push(`${key}: ${missing.length} of ${acked.length} entries`);
  }
  for (const [key, acked] of hashes) {
    const values = (await redis.hvals(key)).map(Number);
    if (Math.max(0, ...values) < acked) verdict.lost.push(`${key}: acknowledged ${acked}`);
  }
  return verdict;
}

export async function withRedis<T>(server: RedisServer, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = server.connect({ connectionName: 'cutover:test' });
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

/** An instance that follows every phase but `hold`. */
export function startStubborn(scene: DualScene): { follows: Promise<unknown>; end(): Promise<void> } {
  const { phase, instances } = dualKeys(scene.id);
  const redis = scene.source.connect({ connectionName: 'cutover:test' });
  let last: DualInstance | undefined;
  let over = false;
  const poll = async () => {
    const [control, [seconds, micros]] = await Promise.all([redis.hgetall(phase), redis.time()]);
    if (last === undefined || control['phase'] !== 'hold') {
      last = {
        protocol: 1,
        epoch: Number(control['epoch']),
        phase: 'both',
        reads: 'source',
        at: 0,
        host: 'nowhere',
        pid: 1,
        version: 'test',
        held: 0,
        pending: 0,
        queued: 0,
        recorded: 0,
        failedSecondWrites: 0,
      };
    }
    last.at = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
    await redis.hset(instances, 'stubborn', encodeInstance(last));
  };
  const follows = poll();
  const polling = (async () => {
    await follows;
    while (!over) {
      await poll();
      await delay(50);
    }
    await redis.hdel(instances, 'stubborn');
    redis.disconnect();
  })();
  return {
    follows,
    end: async () => {
      over = true;
      await polling;
    },
  };
}
