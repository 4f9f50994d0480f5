/** Sessions on a task's two servers. */
import { Client } from 'pg';
import type pg from 'pg';
import type { EngineEndpoint } from './contract.ts';

export type Side = 'source' | 'target';

const CONNECT_MS = 15_000;

/**
 * Values travel as text. So that one server's text means the same to the other, whatever their own defaults are, the
 * formats are pinned on every session, also on the one that decodes.
 */
const FORMATS = [
  '-c datestyle=ISO,YMD',
  '-c intervalstyle=postgres',
  '-c timezone=UTC',
  '-c extra_float_digits=3',
  '-c bytea_output=hex',
  '-c client_encoding=UTF8',
  '-c xmloption=content',
  '-c lc_monetary=C',
  '-c statement_timeout=0',
  '-c lock_timeout=0',
  '-c idle_in_transaction_session_timeout=0',
].join(' ');

/** How `pg` is told of an endpoint. An endpoint without TLS is not tried with it. */
export function sessionConfig(endpoint: EngineEndpoint, task: string): pg.ClientConfig {
  const { host, port, database, user, password, sslMode } = endpoint;
  return {
    host,
    port,
    database,
    user,
    password,
    ssl: sslMode === 'none' ? false : { rejectUnauthorized: sslMode !== 'require' },
    connectionTimeoutMillis: CONNECT_MS,
    application_name: `AWS-DMS ${task}`.slice(0, 63),
    options: FORMATS,
    keepAlive: true,
  };
}

/**
 * A session on the source or the target; on the target the endpoint's AfterConnectScript is run first.
 * @throws what the server or the network says
 */
export async function openSession(
  endpoint: EngineEndpoint,
  side: Side,
  task: string,
  more: pg.ClientConfig = {},
): Promise<pg.Client> {
  const client = new Client({ ...sessionConfig(endpoint, task), ...more });
  client.on('error', () => {}); // The query at work rejects with it; an idle session's end must not end the process.
  try {
    await client.connect();
    const script = endpoint.settings['AfterConnectScript'];
    if (side === 'target' && typeof script === 'string' && script.trim() !== '') await client.query(script);
  } catch (error) {
    await closeSession(client);
    throw error;
  }
  return client;
}

/** Ends it, whatever state it is in. A server that hangs is not waited for. */
export async function closeSession(client: pg.Client | undefined): Promise<void> {
  if (client === undefined) return;
  const timer = setTimeout(() => destroy(client), 2_000);
  try {
    await client.end();
  } catch {
    /* It was gone already. */
  } finally {
    clearTimeout(timer);
  }
}

/** Cuts the connection off in the middle of what it does; the query at work rejects. */
export function destroy(client: pg.Client): void {
  // `connection` is not in the types; end() alone would wait for a COPY that is at work.
  const { connection } = client as unknown as { connection?: { stream?: { destroy(): void } } };
  connection?.stream?.destroy();
}

/** Runs `work` with a session that is closed afterwards. */
export async function withSession<T>(
  endpoint: EngineEndpoint,
  side: Side,
  task: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = await openSession(endpoint, side, task);
  try {
    return await work(client);
  } finally {
    await closeSession(client);
  }
}
