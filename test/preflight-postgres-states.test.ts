/** What the Postgres preflight sees in servers that are at work, of another sort, or not there; and that it changes nothing. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { MockActivityEnvironment } from '@temporalio/testing';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { preflightPostgres } from '../activities/postgres/preflight/preflight.ts';
import { tablesOf } from '../activities/postgres/preflight/source-tables.ts';
import { postgresProbe } from '../activities/postgres/preflight/probe.ts';
import { CHEAP_BYTES, scan } from '../activities/postgres/preflight/value-scan.ts';
import { readPlannedTables } from '../activities/postgres/tables.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import {
  DATABASE,
  notPassed,
  preflightStage,
  type Overrides,
  type PreflightStage,
} from './preflight-postgres-stage.ts';

const run = promisify(execFile);
const USUAL = ['P.hba.errors', 'P.max_slot_wal_keep_size', 'P.target.storage'];

const dmsEndpoint = { user: 'dms', password: { env: 'PREFLIGHT_TEST_PASSWORD' }, sslMode: 'none' as const };
const replication = (more: object) =>
  ({ engine: 'dms', sourceEndpoint: dmsEndpoint, targetEndpoint: dmsEndpoint, ...more }) as Overrides['replication'] &
    object;
const article = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../examples/${name}`, import.meta.url), 'utf8'));

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('servers at work', () => {
  let stage: PreflightStage;
  beforeAll(async () => {
    stage = await preflightStage();
  }, 120_000);
  afterAll(async () => stage.end());

  const unusual = async (overrides?: Overrides, input?: object) => {
    const found = notPassed(await stage.preflight(overrides, input));
    return Object.fromEntries(Object.entries(found).filter(([id]) => !USUAL.includes(id)));
  };

  test('it changes nothing: no object, no slot, no role, no row', async () => {
    const dump = async (server: PreflightStage['source']) => {
      const { host, port, user, password } = server;
      const args = ['-h', host, '-p', String(port), '-U', user];
      const { stdout } = await run('pg_dumpall', args, { env: { ...process.env, PGPASSWORD: password } });
      // A dump has a key of its own each time.
      return stdout.replaceAll(/^\\(un)?restrict .*$/gm, '');
    };
    const slots = () => stage.source.query('SELECT * FROM pg_replication_slots');
    const before = await Promise.all([dump(stage.source), dump(stage.target)]);
    expect(before[0]).toContain('CREATE TABLE public.orders');
    const report = await stage.preflight();
    expect(report.checks.find(({ id }) => id === 'P.slot')?.result).toBe('pass');
    await stage.preflight({}, { cheap: true });
    expect(await Promise.all([dump(stage.source), dump(stage.target)])).toEqual(before);
    expect(await slots()).toEqual([]);
    const left = () =>
      stage.source.query(`SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'cutover:%' OR usename = 'dms'`);
    await until('its sessions are gone', async () => (await left()).length === 0);
  }, 60_000);

  test('its own session can write nothing', async () => {
    const { host, port } = stage.source;
    const probe = postgresProbe(
      'source',
      { host, port, database: DATABASE, user: 'worker', password: { env: 'PREFLIGHT_TEST_PASSWORD' }, tls: false },
      'probe',
    );
    await expect(probe.fresh('CREATE SCHEMA mine')).rejects.toThrow(/read-only transaction/);
    await probe.close();
  }, 30_000);

  test('its tables are those that are planned', async () => {
    await stage.sql(
      'source',
      'CREATE TABLE public.parts (id int PRIMARY KEY) PARTITION BY RANGE (id)',
      'CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (9)',
      'CREATE TABLE public.awsdms_heartbeat (id int)',
      'CREATE UNLOGGED TABLE public.volatile (b int, a int, PRIMARY KEY (a, b))',
    );
    const { migration } = stage.file({
      tables: { exclude: ['public.p*'], copyByHand: ['public.searches'], leaveOut: ['*.vol*'] },
    });
    const probe = postgresProbe('source', migration.source, 'probe');
    const seen = await tablesOf(migration, probe);
    const planned = await readPlannedTables(await probe.connection(), migration);
    await probe.close();
    const key = (t: { schema: string; name: string; treatment: string; primaryKey: string[] }) =>
      JSON.stringify([t.schema, t.name, t.treatment, [...t.primaryKey].sort()]);
    expect(planned.length).toBe(5);
    expect(seen.roots.map(key).sort()).toEqual(planned.map(key).sort());
    await stage.sql('source', 'DROP TABLE public.parts, public.awsdms_heartbeat, public.volatile');
  }, 30_000);

  test('a table too large to be read for values is left to the operator, with the SQL', async () => {
    const { migration } = stage.file();
    const probe = postgresProbe('source', migration.source, 'probe');
    const tables = await tablesOf(migration, probe);
    const at = tables.replicated.flatMap((table) =>
      table.columns.filter(({ name }) => name === 'at' || name === 'price').map((column) => ({ table, column })),
    );
    expect(at.map(({ column }) => column.name)).toEqual(['price', 'at']);
    const condition = (column: string) => `${column}::text = '7.00'`;
    const context = { source: probe, tables: async () => Promise.resolve(tables) };
    const read = await scan(context, at, condition);
    expect(read).toMatchObject({ hits: [{ column: { name: 'price' } }], skipped: [], scanned: 2 });
    const huge = { ...at[0]!.table, bytes: CHEAP_BYTES + 1 };
    const left = await scan(
      context,
      at.map(({ column }) => ({ table: huge, column })),
      condition,
    );
    expect(left).toMatchObject({ hits: [], scanned: 0 });
    const rows = await stage.source.query(left.skipped[0]!.sql, [], DATABASE);
    expect(rows).toEqual([{ hits: [true, false] }]);
    await probe.close();
  }, 30_000);

  test("the usual runbook's own files: what their pattern shuts out is named, and what their settings lose", async () => {
    await stage.sql(
      'source',
      'CREATE TABLE public.queries (id int PRIMARY KEY, search_vector tsvector)',
      'CREATE TABLE public."queries_Old" (id int PRIMARY KEY)',
    );
    const overrides = {
      tables: { copyByHand: ['public.queries', 'public.searches'] },
      replication: replication({
        tableMappings: article('redash-table-mappings.json'),
        taskSettings: article('redash-task-settings.json'),
      }),
    };
    const found = await unusual(overrides);
    expect(found['P.tables.uncovered']).toMatchObject({
      result: 'fail',
      // Its rules take the schema public alone.
      found: expect.stringMatching(/"Shop\.2"\."Größe ""x""", public\."queries_Old"$/),
      remedy: expect.stringContaining('copyByHand'),
    });
    expect(found['D.settings']).toMatchObject({ result: 'warn' });
    for (const setting of [
      'DataErrorPolicy',
      'ApplyErrorDeletePolicy',
      'TargetTablePrepMode',
      'TaskRecoveryTableEnabled',
    ]) {
      expect(found['D.settings']!.found).toContain(setting);
      expect(found['D.settings']!.remedy).toContain(setting);
    }
    await stage.sql('source', 'DROP TABLE public.queries, public."queries_Old"');
  }, 60_000);

  test('a table that was made after the plan stops the fence', async () => {
    const plan = {
      largestLob: 0,
      tables: [
        { schema: 'public', name: 'orders', treatment: 'replicated' as const, rows: 0, bytes: 0, primaryKey: ['id'] },
      ],
    };
    const found = await unusual({}, { cheap: true, plan });
    expect(Object.keys(found)).toEqual(['P.tables.new']);
    expect(found['P.tables.new']).toMatchObject({ result: 'fail', found: expect.stringContaining('public.searches') });
  }, 30_000);

  test('somebody else is connected: a warning at first, and a refusal before the fence', async () => {
    await stage.sql('source', `CREATE ROLE "look er" LOGIN PASSWORD 'looks'`);
    const client = await stage.source.connect({ user: 'look er', password: 'looks', database: DATABASE });
    const ended = new Promise((resolve) => client.once('end', resolve));
    expect(await unusual()).toMatchObject({ 'P.roles.connected': { result: 'warn', found: 'connected: look er (1)' } });
    expect(await unusual({}, { cheap: true })).toMatchObject({ 'P.roles.connected': { result: 'fail' } });
    const ignored = { cutover: { applicationRoles: ['shop app'], ignoreRoles: ['look er'] } };
    expect(await unusual(ignored, { cheap: true })).toEqual({});
    await stage.runScript('source', await stage.preflight({}, { cheap: true }), { decided: true });
    await ended;
    expect(await unusual({}, { cheap: true })).toEqual({});
    await stage.sql('source', 'DROP ROLE "look er"');
  }, 60_000);

  test('an old transaction', async () => {
    const client = await stage.source.connect({ user: 'shop app', password: 'Long-Secret-Word-1', database: DATABASE });
    const ended = new Promise((resolve) => client.once('end', resolve));
    await client.query('BEGIN');
    await client.query('SELECT 1');
    await until('it is old', async () => {
      const rows = await stage.source.query(
        `SELECT 1 FROM pg_stat_activity WHERE usename = 'shop app' AND xact_start < now() - interval '2 s'`,
      );
      return rows.length > 0;
    });
    const overrides = { replication: replication({ load: { transactionConsistencyTimeout: '2s' } }) };
    expect(await unusual(overrides, { cheap: true })).toMatchObject({
      'P.long_transactions': { result: 'fail', found: expect.stringMatching(/older than 2s.* of shop app /) },
    });
    await stage.runScript('source', await stage.preflight(overrides, { cheap: true }), { decided: true });
    await ended;
    expect(await unusual(overrides, { cheap: true })).toEqual({});
  }, 60_000);

  test('more log than the slot may hold back', async () => {
    await stage.sql('source', `ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'`, 'SELECT pg_reload_conf()');
    const writer = await stage.source.connect();
    let writing = true;
    const written = (async () => {
      while (writing) await writer.query(`SELECT pg_logical_emit_message(false, 'test', repeat('x', 100000))`);
    })();
    const found = await unusual();
    writing = false;
    await written;
    await writer.end();
    // At less than 18 kB/s the 16 MB would hold for the 15 minutes; one message is more.
    expect(found['P.wal_headroom']).toMatchObject({
      result: 'fail',
      found: expect.stringMatching(/max_slot_wal_keep_size 16 MiB: the slot would be lost/),
      fix: { side: 'source', script: expect.stringMatching(/ALTER SYSTEM SET "max_slot_wal_keep_size" = '\d+GB'/) },
    });
    await stage.sql('source', `ALTER SYSTEM SET max_slot_wal_keep_size = '-1'`, 'SELECT pg_reload_conf()');
    // Then it is the disk that counts, which can't be seen: unknown, never a pass.
    expect((await unusual())['P.wal_headroom']).toMatchObject({
      result: 'unknown',
      remedy: expect.stringContaining('df -h'),
    });
    await stage.sql('source', `ALTER SYSTEM SET max_slot_wal_keep_size = '8GB'`, 'SELECT pg_reload_conf()');
  }, 60_000);

  test('a slot that nobody reads and that holds back the log is no good sign, a fresh one is', async () => {
    await stage.source.query(`SELECT pg_create_logical_replication_slot('idle', 'test_decoding')`, [], DATABASE);
    expect(await unusual({}, { cheap: true })).toEqual({});
    await stage.source.query(`SELECT pg_drop_replication_slot('idle')`);
  }, 30_000);

  test('replica mode on the target is a refusal before the fence', async () => {
    await stage.sql('target', `ALTER ROLE dms SET session_replication_role = replica`);
    expect(await unusual({}, { cheap: true })).toEqual({});
    await stage.sql('target', `ALTER DATABASE "${DATABASE}" SET session_replication_role = replica`);
    const found = await unusual({}, { cheap: true });
    expect(found).toMatchObject({
      'P.target.replica.off': { result: 'fail', found: expect.stringContaining(`database ${DATABASE}`) },
    });
    await stage.runScript('target', await stage.preflight({}, { cheap: true }));
    expect(await unusual({}, { cheap: true })).toEqual({});
    await stage.sql('target', `ALTER ROLE dms RESET session_replication_role`);
  }, 30_000);

  test('pg_dump: not there, or too old', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'pg-dump-'));
    const old = join(dir, 'pg_dump');
    writeFileSync(old, '#!/bin/sh\necho "pg_dump (PostgreSQL) 9.6.24"\n');
    chmodSync(old, 0o755);
    try {
      process.env['CUTOVER_PG_DUMP'] = join(dir, 'nothing');
      expect((await unusual())['P.pg_dump']).toMatchObject({
        result: 'fail',
        found: expect.stringContaining('does not run'),
      });
      process.env['CUTOVER_PG_DUMP'] = old;
      expect((await unusual())['P.pg_dump']).toMatchObject({
        result: 'fail',
        found: "pg_dump (PostgreSQL) 9.6.24; the source is 15, which it can't read",
        fix: { side: 'worker', script: expect.stringContaining('postgresql-client-15') },
      });
    } finally {
      delete process.env['CUTOVER_PG_DUMP'];
      rmSync(dir, { recursive: true });
    }
  }, 60_000);

  test('another encoding and collation, and an extension that is not there', async () => {
    await stage.target.query(`CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`);
    await stage.target.query('GRANT CREATE ON DATABASE latin TO worker, dms');
    await stage.sql('source', 'CREATE EXTENSION pgcrypto');
    const { target } = stage.file().migration;
    const overrides = { target: { ...target, database: 'latin' }, schema: { create: false } };
    const found = await unusual(overrides);
    expect(Object.keys(found).sort()).toEqual(['P.collation', 'P.encoding', 'P.extensions']);
    expect(found).toMatchObject({
      'P.encoding': { result: 'fail', found: 'source UTF8, target LATIN1' },
      'P.collation': { result: 'warn', found: expect.stringContaining('target C/C') },
      'P.extensions': { result: 'fail', fix: { side: 'target', script: 'CREATE EXTENSION "pgcrypto";' } },
    });
    // The one that is installed by the schema's copy is no hindrance.
    expect((await unusual())['P.extensions']).toBeUndefined();
    await stage.sql('source', 'DROP EXTENSION pgcrypto');
  }, 60_000);

  test('source and target are one database', async () => {
    const { host, port } = stage.source;
    const target = { host, port, database: DATABASE, user: 'worker', password: { env: 'PREFLIGHT_TEST_PASSWORD' } };
    expect(await unusual({ target })).toMatchObject({
      'P.not_the_same': { result: 'fail' },
      'P.target.empty': { result: 'fail' },
    });
    expect(await unusual({ target }, { cheap: true })).toMatchObject({ 'P.not_the_same': { result: 'fail' } });
  }, 60_000);

  test('a source that is down: one failure, and no pass for what was not seen', async () => {
    const down = { host: '127.0.0.1', port: await freePort(), database: DATABASE, user: 'worker' };
    const report = await stage.preflight({ source: down });
    const of = (result: string) => report.checks.filter((check) => check.result === result).map(({ id }) => id);
    expect(of('fail').filter((id) => id.startsWith('P.') && !id.startsWith('P.target'))).toEqual(
      expect.arrayContaining(['P.source', 'P.dms.login']),
    );
    expect(of('pass').filter((id) => !/^(P\.target|D\.|P\.roles\.own|P\.pglogical)/.test(id))).toEqual([]);
    expect(report.checks.find(({ id }) => id === 'P.tables.uncovered')).toMatchObject({
      result: 'unknown',
      found: expect.stringContaining('(see P.source)'),
    });
  }, 60_000);

  test('AWS that can not be asked: one failure, and unknown what it alone knows', async () => {
    const url = process.env['AWS_ENDPOINT_URL'];
    process.env['AWS_ENDPOINT_URL'] = `http://127.0.0.1:${await freePort()}`;
    try {
      const found = await unusual();
      expect(found).toMatchObject({
        'D.api': { result: 'fail' },
        'D.quota': { result: 'unknown' },
        'D.instance': { result: 'unknown' },
        'D.ours': { result: 'unknown' },
      });
    } finally {
      process.env['AWS_ENDPOINT_URL'] = url;
    }
  }, 60_000);

  test('as an activity it ends when it is cancelled', async () => {
    const environment = new MockActivityEnvironment();
    const { migration } = stage.file();
    const running = environment.run(preflightPostgres, { migration });
    environment.cancel();
    await expect(running).rejects.toThrow(/CANCELLED|cancelled/i);
  }, 30_000);
});

describe('a source that is not set up', () => {
  let stage: PreflightStage;
  beforeAll(async () => {
    stage = await preflightStage({ wal_level: 'replica', max_prepared_transactions: '5', max_replication_slots: '1' });
  }, 120_000);
  afterAll(async () => stage.end());

  test('wal_level, slots and prepared transactions, each with its mend', async () => {
    const client = new Client({
      host: stage.source.host,
      port: stage.source.port,
      user: 'postgres',
      password: 'postgres',
      database: DATABASE,
    });
    await client.connect();
    await client.query('BEGIN');
    await client.query(`INSERT INTO public.orders VALUES (4711)`);
    await client.query(`PREPARE TRANSACTION 'it''s mine'`);
    await client.end();
    const report = await stage.preflight();
    const found = notPassed(report);
    expect(Object.keys(found).sort()).toEqual(
      [...USUAL, 'P.wal_level', 'P.slot', 'P.max_replication_slots', 'P.prepared_transactions'].sort(),
    );
    expect(found['P.wal_level']).toMatchObject({
      result: 'fail',
      found: 'wal_level replica',
      fix: { side: 'source', script: expect.stringContaining(`ALTER SYSTEM SET "wal_level" = 'logical';`) },
    });
    expect(found['P.slot']).toMatchObject({ result: 'unknown', found: expect.stringContaining('(see P.wal_level)') });
    expect(found['P.max_replication_slots']).toMatchObject({
      result: 'fail',
      found: 'max_replication_slots 1, 0 in use',
    });
    expect(found['P.prepared_transactions']).toMatchObject({
      result: 'fail',
      found: expect.stringContaining("it's mine"),
    });
    // The server reads these at its start; that they are written down is what can be seen before it.
    await stage.runScript('source', report, { decided: true });
    const set = await stage.source.query<{ name: string; setting: string }>(
      `SELECT name, setting FROM pg_file_settings WHERE name IN ('wal_level', 'max_replication_slots') ORDER BY 1`,
    );
    expect(set).toEqual([
      { name: 'max_replication_slots', setting: '10' },
      { name: 'wal_level', setting: 'logical' },
    ]);
    expect(await stage.source.query('SELECT 1 FROM pg_prepared_xacts')).toEqual([]);
    expect(notPassed(await stage.preflight({}, { cheap: true }))['P.prepared_transactions']).toMatchObject({
      result: 'warn',
    });
  }, 60_000);
});
