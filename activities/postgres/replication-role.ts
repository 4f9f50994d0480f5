/**
 * `session_replication_role = replica` is what the load needs, and what silently switches off every trigger and foreign key
 * of the application afterwards: on RDS it is set in the parameter group, as the article does it, and easily forgotten.
 */
import type pg from 'pg';
import { quoted } from './names.ts';

export interface ReplicationRoleFault {
  where: string;
  value: string;
  mend: string;
}

/**
 * Where a new session of one of these roles would not be `origin`. The client must be a fresh one that has not set it.
 * A setting of a role in a database goes before the role's, that before the database's, and that before the server's.
 */
export async function replicationRoleFaults(
  client: pg.ClientBase,
  roles: readonly string[],
): Promise<ReplicationRoleFault[]> {
  const { rows } = await client.query<{ role: string | null; here: boolean; value: string; database: string }>(
    `SELECT r.rolname::text AS role, s.setdatabase <> 0 AS here, current_database()::text AS database,
            lower(split_part(c, '=', 2)) AS value
       FROM pg_db_role_setting s
       LEFT JOIN pg_roles r ON r.oid = s.setrole
      CROSS JOIN LATERAL unnest(s.setconfig) AS c
      WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        AND (s.setrole = 0 OR r.rolname = ANY($1))
        AND lower(split_part(c, '=', 1)) = 'session_replication_role'`,
    [roles],
  );
  const server = await client.query<{ value: string; source: string; database: string }>(
    `SELECT setting AS value, source, current_database()::text AS database FROM pg_settings
      WHERE name = 'session_replication_role'`,
  );
  const { value, source, database } = server.rows[0]!;
  // A setting of the worker's own role hides the server's; then only the others' can be told.
  const ofServer = /database|user|client|session/.test(source) ? 'origin' : value;
  const faults = roles.map((role): ReplicationRoleFault | undefined => {
    const set =
      rows.find((row) => row.role === role && row.here) ??
      rows.find((row) => row.role === role && !row.here) ??
      rows.find((row) => row.role === null && row.here) ??
      rows.find((row) => row.role === null && !row.here);
    const effective = set?.value ?? ofServer;
    if (effective === 'origin') return undefined;
    return { where: placeOf(set, role), value: effective, mend: mendOf(set, database) };
  });
  const unique = new Map(faults.filter((fault) => fault !== undefined).map((fault) => [fault.mend, fault]));
  return [...unique.values()];
}

interface Setting {
  role: string | null;
  here: boolean;
}

function placeOf(set: Setting | undefined, role: string): string {
  if (!set) return 'the server';
  return set.role === null ? 'the database' : `the role ${role}`;
}

function mendOf(set: Setting | undefined, database: string): string {
  const reset = 'RESET session_replication_role';
  if (!set) {
    return `on RDS: aws rds modify-db-parameter-group --db-parameter-group-name <its group> --parameters ParameterName=session_replication_role,ParameterValue=origin,ApplyMethod=immediate; elsewhere: ALTER SYSTEM ${reset}; SELECT pg_reload_conf()`;
  }
  if (set.role === null) return set.here ? `ALTER DATABASE ${quoted(database)} ${reset}` : `ALTER ROLE ALL ${reset}`;
  return `ALTER ROLE ${quoted(set.role)} ${set.here ? `IN DATABASE ${quoted(database)} ` : ''}${reset}`;
}
