/**
 * A large RDB through a small worker: its memory is the kernel's word (VmHWM), and what S3 has is read back. Not part of
 * every run:
 *   REDIS_OFFLINE_LARGE_GB=1 npx vitest run test/redis-offline-large.test.ts
 * The source needs that much memory, and moto five times as much when it puts the parts together.
 */
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { aborted, BUCKET, OfflineScene } from './redis-offline-stage.ts';
import { takesWrites } from './stage/expectations.ts';
import { untilStatus } from './stage/stage.ts';

const GB = Number(process.env['REDIS_OFFLINE_LARGE_GB'] ?? 0);
const MOST_OF_MOTO_GB = 3;
const MIB = 1024 * 1024;
/** As through-worker.ts sends them. */
const PART_BYTES = 8 * MIB;
const WORKER_BYTES = 512 * MIB;
const HOUR_MS = 3_600_000;

let scene: OfflineScene;
let source: RedisServer;

beforeAll(async () => {
  if (GB === 0) return;
  if (GB > MOST_OF_MOTO_GB) throw new Error(`moto holds ${MOST_OF_MOTO_GB} GB at most`);
  scene = await OfflineScene.open(
    // Of the JavaScript heap; buffers and what is not JavaScript come on top.
    async () => ({ NODE_OPTIONS: '--max-old-space-size=192' }),
  );
  const config = { rdbcompression: 'no', 'client-output-buffer-limit': ['replica 0 0 0'] };
  source = await scene.stage.redis({ config });
  const redis = source.connect();
  const noise = randomBytes(64 * MIB);
  for (let first = 0; first < GB * 1024; first += 32) {
    const some = redis.pipeline();
    for (let i = first; i < first + 32; i++)
      some.set(`large:${i}`, noise.subarray((i * 4099) % (63 * MIB)).subarray(0, MIB));
    await some.exec();
  }
}, HOUR_MS);
afterAll(() => scene?.close(), 120_000);

test.skipIf(GB === 0).each(['replication', 'path'])(
  `${GB} GB by %s pass through a worker of ${WORKER_BYTES / MIB} MiB, byte for byte`,
  async (type) => {
    await scene.worker.stop();
    await scene.begin();
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
    const most =
      Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${scene.worker.pid}/status`, 'utf8'))![1]) * 1024;
    const [key = ''] = await scene.inBucket();
    const stored = await readBack(key);
    const tookMs = Date.parse(step.endedAt!) - Date.parse(step.startedAt!);
    console.log(
      `${type}: ${step.note}; ${(stored.bytes / MIB / (tookMs / 1000)).toFixed(0)} MiB/s, the worker's memory at most ${(most / MIB).toFixed(0)} MiB; in all ${((performance.now() - began) / 1000).toFixed(0)} s`,
    );
    expect(stored.bytes).toBeGreaterThan(GB * 1024 * MIB);
    expect(step.note).toContain(
      `${stored.bytes} bytes in ${Math.ceil(stored.bytes / PART_BYTES)} part(s), a whole RDB`,
    );
    expect(stored.etag).toBe(stored.computed);
    if (type === 'path') {
      const file = createHash('sha256');
      for await (const chunk of createReadStream(join(source.dir, 'dump.rdb'))) file.update(chunk as Buffer);
      expect(stored.sha256).toBe(file.digest('hex'));
    }
    expect(most).toBeLessThanOrEqual(WORKER_BYTES);
    const undone = await aborted(handle);
    expect(undone.leftovers).toEqual([]);
    expect(await scene.inBucket()).toEqual([]);
    expect(await takesWrites(source)).toBe(true);
    rmSync(join(source.dir, 'dump.rdb'), { force: true });
  },
  HOUR_MS,
);

/** The object as S3 gives it: its digest, and the ETag that parts of this size have to give. */
async function readBack(key: string) {
  const { Body, ETag } = await scene.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
  const whole = createHash('sha256');
  const parts: Buffer[] = [];
  let [part, inPart, bytes] = [createHash('md5'), 0, 0];
  for await (const chunk of Body as Readable) {
    let rest = chunk as Buffer;
    whole.update(rest);
    bytes += rest.length;
    while (rest.length > 0) {
      const taken = rest.subarray(0, PART_BYTES - inPart);
      part.update(taken);
      inPart += taken.length;
      rest = rest.subarray(taken.length);
      if (inPart < PART_BYTES) continue;
      parts.push(part.digest());
      [part, inPart] = [createHash('md5'), 0];
    }
  }
  if (inPart > 0) parts.push(part.digest());
  const computed = `${createHash('md5').update(Buffer.concat(parts)).digest('hex')}-${parts.length}`;
  return { bytes, sha256: whole.digest('hex'), etag: ETag?.replaceAll('"', ''), computed };
}
