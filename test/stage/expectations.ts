/** What has to hold at the end of a migration under writes, whatever was done to it meanwhile. */
import { expect } from 'vitest';
import type { MigrationHandle, MigrationStatus } from '../../client/index.ts';
import { verifyAcknowledged } from '../../sandbox/app/verify.ts';
import type { App } from '../../sandbox/app/writer.ts';
import { Redis } from 'ioredis';

export interface Server {
  host: string;
  port: number;
}

/** The parts of a scene that expectations need. */
export interface Played {
  source: Server;
  target: Server;
  app: App;
  handle: MigrationHandle;
}

async function asking<T>(server: Server, ask: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({ host: server.host, port: server.port, maxRetriesPerRequest: 3 });
  redis.on('error', () => {}); // The command itself rejects.
  try {
    return await ask(redis);
  } finally {
    redis.disconnect();
  }
}

export async function roleOf(server: Server): Promise<string> {
  return asking(server, async (redis) => String((await redis.role())[0]));
}

/** Whether the server takes a write from an application. */
export async function takesWrites(server: Server): Promise<boolean> {
  return asking(server, async (redis) => {
    try {
      await redis.set('test:takes-writes', '1');
      return true;
    } catch (error) {
      if (/NOREPLICAS|READONLY/.test((error as Error).message)) return false;
      throw error;
    }
  });
}

/** The migration is done: nothing acknowledged is lost, the source is fenced, the application writes to the target. */
export async function expectSwitched(scene: Played, status: MigrationStatus): Promise<void> {
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
export async function expectBackOnSource(scene: Played): Promise<void> {
  expect(await takesWrites(scene.source)).toBe(true);
  expect(await roleOf(scene.source)).toBe('master');
  await expectNothingLost(scene, scene.source);
}

async function expectNothingLost(scene: Played, server: Server): Promise<void> {
  const acks = await scene.app.stop();
  const found = await verifyAcknowledged({ host: server.host, port: server.port }, acks);
  expect(found, JSON.stringify(found.examples)).toMatchObject({ lost: 0, unexplained: 0 });
  expect(found.acknowledged).toBeGreaterThan(0);
}
