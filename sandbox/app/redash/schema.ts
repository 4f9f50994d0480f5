/** The tables of Redash, as its own migrations make them, with a few things more that a migration must not lose. */
import type { ClientBase } from 'pg';
import { REDASH_INDEXES } from './schema-indexes.ts';
import { REDASH_TABLES } from './schema-tables.ts';
import { APPLICATION_ROLE } from './roles.ts';

export interface RedashSchemaOptions {
  /**
   * `owner`: the tables belong to the application's role, as Redash itself makes them. `granted`: to whoever runs this, and
   * the application may read and write. Default `owner`.
   */
  application?: 'owner' | 'granted';
}

/**
 * Makes the empty schema in the database that `client` is connected to, as its superuser. All or nothing; a second time fails, for the
 * tables are there.
 */
export async function createRedashSchema(client: ClientBase, options: RedashSchemaOptions = {}): Promise<void> {
  const { application = 'owner' } = options;
  await client.query('BEGIN');
  try {
    await client.query(REDASH_TABLES);
    await client.query(REDASH_INDEXES);
    await client.query(application === 'owner' ? GIVE_AWAY : GRANT);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

const GRANT = `
  GRANT USAGE ON SCHEMA public TO ${APPLICATION_ROLE};
  GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${APPLICATION_ROLE};
  GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO ${APPLICATION_ROLE};`;

/** A sequence that a column owns follows its table. */
const GIVE_AWAY = `
  GRANT USAGE, CREATE ON SCHEMA public TO ${APPLICATION_ROLE};
  DO $$
  DECLARE relation record;
  BEGIN
    FOR relation IN
      SELECT c.oid::regclass AS name, c.relkind FROM pg_class c
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'S')
        AND NOT (c.relkind = 'S' AND EXISTS (
          SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')))
    LOOP
      EXECUTE format('ALTER %s %s OWNER TO ${APPLICATION_ROLE}',
        CASE relation.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, relation.name);
    END LOOP;
  END $$;
  ALTER FUNCTION queries_search_vector_update() OWNER TO ${APPLICATION_ROLE};`;
