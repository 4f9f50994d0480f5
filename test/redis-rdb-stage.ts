/** A stage for the way of an RDB: real servers, the sandbox's S3, SSM and a machine, and activities run one by one. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import type { Redis } from 'ioredis';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { closeAwsClients } from '../activities/aws/clients.ts';
import { compare } from '../activities/redis/compare/compare.ts';
import { parseInfo } from '../activities/redis/replication.ts';
import type { UploadRdbArgs } from '../activities/redis/rdb/args.ts';
import { startMoto } from '../sandbox/runtime/moto.ts';
import { startRedis, type RedisServer, type StartRedisOptions } from '../sandbox/runtime/redis.ts';
import { rdbObject, type RdbFrom, type RdbObject, type SavedRdb } from '../spec/redis-rdb.ts';
import { OPTIONS } from './redis-pair.ts';
import { startMachinesRig, type MachinesRig } from './sandbox-machines-setup.ts';

export const BUCKET = 'rdbs';

export class RdbStage {
  readonly rig: MachinesRig;
  readonly s3: S3Client;
  private readonly ends: (() => Promise<unknown>)[] = [];
  private count = 0;

  private constructor(rig: MachinesRig) {
    this.rig = rig;
    this.s3 = new S3Client({
      endpoint: rig.aws.url,
      region: rig.aws.region,
      credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
      forcePathStyle: true,
    });
  }

  /** @param env sets the variables by which the product finds AWS */
  static async open(env: (name: string, value: string) => void): Promise<RdbStage> {
    let moto: Awaited<ReturnType<typeof startMoto>> | undefined;
    const rig: MachinesRig = await startMachinesRig({
      forward: async () => {
        moto ??= await startMoto({ dir: join(rig.dir, 'moto') });
        return moto.url;
      },
    });
    for (const [name, value] of Object.entries({ ...rig.aws.env, CUTOVER_AWS_POLL_MS: '50' })) env(name, value);
    const stage = new RdbStage(rig);
    rig.aws.control.setTiming({ commandPending: 20, commandSecond: 1_000 });
    stage.ends.push(
      async () => closeAwsClients(),
      async () => stage.s3.destroy(),
      async () => moto?.stop(),
      () => rig.end(),
    );
    await stage.s3.send(
      new CreateBucketCommand({
        Bucket: BUCKET,
        ObjectOwnership: 'BucketOwnerPreferred',
      }),
    );
    return stage;
  }

  async end(): Promise<void> {
    // Servers first: they were started last.
    for (const end of [...this.ends.slice(4).reverse(), ...this.ends.slice(0, 4)]) await end();
  }

  async server(options: Partial<StartRedisOptions> = {}): Promise<RedisServer> {
    const server = await startRedis({ dir: this.folder('redis'), ...options });
    this.ends.push(() => server.stop());
    return server;
  }

  folder(name: string): string {
    const dir = join(this.rig.dir, `${name}-${(this.count += 1)}`);
    mkdirSync(dir, { recursive: true });
    return dir;
  }

  /** Of a run of its own. */
  args(source: RedisServer, from: RdbFrom, saved?: SavedRdb): UploadRdbArgs {
    const ours = { migrationId: 'rdb', run: `run-${(this.count += 1)}`, aws: { region: this.rig.aws.region } };
    return {
      ours,
      source: { host: source.host, port: source.port, tls: false },
      from,
      to: rdbObject({ bucket: BUCKET, prefix: 'cutover/' }, ours),
      timeoutMs: 300_000,
      ...(saved ? { saved } : {}),
    };
  }

  async object({ key }: RdbObject): Promise<Buffer> {
    const { Body } = await this.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
    return Buffer.from(await Body!.transformToByteArray());
  }

  /** What is under the key: objects, and uploads that are not ended. */
  async left({ key }: RdbObject): Promise<{ objects: number; uploads: number }> {
    const objects = await this.s3.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: key }));
    const uploads = await this.s3.send(new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix: key }));
    return { objects: objects.KeyCount ?? 0, uploads: (uploads.Uploads ?? []).length };
  }

  /** A server that has loaded the object, as it came. */
  async restored(at: RdbObject, options: Partial<StartRedisOptions> = {}): Promise<RedisServer> {
    const dir = this.folder('restored');
    writeFileSync(join(dir, 'dump.rdb'), await this.object(at));
    return this.server({ dir, ...options });
  }

  /** What differs between the two, every key and value looked at. */
  async differences(source: RedisServer, target: RedisServer): Promise<unknown[]> {
    const result = await compare({ source: () => source.connect(), target: () => target.connect() }, OPTIONS, {});
    return result.examples;
  }
}

/** One attempt of an activity. */
export function attempt(heartbeatDetails?: unknown): MockActivityEnvironment {
  const more = heartbeatDetails === undefined ? {} : { heartbeatDetails, attempt: 2 };
  return new MockActivityEnvironment(
    { scheduledTimestampMs: Date.now(), ...more },
    { logger: new DefaultLogger('ERROR') },
  );
}

/** Values that do not compress: as much RDB as bytes. */
export async function fillIncompressible(client: Redis, megabytes: number): Promise<void> {
  for (let i = 0; i < megabytes; i++) await client.set(`big:${i}`, randomBytes(1024 * 1024));
}

export async function persistenceOf(server: RedisServer): Promise<Record<string, string>> {
  return parseInfo(await server.connect().info('persistence'));
}
