/** The Redash-shaped application is what the proof of a Postgres migration rests on, so it is shown here that it finds what is lost. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startRedashApp, type RedashApp, type RedashAppOptions } from '../sandbox/app/redash/app.ts';
import { compareDatabases } from '../sandbox/app/redash/compare.ts';
import { controlRedashApp } from '../sandbox/app/redash/control.ts';
import { withClient, type PgEndpoint } from '../sandbox/app/redash/endpoint.ts';
import { fillRedash } from '../sandbox/app/redash/fill.ts';
import { startRedashProcess } from '../sandbox/app/redash/process.ts';
import { createRedashRoles, REDASH_DATABASE, SANDBOX_PASSWORDS } from '../sandbox/app/redash/roles.ts';
import { createRedashSchema } from '../sandbox/app/redash/schema.ts';
import { failuresOf, verifyRedash } from '../sandbox/app/redash/verify.ts';
import { verifyWrites } from '../sandbox/app/redash/verify-writes.ts';
import type { Effect, RecordedWrite, RedashRecord } from '../sandbox/app/redash/record.ts';
import { startPostgres, type PostgresServer } from '../sandbox/runtime/postgres.ts';

const ROWS = 4_000;

let dir: string;
let source: PostgresServer;
let target: PostgresServer;
let endings: (() => unknown)[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cutover-redash-'));
  [source, target] = await Promise.all([
    startPostgres({ dir: join(dir, 'source') }),
    startPostgres({ dir: join(dir, 'target') }),
  ]);
  for (const server of [source, target]) {
    const admin = await server.connect();
    await createRedashRoles(admin);
    await admin.end();
  }
});

afterEach(async () => {
  for (const end of endings.reverse()) await end();
  endings = [];
  await source.query('ALTER ROLE redash LOGIN');
});

afterAll(async () => {
  await Promise.all([source?.stop(), target?.stop()]);
  await rm(dir, { recursive: true, force: true });
});

const asAdmin = (server: PostgresServer, database = REDASH_DATABASE): PgEndpoint => ({
  host: server.host,
  port: server.port,
  database,
  user: server.user,
  password: server.password,
});
const asRedash = (server: PostgresServer, database = REDASH_DATABASE): PgEndpoint => ({
  ...asAdmin(server, database),
  user: 'redash',
  password: SANDBOX_PASSWORDS.application,
});

/** A database of its own with the schema in it, and rows if asked for. */
async function database(server: PostgresServer, name: string, rows?: number, seed = 1): Promise<void> {
  await server.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  await server.query(`CREATE DATABASE ${name}`);
  await withClient(asAdmin(server, name), 'test', (client) => createRedashSchema(client));
  if (rows !== undefined) await fillRedash(asAdmin(server, name), { rows, seed });
}

async function application(options: RedashAppOptions): Promise<RedashApp> {
  const app = await startRedashApp({ clients: 4, rate: 400, ...options });
  endings.push(() => app.end());
  return app;
}

async function until(what: string, check: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await delay(10);
  }
}

const written = (app: RedashApp, count: number) =>
  until(`${count} writes`, () => app.stats().endpoints.at(-1)!.acknowledged >= count);

const CLEAN = { lost: 0, unexplained: 0, torn: 0, searchVectorsWrong: 0, examples: [] };

describe('filling', () => {
  test('makes the same rows from the same seed, in every table, and the schema says what they may be', async () => {
    await Promise.all([
      database(source, 'one', ROWS),
      database(target, 'other', ROWS),
      database(source, 'third', ROWS, 2),
    ]);
    const same = await compareDatabases(asAdmin(source, 'one'), asAdmin(target, 'other'), {
      applicationRole: 'redash',
    });
    expect(same.differences).toEqual([]);
    expect(same.tables).toBe(20);
    expect(same.rows).toBeGreaterThanOrEqual(ROWS);
    for (const [kind, count] of Object.entries(same.compared)) expect([kind, count > 0]).toEqual([kind, true]);
    const seeded = await compareDatabases(asAdmin(source, 'one'), asAdmin(source, 'third'));
    expect(seeded.differences.filter(({ kind }) => kind === 'rows').length).toBeGreaterThan(10);
    const [empty] = await source.query(
      `SELECT string_agg(relname, ' ') AS tables FROM pg_class
       WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples <= 0`,
      [],
      'one',
    );
    expect(empty).toEqual({ tables: null });
    // Made with foreign keys unasked; so they are asked now.
    const keys = await source.query<{ conname: string; rel: string }>(
      `SELECT conname, conrelid::regclass::text AS rel FROM pg_constraint WHERE contype = 'f'`,
      [],
      'one',
    );
    expect(keys.length).toBeGreaterThan(25);
    for (const { rel, conname } of keys) {
      const fk = `UPDATE pg_constraint SET convalidated = false WHERE conname = '${conname}'; ALTER TABLE ${rel} VALIDATE CONSTRAINT ${conname}`;
      for (const statement of fk.split('; ')) await source.query(statement, [], 'one');
    }
    await expect(fillRedash(asAdmin(source, 'one'), { rows: ROWS })).rejects.toThrow(/filled already/);
  });
});

describe('the application', () => {
  test('knows of every write what became of it, whatever ends its sessions and its server', async () => {
    await database(source, 'rough', ROWS);
    const app = await application({ endpoint: asRedash(source, 'rough') });
    for (let round = 1; round <= 15; round++) {
      await written(app, round * 40);
      await source.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'redash'`);
    }
    await source.kill();
    await source.restart();
    await written(app, 800);
    const record = await app.end();
    const found = await verifyWrites(asAdmin(source, 'rough'), record);
    expect(found).toMatchObject(CLEAN);
    expect(found.acknowledged).toBe(app.stats().acknowledged);
    expect(app.stats().errors['57P01 session ended']).toBeGreaterThan(0);
    expect(new Set(record.writes.map(({ kind }) => kind)).size).toBe(17);
  });

  test('killed outright, it leaves a whole record', async () => {
    await database(source, 'killed', ROWS);
    const app = await startRedashProcess({ dir: join(dir, 'app'), endpoint: asRedash(source, 'killed'), rate: 600 });
    endings.push(() => app.kill());
    await until('600 writes', async () => (await app.stats()).acknowledged >= 600);
    const record = await app.kill();
    await until('its sessions are gone', async () => {
      const [left] = await source.query(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'redash'`);
      return left!['n'] === 0;
    });
    const found = await verifyWrites(asAdmin(source, 'killed'), record);
    expect(found).toMatchObject(CLEAN);
    expect(found.acknowledged).toBeGreaterThanOrEqual(600);
  });

  test('is stopped, started, sent over and asked by its address; a straggler goes on until it is fenced', async () => {
    await Promise.all([database(source, 'here', ROWS), database(target, 'there', ROWS)]);
    const app = await application({ endpoint: asRedash(source, 'here'), stragglers: 1 });
    const control = await controlRedashApp(app);
    endings.push(() => control.close());
    const ask = async (method: string, path: string, body?: unknown) => {
      const answer = await fetch(control.url + path, { method, ...(body ? { body: JSON.stringify(body) } : {}) });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    await written(app, 100);
    expect(await ask('GET', '/health')).toMatchObject({ status: 200, body: { port: source.port, database: 'here' } });

    expect((await ask('POST', '/stop')).status).toBe(200);
    const before = app.record().writes.length;
    await until('the straggler writes on', () => app.record().writes.length >= before + 20);
    expect(
      new Set(
        app
          .record()
          .writes.slice(before)
          .map(({ client }) => client),
      ),
    ).toEqual(new Set([0]));
    await source.query('ALTER ROLE redash NOLOGIN');
    await source.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'redash'`);
    expect(await ask('GET', '/health')).toMatchObject({
      status: 503,
      body: { error: /not permitted to log in/ as never },
    });
    await until('it is refused', () => (app.stats().errors['28000 may not log in'] ?? 0) > 2);

    const there = { host: target.host, port: String(target.port), database: 'there' };
    expect((await ask('POST', '/switch', { host: 'x' })).status).toBe(400);
    expect((await ask('POST', '/switch', there)).status).toBe(200);
    expect((await ask('POST', '/switch', there)).status).toBe(200);
    await written(app, 100);
    expect(await ask('GET', '/health')).toMatchObject({ status: 200, body: { port: target.port, database: 'there' } });
    const { endpoints, writePauseMs } = app.stats();
    expect(endpoints.map(({ port }) => port)).toEqual([source.port, target.port]);
    expect(writePauseMs).toBeCloseTo(endpoints[1]!.firstAckAt! - endpoints[0]!.lastAckAt!, 3);
    expect(JSON.stringify((await ask('GET', '/stats')).body)).not.toContain(SANDBOX_PASSWORDS.application);
  });
});

/** A migration by Postgres's own logical replication: under writes, fenced, drained, sequences set, switched. */
describe('the proof', () => {
  let record: RedashRecord;
  let damaged = 0;

  beforeAll(async () => {
    await Promise.all([database(source, REDASH_DATABASE, ROWS), database(target, REDASH_DATABASE)]);
    const app = await startRedashApp({ endpoint: asRedash(source), clients: 4, rate: 300 });
    try {
      await written(app, 50);
      await source.query('CREATE PUBLICATION everything FOR ALL TABLES', [], REDASH_DATABASE);
      const from = `host=${source.host} port=${source.port} dbname=${REDASH_DATABASE} user=postgres password=postgres`;
      await target.query(`CREATE SUBSCRIPTION moving CONNECTION '${from}' PUBLICATION everything`, [], REDASH_DATABASE);
      const ask = async (server: PostgresServer, text: string) =>
        Object.values((await server.query(text, [], REDASH_DATABASE))[0] ?? {})[0];
      await until('all tables are copied', async () => {
        return (await ask(target, `SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel`)) === true;
      });
      await written(app, app.stats().acknowledged + 400);
      await source.query('ALTER ROLE redash NOLOGIN');
      await until('no session is left', async () => {
        await source.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'redash'`);
        return (await ask(source, `SELECT count(*)::int FROM pg_stat_activity WHERE usename = 'redash'`)) === 0;
      });
      const fence = String(await ask(source, 'SELECT pg_current_wal_insert_lsn()'));
      await until('drained', async () => {
        const passed = `SELECT confirmed_flush_lsn >= '${fence}' FROM pg_replication_slots WHERE slot_name = 'moving'`;
        return (await ask(source, passed)) === true;
      });
      await target.query('DROP SUBSCRIPTION moving', [], REDASH_DATABASE);
      const sequences = await source.query<{ name: string }>(
        `SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'S'`,
        [],
        REDASH_DATABASE,
      );
      for (const { name } of sequences) {
        const [state] = await source.query(`SELECT last_value, is_called FROM ${name}`, [], REDASH_DATABASE);
        await target.query(
          'SELECT setval($1, $2, $3)',
          [name, state!['last_value'], state!['is_called']],
          REDASH_DATABASE,
        );
      }
      app.switchTo(asRedash(target));
      await written(app, 400);
    } finally {
      record = await app.end();
    }
    expect(app.stats().endpoints[1]).toMatchObject({ keyConflicts: 0, errors: {} });
  });

  test('finds nothing where nothing was done', async () => {
    const found = await verifyRedash(asAdmin(source), asAdmin(target), record);
    expect(failuresOf(found)).toEqual([]);
    expect(found.writes).toMatchObject(CLEAN);
    expect(found.writes.acknowledged).toBeGreaterThan(800);
    expect(found.comparison.tables).toBe(20);
    expect(found.comparison.rows).toBeGreaterThan(ROWS * 0.9);
    expect(found.comparison.compared.sequences).toBe(20);
    expect(found.sequences).toEqual({ columns: 20, behind: [] });
    expect(found.strayWrites).toBe(0);
  });

  /** The last acknowledged write that still stands in its row, of the kind asked for. */
  function standing(holds: (write: RecordedWrite, effect: Effect) => boolean): { id: number; write: RecordedWrite } {
    const seen = new Set<string>();
    for (const write of [...record.writes].reverse()) {
      for (const effect of write.effects) {
        const [table, id] = effect;
        const first = !seen.has(`${table} ${id}`);
        seen.add(`${table} ${id}`);
        if (first && write.outcome === 'acknowledged' && holds(write, effect)) return { id, write };
      }
    }
    throw new Error('the application has written no such thing');
  }
  const shown = (table: string, endpoint: number) =>
    standing((write, [name, , value]) => name === table && value !== null && write.endpoint === endpoint).id;

  const cases: [damage: string, sql: () => string, finds: RegExp][] = [
    ['a lost insert', () => `DELETE FROM events WHERE id = ${shown('events', 0)}`, /^1 acknowledged writes are lost$/],
    [
      'a lost insert, said by name',
      () => `DELETE FROM changes WHERE id = ${shown('changes', 0)}`,
      /by 127.0.0.1:\d+: changes \d+ should show .*, and is not there/,
    ],
    [
      'a write lost on the target',
      () => `DELETE FROM changes WHERE id = ${shown('changes', 1)}`,
      /^1 acknowledged writes are lost$/,
    ],
    [
      'a lost update',
      () => `UPDATE users SET details = '{"active_at": 1}' WHERE id = ${shown('users', 1)}`,
      /should show .*, and shows what was there before/,
    ],
    [
      'a value that was cut',
      () =>
        `UPDATE query_results SET data = jsonb_build_object('mark', data::json ->> 'mark', 'filler', left(data::json ->> 'filler', 99)) WHERE id = ${shown('query_results', 0)}`,
      /has its mark, and other contents/,
    ],
    [
      'a deletion that was lost',
      () => {
        const { id } = standing((_, [table, , value]) => table === 'widgets' && value === null);
        return `INSERT INTO widgets (id, dashboard_id) SELECT ${id}, 1`;
      },
      /widgets \d+ should be deleted, and shows what was there before/,
    ],
    [
      'a write that is there twice',
      () =>
        `INSERT INTO events (org_id, user_id, action, object_type, additional_properties) SELECT org_id, user_id, action, object_type, additional_properties FROM events WHERE id = ${shown('events', 1)}`,
      /^1 rows show a write that was never made there$/,
    ],
    [
      'a lost row of old',
      () => 'DELETE FROM access_permissions WHERE id = 3',
      /rows differ: public.access_permissions: source: 1 rows that the target has not: \(3\)/,
    ],
    [
      'a row too many',
      () =>
        `INSERT INTO access_permissions SELECT 999, object_type, 1, access_type, grantor_id, grantee_id FROM access_permissions LIMIT 1`,
      /rows that the source has not: \(999\)/,
    ],
    [
      'a value that is nearly the same',
      () => `UPDATE organizations SET updated_at = updated_at + interval '1 microsecond'`,
      /rows differ: public.organizations: .*1 rows with other values: \(1\)/,
    ],
    [
      'NULL for an empty text',
      () => `UPDATE visualizations SET description = NULL WHERE id = (SELECT min(id) FROM visualizations)`,
      /rows differ: public.visualizations/,
    ],
    [
      'a search vector that did not arrive',
      () =>
        `ALTER TABLE queries DISABLE TRIGGER USER; UPDATE queries SET search_vector = NULL WHERE id = 1; ALTER TABLE queries ENABLE TRIGGER USER`,
      /^1 search vectors are wrong$/,
    ],
    [
      'a missing table',
      () => 'DROP TABLE alembic_version',
      /rows differ: public.alembic_version: source: a table; target: nothing/,
    ],
    [
      'a missing index',
      () => 'DROP INDEX ix_queries_live',
      /indexes differ: public.queries.ix_queries_live: .*WHERE \(NOT is_archived\); target: nothing/,
    ],
    [
      'an index that was not finished',
      () => `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_queries_tags'::regclass`,
      /indexes differ: .*INVALID/,
    ],
    [
      'a missing constraint',
      () => 'ALTER TABLE favorites DROP CONSTRAINT unique_favorite',
      /constraints differ: public.favorites.unique_favorite/,
    ],
    [
      'a foreign key that was not validated',
      () =>
        'ALTER TABLE alerts DROP CONSTRAINT alerts_query_id_fkey, ADD CONSTRAINT alerts_query_id_fkey FOREIGN KEY (query_id) REFERENCES queries NOT VALID',
      /constraints differ: public.alerts.alerts_query_id_fkey: .*NOT VALID/,
    ],
    [
      'a trigger that is off',
      () => 'ALTER TABLE queries DISABLE TRIGGER queries_search_vector_trigger',
      /triggers differ: .*queries_search_vector_trigger.*DISABLED/,
    ],
    [
      'a trigger that fires for replicas alone',
      () => 'ALTER TABLE queries ENABLE REPLICA TRIGGER queries_search_vector_trigger',
      /triggers differ: .*REPLICA/,
    ],
    [
      'foreign keys that are off',
      () => 'ALTER TABLE widgets DISABLE TRIGGER ALL',
      /triggers differ: public.widgets.widgets_dashboard_id_fkey .*DISABLED/,
    ],
    [
      'a missing default',
      () => 'ALTER TABLE queries ALTER is_draft DROP DEFAULT',
      /columns differ: public.queries.is_draft/,
    ],
    [
      'an identity that is none',
      () => 'ALTER TABLE api_keys ALTER id DROP IDENTITY',
      /columns differ: public.api_keys.id: .*identity d/,
    ],
    [
      'a sequence of a column that is behind',
      () => `SELECT setval('events_id_seq', 1)`,
      /sequences differ: public.events_id_seq: .*behind/,
    ],
    [
      'a sequence that no column owns, behind',
      () => `SELECT setval('change_numbers', 1000, false)`,
      /the next inserts will meet a key conflict: public.changes.change_number/,
    ],
    [
      'an identity’s sequence that is behind',
      () => `SELECT setval('api_keys_id_seq', 1)`,
      /the next inserts will meet a key conflict: public.api_keys.id/,
    ],
    [
      'a sequence with another increment',
      () => 'ALTER SEQUENCE change_numbers INCREMENT 1',
      /sequences differ: .* by 7.* by 1,/,
    ],
    [
      'a role that may not write',
      () => 'ALTER TABLE events OWNER TO postgres',
      /privileges differ: public.events for redash: source: SELECT INSERT UPDATE DELETE; target: $/,
    ],
    [
      'another view',
      () =>
        'CREATE OR REPLACE VIEW live_queries AS SELECT q.id, q.name, u.email AS owner, now() AS retrieved_at, 1::float8 AS runtime FROM queries q JOIN users u ON u.id = q.user_id',
      /views differ: public.live_queries/,
    ],
    [
      'another function',
      () =>
        `CREATE OR REPLACE FUNCTION queries_search_vector_update() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
      /functions differ: queries_search_vector_update/,
    ],
    ['a lost comment', () => 'COMMENT ON TABLE query_results IS NULL', /comments differ: public.query_results/],
  ];

  test.each(cases)('finds %s', async (_what, sql, finds) => {
    const name = `damaged_${(damaged += 1)}`;
    await target.query(`CREATE DATABASE ${name} TEMPLATE ${REDASH_DATABASE}`);
    endings.push(() => target.query(`DROP DATABASE ${name} WITH (FORCE)`));
    await withClient(asAdmin(target, name), 'test', (client) =>
      client.query(`SET allow_system_table_mods = on; ${sql()}`),
    );
    const there: RedashRecord = {
      ...record,
      endpoints: [record.endpoints[0]!, { ...record.endpoints[1]!, database: name }],
    };
    const failures = failuresOf(await verifyRedash(asAdmin(source), asAdmin(target, name), there));
    expect(
      failures.filter((text) => finds.test(text.replaceAll('\n', ' '))),
      failures.join('\n'),
    ).not.toEqual([]);
  });

  test('a condition that a restored dump writes in another way is the same, another one is not', async () => {
    const name = `damaged_${(damaged += 1)}`;
    await target.query(`CREATE DATABASE ${name} TEMPLATE ${REDASH_DATABASE}`);
    endings.push(() => target.query(`DROP DATABASE ${name} WITH (FORCE)`));
    const written = `SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conname = 'alerts_state_check'`;
    const [first] = await source.query<{ text: string }>(written, [], REDASH_DATABASE);
    const set = async (condition: string) => {
      const alter = `ALTER TABLE alerts DROP CONSTRAINT alerts_state_check, ADD CONSTRAINT alerts_state_check ${condition}`;
      await target.query(alter, [], name);
      return (await compareDatabases(asAdmin(source), asAdmin(target, name))).differences.filter(
        ({ kind }) => kind === 'constraints',
      );
    };
    expect(await set(first!.text)).toEqual([]);
    const [restored] = await target.query<{ text: string }>(written, [], name);
    expect(restored!.text).not.toBe(first!.text);
    expect(await set(`${first!.text.replace("'triggered'", "'raised'")} NOT VALID`)).toHaveLength(1);
    expect(
      await set(first!.text.replace("'triggered'::character varying", "'triggered'::character varying, 'x'")),
    ).toHaveLength(1);
  });

  test('a source that takes writes after the switch is found', async () => {
    const last = record.writes.findLast(({ endpoint }) => endpoint === 0)!;
    const late = { ...last, at: Math.max(...record.writes.map(({ at }) => at ?? 0)) };
    const writes = record.writes.map((write) => (write === last ? late : write));
    const found = await verifyRedash(asAdmin(source), asAdmin(target), { ...record, writes });
    expect(failuresOf(found)).toContain('the source acknowledged 1 writes after the switch');
  });
});
