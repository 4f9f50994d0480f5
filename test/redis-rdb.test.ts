/** From a running server to an object in S3 by each of the three ways, on real servers; and what stands in their way. */
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { GetObjectAclCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { MockActivityEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Beat } from '../activities/beat.ts';
import type { UploadRdbArgs } from '../activities/redis/rdb/args.ts';
import { grantRdbRead } from '../activities/redis/rdb/grant.ts';
import { ReplicaSocket } from '../activities/redis/rdb/handshake.ts';
import { removeRdb } from '../activities/redis/rdb/remove.ts';
import { saveRdb } from '../activities/redis/rdb/save.ts';
import { uploadRdb } from '../activities/redis/rdb/upload.ts';
import { fillRedis } from '../sandbox/app/fill.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import type { SavedRdb, UploadedRdb } from '../spec/redis-rdb.ts';
import { oldRedis } from './old-redis.ts';
import { until } from './redis-pair.ts';
import { attempt, BUCKET, fillIncompressible, persistenceOf, RdbStage } from './redis-rdb-stage.ts';
import { certificate } from './stage/certificate.ts';

const MIB = 1024 * 1024;
/** Microseconds for each key: a save that lasts until it is told otherwise. */
const SLOW = 'rdb-key-save-delay';

let stage: RdbStage;
/** Of many types and databases, and 20 MiB: parts enough. */
let source: RedisServer;
beforeAll(async () => {
  stage = await RdbStage.open((name, value) => vi.stubEnv(name, value));
  source = await stage.server({ config: { 'repl-diskless-sync-delay': '0' } });
  await fillRedis({ host: source.host, port: source.port, keys: 2_000 });
  await fillIncompressible(source.connect(), 20);
});
afterAll(() => stage?.end());

const endpoint = ({ host, port }: RedisServer) => ({ host, port, tls: false });
const save = (server: RedisServer, env: MockActivityEnvironment = attempt()): Promise<SavedRdb> =>
  env.run(saveRdb, { source: endpoint(server), timeoutMs: 60_000, intervalMs: 20 });
const upload = (args: UploadRdbArgs, env: MockActivityEnvironment = attempt()): Promise<UploadedRdb> =>
  env.run<[UploadRdbArgs], UploadedRdb, typeof uploadRdb>(uploadRdb, args);
const failureOf = (call: Promise<unknown>) =>
  call.then(
    () => 'it did not fail',
    (error: unknown) => error as Error,
  );

test('path: saved, uploaded, and loaded by another server: every key equal', async () => {
  const saved = await save(source);
  expect(saved).toMatchObject({ dir: source.dir, dbfilename: 'dump.rdb', engine: 'redis', version: source.version });
  const args = stage.args(source, { type: 'path' }, saved);
  const uploaded = await upload(args);
  const file = readFileSync(join(source.dir, 'dump.rdb'));
  expect(uploaded).toMatchObject({ key: args.to.key, bytes: file.length, parts: 3, resumedParts: 0, mark: saved.mark });
  expect((await stage.object(args.to)).equals(file)).toBe(true);
  expect(await stage.differences(source, await stage.restored(uploaded))).toEqual([]);
  // The answer of a first attempt was lost: what it brought to its end is taken.
  expect(await upload(args)).toMatchObject({ etag: uploaded.etag, resumedParts: 3, rdb: uploaded.rdb });
});

test.each([
  ['diskless, ended by its mark', {}, {}],
  ['from its disk, with its length before it', { 'repl-diskless-sync': 'no' }, {}],
  ['of Valkey', {}, { flavour: 'valkey' as const }],
])('replication: %s', async (_, config, more) => {
  const server = await stage.server({ config: { 'repl-diskless-sync-delay': '0', ...config }, ...more });
  await fillRedis({ host: server.host, port: server.port, keys: 1_000 });
  const args = stage.args(server, { type: 'replication' });
  const uploaded = await upload(args);
  expect(uploaded.rdb).toMatchObject({ version: server.flavour === 'valkey' ? 80 : 10, server: server.version });
  expect(uploaded.sync).toEqual({ replid: uploaded.rdb.replid, offset: uploaded.rdb.offset });
  expect(uploaded.sync!.offset).toBeGreaterThanOrEqual(uploaded.mark.offset);
  expect(await stage.differences(server, await stage.restored(uploaded, more))).toEqual([]);
  // Nobody stays connected as a replica.
  await until('the server has no replica', async () =>
    (await server.connect().info('replication')).includes('connected_slaves:0'),
  );
  // Once more, after an object that is as old as a second ago: made anew.
  expect((await upload(args)).resumedParts).toBe(0);
});

test('replication: of Redis 6.2, which knows no rdb-only', async () => {
  const old = oldRedis();
  if (!('path' in old)) throw new Error(old.reason);
  vi.stubEnv('REDIS_SERVER_PATH', old.path);
  const server = await stage.server({ config: { 'repl-diskless-sync': 'yes', 'repl-diskless-sync-delay': '0' } });
  vi.stubEnv('REDIS_SERVER_PATH', undefined);
  expect(server.version).toMatch(/^6\.2\./);
  await fillRedis({ host: server.host, port: server.port, keys: 500 });
  const uploaded = await upload(stage.args(server, { type: 'replication' }));
  expect(uploaded.rdb.version).toBe(9);
  expect(await stage.differences(server, await stage.restored(uploaded))).toEqual([]);
});

test('ssm: the machine uploads its file itself, and nothing of its own is left on it', async () => {
  const { instanceId } = await stage.rig.aws.control.machines.create({
    name: 'redis',
    files: { '/var/lib/redis/x': '' },
  });
  const saved = await save(source);
  const onMachine = join(stage.rig.aws.control.machines.folder(instanceId), 'var/lib/redis');
  copyFileSync(join(source.dir, 'dump.rdb'), join(onMachine, 'dump.rdb'));
  const from = { type: 'ssm' as const, instance: instanceId, path: '/var/lib/redis/dump.rdb', agentTimeout: 60_000 };
  const args = stage.args(source, from, saved);
  const uploaded = await upload(args);
  expect(uploaded).toMatchObject({ parts: 2, resumedParts: 0 });
  expect((await stage.object(args.to)).equals(readFileSync(join(source.dir, 'dump.rdb')))).toBe(true);
  expect(readdirSync(onMachine).sort()).toEqual(['dump.rdb', 'x']);
  // A file of another save than ours is refused before a byte of it is sent.
  const later = { ...saved, mark: { ...saved.mark, second: saved.mark.second + 3_600 } };
  const stale = stage.args(source, from, later);
  expect(await failureOf(upload(stale))).toMatchObject({
    type: 'cutover.Invalid',
    message: expect.stringContaining('was begun'),
  });
  expect(await stage.left(stale.to)).toEqual({ objects: 0, uploads: 0 });
  expect(await attempt().run(removeRdb, { ...stale, from })).toEqual({ left: [], removed: false });
  expect(readdirSync(onMachine).sort()).toEqual(['dump.rdb', 'x']);
});

test('a save that is under way is waited for, and followed by ours', async () => {
  const server = await stage.server();
  const client = server.connect();
  for (let i = 0; i < 30; i++) await client.set(`k${i}`, 'v');
  await client.config('SET', SLOW, '100000');
  await client.call('BGSAVE');
  await client.set('written-during-the-other', '1');
  await client.config('SET', SLOW, '0');
  const env = attempt();
  const told: string[] = [];
  env.on('heartbeat', ({ progress }: Beat) => told.push(progress?.text ?? ''));
  const saved = await save(server, env);
  expect(told[0]).toBe('another save is under way: it is waited for, and then ours is begun');
  expect((await persistenceOf(server))['rdb_saves']).toBe('2');
  const restored = await stage.restored(await upload(stage.args(server, { type: 'path' }, saved)));
  expect(await restored.connect().get('written-during-the-other')).toBe('1');
});

test('a save that the server ends by itself is none, and the next attempt makes another', async () => {
  const server = await stage.server();
  const client = server.connect();
  for (let i = 0; i < 600; i++) await client.set(`k${i}`, 'v');
  await client.config('SET', SLOW, '100000');
  const env = attempt();
  let last: Beat | undefined;
  env.on('heartbeat', (beat: Beat) => (last = beat));
  const ended = failureOf(save(server, env));
  await until('it is saved', async () => (await persistenceOf(server))['rdb_bgsave_in_progress'] === '1');
  await client.config('SET', SLOW, '0');
  await client.flushdb();
  await client.set('after', '1');
  // What FLUSHALL does with it.
  process.kill(childOf(server), 'SIGUSR1');
  expect(await ended).toMatchObject({ type: 'cutover.Busy', nonRetryable: false });
  const saved = await save(server, attempt(last));
  expect(saved.keys).toEqual({ db0: 1 });
});

/** The process that saves. */
function childOf(server: RedisServer): number {
  return Number(readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').trim().split(' ')[0]);
}

test('a worker that is killed meanwhile goes on with the save that it began', async () => {
  const server = await stage.server();
  const client = server.connect();
  for (let i = 0; i < 20; i++) await client.set(`k${i}`, 'v');
  await client.config('SET', SLOW, '100000');
  const first = attempt();
  const beats: Beat[] = [];
  first.on('heartbeat', (beat: Beat) => beats.push(beat));
  const lost = failureOf(save(server, first));
  await until('it is saved', async () =>
    beats.some(({ checkpoint }) => JSON.stringify(checkpoint ?? null).includes('order')),
  );
  first.cancel();
  await lost;
  const saved = await save(server, attempt(beats.at(-1)));
  expect(saved.keys).toEqual({ db0: 20 });
  expect(Number((await persistenceOf(server))['rdb_saves'])).toBe(1);
  // What the killed one had said is of no use after a restart of the server: another save.
  await client.config('SET', SLOW, '0');
  await server.restart();
  await save(server, attempt(beats.at(-1)));
  expect(Number((await persistenceOf(server))['rdb_saves'])).toBe(1);
});

test('a save that fails says where to look', async () => {
  const gone = stage.folder('gone');
  const server = await stage.server({ config: { dir: gone } });
  await server.connect().set('a', '1');
  rmSync(gone, { recursive: true });
  expect(await failureOf(save(server))).toMatchObject({
    type: 'cutover.ServiceFailed',
    nonRetryable: true,
    message: expect.stringContaining('rdb_last_bgsave_status:err'),
    details: [expect.objectContaining({ remedy: expect.stringContaining('no room on the disk') })],
  });
});

test('an upload that was cut short goes on with what S3 has', async () => {
  const saved = await save(source);
  const args = stage.args(source, { type: 'path' }, saved);
  const first = attempt();
  let last: Beat | undefined;
  first.on('heartbeat', (beat: Beat) => {
    last = beat;
    if ((beat.progress?.done ?? 0) >= 8 * MIB) first.cancel();
  });
  expect(await failureOf(upload(args, first))).toBeInstanceOf(Error);
  expect(await stage.left(args.to)).toEqual({ objects: 0, uploads: 1 });
  const uploaded = await upload(args, attempt(last));
  expect(uploaded.resumedParts).toBeGreaterThanOrEqual(1);
  expect((await stage.object(args.to)).equals(readFileSync(join(source.dir, 'dump.rdb')))).toBe(true);
  expect(await stage.left(args.to)).toEqual({ objects: 1, uploads: 0 });
});

test('a stream that was cut short begins again, and an abort leaves nothing', async () => {
  const args = stage.args(source, { type: 'replication' });
  const first = attempt();
  first.on('heartbeat', ({ progress }: Beat) => {
    if ((progress?.done ?? 0) >= 8 * MIB) first.cancel();
  });
  expect(await failureOf(upload(args, first))).toBeInstanceOf(Error);
  const uploaded = await upload(args);
  expect(uploaded).toMatchObject({ parts: 3, resumedParts: 0 });
  expect(await attempt().run(removeRdb, args)).toEqual({ left: [], removed: true });
  expect(await attempt().run(removeRdb, args)).toEqual({ left: [], removed: false });
  expect(await stage.left(args.to)).toEqual({ objects: 0, uploads: 0 });
});

test('a source that dies in the middle of its stream leaves no object', async () => {
  const server = await stage.server({ config: { 'repl-diskless-sync-delay': '0' } });
  await fillIncompressible(server.connect(), 20);
  await server.connect().config('SET', SLOW, '100000');
  const args = stage.args(server, { type: 'replication' });
  const env = attempt();
  env.on('heartbeat', ({ progress }: Beat) => {
    if ((progress?.done ?? 0) >= 8 * MIB) process.kill(childOf(server), 'SIGKILL');
  });
  expect(await failureOf(upload(args, env))).toMatchObject({ type: expect.stringMatching(/Replication|Unreachable/) });
  expect(await stage.left(args.to)).toEqual({ objects: 0, uploads: 0 });
});

test('a file that is cut off, damaged or older than asked for becomes no object', async () => {
  const saved = await save(source);
  const dir = stage.folder('damaged');
  const path = join(dir, 'dump.rdb');
  const refuse = async (change: () => void, mark = saved.mark) => {
    copyFileSync(join(source.dir, 'dump.rdb'), path);
    change();
    const args = stage.args(source, { type: 'path', path }, { ...saved, mark });
    const failure = await failureOf(upload(args));
    expect((await stage.left(args.to)).objects).toBe(0);
    expect(await attempt().run(removeRdb, args)).toEqual({ left: [], removed: false });
    expect(await stage.left(args.to)).toEqual({ objects: 0, uploads: 0 });
    expect(failure).toMatchObject({ nonRetryable: true });
    return (failure as Error).message;
  };
  expect(await refuse(() => truncateSync(path, 15 * MIB))).toMatch(/cut off/);
  expect(await refuse(() => appendFileSync(path, 'x'))).toMatch(/damaged|cut off/);
  expect(
    await refuse(() => {
      const bytes = readFileSync(path);
      bytes[10 * MIB] = bytes[10 * MIB]! ^ 1;
      writeFileSync(path, bytes);
    }),
  ).toMatch(/damaged/);
  expect(await refuse(() => {}, { ...saved.mark, second: saved.mark.second + 10 })).toMatch(
    /was begun .* has to be of/,
  );
  expect(await refuse(() => rmSync(path))).toMatch(/can't read .*ENOENT/);
  expect(await refuse(() => writeFileSync(path, 'no RDB at all'))).toMatch(/begins with "no RDB at"/);
});

describe('a file of another server under the path', () => {
  const withReplica = async (): Promise<RedisServer> => {
    const config = { 'repl-diskless-sync-delay': '0' };
    const [server, replica] = [await stage.server({ config }), await stage.server({ config })];
    await fillRedis({ host: server.host, port: server.port, keys: 100 });
    await replica.connect().replicaof(server.host, server.port);
    await until('it has a replica', async () =>
      /slave0:.*state=online/.test(await server.connect().info('replication')),
    );
    return server;
  };

  test('is refused, also where it was saved after the source’s', async () => {
    const [server, other] = await Promise.all([withReplica(), withReplica()]);
    const saved = await save(server);
    await save(other);
    const path = join(other.dir, 'dump.rdb');
    const args = stage.args(server, { type: 'path', path }, saved);
    expect(await failureOf(upload(args))).toMatchObject({
      type: 'cutover.Invalid',
      nonRetryable: true,
      message: expect.stringMatching(/dump\.rdb is of another server: its replication id is [0-9a-f]{40}, and that of/),
    });
    expect((await stage.left(args.to)).objects).toBe(0);
    await attempt().run(removeRdb, args);
    // Its own one is taken, and says whose it is.
    const own = await upload(stage.args(server, { type: 'path' }, saved));
    expect(own.rdb.replid).toBe(saved.mark.replid);
  });

  test('a source that was a replica, and became a primary, is known by its id of now', async () => {
    const server = await withReplica();
    const promoted = await stage.server({ config: { 'repl-diskless-sync-delay': '0' } });
    const client = promoted.connect();
    await client.replicaof(server.host, server.port);
    await until('it has it all', async () => (await client.info('replication')).includes('master_link_status:up'));
    const asReplica = await save(promoted);
    expect((await upload(stage.args(promoted, { type: 'path' }, asReplica))).rdb.replid).toBe(asReplica.mark.replid);
    await client.call('REPLICAOF', 'NO', 'ONE');
    const saved = await save(promoted);
    expect(saved.mark.replid).not.toBe(asReplica.mark.replid);
    expect((await upload(stage.args(promoted, { type: 'path' }, saved))).rdb.replid).toBe(saved.mark.replid);
  });
});

test('a sync that the server joins to a save from before our time is not taken', async () => {
  const server = await stage.server({ config: { 'repl-diskless-sync': 'no' } });
  const client = server.connect();
  for (let i = 0; i < 40; i++) await client.set(`k${i}`, 'v');
  await client.config('SET', SLOW, '100000');
  const other = await ReplicaSocket.open(endpoint(server), 'another', new AbortController().signal);
  try {
    await other.must('REPLCONF', 'capa', 'eof', 'capa', 'psync2');
    await other.ask('REPLCONF', 'rdb-only', '1');
    await other.must('PSYNC', '?', '-1');
    await until(
      'it is saved for the other',
      async () => (await persistenceOf(server))['rdb_bgsave_in_progress'] === '1',
    );
    await client.set('written-since', '1');
    const args = stage.args(server, { type: 'replication' });
    expect(await failureOf(upload(args))).toMatchObject({
      type: 'cutover.Busy',
      nonRetryable: false,
      message: expect.stringContaining('took us along with a save from before our time'),
    });
    await client.config('SET', SLOW, '0');
    process.kill(childOf(server), 'SIGKILL');
    await until('that save has ended', async () => (await persistenceOf(server))['rdb_bgsave_in_progress'] === '0');
    const restored = await stage.restored(await upload(args));
    expect(await restored.connect().get('written-since')).toBe('1');
  } finally {
    other.close();
  }
});

test('replication with TLS and an ACL user that may no more than it needs', async () => {
  const dir = stage.folder('tls');
  const { cert, key } = certificate(dir);
  const port = await freePort();
  const server = await stage.server({
    password: 'admin-password',
    config: {
      'repl-diskless-sync-delay': '0',
      'tls-port': String(port),
      'tls-cert-file': cert,
      'tls-key-file': key,
      'tls-ca-cert-file': cert,
      'tls-auth-clients': 'no',
    },
  });
  const admin = server.connect();
  for (let i = 0; i < 100; i++) await admin.set(`k${i}`, 'v');
  await admin.call(
    'ACL',
    'SETUSER',
    'copier',
    'reset',
    'on',
    '>a-secret',
    '+psync',
    '+replconf',
    '+ping',
    '+info',
    '+time',
  );
  vi.stubEnv('RDB_TEST_PASSWORD', 'a-secret');
  const from = { type: 'replication' as const };
  const tls = {
    host: 'localhost',
    port,
    username: 'copier',
    password: { env: 'RDB_TEST_PASSWORD' },
    tls: { ca: cert },
  };
  const args = { ...stage.args(server, from), source: tls };
  const uploaded = await upload(args);
  const restored = await stage.restored(uploaded);
  expect(await restored.connect().dbsize()).toBe(100);
  await admin.call('ACL', 'SETUSER', 'copier', '-psync');
  const refused = await failureOf(upload({ ...stage.args(server, from), source: tls }));
  expect(refused).toMatchObject({ type: 'cutover.Denied', details: [{ remedy: expect.stringContaining('+psync') }] });
  expect(JSON.stringify(refused)).not.toContain('a-secret');
});

test('an object of somebody else under the key is neither written over nor deleted', async () => {
  const args = stage.args(source, { type: 'path' }, await save(source));
  await stage.s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: args.to.key, Body: 'theirs' }));
  expect(await failureOf(upload(args))).toMatchObject({ type: 'cutover.NotOurs' });
  expect(await attempt().run(removeRdb, args)).toEqual({
    removed: false,
    left: [expect.stringContaining('was not made by this run')],
  });
  expect((await stage.object(args.to)).toString()).toBe('theirs');
});

test('ElastiCache is let in to the object alone, and its owner keeps what it has', async () => {
  const args = stage.args(source, { type: 'path' }, await save(source));
  expect(await failureOf(attempt().run(grantRdbRead, args))).toMatchObject({ type: 'cutover.NotFound' });
  await upload(args);
  expect(await attempt().run(grantRdbRead, args)).toEqual({ by: 'acl' });
  expect(await attempt().run(grantRdbRead, args)).toEqual({ by: 'acl' });
  const { Grants = [], Owner } = await stage.s3.send(new GetObjectAclCommand({ Bucket: BUCKET, Key: args.to.key }));
  const of = (id: string | undefined) =>
    new Set(Grants.filter(({ Grantee }) => Grantee?.ID === id).map(({ Permission }) => Permission));
  expect(of('540804c33a284a299d2547575ce1010f2312ef3da9b3a053c8bc45bf233e4353')).toEqual(new Set(['READ', 'READ_ACP']));
  expect(of(Owner?.ID)).toEqual(new Set(['FULL_CONTROL']));
  expect(existsSync(join(source.dir, 'dump.rdb'))).toBe(true);
});

test('an RDB many times as large as the memory for it passes through', async () => {
  const server = await stage.server({ config: { 'repl-diskless-sync-delay': '0' } });
  const MEGABYTES = 120;
  await fillIncompressible(server.connect(), MEGABYTES);
  const args = stage.args(server, { type: 'replication' });
  const child = fileURLToPath(new URL('redis-rdb-child.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--max-old-space-size=64', '--import', 'tsx', child, JSON.stringify(args)],
    { env: { ...process.env }, timeout: 110_000 },
  );
  const { before, peak, uploaded } = JSON.parse(stdout) as { before: number; peak: number; uploaded: UploadedRdb };
  expect(uploaded.bytes).toBeGreaterThan(MEGABYTES * MIB);
  expect(uploaded.rdb.crc64).toMatch(/^[0-9a-f]{16}$/);
  // Five parts of 8 MiB, what the SDK and the socket hold, and Node's own growth: nothing that grows with the RDB.
  expect(peak - before).toBeLessThan(80 * MIB);
});
