/** The roles of the story: the application's, DMS's and the worker's own, on both servers. */
import { type ClientBase, escapeIdentifier, escapeLiteral } from 'pg';

export const APPLICATION_ROLE = 'redash';
export const DMS_ROLE = 'dms';
export const WORKER_ROLE = 'cutover';
export const REDASH_DATABASE = 'redash';

export interface RolePasswords {
  application: string;
  dms: string;
  worker: string;
}

/** For a sandbox that lives as long as a demo on 127.0.0.1. */
export const SANDBOX_PASSWORDS: RolePasswords = {
  application: 'redash-sandbox',
  dms: 'dms-sandbox',
  worker: 'cutover-sandbox',
};

/**
 * Makes the roles and the database that are not there yet; may run twice. DMS asks for a superuser on a self-managed source
 * (facts 4.7), and sets session_replication_role on the target, which only a superuser may (on RDS: rds_superuser).
 * The application's role is an ordinary one: it must not be able to pass the fence.
 * @param admin connected as the superuser, to any database of the server
 */
export async function createRedashRoles(
  admin: ClientBase,
  passwords: RolePasswords = SANDBOX_PASSWORDS,
): Promise<void> {
  const wanted: [role: string, attributes: string, password: string][] = [
    [APPLICATION_ROLE, 'LOGIN NOSUPERUSER NOCREATEROLE', passwords.application],
    [DMS_ROLE, 'LOGIN SUPERUSER REPLICATION', passwords.dms],
    [WORKER_ROLE, 'LOGIN SUPERUSER REPLICATION', passwords.worker],
  ];
  for (const [role, attributes, password] of wanted) {
    const { rowCount } = await admin.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [role]);
    const verb = rowCount === 0 ? 'CREATE' : 'ALTER';
    await admin.query(`${verb} ROLE ${escapeIdentifier(role)} WITH ${attributes} PASSWORD ${escapeLiteral(password)}`);
  }
  const { rowCount } = await admin.query('SELECT 1 FROM pg_database WHERE datname = $1', [REDASH_DATABASE]);
  if (rowCount === 0) await admin.query(`CREATE DATABASE ${escapeIdentifier(REDASH_DATABASE)}`);
}
