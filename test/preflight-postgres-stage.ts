/** Two real Postgres, a sandbox's AWS, and roles that have just what the preflight asks for. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { z } from 'zod';
import { closeAwsClients } from '../activities/aws/clients.ts';
import { preflightPostgres } from '../activities/postgres/preflight/preflight.ts';
import { fixScripts } from '../client/cli/preflight-fix.ts';
import { startAws, type Aws } from '../sandbox/aws/index.ts';
import { startPostgres, type PostgresServer } from '../sandbox/runtime/postgres.ts';
import { postgres } from '../spec/kind-postgres.ts';
import type { CheckReport, PreflightReport } from '../spec/preflight.ts';

const run = promisify(execFile);

export const DATABASE = 'shop-db';
const PASSWORD = 'Long-Secret-Word-1';

/** What each role needs and no more: the worker is no superuser. */
const SOURCE_ROLES = `
  CREATE ROLE "shop app" LOGIN PASSWORD '${PASSWORD}';
  CREATE ROLE dms LOGIN REPLICATION PASSWORD '${PASSWORD}';
  CREATE ROLE worker LOGIN CREATEROLE REPLICATION PASSWORD '${PASSWORD}';
  GRANT pg_signal_backend, pg_monitor TO worker;
  GRANT CREATE ON DATABASE "${DATABASE}" TO worker;`;

const TARGET_ROLES = `
  CREATE ROLE "shop app" NOLOGIN;
  CREATE ROLE dms LOGIN PASSWORD '${PASSWORD}';
  CREATE ROLE worker LOGIN CREATEROLE PASSWORD '${PASSWORD}';
  GRANT pg_signal_backend TO worker;
  GRANT worker TO dms;
  GRANT SET ON PARAMETER session_replication_role TO worker, dms;
  GRANT CREATE ON DATABASE "${DATABASE}" TO worker, dms;`;

export const TABLES = `
  CREATE SCHEMA "Shop.2";
  CREATE TABLE public.orders (id int PRIMARY KEY, note text, price numeric(12,2), at timestamptz DEFAULT now());
  CREATE TABLE "Shop.2"."Größe ""x""" (id bigserial PRIMARY KEY, v varchar(40));
  CREATE TABLE public.searches (id int PRIMARY KEY, words tsvector);
  INSERT INTO public.orders SELECT n, 'note ' || n, n, now() FROM generate_series(1, 50) n;
  ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO worker, dms;
  ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO worker, dms;
  GRANT USAGE ON SCHEMA public, "Shop.2" TO worker, dms, "shop app";
  GRANT SELECT ON ALL TABLES IN SCHEMA public, "Shop.2" TO worker, dms;
  GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, "Shop.2" TO worker, dms;
  GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, "Shop.2" TO "shop app";`;

export type Overrides = Partial<z.input<typeof postgres>>;

export interface PreflightStage {
  source: PostgresServer;
  target: PostgresServer;
  aws: Aws;
  /** As the superuser, into the migration's database. */
  sql(side: 'source' | 'target', ...texts: string[]): Promise<void>;
  file(overrides?: Overrides): { migration: z.output<typeof postgres> };
  preflight(overrides?: Overrides, input?: Partial<Parameters<typeof preflightPostgres>[0]>): Promise<PreflightReport>;
  /** Runs what `cutover preflight --fix` prints for this side, by psql. `decided`: with the dashes taken away. */
  runScript(side: 'source' | 'target', report: PreflightReport, options?: { decided?: boolean }): Promise<string>;
  end(): Promise<void>;
}

export async function preflightStage(config: Record<string, string> = {}): Promise<PreflightStage> {
  const dir = mkdtempSync(join(tmpdir(), 'preflight-pg-'));
  const [source, target, aws] = await Promise.all([
    startPostgres({ dir: join(dir, 'source'), config }),
    startPostgres({ dir: join(dir, 'target') }),
    startAws({ dir: join(dir, 'aws'), redisServer: 'redis-server' }),
  ]);
  const before = { ...process.env };
  Object.assign(process.env, aws.env, { PREFLIGHT_TEST_PASSWORD: PASSWORD });
  const servers = { source, target };
  for (const server of [source, target]) await server.query(`CREATE DATABASE "${DATABASE}"`);
  await source.query(SOURCE_ROLES, [], DATABASE);
  await target.query(TARGET_ROLES, [], DATABASE);
  await source.query(TABLES, [], DATABASE);
  // A limit of its own, so that the log's headroom can be judged.
  await source.query(`ALTER SYSTEM SET max_slot_wal_keep_size = '8GB'`);
  await source.query('SELECT pg_reload_conf()');

  const file = (overrides: Overrides) => {
    const endpoint = ({ host, port }: PostgresServer) => ({
      host,
      port,
      database: DATABASE,
      user: 'worker',
      password: { env: 'PREFLIGHT_TEST_PASSWORD' },
    });
    const dms = { user: 'dms', password: { env: 'PREFLIGHT_TEST_PASSWORD' }, sslMode: 'none' as const };
    return postgres.parse({
      kind: 'postgres',
      id: 'shop',
      source: endpoint(source),
      target: endpoint(target),
      tables: { copyByHand: ['public.searches'] },
      replication: { engine: 'dms', sourceEndpoint: dms, targetEndpoint: dms },
      cutover: { applicationRoles: ['shop app'] },
      ...overrides,
    });
  };
  return {
    source,
    target,
    aws,
    sql: async (side, ...texts) => {
      for (const text of texts) await servers[side].query(text, [], DATABASE);
    },
    file: (overrides = {}) => ({ migration: file(overrides) }),
    preflight: (overrides = {}, input = {}) => preflightPostgres({ migration: file(overrides), ...input }),
    runScript: async (side, report, { decided = false } = {}) => {
      const script = fixScripts(report).scripts.find((one) => one.side === side)?.script ?? '';
      const text = decided ? script.replaceAll(/^-- (?=[A-Z]+ .*;$)/gm, '') : script;
      const { host, port, user, password } = servers[side];
      const args = [
        '-X',
        '-v',
        'ON_ERROR_STOP=1',
        '-h',
        host,
        '-p',
        String(port),
        '-U',
        user,
        '-d',
        DATABASE,
        '-c',
        '',
      ];
      const child = run('psql', [...args.slice(0, -2), '-f', '-'], { env: { ...process.env, PGPASSWORD: password } });
      child.child.stdin?.end(text);
      await child;
      return script;
    },
    end: async () => {
      closeAwsClients();
      for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
      Object.assign(process.env, before);
      await Promise.all([source.stop(), target.stop(), aws.stop()]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Those that did not pass, by id. */
export function notPassed(report: PreflightReport): Record<string, CheckReport> {
  return Object.fromEntries(report.checks.filter(({ result }) => result !== 'pass').map((check) => [check.id, check]));
}
