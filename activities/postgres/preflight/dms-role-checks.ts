/** What the user that DMS logs in with needs on either side. */
import { pass, unknown, unmet, type Finding } from '../../preflight/check.ts';
import { connectPostgres } from '../connect.ts';
import { remedyOf } from './remedy-of.ts';
import { dmsLogin, named, type PostgresCheck, type PostgresContext } from './context.ts';
import type { Side } from './probe.ts';
import { roleOf, rolesOf } from './roles.ts';
import { ident, literal, look, sql } from './scripts.ts';
import { unreadable } from './worker-role-checks.ts';

const ROLE = (c: PostgresContext, side: Side) =>
  look(side, `SELECT * FROM pg_roles WHERE rolname = ${literal(dmsLogin(c, side).user)};`);

/** Facts 4.7: for CDC from a server of one's own AWS's documents ask for a superuser; REPLICATION is what a slot needs. */
async function mayReplicate(c: PostgresContext): Promise<Finding> {
  const { user } = dmsLogin(c, 'source');
  const role = (await rolesOf(c.source)).get(user);
  if (!role) {
    return unmet(
      `there is no role ${user} on the source`,
      sql('source', `CREATE ROLE ${ident(user)} LOGIN REPLICATION;  -- then: \\password`),
    );
  }
  if (!role.login) return unmet(`${user} may not log in`, sql('source', `ALTER ROLE ${ident(user)} LOGIN;`));
  if (role.superuser || role.rdsReplication)
    return pass(`${user} ${role.superuser ? 'is a superuser' : 'is in rds_replication'}`);
  const isRds = await c.source.isRds();
  if (isRds)
    return unmet(`${user} is not in rds_replication`, sql('source', `GRANT rds_replication TO ${ident(user)};`));
  if (!role.replication)
    return unmet(`${user} has no REPLICATION`, sql('source', `ALTER ROLE ${ident(user)} REPLICATION;`));
  return pass(`${user} has REPLICATION (AWS's documents ask for a superuser; what else it needs has its own checks)`);
}

async function logsIn(c: PostgresContext, side: Side): Promise<Finding> {
  const { user, password } = dmsLogin(c, side);
  if (!password) return unknown(`the password of ${user} is not in the file`);
  const endpoint = { ...c.migration[side], user, password };
  try {
    const client = await connectPostgres(endpoint, {
      name: `cutover:${c.migration.id}:preflight-dms`,
      aws: c.migration.replication.aws,
    });
    await client.end();
    return pass(`${user}, from the worker`);
  } catch (error) {
    return unmet((error as Error).message, remedyOf(error));
  }
}

/** A time-out of the role's, the database's or the server's that ends DMS's sessions in the middle of the load. */
async function timeouts(c: PostgresContext, side: Side): Promise<Finding> {
  const { user } = dmsLogin(c, side);
  const database = c.migration[side].database;
  const set = await c[side].rows<{ name: string; value: string }>(
    `SELECT DISTINCT ON (1) split_part(entry, '=', 1) AS name, split_part(entry, '=', 2) AS value
     FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase,
       unnest(s.setconfig) AS entry
     WHERE (s.setrole = 0 OR r.rolname = $1) AND (s.setdatabase = 0 OR d.datname = $2)
     ORDER BY 1, s.setrole = 0, s.setdatabase = 0`,
    [user, database],
  );
  const server = await c[side]
    .rows<{ name: string; value: string }>(
      // What the file or ALTER SYSTEM say; our own session has values of its own.
      `SELECT name, coalesce((SELECT f.setting FROM pg_file_settings f WHERE f.name = s.name AND f.applied), s.boot_val) AS value
     FROM pg_settings s WHERE name = ANY ($1)`,
      [TIMEOUTS],
    )
    .catch(() => []);
  const values = new Map([...server, ...set].map(({ name, value }) => [name, value]));
  const wrong = TIMEOUTS.filter((name) => !/^0|^$/.test(values.get(name) ?? '0'));
  if (wrong.length === 0) return pass(`none for ${user}`);
  return unmet(
    wrong.map((name) => `${name} ${values.get(name)}`).join(', '),
    sql(side, ...wrong.map((name) => `ALTER ROLE ${ident(user)} IN DATABASE ${ident(database)} SET ${name} = 0;`)),
  );
}

const TIMEOUTS = [
  'statement_timeout',
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
  'transaction_timeout',
];

const sides = ['source', 'target'] as const;

export const dmsRoleChecks: readonly PostgresCheck[] = [
  {
    id: 'P.dms.role',
    title: "DMS's user may replicate from the source",
    severity: 'fail',
    remedy: (c) => `give ${dmsLogin(c, 'source').user} REPLICATION on the source`,
    byHand: (c) => ROLE(c, 'source'),
    run: mayReplicate,
  },
  ...sides.map((side): PostgresCheck => ({
    id: side === 'source' ? 'P.dms.login' : 'P.target.dms.login',
    title: `DMS's user can log in to the ${side}`,
    severity: 'fail',
    remedy: (c) => `check user and password of replication.${side}Endpoint (${dmsLogin(c, side).user})`,
    byHand: (c) =>
      `psql -h ${c[side].endpoint.host} -p ${c[side].endpoint.port} -U ${dmsLogin(c, side).user} ${c[side].endpoint.database}`,
    run: (c) => logsIn(c, side),
  })),
  {
    id: 'P.dms.select',
    title: "DMS's user may read every table that it is to move",
    severity: 'fail',
    remedy: (c) => `grant SELECT on the source's tables to ${dmsLogin(c, 'source').user}`,
    byHand: () => look('source', `\\dp`),
    run: async (c) => {
      const { user } = dmsLogin(c, 'source');
      await roleOf(c.source, user);
      const { names, grants } = await unreadable(c.source, user);
      const ours = new Set(
        (await c.tables()).all
          .filter((t) => t.treatment === 'replicated')
          .map((t) => `${ident(t.schema)}.${ident(t.name)}`),
      );
      const missing = names.filter((name) => ours.has(name));
      if (missing.length === 0) return pass(`${user} may`);
      const needed = grants.filter(
        (grant) => grant.includes(' ON SCHEMA ') || missing.some((name) => grant.includes(`TABLE ${name} TO`)),
      );
      return unmet(`${user} may not read ${named(missing)}`, sql('source', ...needed));
    },
  },
  ...sides.map((side): PostgresCheck => ({
    id: side === 'source' ? 'P.dms.timeouts' : 'P.target.dms.timeouts',
    title: `no time-out on the ${side} ends DMS's sessions`,
    severity: 'warn',
    remedy: (c) => `set the time-outs of ${dmsLogin(c, side).user} to 0 on the ${side}`,
    byHand: () => look(side, `SELECT * FROM pg_db_role_setting; SHOW idle_in_transaction_session_timeout;`),
    run: (c) => timeouts(c, side),
  })),
  {
    id: 'P.target.dms.role',
    title: "DMS's user may write to the target",
    severity: 'fail',
    remedy: (c) => `give ${dmsLogin(c, 'target').user} what it needs on the target`,
    byHand: (c) => ROLE(c, 'target'),
    run: async (c) => {
      const { user } = dmsLogin(c, 'target');
      const role = await roleOf(c.target, user);
      if (role.superuser || role.rdsSuperuser)
        return pass(`${user} is ${role.superuser ? 'a superuser' : 'in rds_superuser'}`);
      const worker = c.migration.target.user;
      // The schema's tables will be the worker's, for it makes them. Its member may do with them what it may.
      const [row] = await c.target.rows<{ member: boolean; create: boolean }>(
        `SELECT pg_has_role($1, current_user, 'MEMBER') AS member,
           has_database_privilege($1, current_database(), 'CREATE') AS create`,
        [user],
      );
      const grants = [
        ...(row?.member ? [] : [`GRANT ${ident(worker)} TO ${ident(user)};`]),
        // Its control tables (awsdms_…) are in public, or a schema of their own.
        ...(row?.create ? [] : [`GRANT CREATE ON DATABASE ${ident(c.migration.target.database)} TO ${ident(user)};`]),
      ];
      if (grants.length === 0) return pass(`${user} is in ${worker}, whose tables they will be`);
      return unmet(
        `${user} can't write into tables of ${worker}, or make its own control tables`,
        sql('target', ...grants),
      );
    },
  },
];
