/** Two real Postgres servers with names and types that break careless SQL, and a migration between them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type pg from 'pg';
import type { z } from 'zod';
import { startPostgres, type PostgresServer } from '../sandbox/runtime/postgres.ts';
import { postgres, type Postgres } from '../spec/kind-postgres.ts';

export interface PostgresStage {
  source: PostgresServer;
  target: PostgresServer;
  /** A fresh pair of databases, and a migration between them; `app` and `App 2` are the application's roles. */
  fresh(more?: DeepPartial<z.input<typeof postgres>>): Promise<Pair>;
  end(): Promise<void>;
}

type DeepPartial<T> = T extends object ? { [K in keyof T]?: DeepPartial<T[K]> } : T;

export interface Pair {
  migration: Postgres;
  /** As a superuser. */
  source: (sql: string, values?: unknown[]) => Promise<Record<string, unknown>[]>;
  target: (sql: string, values?: unknown[]) => Promise<Record<string, unknown>[]>;
  /** A session of the application. */
  connect(side: 'source' | 'target', role?: string): Promise<pg.Client>;
}

export const APP_PASSWORD = 'app-password';

export async function startStage(): Promise<PostgresStage> {
  process.env['STAGE_PG_PASSWORD'] = 'worker-password';
  const dir = mkdtempSync(join(tmpdir(), 'cutover-pg-'));
  const config = { max_prepared_transactions: '5', max_connections: '60' };
  const [source, target] = await Promise.all(
    ['source', 'target'].map((name) => startPostgres({ dir: join(dir, name), config })),
  );
  for (const server of [source!, target!]) {
    await server.query(`CREATE ROLE worker SUPERUSER LOGIN PASSWORD 'worker-password'`);
    for (const role of ['app', '"App 2"']) await server.query(`CREATE ROLE ${role} LOGIN PASSWORD '${APP_PASSWORD}'`);
  }
  await source!.query(`CREATE ROLE "only here"`);
  let count = 0;
  return {
    source: source!,
    target: target!,
    fresh: async (more = {}) => {
      count += 1;
      const database = `Db ${count}`;
      for (const server of [source!, target!]) await server.query(`CREATE DATABASE "${database}"`);
      const endpoint = (server: PostgresServer) => ({
        host: server.host,
        port: server.port,
        database,
        user: 'worker',
        password: { env: 'STAGE_PG_PASSWORD' },
      });
      const migration = postgres.parse({
        id: `shop-${count}`,
        kind: 'postgres',
        source: endpoint(source!),
        target: endpoint(target!),
        replication: { engine: 'dms' },
        ...more,
        cutover: { applicationRoles: ['app', 'App 2'], ...more.cutover },
      });
      const connectTo = (side: 'source' | 'target', role = 'app') =>
        ({ source: source!, target: target! })[side].connect({ user: role, password: APP_PASSWORD, database });
      return {
        migration,
        source: (sql, values) => source!.query(sql, values, database),
        target: (sql, values) => target!.query(sql, values, database),
        connect: connectTo,
      };
    },
    end: async () => {
      await Promise.all([source!.stop(), target!.stop()]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Runs an activity as a worker would. */
export function act<A extends object, R>(
  activity: (args: A) => Promise<R>,
  args: A,
  info: { attempt?: number } = {},
): Promise<R> {
  return new MockActivityEnvironment(info, { logger: new DefaultLogger('ERROR') }).run(activity, args);
}

/** The failure that it ends with. */
export async function failureOf(promise: Promise<unknown>): Promise<{ type: string; message: string; details: any[] }> {
  const value = await promise.then(
    (answer) => ({ answer }),
    (error: unknown) => ({ error }),
  );
  if ('error' in value) return value.error as { type: string; message: string; details: any[] };
  throw new Error(`did not fail, but answered ${JSON.stringify(value.answer)}`);
}

/** Every kind of thing that a schema copy, a copy by hand or a comparison can stumble over. */
export const NASTY_SCHEMA = `
  CREATE SCHEMA "Lager.Ä";
  CREATE TYPE "Lager.Ä"."Größe" AS ENUM ('klein', 'groß', 'it''s');
  CREATE DOMAIN "Lager.Ä".pos AS integer CHECK (VALUE > 0);
  CREATE TYPE public.pair AS (a integer, b text);
  CREATE SEQUENCE public.lone INCREMENT -3 MINVALUE -1000 MAXVALUE 90 START 50;
  CREATE SEQUENCE "Lager.Ä"."Nr ""1""" INCREMENT 7 CACHE 5;
  CREATE SEQUENCE public.round MINVALUE 1 MAXVALUE 10 CYCLE;
  CREATE TABLE public.users (
    id bigint GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5) PRIMARY KEY,
    email text NOT NULL UNIQUE,
    size "Lager.Ä"."Größe" DEFAULT 'klein',
    points "Lager.Ä".pos,
    tags text[], sizes "Lager.Ä"."Größe"[], p pair,
    f4 real, f8 double precision, n numeric, b bytea, j json, jb jsonb, ts timestamptz, d date, i interval,
    u uuid, ip inet, r int4range, m money, bits bit(3), c char(4), x xml,
    upper_email text GENERATED ALWAYS AS (upper(email)) STORED,
    boss bigint REFERENCES public.users
  );
  CREATE TABLE "Lager.Ä"."Artikel ""A"".b" (
    "Schlüssel 1" text COLLATE "C", "key.2" integer, "Wert" text, owner bigint REFERENCES public.users,
    PRIMARY KEY ("Schlüssel 1", "key.2"), CHECK ("key.2" <> 13)
  );
  CREATE TABLE public.texts (id serial PRIMARY KEY, body text, vector tsvector);
  CREATE FUNCTION public.fill_vector() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN NEW.vector := to_tsvector('pg_catalog.simple', coalesce(NEW.body, '')); RETURN NEW; END $body$;
  CREATE TRIGGER "Fill vector" BEFORE INSERT OR UPDATE ON public.texts FOR EACH ROW EXECUTE FUNCTION public.fill_vector();
  CREATE TRIGGER asleep BEFORE INSERT ON public.texts FOR EACH ROW EXECUTE FUNCTION public.fill_vector();
  ALTER TABLE public.texts DISABLE TRIGGER asleep;
  CREATE TABLE public.chicken (id integer PRIMARY KEY, egg integer);
  CREATE TABLE public.egg (id integer PRIMARY KEY, chicken integer REFERENCES public.chicken DEFERRABLE INITIALLY DEFERRED);
  ALTER TABLE public.chicken ADD CONSTRAINT "from egg" FOREIGN KEY (egg) REFERENCES public.egg DEFERRABLE INITIALLY DEFERRED;
  CREATE TABLE public.parts (id integer, at date, v text, u bigint REFERENCES public.users, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
  CREATE TABLE public.parts_2020 PARTITION OF public.parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
  CREATE TABLE public."parts 2021" PARTITION OF public.parts FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
  CREATE INDEX parts_v ON public.parts (v);
  CREATE TABLE public.keyless (a integer, b text);
  CREATE UNLOGGED TABLE public.cache (k text PRIMARY KEY, v text);
  CREATE TABLE public.parent (id integer PRIMARY KEY, v text);
  CREATE TABLE public.child (extra text) INHERITS (public.parent);
  CREATE TABLE public.secret_left (id serial PRIMARY KEY, u bigint REFERENCES public.users);
  CREATE VIEW public.over_left AS SELECT id FROM public.secret_left;
  CREATE INDEX "Users lower" ON public.users (lower(email)) WHERE points IS NOT NULL;
  CREATE INDEX texts_vector ON public.texts USING gin (vector);
  CREATE VIEW public.big_users AS SELECT id, email FROM public.users WHERE points > 10;
  CREATE MATERIALIZED VIEW public.counts AS SELECT count(*) AS n FROM public.users;
  CREATE VIEW public.over_counts AS SELECT n FROM public.counts;
  CREATE STATISTICS public.st ON email, size FROM public.users;
  ALTER TABLE public.texts OWNER TO app;
  GRANT USAGE ON SCHEMA "Lager.Ä" TO app;
  GRANT SELECT, INSERT, UPDATE ON public.users, "Lager.Ä"."Artikel ""A"".b" TO app;
  GRANT SELECT ON public.users TO "only here";
  COMMENT ON TABLE public.users IS 'it''s; a comment;
with two lines';
`;

export const NASTY_ROWS = `
  INSERT INTO public.users (email, size, points, tags, sizes, p, f4, f8, n, b, j, jb, ts, d, i, u, ip, r, m, bits, c, x, boss)
  SELECT 'u' || g || '@ä.example', (ARRAY['klein','groß','it''s'])[g % 3 + 1]::"Lager.Ä"."Größe", g, ARRAY['a', NULL, 'x,"y"' || g],
         ARRAY['groß']::"Lager.Ä"."Größe"[], ROW(g, 'p')::public.pair, g / 3.0, g / 7.0::float8, g / 11.0,
         decode(md5(g::text), 'hex'), '{"a" : 1}', jsonb_build_object('n', g), now() + g * interval '1 s', date '2020-01-01' + g,
         g * interval '1 day 2 seconds', md5(g::text)::uuid, '10.0.0.1', int4range(g, g + 5), g::numeric::money, B'101', 'ab', '<a/>', NULL
    FROM generate_series(1, 200) g;
  UPDATE public.users SET boss = 10 WHERE id > 10;
  UPDATE public.users SET f8 = 'NaN', f4 = '-Infinity', ts = 'infinity', email = E'tab\\t\\\\n\\nß' WHERE id = 15;
  INSERT INTO "Lager.Ä"."Artikel ""A"".b" SELECT 'k' || g, g, repeat('ü', g), 10 FROM generate_series(20, 120) g;
  INSERT INTO public.texts (body) SELECT 'Text number ' || g FROM generate_series(1, 150) g;
  BEGIN; INSERT INTO public.chicken VALUES (1, 1), (2, NULL); INSERT INTO public.egg VALUES (1, 1); COMMIT;
  INSERT INTO public.parts SELECT g, date '2020-06-01' + g * 3, 'v' || g, 10 FROM generate_series(1, 150) g;
  INSERT INTO public.keyless SELECT g % 5, 'same' FROM generate_series(1, 50) g;
  INSERT INTO public.cache VALUES ('k', 'v'); INSERT INTO public.parent VALUES (1, 'p'); INSERT INTO public.child VALUES (2, 'c', 'e');
  INSERT INTO public.secret_left (u) VALUES (10);
  SELECT nextval('public.lone'), nextval('public.lone'), nextval('public.round'), nextval('"Lager.Ä"."Nr ""1"""');
  REFRESH MATERIALIZED VIEW public.counts;
`;
