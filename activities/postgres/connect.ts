/** Connections to Postgres. One per activity, never reconnecting: an activity is retried as a whole. */
import { setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { checkServerIdentity, type ConnectionOptions } from 'node:tls';
import { asyncLocalStorage, Context } from '@temporalio/activity';
import { CancelledFailure } from '@temporalio/common';
import { Client, DatabaseError } from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import type { PostgresEndpoint } from '../../spec/values.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { permanent, transient } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { resolveSecret } from '../secrets/resolve.ts';
import { rowForConnection, rowForState, type ErrorRow } from './error-table.ts';

export interface PostgresConnectOptions {
  /** application_name, by `sessionName`: an operator sees who is connected, and a later attempt can end an earlier one's. */
  name: string;
  /** Where the password is read from, if AWS keeps it. */
  aws?: AwsTarget;
  /** How long a statement may take, ms. Default: as long as it likes. */
  statementTimeoutMs?: number;
  /** How long a statement waits for a lock, ms. Default 10 s. */
  lockTimeoutMs?: number;
  /** How long connecting may take, ms. Default 10 s. */
  connectTimeoutMs?: number;
  /** In place of the endpoint's own. */
  database?: string;
}

const CONNECT_TIMEOUT_MS = 10_000;
const LOCK_TIMEOUT_MS = 10_000;
/** A server that went away without a word must be noticed: nothing else ends a query without an answer. */
const KEEP_ALIVE_MS = 10_000;

/** `cutover:<migration>:<role>`: at most 63 bytes as Postgres keeps them, with a migration's id of 40 at most. */
export function sessionName(migrationId: string, role: string): string {
  return `cutover:${migrationId}:${role}`;
}

/** For messages: never with a password. */
export function whereIs(endpoint: Pick<PostgresEndpoint, 'host' | 'port' | 'database'>): string {
  return `${endpoint.host}:${endpoint.port}/${endpoint.database}`;
}

/**
 * What text is made of must be the same on both sides, whatever server, database or role have as their defaults.
 * row_security off: a policy that would hide rows from us is an error then, and no silent loss. The path is empty so that
 * nobody's function or operator is run by its bare name; `pg_catalog` is searched all the same.
 */
function pinned(options: PostgresConnectOptions): string {
  return [
    `SET datestyle = 'ISO, YMD'`,
    `SET timezone = 'UTC'`,
    `SET intervalstyle = 'postgres'`,
    `SET extra_float_digits = 3`,
    `SET bytea_output = 'hex'`,
    `SET client_encoding = 'UTF8'`,
    `SET lc_monetary = 'C'`,
    `SET xmloption = 'content'`,
    `SET standard_conforming_strings = on`,
    `SET row_security = off`,
    `SET synchronize_seqscans = off`,
    `SET search_path = ''`,
    `SET lock_timeout = ${options.lockTimeoutMs ?? LOCK_TIMEOUT_MS}`,
    `SET statement_timeout = ${options.statementTimeoutMs ?? 0}`,
    `SET idle_in_transaction_session_timeout = 0`,
  ].join(';');
}

/**
 * A connected client with a pinned session. End it with `end()`.
 * @throws cutover.Unreachable (retried), cutover.Denied (password, pg_hba.conf, certificate), cutover.NotFound (database),
 *   cutover.Secret
 */
export async function connectPostgres(endpoint: PostgresEndpoint, options: PostgresConnectOptions): Promise<Client> {
  const at = { ...endpoint, database: options.database ?? endpoint.database };
  const password = endpoint.password ? await resolveSecret(endpoint.password, options.aws) : undefined;
  const client = new Client({
    host: at.host,
    port: at.port,
    user: at.user,
    database: at.database,
    application_name: options.name,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    ...(password === undefined ? {} : { password }),
    ...(endpoint.tls ? { ssl: await tlsOptions(endpoint) } : {}),
  });
  // A query rejects by itself; an idle session's end must not end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query(pinned(options));
    return client;
  } catch (error) {
    await client.end().catch(() => {});
    throw postgresFailure(error, whereIs(at));
  }
}

/**
 * Runs `use` with a connection and closes it, whatever happens; errors come out as ours. Inside an activity its
 * cancellation closes the connection, so that no long statement is waited for.
 * @throws what `connectPostgres` throws, and what error-table.ts makes of the server's errors
 */
export async function withPostgres<T>(
  endpoint: PostgresEndpoint,
  options: PostgresConnectOptions,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await connectPostgres(endpoint, options);
  const signal = cancellation();
  const close = () => void client.end().catch(() => {});
  signal?.addEventListener('abort', close, { once: true });
  try {
    return await use(client);
  } catch (error) {
    if (signal?.aborted) throw new CancelledFailure('cancelled');
    throw postgresFailure(error, whereIs({ ...endpoint, database: options.database ?? endpoint.database }));
  } finally {
    signal?.removeEventListener('abort', close);
    await client.end().catch(() => {});
  }
}

/** `cutover unfence` uses the same code outside of any activity. */
function cancellation(): AbortSignal | undefined {
  if (!asyncLocalStorage.getStore()) return undefined;
  const { cancellationSignal } = Context.current();
  // One listener per connection: a few tables at once are no leak.
  setMaxListeners(0, cancellationSignal);
  return cancellationSignal;
}

/** For a connection with TLS: the password is not to be given to a server that can't prove who it is. */
export async function tlsOptions(endpoint: Pick<PostgresEndpoint, 'tls'>): Promise<ConnectionOptions> {
  const tls = typeof endpoint.tls === 'object' ? endpoint.tls : {};
  const { serverName } = tls;
  return {
    // pg itself sets the name that is asked for (SNI) to the host; what the certificate must say is set here.
    ...(serverName ? { checkServerIdentity: (_host, cert) => checkServerIdentity(serverName, cert) } : {}),
    ...(tls.ca ? { ca: await readFile(tls.ca, 'utf8') } : {}),
  };
}

/** The SQLSTATE of an error of the server, or undefined. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined;
}

/** Translates an error of pg or of the server into one of ours; ours pass as they are. */
export function postgresFailure(error: unknown, where: string): Error {
  if (!(error instanceof Error) || error.name === 'ApplicationFailure' || error.name === 'CancelledFailure') {
    return error as Error;
  }
  if (error.name === 'AbortError') return error;
  const state = sqlState(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const row = state === undefined ? rowForConnection(`${code} ${error.message}`) : rowForState(state);
  if (row) return fromRow(row, state, error, where);
  // A fault of our own program has no code and is no matter of the network.
  if (error instanceof TypeError || error instanceof RangeError) return error;
  return transient(ErrorType.unreachable, `Postgres at ${where} can't be reached: ${redact(error.message || code)}`, {
    remedy: `is it up, and may the worker connect to ${where}?`,
    cause: error,
  });
}

function fromRow(row: ErrorRow, state: string | undefined, error: Error, where: string): Error {
  const detail = error instanceof DatabaseError && error.detail ? ` (${error.detail})` : '';
  const text = redact(`Postgres at ${where}: ${error.message}${detail}${state ? ` [${state}]` : ''}`);
  const options = { cause: error, ...(row.remedy ? { remedy: row.remedy } : {}) };
  if (!row.retry) return permanent(row.type, text, options);
  return transient(row.type, text, { ...options, ...(row.afterMs === undefined ? {} : { afterMs: row.afterMs }) });
}
