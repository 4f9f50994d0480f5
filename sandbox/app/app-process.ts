/** The application as a process: killed like any other, and with a clock and an event loop of its own. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { nodeProgram } from '../node-program.ts';
import { freePort } from '../runtime/ports.ts';
import { startProcess, type ProcessExit } from '../runtime/process.ts';
import { serverEnvironment } from '../runtime/server-environment.ts';
import { readAckFile } from './ack-file.ts';
import type { Acknowledged, Endpoint } from './acknowledged.ts';
import type { AppStats } from './meter.ts';

export interface AppProcessOptions {
  /** For its record and its log. */
  dir: string;
  endpoint: Endpoint;
  clients?: number;
  rate?: number;
  run?: string;
}

export interface AppProcess {
  /** For the webhook of a migration: `<url>/switch`. */
  readonly url: string;
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  stats(): Promise<AppStats>;
  switchTo(endpoint: Endpoint): Promise<void>;
  /** Lets the writes under way end; gives the whole record. */
  stop(): Promise<Acknowledged>;
  /** SIGKILL. The record then lacks at most its last 50 ms. */
  kill(): Promise<Acknowledged>;
}

/** @throws ProcessStartError with its last log lines where it does not come up */
export async function startAppProcess(options: AppProcessOptions): Promise<AppProcess> {
  const { dir, endpoint } = options;
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const ackFile = join(dir, 'acknowledged.txt');
  const program = nodeProgram('sandbox/app/main');
  const flags = {
    host: endpoint.host,
    port: endpoint.port,
    'http-port': port,
    'ack-file': ackFile,
    run: options.run,
    clients: options.clients,
    rate: options.rate,
  };
  const running = await startProcess({
    name: 'application',
    command: program.command,
    args: [
      ...program.args,
      ...Object.entries(flags).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)])),
    ],
    env: serverEnvironment(endpoint.password === undefined ? {} : { APP_REDIS_PASSWORD: endpoint.password }),
    logFile: join(dir, 'app.log'),
    secrets: endpoint.password === undefined ? [] : [endpoint.password],
    ready: async () => (await fetch(`${url}/stats`, { signal: AbortSignal.timeout(5_000) })).ok,
  });
  const ask = async (path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method: path === '/stats' ? 'GET' : 'POST',
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
    stats: async () => (await ask('/stats')) as AppStats,
    switchTo: async ({ host, port }) => void (await ask('/switch', { host, port })),
    stop: async () => {
      if (running.exit === undefined) await ask('/stop');
      await running.stop();
      return readAckFile(ackFile);
    },
    kill: async () => {
      await running.kill();
      return readAckFile(ackFile);
    },
  };
}
