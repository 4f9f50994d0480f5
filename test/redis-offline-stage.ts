/** A `redis-offline` migration on a stage: AWS with moto's S3 behind it, a bucket, a real source, an application. */
import { DescribeReplicationGroupsCommand } from '@aws-sdk/client-elasticache';
import {
  CreateBucketCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutBucketOwnershipControlsCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { join } from 'node:path';
import { startMigration, type MigrationHandle } from '../client/index.ts';
import { controlApp } from '../sandbox/app/control.ts';
import { startApp, type App } from '../sandbox/app/writer.ts';
import { startAws, type Aws, type CallRecord } from '../sandbox/aws/index.ts';
import { clientSettings } from '../sandbox/make-once.ts';
import { startMoto } from '../sandbox/runtime/moto.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { ensureTool } from '../sandbox/runtime/tools.ts';
import { elastiCacheClient, workerEnvironment } from './stage/elasticache.ts';
import { endFirstAttempt, named } from './stage/second-attempt.ts';
import { Stage, until, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

export const BUCKET = 'migrations';

export class OfflineScene {
  readonly stage: Stage;
  readonly aws: Aws;
  readonly s3: S3Client;
  worker!: WorkerProcess;
  /** Given to its workers, over what leads them to its AWS. */
  private env: Record<string, string> = {};

  private constructor(stage: Stage, aws: Aws) {
    this.stage = stage;
    this.aws = aws;
    this.s3 = new S3Client({ ...clientSettings(aws), forcePathStyle: true });
  }

  /**
   * @param environment of its workers, made once AWS is up
   * @param store starts what S3 is, in place of moto, and gives its address
   */
  static async open(
    environment?: (scene: OfflineScene) => Promise<Record<string, string>>,
    store: (stage: Stage) => Promise<string> = moto,
  ): Promise<OfflineScene> {
    const stage = await Stage.open();
    try {
      const forward = await store(stage);
      const { path } = await ensureTool('redis-server');
      const aws = await startAws({ dir: join(stage.dir, 'aws'), redisServer: path, forward });
      stage.endLater(aws, () => aws.stop());
      const scene = new OfflineScene(stage, aws);
      await scene.s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
      scene.env = (await environment?.(scene)) ?? {};
      await scene.begin();
      return scene;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  async switchAcls(ObjectOwnership: 'BucketOwnerPreferred' | 'BucketOwnerEnforced'): Promise<void> {
    const OwnershipControls = { Rules: [{ ObjectOwnership }] };
    await this.s3.send(new PutBucketOwnershipControlsCommand({ Bucket: BUCKET, OwnershipControls }));
  }

  /** As each test finds it. */
  async begin(): Promise<void> {
    this.aws.control.reset();
    this.aws.control.setTiming({ creating: 100, deleting: 100 });
    await this.switchAcls('BucketOwnerPreferred');
    if (!this.worker || this.worker.exit) await this.newWorker();
  }

  async newWorker(): Promise<void> {
    this.worker = await this.stage.worker({ ...workerEnvironment(this.aws), ...this.env });
  }

  async close(): Promise<void> {
    this.s3.destroy();
    await this.stage.close();
  }

  /**
   * @param before is told its new group's name before it begins
   * @returns the migration, and the name of its new group: another one in each attempt of a test
   */
  async start(
    id: string,
    source: RedisServer,
    more: Record<string, unknown> = {},
    to: Record<string, unknown> = {},
    before: (group: string) => void = () => {},
  ): Promise<{ handle: MigrationHandle; group: string; migration: Record<string, unknown> }> {
    await endFirstAttempt(this.stage.client, id);
    const group = named(`${id}-new`);
    before(group);
    const migration = {
      kind: 'redis-offline',
      id,
      crashDetection: '2s',
      source: { host: source.host, port: source.port },
      s3: { bucket: BUCKET },
      to: {
        replicationGroup: group,
        nodeType: 'cache.t4g.small',
        engine: 'redis',
        engineVersion: '7.1',
        replicasPerShard: 0,
        ...to,
      },
      aws: { region: this.aws.region },
      ...more,
    };
    const handle = await startMigration(this.stage.client, { migration: migration as never });
    return { handle, group, migration };
  }

  /** An application that writes to the source, and where a hook sends it over. */
  async app(source: RedisServer, rate = 200): Promise<{ app: App; hook: Record<string, unknown> }> {
    const app = startApp({ endpoint: { host: source.host, port: source.port }, rate, clients: 2 });
    this.stage.endLater(app, () => app.stop());
    const control = await controlApp(app);
    this.stage.endLater(control, () => control.close());
    const body = { host: '${target.host}', port: '${target.port}' };
    return { app, hook: { type: 'webhook', url: `${control.url}/switch`, body, timeout: '20s' } };
  }

  async groups(): Promise<string[]> {
    const client = elastiCacheClient(this.aws);
    try {
      const { ReplicationGroups } = await client.send(new DescribeReplicationGroupsCommand({}));
      return (ReplicationGroups ?? []).map((group) => group.ReplicationGroupId!);
    } finally {
      client.destroy();
    }
  }

  primary(group: string): { host: string; port: number } {
    return this.aws.control.nodes({ group }).find(({ role }) => role === 'primary')!;
  }

  /** Keys of the bucket, and of uploads that were not ended. */
  async inBucket(): Promise<string[]> {
    const [objects, uploads] = await Promise.all([
      this.s3.send(new ListObjectsV2Command({ Bucket: BUCKET })),
      this.s3.send(new ListMultipartUploadsCommand({ Bucket: BUCKET })),
    ]);
    return [...(objects.Contents ?? []), ...(uploads.Uploads ?? [])].map(({ Key }) => Key!);
  }

  /** Ends the worker at the next such call, and starts another one. */
  async killedAt(what: string, isIt: (call: CallRecord) => boolean, begin: () => Promise<void>): Promise<void> {
    let hit = false;
    const off = this.aws.control.onCall('*', 'before', async (call) => {
      if (hit || !isIt(call)) return;
      hit = true;
      await this.worker.kill();
    });
    await begin();
    await until(`the worker was killed at ${what}`, async () => hit);
    off();
    await this.newWorker();
  }
}

async function moto(stage: Stage): Promise<string> {
  const running = await startMoto({ dir: join(stage.dir, 'moto') });
  stage.endLater(running, () => running.stop());
  return running.url;
}

export const parked = (handle: MigrationHandle) =>
  untilStatus(handle, 'parked', (s) => s.phase === 'needs-operator').then((s) => s.operator!);

export async function aborted(handle: MigrationHandle) {
  await handle.abort({ by: 'test' });
  return untilStatus(handle, 'aborted', (s) => s.phase === 'aborted');
}
