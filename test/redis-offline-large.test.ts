/**
 * A large RDB through a small worker: its memory is the kernel's word (VmHWM), and what S3 has is read back and looked at
 * by redis-check-rdb. Not part of every run:
 *   REDIS_OFFLINE_LARGE_GB=1 npx vitest run test/redis-offline-large.test.ts
 * Moto keeps an object about five times in memory when it puts the parts together. From 4 GB on S3 is therefore a gateway
 * in front of a folder, which has to be there (GATEWAY_REMEDY). Memory: that much for the source. Disk, in TMPDIR: three
 * times as much.
 */
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort, LOOPBACK } from '../sandbox/runtime/ports.ts';
import { startProcess, type RunningProcess } from '../sandbox/runtime/process.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { serverEnvironment } from '../sandbox/runtime/server-environment.ts';
import { ensureTool } from '../sandbox/runtime/tools.ts';
import { aborted, BUCKET, OfflineScene, parked } from './redis-offline-stage.ts';
import { takesWrites } from './stage/expectations.ts';
import { untilStatus, type Stage } from './stage/stage.ts';

const GB = Number(process.env['REDIS_OFFLINE_LARGE_GB'] ?? 0);
const GATEWAY = process.env['REDIS_OFFLINE_S3_GATEWAY'];
const GATEWAY_REMEDY = [
  'install an S3 that keeps its objects on the disk, and name its program:',
  '  GOBIN=/tmp/gw/bin go install github.com/versity/versitygw/cmd/versitygw@v1.8.0',
  '  export REDIS_OFFLINE_S3_GATEWAY=/tmp/gw/bin/versitygw',
].join('\n');
const MOST_OF_MOTO_GB = 3;
const MIB = 1024 * 1024;
const KEYS = Math.round(GB * 1024);
/** As through-worker.ts sends them; larger ones where S3's 10,000 would not be enough (twice the memory of the source). */
const LEAST_PART_BYTES = 8 * MIB;
const WORKER_BYTES = 512 * MIB;
const HOUR_MS = 3_600_000;

let scene: OfflineScene;
let source: RedisServer;
let redis: Redis;
let store: RunningProcess | undefined;

beforeAll(async () => {
  if (GB === 0) return;
  if (GB > MOST_OF_MOTO_GB && GATEWAY === undefined) {
    throw new Error(`moto holds ${MOST_OF_MOTO_GB} GB at most; for ${GB} GB ${GATEWAY_REMEDY}`);
  }
  scene = await OfflineScene.open(
    // Of the JavaScript heap; buffers and what is not JavaScript come on top.
    async () => ({ NODE_OPTIONS: '--max-old-space-size=192' }),
    GATEWAY === undefined ? undefined : (stage) => gateway(stage, GATEWAY),
  );
  const config = { rdbcompression: 'no', 'client-output-buffer-limit': ['replica 0 0 0'] };
  source = await scene.stage.redis({ config });
  redis = source.connect();
  const noise = randomBytes(64 * MIB);
  for (let first = 0; first < KEYS; first += 32) {
    const some = redis.pipeline();
    for (let i = first; i < Math.min(KEYS, first + 32); i++)
      some.set(`large:${i}`, noise.subarray((i * 4099) % (63 * MIB)).subarray(0, MIB));
    for (const [error] of (await some.exec()) ?? []) if (error) throw error;
  }
}, HOUR_MS);
afterAll(() => scene?.close(), 300_000);

/** A real S3 that keeps a bucket as a folder. It checks signatures, MD5s and checksums, and makes ETags as AWS does. */
async function gateway(stage: Stage, command: string): Promise<string> {
  // What S3 knows of an object beside its bytes is kept in a folder, too: not every file system has attributes. It must
  // not be inside of the other one, nor begin with its name.
  const [dir, attributes, port] = [join(stage.dir, 's3'), join(stage.dir, 'attributes-of-s3'), await freePort()];
  for (const folder of [dir, attributes]) mkdirSync(folder);
  const url = `http://${LOOPBACK}:${port}`;
  const root = ['--access', 'sandbox', '--secret', 'sandbox', '--region', 'us-east-1'];
  store = await startProcess({
    name: 'versitygw',
    command,
    args: [...root, '--port', `${LOOPBACK}:${port}`, 'posix', '--sidecar', attributes, dir],
    env: serverEnvironment(),
    logFile: join(stage.dir, 's3.log'),
    ready: async () => (await fetch(url, { signal: AbortSignal.timeout(5_000) })).status > 0,
  }).catch((error: unknown) => {
    throw new Error(`${command} did not come up: ${GATEWAY_REMEDY}`, { cause: error });
  });
  return stage.endLater(url, store.stop);
}

test.skipIf(GB === 0).each(['replication', 'path'])(
  `${GB} GB by %s pass through a worker of ${WORKER_BYTES / MIB} MiB, byte for byte`,
  async (type) => {
    await scene.worker.stop();
    await scene.begin();
    const atStart = peakBytes(scene.worker);
    // What comes after the upload would hold the data twice more.
    scene.aws.control.failNext({
      action: 'CreateReplicationGroup',
      code: 'ReplicationGroupQuotaExceededFault',
      message: 'not in this test',
      times: 1_000,
    });
    const began = performance.now();
    const { handle } = await scene.start(
      `large-${type}`,
      source,
      { crashDetection: '30s', rdb: { from: { type } } },
      { nodeType: 'cache.r7g.xlarge' },
    );
    const upload = await untilStatus(
      handle,
      'the RDB is in S3',
      ({ steps, operator }) => steps.find(({ id }) => id === 'upload')!.state === 'done' || operator !== undefined,
      HOUR_MS,
    );
    expect(upload.operator?.step ?? 'none').not.toMatch(/preflight|fence|save|upload/);
    const step = upload.steps.find(({ id }) => id === 'upload')!;
    const most = peakBytes(scene.worker);
    const [key = ''] = await scene.inBucket();
    const file = join(scene.stage.dir, 'read-back.rdb');
    const stored = await readBack(key, file);
    const tookMs = Date.parse(step.endedAt!) - Date.parse(step.startedAt!);
    console.log(
      `${type}: ${step.note}; ${(stored.bytes / MIB / (tookMs / 1000)).toFixed(0)} MiB/s (${(tookMs / 1000).toFixed(0)} s); ` +
        `memory at most: worker ${mib(most)} (before: ${mib(atStart)})${store ? `, S3 ${mib(peakBytes(store))}` : ''}; ` +
        `in all ${((performance.now() - began) / 1000).toFixed(0)} s`,
    );
    expect(stored.bytes).toBeGreaterThan(GB * 1024 * MIB);
    expect(step.note).toContain(
      `${stored.bytes} bytes in ${Math.ceil(stored.bytes / LEAST_PART_BYTES)} part(s), a whole RDB`,
    );
    expect(stored.etag).toBe(stored.computed);
    if (type === 'path') {
      const saved = createHash('sha256');
      await pipeline(createReadStream(join(source.dir, 'dump.rdb')), saved);
      expect(stored.sha256).toBe(saved.digest('hex'));
    }
    const looked = await checkRdb(file);
    expect(looked).toContain('Checksum OK');
    // The fence is up: it is what the source had then, with a key or two that are not of the large ones.
    const keys = await redis.dbsize();
    expect(keys).toBeGreaterThan(KEYS);
    expect(looked).toContain(` ${keys} keys read`);
    rmSync(file);
    expect(most).toBeLessThanOrEqual(WORKER_BYTES);
    // The gateway answers NotImplemented to an ACL of an object: with it, the grant is as far as it comes.
    if (!store) expect((await parked(handle)).step).toBe('create');
    const undone = await aborted(handle);
    expect(undone.leftovers).toEqual([]);
    expect(await scene.inBucket()).toEqual([]);
    expect(await takesWrites(source)).toBe(true);
    rmSync(join(source.dir, 'dump.rdb'), { force: true });
  },
  HOUR_MS,
);

const mib = (bytes: number) => `${(bytes / MIB).toFixed(0)} MiB`;

/** The most memory that it has ever had, as the kernel counts it. */
function peakBytes({ pid }: { pid: number }): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024;
}

/** What Redis's own tool says of it. */
async function checkRdb(path: string): Promise<string> {
  // The server itself is the tool, by this name.
  const tool = spawn((await ensureTool('redis-server')).path, [path], { argv0: 'redis-check-rdb' });
  const [said] = await Promise.all([text(tool.stdout), once(tool, 'close')]);
  return said;
}

/** The object as S3 gives it, into a file: its digest, and the ETag that parts of this size have to give. */
async function readBack(key: string, path: string) {
  const { Body, ETag } = await scene.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
  const whole = createHash('sha256');
  const parts: Buffer[] = [];
  let [part, inPart, bytes] = [createHash('md5'), 0, 0];
  const digest = async function* (body: AsyncIterable<Buffer>) {
    for await (const chunk of body) {
      let rest = chunk;
      whole.update(rest);
      bytes += rest.length;
      while (rest.length > 0) {
        const taken = rest.subarray(0, LEAST_PART_BYTES - inPart);
        part.update(taken);
        inPart += taken.length;
        rest = rest.subarray(taken.length);
        if (inPart < LEAST_PART_BYTES) continue;
        parts.push(part.digest());
        [part, inPart] = [createHash('md5'), 0];
      }
      yield chunk;
    }
  };
  await pipeline(Body as Readable, digest, createWriteStream(path));
  if (inPart > 0) parts.push(part.digest());
  const computed = `${createHash('md5').update(Buffer.concat(parts)).digest('hex')}-${parts.length}`;
  return { bytes, sha256: whole.digest('hex'), etag: ETag?.replaceAll('"', ''), computed };
}
