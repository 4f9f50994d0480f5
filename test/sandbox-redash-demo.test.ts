/** `npm run demo -- postgres` as a process, its file, and that its proof can fail. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadMigrationFile } from '../client/migration-file.ts';
import { startRedashApp } from '../sandbox/app/redash/app.ts';
import { writePostgresFile } from '../sandbox/demo/postgres-file.ts';
import { postgresProofTable, provePostgres, type PostgresProofInput } from '../sandbox/demo/postgres-proof.ts';
import { asAdmin, asApplication, furnishSource } from '../sandbox/demo/postgres-servers.ts';
import { nodeProgram } from '../sandbox/node-program.ts';
import { createRedashRoles } from '../sandbox/app/redash/roles.ts';
import { startPostgres } from '../sandbox/runtime/postgres.ts';

const LIMIT_MS = 400_000;

let dir: string;
let endings: (() => unknown)[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cutover-redash-demo-'));
  endings = [];
});

afterEach(async () => {
  for (const end of endings.reverse()) await end();
  rmSync(dir, { recursive: true, force: true });
});

/** TMPDIR is its mark: every process that it starts inherits it, however far down, and keeps its files there. */
function runDemo(...args: string[]): { child: ChildProcess; output(): string; exit: Promise<number | null> } {
  const program = nodeProgram('sandbox/demo/main');
  const child = spawn(program.command, [...program.args, 'postgres', ...args], {
    env: { ...process.env, TMPDIR: dir, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endings.push(() => child.kill('SIGKILL'));
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return {
    child,
    output: () => stripVTControlCharacters(text),
    exit: new Promise<number | null>((resolve) => child.once('close', resolve)),
  };
}

/** Processes that carry this test's mark; the test's own is not marked. Postgres starts with an empty environment: it is known by its folder. */
function marked(): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const environ = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      if (!environ.includes(`TMPDIR=${dir}`) && !command.includes(`${dir}/`)) return [];
      return [`${pid} ${command.slice(0, 200)}`];
    } catch {
      return []; // Gone meanwhile, or not ours to look at.
    }
  });
}

async function expectNothingLeft(): Promise<void> {
  // A leash has ten seconds of grace for what was under way when the demo ended.
  const deadline = Date.now() + 30_000;
  while (marked().length > 0 && Date.now() < deadline) await delay(100);
  expect(marked()).toEqual([]);
  expect(readdirSync(dir).filter((name) => name.startsWith('cutover-demo-'))).toEqual([]);
}

describe('the demo of postgres', () => {
  test(
    'a whole migration by the ordinary commands, under writes, proven, and nothing left behind',
    async () => {
      const demo = runDemo('--rows', '4000', '--rate', '50');
      const code = await demo.exit;
      const output = demo.output();
      const order = [
        /rows in 20 tables/,
        /\$ cutover worker &/,
        /\$ cutover start .*postgres-redash\.yaml/,
        /\$ cutover watch redash/,
        /waits for approval of approve-cutover/,
        /\$ cutover approve redash/,
        /redash done/,
        /by the old source .*, after the switch *│ +0 │/,
        /the old source answers to the application *│ +28000 may not log in │/,
        /acknowledged writes lost: 0 /,
        /writes that are there twice, or in part: 0 /,
        /rows, sequences, indexes, constraints, triggers: equal /,
        /first inserts on the target: no key conflict /,
        /write pause: [\d,]+ ms/,
      ];
      let at = 0;
      for (const step of order) {
        const found = output.slice(at).search(step);
        expect(found, `${step}: ${output}`).toBeGreaterThanOrEqual(0);
        at += found;
      }
      expect(code).toBe(0);
      // The last lines are the verdict.
      expect(output.trimEnd().split('\n').slice(-6).join('\n')).toMatch(
        /^│ acknowledged writes lost[^]*write pause: .* ms.*\n└/,
      );
      await expectNothingLeft();
    },
    LIMIT_MS,
  );

  test(
    'Ctrl-C while the rows are loaded leaves no process behind',
    async () => {
      const demo = runDemo('--rows', '4000', '--rate', '50');
      const deadline = Date.now() + LIMIT_MS / 2;
      while (!/running at (dms-task|full-load|finish-schema|follow)/.test(demo.output())) {
        expect([demo.child.exitCode, Date.now() < deadline, demo.output()]).toEqual([null, true, expect.anything()]);
        await delay(50);
      }
      expect(marked().length).toBeGreaterThan(5);
      demo.child.kill('SIGINT');
      expect(await demo.exit).toBe(130);
      await expectNothingLeft();
    },
    LIMIT_MS,
  );
});

describe('the proof', () => {
  test('fails, and says why, where the target has nothing and the source still takes writes', async () => {
    const [source, target] = await Promise.all(
      ['source', 'target'].map(async (name) => {
        const server = await startPostgres({ dir: join(dir, name) });
        endings.push(() => server.stop());
        await createRedashRoles(await server.connect());
        return server;
      }),
    );
    const filled = await furnishSource(source!, 2_000);
    await furnishSource(target!, 2_000);
    await target!.query('TRUNCATE alerts, changes CASCADE', [], 'redash');
    const app = await startRedashApp({ endpoint: asApplication(source!), clients: 2, rate: 300 });
    endings.push(() => app.end());
    while (app.stats().acknowledged < 150) await delay(10);
    const record = await app.end();
    const input: PostgresProofInput = {
      source: asAdmin(source!),
      target: asAdmin(target!),
      application: asApplication(source!),
      filled,
      record,
      stats: app.stats(),
      migration: { from: 0, to: Date.now() },
      report: { durationMs: 1 },
    };
    const proof = await provePostgres(input);
    expect(proof.failures[0]).toMatch(/^\d+ acknowledged writes are lost$/);
    expect(proof.failures).toContain('the application was not sent to the target');
    expect(proof.failures).toContain('the old source is not fenced: takes writes');
    expect(proof.failures.join('\n')).toMatch(/rows differ: public.alerts: source: \d+ rows that the target has not/);
    expect(proof.failures.join('\n')).toMatch(/sequences differ: public.changes_id_seq: .*behind/);
    const table = stripVTControlCharacters(postgresProofTable(input, proof));
    expect(table).not.toMatch(/lost: 0 /);
    expect(table).toMatch(/triggers: DIFFERENT \(rows, sequences\)/);
    expect(table).toMatch(/first inserts on the target: NOT PROVEN/);
  });
});

describe('the examples', () => {
  test.each(['postgres-redash.yaml', 'postgres-redash-article.yaml'])(
    '%s is valid, and names its schema',
    async (file) => {
      const path = join('examples', file);
      expect(readFileSync(path, 'utf8')).toMatch(/^# yaml-language-server: \$schema=\.\/migration\.schema\.json\n/);
      expect(await loadMigrationFile(path)).toMatchObject({
        kind: 'postgres',
        tables: { copyByHand: ['public.queries'] },
        cutover: { applicationRoles: ['redash'] },
      });
    },
  );

  test('the article’s two documents are as in the article', async () => {
    const migration = await loadMigrationFile('examples/postgres-redash-article.yaml');
    expect(migration).toMatchObject({
      replication: {
        tableMappings: {
          rules: [
            { 'rule-action': 'exclude', 'object-locator': { 'schema-name': 'public', 'table-name': 'queries%' } },
            { 'rule-action': 'include', 'object-locator': { 'schema-name': 'public', 'table-name': '%' } },
          ],
        },
        taskSettings: {
          FullLoadSettings: { TargetTablePrepMode: 'DO_NOTHING', MaxFullLoadSubTasks: 1 },
          TargetMetadata: { FullLobMode: true, TaskRecoveryTableEnabled: false },
          ErrorBehavior: { ApplyErrorInsertPolicy: 'LOG_ERROR', RecoverableErrorCount: -1 },
        },
      },
    });
  });

  test('the demo’s file has its own addresses everywhere', async () => {
    const path = join(dir, 'demo.yaml');
    const at = (port: number) => ({ host: '127.0.0.1', port, database: 'redash' });
    const applicationUrl = 'http://127.0.0.1:7003';
    const id = writePostgresFile({ path, source: at(7001), target: at(7002), applicationUrl });
    const migration = await loadMigrationFile(path);
    expect(migration).toMatchObject({
      id,
      source: { port: 7001 },
      target: { port: 7002 },
      cutover: { stopServices: [{ url: `${applicationUrl}/stop`, undo: { url: `${applicationUrl}/start` } }] },
      switch: [{ url: `${applicationUrl}/switch`, undo: { body: { port: 7001, start: false } } }],
      checks: [{ url: `${applicationUrl}/health` }, { type: 'sql' }],
    });
    expect(JSON.stringify(migration)).not.toMatch(/543[345]/);
  });
});
