/** The application as a process: killed like any other, and with a clock and an event loop of its own. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { nodeProgram } from '../../node-program.ts';
import { freePort } from '../../runtime/ports.ts';
import { startProcess, type ProcessExit } from '../../runtime/process.ts';
import { serverEnvironment } from '../../runtime/server-environment.ts';
import type { PgAddress, PgEndpoint } from './endpoint.ts';
import type { RedashStats } from './meter.ts';
import { readRedashRecord, type RedashRecord } from './record.ts';

export interface RedashProcessOptions {
  /** For its record and its log. */
  dir: string;
  endpoint: PgEndpoint;
  clients?: number;
  stragglers?: number;
  rate?: number;
  run?: string;
  /** Of its own HTTP address. Default: a free one. */
  port?: number;
}

export interface RedashProcess {
  /** For the hooks and checks of a migration: `<url>/stop`, `/start`, `/switch`, `/health` (control.ts). */
  readonly url: string;
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  stats(): Promise<RedashStats>;
  switchTo(address: PgAddress): Promise<void>;
  /** Lets the transactions under way end; gives the whole record. */
  end(): Promise<RedashRecord>;
  /** SIGKILL. The record is whole; what was under way stands in it as unknown. */
  kill(): Promise<RedashRecord>;
}

/** @throws ProcessStartError with its last log lines where it does not come up */
export async function startRedashProcess(options: RedashProcessOptions): Promise<RedashProcess> {
  const { dir, endpoint } = options;
  mkdirSync(dir, { recursive: true });
  const port = options.port ?? (await freePort());
  const url = `http://127.0.0.1:${port}`;
  const record = join(dir, 'writes.jsonl');
  const program = nodeProgram('sandbox/app/redash/main');
  const flags = {
    host: endpoint.host,
    port: endpoint.port,
    database: endpoint.database,
    user: endpoint.user,
    'http-port': port,
    record,
    run: options.run,
    clients: options.clients,
    stragglers: options.stragglers,
    rate: options.rate,
  };
  const running = await startProcess({
    name: 'redash',
    command: program.command,
    args: [
      ...program.args,
      ...Object.entries(flags).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)])),
    ],
    env: serverEnvironment({ APP_REDASH_PASSWORD: endpoint.password }),
    logFile: join(dir, 'redash.log'),
    secrets: [endpoint.password],
    ready: async () => (await fetch(`${url}/stats`, { signal: AbortSignal.timeout(5_000) })).ok,
  });
  const ask = async (method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
    const answer = (await response.json()) as { error?: string };
    if (!response.ok) throw new Error(answer.error ?? `the application answered ${response.status} to ${path}`);
    return answer;
  };
  return {
    url,
    pid: running.pid,
    exited: running.exited,
    stats: async () => (await ask('GET', '/stats')) as RedashStats,
    switchTo: async ({ host, port, database }) => void (await ask('POST', '/switch', { host, port, database })),
    end: async () => {
      if (running.exit === undefined) await ask('POST', '/end');
      await running.stop();
      return readRedashRecord(record);
    },
    kill: async () => {
      await running.kill();
      return readRedashRecord(record);
    },
  };
}
