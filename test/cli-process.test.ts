/** The command line as a process, on a real Temporal server: exit codes, text, JSON. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { raiseFence } from '../activities/redis/fence.ts';
import { connect, migration } from '../client/index.ts';
import { program as allCommands } from '../client/cli/program.ts';
import { startRedis } from '../sandbox/runtime/redis.ts';
import { summarisePreflight } from '../spec/preflight.ts';
import { goodFile, openStage, until, type Stage } from './client-stage.ts';
import { freshBuild } from './fresh-build.ts';

const QUEUE = 'cli-process';
const folder = mkdtempSync(join(tmpdir(), 'cutover-cli-'));
let stage: Stage;
let client: Client;

/** What users get. From the sources instead, for a checkout that others change: TEST_SOURCES=1. */
let program: string[];

beforeAll(async () => {
  program = process.env['TEST_SOURCES']
    ? ['--import', import.meta.resolve('tsx'), fileURLToPath(new URL('../client/cli/main.ts', import.meta.url))]
    : [join(await freshBuild(), 'dist/client/cli/main.js')];
  stage = await openStage();
  await stage.worker(QUEUE);
  client = await connect({ address: stage.address });
});
afterAll(async () => {
  await client?.connection.close();
  await stage?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Ran {
  code: number | null;
  out: string;
  err: string;
}

/** Longer than any deadline of the command line: what is ended by this hangs. */
const HANGS_MS = 60_000;

function begin(words: string[], environment: Record<string, string> = {}) {
  const env = {
    PATH: process.env['PATH'],
    HOME: folder,
    TEMPORAL_ADDRESS: stage.address,
    CUTOVER_TASK_QUEUE: QUEUE,
    CUTOVER_USER: 'ann@desk',
    NO_COLOR: '1',
    ...environment,
  };
  const child = spawn(process.execPath, [...program, ...words], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ran: Ran = { code: null, out: '', err: '' };
  child.stdout.on('data', (data: Buffer) => (ran.out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (ran.err += data.toString()));
  const timer = setTimeout(() => child.kill('SIGKILL'), HANGS_MS);
  const ended = new Promise<Ran>((resolve) => {
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ ...ran, code });
    });
  });
  return { child, ran, ended };
}
const cli = (words: string[], environment?: Record<string, string>) => begin(words, environment).ended;

let count = 0;
function file(text?: string): { id: string; path: string } {
  const id = `c${++count}`;
  const path = join(folder, `${id}.yaml`);
  writeFileSync(path, text ?? goodFile(id));
  return { id, path };
}

const atGate = (id: string) =>
  until(`${id} waits at its gate`, async () => (await migration(client, id).status()).gate?.ready === true);

describe('help', () => {
  test('every command has a description, an example, --debug, and --json where it prints', () => {
    const commands = allCommands(false).commands.flatMap((command) =>
      command.commands.length > 0 ? command.commands : [command],
    );
    expect(commands.map((command) => command.name()).sort()).toEqual([
      'abort',
      'approve',
      'backfill',
      'create',
      'delete',
      'down',
      'leave-out-table',
      'list',
      'list',
      'pause',
      'pause',
      'plan',
      'preflight',
      'reload-table',
      'report',
      'resume',
      'resume',
      'retry',
      'schema',
      'show',
      'skip',
      'snapshots',
      'start',
      'status',
      'status',
      'trigger',
      'unfence',
      'up',
      'update',
      'validate',
      'watch',
      'worker',
    ]);
    for (const command of commands) {
      const flags = command.options.map((option) => option.long);
      expect(flags).toContain('--debug');
      if (command.name() !== 'worker') expect(flags).toContain('--json');
      expect(command.description(), command.name()).not.toBe('');
      expect(command.description(), command.name()).not.toContain('\\n');
    }
  });

  test('--help teaches, and is done', async () => {
    const { code, out, err } = await cli(['--help']);
    expect([code, err]).toEqual([0, '']);
    for (const word of ['cutover validate shop.yaml', 'TEMPORAL_ADDRESS', '3  waits for the operator', 'unfence'])
      expect(out).toContain(word);
    const abort = await cli(['help', 'abort']);
    expect(abort.code).toBe(0);
    expect(abort.out).toContain('$ cutover abort shop --reason "wrong target"');
  });

  test('wrong usage is 2', async () => {
    const nothing = await cli([]);
    expect([nothing.code, nothing.out]).toEqual([2, '']);
    expect(nothing.err).toContain('Usage: cutover');
    const mistyped = await cli(['statsu', 'x']);
    expect(mistyped).toMatchObject({ code: 2, out: '' });
    expect(mistyped.err).toContain("unknown command 'statsu'\n(Did you mean status?)");
    const noReason = await cli(['abort', 'x', '--json']);
    expect(noReason).toMatchObject({ code: 2, out: '' });
    expect(JSON.parse(noReason.err)).toEqual({
      error: { type: 'WrongUsage', message: "required option '--reason <text>' not specified", exitCode: 2 },
    });
  });
});

describe('without a connection', () => {
  const nowhere = { TEMPORAL_ADDRESS: '127.0.0.1:1' };

  test('validate', async () => {
    const { id, path } = file();
    expect(await cli(['validate', path], nowhere)).toEqual({
      code: 0,
      out: `${path}: valid (redis-online ${id})\n`,
      err: '',
    });
    const wrong = file(
      'kind: redis-online\nengine: replicaof\nid: Shop\nsource: { host: a, password: hunter2 }\ntarget: { host: b }\n',
    );
    const ran = await cli(['validate', wrong.path, path], nowhere);
    expect(ran.code).toBe(2);
    expect(ran.out).toBe(`${path}: valid (redis-online ${id})\n`);
    expect(ran.err.split('\n')).toEqual([
      `${wrong.path}:3:5: id: got "Shop", expected 1 to 40 lower-case letters, digits and hyphens, a letter first, no hyphen last`,
      `${wrong.path}:4:30: source.password: got (not shown), expected the name of a secret, never the secret itself: { env: NAME }, { file: /path }, { ssm: /parameter } or { secretsManager: id }`,
      '',
    ]);
    const json = await cli(['validate', wrong.path, '--json'], nowhere);
    expect([json.code, json.err]).toEqual([2, '']);
    expect(JSON.parse(json.out)).toMatchObject({
      valid: false,
      problems: [{ line: 3, column: 5, path: 'id' }, { line: 4 }],
    });
  });

  test('plan', async () => {
    const { id, path } = file();
    const { code, out, err } = await cli(['plan', path], nowhere);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('approve-cutover  gate');
    expect(out).toContain('there is no way back');
    const json = JSON.parse((await cli(['plan', path, '--json'], nowhere)).out) as {
      id: string;
      steps: { id: string }[];
    };
    expect(json.id).toBe(id);
    expect(json.steps[0]!.id).toBe('preflight');
  });

  test('schema is a JSON Schema that takes the good and refuses the wrong', async () => {
    const { code, out } = await cli(['schema'], nowhere);
    expect(code).toBe(0);
    const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(JSON.parse(out) as object);
    const good: unknown = parse(goodFile('shop'));
    expect(validate(good)).toBe(true);
    expect(validate({ ...(good as object), retries: 3 })).toBe(false);
  });

  test('a pipe that closes early is no error', async () => {
    const { child, ended } = begin(['schema'], nowhere);
    child.stdout.destroy();
    expect((await ended).err).toBe('');
  });

  test('start refuses a wrong file before it connects', async () => {
    const { path } = file('kind: redis-online\n');
    const { code, out, err } = await cli(['start', path, '--json'], nowhere);
    expect([code, out]).toEqual([2, '']);
    expect(JSON.parse(err)).toMatchObject({
      error: {
        type: 'WrongFile',
        exitCode: 2,
        problems: [{ path: 'engine', line: 1 }, { path: 'id' }, { path: 'source' }, { path: 'target' }],
      },
    });
  });

  test.each([['status', 'x'], ['list'], ['approve', 'x'], ['start', '<file>'], ['preflight', '<file>'], ['worker']])(
    '%s: unreachable is 4, with the address, and no secret',
    async (...words) => {
      const given = words.map((word) => (word === '<file>' ? file().path : word));
      const { code, out, err } = await cli([...given, '--debug'], {
        ...nowhere,
        TEMPORAL_API_KEY: 'hunter2-key',
        TEMPORAL_TLS_DISABLED: 'true',
      });
      expect(err).toContain("error: Temporal can't be reached at 127.0.0.1:1");
      expect(err).toContain('TEMPORAL_ADDRESS');
      expect(out + err).not.toContain('hunter2');
      expect([code, out]).toEqual([4, '']);
    },
  );

  test('no stack without --debug', async () => {
    const plain = await cli(['status', 'x'], nowhere);
    expect(plain.err).not.toMatch(/^ +at /m);
    expect((await cli(['status', 'x', '--debug'], nowhere)).err).toMatch(/^ +at /m);
  });
});

describe('a migration', () => {
  test('from start to report', async () => {
    const { id, path } = file();
    stage.scene(id).finishFails = 'hook web failed: 500';
    const start = await cli(['start', path]);
    expect(start).toMatchObject({ code: 0, err: '' });
    expect(start.out).toContain(`${id} started: Redis 10.0.0.5:6379 → 10.0.0.6:6379`);
    expect(start.out).toContain(`  npx cutover watch ${id}\n`);
    const again = await cli(['start', path]);
    expect(again).toMatchObject({ code: 1, out: '' });
    expect(again.err).toContain(`a migration "${id}" is already running; nothing was started`);

    const watch = await cli(['watch', id, '--interval', '0.1']);
    expect(watch.code, 'it waits for the operator').toBe(3);
    expect(watch.out.trimEnd().split('\n').at(-1)).toContain(`${id} waits for approval of cut-over (2/3)`);
    const status = await cli(['status', id, '--address', stage.address]);
    expect(status.code).toBe(3);
    expect(status.out).toContain(`  npx cutover approve ${id} --step cut-over --address ${stage.address}`);

    const refused = await cli(['approve', id, '--step', 'elsewhere', '--json']);
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(JSON.parse(refused.err)).toEqual({
      error: {
        type: 'Refused',
        message: 'approve was refused: the gate that waits is cut-over, not elsewhere',
        exitCode: 1,
      },
    });
    const approve = await cli(['approve', id, '--step', 'cut-over', '--reason', 'CHG-1']);
    expect([approve.code, approve.out]).toEqual([0, `${id}: cut-over approved\n`]);

    expect((await cli(['watch', id, '--interval', '0.1'])).code).toBe(3);
    const parked = await cli(['status', id]);
    expect(parked.code).toBe(3);
    expect(parked.out).toContain('failed    finish: hook web failed: 500\nmend      open the port\n');
    expect(parked.out).toContain(`  npx cutover skip ${id} --step finish`);
    stage.scene(id).finishFails = undefined;
    expect((await cli(['retry', id])).out).toBe(`${id}: finish is tried again\n`);

    expect((await cli(['watch', id])).code).toBe(0);
    const done = await cli(['status', id, '--json']);
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(done.out)).toMatchObject({
      phase: 'done',
      decisions: [{ command: 'approve', by: 'ann@desk', reason: 'CHG-1' }, { command: 'retry' }],
    });
    const report = await cli(['report', id, '--markdown']);
    expect(report.code).toBe(0);
    expect(report.out).toContain(`# ${id}: done\n`);
    expect(report.out).toContain('| Finish | done | 2 |');
    expect(JSON.parse((await cli(['report', id, '--json'])).out)).toMatchObject({ outcome: 'done', leftovers: [] });
    const pause = await cli(['pause', id]);
    expect(pause).toMatchObject({ code: 1, out: '' });
    expect(pause.err).toBe('error: pause was refused: the migration has ended\n');
  });

  test('pause, resume, abort; watch of an aborted one is 1', async () => {
    const { id, path } = file();
    expect(JSON.parse((await cli(['start', path, '--json'])).out)).toMatchObject({
      id,
      taskQueue: QUEUE,
      next: [`npx cutover watch ${id}`, `npx cutover status ${id}`],
    });
    await atGate(id);
    expect((await cli(['pause', id])).code).toBe(0);
    const paused = await cli(['watch', id]);
    expect(paused.code).toBe(3);
    expect(paused.err).toContain(`npx cutover resume ${id}`);
    expect((await cli(['resume', id])).code).toBe(0);
    await atGate(id);
    const { ended } = begin(['watch', id, '--through', '--json']);
    // A pipe is nobody to ask, and nobody's yes.
    const unasked = await cli(['abort', id, '--reason', 'wrong target']);
    expect(unasked).toMatchObject({ code: 2, out: '', err: expect.stringContaining('say --yes') });
    expect(JSON.parse((await cli(['status', id, '--json'])).out)).toMatchObject({ phase: 'waiting' });
    const abort = await cli(['abort', id, '--reason', 'wrong target', '--yes']);
    expect([abort.code, abort.out]).toEqual([0, `${id}: it aborts: what was done is undone now\n`]);
    const watched = await ended;
    expect(watched.code).toBe(1);
    expect(JSON.parse(watched.out)).toMatchObject({ phase: 'aborted', leftovers: ['partial data on 10.0.0.6:6379'] });
    expect((await cli(['status', id])).code).toBe(1);
    expect((await cli(['report', id])).code).toBe(1);
  });

  test('start --watch follows, a line per change; Ctrl-C ends the view and never looks like done', async () => {
    const { id, path } = file();
    const scene = stage.scene(id);
    scene.attached = false;
    scene.progress = {
      text: 'copying',
      done: 512 * 2 ** 20,
      total: 2 ** 30,
      unit: 'bytes',
      perSecond: 2 ** 20,
      etaMs: 130_000,
      lagBytes: 2048,
    };
    const { child, ran, ended } = begin(['start', path, '--watch']);
    const line = `${id} running at attach (1/3) | copying, 512 MiB of 1 GiB, 1 MiB/s, lag 2 KiB, ETA 2m 10s\n`;
    await until('the line', async () => ran.out.includes(line));
    child.kill('SIGINT');
    const { code, err } = await ended;
    expect(code).toBe(1);
    expect(err).toContain('the view has ended, the migration goes on');
    expect((await migration(client, id).status()).phase).toBe('running');
    scene.attached = true;
    await atGate(id);
    await migration(client, id).abort();
  });

  test('list', async () => {
    const { id, path } = file();
    await cli(['start', path]);
    await atGate(id);
    const row = await until('it is listed', async () => {
      const rows = JSON.parse((await cli(['list', '--json'])).out) as { id: string; phase: string }[];
      return rows.find((found) => found.id === id && found.phase === 'waiting');
    });
    expect(row).toMatchObject({ kind: 'redis-online', needsOperator: true, file: path });
    const table = await cli(['list']);
    expect(table.out).toMatch(new RegExp(`^${id} +redis-online +waiting +2/3 cut-over +.*needs the operator$`, 'm'));
    await migration(client, id).abort();
  });

  test('none polls its queue', async () => {
    const { id, path } = file();
    const start = await cli(['start', path, '--task-queue', 'nobody']);
    expect(start.code).toBe(0);
    expect(start.err).toContain(
      `warning: no worker is polling the task queue "nobody": "${id}" is started, and waits for one.`,
    );
    for (const words of [
      ['status', id],
      ['approve', id],
      ['preflight', path, '--task-queue', 'nobody'],
    ]) {
      const { code, err } = await cli(words);
      expect(err).toContain('no worker is polling the task queue "nobody"');
      expect(err).toContain('npx cutover worker --task-queue nobody');
      expect(code).toBe(4);
    }
    await client.workflow.getHandle(id).terminate('no longer wanted');
    const { code, err } = await cli(['watch', id]);
    expect(err).toContain('was terminated: no longer wanted; its undo did not run, so a fence may still be up');
    expect(code).toBe(1);
  });

  test('one that is not there is 1', async () => {
    const { code, err } = await cli(['status', 'nowhere']);
    expect(err).toBe(
      `error: there is no migration "nowhere" (namespace "default" at ${stage.address})\nmend:  see which there are: npx cutover list --all\n`,
    );
    expect(code).toBe(1);
  });

  test('preflight: what failed first, with its mend; 1 where a check failed', async () => {
    const { id, path } = file();
    const pass = { id: 'S1', title: 'reachable', result: 'pass', found: 'PONG' } as const;
    const fail = {
      id: 'S3',
      title: 'AUTH off',
      result: 'fail',
      found: 'requirepass is set',
      remedy: 'redis-cli CONFIG SET requirepass ""',
    } as const;
    const unknown = {
      id: 'N1',
      title: 'network',
      result: 'unknown',
      found: 'not visible from here',
      remedy: 'look at the security group',
    } as const;
    stage.scene(id).report = summarisePreflight([pass, fail, unknown]);
    const failed = await cli(['preflight', path]);
    expect(failed.code).toBe(1);
    expect(failed.out).toBe(`failed (1)
  S3   AUTH off: requirepass is set
       mend: redis-cli CONFIG SET requirepass ""

could not be checked (1)
  N1   network: not visible from here
       by hand: look at the security group

passed (1)
  S1   reachable: PONG

1 failed, 1 unknown, 0 warnings, 1 passed
`);
    stage.scene(id).report = summarisePreflight([pass, unknown]);
    const passed = await cli(['preflight', path, '--json']);
    expect(passed).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(passed.out)).toMatchObject({ passed: 1, unknown: 1, failed: 0 });
  });
});

describe('unfence', () => {
  test('lifts a real fence with nothing but the file', async () => {
    const dir = mkdtempSync(join(folder, 'redis-'));
    const server = await startRedis({ dir });
    const redis = server.connect();
    try {
      await raiseFence(redis, 'shop', 1);
      await expect(redis.set('order', '1')).rejects.toThrow('NOREPLICAS');
      const { path } = file(goodFile('shop').replace('10.0.0.5', `127.0.0.1\n  port: ${server.port}`));
      const other = file(goodFile('other').replace('10.0.0.5', `127.0.0.1\n  port: ${server.port}`));
      // A pipe is nobody to ask whether the target was promoted.
      const unasked = await cli(['unfence', path], { TEMPORAL_ADDRESS: '127.0.0.1:1' });
      expect(unasked).toMatchObject({ code: 2, out: '', err: expect.stringContaining('say --yes') });
      await expect(redis.set('order', '1')).rejects.toThrow('NOREPLICAS');
      const refused = await cli(['unfence', other.path, '--yes'], { TEMPORAL_ADDRESS: '127.0.0.1:1' });
      expect(refused.code).toBe(1);
      expect(refused.err).toContain('the fence is that of the migration shop');
      await expect(redis.set('order', '1')).rejects.toThrow('NOREPLICAS');
      const lifted = await cli(['unfence', path, '--yes', '--json'], { TEMPORAL_ADDRESS: '127.0.0.1:1' });
      expect(lifted).toMatchObject({ code: 0, err: '' });
      expect(JSON.parse(lifted.out)).toMatchObject({ source: `127.0.0.1:${server.port}`, changed: true });
      expect(await redis.set('order', '1')).toBe('OK');
      expect(JSON.parse((await cli(['unfence', path, '--yes', '--json'])).out)).toMatchObject({ changed: false });
    } finally {
      redis.disconnect();
      await server.stop();
    }
  });

  test('a source that is not there is 4; a kind without a fence is 2', async () => {
    const { path } = file(goodFile('shop').replace('10.0.0.5', '127.0.0.1\n  port: 1'));
    const { code, err } = await cli(['unfence', path, '--yes']);
    expect(err).toContain('127.0.0.1:1');
    expect(code).toBe(4);
    const backup = file('kind: elasticache-backup\nid: nightly\nreplicationGroup: shop\n');
    const wrong = await cli(['unfence', backup.path]);
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain('of kind elasticache-backup, which fences nothing');
  });
});

test('worker: ready, then ended by SIGTERM with 0', async () => {
  const { child, ran, ended } = begin(['worker', '--task-queue', 'cli-worker']);
  await until('the worker is ready', async () => ran.err.includes('worker ready'));
  expect(ran.err).toContain(
    `worker ready: ${stage.address}, namespace default, queues cli-worker, cli-worker-wait, cli-worker-copy, cli-worker-follow`,
  );
  child.kill('SIGTERM');
  expect((await ended).code).toBe(0);
});
