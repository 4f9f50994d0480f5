/**
 * The schema `cutover`, on both sides. Source: `fence` (what the fence changed) and `marker`. Target: `closing` (the same
 * for the target's roles), `opening`, `created` and `marker`. The tables that must not be overwritten are on one side
 * alone: a mapping such as `%.%` would make DMS replicate, and first empty, every table that is on both.
 */
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { OWN_SCHEMA } from '../../spec/postgres-plan.ts';
import { permanent } from '../errors.ts';
import { sessionName, whereIs, withPostgres } from './connect.ts';
import { quoted } from './names.ts';
import { inTransaction } from './transaction.ts';

/** How we know the schema for ours: an application may have one of this name. */
export const OWN_SCHEMA_COMMENT = 'made by cutover, a workflow engine for data migrations';
/** Two migrations that prepare at once must not trip over each other: CREATE … IF NOT EXISTS is no lock. */
const LOCK = `SELECT pg_advisory_xact_lock(hashtext('cutover.own-schema'))`;

export type Side = 'source' | 'target';

const ROLES_TABLE = `(
  role text PRIMARY KEY,
  migration text NOT NULL,
  had_login boolean NOT NULL,
  generation integer NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  raised_at bigint,
  lifted_at timestamptz)`;

const TABLES: Record<Side, Record<string, string>> = {
  source: {
    fence: ROLES_TABLE,
    marker: `(id text PRIMARY KEY, value text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())`,
  },
  target: {
    closing: ROLES_TABLE,
    opening: `(
      migration text PRIMARY KEY,
      cutover integer NOT NULL,
      baseline jsonb NOT NULL,
      roles text[] NOT NULL,
      opened_xid text,
      opened_at timestamptz,
      closed_at timestamptz)`,
    created: `(
      seq bigserial PRIMARY KEY,
      migration text NOT NULL,
      key text NOT NULL UNIQUE,
      kind text NOT NULL,
      name text NOT NULL,
      drop_sql text NOT NULL,
      source_text text NOT NULL,
      target_text text)`,
    marker: `(id text PRIMARY KEY, value text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())`,
  },
};

/**
 * Makes the schema and its tables on both sides, and lets DMS's role use the marker. Twice is the same as once.
 * @throws cutover.NotOurs where a schema of this name is somebody else's; cutover.Denied where we may not make one
 */
export async function prepareOwnSchema({ migration }: { migration: Postgres }): Promise<void> {
  for (const side of ['source', 'target'] as const) {
    await withPostgres(migration[side], { name: sessionName(migration.id, 'own') }, (client) =>
      inTransaction(client, () => prepare(client, migration, side)),
    );
  }
}

async function prepare(client: pg.Client, migration: Postgres, side: Side): Promise<void> {
  await client.query(LOCK);
  const found = await readOwnSchema(client);
  if (found === undefined) {
    await client.query(`CREATE SCHEMA ${OWN_SCHEMA}`);
    await client.query(`COMMENT ON SCHEMA ${OWN_SCHEMA} IS '${OWN_SCHEMA_COMMENT}'`);
  } else if (found !== OWN_SCHEMA_COMMENT) {
    throw permanent(
      ErrorType.notOurs,
      `there is a schema ${OWN_SCHEMA} at ${whereIs(migration[side])} that is not ours`,
      { remedy: `rename it: ALTER SCHEMA ${OWN_SCHEMA} RENAME TO …` },
    );
  }
  for (const [name, columns] of Object.entries(TABLES[side])) {
    await client.query(`CREATE TABLE IF NOT EXISTS ${OWN_SCHEMA}.${name} ${columns}`);
  }
  const { sourceEndpoint, targetEndpoint } = migration.replication;
  const role = (side === 'source' ? sourceEndpoint : targetEndpoint).user;
  if (role === undefined) return;
  const { rowCount } = await client.query(`SELECT FROM pg_roles WHERE rolname = $1`, [role]);
  // The preflight names a role that is missing; here it would only hide the reason.
  if (!rowCount) return;
  const rights = side === 'source' ? 'SELECT' : 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE';
  await client.query(`GRANT USAGE ON SCHEMA ${OWN_SCHEMA} TO ${quoted(role)}`);
  await client.query(`GRANT ${rights} ON ${OWN_SCHEMA}.marker TO ${quoted(role)}`);
}

/** The schema's comment; undefined where there is no such schema. */
async function readOwnSchema(client: pg.ClientBase): Promise<string | undefined> {
  const { rows } = await client.query<{ comment: string | null }>(
    `SELECT obj_description(oid, 'pg_namespace') AS comment FROM pg_namespace WHERE nspname = $1`,
    [OWN_SCHEMA],
  );
  return rows[0] ? (rows[0].comment ?? '') : undefined;
}

/** True where the table is there: before `prepareOwnSchema`, and after the removal, it is not. */
export async function hasOwnTable(client: pg.ClientBase, table: string): Promise<boolean> {
  const { rows } = await client.query<{ there: boolean }>(`SELECT to_regclass($1::text) IS NOT NULL AS there`, [
    `${OWN_SCHEMA}.${table}`,
  ]);
  return rows[0]!.there;
}

/**
 * Removes the schema where nothing in it is needed any more. On the source the fence's record stays while the fence is
 * up, which it is for good after a switch: `cutover unfence` needs it. Twice is the same as once.
 * @returns what stays and why, for the report
 */
export async function removeOwnSchema({ migration }: { migration: Postgres }): Promise<{ leftovers: string[] }> {
  const leftovers: string[] = [];
  for (const side of ['source', 'target'] as const) {
    const stays = await withPostgres(migration[side], { name: sessionName(migration.id, 'own') }, (client) =>
      inTransaction(client, () => remove(client, migration.id, side)),
    );
    if (stays) leftovers.push(`the schema ${OWN_SCHEMA} at ${whereIs(migration[side])}: ${stays}`);
  }
  return { leftovers };
}

async function remove(client: pg.Client, migration: string, side: Side): Promise<string | undefined> {
  await client.query(LOCK);
  if ((await readOwnSchema(client)) !== OWN_SCHEMA_COMMENT) return undefined;
  const tables = Object.keys(TABLES[side]);
  const there: string[] = [];
  for (const name of tables) if (await hasOwnTable(client, name)) there.push(name);
  if (side === 'source' && there.includes('fence')) {
    const { rows } = await client.query<{ migration: string }>(
      `SELECT DISTINCT migration FROM ${OWN_SCHEMA}.fence WHERE lifted_at IS NULL`,
    );
    if (rows.length > 0) return `holds the record of the fence of ${rows.map((row) => row.migration).join(', ')}`;
  }
  for (const name of there) {
    const ours = name === 'marker' ? `split_part(id, ':', 1) = $1` : `migration = $1`;
    await client.query(`DELETE FROM ${OWN_SCHEMA}.${name} WHERE ${ours}`, [migration]);
    const { rowCount } = await client.query(`SELECT FROM ${OWN_SCHEMA}.${name} LIMIT 1`);
    if (rowCount) return `another migration uses it (${name})`;
  }
  for (const name of there) await client.query(`DROP TABLE ${OWN_SCHEMA}.${name}`);
  const { rowCount } = await client.query(`SELECT FROM pg_class WHERE relnamespace = $1::regnamespace`, [OWN_SCHEMA]);
  // Never CASCADE: what else is in there is somebody's.
  if (rowCount) return 'there is something in it that is not ours';
  await client.query(`DROP SCHEMA ${OWN_SCHEMA}`);
  return undefined;
}
