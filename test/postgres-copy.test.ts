/** Rows and sequences from one real Postgres to another, and the proof that they are the same. */
import * as fc from 'fast-check';
import { escapeIdentifier } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { copyByHand } from '../activities/postgres/copy-by-hand.ts';
import { connectPostgres, withPostgres } from '../activities/postgres/connect.ts';
import { prepareOwnSchema } from '../activities/postgres/own-schema.ts';
import { copySchema } from '../activities/postgres/schema-copy.ts';
import { finishSchema } from '../activities/postgres/schema-finish.ts';
import { readAllSequences } from '../activities/postgres/sequence-values.ts';
import { setSequences } from '../activities/postgres/sequences.ts';
import { readSlots, retainedBytes } from '../activities/postgres/slots.ts';
import { planTables } from '../activities/postgres/tables.ts';
import { makeTargetReady } from '../activities/postgres/target-ready.ts';
import { verifyTables } from '../activities/postgres/verify.ts';
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
let pair: Pair;
let plan: TablePlan;
beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage?.end());

const all = () => ({ migration: pair.migration, plan });
const copy = () => act(copyByHand, { ...all(), ahead: { tables: [] } });
const verify = (mode: 'checksum' | 'count' = 'checksum') =>
  act(verifyTables, { ...all(), which: 'all' as const, mode });

/** The databases anew, with this on the source, and its schema on the target. */
async function begin(sql: string, more = {}): Promise<void> {
  pair = await stage.fresh({
    tables: { exclude: ['*.*'], copyByHand: ['*.*'], leaveOut: ['public.secret_left'] },
    ...more,
  });
  await pair.source(sql);
  await act(prepareOwnSchema, { migration: pair.migration });
  plan = await act(planTables, { migration: pair.migration });
  await act(copySchema, all());
}

describe('tables copied by hand', () => {
  beforeEach(async () => {
    await begin(NASTY_SCHEMA);
    await pair.source(NASTY_ROWS);
  });

  test('every type, key and name arrives; twice is the same as once; each kind of damage is found', async () => {
    expect((await verify()).equal).toBe(false);
    const copied = await copy();
    expect(copied.tables).toHaveLength(10);
    const of = (name: string) => copied.tables.find(({ table }) => table === name)!;
    expect(of('public.users')).toMatchObject({ rows: 200, binary: false });
    expect(of('public.texts')).toMatchObject({ rows: 150, binary: true });
    expect(of('public.parts')).toMatchObject({ rows: 150, binary: true });
    expect(of('public.parent')).toMatchObject({ rows: 1 });
    const equal = await verify();
    expect(equal).toMatchObject({ equal: true, differences: [], tables: 10 });
    expect(equal.rows).toBe(200 + 101 + 150 + 2 + 1 + 150 + 50 + 1 + 1 + 1);

    // With indexes, keys and triggers there, as it is inside the fence.
    await act(finishSchema, all());
    await pair.target(`ALTER TABLE texts ENABLE ALWAYS TRIGGER "Fill vector"`);
    await pair.source(
      `UPDATE texts SET body = 'changed' WHERE id = 3; SET session_replication_role = replica; UPDATE texts SET vector = NULL WHERE id = 4`,
    );
    await copy();
    expect((await verify()).equal).toBe(true);
    expect(await pair.target(`SELECT vector FROM texts WHERE id = 4`)).toEqual([{ vector: null }]);
    expect(await pair.target(`SELECT tgenabled FROM pg_trigger WHERE tgname = 'Fill vector'`)).toEqual([
      { tgenabled: 'A' },
    ]);

    await pair.target(`SET session_replication_role = replica;
      DELETE FROM users WHERE id = 20; UPDATE users SET f8 = f8 + 1e-13 WHERE id = 25; UPDATE keyless SET b = 'other' WHERE ctid IN (SELECT ctid FROM keyless LIMIT 1);
      INSERT INTO cache VALUES ('K', 'more'); UPDATE parts SET v = 'moved' WHERE id = 7;
      UPDATE "Lager.Ä"."Artikel ""A"".b" SET "Wert" = 'uu' WHERE "key.2" = 30`);
    const found = await verify();
    expect(found.equal).toBe(false);
    const difference = (table: string) => found.differences.find((one) => one.table === table);
    expect(Object.fromEntries(found.differences.map(({ table }) => [table, true]))).toEqual({
      'public.users': true,
      'public.keyless': true,
      'public.cache': true,
      'public.parts': true,
      '"Lager.Ä"."Artikel ""A"".b"': true,
    });
    expect(difference('public.users')).toMatchObject({ source: '200 rows' });
    expect(difference('public.users')!.target).toMatch(/^199 rows/);
    expect(difference('public.cache')!.target).toMatch(/^2 rows/);
    const explained = found.differences.map(({ target }) => target).join('\n');
    expect(explained).toMatch(/is missing on the target|has other values|is only on the target/);
    const byCount = await verify('count');
    expect(byCount.differences.map(({ table }) => table).sort()).toEqual(['public.cache', 'public.users']);
    await copy();
    expect((await verify()).equal).toBe(true);

    await pair.source('CREATE TABLE "new since" (id integer)');
    expect((await verify()).differences).toEqual([
      { table: 'public."new since"', source: 'made after the plan', target: 'not moved' },
    ]);
  });

  test('a failure in the middle leaves the table as it was', async () => {
    await copy();
    await pair.target('ALTER TABLE texts ADD CONSTRAINT never CHECK (id < 140) NOT VALID');
    expect((await failureOf(copy())).message).toContain('never');
    expect(await pair.target('SELECT count(*)::int AS n FROM texts')).toEqual([{ n: 150 }]);
    await pair.target('ALTER TABLE texts DROP CONSTRAINT never');
    await copy();
    expect((await verify()).equal).toBe(true);
  });

  test('what was copied ahead is only compared, and copied again where it has changed', async () => {
    const ahead = await copy();
    await pair.source(`INSERT INTO texts (body) VALUES ('late')`);
    const inside = await act(copyByHand, { ...all(), ahead });
    const skipped = inside.tables.filter((table) => table.skipped !== undefined).map(({ table }) => table);
    expect(skipped).toHaveLength(9);
    expect(skipped).not.toContain('public.texts');
    expect((await verify()).equal).toBe(true);
  });

  test('a role that may not sleep triggers is told how', async () => {
    await stage.target.query(`CREATE ROLE plain LOGIN PASSWORD 'worker-password'`);
    await pair.target(
      `GRANT USAGE ON SCHEMA public, "Lager.Ä" TO plain; GRANT ALL ON ALL TABLES IN SCHEMA public TO plain`,
    );
    const target = { ...pair.migration.target, user: 'plain' };
    const small = { ...plan, tables: plan.tables.filter(({ name }) => name === 'cache') };
    const failure = await failureOf(
      act(copyByHand, { migration: { ...pair.migration, target }, plan: small, ahead: { tables: [] } }),
    );
    expect(failure.type).toBe(ErrorType.denied);
    expect(failure.details[0].remedy).toContain('GRANT SET ON PARAMETER session_replication_role TO "plain"');
  });

  test('a target that sleeps, lacks a grant, or a trigger, is not ready', async () => {
    await copy();
    await act(finishSchema, all());
    const ready = () => failureOf(act(makeTargetReady, all()));
    await pair.target(`ALTER ROLE app SET session_replication_role = replica`);
    const asleep = await ready();
    expect(asleep.message).toContain('session_replication_role is replica for the role app');
    expect(asleep.details[0].remedy).toContain('ALTER ROLE "app" RESET session_replication_role');
    await pair.target(
      `ALTER ROLE app RESET session_replication_role; REVOKE UPDATE ON users FROM app; DROP TRIGGER asleep ON texts`,
    );
    const failure = await ready();
    const remedies = (failure.details[0].faults as { mend: string }[]).map(({ mend }) => mend).join('\n');
    expect(remedies).toContain('GRANT UPDATE ON TABLE "public"."users" TO "app"');
    expect(JSON.stringify(failure.details)).toContain('the trigger asleep of public.texts is missing');
    await stage.target.query(`ALTER SYSTEM SET session_replication_role = 'replica'`);
    await stage.target.query(`SELECT pg_reload_conf()`);
    try {
      expect((await ready()).message).toContain('for the server');
    } finally {
      await stage.target.query(`ALTER SYSTEM RESET session_replication_role`);
      await stage.target.query(`SELECT pg_reload_conf()`);
    }
  });

  test('sequences: owned or not, up and down, called or not, and read back', async () => {
    await pair.target(`SELECT setval('lone', 1), setval('texts_id_seq', 9999)`);
    const result = await act(setSequences, all());
    expect(result.missed).toEqual([]);
    const states = async (sql: Pair['source']) =>
      sql(
        `SELECT schemaname, sequencename, last_value::text FROM pg_sequences WHERE sequencename <> 'secret_left_id_seq' AND schemaname <> 'cutover' ORDER BY 1, 2`,
      );
    expect(await states(pair.target)).toEqual(await states(pair.source));
    expect(result.set).toBe((await states(pair.source)).length);
    for (const name of ['lone', 'round', '"Lager.Ä"."Nr ""1"""', 'texts_id_seq', 'users_id_seq']) {
      const next = (sql: Pair['source']) => sql(`SELECT nextval('${name}')::text AS next`);
      expect(await next(pair.target), name).toEqual(await next(pair.source));
    }
    await pair.target('ALTER SEQUENCE lone INCREMENT -4');
    const differs = await failureOf(act(setSequences, all()));
    expect(differs.type).toBe(ErrorType.differs);
    expect(differs.message).toContain('public.lone: increment -3 on the source, -4 on the target');
    await pair.target('DROP SEQUENCE lone');
    expect((await failureOf(act(setSequences, all()))).message).toContain('public.lone is missing');
  });

  test("the usual runbook's way reaches owned ones only, and says which it misses", async () => {
    await copy();
    const migration = {
      ...pair.migration,
      cutover: { ...pair.migration.cutover, sequences: { method: 'max-plus-one' as const, margin: 0 } },
    };
    const result = await act(setSequences, { migration, plan });
    expect(result.missed).toEqual(['"Lager.Ä"."Nr ""1"""', 'public.lone', 'public.round']);
    expect(await pair.target(`SELECT nextval('texts_id_seq')::int AS next`)).toEqual([{ next: 151 }]);
  });

  test('slots, and what they hold back', async () => {
    await pair.source(`SELECT pg_create_logical_replication_slot('probe', 'test_decoding')`);
    await pair.source(`INSERT INTO texts (body) VALUES ('more log')`);
    await withPostgres(pair.migration.source, { name: 'test' }, async (client) => {
      const [slot] = await readSlots(client);
      expect(slot).toMatchObject({ name: 'probe', plugin: 'test_decoding', active: false, walStatus: 'reserved' });
      expect(slot!.retainedBytes).toBeGreaterThan(0);
      expect(await retainedBytes(client, 'probe')).toBe(slot!.retainedBytes);
      expect(await retainedBytes(client, 'none')).toBeUndefined();
      await client.query(`SELECT pg_drop_replication_slot('probe')`);
    });
  });

  test('a wrong password, a missing database and a server that is away are told apart; no password is shown', async () => {
    process.env['STAGE_WRONG'] = 'wrong-secret-password';
    const { source } = pair.migration;
    const fails = (more: object) => failureOf(connectPostgres({ ...source, ...more }, { name: 'test' }));
    const denied = await fails({ password: { env: 'STAGE_WRONG' } });
    expect(denied.type).toBe(ErrorType.denied);
    expect(JSON.stringify(denied)).not.toContain('wrong-secret-password');
    expect((await fails({ database: 'nowhere' })).type).toBe(ErrorType.notFound);
    expect((await fails({ port: 1 })).type).toBe(ErrorType.unreachable);
    expect((await fails({ tls: true })).type).toBe(ErrorType.invalid);
    expect((await fails({ password: undefined })).type).toBe(ErrorType.denied);
  });
});

describe('any sequence', () => {
  const bound = 10n ** 12n;
  const anySequence = fc.record({
    increment: fc.bigInt(-50n, 50n).filter((n) => n !== 0n),
    min: fc.bigInt(-bound, 0n),
    span: fc.bigInt(100n, bound),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    called: fc.boolean(),
    cycle: fc.boolean(),
    cache: fc.integer({ min: 1, max: 20 }),
    name: fc.string({
      minLength: 1,
      maxLength: 20,
      unit: fc.constantFrom('a', 'Z', '"', '.', ' ', 'ß', "'", '\\', '-'),
    }),
  });

  test('gives the same next values on both sides, and further ones with a margin', async () => {
    pair = await stage.fresh();
    await act(prepareOwnSchema, { migration: pair.migration });
    plan = { tables: [], largestLob: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.array(anySequence, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 0, max: 5 }),
        async (list, margin) => {
          for (const sql of [pair.source, pair.target]) await sql('CREATE SCHEMA s');
          const names: string[] = [];
          for (const [index, one] of list.entries()) {
            const name = `s.${escapeIdentifier(`${one.name}${index}`)}`;
            names.push(name);
            const max = one.min + one.span;
            const made = `CREATE SEQUENCE ${name} INCREMENT ${one.increment} MINVALUE ${one.min} MAXVALUE ${max} CACHE ${one.cache} ${one.cycle ? 'CYCLE' : 'NO CYCLE'}`;
            for (const sql of [pair.source, pair.target]) await sql(made);
            const at = one.min + (one.span * BigInt(Math.floor(one.at * 1000))) / 1000n;
            await pair.source(`SELECT setval($1::regclass, $2, $3)`, [name, String(at), one.called]);
          }
          const cutover = { ...pair.migration.cutover, sequences: { method: 'exact' as const, margin } };
          await act(setSequences, { migration: { ...pair.migration, cutover }, plan });
          await act(setSequences, { migration: { ...pair.migration, cutover }, plan });
          const take = async (sql: Pair['source'], name: string, count: number) => {
            const taken: string[] = [];
            for (let i = 0; i < count; i += 1) {
              const next = await sql(`SELECT nextval($1::regclass)::text AS v`, [name]).catch(() => [{ v: 'used up' }]);
              taken.push(String(next[0]!['v']));
            }
            return taken;
          };
          const states = await withPostgres(pair.migration.source, { name: 'test' }, readAllSequences);
          for (const [index, name] of names.entries()) {
            const { cache, cycle } = list[index]!;
            // Each nextval here has a session of its own, which throws away what it has cached.
            const state = states.find((one) => one.name === `${list[index]!.name}${index}`)!;
            const room =
              state.increment > 0n
                ? (state.max - state.lastValue) / state.increment
                : (state.lastValue - state.min) / -state.increment;
            const skip = cycle || BigInt(margin) <= room ? margin : 0;
            // In steps of one: with a cache of 1 on both sides.
            if (cache > 1) for (const sql of [pair.source, pair.target]) await sql(`ALTER SEQUENCE ${name} CACHE 1`);
            await take(pair.source, name, skip);
            expect(await take(pair.target, name, 2)).toEqual(await take(pair.source, name, 2));
          }
          for (const sql of [pair.source, pair.target]) await sql('DROP SCHEMA s CASCADE');
        },
      ),
      { numRuns: 8, endOnFailure: true },
    );
  });
});

describe('any table', () => {
  const types = {
    integer: fc.integer({ min: -1000, max: 1000 }).map(String),
    text: fc.string({ maxLength: 12, unit: 'binary' }).map((text) => text.replaceAll(/[\0\uD800-\uDFFF]/g, '_')),
    'double precision': fc.double().map(String),
    real: fc.float().map(String),
    boolean: fc.boolean().map(String),
    bytea: fc.uint8Array({ maxLength: 8 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`),
    jsonb: fc.jsonValue().map((value) => JSON.stringify(value).replaceAll(/\\u0000|\\ud[89a-f]../gi, '')),
    'numeric(20,6)': fc.integer().map((n) => String(n / 1000)),
    timestamptz: fc.integer({ min: 0, max: 4e9 }).map((n) => new Date(n * 1000).toISOString()),
    'text[]': fc
      .array(fc.constantFrom('a', 'b,c', '"', 'NULL', ''))
      .map((list) => `{${list.map((v) => JSON.stringify(v)).join(',')}}`),
    interval: fc.integer({ min: -1e6, max: 1e6 }).map((n) => `${n} seconds`),
    uuid: fc.uuid(),
  } satisfies Record<string, fc.Arbitrary<string>>;
  const anyTable = fc
    .uniqueArray(fc.constantFrom(...(Object.keys(types) as (keyof typeof types)[])), { minLength: 1, maxLength: 6 })
    .chain((columns) =>
      fc.record({
        columns: fc.constant(columns),
        key: fc.boolean(),
        rows: fc.array(fc.tuple(...columns.map((type) => fc.option(types[type], { freq: 6 }))), { maxLength: 30 }),
      }),
    );

  test('arrives exactly, and one changed value is always found', async () => {
    pair = await stage.fresh({ tables: { exclude: ['*.*'], copyByHand: ['*.*'] } });
    await act(prepareOwnSchema, { migration: pair.migration });
    await fc.assert(
      fc.asyncProperty(anyTable, async ({ columns, key, rows }) => {
        const names = columns.map((_type, index) => escapeIdentifier(`Spalte "${index}.ß`));
        const id = `id serial ${key ? 'PRIMARY KEY' : ''}`;
        const made = `CREATE TABLE "T.1" (${[...names.map((name, index) => `${name} ${columns[index]}`), id].join(', ')})`;
        for (const sql of [pair.source, pair.target]) await sql(`DROP TABLE IF EXISTS "T.1"; ${made}`);
        for (const row of rows) {
          const values = row.map((_value, index) => `$${index + 1}::${columns[index]}`);
          await pair.source(`INSERT INTO "T.1" (${names.join(', ')}) VALUES (${values.join(', ')})`, [...row]);
        }
        plan = await act(planTables, { migration: pair.migration });
        await copy();
        await copy();
        expect(await verify()).toMatchObject({ equal: true, rows: rows.length });
        if (rows.length === 0) return;
        await pair.target(`UPDATE "T.1" SET id = id + 1000 WHERE id = $1`, [rows.length]);
        expect((await verify()).equal).toBe(false);
      }),
      { numRuns: 8, endOnFailure: true },
    );
  });
});
