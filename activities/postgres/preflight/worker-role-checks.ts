/** What the worker's own role needs on both sides: to read, to fence, to clean up, to build the target. */
import { OWN_SCHEMA } from '../../../spec/postgres-plan.ts';
import { pass, unmet, type Finding } from '../../preflight/check.ts';
import { OWN_SCHEMA_COMMENT } from '../own-schema.ts';
import { named, type PostgresCheck, type PostgresContext } from './context.ts';
import type { PostgresProbe, Side } from './probe.ts';
import { roleOf } from './roles.ts';
import { comment, DECIDE, ident, look, sql, undecided } from './scripts.ts';
import { USER_RELATION } from './source-tables.ts';

const worker = (c: PostgresContext, side: Side) => c.migration[side].user;

/** ALTER ROLE … NOLOGIN needs CREATEROLE, from 16 on ADMIN on that very role, and for a superuser a superuser. */
async function mayFence(c: PostgresContext, side: Side): Promise<Finding> {
  const us = worker(c, side);
  const role = await roleOf(c[side], us);
  if (role.superuser) return pass(`${us} is a superuser`);
  const roles = await c[side].rows<{ name: string; superuser: boolean; admin: boolean }>(
    `SELECT rolname AS name, rolsuper AS superuser, pg_has_role(current_user, oid, 'MEMBER WITH ADMIN OPTION') AS admin
     FROM pg_roles WHERE rolname = ANY ($1)`,
    [c.migration.cutover.applicationRoles],
  );
  const beyond = roles.filter(({ superuser }) => superuser).map(({ name }) => name);
  if (beyond.length > 0) {
    return unmet(
      `${named(beyond)} is a superuser, which only a superuser can fence`,
      sql(
        side,
        ...beyond.map((name) =>
          comment(
            `ALTER ROLE ${ident(name)} NOSUPERUSER;  -- or let the worker be one: ALTER ROLE ${ident(us)} SUPERUSER;`,
          ),
        ),
      ),
    );
  }
  if (!role.createRole) return unmet(`${us} has no CREATEROLE`, sql(side, `ALTER ROLE ${ident(us)} CREATEROLE;`));
  const version = await c[side].version();
  const without = version >= 160_000 ? roles.filter(({ admin }) => !admin) : [];
  if (without.length === 0) return pass(`${us} has CREATEROLE`);
  return unmet(
    `${us} has no ADMIN on ${named(without.map(({ name }) => name))}`,
    sql(side, ...without.map(({ name }) => `GRANT ${ident(name)} TO ${ident(us)} WITH ADMIN OPTION;`)),
  );
}

async function maySignal(c: PostgresContext, side: Side): Promise<Finding> {
  const us = worker(c, side);
  const role = await roleOf(c[side], us);
  if (role.superuser || role.signalBackend || role.rdsSuperuser) return pass(`${us} may end other roles' sessions`);
  return unmet(`${us} is not in pg_signal_backend`, sql(side, `GRANT pg_signal_backend TO ${ident(us)};`));
}

/** Without it, query and state of other roles' sessions are hidden, and the fence could not see who is left. */
async function maySee(c: PostgresContext): Promise<Finding> {
  const us = worker(c, 'source');
  const [row] = await c.source.rows<{ ok: boolean }>(
    `SELECT pg_has_role(current_user, 'pg_read_all_stats', 'MEMBER') AS ok`,
  );
  if (row?.ok) return pass(`${us} sees other roles' sessions`);
  return unmet(`${us} is not in pg_monitor`, sql('source', `GRANT pg_monitor TO ${ident(us)};`));
}

/** Tables and sequences that a role can't read, with the grants that let it. */
export async function unreadable(probe: PostgresProbe, role: string): Promise<{ names: string[]; grants: string[] }> {
  const found = await probe.rows<{ schema: string; name: string; kind: string; usage: boolean }>(
    `SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, has_schema_privilege($1, n.oid, 'USAGE') AS usage
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'S') AND ${USER_RELATION}
       AND NOT (has_schema_privilege($1, n.oid, 'USAGE') AND CASE c.relkind WHEN 'S'
         THEN has_sequence_privilege($1, c.oid, 'SELECT') ELSE has_table_privilege($1, c.oid, 'SELECT') END)
     ORDER BY 1, 2`,
    [role],
  );
  const schemas = [...new Set(found.filter(({ usage }) => !usage).map(({ schema }) => schema))];
  return {
    names: found.map(({ schema, name }) => `${ident(schema)}.${ident(name)}`),
    grants: [
      ...schemas.map((schema) => `GRANT USAGE ON SCHEMA ${ident(schema)} TO ${ident(role)};`),
      ...found.map(({ schema, name, kind }) => {
        const what = kind === 'S' ? 'SEQUENCE ' : 'TABLE ';
        return `GRANT SELECT ON ${what}${ident(schema)}.${ident(name)} TO ${ident(role)};`;
      }),
    ],
  };
}

async function mayCreateOwnSchema(c: PostgresContext, side: Side): Promise<Finding> {
  const us = worker(c, side);
  const { database } = c.migration[side];
  const [row] = await c[side].rows<{ may: boolean; there: boolean; owned: boolean; comment: string | null }>(
    `SELECT has_database_privilege(current_database(), 'CREATE') AS may,
       EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1) AS there,
       EXISTS (SELECT 1 FROM pg_namespace n WHERE n.nspname = $1 AND has_schema_privilege(n.oid, 'CREATE')) AS owned,
       (SELECT obj_description(n.oid, 'pg_namespace') FROM pg_namespace n WHERE n.nspname = $1) AS comment`,
    [OWN_SCHEMA],
  );
  if (row?.there && row.comment !== OWN_SCHEMA_COMMENT) {
    return unmet(
      `there is a schema ${OWN_SCHEMA} that is not ours`,
      sql(side, DECIDE, undecided(`ALTER SCHEMA ${OWN_SCHEMA} RENAME TO …;`)),
    );
  }
  if (row?.owned || (row?.may && !row.there)) return pass(`${us} may create the schema ${OWN_SCHEMA}, or it is there`);
  if (row?.there) {
    return unmet(
      `the schema ${OWN_SCHEMA} is there, and ${us} may not create in it`,
      sql(side, `GRANT ALL ON SCHEMA ${OWN_SCHEMA} TO ${ident(us)};`),
    );
  }
  return unmet(
    `${us} may not create schemas in ${database}`,
    sql(side, `GRANT CREATE ON DATABASE ${ident(database)} TO ${ident(us)};`),
  );
}

const onSide = (
  side: Side,
  id: string,
  title: string,
  query: string,
  run: (c: PostgresContext, side: Side) => Promise<Finding>,
): PostgresCheck => ({
  id: side === 'source' ? `P.worker.${id}` : `P.target.worker.${id}`,
  title: `${title} on the ${side}`,
  severity: 'fail',
  remedy: (c) => `grant it to ${worker(c, side)} on the ${side}, or let the worker log in as a role that has it`,
  byHand: () => look(side, query),
  run: (c) => run(c, side),
});

const ROLE = 'SELECT * FROM pg_roles WHERE rolname = current_user;';

export const workerRoleChecks: readonly PostgresCheck[] = [
  onSide('source', 'fence', 'the worker may fence the application roles', ROLE, mayFence),
  onSide('target', 'fence', 'the worker may close and open the application roles', ROLE, mayFence),
  onSide('source', 'signal', 'the worker may end sessions', ROLE, maySignal),
  onSide('target', 'signal', 'the worker may end sessions', ROLE, maySignal),
  onSide('source', 'see', 'the worker sees who is connected', ROLE, maySee),
  onSide('source', 'select', 'the worker may read every table and sequence', ROLE, async (c, side) => {
    const { names, grants } = await unreadable(c[side], worker(c, side));
    if (names.length === 0) return pass('all');
    return unmet(`${worker(c, side)} may not read ${named(names)}`, sql(side, ...grants));
  }),
  onSide('source', 'schema', `the worker may keep its own records`, ROLE, mayCreateOwnSchema),
  onSide('target', 'schema', `the worker may create schemas`, ROLE, mayCreateOwnSchema),
  onSide('source', 'replication', 'the worker may drop what slots are left', ROLE, async (c, side) => {
    const role = await roleOf(c[side], worker(c, side));
    if (role.superuser || role.replication || role.rdsReplication) return pass(`${role.name} has REPLICATION`);
    const grant = (await c[side].isRds()) ? 'GRANT rds_replication TO' : 'ALTER ROLE';
    return unmet(
      `${role.name} has no REPLICATION`,
      sql(side, `${grant} ${ident(role.name)}${grant === 'ALTER ROLE' ? ' REPLICATION' : ''};`),
    );
  }),
];
