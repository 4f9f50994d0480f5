import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { drained, newStage, startPair, tableOf, until } from './sandbox-dms-engine-setup.ts';
import type { Pair, Stage, TaskOptions } from './sandbox-dms-engine-setup.ts';
import type { TaskEngine } from '../sandbox/aws/dms/engine/contract.ts';

vi.setConfig({ testTimeout: 120_000 });

let pair: Pair;
let stage: Stage;

beforeAll(async () => {
  pair = await startPair();
}, 60_000);
afterAll(() => pair?.close(), 60_000);
beforeEach(async () => {
  stage = await newStage(pair);
});
afterEach(() => stage.close(), 60_000);

/** Runs a task until its load is through, then until its changes are applied: `after` is run on the source in between. */
async function moved(options: TaskOptions, after = ''): Promise<{ engine: TaskEngine; ends: unknown[] }> {
  await stage.both('CREATE TABLE done (id int PRIMARY KEY)');
  const { engine, ends } = stage.task(options);
  await engine.start('start-replication');
  await until(
    'loaded',
    () => engine.stats().TablesLoaded + engine.stats().TablesErrored === engine.tableStatistics().length,
  );
  if (after !== '') await stage.source(after);
  await stage.source('INSERT INTO done VALUES (1)');
  await drained(stage, ['done']);
  return { engine, ends };
}

test('types that are not moved arrive as NULL, the odd ones that are arrive', async () => {
  await stage.both(`CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE TYPE pair AS (a int, b int); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE t (id int PRIMARY KEY, v tsvector, c pair, r int4range, p point, e mood, d positive, ip inet, u uuid, j jsonb, a text[], b bytea,
      big numeric, exact numeric(12, 2), at timestamptz, twice int GENERATED ALWAYS AS (id * 2) STORED, bits bit(4), f float8, i interval)`);
  const values = (id: number): string =>
    `(${id}, 'a b'::tsvector, '(1,2)', '[1,5)', '(1,2)', 'it''s ok', 3, '10.0.0.1/8', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"k": [1, "ü"]}',
      ARRAY['x,"y', NULL, E'z\\\\'], '\\x00ff', 1.123456789, 7.10, 'infinity', DEFAULT, B'1010', 0.1, '1 mon 2 days')`;
  await stage.source(`INSERT INTO t VALUES ${values(1)}`);
  await moved({}, `INSERT INTO t VALUES ${values(2)}`);
  const rows = await stage.target<Record<string, unknown>>(
    'SELECT r.*, r.a::text AS a, b::text AS b, at::text AS at, i::text AS i, exact::text AS exact, big::text AS big FROM t AS r ORDER BY id',
  );
  expect(rows).toHaveLength(2);
  for (const [index, row] of rows.entries()) {
    expect(row).toMatchObject({
      v: null,
      c: null,
      r: null,
      p: null,
      e: "it's ok",
      d: 3,
      ip: '10.0.0.1/8',
      u: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
      j: { k: [1, 'ü'] },
      a: String.raw`{"x,\"y",NULL,"z\\"}`,
      b: String.raw`\x00ff`,
      exact: '7.10',
      big: '1.123457',
      twice: 2 * (index + 1),
      bits: '1010',
      f: 0.1,
      i: '1 mon 2 days',
    });
    expect(row['at']).toMatch(/^9999-12-31/);
  }
});

test('without a primary key: updates, deletes and text are lost, an array suspends the table', async () => {
  await stage.both('CREATE TABLE bare (n int, note text, tag varchar(9)); CREATE TABLE listed (n int, list int[])');
  await stage.source(
    `INSERT INTO bare VALUES (1, 'lost', 'kept'), (2, 'lost', 'kept'); ALTER TABLE bare REPLICA IDENTITY FULL`,
  );
  const { engine } = await moved(
    {},
    `UPDATE bare SET tag = 'x' WHERE n = 1; DELETE FROM bare WHERE n = 2; INSERT INTO bare VALUES (3, 'lost', 'kept')`,
  );
  expect(await stage.target('SELECT * FROM bare ORDER BY n')).toEqual(
    [1, 2, 3].map((n) => ({ n, note: null, tag: 'kept' })),
  );
  expect(tableOf(engine, 'bare')).toMatchObject({
    Inserts: 1,
    AppliedInserts: 1,
    Updates: 1,
    AppliedUpdates: 0,
    Deletes: 1,
    AppliedDeletes: 0,
  });
  expect(tableOf(engine, 'listed').TableState).toBe('Table error');
});

test('primary keys that change, and TRUNCATE, do not arrive', async () => {
  await stage.both('CREATE TABLE t (id int PRIMARY KEY, n int); CREATE TABLE cleared (id int PRIMARY KEY)');
  await stage.source('INSERT INTO t VALUES (1, 1); INSERT INTO cleared VALUES (1)');
  const { engine } = await moved({}, 'UPDATE t SET id = 9; TRUNCATE cleared; INSERT INTO cleared VALUES (2)');
  expect(await stage.target('SELECT * FROM t')).toEqual([{ id: 1, n: 1 }]);
  expect(await stage.target('SELECT * FROM cleared ORDER BY id')).toEqual([{ id: 1 }, { id: 2 }]);
  expect(tableOf(engine, 'cleared')).toMatchObject({ Ddls: 1, AppliedDdls: 0 });
});

test('LOBs: cut in limited mode, whole in full mode, and the end of the task where it says so', async () => {
  const long = `repeat('x', 3000)`;
  const limited = { TargetMetadata: { LimitedSizeLobMode: true, LobMaxSize: 1 } };
  await stage.both('CREATE TABLE t (id int PRIMARY KEY, note text)');
  await stage.source(`INSERT INTO t VALUES (1, ${long})`);
  const first = await moved(
    { settings: limited },
    `INSERT INTO t VALUES (2, ${long}); UPDATE t SET note = note || 'y' WHERE id = 1`,
  );
  expect(await stage.target('SELECT id, length(note) AS n FROM t ORDER BY id')).toEqual([
    { id: 1, n: 1024 },
    { id: 2, n: 1024 },
  ]);
  await first.engine.remove();
  const failing = stage.task({ settings: limited, sourceSettings: { FailTasksOnLobTruncation: true } });
  await failing.engine.start('start-replication');
  await until('ended', () => failing.ends.length > 0);
  expect(failing.ends).toMatchObject([
    { status: 'failed', reason: 'FATAL_ERROR', message: expect.stringMatching(/LOB.*'note'.*LobMaxSize/) as string },
  ]);
  await failing.engine.remove();
  const full = stage.task({
    settings: { TargetMetadata: { FullLobMode: true, LimitedSizeLobMode: false, LobMaxSize: 0 } },
  });
  await full.engine.start('start-replication');
  await drained(stage, ['t']);
});

test('DROP_AND_CREATE makes tables with the primary key alone; TRUNCATE fails at a foreign key', async () => {
  await stage.both(`CREATE TABLE parent (id int PRIMARY KEY, ok boolean DEFAULT true, j jsonb, e varchar(7) NOT NULL, n numeric);
    CREATE INDEX by_e ON parent (e); CREATE TABLE child (id int PRIMARY KEY, parent int)`);
  await stage.source(`INSERT INTO parent VALUES (1, true, '{}', 'e', 1.5)`);
  const { engine } = await moved({ settings: { FullLoadSettings: { TargetTablePrepMode: 'DROP_AND_CREATE' } } });
  const columns = await stage.target(
    `SELECT column_name AS c, data_type AS t, column_default AS d FROM information_schema.columns WHERE table_name = 'parent' ORDER BY ordinal_position`,
  );
  expect(columns).toEqual([
    { c: 'id', t: 'integer', d: null },
    { c: 'ok', t: 'character varying', d: null },
    { c: 'j', t: 'text', d: null },
    { c: 'e', t: 'character varying', d: null },
    { c: 'n', t: 'numeric', d: null },
  ]);
  expect(await stage.target(`SELECT indexname FROM pg_indexes WHERE tablename = 'parent'`)).toEqual([
    { indexname: 'parent_pkey' },
  ]);
  expect(await stage.target('SELECT ok, e, n FROM parent')).toEqual([{ ok: 'true', e: 'e', n: '1.500000' }]);
  await engine.remove();
  await stage.target('ALTER TABLE child ADD FOREIGN KEY (parent) REFERENCES parent');
  const second = stage.task();
  await second.engine.start('start-replication');
  await until('suspended', () => tableOf(second.engine, 'parent').TableState === 'Table error');
});

test('a partitioned table: its root alone takes what goes to its partitions; partitions alone are plain tables', async () => {
  const ddl = `CREATE TABLE events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE events_a PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
    CREATE TABLE events_b PARTITION OF events FOR VALUES FROM ('2026-07-01') TO ('2027-01-01')`;
  await stage.both(ddl);
  const rows = (from: number): string =>
    `INSERT INTO events SELECT i, date '2026-06-01' + i FROM generate_series(${from}, ${from + 50}) AS i`;
  await stage.source(rows(1));
  const root = stage.task({ rules: [['include', 'public', 'events']] });
  await root.engine.start('start-replication');
  await until('loaded', () => root.engine.stats().TablesLoaded === 1);
  await stage.source(`${rows(60)}; DELETE FROM events WHERE id = 3`);
  await drained(stage, ['events']);
  expect(root.engine.tableStatistics().map(({ TableName }) => TableName)).toEqual(['events']);
  await root.engine.remove();
  const leaves = stage.task({ rules: [['include', 'public', 'events_%']] });
  await leaves.engine.start('start-replication');
  await stage.source(rows(120));
  await drained(stage, ['events']);
  expect(leaves.engine.tableStatistics().map(({ TableName }) => TableName)).toEqual(['events_a', 'events_b']);
});

test('policies: a change that fails is logged, ignored, suspends its table or stops the task', async () => {
  await stage.both('CREATE TABLE t (id int PRIMARY KEY, n int)');
  await stage.target('ALTER TABLE t ADD CHECK (n < 100)');
  const bad = 'INSERT INTO t VALUES (1, 1), (2, 500), (3, 3); UPDATE t SET n = 4 WHERE id = 3';
  const outcomes: Record<string, unknown> = {};
  for (const policy of ['LOG_ERROR', 'IGNORE_RECORD', 'SUSPEND_TABLE', 'STOP_TASK']) {
    await stage.source('DELETE FROM t');
    const { engine, ends } = stage.task({
      rules: [['include', 'public', 't']],
      settings: { ErrorBehavior: { ApplyErrorInsertPolicy: policy } },
    });
    await engine.start('start-replication');
    await until('loaded', () => engine.stats().TablesLoaded === 1);
    await stage.source(bad);
    await until(
      'decided',
      async () =>
        ends.length > 0 ||
        tableOf(engine, 't').TableState === 'Table error' ||
        (await stage.target('SELECT FROM t WHERE n = 4')).length === 1,
    );
    const logged = await stage.target<{ TABLE_NAME: string; ERROR: string }>('SELECT * FROM awsdms_apply_exceptions');
    outcomes[policy] = [tableOf(engine, 't').TableState, ends.length, logged.length];
    if (policy === 'LOG_ERROR')
      expect(logged[0]).toMatchObject({
        TABLE_NAME: 't',
        ERROR: expect.stringMatching(/violates check constraint/) as string,
      });
    await stage.target('DELETE FROM awsdms_apply_exceptions');
    await engine.remove();
  }
  expect(outcomes).toEqual({
    LOG_ERROR: ['Table completed', 0, 1],
    IGNORE_RECORD: ['Table completed', 0, 0],
    SUSPEND_TABLE: ['Table error', 0, 0],
    STOP_TASK: ['Table completed', 1, 0],
  });
}, 120_000);

test('rows that fail in the load: logged and lost, or the table suspended', async () => {
  await stage.both('CREATE TABLE t (id int PRIMARY KEY, n int)');
  await stage.target('ALTER TABLE t ADD CHECK (n <> 77)');
  await stage.source('INSERT INTO t SELECT i, i FROM generate_series(1, 100) AS i');
  const logging = stage.task({ settings: { ErrorBehavior: { DataErrorPolicy: 'LOG_ERROR' } } });
  await logging.engine.start('start-replication');
  await until('loaded', () => logging.engine.stats().TablesLoaded === 1);
  expect(tableOf(logging.engine, 't').FullLoadRows).toBe(99);
  expect(await stage.target('SELECT FROM awsdms_apply_exceptions')).toHaveLength(1);
  await logging.engine.remove();
  const strict = stage.task({ settings: { ErrorBehavior: { DataErrorPolicy: 'SUSPEND_TABLE' } } });
  await strict.engine.start('start-replication');
  await until('suspended', () => tableOf(strict.engine, 't').TableState === 'Table error');
});

test('validation finds what was damaged, and forgets it when it is mended', async () => {
  await stage.both('CREATE TABLE t (id int, k text, n int, PRIMARY KEY (id, k)); CREATE TABLE bare (n int)');
  await stage.source(`INSERT INTO t SELECT i, 'k' || i, i FROM generate_series(1, 500) AS i`);
  const { engine } = await moved({
    settings: {
      ValidationSettings: { EnableValidation: true, PartitionSize: 100 },
      ControlTablesSettings: { StatusTableEnabled: true },
    },
    sourceSettings: { HeartbeatEnable: true },
  });
  await until('validated', () => tableOf(engine, 't').ValidationState === 'Validated');
  expect(tableOf(engine, 'bare').ValidationState).toBe('No primary key');
  await stage.target(
    `UPDATE t SET n = -1 WHERE id = 250; DELETE FROM t WHERE id = 251; INSERT INTO t VALUES (9999, 'k', 1)`,
  );
  await engine.reloadTables([{ schema: 'public', table: 't' }], 'validate-only');
  await until('found', () => tableOf(engine, 't').ValidationFailedRecords === 3);
  expect(tableOf(engine, 't').ValidationState).toBe('Mismatched records');
  const failures = await stage.target(
    'SELECT "FAILURE_TYPE" AS type, "KEY" AS key FROM awsdms_control.awsdms_validation_failures_v1 ORDER BY 1',
  );
  expect(failures).toEqual([
    { type: 'MISSING_SOURCE', key: '{"id":"9999","k":"k"}' },
    { type: 'MISSING_TARGET', key: '{"id":"251","k":"k251"}' },
    { type: 'RECORD_DIFF', key: '{"id":"250","k":"k250"}' },
  ]);
  await stage.target(
    `UPDATE t SET n = 250 WHERE id = 250; INSERT INTO t VALUES (251, 'k251', 251); DELETE FROM t WHERE id = 9999`,
  );
  await engine.reloadTables([{ schema: 'public', table: 't' }], 'validate-only');
  await until('mended', () => tableOf(engine, 't').ValidationState === 'Validated');
  expect(await stage.target('SELECT FROM awsdms_control.awsdms_validation_failures_v1')).toEqual([]);
  expect(await stage.target('SELECT task_status FROM awsdms_status')).toEqual([{ task_status: 'CHANGE PROCESSING' }]);
  expect(await stage.source('SELECT hb_key::int AS k FROM awsdms_heartbeat')).toEqual([{ k: 1 }]);
});
