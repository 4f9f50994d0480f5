/** Both sides of a schema copy: their connections, and their dumps by one and the same pg_dump. */
import type pg from 'pg';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { sessionName, withPostgres } from './connect.ts';
import { dumpSchema, requirePgDump } from './schema-dump.ts';
import { keyed, type Keyed } from './schema-entries.ts';
import { serverVersion } from './server-version.ts';
import { endEarlierSessions } from './sessions.ts';

export interface SchemaSides {
  source: pg.Client;
  target: pg.Client;
  dumpSource(): Promise<Keyed[]>;
  dumpTarget(): Promise<Keyed[]>;
}

/** @throws cutover.Invalid where pg_dump is older than a server; what connecting and dumping throw */
export async function withSchemaSides<T>(migration: Postgres, use: (sides: SchemaSides) => Promise<T>): Promise<T> {
  const name = sessionName(migration.id, 'schema');
  return withPostgres(migration.source, { name }, (source) =>
    withPostgres(migration.target, { name }, async (target) => {
      await endEarlierSessions(source, name);
      // What an earlier attempt was creating is created, or never will be.
      await endEarlierSessions(target, name);
      await requirePgDump({ source: await serverVersion(source), target: await serverVersion(target) });
      // A function may be made before what its body speaks of.
      await target.query('SET check_function_bodies = off');
      return use({
        source,
        target,
        dumpSource: async () => keyed(await dumpSchema(migration.source, name)),
        dumpTarget: async () => keyed(await dumpSchema(migration.target, name)),
      });
    }),
  );
}
