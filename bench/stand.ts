/** What the benches run on: real Temporal, real Redis servers, and the worker as users run it, a process of its own. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { connect, type MigrationHandle, type MigrationStatus } from '../client/index.ts';
import { nodeProgram } from '../sandbox/node-program.ts';
import { startProcess, type RunningProcess } from '../sandbox/runtime/process.ts';
import { startRedis, type RedisServer } from '../sandbox/runtime/redis.ts';
import { serverEnvironment } from '../sandbox/runtime/server-environment.ts';
import { startTemporal, type TemporalServer } from '../sandbox/runtime/temporal.ts';
import { productSearchAttributes } from '../sandbox/search-attributes.ts';

/** A source that answers a replica at once, instead of waiting 5 s for others to come. */
const QUICK_SYNC = { 'repl-diskless-sync': 'yes', 'repl-diskless-sync-delay': '0' };

export class Stand {
  readonly dir: string;
  readonly temporal: TemporalServer;
  readonly client: Client;
  private readonly ends: (() => Promise<unknown>)[] = [];
  private started = 0;

  private constructor(dir: string, temporal: TemporalServer, client: Client) {
    this.dir = dir;
    this.temporal = temporal;
    this.client = client;
  }

  static async open(name: string): Promise<Stand> {
    const dir = mkdtempSync(join(tmpdir(), `cutover-bench-${name}-`));
    const temporal = await startTemporal({
      dir: join(dir, 'temporal'),
      searchAttributes: productSearchAttributes(),
    });
    const client = await connect({ address: temporal.address });
    const stand = new Stand(dir, temporal, client);
    stand.endLater(temporal, () => temporal.stop());
    stand.endLater(client, () => client.connection.close());
    return stand;
  }

  /** A folder that nothing else is in. */
  freshDir(name: string): string {
    return join(this.dir, `${name}-${(this.started += 1)}`);
  }

  async redis(): Promise<RedisServer> {
    const server = await startRedis({ dir: this.freshDir('redis'), config: QUICK_SYNC });
    return this.endLater(server, () => server.stop());
  }

  /** `cutover worker`; returns once every queue is polled. */
  async worker(): Promise<RunningProcess> {
    const program = nodeProgram('client/cli/main');
    const logFile = join(this.freshDir('worker'), 'worker.log');
    const worker = await startProcess({
      name: 'cutover worker',
      command: program.command,
      args: [...program.args, 'worker', '--address', this.temporal.address],
      env: serverEnvironment(),
      cwd: this.dir,
      logFile,
      ready: async () => readFileSync(logFile, 'utf8').includes('worker ready'),
    });
    return this.endLater(worker, () => worker.stop());
  }

  endLater<T>(thing: T, end: () => Promise<unknown>): T {
    this.ends.push(end);
    return thing;
  }

  /** Ends everything, the last one first; with KEEP_BENCH set, the folder with the logs stays. */
  async close(): Promise<void> {
    const failed: unknown[] = [];
    for (const end of this.ends.reverse()) await end().catch((error: unknown) => failed.push(error));
    if (process.env['KEEP_BENCH'] === undefined) rmSync(this.dir, { recursive: true, force: true });
    if (failed.length > 0) throw failed[0];
  }
}

/** Polls until it holds. @throws Error that names what was waited for, and what was there instead */
export async function until<T>(
  what: string,
  withinMs: number,
  read: () => Promise<T | undefined>,
  everyMs = 100,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const value = await read();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(`not within ${withinMs / 1000} s: ${what}`);
    await delay(everyMs);
  }
}

/** A busy machine compares 2,000,000 keys in minutes. */
const GATE_WITHIN_MS = 900_000;

/** @throws Error with the operator's reason where it parks, or with its last status */
export async function untilGateIsReady(handle: MigrationHandle): Promise<MigrationStatus> {
  let last: MigrationStatus | undefined;
  try {
    return await until(
      `the gate of ${handle.id} is ready`,
      GATE_WITHIN_MS,
      async () => {
        last = await handle.status();
        if (last.operator) throw new Error(`${handle.id} needs its operator: ${last.operator.reason}`);
        return last.phase === 'waiting' && last.gate?.ready ? last : undefined;
      },
      250,
    );
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${JSON.stringify({ ...last, report: undefined })}`, { cause: error });
  }
}
