/** A migration by dual write on a stage: two servers, instances of an application as processes, and what they saw. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Cluster, type Redis } from 'ioredis';
import { parse } from 'yaml';
import { startMigration, type MigrationHandle } from '../../client/index.ts';
import { fillRedis } from '../../sandbox/app/fill.ts';
import type { RedisServer, StartRedisOptions } from '../../sandbox/runtime/redis.ts';
import { dualKeys, encodeInstance, type DualInstance } from '../../spec/dual-write.ts';
import type { DualAppServer, DualAppSettings } from './dual-write-app.ts';
import { dualInstance } from './dual-instance.ts';
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
  /** @param more of its settings over those of the scene; `both` goes to either server */
  instance(name: string, more?: Partial<DualAppSettings> & { both?: Partial<DualAppServer> }): Promise<Instance>;
  /** Of all instances, those that were killed as well; or of one. */
  seen(name?: string): string[][];
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
    /** A node of a cluster, in place of a target of its own. */
    cluster?: RedisServer;
    /** The same for the source; `prepare` has to fill it. */
    sourceCluster?: RedisServer;
    /** Given to the application beside the addresses. */
    app?: { source?: Partial<DualAppServer>; target?: Partial<DualAppServer> };
    /** Runs with both servers up; fills the source. */
    prepare?: (servers: { source: RedisServer; target: RedisServer }) => Promise<void>;
  },
): Promise<DualScene> {
  const { id } = options;
  const [source, target] = await Promise.all([
    options.sourceCluster ?? stage.redis(options.servers?.source),
    options.cluster ?? stage.redis(options.servers?.target),
  ]);
  if (options.prepare) await options.prepare({ source, target });
  else await fillRedis({ host: source.host, port: source.port, keys: options.keys ?? 2_000, seed: 1 });
  const at = ({ host, port }: RedisServer) => ({ host, port });
  const running = new Set<Instance>();
  const logs: string[] = [];
  const logOf = (name: string) => join(stage.dir, `${id}-${name}.log`);
  const withSource = <T>(use: (redis: Redis | Cluster) => Promise<T>): Promise<T> =>
    options.sourceCluster ? withCluster(source, use) : withRedis(source, use);
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
    instance: async (name, { both, ...more } = {}) => {
      const log = logOf(name);
      if (!logs.includes(log)) logs.push(log);
      const settings: DualAppSettings = {
        id,
        instance: name,
        source: { ...at(source), ...options.app?.source, ...both },
        target: { ...at(target), ...options.app?.target, ...both },
        log,
        clients: 2,
        rate: options.rate ?? 200,
        ...more,
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
    seen: (name) => (name === undefined ? logs : [logOf(name)]).flatMap((log) => linesOf(log)),
    control: async () => withSource((redis) => redis.hgetall(dualKeys(id).phase)),
    recorded: async () => {
      const known = await withSource((redis) => redis.hvals(dualKeys(id).instances));
      return known.reduce((sum, text) => sum + (JSON.parse(text) as DualInstance).recorded, 0);
    },
    close: async () => {
      await Promise.all([...running].map((one) => one.end('SIGKILL')));
      await Promise.all([
        ...(options.sourceCluster ? [] : [source.stop()]),
        ...(options.cluster ? [] : [target.stop()]),
      ]);
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

export async function withRedis<T>(server: RedisServer, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = server.connect({ connectionName: 'cutover:test' });
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

/** @param node any of the cluster's */
export async function withCluster<T>(node: RedisServer, use: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = new Cluster([{ host: node.host, port: node.port }], {
    redisOptions: {
      connectionName: 'cutover:test',
      ...(node.password === undefined ? {} : { password: node.password }),
    },
  });
  cluster.on('error', () => {});
  try {
    return await use(cluster);
  } finally {
    cluster.disconnect();
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
      last = dualInstance({ epoch: Number(control['epoch']), at: 0, host: 'nowhere', pid: 1, version: 'test' });
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
