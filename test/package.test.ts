/** What a user gets from npm: the packed repo, installed into an empty folder, with its dependencies from the registry. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { startProcess } from '../sandbox/runtime/process.ts';
import { startTemporal, type TemporalServer } from '../sandbox/runtime/temporal.ts';
import { outputOf } from './command-output.ts';
import { freshBuild, REPO } from './fresh-build.ts';

const exec = promisify(execFile);
const INSTALL_MS = 300_000;
const RUN_MS = 60_000;
const MAX_OUTPUT = 64 * 1024 * 1024;

const work = mkdtempSync(join(tmpdir(), 'cutover-package-'));
const app = join(work, 'app');
const packed = z.array(z.object({ filename: z.string(), files: z.array(z.object({ path: z.string() })) })).length(1);
let files: string[] = [];
let temporal: TemporalServer | undefined;

beforeAll(async () => {
  await freshBuild();
  // Without scripts: `prepare` would build again what has just been built.
  const { stdout } = await exec('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work], {
    cwd: REPO,
    maxBuffer: MAX_OUTPUT,
  });
  const [tarball] = packed.parse(JSON.parse(stdout));
  files = tarball?.files.map(({ path }) => path) ?? [];
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
  await exec('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(work, tarball?.filename ?? '')], {
    cwd: app,
    maxBuffer: MAX_OUTPUT,
  });
}, INSTALL_MS);

afterAll(async () => {
  await temporal?.stop();
  rmSync(work, { recursive: true, force: true });
});

/** `yes=false`: what is installed, or an error; never something of that name from the registry. */
async function cutover(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    const env = { ...process.env, npm_config_yes: 'false' };
    const run = await exec('npx', ['cutover', ...args], { cwd: app, env, timeout: RUN_MS, maxBuffer: MAX_OUTPUT });
    return { code: 0, ...run };
  } catch (error) {
    const { code, stdout, stderr } = outputOf(error);
    return { code: Number(code), stdout, stderr };
  }
}

test('the package holds the built product, and no sources, tests or secrets', () => {
  expect(files).toContain('dist/client/cli/main.js');
  expect(files).toContain('dist/client/index.d.ts');
  expect(files).toContain('dist/workflows/bundle.js');
  expect(files).toContain('README.md');
  const stray = files.filter(
    (path) => !/^(dist|examples|docs)\/|^(package\.json|README\.md|LICENSE|docker-compose\.yml)$/.test(path),
  );
  expect(stray).toEqual([]);
});

test('npx cutover --help tells of every command', async () => {
  const { code, stdout } = await cutover('--help');
  expect(code).toBe(0);
  for (const command of [
    'validate',
    'preflight',
    'plan',
    'start',
    'watch',
    'approve',
    'unfence',
    'worker',
    'sandbox',
  ]) {
    expect(stdout).toMatch(new RegExp(`^ +${command}\\b`, 'm'));
  }
});

test('npx cutover validate accepts every example of the package, and refuses a wrong file with exit code 2', async () => {
  const folder = join(app, 'node_modules/cutover/examples');
  const examples = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  expect(examples.length).toBeGreaterThan(0);
  for (const example of examples) {
    const result = await cutover('validate', join(folder, example));
    expect(result, `${example}: ${result.stderr}`).toMatchObject({ code: 0 });
  }
  writeFileSync(join(app, 'wrong.yaml'), 'id: shop\nkind: redis-onlin\n');
  const refused = await cutover('validate', 'wrong.yaml');
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('wrong.yaml:2:7');
});

test('npx cutover schema prints a JSON Schema', async () => {
  const { code, stdout } = await cutover('schema');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ $schema: expect.stringContaining('json-schema.org') });
});

test('npx cutover worker runs the workflows that were bundled ahead, and ends on SIGTERM', async () => {
  temporal = await startTemporal({ dir: join(work, 'temporal'), searchAttributes: {} });
  const logFile = join(work, 'worker.log');
  const log = (): string => readFileSync(logFile, 'utf8');
  const worker = await startProcess({
    name: 'worker',
    command: join(app, 'node_modules/.bin/cutover'),
    args: ['worker'],
    cwd: app,
    env: { ...process.env, TEMPORAL_ADDRESS: temporal.address },
    logFile,
    ready: async () => log().includes('worker ready'),
  });
  try {
    expect(log()).not.toMatch(/webpack|Workflow bundle created/i);
    worker.signal('SIGTERM');
    expect(await worker.exited, log().slice(-2000)).toEqual({ code: 0, signal: null });
  } finally {
    await worker.kill();
  }
});

const CONSUMER = `
import { connect, migration, startMigration } from 'cutover';
import { runWorker } from 'cutover/worker';
import { DualWriteRedis } from 'cutover/dual-write';

export const shop = (redis: DualWriteRedis): Promise<'OK' | null> => redis.set('order:1', 'placed', 'EX', 60, 'NX');
export async function move(file: string): Promise<string> {
  const client = await connect({ address: '127.0.0.1:7233' });
  const handle = await startMigration(client, { file });
  const status = await migration(client, handle.id).status();
  await handle.approve({ by: 'somebody' });
  return status.phase;
}
export const worker: Promise<void> = runWorker({ taskQueue: 'cutover' });
`;

async function typeErrors(source: string): Promise<string> {
  writeFileSync(join(app, 'consumer.ts'), source);
  const flags = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext', '--types', ''];
  const run = exec(process.execPath, [join(REPO, 'node_modules/typescript/bin/tsc'), ...flags, 'consumer.ts'], {
    cwd: app,
    timeout: RUN_MS,
  });
  return run.then(
    () => '',
    (error: unknown) => outputOf(error).stdout,
  );
}

test('TypeScript code that uses it as a library type-checks, and wrong code does not', async () => {
  expect(await typeErrors(CONSUMER)).toBe('');
  expect(await typeErrors(CONSUMER.replace('{ file }', '{ file: 5 }'))).toContain('consumer.ts(9,');
  expect(await typeErrors(CONSUMER.replace('status.phase', 'status.nothing'))).toContain('consumer.ts(12,');
});

test('an application loads the dual write library, and neither Temporal nor AWS with it', async () => {
  const script = `
    import Module from 'node:module';
    import { DualWriteRedis } from 'cutover/dual-write';
    console.log(typeof DualWriteRedis, Object.keys(Module._cache).join(' '));
  `;
  writeFileSync(join(app, 'shop.mjs'), script);
  const { stdout } = await exec(process.execPath, ['shop.mjs'], { cwd: app, timeout: RUN_MS });
  expect(stdout).toMatch(/^function .*node_modules\/ioredis\//);
  expect(stdout).not.toMatch(/@temporalio|@aws-sdk/);
});
