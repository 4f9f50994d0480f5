import { Client } from 'pg';

/** A database and how to log in there. */
export interface PgEndpoint {
  host: string;
  port: number;
  database: string;
  user: string;
  /** In memory and in an environment only; it is in no file, no answer and no log. */
  password: string;
}

/** Where it is, without who asks. */
export interface PgAddress {
  host: string;
  port: number;
  database: string;
}

/**
 * Values as text must read the same on both servers, whatever their own settings are. search_path is left as it is: the
 * application's own statements rely on it as Redash's do.
 */
const PINNED =
  '-c datestyle=ISO -c timezone=UTC -c intervalstyle=postgres -c extra_float_digits=3 -c bytea_output=hex -c client_encoding=UTF8';

/** @param answerMs how long a statement may go unanswered; for ever, if not given. @throws Error of pg: 28000 where the role may not log in, ECONNREFUSED where nobody listens, and so on */
export async function connectTo(endpoint: PgEndpoint, name: string, answerMs?: number): Promise<Client> {
  const { host, port, database, user, password } = endpoint;
  const client = new Client({
    host,
    port,
    database,
    user,
    password,
    application_name: name,
    connectionTimeoutMillis: 5_000,
    options: PINNED,
    ...(answerMs === undefined ? {} : { query_timeout: answerMs }),
  });
  client.on('error', () => {}); // A query rejects by itself; the end of an idle session must not end the process.
  try {
    await client.connect();
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
  return client;
}

/** A connection for as long as `use` runs. @throws as connectTo, and what `use` throws */
export async function withClient<T>(
  endpoint: PgEndpoint,
  name: string,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await connectTo(endpoint, name);
  try {
    return await use(client);
  } finally {
    await client.end().catch(() => {});
  }
}
