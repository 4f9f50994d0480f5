/** The application that writes to Redis, as a process (started-app.ts). */
import { join } from 'node:path';
import type { ProcessExit } from '../runtime/process.ts';
import { readAckFile } from './ack-file.ts';
import type { Acknowledged, Endpoint } from './acknowledged.ts';
import type { AppStats } from './meter.ts';
import { startApp } from './started-app.ts';

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
  const { dir, endpoint, run, clients, rate } = options;
  const { host, port, password } = endpoint;
  const ackFile = join(dir, 'acknowledged.txt');
  const { url, running, ask } = await startApp({
    name: 'application',
    log: 'app.log',
    main: 'sandbox/app/main',
    dir,
    flags: { host, port, 'ack-file': ackFile, run, clients, rate },
    secrets: password === undefined ? {} : { APP_REDIS_PASSWORD: password },
  });
  return {
    url,
    pid: running.pid,
    exited: running.exited,
    stats: async () => (await ask('GET', '/stats')) as AppStats,
    switchTo: async (to) => void (await ask('POST', '/switch', { host: to.host, port: to.port })),
    stop: async () => {
      if (running.exit === undefined) await ask('POST', '/stop');
      await running.stop();
      return readAckFile(ackFile);
    },
    kill: async () => {
      await running.kill();
      return readAckFile(ackFile);
    },
  };
}
