/** What an end-to-end test of `redis-online` plays on: real Temporal, real Redis, workers as processes, an application. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { connect, type MigrationHandle, type MigrationStatus } from '../../client/index.ts';
import { startRedis, type RedisServer, type StartRedisOptions } from '../../sandbox/runtime/redis.ts';
import { startTemporal, type TemporalServer } from '../../sandbox/runtime/temporal.ts';
import { startWorker, type WorkerProcess } from './worker-process.ts';

export const SEARCH_ATTRIBUTES = {
  CutoverKind: 'Keyword',
  CutoverPhase: 'Keyword',
  CutoverStep: 'Keyword',
  CutoverNeedsOperator: 'Bool',
} as const;

/** A source that answers a replica at once, instead of waiting 5 s for others to come. */
const QUICK_SYNC = { 'repl-diskless-sync-delay': '0', 'repl-ping-replica-period': '1' };

export class Stage {
  readonly dir = mkdtempSync(join(tmpdir(), 'cutover-stage-'));
  temporal!: TemporalServer;
  client!: Client;
  private readonly ends: (() => Promise<unknown>)[] = [];
  private servers = 0;

  static async open(options: { dynamicConfig?: string[] } = {}): Promise<Stage> {
    const stage = new Stage();
    const { dynamicConfig = [] } = options;
    stage.temporal = await startTemporal({
      dir: join(stage.dir, 'temporal'),
      searchAttributes: SEARCH_ATTRIBUTES,
      dynamicConfig,
    });
    stage.ends.push(() => stage.temporal.stop());
    stage.client = await connect({ address: stage.temporal.address });
    stage.ends.push(() => stage.client.connection.close());
    return stage;
  }

  async redis(options: Partial<StartRedisOptions> = {}): Promise<RedisServer> {
    const server = await startRedis({
      dir: join(this.dir, `redis-${(this.servers += 1)}`),
      ...options,
      config: { ...QUICK_SYNC, ...options.config },
    });
    return this.endLater(server, () => server.stop());
  }

  async worker(env: Record<string, string> = {}): Promise<WorkerProcess> {
    const worker = await startWorker({ dir: this.dir, address: this.temporal.address, env });
    return this.endLater(worker, () => worker.stop());
  }

  endLater<T>(thing: T, end: () => Promise<unknown>): T {
    this.ends.push(end);
    return thing;
  }

  /** Ends everything, the last one first. */
  async close(): Promise<void> {
    const failed: unknown[] = [];
    for (const end of this.ends.reverse()) await end().catch((error: unknown) => failed.push(error));
    rmSync(this.dir, { recursive: true, force: true });
    if (failed.length > 0) throw failed[0];
  }
}

/** Polls until it holds; the failure says what was waited for and what was there instead. */
export async function until<T>(
  what: string,
  read: () => Promise<T | undefined | false>,
  withinMs = 60_000,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await read();
      if (value !== undefined && value !== false) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}; last: ${String(last)}`);
    await delay(50);
  }
}

/** Waits until the migration's status is as asked for; the failure shows the last status. */
export async function untilStatus(
  handle: MigrationHandle,
  what: string,
  holds: (status: MigrationStatus) => boolean,
  withinMs = 90_000,
): Promise<MigrationStatus> {
  let last: MigrationStatus | undefined;
  try {
    return await until(
      what,
      async () => {
        last = await handle.status();
        return holds(last) ? last : undefined;
      },
      withinMs,
    );
  } catch (error) {
    const shown = last && { ...last, report: undefined };
    throw new Error(`${(error as Error).message}\n${JSON.stringify(shown, null, 1)}`, { cause: error });
  }
}

export const atGate = (status: MigrationStatus) => status.phase === 'waiting' && status.gate?.ready === true;
export const isDone = (status: MigrationStatus) => status.phase === 'done';
