import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GetParameterCommand, PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import { Client, Connection } from '@temporalio/client';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { startMoto } from '../sandbox/runtime/moto.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import { startProcess } from '../sandbox/runtime/process.ts';
import { startRedis } from '../sandbox/runtime/redis.ts';
import { startTemporal } from '../sandbox/runtime/temporal.ts';
import { terminalProgress } from '../sandbox/runtime/tool-progress.ts';
import { ensureTool } from '../sandbox/runtime/tools.ts';
import type { ToolName, ToolProgress } from '../sandbox/runtime/tools.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'cutover-runtime-'));
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

let folders = 0;
const folder = (): string => {
  const path = join(work, String(++folders));
  mkdirSync(path);
  return path;
};

/** Ended after the test, passed or failed. */
function owned<T extends { kill(): Promise<unknown> }>(server: T): T {
  cleanups.push(() => server.kill());
  return server;
}

async function until(what: string, check: () => boolean | Promise<boolean>, limitMs = 30_000): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`not within ${limitMs / 1000} s: ${what}`);
    await delay(20);
  }
}

/** A zombie runs no more: it only waits for its parent to look at it. */
function isGone(pid: number): boolean {
  try {
    return execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).startsWith('Z');
  } catch {
    return true;
  }
}

const forksOf = (pid: number): number[] => pidsBy('--ppid', pid);
const sessionOf = (pid: number): number => Number(execFileSync('ps', ['-o', 'sid=', '-p', String(pid)]).toString());
const membersOf = (session: number): number[] => pidsBy('--sid', session).filter((pid) => !isGone(pid));

function pidsBy(selection: string, id: number): number[] {
  try {
    const list = execFileSync('ps', [selection, String(id), '-o', 'pid='], { encoding: 'utf8' });
    return list
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map(Number);
  } catch {
    return []; // ps ends with 1 when it finds none.
  }
}

/** A process of its own that imports the runtime. It prints one line of JSON, and goes on for as long as it holds something. */
async function otherProcess<T>(script: string, saying: z.ZodType<T>): Promise<{ child: ChildProcess; said: T }> {
  const args = ['--import', 'tsx', '--input-type=module', '-e', script];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  cleanups.push(async () => child.kill('SIGKILL'));
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  await until(
    'the other process has spoken',
    () => {
      if (child.exitCode !== null && !out.includes('\n')) throw new Error(`it ended with ${child.exitCode}: ${err}`);
      return out.includes('\n');
    },
    60_000,
  );
  return { child, said: saying.parse(JSON.parse(out)) };
}

describe('a program on its leash', { timeout: 120_000 }, () => {
  test('ends with its parent, SIGKILLed in the middle of a BGSAVE, and so do Temporal and all forks', async () => {
    const dir = folder();
    const { child, said } = await otherProcess(
      `
      import { startRedis } from './sandbox/runtime/redis.ts';
      import { startTemporal } from './sandbox/runtime/temporal.ts';
      const redis = await startRedis({ dir: ${JSON.stringify(join(dir, 'redis'))}, config: { 'rdb-key-save-delay': '100000', 'enable-debug-command': 'yes' } });
      const temporal = await startTemporal({ dir: ${JSON.stringify(join(dir, 'temporal'))}, searchAttributes: {} });
      const client = redis.connect();
      await client.debug('populate', '10000');
      await client.bgsave();
      console.log(JSON.stringify({ redis: redis.pid, temporal: temporal.pid }));`,
      z.object({ redis: z.number(), temporal: z.number() }),
    );
    expect(readFileSync(`/proc/${said.redis}/cmdline`, 'utf8')).toMatch(/redis-server/);
    await until('BGSAVE has forked', () => forksOf(said.redis).length === 1);
    const sessions = [said.redis, said.temporal].map(sessionOf);
    expect(sessions.flatMap(membersOf).length).toBeGreaterThanOrEqual(7); // two leashes, two watchers, the programs, the fork

    child.kill('SIGKILL');
    await until('all gone', () => sessions.flatMap(membersOf).length === 0);
    expect([said.redis, said.temporal].filter((pid) => !isGone(pid))).toEqual([]);
  });

  test('and is KILLed when it does not heed TERM, and when its leash was killed first', async () => {
    const { child, said } = await otherProcess(
      `
      import { startProcess } from './sandbox/runtime/process.ts';
      const logFile = ${JSON.stringify(join(folder(), 'log'))};
      const deaf = await startProcess({ name: 'deaf', command: '/bin/sh', logFile, orphanGraceSeconds: 1,
        args: ['-c', 'trap "" TERM; echo deaf; while :; do sleep 1; done'],
        ready: async () => (await import('node:fs')).readFileSync(logFile, 'utf8').includes('deaf') });
      const unleashed = await startProcess({ name: 'unleashed', command: 'sleep', args: ['600'], logFile });
      process.stdout.write(JSON.stringify({ deaf: deaf.pid, unleashed: unleashed.pid }) + '\\n');`,
      z.object({ deaf: z.number(), unleashed: z.number() }),
    );
    const sessions = [said.deaf, said.unleashed].map(sessionOf);
    process.kill(sessions[1] ?? 0, 'SIGKILL'); // The session's leader is the leash.
    await until('the one without a leash is gone, with its parent alive', () => isGone(said.unleashed));
    expect(isGone(said.deaf)).toBe(false);
    child.kill('SIGKILL');
    await until('all gone', () => sessions.flatMap(membersOf).length === 0);
  });

  test('stop() ends with TERM what heeds it, with KILL what does not or is stopped', async () => {
    const logFile = join(folder(), 'log');
    const shell = (name: string, script: string, stopTimeoutMs: number) =>
      startProcess({
        name,
        command: '/bin/sh',
        args: ['-c', script],
        logFile,
        stopTimeoutMs,
        ready: async () => readFileSync(logFile, 'utf8').includes(`up ${name}`),
      });
    const heeds = owned(await shell('heeds', 'trap "exit 7" TERM; echo up heeds; while :; do sleep 0.1; done', 30_000));
    const deaf = owned(await shell('deaf', 'trap "" TERM; echo up deaf; while :; do sleep 0.1; done', 500));
    const frozen = owned(await shell('frozen', 'echo up frozen; while :; do sleep 0.1; done', 30_000));
    frozen.signal('SIGSTOP');
    await Promise.all([heeds.stop(), deaf.stop(), frozen.stop()]);
    expect(heeds.exit).toEqual({ code: 7, signal: null });
    expect(deaf.exit).toEqual({ code: null, signal: 'SIGKILL' });
    expect(frozen.exit).toEqual({ code: null, signal: 'SIGTERM' });
    expect([heeds, deaf, frozen].every(({ pid }) => isGone(pid))).toBe(true);
    await heeds.stop(); // Again, with nothing to do.
  });

  test('what the program forked ends with it, however it ends', async () => {
    const logFile = join(folder(), 'log');
    const fifo = join(folder(), 'fifo');
    execFileSync('mkfifo', [fifo]);
    const start = async (name: string, then: string) => {
      const args = ['-c', `sleep 600 & echo up ${name}; ${then}`];
      const ready = async () => readFileSync(logFile, 'utf8').includes(`up ${name}`);
      return owned(await startProcess({ name, command: '/bin/sh', args, logFile, ready }));
    };
    const [killed, stopped, ending] = [
      await start('killed', 'wait'),
      await start('stopped', 'wait'),
      await start('ending', `read -r _ < '${fifo}'`),
    ];
    const sessions = [killed, stopped, ending].map(({ pid }) => sessionOf(pid));
    expect(sessions.map((session) => membersOf(session).length)).toEqual([4, 4, 4]); // leash, watcher, program, fork
    writeFileSync(fifo, 'go on\n');
    await Promise.all([killed.kill(), stopped.stop(), ending.exited]);
    await until('the forks are gone', () => sessions.flatMap(membersOf).length === 0);
  });

  test('a start that fails says how it ended and the last 20 lines of this run, without the secret', async () => {
    const logFile = join(folder(), 'log');
    writeFileSync(logFile, 'a line of an earlier run\n');
    const start = async (script: string, readyTimeoutMs: number) =>
      startProcess({
        name: 'broken',
        command: '/bin/sh',
        args: ['-c', script],
        logFile,
        readyTimeoutMs,
        secrets: ['hunter2'],
        ready: async () => Promise.reject(new Error('connection refused')),
      });
    const ended = await start(
      'i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo "line $i hunter2"; done; exit 3',
      60_000,
    ).catch(String);
    expect(ended).toMatch(/broken ended before it was ready, exit code 3/);
    expect(ended).toContain('line 11 ***\n');
    expect(ended).toContain('line 30 ***');
    expect(ended).not.toMatch(/line 10 |hunter2|earlier run/);

    const late = await start('echo started; exec sleep 600', 1_000).then(() => 'it started', String);
    expect(late).toMatch(/was not ready within 1 s[^]*last check: connection refused[^]*started/);
    const pid = Number(/pid (\d+)/.exec(late)?.[1]);
    expect(isGone(pid)).toBe(true);

    const missing = startProcess({ name: 'x', command: '/no/such', logFile, ready: async () => false });
    await expect(missing).rejects.toThrow(/exit code 127: there is no such program \(\/no\/such/);
  });
});

describe('redis', { timeout: 120_000 }, () => {
  test('restart keeps port and, with save points, data; kill() loses what was not saved', async () => {
    const redis = owned(await startRedis({ dir: folder(), password: 'p w"\\x', config: { save: '3600 1' } }));
    const client = redis.connect();
    const { pid, port } = redis;
    expect(await client.info('server')).toContain(`process_id:${pid}`);
    await client.set('kept', '1');
    await redis.restart();
    expect(isGone(pid)).toBe(true);
    expect([redis.port, redis.pid === pid]).toEqual([port, false]);
    const after = redis.connect();
    expect(await after.get('kept')).toBe('1');
    await after.set('lost', '1');
    await redis.kill();
    await redis.restart();
    expect(await after.mget('kept', 'lost')).toEqual(['1', null]); // The client has found it again by itself.
    expect(execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(redis.pid)], { encoding: 'utf8' })).not.toContain(
      'p w',
    );
    await redis.stop();
    expect(isGone(redis.pid)).toBe(true);
  });

  test('saves nothing by default, takes repeated directives, and shows no password when its file is wrong', async () => {
    const dir = folder();
    const config = { 'client-output-buffer-limit': ['replica 1mb 1mb 60', 'pubsub 2mb 2mb 60'], databases: '3' };
    const redis = owned(await startRedis({ dir, config }));
    const client = redis.connect();
    expect(await client.config('GET', 'save')).toEqual(['save', '']);
    expect(await client.config('GET', 'databases')).toEqual(['databases', '3']);
    expect(String(await client.config('GET', 'client-output-buffer-limit'))).toMatch(
      /(slave|replica) 1048576 1048576 60 pubsub 2097152/,
    );
    await client.set('a', '1');
    await redis.stop();
    expect(existsSync(join(dir, 'dump.rdb'))).toBe(false);

    const wrong = startRedis({
      dir: folder(),
      password: 'hunter2',
      config: { requirepass: 'hunter2 two', maxmemory: 'x' },
    });
    const message = await wrong.then(() => '', String);
    expect(message).toMatch(/ended before it was ready, exit code 1[^]*FATAL CONFIG FILE ERROR/);
    expect(message).not.toContain('hunter2');
    await expect(startRedis({ dir: folder(), config: { databases: '3\nport 1' } })).rejects.toThrow(
      /databases holds a line break/,
    );
  });

  test('refuses a taken port, by name', async () => {
    const port = await freePort();
    const stranger = createServer().listen(port, '127.0.0.1');
    cleanups.push(() => new Promise((resolve) => stranger.close(resolve)));
    await expect(startRedis({ dir: folder(), port })).rejects.toThrow(`port ${port} on 127.0.0.1 is taken`);
  });

  test('runs as Valkey too', { timeout: 300_000 }, async () => {
    const valkey = owned(await startRedis({ dir: folder(), flavour: 'valkey', onProgress: terminalProgress() }));
    expect(valkey.flavour).toBe('valkey');
    expect(await valkey.connect().info('server')).toMatch(/server_name:valkey/);
  });
});

describe('temporal', { timeout: 180_000 }, () => {
  test('a SIGKILL and a restart keep the workflows; a later start adds what is missing', async () => {
    const dir = folder();
    const temporal = owned(
      await startTemporal({ dir, namespace: 'mine', ui: true, searchAttributes: { CutoverKind: 'Keyword' } }),
    );
    expect(await (await fetch(temporal.uiUrl ?? '')).text()).toMatch(/<html/);
    const connection = await Connection.connect({ address: temporal.address });
    cleanups.push(() => connection.close());
    const client = new Client({ connection, namespace: 'mine' });
    await client.workflow.start('anything', { taskQueue: 'none', workflowId: 'kept' });
    const { pid, address } = temporal;
    await temporal.kill();
    expect(isGone(pid)).toBe(true);
    await temporal.restart();
    expect(temporal.address).toBe(address);
    expect((await client.workflow.getHandle('kept').describe()).status.name).toBe('RUNNING');
    await temporal.stop();

    const wanted = { CutoverKind: 'Keyword', CutoverLag: 'Int' } as const;
    const upgraded = owned(await startTemporal({ dir, namespace: 'mine', searchAttributes: wanted }));
    const again = await Connection.connect({ address: upgraded.address });
    cleanups.push(() => again.close());
    const listed = await again.operatorService.listSearchAttributes({ namespace: 'mine' });
    expect(listed.customAttributes).toMatchObject({ CutoverKind: 2, CutoverLag: 3 });
    expect(upgraded.uiUrl).toBeUndefined();
    await upgraded.stop();
    const clash = startTemporal({ dir, namespace: 'mine', searchAttributes: { CutoverKind: 'Int' } });
    await expect(clash).rejects.toThrow(/CutoverKind is Keyword in the kept database, Int is wanted/);
  });
});

describe('moto', { timeout: 900_000 }, () => {
  test('answers an unmodified SDK client', async () => {
    const moto = owned(await startMoto({ dir: folder(), onProgress: terminalProgress() }));
    const credentials = { accessKeyId: 'x', secretAccessKey: 'x' };
    const ssm = new SSMClient({ endpoint: moto.url, region: 'eu-west-1', credentials });
    await ssm.send(new PutParameterCommand({ Name: '/a', Value: 'b', Type: 'String' }));
    expect((await ssm.send(new GetParameterCommand({ Name: '/a' }))).Parameter?.Value).toBe('b');
    ssm.destroy();
    await moto.stop();
    expect(isGone(moto.pid)).toBe(true);
  });
});

describe('two sandboxes side by side', { timeout: 120_000 }, () => {
  test('are given different ports, all outside the range of outgoing connections', async () => {
    const script = `
      import { freePort } from './sandbox/runtime/ports.ts';
      console.log(JSON.stringify(await Promise.all(Array.from({ length: 50 }, freePort))));
      setInterval(() => {}, 1000);`;
    const PORTS = z.array(z.number());
    const others = await Promise.all([otherProcess(script, PORTS), otherProcess(script, PORTS)]);
    const mine = await Promise.all(Array.from({ length: 50 }, () => freePort()));
    const all = [...mine, ...others.flatMap(({ said }) => said)];
    expect(new Set(all).size).toBe(150);
    const outgoing = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s/)[0]);
    expect(Math.max(...all)).toBeLessThan(outgoing);
  });

  test('each with its own data', async () => {
    const [one, two] = await Promise.all([startRedis({ dir: folder() }), startRedis({ dir: folder() })]);
    owned(one);
    owned(two);
    await one.connect().set('who', 'one');
    expect(await two.connect().get('who')).toBeNull();
    await one.kill();
    expect(await two.connect().ping()).toBe('PONG');
  });
});

describe('tools', { timeout: 120_000 }, () => {
  const nowhere = (cache: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
    PATH: '',
    CUTOVER_CACHE: cache,
    // So that the SDK's download fails at once, here and on a machine with the internet.
    HTTPS_PROXY: 'http://127.0.0.1:9',
    ...more,
  });

  test.each<[ToolName, RegExp[]]>([
    [
      'temporal',
      [
        /no `go` on PATH/,
        /SDK's own download.*[^]*failed to download/,
        /GOBIN=.*\/bin go install github.com\/temporalio\/cli\/cmd\/temporal@v1\.5\.1/,
      ],
    ],
    ['redis-server', [/no `apt-get` on PATH/, /no `python3` on PATH/, /apt-get install -y redis-server/]],
    ['valkey-server', [/no `python3` on PATH/, /VALKEY_SERVER_PATH=/]],
    ['moto', [/no `python3` on PATH/, /pip install 'moto\[server\]==5\.2\.5'/]],
  ])('%s that can not be had: the error names it, what was tried, and the command', async (name, expected) => {
    const told: ToolProgress[] = [];
    const failed = ensureTool(name, { env: nowhere(folder()), onProgress: (progress) => told.push(progress) });
    const message = await failed.then(() => '', String);
    for (const part of [new RegExp(`^ToolError: ${name} `), /can't be had on this machine/, ...expected])
      expect(message).toMatch(part);
    expect(told.at(-1)?.state).toBe('failed');
  });

  test('postgres: its variable names the folder; pg_dump: the program', async () => {
    const cache = folder();
    const [server, dump] = [await ensureTool('postgres'), await ensureTool('pg_dump')];
    expect(server.version).toMatch(/^\d+\./);
    expect(dump.version).toMatch(/^\d+\./);
    const env = nowhere(cache, { CUTOVER_POSTGRES_BIN: dirname(server.path), CUTOVER_PG_DUMP: dump.path });
    expect(await ensureTool('postgres', { env })).toEqual(server);
    const empty = ensureTool('postgres', { env: nowhere(cache, { CUTOVER_POSTGRES_BIN: folder() }) });
    await expect(empty).rejects.toThrow(/CUTOVER_POSTGRES_BIN=.* is no fit postgres and initdb.*no initdb beside it/);
    const wrong = ensureTool('pg_dump', { env: nowhere(cache, { CUTOVER_PG_DUMP: '/bin/sh' }) });
    await expect(wrong).rejects.toThrow(/CUTOVER_PG_DUMP=\/bin\/sh is no fit pg_dump/);
  });

  test('a program chosen by its variable is used or refused, never passed over', async () => {
    const cache = folder();
    const real = await ensureTool('redis-server');
    const chosen = await ensureTool('redis-server', { env: nowhere(cache, { REDIS_SERVER_PATH: real.path }) });
    expect(chosen).toEqual(real);
    const wrong = ensureTool('redis-server', { env: nowhere(cache, { REDIS_SERVER_PATH: '/bin/sh' }) });
    await expect(wrong).rejects.toThrow(/REDIS_SERVER_PATH=\/bin\/sh is no fit redis-server/);
  });

  /** A `go` that waits until it may end, counts its runs, and makes a "temporal" that tells `version`. */
  function slowGo(version: string): { path: string; runs: () => number; mayEnd: () => void } {
    const path = folder();
    const program = `#!/bin/sh\necho run >> ${path}/told\necho "temporal version ${version}"`;
    const script = `#!/bin/sh
echo run >> ${path}/runs
printf '#!/bin/sh\\n' > $GOBIN/temporal
while [ ! -e ${path}/may-end ]; do /bin/sleep 0.1; done
/bin/cat > $GOBIN/temporal <<'END'
${program}
END
/bin/chmod +x $GOBIN/temporal
`;
    writeFileSync(join(path, 'go'), script);
    chmodSync(join(path, 'go'), 0o755);
    const runs = () =>
      existsSync(join(path, 'runs')) ? readFileSync(join(path, 'runs'), 'utf8').split('\n').length - 1 : 0;
    return { path, runs, mayEnd: () => writeFileSync(join(path, 'may-end'), '') };
  }

  test('three who ask at once: one fetches, nobody sees half a program, and it is looked at once', async () => {
    const go = slowGo('1.5.1 (Server 1.29.1, UI 2.42.1)');
    const cache = folder();
    const env = nowhere(cache, { PATH: go.path });
    const waiting = folder();
    const script = `
      import { ensureTool } from './sandbox/runtime/tools.ts';
      import { writeFileSync } from 'node:fs';
      const onProgress = ({ state }) => {
        if (state === 'waiting') writeFileSync(${JSON.stringify(waiting)} + '/' + process.pid, '');
      };
      const tool = await ensureTool('temporal', { env: ${JSON.stringify(env)}, onProgress });
      console.log(JSON.stringify(tool));`;
    const states: string[] = [];
    const first = ensureTool('temporal', { env, onProgress: ({ state }) => states.push(state) });
    await until('the first fetches', () => go.runs() === 1);
    const asked = Promise.all([otherProcess(script, z.unknown()), otherProcess(script, z.unknown())]);
    await until('the two others wait', () => readdirSync(waiting).length === 2);
    go.mayEnd();
    const [mine, others] = await Promise.all([first, asked]);
    expect(mine).toMatchObject({ path: join(cache, 'bin', 'temporal'), version: '1.5.1 (Server 1.29.1, UI 2.42.1)' });
    expect(others.map(({ said }) => said)).toEqual([mine, mine]);
    expect(go.runs()).toBe(1);
    expect(states.at(-1)).toBe('ready');
    expect(readdirSync(join(cache, 'staging'))).toEqual([]);
    expect(readFileSync(join(go.path, 'told'), 'utf8')).toBe('run\n');
  });

  test('a fetch that is SIGKILLed leaves no compiler, no half program, and no lock that holds', async () => {
    const go = slowGo('1.5.1 (Server 1.29.1, UI 2.42.1)');
    const cache = folder();
    const { child, said } = await otherProcess(
      `
      import { ensureTool } from './sandbox/runtime/tools.ts';
      import { existsSync } from 'node:fs';
      const env = ${JSON.stringify(nowhere(cache, { PATH: go.path }))};
      void ensureTool('temporal', { env });
      while (!existsSync(${JSON.stringify(join(go.path, 'runs'))})) await new Promise((resolve) => setTimeout(resolve, 20));
      console.log(JSON.stringify({ pid: process.pid }));`,
      z.object({ pid: z.number() }),
    );
    const [leash] = forksOf(said.pid).filter((pid) => !isGone(pid) && sessionOf(pid) === pid);
    expect(leash).toBeDefined();
    child.kill('SIGKILL');
    await until('the fetch is gone', () => membersOf(leash ?? 0).length === 0);
    expect(existsSync(join(cache, 'bin', 'temporal'))).toBe(false);
    const quick = slowGo('1.5.1 (Server 1.29.1, UI 2.42.1)');
    quick.mayEnd();
    await ensureTool('temporal', { env: nowhere(cache, { PATH: quick.path }) });
    expect(quick.runs()).toBe(1);
    expect(readdirSync(join(cache, 'staging'))).toEqual([]);
  });

  test('one that is too old is not taken', async () => {
    const go = slowGo('1.4.0 (Server 1.28.0, UI 2.39.0)');
    go.mayEnd();
    const failed = ensureTool('temporal', { env: nowhere(folder(), { PATH: go.path }) });
    await expect(failed).rejects.toThrow(
      /it is temporal version 1\.4\.0 with Server 1\.28\.0; 1\.5\.0 or newer is needed/,
    );
  });

  test('progress: one refreshed line on a terminal, elsewhere a line at each change and every 10 s', () => {
    const lines = (isTTY: boolean): string[] => {
      const written: string[] = [];
      const show = terminalProgress({ isTTY, write: (text) => written.push(text) });
      const base = { tool: 'temporal', how: 'go install', why: 'to run a real Temporal server' } as const;
      for (let s = 0; s <= 12; s++)
        show({ ...base, state: 'fetching', elapsedMs: s * 1000, note: 'takes 2 to 5 minutes' });
      show({ ...base, state: 'ready', elapsedMs: 13_000 });
      return written;
    };
    expect(lines(false)).toEqual([
      'temporal: 0s, fetching it to run a real Temporal server: go install, takes 2 to 5 minutes\n',
      'temporal: 10s, fetching it to run a real Temporal server: go install, takes 2 to 5 minutes\n',
      'temporal: there after 13s (go install)\n',
    ]);
    const terminal = lines(true);
    expect(terminal).toHaveLength(14);
    expect(terminal.every((line) => line.startsWith('\r\u001B[2K'))).toBe(true);
    expect(terminal.filter((line) => line.endsWith('\n'))).toHaveLength(1);
  });
});
