/** The roles that are fenced, and those that nobody thought of (facts 2.14: other roles keep writing). */
import { pass, unmet, warn, fail, type Finding } from '../../preflight/check.ts';
import { dmsLogin, named, ourRoles, type PostgresCheck, type PostgresContext } from './context.ts';
import type { Side } from './probe.ts';
import { rolesOf } from './roles.ts';
import { ident, literal, look, sql, undecided, DECIDE } from './scripts.ts';
import { USER_RELATION } from './source-tables.ts';

async function exist(c: PostgresContext, side: Side): Promise<Finding> {
  const there = await rolesOf(c[side]);
  const wanted = c.migration.cutover.applicationRoles;
  const missing = wanted.filter((name) => !there.has(name));
  if (missing.length > 0) {
    return unmet(
      `there is no role ${named(missing)} on the ${side}`,
      side === 'source'
        ? 'in the file: cutover.applicationRoles, mind upper and lower case'
        : sql(
            'target',
            // Closed until the cutover opens it: nobody is to write on the target before.
            ...missing.map((name) => `CREATE ROLE ${ident(name)} NOLOGIN;  -- then: \\password`),
          ),
    );
  }
  const closed = wanted.filter((name) => there.get(name)?.login === false);
  if (side === 'source' && closed.length === wanted.length && c.moment === 'start') {
    return warn(
      `none of ${named(wanted)} may log in: is the application's own role another?`,
      'in the file: cutover.applicationRoles must be the roles that sessions log in with, not groups they are in',
    );
  }
  return pass(named(wanted));
}

interface Other {
  name: string;
  superuser: boolean;
  connected: number;
  writes: boolean;
}

/** Everyone who may log in, or is connected to this database, and is in neither list nor one of us. */
async function others(c: PostgresContext): Promise<Other[]> {
  const known = [
    ...c.migration.cutover.applicationRoles,
    ...c.migration.cutover.ignoreRoles,
    ...ourRoles(c, 'source'),
    'rdsadmin',
  ];
  return c.source.fresh<Other>(
    `SELECT r.rolname AS name, r.rolsuper AS superuser,
       (SELECT count(*)::int FROM pg_stat_activity a WHERE a.usesysid = r.oid AND a.datname = current_database()
         AND coalesce(row_to_json(a)->>'backend_type', 'client backend') = 'client backend') AS connected,
       (r.rolcanlogin AND has_database_privilege(r.oid, current_database(), 'CONNECT') AND EXISTS (
         SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p') AND ${USER_RELATION}
           AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))) AS writes
     FROM pg_roles r WHERE r.rolname <> ALL ($1) AND r.rolname !~ '^pg_' ORDER BY 1`,
    [known],
  );
}

const connectedSql = `SELECT usename, application_name, client_addr, state FROM pg_stat_activity WHERE datname = current_database();`;

const sides = ['source', 'target'] as const;

export const applicationRoleChecks: readonly PostgresCheck[] = [
  ...sides.map((side): PostgresCheck => ({
    id: side === 'source' ? 'P.roles' : 'P.target.roles',
    title: `the application's roles are on the ${side}`,
    severity: 'fail',
    cheap: true,
    remedy: () => `create them on the ${side}`,
    byHand: () => look(side, '\\du'),
    run: (c) => exist(c, side),
  })),
  {
    id: 'P.roles.own',
    title: 'no role of the application is the worker’s or DMS’s',
    severity: 'fail',
    cheap: true,
    remedy: (c) =>
      `give the worker and DMS roles of their own: the fence ends the sessions of ${c.migration.cutover.applicationRoles.join(', ')}`,
    byHand: () => 'compare cutover.applicationRoles with source.user, target.user and replication.*Endpoint.user',
    // oxlint-disable-next-line typescript/require-await -- the others ask a server
    run: async (c) => {
      const own = new Set([...ourRoles(c, 'source'), ...ourRoles(c, 'target')]);
      const both = c.migration.cutover.applicationRoles.filter((name) => own.has(name));
      if (both.length === 0)
        return pass(`the worker is ${c.migration.source.user}, DMS is ${dmsLogin(c, 'source').user}`);
      return unmet(`${named(both)} would be fenced, and with it the migration itself`);
    },
  },
  {
    id: 'P.roles.others',
    title: 'nobody else can write to the source',
    severity: 'warn',
    remedy: () => 'name them in cutover.applicationRoles (fenced) or cutover.ignoreRoles (stay, and write nothing)',
    byHand: () => look('source', '\\du and \\dp'),
    run: async (c) => {
      // A superuser may write of course; that alone is no news unless it is there.
      const writers = (await others(c)).filter(
        ({ writes, superuser, connected }) => writes && (!superuser || connected > 0),
      );
      if (writers.length === 0) return pass('every role that may write is in one of the lists');
      return unmet(
        `may log in and write, and would not be fenced: ${named(writers.map(({ name }) => name))}`,
        sql(
          'source',
          '-- or name them in the file, in cutover.applicationRoles or cutover.ignoreRoles',
          DECIDE,
          ...writers.map(({ name }) => undecided(`ALTER ROLE ${ident(name)} NOLOGIN;`)),
        ),
      );
    },
  },
  {
    id: 'P.roles.connected',
    title: 'nobody else is connected to the source',
    severity: 'warn',
    cheap: true,
    remedy: () => 'name them in cutover.applicationRoles (fenced) or cutover.ignoreRoles (stay, and write nothing)',
    byHand: () => look('source', connectedSql),
    run: async (c) => {
      const there = (await others(c)).filter(({ connected }) => connected > 0);
      if (there.length === 0) return pass('none but the application, the worker and DMS');
      const found = `connected: ${named(there.map(({ name, connected }) => `${name} (${connected})`))}`;
      const mend = sql(
        'source',
        '-- or name them in the file, in cutover.applicationRoles or cutover.ignoreRoles',
        DECIDE,
        ...there.map(({ name }) =>
          undecided(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ${literal(name)};`),
        ),
      );
      // The fence would be raised and lifted again because of it: a write pause for nothing.
      return c.moment === 'before-fence'
        ? fail(`${found}; the fence is refused for as long as they are`, mend)
        : unmet(found, mend);
    },
  },
];
