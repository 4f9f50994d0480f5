/** A target as RDS gives it: the worker is no superuser there. Everything that is done to it, start to end and back. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { copyByHand } from '../activities/postgres/copy-by-hand.ts';
import { fencePostgres, liftPostgresFence } from '../activities/postgres/fence-activities.ts';
import { validateForeignKeys } from '../activities/postgres/foreign-keys.ts';
import { closeTargetIfUnwritten, openTarget } from '../activities/postgres/opening.ts';
import { prepareOwnSchema, removeOwnSchema } from '../activities/postgres/own-schema.ts';
import { compareSchema, copySchema } from '../activities/postgres/schema-copy.ts';
import { finishSchema } from '../activities/postgres/schema-finish.ts';
import { removeTargetTables } from '../activities/postgres/schema-remove.ts';
import { setSequences } from '../activities/postgres/sequences.ts';
import { planTables } from '../activities/postgres/tables.ts';
import { analyzeTarget, makeTargetReady } from '../activities/postgres/target-ready.ts';
import { verifyTables } from '../activities/postgres/verify.ts';
import type { Postgres } from '../spec/kind-postgres.ts';
import { act, NASTY_ROWS, NASTY_SCHEMA, startStage, type PostgresStage } from './postgres-stage.ts';

let stage: PostgresStage;
beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage?.end());

test('a worker with CREATEROLE, pg_signal_backend and membership in the owners is enough', async () => {
  const pair = await stage.fresh({
    tables: { exclude: ['*.*'], copyByHand: ['*.*'], leaveOut: ['public.secret_left'] },
    cutover: { applicationRoles: ['app', 'App 2'], ignoreRoles: ['postgres'] },
    abort: { dropTargetTables: true },
  });
  const { database } = pair.migration.target;
  await stage.target.query(`CREATE ROLE master CREATEROLE CREATEDB LOGIN PASSWORD 'worker-password'`);
  await stage.target.query(`GRANT pg_signal_backend, app, "App 2" TO master`);
  await stage.target.query(`GRANT SET ON PARAMETER session_replication_role TO master`);
  await stage.target.query(`ALTER DATABASE "${database}" OWNER TO master`);
  await pair.target('GRANT CREATE ON SCHEMA public TO app');
  await pair.source(NASTY_SCHEMA);
  await pair.source(NASTY_ROWS);
  const migration: Postgres = { ...pair.migration, target: { ...pair.migration.target, user: 'master' } };
  const plan = await act(planTables, { migration });
  const all = { migration, plan };
  const input = { migration, cutover: 1 };

  await act(prepareOwnSchema, { migration });
  await act(copySchema, all);
  await act(finishSchema, all);
  await act(analyzeTarget, all);
  await act(fencePostgres, input);
  await act(copyByHand, { ...all, ahead: { tables: [] } });
  await act(setSequences, all);
  await act(validateForeignKeys, { ...all, touching: 'by-hand' as const });
  await act(makeTargetReady, all);
  expect(await act(compareSchema, all)).toEqual({ equal: true, differences: [] });
  expect(await act(verifyTables, { ...all, which: 'all' as const, mode: 'checksum' as const })).toMatchObject({
    equal: true,
  });
  await act(openTarget, input);
  const app = await pair.connect('target');
  await app.query('SELECT count(*) FROM texts');
  expect(await act(closeTargetIfUnwritten, input)).toMatchObject({ outcome: 'not-switched' });
  await act(liftPostgresFence, { migration });
  await act(fencePostgres, { migration, cutover: 2 });
  await act(openTarget, { migration, cutover: 2 });
  const again = await pair.connect('target');
  await again.query(`INSERT INTO texts (body) VALUES ('first on the target')`);
  const outcome = await act(closeTargetIfUnwritten, { migration, cutover: 2 });
  expect(outcome.outcome).toBe('switched');
  expect(outcome.rowsWritten).toContainEqual({ table: 'public.texts', rows: 1 });
  await expect(act(removeTargetTables, all)).rejects.toThrow('is open for the application');
  const { leftovers } = await act(removeOwnSchema, { migration });
  expect(leftovers.join()).toContain('the record of the fence');
});

test('of replicated tables the largest value is found, whatever the type of its column', async () => {
  const pair = await stage.fresh({ tables: { leaveOut: ['public.out'] } });
  await pair.source(`
    CREATE DOMAIN long_text AS text;
    CREATE TABLE a (id integer PRIMARY KEY, t text, short varchar(10000), d long_text);
    CREATE TABLE "B ä" (b bytea, "j.1" jsonb, v varchar);
    CREATE TABLE out (t text);
    CREATE TABLE p (id integer, t text) PARTITION BY LIST (id);
    CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
    INSERT INTO a VALUES (1, repeat('x', 500), repeat('y', 9000), 'z'), (2, NULL, NULL, repeat('ß', 600));
    INSERT INTO out VALUES (repeat('x', 99999))`);
  const largest = async () => (await act(planTables, { migration: pair.migration })).largestLob;
  expect(await largest()).toBe(1200);
  await pair.source(`INSERT INTO "B ä" VALUES (decode(repeat('00', 5000), 'hex'), '{}', 'v')`);
  expect(await largest()).toBe(5000);
  await pair.source(`INSERT INTO "B ä" VALUES ('', to_jsonb(repeat('q', 7000)), 'v')`);
  expect(await largest()).toBe(7002);
  await pair.source(`INSERT INTO p VALUES (1, repeat('x', 8000))`);
  expect(await largest()).toBe(8000);
  await pair.source(`CREATE TABLE empty (t text)`);
  const plan = await act(planTables, { migration: pair.migration });
  expect(plan.tables.map(({ name, treatment }) => `${name} ${treatment}`)).toEqual([
    'B ä replicated',
    'a replicated',
    'empty replicated',
    'out left-out',
    'p replicated',
  ]);
});
