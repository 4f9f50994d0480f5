/** The servers of the Postgres demo: the sandbox with its DMS, a source that is filled, and an empty target. */
import { join } from 'node:path';
import pc from 'picocolors';
import { withClient, type PgEndpoint } from '../app/redash/endpoint.ts';
import { fillRedash, type FilledRedash } from '../app/redash/fill.ts';
import { APPLICATION_ROLE, createRedashRoles, REDASH_DATABASE, SANDBOX_PASSWORDS } from '../app/redash/roles.ts';
import { createRedashSchema } from '../app/redash/schema.ts';
import { startSandbox, type Sandbox } from '../assemble.ts';
import { startPostgres, type PostgresServer } from '../runtime/postgres.ts';
import { ensureTool, terminalProgress } from '../runtime/tools.ts';
import type { Endings } from './endings.ts';
import { say } from './stage.ts';

export interface PostgresServers {
  sandbox: Sandbox;
  source: PostgresServer;
  target: PostgresServer;
  /** The program that the worker copies the schema with. */
  pgDump: string;
}

/** As the superuser: for what is done before and after the migration, not by it. */
export function asAdmin({ host, port, user, password }: PostgresServer): PgEndpoint {
  return { host, port, user, password, database: REDASH_DATABASE };
}

export function asApplication({ host, port }: PostgresServer): PgEndpoint {
  return { host, port, user: APPLICATION_ROLE, password: SANDBOX_PASSWORDS.application, database: REDASH_DATABASE };
}

/** @throws as startSandbox and startPostgres */
export async function raisePostgres({ dir, endings }: { dir: string; endings: Endings }): Promise<PostgresServers> {
  say('sandbox: a real Temporal with its UI, two real Postgres servers, a local DMS that moves rows between them');
  const onProgress = terminalProgress(process.stdout);
  await ensureTool('postgres', { onProgress });
  const { path: pgDump } = await ensureTool('pg_dump', { onProgress });
  const began = Date.now();
  const started = Promise.all(
    (['source', 'target'] as const).map(async (name) => {
      const server = await startPostgres({
        dir: join(dir, name),
        config: { max_wal_size: '4GB', shared_buffers: '256MB' },
      });
      endings.add(`Postgres ${name}`, () => server.stop());
      const admin = await server.connect();
      await createRedashRoles(admin);
      await admin.end();
      return server;
    }),
  );
  const begun = startSandbox({
    dir: join(dir, 'sandbox'),
    onProgress,
    source: false,
  }).then((sandbox) => {
    endings.add('sandbox', () => sandbox.stop());
    return sandbox;
  });
  // Both to their end, or what one of them started would be left when the other fails.
  await Promise.allSettled([started, begun]);
  const [[source, target], sandbox] = [await started, await begun];
  say(`up after ${((Date.now() - began) / 1000).toFixed(1)} s`);
  say(`Temporal     ${sandbox.temporal!.address}, its UI: ${pc.underline(sandbox.temporal!.uiUrl ?? '')}`);
  say(`AWS (DMS)    ${sandbox.aws!.url}`);
  say(`source       postgres at ${source!.host}:${source!.port}, standing for the one on EC2`);
  say(`target       postgres at ${target!.host}:${target!.port}, empty, standing for RDS`);
  return { sandbox, source: source!, target: target!, pgDump };
}

/** Tables, indexes, triggers and rows of a Redash of some years. */
export async function furnishSource(source: PostgresServer, rows: number): Promise<FilledRedash> {
  await withClient(asAdmin(source), 'demo', (client) => createRedashSchema(client));
  const filled = await fillRedash(asAdmin(source), { rows });
  const number = (value: number): string => value.toLocaleString('en-US');
  const largest = Object.entries(filled.byTable)
    .sort(([, a], [, b]) => b - a)
    .slice(0, 8)
    .map(([table, count]) => `${table} ${number(count)}`);
  say(
    `${number(filled.rows)} rows in ${Object.keys(filled.byTable).length} tables, ${Math.round(filled.bytes / 1e6)} MB, in ${(filled.ms / 1000).toFixed(1)} s\n` +
      `${largest.join(', ')} …\n` +
      'with foreign keys, partial and gin indexes, a tsvector kept by a trigger, a sequence that no column owns, an identity column',
  );
  return filled;
}
