/** Redash in the sandbox: its database, filled once, and the application that goes on writing to it. */
import { createReadStream, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { withClient, type PgEndpoint } from './app/redash/endpoint.ts';
import { fillRedash } from './app/redash/fill.ts';
import { startRedashProcess, type RedashProcess } from './app/redash/process.ts';
import { APPLICATION_ROLE, createRedashRoles, REDASH_DATABASE, SANDBOX_PASSWORDS } from './app/redash/roles.ts';
import { createRedashSchema } from './app/redash/schema.ts';
import type { PostgresPair } from './postgres-pair.ts';
import { assertPortFree } from './runtime/ports.ts';
import type { PostgresServer } from './runtime/postgres.ts';

/** What a worker finds the secrets of examples/postgres-*.yaml by. They guard nothing: the sandbox is on 127.0.0.1. */
export const REDASH_SECRETS: Readonly<Record<string, string>> = {
  REDASH_SOURCE_PASSWORD: SANDBOX_PASSWORDS.worker,
  REDASH_TARGET_PASSWORD: SANDBOX_PASSWORDS.worker,
  REDASH_DMS_PASSWORD: SANDBOX_PASSWORDS.dms,
};

export const REDASH_ROWS = 20_000;
/** Few: it runs for as long as the sandbox does, and keeps a record of every write. */
const WRITES_PER_SECOND = 10;
const CLIENTS = 4;
/** Forgotten when the services are stopped, so that the fence has something to do. */
const STRAGGLERS = 1;
const AGAIN_MS = 500;

export interface RedashService {
  /** Undefined as long as no database lets it in, as in the middle of a cutover; it starts by itself when one does. */
  readonly running: RedashProcess | undefined;
  /** May be called again. */
  stop(): Promise<void>;
}

/**
 * Makes roles, tables and rows, the first time. Half a database, of a start that was killed, is made anew.
 * What is there stays as it is: to make the roles once more would let the application in again, and lift a migration's fence.
 * @throws Error of pg
 */
export async function fillOnce({ source, target }: PostgresPair, say: (line: string) => void): Promise<void> {
  const mark = join(source.dir, 'filled');
  if (existsSync(mark)) return;
  say(`filling Redash's database with ${REDASH_ROWS.toLocaleString('en-US')} rows, once`);
  for (const server of [source, target]) {
    await server.query(`DROP DATABASE IF EXISTS ${REDASH_DATABASE} WITH (FORCE)`);
    const admin = await server.connect();
    await createRedashRoles(admin);
    await admin.end();
  }
  const admin = { ...addressOf(source), user: source.user, password: source.password };
  await withClient(admin, 'sandbox', (client) => createRedashSchema(client));
  await fillRedash(admin, { rows: REDASH_ROWS });
  writeFileSync(mark, '');
}

/**
 * Starts the application where it wrote last, or on the other server where that one refuses its role, as a fenced source does.
 * @param port of its own HTTP address, which the hooks and checks of examples/postgres-*.yaml name
 * @throws Error where the port is taken; ProcessStartError with its last log lines
 */
export async function startRedashService(
  { source, target }: PostgresPair,
  { dir, port }: { dir: string; port: number },
): Promise<RedashService> {
  // Otherwise a stranger's answer could be taken for its own.
  await assertPortFree(port, 'the application');
  mkdirSync(dir, { recursive: true });
  const ending = new AbortController();
  let running: RedashProcess | undefined;
  const attempt = async (): Promise<boolean> => {
    const last = await lastPort(join(dir, 'writes.jsonl'));
    const servers = last === target.port ? [target, source] : [source, target];
    for (const server of servers) {
      const endpoint = asApplication(server);
      if (ending.signal.aborted || !(await letsIn(endpoint))) continue;
      const options = { dir, endpoint, port, rate: WRITES_PER_SECOND, clients: CLIENTS, stragglers: STRAGGLERS };
      running = await startRedashProcess(options);
      return true;
    }
    return false;
  };
  const keepTrying = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      await delay(AGAIN_MS, undefined, { signal: ending.signal }).catch(() => {});
      // A start that fails is tried again as well: `sandbox status` says that it does not answer, its log says why.
      if (await attempt().catch(() => false)) return;
    }
  };
  const trying = (await attempt()) ? Promise.resolve() : keepTrying();
  return {
    get running() {
      return running;
    },
    stop: async () => {
      ending.abort();
      await trying;
      const app = running;
      running = undefined;
      await app?.end().catch(() => app.kill());
    },
  };
}

function addressOf({ host, port }: PostgresServer): Pick<PgEndpoint, 'host' | 'port' | 'database'> {
  return { host, port, database: REDASH_DATABASE };
}

function asApplication(server: PostgresServer): PgEndpoint {
  return { ...addressOf(server), user: APPLICATION_ROLE, password: SANDBOX_PASSWORDS.application };
}

/** Not where the role is fenced, and not where there are no rows yet. */
function letsIn(endpoint: PgEndpoint): Promise<boolean> {
  return withClient(endpoint, 'sandbox', (client) => client.query('SELECT 1 FROM organizations')).then(
    ({ rowCount }) => rowCount !== 0,
    () => false,
  );
}

/** Where its record says that it was sent last: ["endpoint", INDEX, HOST, PORT, DATABASE]. */
async function lastPort(record: string): Promise<number | undefined> {
  if (!existsSync(record)) return undefined;
  let port: number | undefined;
  // A line at a time, for it may be long. The last one may be cut.
  for await (const line of createInterface({ input: createReadStream(record) })) {
    const found = /^\["endpoint",\d+,"[^"]*",(\d+),/.exec(line)?.[1];
    if (found !== undefined) port = Number(found);
  }
  return port;
}
