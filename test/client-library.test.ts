/** The client library on a real Temporal server: start, status, commands, watch, result, report, list, preflight. */
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  AlreadyRunning,
  connect,
  connectSettings,
  EndedUncleanly,
  Failed,
  listMigrations,
  loadMigrationFile,
  migration,
  NoMigration,
  NoWorker,
  Refused,
  runPreflight,
  startMigration,
  Unreachable,
  waitsForOperator,
  WrongFile,
  WrongUsage,
  type LiveStatus,
  type MigrationHandle,
} from '../client/index.ts';
import { summarisePreflight } from '../spec/preflight.ts';
import { goodFile, openStage, until, type Stage } from './client-stage.ts';

const QUEUE = 'client-library';
const UNATTENDED = 'client-library-unattended';
const folder = mkdtempSync(join(tmpdir(), 'cutover-library-'));
let stage: Stage;
let client: Client;
const variables = { ...process.env };

beforeAll(async () => {
  stage = await openStage();
  await stage.worker(QUEUE);
  client = await connect({ address: stage.address });
});
afterEach(() => {
  process.env = { ...variables };
});
afterAll(async () => {
  await client?.connection.close();
  await stage?.stop();
  rmSync(folder, { recursive: true, force: true });
});

let count = 0;
function file(id = `m${++count}`): { id: string; path: string } {
  const path = join(folder, `${id}.yaml`);
  writeFileSync(path, goodFile(id));
  return { id, path };
}

/** Started, and its `attach` under way until the scene says `attached`. */
async function started(prepare?: (scene: ReturnType<Stage['scene']>) => void) {
  const { id, path } = file();
  const scene = stage.scene(id);
  prepare?.(scene);
  const handle = await startMigration(client, { file: path, taskQueue: QUEUE, startedBy: 'ann' });
  return { id, path, scene, handle };
}

const inPhase = (handle: MigrationHandle, phase: string) =>
  until(`phase ${phase}`, async () => {
    const status = await handle.status();
    return status.phase === phase && status;
  });
const atGate = (handle: MigrationHandle) =>
  until('a gate that is ready', async () => {
    const status = await handle.status();
    return status.gate?.ready === true && status;
  });

async function thrown(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('nothing was thrown'),
    (error: unknown) => error,
  );
}

test('a migration from start to report, and all that is written with it', async () => {
  const { id, path, handle } = await started();
  const waiting = await atGate(handle);
  expect(waitsForOperator(waiting)).toBe(true);
  const description = await handle.describe();
  expect(description.memo).toEqual({ kind: 'redis-online', file: path });
  expect(description.type).toBe('redisOnline');
  expect(await description.staticSummary()).toBe('Redis 10.0.0.5:6379 → 10.0.0.6:6379, online (replicaof)');
  const details = (await description.staticDetails())!;
  expect(details).toContain('| preflight |');
  expect(Buffer.byteLength(details)).toBeLessThanOrEqual(3000);
  expect(details.endsWith('\n\n-')).toBe(true);
  expect((await handle.plan()).steps.map((step) => step.id)).toEqual(['attach', 'cut-over', 'finish']);

  expect(await handle.approve({ by: 'bob', reason: 'CHG-1', step: 'cut-over' })).toEqual({
    message: 'cut-over approved',
  });
  const result = await handle.result();
  expect(result.phase).toBe('done');
  expect(result.decisions).toMatchObject([{ command: 'approve', by: 'bob', reason: 'CHG-1', step: 'cut-over' }]);
  const report = await handle.report();
  expect(report).toMatchObject({ id, outcome: 'done', leftovers: [] });
  expect(report.durationMs).toBe(Date.parse(report.endedAt!) - Date.parse(report.startedAt));
  expect(report.steps.map(({ state }) => state)).toEqual(['done', 'done', 'done']);
});

test('a running one is refused, an ended one may be started again', async () => {
  const { id, path, handle } = await started();
  const error = await thrown(startMigration(client, { file: path, taskQueue: QUEUE }));
  expect(error).toBeInstanceOf(AlreadyRunning);
  expect((error as AlreadyRunning).mend).toContain(`npx cutover status ${id}`);
  await atGate(handle);
  await handle.abort({ reason: 'again' });
  expect((await handle.result()).phase).toBe('aborted');
  const again = await startMigration(client, { file: path, taskQueue: QUEUE });
  expect((await atGate(again)).decisions).toEqual([]);
  await again.abort();
  await again.result();
});

test('an object is started as a file is: in the form of the file, or parsed; wrong ones before anything happens', async () => {
  const { id, path } = file();
  const source = {
    kind: 'redis-online',
    engine: 'replicaof',
    source: { host: 'a' },
    target: { host: 'b' },
    soak: '1m',
  } as const;
  const wrong = await thrown(startMigration(client, { migration: { ...source, id: 'UPPER' }, taskQueue: QUEUE }));
  expect(wrong).toBeInstanceOf(WrongFile);
  expect(await thrown(migration(client, 'UPPER').status())).toBeInstanceOf(NoMigration);
  for (const given of [{ ...source, id }, await loadMigrationFile(path)]) {
    const handle = await startMigration(client, { migration: given, taskQueue: QUEUE });
    await atGate(handle);
    await handle.abort();
    expect((await handle.result()).id).toBe(id);
  }
});

test('the finer progress is that of the heartbeat', async () => {
  const { handle, scene } = await started((it) => {
    it.attached = false;
    it.progress = { text: 'copying', done: 1, total: 4, unit: 'bytes' };
  });
  const first = await until('progress', async () => {
    const status = await handle.status();
    return status.progress?.done === 1 && status;
  });
  expect(first.progress).toEqual({ text: 'copying', done: 1, total: 4, unit: 'bytes' });
  expect(first.activities).toMatchObject([{ name: 'attach', attempt: 1 }]);
  const events = (await handle.describe()).historyLength;
  scene.progress = { text: 'copying', done: 3, total: 4, unit: 'bytes' };
  await until('the next beat', async () => (await handle.status()).progress?.done === 3);
  expect((await handle.describe()).historyLength, 'beats are no events').toBe(events);
  scene.attached = true;
  await atGate(handle);
  await handle.abort();
  await handle.result();
});

test('an activity that fails and is tried again is seen, with its reason', async () => {
  const { handle, scene } = await started((it) => {
    it.attachFails = { message: 'connection refused by 10.0.0.6', final: false };
  });
  const status = await until('a second try', async () => {
    const found = await handle.status();
    return (found.activities[0]?.attempt ?? 0) > 1 && found;
  });
  expect(status.activities[0]!.lastFailure).toBe('connection refused by 10.0.0.6');
  scene.attachFails = undefined;
  await atGate(handle);
  await handle.abort();
  await handle.result();
});

test('commands are refused with their reason; a failed step is retried and skipped', async () => {
  const { handle, scene } = await started((it) => {
    it.reading = { ready: false, notReady: 'lag 9 MB' };
    it.attachFails = { message: 'no route', final: true };
    it.finishFails = 'hook failed';
  });
  const parked = await inPhase(handle, 'needs-operator');
  expect(parked.operator).toMatchObject({
    step: 'attach',
    reason: 'no route',
    remedy: 'open the port',
    choices: ['retry', 'abort'],
  });
  expect(waitsForOperator(parked)).toBe(true);
  const skip = await thrown(handle.skip());
  expect(skip).toBeInstanceOf(Refused);
  expect((skip as Refused).message).toBe("skip was refused: attach can't be skipped; it takes retry or abort");
  expect(String(await thrown(handle.retry({ step: 'finish' })))).toContain('the step that waits is attach, not finish');
  scene.attachFails = undefined;
  await handle.retry({ step: 'attach' });
  const early = await inPhase(handle, 'waiting');
  expect(waitsForOperator(early), 'a gate that is not ready needs nobody').toBe(false);
  expect(String(await thrown(handle.approve()))).toContain('not ready');
  scene.reading = { ready: true };
  await atGate(handle);
  await handle.approve();
  expect((await inPhase(handle, 'needs-operator')).operator!.choices).toContain('skip');
  expect(await handle.skip({ reason: 'known' })).toEqual({ message: 'finish is skipped' });
  expect((await handle.result()).steps.at(-1)!.state).toBe('skipped');
  expect(String(await thrown(handle.pause()))).toContain('the migration has ended');
});

test('pause and resume', async () => {
  const { handle } = await started();
  await atGate(handle);
  await handle.pause({ by: 'ann', reason: 'peak' });
  expect(waitsForOperator(await inPhase(handle, 'paused'))).toBe(true);
  await handle.resume();
  await atGate(handle);
  await handle.abort();
  await handle.result();
});

test('watch gives each change once, and ends with the end', async () => {
  const { handle, scene } = await started((it) => {
    it.attached = false;
  });
  const seen: LiveStatus[] = [];
  for await (const status of handle.watch({ intervalMs: 50 })) {
    seen.push(status);
    scene.attached = true;
    if (status.gate?.ready && status.decisions.length === 0) await handle.approve();
  }
  const states = seen.map((status) => JSON.stringify(status));
  expect(states.some((state, index) => state === states[index - 1])).toBe(false);
  expect(seen[0]!.step).toBe('attach');
  expect(seen.at(-1)!.phase).toBe('done');
});

test('watch goes on while no worker answers, as long as its patience lasts', async () => {
  const { id, path } = file();
  const queue = `${UNATTENDED}-${id}`;
  const handle = await startMigration(client, { file: path, taskQueue: queue });
  const impatient = handle.watch({ intervalMs: 50, patienceMs: 200 });
  expect(await thrown(impatient.next())).toBeInstanceOf(NoWorker);
  let end: Promise<() => Promise<void>> | undefined;
  const onTrouble = (error: Error) => {
    expect(error).toBeInstanceOf(NoWorker);
    end ??= stage.worker(queue);
  };
  for await (const status of handle.watch({ intervalMs: 50, onTrouble })) {
    if (status.gate?.ready && !status.abortedBy) await handle.abort();
  }
  expect((await handle.result()).phase).toBe('aborted');
  await (
    await end!
  )();
});

test('without a worker, nothing hangs and nothing is sent', async () => {
  const { id, path } = file();
  const handle = await startMigration(client, { file: path, taskQueue: UNATTENDED });
  const status = await thrown(handle.status());
  expect(status).toBeInstanceOf(NoWorker);
  expect((status as NoWorker).message).toBe(
    `no worker is polling the task queue "${UNATTENDED}"; "${id}" said last: running`,
  );
  expect((status as NoWorker).mend).toBe(`start one: npx cutover worker --task-queue ${UNATTENDED}`);
  expect(await thrown(handle.abort())).toBeInstanceOf(NoWorker);
  const stop = await stage.worker(UNATTENDED);
  expect((await atGate(handle)).decisions, 'the abort must not arrive later').toEqual([]);
  await handle.abort();
  await handle.result();
  await stop();
});

test('a worker that died a moment ago: the command ends with what is not known', async () => {
  const { id, path } = file();
  const queue = `${UNATTENDED}-died`;
  const stop = await stage.worker(queue);
  const handle = await startMigration(client, { file: path, taskQueue: queue });
  await atGate(handle);
  await stop();
  const error = await thrown(handle.pause({ timeoutMs: 2000 }));
  expect(error).toBeInstanceOf(Unreachable);
  expect((error as Unreachable).message).toBe(
    'pause had no answer within 2 s; it may still be carried out once a worker takes it',
  );
  expect((error as Unreachable).mend).toContain(`npx cutover status ${id}`);
  await client.workflow.getHandle(id).terminate();
});

test('an end that is not its own is never a phase', async () => {
  const { id, path, handle } = await started();
  await atGate(handle);
  await client.workflow.getHandle(id).terminate('by hand');
  for (const ask of ['status', 'result', 'report'] as const) {
    const error = await thrown(handle[ask]());
    expect(error).toBeInstanceOf(EndedUncleanly);
    expect((error as EndedUncleanly).message).toContain(
      `the workflow of "${id}" was terminated: by hand; its undo did not run`,
    );
    expect((error as EndedUncleanly).mend).toContain(`npx cutover unfence ${path}`);
  }
});

test('an ended migration is answered without a worker', async () => {
  const { id, path } = file();
  const queue = `${UNATTENDED}-2`;
  const stop = await stage.worker(queue);
  const handle = await startMigration(client, { file: path, taskQueue: queue });
  await atGate(handle);
  await handle.abort({ by: 'ann', reason: 'wrong target' });
  await handle.result();
  await stop();
  const status = await migration(client, id).status();
  expect(status).toMatchObject({
    phase: 'aborted',
    abortedBy: { by: 'ann', reason: 'wrong target' },
    leftovers: ['partial data on 10.0.0.6:6379'],
  });
  expect((await handle.report()).outcome).toBe('aborted');
});

test('the list has those that run, and with all those that ran', async () => {
  const { id, path, handle } = await started();
  await atGate(handle);
  const listed = async (all: boolean) => {
    for await (const row of listMigrations(client, { all })) if (row.id === id) return row;
    return undefined;
  };
  const row = await until('it is listed as waiting', async () => {
    const found = await listed(false);
    return found?.phase === 'waiting' && found;
  });
  expect(row).toMatchObject({
    kind: 'redis-online',
    step: '2/3 cut-over',
    needsOperator: true,
    execution: 'RUNNING',
    file: path,
    taskQueue: QUEUE,
  });
  await handle.abort();
  await handle.result();
  await until('it is listed as ended', async () => (await listed(true))?.phase === 'aborted');
  expect(await listed(false)).toBeUndefined();
  const limited = [];
  for await (const found of listMigrations(client, { all: true, limit: 2 })) limited.push(found);
  expect(limited).toHaveLength(2);
});

test('what is no migration', async () => {
  const error = await thrown(migration(client, 'nowhere').status());
  expect(error).toBeInstanceOf(NoMigration);
  expect((error as NoMigration).message).toBe(
    `there is no migration "nowhere" (namespace "default" at ${stage.address})`,
  );
  const { id, path } = file();
  stage.scene(id).report = summarisePreflight([]);
  await runPreflight(client, { migration: await loadMigrationFile(path), taskQueue: QUEUE });
  expect(String(await thrown(migration(client, `preflight-${id}`).status()))).toContain(
    'a workflow of type preflight, not a migration',
  );
});

test('preflight', async () => {
  const { id, path } = file();
  const parsed = await loadMigrationFile(path);
  const failed = await thrown(runPreflight(client, { migration: parsed, taskQueue: QUEUE }));
  expect(failed).toBeInstanceOf(Failed);
  expect((failed as Failed).message).toBe('the preflight could not be run: the source can not be reached');
  expect((failed as Failed).mend).toBe('open the port');
  const report = summarisePreflight([{ id: 'S1', title: 'reachable', result: 'pass', found: 'PONG' }]);
  stage.scene(id).report = report;
  expect(await runPreflight(client, { migration: parsed, taskQueue: QUEUE })).toEqual(report);
  expect(await thrown(runPreflight(client, { migration: parsed, taskQueue: `${UNATTENDED}-3` }))).toBeInstanceOf(
    NoWorker,
  );
});

test('connections: settings, and servers that are not there', async () => {
  process.env['TEMPORAL_CONFIG_FILE'] = join(folder, 'none.toml');
  process.env['TEMPORAL_ADDRESS'] = 'temporal.internal:7233';
  process.env['TEMPORAL_NAMESPACE'] = 'prod';
  process.env['TEMPORAL_API_KEY'] = 'hunter2';
  expect(connectSettings()).toMatchObject({
    address: 'temporal.internal:7233',
    namespace: 'prod',
    connectionOptions: { tls: true },
  });
  expect(connectSettings({ address: 'other:1', namespace: 'n' })).toMatchObject({ address: 'other:1', namespace: 'n' });
  delete process.env['TEMPORAL_API_KEY'];
  process.env['TEMPORAL_ADDRESS'] = '';
  expect(connectSettings().address).toBe('localhost:7233');
  expect(await thrown(connect({ address: 'http://u:hunter2@host' }))).toBeInstanceOf(WrongUsage);
  expect(String(await thrown(connect({ address: 'http://u:hunter2@host' })))).not.toContain('hunter2');
  expect(await thrown(connect({ profile: 'nope' }))).toBeInstanceOf(WrongUsage);
  const dead = await thrown(connect({ address: '127.0.0.1:1', connectTimeoutMs: 1000 }));
  expect(dead).toBeInstanceOf(Unreachable);
  expect((dead as Unreachable).message).toBe("Temporal can't be reached at 127.0.0.1:1: nothing answers");
  const elsewhere = await connect({ address: stage.address, namespace: 'nope' });
  const error = await thrown(migration(elsewhere, 'x').status());
  await elsewhere.connection.close();
  expect(error).toBeInstanceOf(Unreachable);
  expect((error as Unreachable).message).toBe(`Temporal at ${stage.address} has no namespace "nope"`);
});

test('a profile of the Temporal CLI', async () => {
  const path = join(folder, 'temporal.toml');
  writeFileSync(path, `[profile.staging]\naddress = "${stage.address}"\nnamespace = "default"\n`);
  process.env['TEMPORAL_CONFIG_FILE'] = path;
  const staging = await connect({ profile: 'staging' });
  expect(await thrown(migration(staging, 'nowhere').status())).toBeInstanceOf(NoMigration);
  await staging.connection.close();
});
