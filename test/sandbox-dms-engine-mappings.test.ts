import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { EngineEnd, TaskEngine } from '../sandbox/aws/dms/engine/contract.ts';
import { drained, keepWriting, newStage, startPair, tableOf, until } from './sandbox-dms-engine-setup.ts';
import type { Pair, Stage, TaskOptions } from './sandbox-dms-engine-setup.ts';

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

type Rules = NonNullable<TaskOptions['rules']>;
const all: Rules = [['include', 'public', '%']];
const without = (table: string): Rules => [...all, ['exclude', 'public', table]];

/** A task with the state of the one before, and other mappings: what ModifyReplicationTask and a resume make of it. */
function remapped(
  first: { dir: string },
  rules: Rules,
  options: TaskOptions = {},
): { engine: TaskEngine; ends: EngineEnd[] } {
  return stage.task({ ...stage.spec({ ...options, rules }), dir: first.dir });
}

const names = (engine: TaskEngine): string[] => engine.tableStatistics().map(({ TableName }) => TableName);
const count = async (side: Stage['source'], table: string): Promise<number> =>
  (await side<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`))[0]?.n ?? -1;

test('a table that is taken out of the mappings gets no more changes, also none from before; the others lose none', async () => {
  await stage.both('CREATE TABLE kept (id int PRIMARY KEY, n int); CREATE TABLE "Left-out" (id int PRIMARY KEY)');
  await stage.source(`INSERT INTO kept VALUES (1, 0); INSERT INTO "Left-out" VALUES (1)`);
  const spec = stage.spec();
  const first = stage.task(spec);
  await first.engine.start('start-replication');
  await drained(stage, ['kept', '"Left-out"']);
  await until('following', () => first.engine.stats().TablesLoaded === 2);
  await first.engine.stop();
  await stage.source(`INSERT INTO "Left-out" VALUES (2); UPDATE kept SET n = 1`);
  const second = remapped(spec, without('Left-out'));
  await second.engine.start('resume-processing');
  await stage.source(`INSERT INTO "Left-out" VALUES (3); INSERT INTO kept VALUES (2, 2)`);
  await drained(stage, ['kept']);
  expect(names(second.engine)).toEqual(['kept']);
  expect(tableOf(second.engine, 'kept')).toMatchObject({ FullLoadRows: 1, AppliedInserts: 1, AppliedUpdates: 1 });
  expect(await stage.target('SELECT id FROM "Left-out"')).toEqual([{ id: 1 }]);
  await second.engine.stop();
  // It stays out over a resume with the same mappings, which a new engine reads from the state.
  const third = remapped(spec, without('Left-out'));
  await third.engine.start('resume-processing');
  await stage.source(`INSERT INTO "Left-out" VALUES (4); INSERT INTO kept VALUES (3, 3)`);
  await drained(stage, ['kept']);
  expect(await stage.target('SELECT id FROM "Left-out"')).toEqual([{ id: 1 }]);
  expect([...first.ends, ...second.ends, ...third.ends]).toEqual([]);
});

test('a table that the mappings take in later is loaded under writes, and follows; one that is new on the source is not', async () => {
  await stage.both(
    'CREATE TABLE old (id serial PRIMARY KEY, n int); CREATE TABLE fresh (id serial PRIMARY KEY, n int)',
  );
  await stage.source(
    'INSERT INTO old (n) SELECT i FROM generate_series(1, 100) AS i; INSERT INTO fresh (n) SELECT i FROM generate_series(1, 3000) AS i',
  );
  const stopWriting = keepWriting(stage, (round) => [
    ['INSERT INTO old (n) VALUES ($1)', [round]],
    ['INSERT INTO fresh (n) VALUES ($1)', [round]],
    ['UPDATE fresh SET n = n + 1 WHERE id = $1', [1 + (round % 3_000)]],
  ]);
  const spec = stage.spec({ rules: without('fresh') });
  const first = stage.task(spec);
  await first.engine.start('start-replication');
  await until('following', () => tableOf(first.engine, 'old').AppliedInserts > 5);
  expect(names(first.engine)).toEqual(['old']);
  await first.engine.stop();
  await stage.both('CREATE TABLE created (id int PRIMARY KEY)');
  const second = remapped(spec, all);
  second.engine.script({ loadRowsPerSecond: 1_500 });
  await second.engine.start('resume-processing');
  await until('half way', () => tableOf(second.engine, 'fresh').FullLoadRows > 100);
  expect(tableOf(second.engine, 'fresh')).toMatchObject({ TableState: 'Full load', FullLoadReloaded: false });
  // A stop in the middle of it: it begins once more.
  await second.engine.stop();
  const third = remapped(spec, all);
  await third.engine.start('resume-processing');
  await until('loaded', () => tableOf(third.engine, 'fresh').TableState === 'Table completed');
  await until('following', () => tableOf(third.engine, 'fresh').AppliedInserts > 5);
  await stopWriting();
  await drained(stage, ['old', 'fresh']);
  // `%` took its name before, too.
  expect(names(third.engine).toSorted()).toEqual(['fresh', 'old']);
  const fresh = tableOf(third.engine, 'fresh');
  expect(fresh.FullLoadRows + fresh.AppliedInserts).toBe(await count(stage.target, 'fresh'));
  expect([...first.ends, ...second.ends, ...third.ends]).toEqual([]);
});

test('a full load only, done: a table that is taken in later is loaded by a resume, the others are not again', async () => {
  await stage.both('CREATE TABLE old (id int PRIMARY KEY); CREATE TABLE fresh (id int PRIMARY KEY)');
  await stage.source('INSERT INTO old VALUES (1); INSERT INTO fresh VALUES (1), (2)');
  const options: TaskOptions = { migrationType: 'full-load' };
  const spec = stage.spec({ ...options, rules: without('fresh') });
  const first = stage.task(spec);
  await first.engine.start('start-replication');
  await until('ended', () => first.ends.length > 0);
  await stage.source('INSERT INTO old VALUES (2)');
  const second = remapped(spec, all, options);
  await second.engine.start('resume-processing');
  await until('ended', () => second.ends.length > 0);
  expect(second.ends).toEqual([{ status: 'stopped', reason: 'FULL_LOAD_ONLY_FINISHED' }]);
  expect([await count(stage.target, 'old'), await count(stage.target, 'fresh')]).toEqual([1, 2]);
});

test('a script takes the place of the one before; a reload in the middle of the load is refused; 30 tables at once bring no warning', async () => {
  const tables = Array.from({ length: 30 }, (_, i) => `t${i}`);
  await stage.both(tables.map((table) => `CREATE TABLE ${table} (id int PRIMARY KEY)`).join('; '));
  await stage.source(tables.map((table) => `INSERT INTO ${table} SELECT generate_series(1, 100)`).join('; '));
  const warnings: Error[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  process.on('warning', warned);
  const { engine } = stage.task({ settings: { FullLoadSettings: { MaxFullLoadSubTasks: 30 } } });
  engine.script({ loadRowsPerSecond: 10, failTable: { schema: 'public', table: 't3', message: 'scripted' } });
  engine.script({ loadRowsPerSecond: 50 });
  await engine.start('start-replication');
  await until('loading', () => engine.stats().TablesLoading === 30);
  const reload = (table: string): Promise<void> => engine.reloadTables([{ schema: 'public', table }], 'data-reload');
  await expect(reload('t1')).rejects.toMatchObject({ name: 'EngineRefusal', because: 'state' });
  await expect(reload('none')).rejects.toMatchObject({ name: 'EngineRefusal', because: 'value' });
  engine.script({});
  await drained(stage, tables);
  await until('loaded', () => engine.stats().TablesLoaded === 30);
  await engine.stop();
  await expect(reload('t1')).rejects.toMatchObject({ name: 'EngineRefusal', because: 'state' });
  process.off('warning', warned);
  expect(warnings).toEqual([]);
});
