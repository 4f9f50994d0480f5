/** A `replicaof` migration (or `scan`) on a stage: source and target behind tripwires, an application that is sent over by a webhook. */
import type { MigrationHandle } from '../../client/index.ts';
import { startMigration } from '../../client/index.ts';
import { controlApp } from '../../sandbox/app/control.ts';
import { fillRedis } from '../../sandbox/app/fill.ts';
import { startApp, type App } from '../../sandbox/app/writer.ts';
import type { RedisServer, StartRedisOptions } from '../../sandbox/runtime/redis.ts';
import { atGate, until, untilStatus, type Stage } from './stage.ts';
import { endFirstAttempt } from './second-attempt.ts';
import { startTripwire, type Tripwire } from './tripwire.ts';

export interface Scene {
  id: string;
  source: RedisServer;
  target: RedisServer;
  /** What the worker connects to. */
  sourceWire: Tripwire;
  targetWire: Tripwire;
  app: App;
  handle: MigrationHandle;
  /** The file of the migration, to start it again. */
  migration: Record<string, unknown>;
  /** Ends what the scene has opened, before its stage does. */
  close(): Promise<void>;
}

export interface SceneOptions {
  id: string;
  /** Default `replicaof`. */
  engine?: 'replicaof' | 'scan';
  keys?: number;
  rate?: number;
  /** Of the application; default 4. */
  clients?: number;
  /** Laid over the migration. */
  more?: Record<string, unknown>;
  gate?: 'manual' | 'auto';
  /** Laid over the migration's source. */
  source?: Record<string, unknown>;
  /** Run before the webhook that sends the application over. */
  hooks?: unknown[];
  /** How the servers are started. */
  servers?: { source?: Partial<StartRedisOptions>; target?: Partial<StartRedisOptions> };
  /** Runs with both servers up and the source filled, before the migration is started. */
  prepare?: (servers: { source: RedisServer; target: RedisServer }) => Promise<void>;
}

/** Everything up and the migration started; nothing is waited for. */
export async function openScene(stage: Stage, options: SceneOptions): Promise<Scene> {
  const { servers = {} } = options;
  const [source, target] = await Promise.all([stage.redis(servers.source), stage.redis(servers.target)]);
  await fillRedis({ host: source.host, port: source.port, keys: options.keys ?? 3_000, seed: 1 });
  await options.prepare?.({ source, target });
  const [sourceWire, targetWire] = await Promise.all([startTripwire(source.port), startTripwire(target.port)]);
  stage.endLater(sourceWire, () => sourceWire.close());
  stage.endLater(targetWire, () => targetWire.close());
  const app = startApp({
    endpoint: { host: source.host, port: source.port },
    rate: options.rate ?? 500,
    clients: options.clients ?? 4,
  });
  stage.endLater(app, () => app.stop());
  const control = await controlApp(app);
  stage.endLater(control, () => control.close());
  const migration = {
    kind: 'redis-online',
    id: options.id,
    engine: options.engine ?? 'replicaof',
    crashDetection: '2s',
    source: {
      host: '127.0.0.1',
      port: sourceWire.port,
      ...(options.engine === 'scan' ? {} : { replicationAddress: { host: '127.0.0.1', port: source.port } }),
      ...options.source,
    },
    ...(options.engine === 'scan' ? { notifications: 'switch-on' } : {}),
    target: { host: '127.0.0.1', port: targetWire.port },
    inSync: { interval: '100ms', readings: 2 },
    cutover: { gate: options.gate ?? 'manual', budgets: { fence: '1s', drain: '5s', complete: '5s', canary: '5s' } },
    switch: [
      ...(options.hooks ?? []),
      {
        type: 'webhook',
        url: `${control.url}/switch`,
        body: { host: '127.0.0.1', port: String(target.port) },
        timeout: '20s',
      },
    ],
    ...options.more,
  };
  await endFirstAttempt(stage.client, options.id);
  const handle = await startMigration(stage.client, { migration: migration as never });
  const close = async () => {
    await app.stop();
    await control.close();
    await Promise.all([sourceWire.close(), targetWire.close()]);
    await Promise.all([source.stop(), target.stop()]);
  };
  return { id: options.id, source, target, sourceWire, targetWire, app, handle, migration, close };
}

export async function approveAtGate(scene: Scene): Promise<void> {
  await untilStatus(scene.handle, 'the gate is ready', atGate);
  await scene.handle.approve({ by: 'test' });
}

/** Attaches another replica to the source while the migration follows, and waits until it has its own full copy. */
export async function anotherReplica(stage: Stage, { handle, source }: Scene): Promise<void> {
  const other = await stage.redis();
  const redis = other.connect();
  try {
    await untilStatus(handle, 'following', (s) => s.step === 'follow');
    await redis.replicaof('127.0.0.1', source.port);
    await until('the other replica follows', async () => /master_link_status:up/.test(await redis.info('replication')));
  } finally {
    redis.disconnect();
  }
}

export { expectBackOnSource, expectSwitched, roleOf, takesWrites } from './expectations.ts';
