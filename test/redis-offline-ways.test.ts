/** Whole migrations of `redis-offline` by its other ways: told by SSM, to TLS and a token, to shards, kept at an abort. */
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { Redis } from 'ioredis';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { fillRedis } from '../sandbox/app/fill.ts';
import { verifyAcknowledged } from '../sandbox/app/verify.ts';
import type { PreflightReport } from '../spec/preflight.ts';
import { aborted, BUCKET, OfflineScene, parked } from './redis-offline-stage.ts';
import { TlsFront } from './redis-offline-tls.ts';
import { startCounting } from './stage/counting-app.ts';
import { takesWrites } from './stage/expectations.ts';
import { contents, fill } from './stage/redis-copy.ts';
import { atGate, isDone, until, untilStatus } from './stage/stage.ts';

/** A token that is looked for wherever the migration leaves a trace. */
const TOKEN = 'a-token-of-the-new-group-5f2e';
const PASSWORD = 'a-password-of-the-source-91c3';

let scene: OfflineScene;
let front: TlsFront;

beforeAll(async () => {
  scene = await OfflineScene.open(async ({ aws, stage }) => {
    front = await TlsFront.open(aws, join(stage.dir, 'tls'));
    stage.endLater(front, () => front.close());
    return { AWS_ENDPOINT_URL: front.url, NEW_TOKEN: TOKEN, OLD_PASSWORD: PASSWORD };
  });
});
beforeEach(() => scene.begin());
afterAll(() => scene.close());

test('ssm: a person lets the fence be raised, the machine uploads, and the worker is killed meanwhile', async () => {
  const { control } = scene.aws;
  const { instanceId } = await control.machines.create({ name: 'redis', files: { '/var/lib/redis/x': '' } });
  const dir = control.machines.path(instanceId, '/var/lib/redis');
  const source = await scene.stage.redis({ dir });
  const onMachine = () => readdirSync(dir).filter((name) => !name.startsWith('redis.'));
  await fillRedis({ host: source.host, port: source.port, keys: 1_000, seed: 7 });
  const { app, hook } = await scene.app(source);
  const { handle, group } = await scene.start('by-ssm', source, {
    rdb: { from: { type: 'ssm', instance: instanceId, path: '/var/lib/redis/dump.rdb', agentTimeout: '60s' } },
    cutover: { gate: 'manual' },
    switch: [hook],
    gate: 'auto',
  });
  const asks = await untilStatus(handle, 'at the gate before the fence', atGate);
  expect(asks.gate).toMatchObject({ id: 'approve-fence', title: expect.stringContaining('Refuse writes') });
  expect(asks.fence.state).toBe('none');
  expect(await takesWrites(source)).toBe(true);
  expect([await scene.groups(), await scene.inBucket(), onMachine()]).toEqual([[], [], ['x']]);

  // What the preflight saw is looked at again: the person may have taken days.
  await scene.switchAcls('BucketOwnerEnforced');
  await handle.approve({ by: 'test', reason: 'in the night' });
  expect(await parked(handle)).toMatchObject({ step: 'fence', reason: expect.stringContaining('B2') });
  expect(await takesWrites(source)).toBe(true);
  await scene.switchAcls('BucketOwnerPreferred');
  await scene.killedAt(
    'the upload of the machine',
    ({ service, action }) => service === 's3' && action.startsWith(`PUT /${BUCKET}/cutover/by-ssm-`),
    async () => {
      await handle.retry({ by: 'test' });
    },
  );
  const done = await untilStatus(handle, 'done', isDone, 180_000);
  expect(done.steps.find(({ id }) => id === 'approve-fence')?.note).toBe('approved by test: in the night');
  expect(done.steps.find(({ id }) => id === 'compare')?.note).toMatch(/keys are equal$/);
  expect(
    control.calls({ action: 'ssm:SendCommand' }).length + control.calls({ action: 'SendCommand' }).length,
  ).toBeGreaterThan(1);
  const { host, port } = scene.primary(group);
  await until('the application writes there', async () => (app.stats().endpoints.at(-1)?.acknowledged ?? 0) > 0);
  const found = await verifyAcknowledged({ host, port }, await app.stop());
  expect(found, found.examples.join()).toMatchObject({ lost: 0, unexplained: 0 });
  expect(onMachine().sort()).toEqual(['dump.rdb', 'x']);
  expect(await scene.inBucket()).toEqual([]);
});

test('a group with TLS and a token, from a source with a password: equal, and no secret is shown', async () => {
  const source = await scene.stage.redis({ password: PASSWORD });
  await fillRedis({ host: source.host, port: source.port, password: PASSWORD, keys: 500, seed: 8 });
  const keys = await source.connect().dbsize();
  const { handle, group } = await scene.start(
    'by-tls',
    source,
    {
      source: { host: source.host, port: source.port, password: { env: 'OLD_PASSWORD' } },
      access: { ca: front.ca },
      gate: 'auto',
      soak: '1s',
    },
    { tls: true, authToken: { env: 'NEW_TOKEN' }, replicasPerShard: 1 },
    (group) => front.encrypt(group),
  );
  const done = await untilStatus(handle, 'done', isDone, 180_000);
  expect(done.steps.find(({ id }) => id === 'compare')?.note).toMatch(/keys are equal$/);
  const { host, port } = await front.endpoint(scene.primary(group));
  const tls = { ca: readFileSync(front.ca, 'utf8') };
  const redis = new Redis({ host, port, tls, password: TOKEN, lazyConnect: true });
  await redis.connect();
  expect(await redis.dbsize()).toBe(keys);
  redis.disconnect();
  expect(await answerOn(connectTls({ host, port, ...tls }))).toMatch(/NOAUTH/);
  expect(await answerOn(connect({ host, port }))).not.toMatch(/NOAUTH|PONG/);
  const history = JSON.stringify(await scene.stage.client.workflow.getHandle('by-tls').fetchHistory());
  const traces = [history, JSON.stringify(done), scene.worker.log()].join('\n');
  for (const secret of [TOKEN, PASSWORD]) {
    expect(traces).not.toContain(secret);
    expect(traces).not.toContain(Buffer.from(secret).toString('base64'));
  }
});

/** To a PING, or why there is none. */
function answerOn(socket: Socket): Promise<string> {
  return new Promise<string>((resolve) => {
    socket.once('data', (data) => resolve(String(data)));
    socket.once('error', (error) => resolve(error.message));
    socket.once('close', () => resolve('closed'));
    socket.write('PING\r\n');
  }).finally(() => socket.destroy());
}

test('aborted with keepRdb: the RDB stays, is named, and can be loaded; nothing else is left', async () => {
  const source = await scene.stage.redis();
  await fillRedis({ host: source.host, port: source.port, keys: 300, seed: 9 });
  const groups = await scene.groups();
  const { handle, group } = await scene.start('kept', source, { keepRdb: true });
  await untilStatus(handle, 'at the gate', atGate);
  expect(await takesWrites(source)).toBe(false);
  expect(await scene.groups()).toContain(group);
  const undone = await aborted(handle);
  const [key = '', ...others] = await scene.inBucket();
  expect(others).toEqual([]);
  expect(key).toMatch(/^cutover\/kept-.*-0001\.rdb$/);
  expect(undone.leftovers).toEqual([`the RDB s3://${BUCKET}/${key} (keepRdb: true)`]);
  expect(undone.fence.state).toBe('lifted');
  expect(await scene.groups()).toEqual(groups);
  const redis = source.connect();
  const fence = [await redis.exists('cutover:fence'), await redis.config('GET', 'min-replicas-to-write')];
  expect(fence).toEqual([0, ['min-replicas-to-write', '0']]);
  expect((await redis.info('replication')).includes('connected_slaves:0')).toBe(true);
  const keys = await redis.dbsize();
  expect(await takesWrites(source)).toBe(true);

  const { Body } = await scene.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
  const dir = join(scene.stage.dir, 'kept');
  await scene.stage.redis({ dir }).then((empty) => empty.stop());
  writeFileSync(join(dir, 'dump.rdb'), await Body!.transformToByteArray());
  const loaded = (await scene.stage.redis({ dir })).connect();
  // The fence's record, too, was in it.
  expect((await loaded.dbsize()) - (await loaded.exists('cutover:fence'))).toBe(keys);
});

const SHARDED = { shards: 3, replicasPerShard: 1 };

test('to three shards: aborted at the gate and done again, the worker killed; each key is on its shard, no write is lost', async () => {
  const source = await scene.stage.redis();
  const redis = source.connect();
  await fill((name, ...args) => redis.call(String(name), args), 900);
  const app = await startCounting(redis);
  const soak = { switch: [app.hook], soak: '1s' };
  const first = await scene.start('to-shards', source, soak, SHARDED);
  await untilStatus(first.handle, 'at the gate', atGate);
  expect(await takesWrites(source)).toBe(false);
  const undone = await aborted(first.handle);
  expect([undone.leftovers, undone.fence.state]).toEqual([[], 'lifted']);
  expect(await scene.groups()).not.toContain(first.group);
  expect((await scene.inBucket()).filter((key) => key.includes('to-shards'))).toEqual([]);
  expect(await takesWrites(source)).toBe(true);

  scene.aws.control.setTiming({ creating: 3_000 });
  let second!: Awaited<ReturnType<typeof scene.start>>;
  await scene.killedAt(
    'a reading of the group that is being made',
    ({ action }) => action === 'DescribeCacheClusters',
    async () => {
      second = await scene.start('to-shards', source, soak, SHARDED);
    },
  );
  const { handle, group } = second;
  const ready = await untilStatus(handle, 'at the gate', atGate, 180_000);
  expect(ready.steps.find(({ id }) => id === 'compare')?.note).toMatch(/keys are equal$/);
  await handle.approve({ by: 'test' });
  const done = await untilStatus(handle, 'done', isDone);
  expect(done.steps.find(({ id }) => id === 'verify')?.note).toMatch(/3 replica\(s\) with the same data/);
  expect(await app.stop()).toEqual([]);
  expect(app.acknowledged()).toBeGreaterThan(100);

  const primaries = scene.aws.control.nodes({ group }).filter(({ role }) => role === 'primary');
  const shards = primaries.map(({ host, port }) => ({ connect: () => new Redis(port, host) }));
  const standing = async (...servers: Parameters<typeof contents>) =>
    new Map([...(await contents(...servers))].filter(([name]) => !/^0 (count|gone|test):/.test(name)));
  expect(await standing(...shards)).toEqual(await standing(source));
  for (const shard of shards) {
    const one = shard.connect();
    expect(await one.dbsize()).toBeGreaterThan(200);
    expect(await one.keys('cutover:*')).toEqual([]);
    one.disconnect();
  }
});

test('to shards: keys in a second database are refused, and it is said that keys with one tag lie on one shard', async () => {
  const source = await scene.stage.redis();
  const redis = source.connect();
  for (let i = 0; i < 60; i++) await redis.set(`{one tag}:${i}`, 'x');
  await redis.mget('{one tag}:1', '{one tag}:2');
  await redis.select(3);
  await redis.set('a', '1');
  const { handle } = await scene.start('no-shards', source, {}, { shards: 2 });
  const { step, reason, remedy } = await parked(handle);
  expect([step, reason]).toEqual([
    'preflight',
    expect.stringMatching(/G3 .*db3 in use; a group with shards has db0 alone/),
  ]);
  expect(remedy).toContain('ElastiCache fails to restore several databases to cluster mode');
  const { preflight } = (await handle.status()).report as { preflight: PreflightReport };
  const found = (id: string) => preflight.checks.find((check) => check.id === id);
  expect(found('G2')).toMatchObject({ result: 'pass', found: expect.stringContaining('the largest shard has') });
  expect(found('G4')).toMatchObject({
    result: 'warn',
    found: expect.stringContaining('one of 2 shard(s) gets 60, and 100 %'),
  });
  expect(found('G5')).toMatchObject({
    result: 'warn',
    found: expect.stringMatching(/with shards: select \(1\);.* mget \(1\)/),
  });
  expect(await takesWrites(source)).toBe(true);
  await aborted(handle);
});
