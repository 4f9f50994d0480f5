/** Other sessions of a server: seen in pg_stat_activity, ended by pg_terminate_backend until none is left. */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import { permanent, transient } from '../errors.ts';

export interface Session {
  pid: number;
  role: string;
  application: string;
  address: string;
}

const POLL_MS = 20;

/**
 * Ends the sessions of earlier attempts, which bear the same application_name: what they may still have on its way has
 * arrived after this, or never will. The client itself is spared.
 * @throws cutover.Deadline where one does not end
 */
export async function endEarlierSessions(client: pg.ClientBase, name: string, deadlineMs = 10_000): Promise<void> {
  const find = () =>
    readSessions(client, `application_name = $1 AND datname = current_database() AND usename = session_user`, [name]);
  await endUntilNone(client, find, deadlineMs);
}

/** How long a login may take that was under way already, ms; then it is ended. */
const LOGIN_MS = 1_000;

/**
 * A login that was let in just before NOLOGIN is in no list of sessions yet: it shows only by its first lock. Those are
 * waited for until they are to be seen, or ended. A login that begins after NOLOGIN is committed is refused by itself.
 */
export async function awaitLoginsUnderWay(client: pg.ClientBase): Promise<void> {
  const underWay = async () => {
    const { rows } = await client.query<{ pid: number }>(
      `SELECT DISTINCT l.pid FROM pg_locks l
        WHERE l.locktype = 'virtualxid' AND l.pid IS NOT NULL AND l.pid <> pg_backend_pid()
          AND NOT EXISTS (SELECT FROM pg_stat_activity a
                           WHERE a.pid = l.pid AND (a.usesysid IS NOT NULL
                             OR row_to_json(a)->>'backend_type' IS DISTINCT FROM 'client backend'))`,
    );
    return rows.map(({ pid }) => pid);
  };
  const first = new Set(await underWay());
  const until = performance.now() + LOGIN_MS;
  for (let left = [...first]; left.length > 0; left = (await underWay()).filter((pid) => first.has(pid))) {
    // Whoever waits here for a password may wait for a minute.
    if (performance.now() > until)
      await client.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid', [left]);
    if (performance.now() > until + 10 * LOGIN_MS) {
      throw transient(ErrorType.deadline, `logins that were under way do not end: pid ${left.join(', ')}`);
    }
    await delay(POLL_MS);
  }
}

/** Client sessions of these roles in this database; workers that serve them end with them. */
export function sessionsOf(client: pg.ClientBase, roles: readonly string[]): Promise<Session[]> {
  return readSessions(client, `datname = current_database() AND usename = ANY($1)`, [roles]);
}

/**
 * Client sessions of all other roles in this database. The type of a session that we may not look into is NULL: it is
 * taken for a client's. Replication has its own type, and writes nothing.
 */
export function sessionsOfOthers(client: pg.ClientBase, spared: readonly string[]): Promise<Session[]> {
  return readSessions(
    client,
    `datname = current_database() AND usename IS NOT NULL AND usename <> ALL($1)
     AND coalesce(row_to_json(a)->>'backend_type', 'client backend') = 'client backend'`,
    [spared],
  );
}

async function readSessions(client: pg.ClientBase, condition: string, values: unknown[]): Promise<Session[]> {
  const { rows } = await client.query<Session>(
    `SELECT pid, usename::text AS role, coalesce(application_name, '') AS application,
            coalesce(host(client_addr), 'local') AS address
       FROM pg_stat_activity a WHERE pid <> pg_backend_pid() AND ${condition} ORDER BY pid`,
    values,
  );
  return rows;
}

/**
 * Ends what `find` finds, again and again until it finds nothing.
 * @returns how many were ended
 * @throws cutover.Deadline, naming who is left; cutover.Denied where we may not end them
 */
export async function endUntilNone(
  client: pg.ClientBase,
  find: () => Promise<Session[]>,
  deadlineMs: number,
): Promise<number> {
  const until = performance.now() + deadlineMs;
  const ended = new Set<number>();
  for (;;) {
    const left = await find();
    if (left.length === 0) return ended.size;
    if (performance.now() > until) {
      throw transient(ErrorType.deadline, `sessions that do not end within ${deadlineMs} ms: ${describe(left)}`, {
        remedy: 'see pg_stat_activity on the server for what they wait for; then try again',
      });
    }
    await terminate(client, left);
    for (const { pid } of left) ended.add(pid);
    await delay(POLL_MS);
  }
}

async function terminate(client: pg.ClientBase, sessions: Session[]): Promise<void> {
  try {
    // One that has ended by itself meanwhile gives a warning and no error.
    await client.query(`SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid`, [
      sessions.map(({ pid }) => pid),
    ]);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === '42501')) throw error;
    const roles = [...new Set(sessions.map(({ role }) => role))];
    throw permanent(ErrorType.denied, `we may not end the sessions of ${roles.join(', ')}: ${error.message}`, {
      remedy: `GRANT pg_signal_backend TO <the worker's role>; a superuser's sessions only a superuser may end`,
      cause: error,
    });
  }
}

/** `redash (pid 12, gunicorn, 10.0.0.7)`, the first five. */
export function describe(sessions: Session[]): string {
  const named = sessions
    .slice(0, 5)
    .map(({ pid, role, application, address }) => `${role} (pid ${pid}, ${application || 'no name'}, ${address})`);
  return `${named.join(', ')}${sessions.length > 5 ? ` and ${sessions.length - 5} more` : ''}`;
}
