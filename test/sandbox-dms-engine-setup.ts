/** Two real Postgres, a database of its own on both for each test, and tasks between them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { openTaskEngine } from '../sandbox/aws/dms/engine/engine.ts';
import type { EngineEnd, EngineTableStatistics, TaskEngine, TaskSpec } from '../sandbox/aws/dms/engine/contract.ts';
import { startPostgres, type PostgresServer } from '../sandbox/runtime/postgres.ts';

export const REPLICA = { AfterConnectScript: `SET session_replication_role = 'replica'` };

export interface Pair {
  source: PostgresServer;
  target: PostgresServer;
  close(): Promise<void>;
}

export async function startPair(): Promise<Pair> {
  const dir = mkdtempSync(join(tmpdir(), 'cutover-dms-engine-'));
  const [source, target] = await Promise.all([
    startPostgres({ dir: join(dir, 'source') }),
    startPostgres({ dir: join(dir, 'target') }),
  ]);
  return {
    source,
    target,
    async close() {
      await Promise.all([source.stop(), target.stop()]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface TaskOptions {
  migrationType?: TaskSpec['migrationType'];
  rules?: [action: string, schema: string, table: string][];
  settings?: Record<string, Record<string, unknown>>;
  sourceSettings?: Record<string, unknown>;
  targetSettings?: Record<string, unknown>;
}

export interface Stage {
  /** On the source, on the target, on both. */
  source<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>;
  target<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>;
  both(text: string): Promise<void>;
  writer(): Promise<pg.Client>;
  spec(options?: TaskOptions): TaskSpec;
  task(options?: TaskOptions | TaskSpec): { engine: TaskEngine; ends: EngineEnd[] };
  /** Run first of all by close(), also after a test that failed. */
  atClose(end: () => Promise<unknown>): void;
  close(): Promise<void>;
}

let number = 0;

export async function newStage(pair: Pair): Promise<Stage> {
  const database = `engine_${++number}`;
  const dir = mkdtempSync(join(tmpdir(), 'cutover-dms-task-'));
  await Promise.all([pair.source, pair.target].map((server) => server.query(`CREATE DATABASE ${database}`)));
  const engines: TaskEngine[] = [];
  const ends: (() => Promise<unknown>)[] = [];
  const endpoint = (server: PostgresServer, settings: Record<string, unknown>): TaskSpec['source'] => {
    const { host, port, user, password } = server;
    return { host, port, user, password, database, sslMode: 'none', settings };
  };
  const spec = (options: TaskOptions = {}): TaskSpec => ({
    id: `task-${number}`,
    resourceId: `RES${number}`,
    migrationType: options.migrationType ?? 'full-load-and-cdc',
    source: endpoint(pair.source, options.sourceSettings ?? {}),
    target: endpoint(pair.target, options.targetSettings ?? REPLICA),
    mappings: {
      rules: (options.rules ?? [['include', 'public', '%']]).map(([action, schema, table], index) => ({
        'rule-type': 'selection',
        'rule-id': String(index + 1),
        'rule-name': String(index + 1),
        'object-locator': { 'schema-name': schema, 'table-name': table },
        'rule-action': action,
      })),
    },
    settings: {
      ...options.settings,
      FullLoadSettings: { TargetTablePrepMode: 'TRUNCATE_BEFORE_LOAD', ...options.settings?.['FullLoadSettings'] },
      ErrorBehavior: { RecoverableErrorInterval: 1, ...options.settings?.['ErrorBehavior'] },
    },
    dir: join(dir, 'task'),
  });
  return {
    source: (text, values) => pair.source.query(text, values ?? [], database),
    target: (text, values) => pair.target.query(text, values ?? [], database),
    async both(text) {
      await pair.source.query(text, [], database);
      await pair.target.query(text, [], database);
    },
    writer: () => pair.source.connect({ database }),
    spec,
    task(options = {}) {
      const ends: EngineEnd[] = [];
      const engine = openTaskEngine('dir' in options ? options : spec(options), (end) => ends.push(end));
      engines.push(engine);
      return { engine, ends };
    },
    atClose: (end) => void ends.push(end),
    async close() {
      await Promise.all(ends.map((end) => end()));
      for (const engine of engines) await engine.stop();
      await engines.at(-1)?.remove();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Polls until it is so. */
export async function until(what: string, so: () => boolean | Promise<boolean>, limitMs = 45_000): Promise<void> {
  const limit = Date.now() + limitMs;
  while (!(await so())) {
    if (Date.now() > limit) throw new Error(`not within ${limitMs} ms: ${what}`);
    await delay(50);
  }
}

export function tableOf(engine: TaskEngine, name: string): EngineTableStatistics {
  const found = engine.tableStatistics().find(({ TableName }) => TableName === name);
  if (found === undefined) throw new Error(`the task has no table ${name}`);
  return found;
}

/** Every row of the tables, as text, from both sides. */
export async function contents(stage: Stage, tables: string[]): Promise<{ source: string[][]; target: string[][] }> {
  const read = async (query: Stage['source'], table: string): Promise<string[]> => {
    const rows = await query<{ row: string }>(`SELECT r::text AS row FROM ${table} AS r ORDER BY 1`);
    return rows.map(({ row }) => row);
  };
  const of = (query: Stage['source']): Promise<string[][]> => Promise.all(tables.map((table) => read(query, table)));
  return { source: await of(stage.source), target: await of(stage.target) };
}

/** Until what the source has now is on the target. Nothing must be written meanwhile. */
export async function drained(stage: Stage, tables: string[]): Promise<void> {
  const digest = (query: Stage['source']): Promise<string[]> =>
    Promise.all(
      tables.map(async (table) => {
        const rows = await query<{ d: string }>(
          `SELECT count(*) || coalesce(md5(string_agg(md5(r::text), '' ORDER BY md5(r::text))), '') AS d FROM ${table} AS r`,
        );
        return rows[0]?.d ?? '';
      }),
    );
  const wanted = (await digest(stage.source)).join(' ');
  await until(
    `${tables.join(', ')} equal on both sides`,
    async () => (await digest(stage.target)).join(' ') === wanted,
  );
}

/** Writes until it is told to stop; resolves to how many transactions were acknowledged. Reconnects. */
export function keepWriting(stage: Stage, statements: (round: number) => [string, unknown[]][]): () => Promise<number> {
  let going = true;
  const work = (async () => {
    let round = 0;
    let client: pg.Client | undefined;
    while (going) {
      try {
        client ??= await stage.writer();
        await client.query('BEGIN');
        for (const [text, values] of statements(round)) await client.query(text, values);
        await client.query('COMMIT');
        round++;
      } catch {
        await client?.end().catch(() => {});
        client = undefined;
        await delay(100);
      }
    }
    await client?.end();
    return round;
  })();
  const stop = (): Promise<number> => {
    going = false;
    return work;
  };
  // A test that failed never stops it: it would keep the process from ending, and the failure from being told.
  stage.atClose(stop);
  return stop;
}
