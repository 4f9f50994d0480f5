/** Real Postgres servers for tests, sandbox and demo: initdb, start, stop, kill, restart, clients. */
import { chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, type ClientConfig, type QueryResultRow } from 'pg';
import { LOOPBACK, assertPortFree, freePort } from './ports.ts';
import { postgresPrograms } from './postgres-programs.ts';
import { startProcess } from './process.ts';
import type { ProcessExit, RunningProcess } from './process.ts';
import { serverEnvironment } from './server-environment.ts';
import { runToEnd } from './tool-command.ts';

export interface StartPostgresOptions {
  /** Its own folder: data/, pg_hba.conf, postgres.log. Data that is there is started, not initialised again. */
  dir: string;
  port?: number;
  /** The superuser's password (user `postgres`). Default: `postgres`. */
  password?: string;
  /** postgresql.conf over the defaults (wal_level=logical, fsync off). */
  config?: Readonly<Record<string, string>>;
  /** Lines of pg_hba.conf in place of the default (scram over TCP for all, also for replication). */
  hba?: readonly string[];
}

export interface PostgresServer {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly dir: string;
  readonly logFile: string;
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  /** INT, a fast shutdown: open sessions are ended. */
  stop(): Promise<void>;
  /** SIGKILL: it recovers from its log at the next start. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  /** SIGSTOP and SIGCONT: a server that hangs (the postmaster alone: open sessions go on). */
  signal(signal: NodeJS.Signals): void;
  /** A connected client; ended by stop(). Options go over { host, port, user, password, database: 'postgres' }. */
  connect(options?: ClientConfig): Promise<Client>;
  /** One statement as the superuser. */
  query<R extends QueryResultRow = Record<string, unknown>>(
    text: string,
    values?: unknown[],
    database?: string,
  ): Promise<R[]>;
}

/**
 * Postgres refuses to run as root. It is run as nobody then, which keeps root's right to pass through folders: the
 * sandbox's may lie below /root.
 */
const UNPRIVILEGED = 65_534;

function asUnprivileged(program: string, args: readonly string[]): { command: string; args: string[] } {
  if (process.getuid?.() !== 0) return { command: program, args: [...args] };
  const id = String(UNPRIVILEGED);
  const rights = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
  return {
    command: 'setpriv',
    args: [`--reuid=${id}`, `--regid=${id}`, '--clear-groups', ...rights, program, ...args],
  };
}

/**
 * Starts a real Postgres on 127.0.0.1 that ends with this process.
 * @throws ToolError when the programs can't be had, ProcessStartError (with its last log lines) when it does not come up.
 */
export async function startPostgres(options: StartPostgresOptions): Promise<PostgresServer> {
  const { dir } = options;
  const password = options.password ?? 'postgres';
  const { initdb, postgres } = await postgresPrograms();
  const port = options.port ?? (await freePort());
  const data = join(dir, 'data');
  const logFile = join(dir, 'postgres.log');
  mkdirSync(dir, { recursive: true });
  if (!existsSync(join(data, 'PG_VERSION'))) await initialise(initdb, dir, data, password);
  writeFileSync(join(dir, 'pg_hba.conf'), `${(options.hba ?? DEFAULT_HBA).join('\n')}\n`);

  const settings: Record<string, string> = {
    listen_addresses: LOOPBACK,
    port: String(port),
    unix_socket_directories: '',
    hba_file: join(dir, 'pg_hba.conf'),
    wal_level: 'logical',
    max_replication_slots: '20',
    max_wal_senders: '20',
    // The machine's crash is not what tests are about; a process's own crash loses nothing by it.
    fsync: 'off',
    ...options.config,
  };
  const launch = async (): Promise<RunningProcess> => {
    await assertPortFree(port, `postgres:${port}`);
    return startProcess({
      name: `postgres:${port}`,
      ...asUnprivileged(postgres, [
        '-D',
        data,
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ]),
      env: serverEnvironment(),
      cwd: dir,
      logFile,
      ready: async () => {
        await once(`SELECT 1`);
        return true;
      },
      stopTimeoutMs: 30_000,
      secrets: [password],
    });
  };
  const defaults = { host: LOOPBACK, port, user: 'postgres', password, database: 'postgres' };
  const once = async <R extends QueryResultRow>(text: string, values: unknown[] = [], database = 'postgres') => {
    const client = new Client({ ...defaults, database, connectionTimeoutMillis: 5_000 });
    client.on('error', () => {}); // The query itself rejects.
    try {
      await client.connect();
      return (await client.query<R>(text, values)).rows;
    } finally {
      await client.end().catch(() => {});
    }
  };
  let running = await launch();
  const clients = new Set<Client>();
  const endClients = async () => {
    await Promise.all([...clients].map((client) => client.end().catch(() => {})));
    clients.clear();
  };
  /** A fast shutdown is INT; TERM would wait for every session to end by itself. */
  const stop = async () => {
    running.signal('SIGINT');
    await running.stop();
  };
  return {
    host: LOOPBACK,
    port,
    user: 'postgres',
    password,
    dir,
    logFile,
    get pid() {
      return running.pid;
    },
    get exited() {
      return running.exited;
    },
    signal: (signal) => running.signal(signal),
    kill: () => running.kill(),
    stop: async () => {
      await endClients();
      await stop();
    },
    restart: async () => {
      await stop();
      running = await launch();
    },
    connect: async (more = {}) => {
      const client = new Client({ ...defaults, ...more });
      client.on('error', () => {}); // A query rejects by itself; an idle session's end must not end the process.
      await client.connect();
      clients.add(client);
      client.once('end', () => clients.delete(client));
      return client;
    },
    query: once,
  };
}

const DEFAULT_HBA = ['host all all 127.0.0.1/32 scram-sha-256', 'host replication all 127.0.0.1/32 scram-sha-256'];

async function initialise(initdb: string, dir: string, data: string, password: string): Promise<void> {
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const passwordFile = join(dir, '.initial-password');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  if (process.getuid?.() === 0) {
    chownSync(data, UNPRIVILEGED, UNPRIVILEGED);
    chownSync(passwordFile, UNPRIVILEGED, UNPRIVILEGED);
  }
  await runToEnd({
    ...asUnprivileged(initdb, [
      '-D',
      data,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C.UTF-8',
      '--no-sync',
    ]),
    env: serverEnvironment(),
    limitMs: 120_000,
  });
}
