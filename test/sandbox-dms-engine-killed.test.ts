import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { EngineScript, EngineTableStatistics, StartType, TaskSpec } from '../sandbox/aws/dms/engine/contract.ts';
import { drained, keepWriting, newStage, startPair, tableOf, until } from './sandbox-dms-engine-setup.ts';
import type { Pair, Stage } from './sandbox-dms-engine-setup.ts';

let pair: Pair;
let stage: Stage;
const children: ChildProcess[] = [];

beforeAll(async () => {
  pair = await startPair();
}, 60_000);
afterAll(() => pair?.close(), 60_000);
beforeEach(async () => {
  stage = await newStage(pair);
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await stage.close();
}, 60_000);

/** Runs the engine in a process of its own, and sends that the signal at the moment asked for. */
async function endedWhen(
  signal: 'SIGKILL' | 'SIGTERM',
  { spec, type, script = {} }: { spec: TaskSpec; type: StartType; script?: EngineScript },
  moment: (tables: EngineTableStatistics[], child: ChildProcess) => boolean | Promise<boolean>,
): Promise<{ came: boolean; code: number | null; signal: string | null }> {
  const file = fileURLToPath(new URL('./sandbox-dms-engine-child.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', file, JSON.stringify({ spec, type, script })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const exited = once(child, 'exit');
  // The moment never came, or it does not end. KILL: a process whose event loop does not turn hears nothing else.
  const limit = setTimeout(() => child.kill('SIGKILL'), 60_000);
  let came = false;
  for await (const line of createInterface({ input: child.stdout })) {
    const { tables } = JSON.parse(line) as { tables?: EngineTableStatistics[] };
    if (came || tables === undefined || !(await moment(tables, child))) continue;
    came = true;
    child.kill(signal);
  }
  const [code, by] = (await exited) as [number | null, string | null];
  clearTimeout(limit);
  return { came, code, signal: by };
}

async function killedWhen(
  spec: TaskSpec,
  type: StartType,
  script: EngineScript,
  moment: (tables: EngineTableStatistics[]) => boolean,
): Promise<void> {
  const end = await endedWhen('SIGKILL', { spec, type, script }, moment);
  expect(end).toEqual({ came: true, code: null, signal: 'SIGKILL' });
}

test('killed in the load, and again and again while it applies: nothing lost, nothing twice', async () => {
  // A table without a key shows a change that was applied twice.
  await stage.both('CREATE TABLE keyed (id serial PRIMARY KEY, n int); CREATE TABLE bare (n int)');
  await stage.source(
    'INSERT INTO keyed (n) SELECT i FROM generate_series(1, 20000) AS i; INSERT INTO bare SELECT i FROM generate_series(1, 20000) AS i',
  );
  const spec = stage.spec({ settings: { FullLoadSettings: { CommitRate: 1_000 } } });
  const stopWriting = keepWriting(stage, (round) => [
    ['INSERT INTO keyed (n) VALUES ($1)', [round]],
    ['UPDATE keyed SET n = n + 1 WHERE id = $1', [1 + (round % 20_000)]],
    ['INSERT INTO bare VALUES ($1)', [-round]],
  ]);
  await killedWhen(spec, 'start-replication', { loadRowsPerSecond: 20_000 }, (tables) =>
    tables.some(({ TableState, FullLoadRows }) => TableState === 'Full load' && FullLoadRows > 2_000),
  );
  const [loaded] = await stage.target<{ n: number }>('SELECT count(*)::int AS n FROM keyed');
  expect(loaded?.n).toBeLessThan(20_000);
  let applied = 0;
  for (let time = 0; time < 3; time++) {
    await killedWhen(spec, 'resume-processing', {}, (tables) => {
      const now = tables.find(({ TableName }) => TableName === 'bare')?.AppliedInserts ?? 0;
      if (now < applied + 20) return false;
      applied = now;
      return true;
    });
  }
  const { engine, ends } = stage.task(spec);
  await engine.start('resume-processing');
  await stopWriting();
  await drained(stage, ['keyed', 'bare']);
  await until('counted', () => tableOf(engine, 'bare').Inserts === tableOf(engine, 'bare').AppliedInserts);
  const bare = tableOf(engine, 'bare');
  const [rows] = await stage.target<{ n: number }>('SELECT count(*)::int AS n FROM bare');
  expect(bare.FullLoadRows + bare.AppliedInserts).toBe(rows?.n);
  expect(ends).toEqual([]);
}, 300_000);

test('killed while a table is loaded again: that table begins once more', async () => {
  await stage.both('CREATE TABLE keyed (id serial PRIMARY KEY, n int)');
  await stage.source('INSERT INTO keyed (n) SELECT i FROM generate_series(1, 5000) AS i');
  const spec = stage.spec();
  const { engine } = stage.task(spec);
  await engine.start('start-replication');
  await until('loaded', () => tableOf(engine, 'keyed').TableState === 'Table completed');
  await stage.source('UPDATE keyed SET n = n + 1');
  await drained(stage, ['keyed']);
  engine.script({ loadRowsPerSecond: 1_000 });
  await engine.reloadTables([{ schema: 'public', table: 'keyed' }], 'data-reload');
  await until('half way', () => tableOf(engine, 'keyed').FullLoadRows > 500);
  await stage.source('UPDATE keyed SET n = -n WHERE id > 10');
  await engine.stop();
  const again = stage.task(spec);
  await again.engine.start('resume-processing');
  await drained(stage, ['keyed']);
  await until('loaded again', () => tableOf(again.engine, 'keyed').TableState === 'Table completed');
}, 120_000);

test('stopped in the middle of a transaction whose rest does not come: it ends, and all of that is read again', async () => {
  await stage.both('CREATE TABLE t (id int PRIMARY KEY, n int, filler varchar(1200))');
  await stage.source(`INSERT INTO t SELECT i, 0, repeat('x', 1200) FROM generate_series(1, 40000) AS i`);
  const spec = stage.spec();
  const first = stage.task(spec);
  await first.engine.start('start-replication');
  await until('following', () => first.engine.stats().TablesLoaded === 1);
  await first.engine.stop();
  await stage.source('UPDATE t SET n = n + 1');
  let walsender: number | undefined;
  const goOn = async (): Promise<void> => {
    if (walsender !== undefined) process.kill(walsender, 'SIGCONT');
    walsender = undefined;
  };
  stage.atClose(goOn);
  // It reads as much as it holds, 20,000 changes, and applies none. Then the source hangs; what is still on the way is less
  // than the rest. So it applies what it has, and would wait for the end of the transaction for ever.
  const frozen = { spec, type: 'resume-processing', script: { freezeApply: true } } as const;
  const end = await endedWhen('SIGTERM', frozen, async (tables, child) => {
    const read = tables[0]?.Updates ?? 0;
    // More than it could hold: it has begun to apply them.
    if (walsender !== undefined) return read > 20_000;
    if (read < 20_000) return false;
    const [slot] = await stage.source<{ pid: number }>(
      'SELECT active_pid AS pid FROM pg_replication_slots WHERE database = current_database()',
    );
    walsender = slot?.pid;
    process.kill(slot?.pid ?? Number.NaN, 'SIGSTOP');
    child.kill('SIGUSR2');
    return false;
  });
  expect(end).toEqual({ came: true, code: 0, signal: null });
  await goOn();
  expect(await stage.target('SELECT DISTINCT n FROM t')).toEqual([{ n: 0 }]);
  const again = stage.task(spec);
  await again.engine.start('resume-processing');
  await drained(stage, ['t']);
  await until('counted', () => tableOf(again.engine, 't').AppliedUpdates === 40_000);
  expect(tableOf(again.engine, 't').Updates).toBe(40_000);
  expect(again.ends).toEqual([]);
}, 180_000);
