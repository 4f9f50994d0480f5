/** What a server's roles are and may do. */
import { CannotCheck } from '../../preflight/check.ts';
import type { PostgresProbe } from './probe.ts';

export interface Role {
  name: string;
  superuser: boolean;
  login: boolean;
  replication: boolean;
  bypassRls: boolean;
  createRole: boolean;
  /** Of rds_superuser, on RDS. */
  rdsSuperuser: boolean;
  rdsReplication: boolean;
  signalBackend: boolean;
}

const member = (of: string) =>
  `(EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '${of}') AND pg_has_role(r.oid, (SELECT oid FROM pg_roles WHERE rolname = '${of}'), 'MEMBER'))`;

const ROLES = `
SELECT r.rolname AS name, r.rolsuper AS superuser, r.rolcanlogin AS login, r.rolreplication AS replication,
  coalesce((row_to_json(r)->>'rolbypassrls')::bool, false) AS "bypassRls", r.rolcreaterole AS "createRole",
  ${member('rds_superuser')} AS "rdsSuperuser", ${member('rds_replication')} AS "rdsReplication",
  ${member('pg_signal_backend')} AS "signalBackend"
FROM pg_roles r`;

/** @throws CannotCheck */
export async function rolesOf(probe: PostgresProbe): Promise<Map<string, Role>> {
  return new Map((await probe.rows<Role>(ROLES)).map((role) => [role.name, role]));
}

/** @throws CannotCheck where there is none of the name, which the role's own check tells. */
export async function roleOf(probe: PostgresProbe, name: string): Promise<Role> {
  const role = (await rolesOf(probe)).get(name);
  if (!role) throw new CannotCheck(`there is no role ${name} on the ${probe.side}`);
  return role;
}

/** Whether row-level security does not concern it, of tables that it doesn't own. */
export const seesAllRows = (role: Role) => role.superuser || role.bypassRls;
