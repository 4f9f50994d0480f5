/** `npm run demo` as a process: what it proves, that it can fail, and that it leaves nothing behind. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadMigrationFile } from '../client/migration-file.ts';
import { startApp } from '../sandbox/app/writer.ts';
import { writeDemoFile } from '../sandbox/demo/demo-file.ts';
import { proofTable, prove, type ProofInput } from '../sandbox/demo/proof.ts';
import { EXAMPLE_GROUP } from '../sandbox/example-group.ts';
import { nodeProgram } from '../sandbox/node-program.ts';
import { DEFAULT_PORTS } from '../sandbox/ports-of-dir.ts';
import { startRedis } from '../sandbox/runtime/redis.ts';
import { migrationJsonSchema } from '../spec/migration.ts';

const LIMIT_MS = 240_000;

let dir: string;
let endings: (() => unknown)[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cutover-demo-test-'));
  endings = [];
});

afterEach(async () => {
  for (const end of endings.reverse()) await end();
  rmSync(dir, { recursive: true, force: true });
});

interface RunningDemo {
  child: ChildProcess;
  output(): string;
  until(what: RegExp): Promise<void>;
  exit: Promise<number | null>;
}

/** TMPDIR is its mark: every process that it starts inherits it, however far down, and keeps its files there. */
function runDemo(...args: string[]): RunningDemo {
  const program = nodeProgram('sandbox/demo/main');
  const child = spawn(program.command, [...program.args, ...args], {
    env: { ...process.env, TMPDIR: dir, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endings.push(() => child.kill('SIGKILL'));
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
  let ended = false;
  void exit.then(() => (ended = true));
  const output = () => stripVTControlCharacters(text);
  return {
    child,
    output,
    exit,
    until: async (what) => {
      const deadline = Date.now() + LIMIT_MS;
      while (!what.test(output())) {
        if (ended) throw new Error(`it ended before ${what}:\n${output()}`);
        if (Date.now() > deadline) throw new Error(`not within ${LIMIT_MS} ms: ${what}:\n${output()}`);
        await delay(50);
      }
    },
  };
}

/** Processes that carry this test's mark, by pid and command line; the test's own is not marked. */
function marked(): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const environ = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      if (!environ.includes(`TMPDIR=${dir}`)) return [];
      return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').slice(0, 200)}`];
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
}

describe('the demo', () => {
  test(
    'with replicaof: a whole migration by the ordinary commands, proven, and nothing left behind',
    async () => {
      const demo = runDemo('redis', '--engine', 'replicaof', '--keys', '5000', '--rate', '1000');
      const code = await demo.exit;
      const output = demo.output();
      expect(output).toMatch(/acknowledged writes lost: 0 /);
      expect(code).toBe(0);
      const order = [
        /Temporal +127\.0\.0\.1:\d+, its UI: http:\/\/127\.0\.0\.1:\d+/,
        /5,000 keys in /,
        /\$ cutover worker &/,
        /\$ cutover start .*redis-replicaof\.yaml/,
        /\/namespaces\/default\/workflows\/shop-redis-replica/,
        /\$ cutover watch shop-redis-replica/,
        /waits for approval of approve-cutover/,
        /\$ cutover approve shop-redis-replica/,
        /shop-redis-replica done/,
        /by the old source .*, after the switch *│ +0 │/,
        /ROLE of the target *│ +master │/,
        /the old source answers to a write *│ +NOREPLICAS │/,
        /acknowledged writes lost: 0 /,
        /write pause: [\d.,]+ ms/,
      ];
      let at = 0;
      for (const step of order) {
        const found = output.slice(at).search(step);
        expect(found, `${step} after: ${output.slice(0, at).slice(-200)}`).toBeGreaterThanOrEqual(0);
        at += found;
      }
      const onTarget = Number(/by the target, after the switch *│ +([\d,]+) │/.exec(output)?.[1]?.replaceAll(',', ''));
      expect(onTarget).toBeGreaterThanOrEqual(2_000);
      // The last lines are the verdict.
      expect(output.trimEnd().split('\n').slice(-3).join('\n')).toMatch(/lost: 0 .*\n.*write pause: .* ms.*\n└/);
      await expectNothingLeft();
      expect(readdirSync(dir).filter((name) => name.startsWith('cutover-demo-'))).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    'with elasticache and --keep: all stays up until Ctrl-C, which leaves nothing behind',
    async () => {
      const demo = runDemo('redis', '--keep', '--keys', '2000', '--rate', '500');
      await demo.until(/in another terminal:[\s\S]*cutover report shop-redis/);
      const output = demo.output();
      expect(output).toMatch(/made with the AWS SDK: a primary at/);
      expect(output).toMatch(/acknowledged writes lost: 0 /);
      const link = /Temporal's UI +(http:\S+)/.exec(output)?.[1];
      expect((await fetch(link!)).status).toBe(200);
      expect(demo.child.exitCode).toBeNull();
      expect(marked().length).toBeGreaterThan(5);
      demo.child.kill('SIGINT');
      expect(await demo.exit).toBe(0);
      await expectNothingLeft();
    },
    LIMIT_MS,
  );

  const moments: [string, RegExp, keys: string][] = [
    ['the sandbox comes up', /sandbox: a real Temporal/, '5000'],
    ['the source is filled', /Fill the source/, '200000'],
    ['the worker starts', /\$ cutover worker &/, '5000'],
    ['the migration is watched', /running at (attach|first-sync|follow|compare)/, '50000'],
  ];
  test.each(moments)(
    'Ctrl-C while %s leaves no process behind',
    async (_when, what, keys) => {
      const demo = runDemo('redis', '--keys', keys, '--rate', '500');
      await demo.until(what);
      expect(marked().length).toBeGreaterThan(0);
      demo.child.kill('SIGINT');
      expect(await demo.exit).toBe(130);
      await expectNothingLeft();
      expect(readdirSync(dir).filter((name) => name.startsWith('cutover-demo-'))).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    'killed outright, it takes everything with it',
    async () => {
      const demo = runDemo('redis', '--engine', 'replicaof', '--keys', '1000', '--rate', '500');
      await demo.until(/\$ cutover watch/);
      demo.child.kill('SIGKILL');
      await demo.exit;
      await expectNothingLeft();
    },
    LIMIT_MS,
  );

  test('wrong options are refused before anything starts', async () => {
    for (const args of [
      ['--keys', 'many'],
      ['--rate', '0'],
      ['--engine', 'magic'],
      ['--rows', '5'],
      ['mysql'],
      ['--no-such'],
    ]) {
      const demo = runDemo(...args);
      expect([args, await demo.exit]).toEqual([args, 1]);
      expect(demo.output()).toMatch(/^error: /);
    }
  });
});

describe('the proof', () => {
  test('fails, and says why, where the target has nothing and the source still takes writes', async () => {
    const source = await startRedis({ dir: join(dir, 'source') });
    endings.push(() => source.kill());
    const target = await startRedis({ dir: join(dir, 'target') });
    endings.push(() => target.kill());
    const app = startApp({ endpoint: source, clients: 2, rate: 2_000 });
    while (app.stats().acknowledged < 500) await delay(10);
    const acks = await app.stop();
    const input: ProofInput = {
      source,
      target,
      acks,
      stats: app.stats(),
      filled: { keys: 1, byDatabase: { 0: 1 }, byType: { string: 1 }, withTtl: 0, shortLived: 0, ms: 1 },
      migration: { from: 0, to: Date.now() },
      report: { durationMs: 1 },
    };
    const proof = await prove(input);
    const all = app.stats().acknowledged;
    expect(proof.failures[0]).toBe(`${all} acknowledged writes are lost:`);
    expect(proof.failures).toContain('the application was not sent to the target');
    expect(proof.failures).toContain('the old source is not fenced: takes writes');
    expect(proofTable(input, proof)).toContain(`acknowledged writes lost: ${all.toLocaleString('en-US')}`);
  });
});

describe('the examples', () => {
  const files = readdirSync('examples').filter((name) => name.endsWith('.yaml'));

  test('are there, and their schema is the one that the product gives', () => {
    expect(files).toEqual(
      expect.arrayContaining(['elasticache-backup.yaml', 'redis-elasticache.yaml', 'redis-replicaof.yaml']),
    );
    expect(JSON.parse(readFileSync('examples/migration.schema.json', 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(migrationJsonSchema())),
    );
  });

  test.each(files)('%s is valid, names its schema, and fits the sandbox as it stands', async (file) => {
    const path = join('examples', file);
    const [first] = readFileSync(path, 'utf8').split('\n');
    const schema = /^# yaml-language-server: \$schema=(\S+)$/.exec(first!)?.[1];
    expect(existsSync(join('examples', schema!))).toBe(true);
    const migration = await loadMigrationFile(path);
    if (migration.kind === 'redis-online') {
      expect(migration.source).toMatchObject({ host: '127.0.0.1', port: DEFAULT_PORTS.source });
      if (migration.engine === 'elasticache') expect(migration.target.replicationGroup).toBe(EXAMPLE_GROUP);
      else expect(migration.target).toMatchObject({ host: '127.0.0.1', port: DEFAULT_PORTS.target });
    }
    if (migration.kind === 'elasticache-backup') expect(migration.replicationGroup).toBe(EXAMPLE_GROUP);
  });

  test.each(['elasticache', 'replicaof'] as const)(
    'the demo’s file of %s is valid, with its own addresses',
    async (engine) => {
      const path = join(dir, 'demo.yaml');
      const target = engine === 'replicaof' ? { host: '127.0.0.1', port: 7002 } : undefined;
      const switchUrl = 'http://127.0.0.1:7003/switch';
      writeDemoFile({ engine, path, source: { host: '127.0.0.1', port: 7001 }, target, switchUrl });
      const migration = await loadMigrationFile(path);
      expect(migration).toMatchObject({ source: { port: 7001 }, switch: [{ type: 'webhook', url: switchUrl }] });
      if (target) expect(migration).toMatchObject({ target });
    },
  );
});
