/**
 * One read-only connection per server for all checks of a preflight. What two checks ask is asked once: seventy checks
 * must not be a load on a production server.
 */
import type pg from 'pg';
import type { PostgresEndpoint } from '../../../spec/values.ts';
import { CannotCheck } from '../../preflight/check.ts';
import { connectPostgres } from '../connect.ts';

export type Side = 'source' | 'target';

export interface PostgresProbe {
  readonly side: Side;
  readonly endpoint: PostgresEndpoint;
  /** `host:port/database`. */
  readonly where: string;
  /** @throws as connectPostgres does. The check of reachability alone asks this; the others use what follows. */
  connection(): Promise<pg.Client>;
  /** The query's rows, asked once. @throws CannotCheck where it fails, or the server can't be reached. */
  rows<R extends object>(sql: string, values?: unknown[]): Promise<R[]>;
  /** Asked again each time: rates are made of it. @throws CannotCheck */
  fresh<R extends object>(sql: string, values?: unknown[]): Promise<R[]>;
  /** From pg_settings; undefined where this version has no such setting. @throws CannotCheck */
  setting(name: string): Promise<string | undefined>;
  /** As `server_version_num`: 150018. @throws CannotCheck */
  version(): Promise<number>;
  /** Amazon's: ALTER SYSTEM and superusers are not to be had there. @throws CannotCheck */
  isRds(): Promise<boolean>;
  close(): Promise<void>;
}

/** One statement, in ms. Below a check's deadline, so that the server stops working on what nobody waits for. */
const STATEMENT_TIMEOUT_MS = 15_000;

/** Connects at the first question. @param name is shown as its application_name. */
export function postgresProbe(side: Side, endpoint: PostgresEndpoint, name: string): PostgresProbe {
  const where = `${endpoint.host}:${endpoint.port}/${endpoint.database}`;
  let connected: Promise<pg.Client> | undefined;
  const connection = () => (connected ??= connectReadOnly(endpoint, name));
  // pg takes one query at a time; what is asked meanwhile waits here.
  let last: Promise<unknown> = Promise.resolve();

  const fresh = async <R extends object>(sql: string, values: unknown[] = []): Promise<R[]> => {
    const client = await connection().catch(() => {
      throw new CannotCheck(`the ${side} ${where} can't be asked (see ${side === 'source' ? 'P.source' : 'P.target'})`);
    });
    const answer = last.then(() => client.query<R>(sql, values));
    last = answer.catch(() => {});
    try {
      return (await answer).rows;
    } catch (error) {
      throw new CannotCheck(`${side} ${where}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const answers = new Map<string, Promise<object[]>>();
  const rows = <R extends object>(sql: string, values: unknown[] = []) => {
    const key = JSON.stringify([sql, values]);
    const answer = answers.get(key) ?? fresh<R>(sql, values);
    answers.set(key, answer);
    return answer as Promise<R[]>;
  };
  const setting = async (wanted: string) => {
    const all = await rows<{ name: string; setting: string }>('SELECT name, setting FROM pg_settings');
    return all.find((row) => row.name === wanted)?.setting;
  };

  return {
    side,
    endpoint,
    where,
    connection,
    rows,
    fresh,
    setting,
    version: async () => Number(await setting('server_version_num')),
    isRds: async () => (await rows<object>(`SELECT 1 FROM pg_roles WHERE rolname = 'rds_superuser'`)).length > 0,
    close: async () => {
      const client = await connected?.catch(() => undefined);
      await client?.end().catch(() => {});
    },
  };
}

async function connectReadOnly(endpoint: PostgresEndpoint, name: string): Promise<pg.Client> {
  const client = await connectPostgres(endpoint, { name, statementTimeoutMs: STATEMENT_TIMEOUT_MS });
  // A preflight changes nothing: here the server sees to it.
  await client.query('SET default_transaction_read_only = on');
  return client;
}
