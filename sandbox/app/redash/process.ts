/** Redash as a process (started-app.ts). */
import { join } from 'node:path';
import type { ProcessExit } from '../../runtime/process.ts';
import { startApp } from '../started-app.ts';
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
  const { dir, endpoint, run, clients, stragglers, rate } = options;
  const { host, port, database, user, password } = endpoint;
  const record = join(dir, 'writes.jsonl');
  const { url, running, ask } = await startApp({
    name: 'redash',
    log: 'redash.log',
    main: 'sandbox/app/redash/main',
    dir,
    flags: { host, port, database, user, record, run, clients, stragglers, rate },
    secrets: { APP_REDASH_PASSWORD: password },
    port: options.port,
  });
  return {
    url,
    pid: running.pid,
    exited: running.exited,
    stats: async () => (await ask('GET', '/stats')) as RedashStats,
    switchTo: async (to) =>
      void (await ask('POST', '/switch', { host: to.host, port: to.port, database: to.database })),
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
