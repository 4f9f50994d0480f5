/** A `replicaof` migration on a stage: source and target behind tripwires, an application that is sent over by a webhook. */
import type { MigrationHandle, MigrationStatus } from '../../client/index.ts';
import { startMigration } from '../../client/index.ts';
import { controlApp } from '../../sandbox/app/control.ts';
import { fillRedis } from '../../sandbox/app/fill.ts';
import { verifyAcknowledged } from '../../sandbox/app/verify.ts';
import { startApp, type App } from '../../sandbox/app/writer.ts';
import type { RedisServer } from '../../sandbox/runtime/redis.ts';
import { expect } from 'vitest';
import { atGate, untilStatus, type Stage } from './stage.ts';
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
}

export interface SceneOptions {
  id: string;
  keys?: number;
  rate?: number;
  /** Laid over the migration. */
  more?: Record<string, unknown>;
  gate?: 'manual' | 'auto';
}

/** Everything up and the migration started; nothing is waited for. */
export async function openScene(stage: Stage, options: SceneOptions): Promise<Scene> {
  const [source, target] = await Promise.all([stage.redis(), stage.redis()]);
  await fillRedis({ host: source.host, port: source.port, keys: options.keys ?? 3_000, seed: 1 });
  const [sourceWire, targetWire] = await Promise.all([startTripwire(source.port), startTripwire(target.port)]);
  stage.endLater(sourceWire, () => sourceWire.close());
  stage.endLater(targetWire, () => targetWire.close());
  const app = startApp({ endpoint: { host: source.host, port: source.port }, rate: options.rate ?? 500, clients: 4 });
  stage.endLater(app, () => app.stop());
  const control = await controlApp(app);
  stage.endLater(control, () => control.close());
  const handle = await startMigration(stage.client, {
    migration: {
      kind: 'redis-online',
      id: options.id,
      engine: 'replicaof',
      crashDetection: '2s',
      source: {
        host: '127.0.0.1',
        port: sourceWire.port,
        replicationAddress: { host: '127.0.0.1', port: source.port },
      },
      target: { host: '127.0.0.1', port: targetWire.port },
      inSync: { interval: '100ms', readings: 2 },
      cutover: { gate: options.gate ?? 'manual', budgets: { fence: '1s', drain: '5s', complete: '5s', canary: '5s' } },
      switch: [
        {
          type: 'webhook',
          url: `${control.url}/switch`,
          body: { host: '127.0.0.1', port: String(target.port) },
          timeout: '20s',
        },
      ],
      ...options.more,
    } as never,
  });
  return { id: options.id, source, target, sourceWire, targetWire, app, handle };
}

export async function approveAtGate(scene: Scene): Promise<void> {
  await untilStatus(scene.handle, 'the gate is ready', atGate);
  await scene.handle.approve({ by: 'test' });
}

export async function roleOf(server: RedisServer): Promise<string> {
  const redis = server.connect();
  try {
    return String((await redis.role())[0]);
  } finally {
    redis.disconnect();
  }
}

/** Whether the server takes a write from an application. */
export async function takesWrites(server: RedisServer): Promise<boolean> {
  const redis = server.connect();
  try {
    await redis.set('test:takes-writes', '1');
    return true;
  } catch (error) {
    if (/NOREPLICAS|READONLY/.test((error as Error).message)) return false;
    throw error;
  } finally {
    redis.disconnect();
  }
}

/** The migration is done: nothing acknowledged is lost, the source is fenced, the application writes to the target. */
export async function expectSwitched(scene: Scene, status: MigrationStatus): Promise<void> {
  expect(status.phase).toBe('done');
  expect(status.cutovers.at(-1)?.outcome).toBe('switched');
  expect(await roleOf(scene.target)).toBe('master');
  expect(await takesWrites(scene.source)).toBe(false);
  const stats = scene.app.stats();
  expect(stats.endpoints.at(-1)?.port).toBe(scene.target.port);
  expect(stats.endpoints.at(-1)?.acknowledged).toBeGreaterThan(0);
  await expectNothingLost(scene, scene.target);
}

/** The migration is back at its gate, or aborted: the source takes writes and has every acknowledged one. */
export async function expectBackOnSource(scene: Scene): Promise<void> {
  expect(await takesWrites(scene.source)).toBe(true);
  expect(await roleOf(scene.source)).toBe('master');
  await expectNothingLost(scene, scene.source);
}

async function expectNothingLost(scene: Scene, server: RedisServer): Promise<void> {
  const acks = await scene.app.stop();
  const found = await verifyAcknowledged({ host: server.host, port: server.port }, acks);
  expect(found, JSON.stringify(found.examples)).toMatchObject({ lost: 0, unexplained: 0 });
  expect(found.acknowledged).toBeGreaterThan(0);
}
