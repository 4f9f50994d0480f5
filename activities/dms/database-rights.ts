/** What the users that DMS logs in as need of ours: the marker on both sides, and a schema for DMS's own tables. */
import { escapeIdentifier } from 'pg';
import { CONTROL_SCHEMA } from '../../spec/dms-task-settings.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { MARKER_TABLE, OWN_SCHEMA } from '../../spec/postgres-plan.ts';
import { sessionName, withPostgres } from '../postgres/connect.ts';
import { dmsLogin, type EndpointSide } from './endpoint-wanted.ts';

const OWN = escapeIdentifier(OWN_SCHEMA);
const MARKER = `${OWN}.${escapeIdentifier(MARKER_TABLE.name)}`;
const CONTROL = escapeIdentifier(CONTROL_SCHEMA);

/**
 * Makes the schema of DMS's control tables on the target, and gives DMS's users what they need of it and of `cutover`.
 * Where DMS logs in as the worker's own user there is nothing to give. Safe to run twice.
 * @throws cutover.NotFound where `prepareOwnSchema` has not run; cutover.Denied, cutover.Unreachable
 */
export async function giveDmsItsRights(migration: Postgres): Promise<void> {
  const heartbeat = [`GRANT USAGE, CREATE ON SCHEMA ${OWN} TO %U`, `GRANT SELECT ON ${MARKER} TO %U`];
  await run(migration, 'source', [], heartbeat);
  await run(
    migration,
    'target',
    [`CREATE SCHEMA IF NOT EXISTS ${CONTROL}`],
    [
      `GRANT USAGE, CREATE ON SCHEMA ${CONTROL} TO %U`,
      `GRANT USAGE ON SCHEMA ${OWN} TO %U`,
      `GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ${MARKER} TO %U`,
    ],
  );
}

async function run(migration: Postgres, side: EndpointSide, always: string[], toDms: string[]): Promise<void> {
  const { user } = dmsLogin(migration, side);
  const grants =
    user === migration[side].user ? [] : toDms.map((sql) => sql.replace('%U', () => escapeIdentifier(user)));
  const statements = [...always, ...grants];
  if (statements.length === 0) return;
  const options = { name: sessionName(migration.id, 'dms'), aws: migration.aws };
  await withPostgres(migration[side], options, async (client) => {
    for (const sql of statements) await client.query(sql);
  });
}
