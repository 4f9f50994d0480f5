/** The schema from one real Postgres to another: created, compared, finished, validated, removed, and all of it again. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { copyByHand } from '../activities/postgres/copy-by-hand.ts';
import { validateForeignKeys } from '../activities/postgres/foreign-keys.ts';
import { prepareOwnSchema } from '../activities/postgres/own-schema.ts';
import { isSameEntry } from '../activities/postgres/schema-compare.ts';
import { compareSchema, copySchema } from '../activities/postgres/schema-copy.ts';
import { finishSchema } from '../activities/postgres/schema-finish.ts';
import { removeTargetTables } from '../activities/postgres/schema-remove.ts';
import { planTables } from '../activities/postgres/tables.ts';
import { analyzeTarget, makeTargetReady } from '../activities/postgres/target-ready.ts';
import { ErrorType } from '../spec/errors.ts';
import type { TablePlan } from '../spec/postgres-plan.ts';
import {
  act,
  failureOf,
  NASTY_ROWS,
  NASTY_SCHEMA,
  startStage,
  type Pair,
  type PostgresStage,
} from './postgres-stage.ts';

let stage: PostgresStage;
beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage?.end());

describe('a schema with every kind of object', () => {
  let pair: Pair;
  let plan: TablePlan;
  const all = () => ({ migration: pair.migration, plan });

  beforeEach(async () => {
    pair = await stage.fresh({
      tables: { exclude: ['*.*'], copyByHand: ['*.*'], leaveOut: ['public.secret_left'] },
      abort: { dropTargetTables: true },
    });
    await pair.source(NASTY_SCHEMA);
    await pair.source(NASTY_ROWS);
    plan = await act(planTables, { migration: pair.migration });
    await act(prepareOwnSchema, { migration: pair.migration });
  });

  test('the plan has every table once, and its way', () => {
    const named = plan.tables.map(({ schema, name, treatment }) => `${schema}.${name} ${treatment}`);
    expect(named).toEqual([
      'Lager.Ä.Artikel "A".b by-hand',
      'public.cache by-hand',
      'public.chicken by-hand',
      'public.child by-hand',
      'public.egg by-hand',
      'public.keyless by-hand',
      'public.parent by-hand',
      'public.parts by-hand',
      'public.secret_left left-out',
      'public.texts by-hand',
      'public.users by-hand',
    ]);
    const parts = plan.tables.find(({ name }) => name === 'parts')!;
    expect(parts.partitioned).toBe(true);
    expect(parts.bytes).toBeGreaterThan(0);
    expect(parts.primaryKey).toEqual(['id', 'at']);
    expect(plan.tables[0]!.primaryKey).toEqual(['Schlüssel 1', 'key.2']);
  });

  test('copied, loaded, finished, validated, ready: equal in the end, and twice is the same as once', async () => {
    const copied = await act(copySchema, all());
    expect(copied.created).toBeGreaterThan(20);
    expect(copied.leftOut.join('\n')).toMatch(/TABLE public.secret_left \(left out\)[^]*VIEW public.over_left \(needs/);
    expect(copied.notes.join('\n')).toContain('only here');
    const again = await act(copySchema, all());
    expect(again.created).toBe(0);
    expect(again.same).toBeGreaterThanOrEqual(copied.created);
    // What is built after the load is not there yet.
    const before = await pair.target(`SELECT count(*)::int AS n FROM pg_constraint WHERE contype = 'f'`);
    expect(before).toEqual([{ n: 0 }]);
    await act(copyByHand, { ...all(), ahead: { tables: [] } });

    const built = await act(finishSchema, all());
    expect(built).toMatchObject({ indexes: 5, triggers: 2 });
    expect(built.foreignKeys).toBe(4);
    expect(await act(finishSchema, all())).toMatchObject({ indexes: 0, foreignKeys: 0, triggers: 0, others: 0 });
    const open = await act(compareSchema, all());
    expect(open.equal).toBe(false);
    expect(open.differences.join('\n')).toContain('NOT VALID');
    expect((await failureOf(act(makeTargetReady, all()))).message).toContain('is not validated');

    // None is between replicated tables; all five touch tables copied by hand, the partitioned one is made now.
    expect(await act(validateForeignKeys, { ...all(), touching: 'replicated' as const })).toEqual({ validated: 0 });
    expect(await act(validateForeignKeys, { ...all(), touching: 'by-hand' as const })).toEqual({ validated: 5 });
    expect(await act(validateForeignKeys, { ...all(), touching: 'by-hand' as const })).toEqual({ validated: 0 });
    expect(await act(compareSchema, all())).toEqual({ equal: true, differences: [] });
    expect((await act(makeTargetReady, all())).detail).toContain('1 materialized views refreshed');
    expect(await act(analyzeTarget, all())).toEqual({ tables: 10 });
    expect(await pair.target('SELECT n::int FROM over_counts')).toEqual([{ n: 200 }]);

    // The application has its own tables, and the grants of the source.
    const app = await pair.connect('target');
    await app.query(`INSERT INTO texts (id, body) VALUES (5000, 'hello world')`);
    const { rows } = await app.query('SELECT vector::text AS v FROM texts WHERE id = 5000');
    expect(rows[0]).toEqual({ v: `'hello':1 'world':2` });
    await app.query('ALTER TABLE texts ADD COLUMN later integer');
    await app.end();
    expect((await act(compareSchema, all())).differences.join()).toContain('+ later integer');
  });

  test('an object that is there and is another is shown as a diff before anything is created', async () => {
    await pair.target(`CREATE TABLE public.keyless (a bigint, b text)`);
    const failure = await failureOf(act(copySchema, all()));
    expect(failure.type).toBe(ErrorType.differs);
    expect(failure.message).toMatch(/TABLE public.keyless:\n- a integer,\n\+ a bigint,/);
    expect(await pair.target(`SELECT to_regclass('public.users') IS NULL AS none`)).toEqual([{ none: true }]);
    await pair.target('DROP TABLE public.keyless; CREATE TABLE public.keyless (a integer, b text)');
    expect((await act(copySchema, all())).same).toBe(1);
  });

  test('the undo drops what was created and nothing else, and it can all be done again', async () => {
    await pair.target(`CREATE TABLE public.keyless (a integer, b text); CREATE TABLE public.mine (id integer)`);
    const first = await act(copySchema, all());
    await act(finishSchema, all());
    await act(validateForeignKeys, { ...all(), touching: 'by-hand' as const });
    expect(await act(removeTargetTables, all())).toEqual({ leftovers: [] });
    const left = await pair.target(
      `SELECT relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'cutover') ORDER BY 1`,
    );
    expect(left).toEqual([{ name: 'keyless' }, { name: 'mine' }]);
    expect(await act(removeTargetTables, all())).toEqual({ leftovers: [] });
    expect((await act(copySchema, all())).created).toBe(first.created);
    // What somebody else has hung on it stays, and is named.
    await pair.target('CREATE VIEW public.theirs AS SELECT id FROM public.users');
    const { leftovers } = await act(removeTargetTables, all());
    expect(leftovers.join('\n')).toMatch(/^TABLE public.users: /m);
    const keep = { ...pair.migration, abort: { dropTargetTables: false } };
    expect((await act(removeTargetTables, { migration: keep, plan })).leftovers.join()).toContain('public.users');
  });

  test('create: false compares, and creates nothing', async () => {
    const migration = { ...pair.migration, schema: { ...pair.migration.schema, create: false } };
    const failure = await failureOf(act(copySchema, { migration, plan }));
    expect(failure.type).toBe(ErrorType.differs);
    expect(failure.message).toContain('missing on the target');
    expect(await pair.target(`SELECT to_regclass('public.users') IS NULL AS none`)).toEqual([{ none: true }]);
    await act(copySchema, all());
    expect((await act(copySchema, { migration, plan })).created).toBe(0);
  });

  test('a key that the rows break is named, and the target is not ready', async () => {
    await act(copySchema, all());
    await act(copyByHand, { ...all(), ahead: { tables: [] } });
    await act(finishSchema, all());
    await pair.target(`SET session_replication_role = replica; DELETE FROM public.users WHERE id = 10`);
    const failure = await failureOf(act(validateForeignKeys, { ...all(), touching: 'by-hand' as const }));
    expect(failure.type).toBe(ErrorType.differs);
    expect(failure.message).toMatch(/Artikel|parts|users/);
  });

  test('a pg_dump that is too old, or none, is said with its mend', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cutover-old-dump-'));
    const old = join(folder, 'pg_dump');
    writeFileSync(old, '#!/bin/sh\necho "pg_dump (PostgreSQL) 12.3"\n', { mode: 0o755 });
    process.env['CUTOVER_PG_DUMP'] = old;
    try {
      const failure = await failureOf(act(copySchema, all()));
      expect(failure.type).toBe(ErrorType.invalid);
      expect(failure.message).toContain('is of version 12, and a server of version 15');
      expect(failure.details[0].remedy).toContain('postgresql-client-15');
    } finally {
      rmSync(folder, { recursive: true });
    }
    process.env['CUTOVER_PG_DUMP'] = '/nowhere/pg_dump';
    try {
      const failure = await failureOf(act(copySchema, all()));
      expect(failure.type).toBe(ErrorType.notFound);
      expect(failure.details[0].remedy).toContain('CUTOVER_PG_DUMP');
    } finally {
      delete process.env['CUTOVER_PG_DUMP'];
    }
  });
});

test('a text that the other version writes differently is the same only as long as neither side has changed', () => {
  const entry = (sql: string) => ({
    dumpId: 1,
    catalog: 1259,
    oid: 1,
    tag: 'v',
    kind: 'VIEW',
    schema: 'public',
    owner: 'a',
    sql,
    dropSql: '',
    needs: [],
    key: 'k',
  });
  const [ours, theirs] = ['CREATE VIEW v AS SELECT t.id FROM t;', 'CREATE VIEW v AS SELECT id FROM t;'];
  const row = { key: 'k', kind: 'VIEW', name: 'v', dropSql: '', sourceText: ours, targetText: theirs };
  expect(isSameEntry(entry(ours), entry(theirs), undefined, false)).toBe(false);
  expect(isSameEntry(entry(ours), entry(theirs), row, false)).toBe(true);
  expect(isSameEntry(entry(`${ours} --`), entry(theirs), row, false)).toBe(false);
  expect(isSameEntry(entry(ours), entry(`${theirs} --`), row, false)).toBe(false);
  // A crash came right after it was made.
  expect(isSameEntry(entry(ours), entry(theirs), { ...row, targetText: null }, false)).toBe(true);
});
