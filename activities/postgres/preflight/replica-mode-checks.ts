/**
 * `session_replication_role = replica` on the target: without it foreign keys and triggers stand in the load's way; with
 * it in force for anyone else after the switch, the application writes with no foreign key checked and no trigger fired.
 */
import { pass, unmet, fail, type Finding } from '../../preflight/check.ts';
import { dmsLogin, named, type PostgresCheck, type PostgresContext } from './context.ts';
import { roleOf } from './roles.ts';
import { ident, look, rdsParameter, sql } from './scripts.ts';

interface Setting {
  role: string | null;
  database: string | null;
  value: string;
}

/** Where databases and roles have it set. */
async function settings({ target }: PostgresContext): Promise<Setting[]> {
  return target.rows<Setting>(
    `SELECT r.rolname AS role, d.datname AS database, split_part(entry, '=', 2) AS value
     FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase,
       unnest(s.setconfig) AS entry
     WHERE entry LIKE 'session_replication_role=%' AND (s.setdatabase = 0 OR d.datname = current_database())`,
  );
}

/** What the server itself has, for those whom no role or database setting concerns. */
async function serverValue(c: PostgresContext): Promise<string> {
  const [row] = await c.target.rows<{ value: string; source: string }>(
    `SELECT reset_val AS value, source FROM pg_settings WHERE name = 'session_replication_role'`,
  );
  const overridden = row && ['database', 'user', 'database user'].includes(row.source);
  if (!overridden) return row?.value ?? 'origin';
  const [file] = await c.target
    .rows<{ value: string }>(
      `SELECT setting AS value FROM pg_file_settings WHERE name = 'session_replication_role' AND applied`,
    )
    .catch(() => []);
  return file?.value ?? 'origin';
}

async function dmsMay(c: PostgresContext): Promise<Finding> {
  const { user } = dmsLogin(c, 'target');
  const role = await roleOf(c.target, user);
  if (role.superuser || role.rdsSuperuser) return pass(`${user} may set it`);
  const set = await settings(c);
  if (set.some((s) => s.role === user && s.value === 'replica')) return pass(`${user} has it by ALTER ROLE`);
  const [row] =
    (await c.target.version()) >= 150_000
      ? await c.target.rows<{ may: boolean }>(
          `SELECT has_parameter_privilege($1, 'session_replication_role', 'SET') AS may`,
          [user],
        )
      : [];
  if (row?.may) return pass(`${user} may set it`);
  return unmet(
    `${user} may not set session_replication_role, which its AfterConnectScript does`,
    sql(
      'target',
      `GRANT SET ON PARAMETER session_replication_role TO ${ident(user)};  -- on RDS: GRANT rds_superuser TO …`,
    ),
  );
}

async function workerMay(c: PostgresContext): Promise<Finding> {
  const { user } = c.migration.target;
  try {
    // Two statements in one message are one transaction: nothing of it stays, whichever fails.
    await c.target.fresh('SET session_replication_role = replica; RESET session_replication_role');
    return pass(`${user} may set it`);
  } catch (error) {
    // Whatever else went wrong is for the runner: then it is not known.
    if (!/permission denied/.test((error as Error).message)) throw error;
    return unmet(
      `${user} may not set session_replication_role, and the copy by hand needs it`,
      sql(
        'target',
        `GRANT SET ON PARAMETER session_replication_role TO ${ident(user)};  -- on RDS: GRANT rds_superuser TO …`,
      ),
    );
  }
}

/** Everybody but DMS's own user must be back at `origin` before the switch. */
async function offForOthers(c: PostgresContext): Promise<Finding> {
  const { user } = dmsLogin(c, 'target');
  // DMS logging in as the worker: then nothing may be set for it either, for the worker opens and verifies.
  const exempt = user === c.migration.target.user || c.migration.cutover.applicationRoles.includes(user) ? [] : [user];
  const replica = (await settings(c)).filter(({ value, role }) => value === 'replica' && !exempt.includes(role ?? ''));
  const server = await serverValue(c);
  if (replica.length === 0 && server === 'origin') {
    return pass('origin for everybody; DMS sets it for its own sessions, by the endpoint’s AfterConnectScript');
  }
  const judge = c.moment === 'before-fence' ? fail : unmet;
  if (server === 'replica') {
    const mend = (await c.target.isRds())
      ? rdsParameter(c.target, 'session_replication_role', 'origin')
      : sql('target', 'ALTER SYSTEM RESET session_replication_role;', 'SELECT pg_reload_conf();');
    return judge('replica for the whole server: it must be origin before the switch', mend);
  }
  const text = ({ role, database }: Setting) =>
    role ? `role ${role}${database ? ` in ${database}` : ''}` : `database ${database}`;
  return judge(
    `replica by setting of ${named(replica.map(text))}: it must be origin before the switch`,
    sql(
      'target',
      ...replica.map(({ role, database }) => {
        if (!role) return `ALTER DATABASE ${ident(database!)} RESET session_replication_role;`;
        return `ALTER ROLE ${ident(role)}${database ? ` IN DATABASE ${ident(database)}` : ''} RESET session_replication_role;`;
      }),
    ),
  );
}

const SETTINGS = `SHOW session_replication_role; SELECT * FROM pg_db_role_setting;`;

export const replicaModeChecks: readonly PostgresCheck[] = [
  {
    id: 'P.target.replica.dms',
    title: 'DMS may write past foreign keys and triggers during the load',
    severity: 'fail',
    remedy: (c) => `let ${dmsLogin(c, 'target').user} set session_replication_role on the target`,
    byHand: (c) => look('target', `as ${dmsLogin(c, 'target').user}: SET session_replication_role = replica;`),
    run: dmsMay,
  },
  {
    id: 'P.target.replica.worker',
    title: 'the worker may write past foreign keys and triggers for the copy by hand',
    severity: 'fail',
    remedy: (c) => `let ${c.migration.target.user} set session_replication_role on the target`,
    byHand: () => look('target', 'SET session_replication_role = replica;'),
    run: workerMay,
  },
  {
    id: 'P.target.replica.off',
    title: 'foreign keys and triggers of the target hold for everybody else',
    severity: 'warn',
    cheap: true,
    remedy: () => 'reset session_replication_role on the target for all but DMS',
    byHand: () => look('target', SETTINGS),
    run: offForOthers,
  },
];
