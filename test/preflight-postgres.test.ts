/** The Postgres preflight on real servers: a good pair passes; each prerequisite broken alone is found, and its script mends it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  DATABASE,
  notPassed,
  preflightStage,
  type Overrides,
  type PreflightStage,
} from './preflight-postgres-stage.ts';

let stage: PreflightStage;
let usual: string[];

beforeAll(async () => {
  stage = await preflightStage();
}, 120_000);
afterAll(async () => stage.end());

interface Case {
  name: string;
  breaks?: { source?: string[]; target?: string[] };
  overrides?: Overrides;
  /** What no longer passes, beside what never does. */
  expected: Record<string, { result: 'fail' | 'warn' | 'unknown'; found?: RegExp; remedy?: RegExp }>;
  /** `run`: the printed scripts mend it as they are; `decided`: with the dashes taken away from its commented lines. */
  mend?: 'run' | 'decided';
  /** What is left after the mend. */
  left?: string[];
  restore?: { source?: string[]; target?: string[] };
}

const dmsEndpoint = { user: 'dms', password: { env: 'PREFLIGHT_TEST_PASSWORD' }, sslMode: 'none' as const };
const replication = (more: object) =>
  ({ engine: 'dms', sourceEndpoint: dmsEndpoint, targetEndpoint: dmsEndpoint, ...more }) as Overrides['replication'] &
    object;
const UNREADABLE = { 'P.lob_size': { result: 'unknown' }, 'P.infinity': { result: 'unknown' } } as const;

const cases: Case[] = [
  {
    name: 'a sender timeout below what DMS takes',
    breaks: { source: [`ALTER SYSTEM SET wal_sender_timeout = '5s'`, 'SELECT pg_reload_conf()'] },
    expected: { 'P.wal_sender_timeout': { result: 'fail', found: /^5000 ms/ } },
    mend: 'run',
  },
  {
    name: 'new sessions that may not write, by database and by role',
    breaks: {
      source: ['ALTER ROLE "shop app" SET default_transaction_read_only = on'],
      target: [`ALTER DATABASE "${DATABASE}" SET default_transaction_read_only = on`],
    },
    expected: {
      'P.source.primary': { result: 'fail', found: /on for role shop app/ },
      'P.target.primary': { result: 'fail', found: /on for database shop-db/ },
    },
    mend: 'run',
  },
  {
    name: 'a DMS user without REPLICATION',
    breaks: { source: ['ALTER ROLE dms NOREPLICATION'] },
    expected: { 'P.dms.role': { result: 'fail', found: /dms has no REPLICATION/ }, 'P.hba': { result: 'fail' } },
    mend: 'run',
  },
  {
    name: 'a DMS user with another password',
    breaks: { source: [`ALTER ROLE dms PASSWORD 'another'`] },
    expected: { 'P.dms.login': { result: 'fail', found: /authentication failed/ }, 'P.hba': { result: 'fail' } },
    restore: { source: [`ALTER ROLE dms PASSWORD 'Long-Secret-Word-1'`] },
  },
  {
    name: 'a worker that may not fence',
    breaks: { source: ['ALTER ROLE worker NOCREATEROLE'], target: ['ALTER ROLE worker NOCREATEROLE'] },
    expected: { 'P.worker.fence': { result: 'fail' }, 'P.target.worker.fence': { result: 'fail' } },
    mend: 'run',
  },
  {
    name: 'an application role that is a superuser',
    breaks: { source: ['ALTER ROLE "shop app" SUPERUSER'] },
    expected: { 'P.worker.fence': { result: 'fail', found: /only a superuser can fence/ } },
    restore: { source: ['ALTER ROLE "shop app" NOSUPERUSER'] },
  },
  {
    name: 'a worker that may not end sessions',
    breaks: { source: ['REVOKE pg_signal_backend FROM worker'], target: ['REVOKE pg_signal_backend FROM worker'] },
    expected: { 'P.worker.signal': { result: 'fail' }, 'P.target.worker.signal': { result: 'fail' } },
    mend: 'run',
  },
  {
    name: 'a worker that does not see sessions',
    breaks: { source: ['REVOKE pg_monitor FROM worker'] },
    expected: { 'P.worker.see': { result: 'fail' } },
    mend: 'run',
  },
  {
    name: 'a table and a sequence that the worker may not read',
    breaks: {
      source: [
        'REVOKE SELECT ON public.orders FROM worker',
        'REVOKE SELECT ON ALL SEQUENCES IN SCHEMA "Shop.2" FROM worker',
        'REVOKE USAGE ON SCHEMA "Shop.2" FROM worker',
      ],
    },
    expected: { 'P.worker.select': { result: 'fail', found: /"public"\."orders"/ }, ...UNREADABLE },
    mend: 'run',
  },
  {
    name: 'a worker that may not create its schema',
    breaks: {
      source: [`REVOKE CREATE ON DATABASE "${DATABASE}" FROM worker`],
      target: [`REVOKE CREATE ON DATABASE "${DATABASE}" FROM worker`],
    },
    expected: { 'P.worker.schema': { result: 'fail' }, 'P.target.worker.schema': { result: 'fail' } },
    mend: 'run',
  },
  {
    name: 'a schema of our name that is not ours',
    breaks: { target: ['CREATE SCHEMA cutover'] },
    expected: { 'P.target.worker.schema': { result: 'fail', found: /not ours/ } },
    restore: { target: ['DROP SCHEMA cutover'] },
  },
  {
    name: 'a worker without REPLICATION',
    breaks: { source: ['ALTER ROLE worker NOREPLICATION'] },
    expected: {
      'P.worker.replication': { result: 'fail' },
      'P.slot': { result: 'fail', found: /permission denied|must be/ },
    },
    mend: 'run',
  },
  {
    name: 'a table that DMS may not read',
    breaks: { source: ['REVOKE SELECT ON "Shop.2"."Größe ""x""" FROM dms'] },
    expected: { 'P.dms.select': { result: 'fail', found: /"Shop\.2"\."Größe ""x"""/ } },
    mend: 'run',
  },
  {
    name: "a time-out of DMS's own",
    breaks: {
      source: [`ALTER ROLE dms SET statement_timeout = '5s'`],
      target: [`ALTER DATABASE "${DATABASE}" SET idle_in_transaction_session_timeout = '1min'`],
    },
    expected: {
      'P.dms.timeouts': { result: 'warn', found: /statement_timeout 5s/ },
      'P.target.dms.timeouts': { result: 'warn', found: /idle_in_transaction_session_timeout 1min/ },
    },
    mend: 'run',
  },
  {
    name: 'no application role on the target',
    breaks: { target: ['DROP ROLE "shop app"'] },
    expected: { 'P.target.roles': { result: 'fail', found: /no role shop app on the target/ } },
    mend: 'run',
  },
  {
    name: 'an application role that is the worker',
    overrides: { cutover: { applicationRoles: ['shop app', 'worker'] } },
    expected: { 'P.roles.own': { result: 'fail', found: /^worker would be fenced/ } },
  },
  {
    name: 'a role that writes and is in no list',
    breaks: { source: ['CREATE ROLE "Other ""writer" LOGIN', 'GRANT INSERT ON public.orders TO "Other ""writer"'] },
    expected: { 'P.roles.others': { result: 'warn', found: /Other "writer/ } },
    mend: 'decided',
  },
  {
    name: 'a replicated table without a key',
    breaks: { source: ['CREATE TABLE public.nokey (a int)'] },
    expected: {
      'P.replica_identity': { result: 'fail', found: /public\.nokey/, remedy: /copyByHand: \["public\.nokey"\]/ },
    },
    mend: 'run',
    left: ['P.replica_identity'],
    restore: { source: ['DROP TABLE public.nokey'] },
  },
  {
    name: 'large columns without a key, and a large key',
    breaks: {
      source: [
        'CREATE TABLE public.nokey (a int, doc jsonb)',
        'ALTER TABLE public.nokey REPLICA IDENTITY FULL',
        'CREATE TABLE public.textkey (t text PRIMARY KEY)',
      ],
    },
    expected: {
      'P.replica_identity': { result: 'warn' },
      'P.lob_without_key': {
        result: 'fail',
        found: /public\.nokey \(doc jsonb\)/,
        remedy: /copyByHand: \["public\.nokey"\]/,
      },
      'P.lob_key': { result: 'fail', found: /public\.textkey \(t text\)/ },
    },
    restore: { source: ['DROP TABLE public.nokey, public.textkey'] },
  },
  {
    name: 'columns that DMS does not move, or moves as text',
    breaks: {
      source: [
        `CREATE TYPE public.mood AS ENUM ('good', 'bad')`,
        'CREATE TYPE public.pair AS (a int, b int)',
        'CREATE DOMAIN public.place AS point',
        'CREATE TABLE public.odd (id int PRIMARY KEY, words tsvector, span int4range, two public.pair, at public.place, twice int GENERATED ALWAYS AS (id * 2) STORED)',
        'CREATE TABLE public.texty (id int PRIMARY KEY, m public.mood, ip inet, tags text[])',
        'CREATE TABLE public.numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)',
      ],
    },
    expected: {
      'P.types.lost': {
        result: 'fail',
        found:
          /public\.odd \(words tsvector, span int4range, two public\.pair, at public\.place, twice integer generated\)$/,
        remedy: /copyByHand: \["public\.odd"\]/,
      },
      'P.types.text': { result: 'warn', found: /public\.texty \(m public\.mood, ip inet, tags text\[\]\)/ },
      'P.identity_always': { result: 'warn', found: /public\.numbered/ },
    },
    mend: 'run',
    left: ['P.types.lost', 'P.types.text'],
    restore: {
      source: [
        'DROP TABLE public.odd, public.texty, public.numbered',
        'DROP DOMAIN public.place',
        'DROP TYPE public.pair, public.mood',
      ],
    },
  },
  {
    name: 'an unlogged table',
    breaks: { source: ['CREATE UNLOGGED TABLE public.volatile (id int PRIMARY KEY)'] },
    expected: { 'P.unlogged': { result: 'fail', found: /public\.volatile/ } },
    mend: 'decided',
    restore: { source: ['DROP TABLE public.volatile'] },
  },
  {
    name: 'inheritance, partitions, names that differ in case alone',
    breaks: {
      source: [
        'CREATE TABLE public.parent (id int PRIMARY KEY)',
        'CREATE TABLE public.child (PRIMARY KEY (id)) INHERITS (public.parent)',
        'CREATE TABLE public.parts (id int PRIMARY KEY) PARTITION BY RANGE (id)',
        'CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (9)',
        'CREATE TABLE public."ORDERS" (id int PRIMARY KEY)',
      ],
    },
    expected: {
      'P.inheritance': { result: 'fail', found: /public\.parent$/ },
      'P.partitioned': { result: 'warn', found: /public\.parts$/ },
      'P.case_duplicates': {
        result: 'fail',
        found: /public\."ORDERS" = public\.orders|public\.orders = public\."ORDERS"/,
      },
    },
    restore: { source: ['DROP TABLE public.child, public.parent, public.parts, public."ORDERS"'] },
  },
  {
    name: 'row-level security',
    breaks: { source: ['ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY'] },
    expected: {
      'P.rls': { result: 'fail', found: /hide rows from worker, dms on the source: public\.orders \(forced\)/ },
      ...UNREADABLE,
    },
    mend: 'run',
    restore: {
      source: [
        'ALTER TABLE public.orders DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY',
        'ALTER ROLE worker NOBYPASSRLS',
        'ALTER ROLE dms NOBYPASSRLS',
      ],
      target: ['ALTER ROLE worker NOBYPASSRLS', 'ALTER ROLE dms NOBYPASSRLS'],
    },
  },
  {
    name: 'a trigger that always fires',
    breaks: {
      source: [
        `CREATE FUNCTION public.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
        'CREATE TRIGGER "St amp" BEFORE INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION public.stamp()',
        'ALTER TABLE public.orders ENABLE ALWAYS TRIGGER "St amp"',
      ],
    },
    expected: { 'P.triggers_always': { result: 'warn', found: /public\.orders: St amp/ } },
    mend: 'decided',
    restore: { source: ['DROP TRIGGER "St amp" ON public.orders', 'DROP FUNCTION public.stamp()'] },
  },
  {
    name: 'what a schema has beside tables',
    breaks: {
      source: [
        'SELECT lo_create(4711)',
        'CREATE MATERIALIZED VIEW public.seen AS SELECT 1 AS one',
        'ALTER TABLE public.orders ADD CONSTRAINT late UNIQUE (note) DEFERRABLE',
        'CREATE UNIQUE INDEX lowered ON public.orders (lower(note))',
        'CREATE PUBLICATION everything FOR ALL TABLES',
        `CREATE FUNCTION public.told() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'`,
        'CREATE EVENT TRIGGER teller ON ddl_command_end EXECUTE FUNCTION public.told()',
      ],
    },
    expected: {
      'P.large_objects': { result: 'warn', found: /^1 large objects/ },
      'P.matviews': { result: 'warn', found: /public\.seen/ },
      'P.deferrable': { result: 'warn', found: /public\.orders: late/ },
      'P.expression_unique': { result: 'warn', found: /public\.orders: lowered/ },
      'P.event_triggers': { result: 'warn', found: /teller/ },
      'P.publications': { result: 'warn', found: /everything/ },
    },
    restore: {
      source: [
        'DROP EVENT TRIGGER teller',
        'DROP FUNCTION public.told()',
        'SELECT lo_unlink(4711)',
        'DROP MATERIALIZED VIEW public.seen',
        'ALTER TABLE public.orders DROP CONSTRAINT late',
        'DROP INDEX public.lowered',
        'DROP PUBLICATION everything',
      ],
    },
  },
  {
    name: 'values that DMS alters',
    breaks: {
      source: [
        'CREATE TABLE public.values (id int PRIMARY KEY, exact numeric, at timestamptz, note text)',
        `INSERT INTO public.values VALUES (1, 0.0000000001, 'infinity', repeat('x', 5000))`,
      ],
    },
    overrides: { replication: replication({ load: { lob: { maxKilobytes: 1 } } }) },
    expected: {
      'P.numeric': { result: 'warn', found: /public\.values\.exact/ },
      'P.infinity': { result: 'fail', found: /public\.values\.at/, remedy: /copyByHand: \["public\.values"\]/ },
      'P.lob_size': { result: 'fail', found: /4\.88 KiB, in public\.values\.note/ },
    },
    restore: { source: ['DROP TABLE public.values'] },
  },
  {
    name: 'rows on the target',
    breaks: {
      target: [
        'CREATE TABLE public.orders (id int PRIMARY KEY)',
        'INSERT INTO public.orders VALUES (1)',
        'GRANT SELECT ON public.orders TO worker',
      ],
    },
    expected: { 'P.target.empty': { result: 'fail', found: /public\.orders; the load would throw them away/ } },
    mend: 'decided',
    restore: { target: ['DROP TABLE public.orders'] },
  },
  {
    name: 'no right to write past triggers on the target',
    breaks: { target: ['REVOKE SET ON PARAMETER session_replication_role FROM worker, dms'] },
    expected: { 'P.target.replica.dms': { result: 'fail' }, 'P.target.replica.worker': { result: 'fail' } },
    mend: 'run',
  },
  {
    name: 'replica mode for a whole database and a role',
    breaks: {
      target: [
        `ALTER DATABASE "${DATABASE}" SET session_replication_role = replica`,
        `ALTER ROLE "shop app" SET session_replication_role = replica`,
      ],
    },
    expected: { 'P.target.replica.off': { result: 'warn', found: /role shop app/ } },
    mend: 'run',
  },
  {
    name: 'replica mode for the whole server, as in the usual runbook',
    breaks: { target: ['ALTER SYSTEM SET session_replication_role = replica', 'SELECT pg_reload_conf()'] },
    expected: { 'P.target.replica.off': { result: 'warn', found: /for the whole server/ } },
    mend: 'run',
  },
  {
    name: 'TLS where the server has none',
    overrides: { replication: replication({ targetEndpoint: { ...dmsEndpoint, sslMode: 'require' } }) },
    expected: { 'P.target.dms.tls': { result: 'fail', remedy: /targetEndpoint\.sslMode: none/ } },
  },
  {
    name: 'a replication instance and a subnet group that are not there',
    overrides: { replication: replication({ instance: { existing: 'nowhere' } }) },
    expected: { 'D.instance': { result: 'fail', found: /no replication instance nowhere/ } },
  },
  {
    name: 'an instance class that is not to be had, in a subnet group that is not there',
    overrides: { replication: replication({ instance: { class: 'dms.x9.huge', subnetGroup: 'nowhere' } }) },
    expected: {
      'D.instance': { result: 'fail', found: /dms\.x9\.huge can't be ordered/ },
      'D.subnet_group': { result: 'fail', found: /no replication subnet group nowhere/ },
    },
  },
  {
    name: 'task settings that lose rows',
    overrides: {
      replication: replication({
        taskSettings: { ErrorBehavior: { ApplyErrorDeletePolicy: 'IGNORE_RECORD', DataErrorPolicy: 'LOG_ERROR' } },
      }),
    },
    expected: {
      'D.settings': {
        result: 'warn',
        found: /DataErrorPolicy = "LOG_ERROR".*ApplyErrorDeletePolicy = "IGNORE_RECORD"/,
        remedy: /ErrorBehavior\.ApplyErrorDeletePolicy: /,
      },
    },
  },
  {
    name: 'a pattern that finds nothing',
    overrides: { tables: { copyByHand: ['public.searches', 'public.Orders'] } },
    expected: { 'P.tables.patterns': { result: 'warn', found: /public\.Orders/ } },
  },
];

test('a good pair, with roles that are no superusers: nothing fails', async () => {
  const report = await stage.preflight();
  usual = Object.keys(notPassed(report)).sort();
  expect(report.failed).toBe(0);
  // The log's limit is set; pg_hba_file_rules is the superuser's; and no disk is seen by SQL.
  expect(usual).toEqual(['P.hba.errors', 'P.max_slot_wal_keep_size', 'P.target.storage']);
  expect(report.passed).toBeGreaterThan(75);
  expect(JSON.stringify(report)).not.toContain('Long-Secret-Word-1');
}, 60_000);

describe('each broken alone', () => {
  test.each(cases)(
    '$name',
    async ({ breaks = {}, overrides = {}, expected, mend, left = [], restore = {} }) => {
      await stage.sql('source', ...(breaks.source ?? []));
      await stage.sql('target', ...(breaks.target ?? []));
      try {
        let report = await stage.preflight(overrides);
        const found = notPassed(report);
        expect(Object.keys(found).sort()).toEqual([...new Set([...usual, ...Object.keys(expected)])].sort());
        for (const [id, { result, found: text, remedy }] of Object.entries(expected)) {
          expect(found[id]?.result, `${id}: ${found[id]?.found}`).toBe(result);
          if (text) expect(found[id]?.found).toMatch(text);
          expect(found[id]?.remedy).toMatch(remedy ?? /./);
        }
        if (!mend) return;
        // Twice, because a mend on one side may show what the other one lacks. Nothing but what is printed is run.
        for (let round = 0; round < 2; round++) {
          const only = { ...report, checks: report.checks.filter(({ id }) => id in expected) };
          await stage.runScript('source', only, { decided: mend === 'decided' });
          await stage.runScript('target', only, { decided: mend === 'decided' });
          report = await stage.preflight(overrides);
          const rest = Object.keys(notPassed(report)).filter((id) => !usual.includes(id) && !left.includes(id));
          if (rest.length === 0) break;
        }
        expect(Object.keys(notPassed(report)).sort()).toEqual([...usual, ...left].sort());
      } finally {
        await stage.sql('source', ...(restore.source ?? []));
        await stage.sql('target', ...(restore.target ?? []));
      }
    },
    60_000,
  );
});
