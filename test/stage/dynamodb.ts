/** Tables, a bucket and migrations over them on a stage: the sandbox's AWS with moto behind it. */
import { join } from 'node:path';
import {
  DescribeTableCommand,
  DynamoDBClient,
  ListExportsCommand,
  ScanCommand,
  type AttributeValue,
} from '@aws-sdk/client-dynamodb';
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import { startMigration, type MigrationHandle } from '../../client/index.ts';
import { startAws, type Aws } from '../../sandbox/aws/index.ts';
import { createTable, putItems, setRecovery } from '../../sandbox/example-table.ts';
import { clientSettings } from '../../sandbox/make-once.ts';
import { startMoto } from '../../sandbox/runtime/moto.ts';
import type { ExportResult } from '../../spec/dynamodb-export-state.ts';
import type { MigrationStatus } from '../../spec/status.ts';
import { named } from './second-attempt.ts';
import type { Stage } from './stage.ts';

export type Item = Record<string, AttributeValue>;

export const BUCKET = 'backups';

export class DynamoDbScene {
  readonly stage: Stage;
  readonly aws: Aws;
  readonly db: DynamoDBClient;
  readonly s3: S3Client;
  readonly ssm: SSMClient;

  private constructor(stage: Stage, aws: Aws) {
    this.stage = stage;
    this.aws = aws;
    const settings = clientSettings(aws);
    this.db = new DynamoDBClient(settings);
    this.s3 = new S3Client({ ...settings, forcePathStyle: true });
    this.ssm = new SSMClient(settings);
  }

  static async open(stage: Stage): Promise<DynamoDbScene> {
    const moto = await startMoto({ dir: join(stage.dir, 'moto') });
    stage.endLater(moto, () => moto.kill());
    const aws = await startAws({ dir: join(stage.dir, 'aws'), redisServer: '/nonexistent', forward: moto.url });
    stage.endLater(aws, () => aws.stop());
    const scene = new DynamoDbScene(stage, aws);
    stage.endLater(scene, async () => [scene.db, scene.s3, scene.ssm].forEach((client) => client.destroy()));
    await scene.s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
    return scene;
  }

  /** A table with so many items of every type, with recovery on if not said otherwise. */
  async table(name: string, options: { items?: number; recovery?: boolean } = {}): Promise<void> {
    await createTable(this.db, name);
    await this.put(name, 0, options.items ?? 30);
    if (options.recovery !== false) await this.recovery(name);
  }

  put(table: string, first: number, count: number): Promise<void> {
    return putItems(this.db, table, first, count);
  }

  recovery(table: string, on = true): Promise<void> {
    return setRecovery(this.db, table, on);
  }

  async parameter(name: string, value: string, type: 'String' | 'SecureString' = 'String'): Promise<void> {
    await this.ssm.send(new PutParameterCommand({ Name: name, Value: value, Type: type, Overwrite: true }));
  }

  async items(table: string): Promise<Item[]> {
    const found: Item[] = [];
    let from: Item | undefined;
    do {
      const page = await this.db.send(
        new ScanCommand({ TableName: table, ConsistentRead: true, ...(from ? { ExclusiveStartKey: from } : {}) }),
      );
      found.push(...(page.Items ?? []));
      from = page.LastEvaluatedKey;
    } while (from);
    return found.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }

  async exists(table: string): Promise<boolean> {
    try {
      await this.db.send(new DescribeTableCommand({ TableName: table }));
      return true;
    } catch (error) {
      if ((error as Error).name === 'ResourceNotFoundException') return false;
      throw error;
    }
  }

  /** ARNs of the table's exports, as AWS lists them. */
  async exportsOf(table: string): Promise<string[]> {
    const { ExportSummaries } = await this.db.send(new ListExportsCommand({ MaxResults: 25 }));
    return (ExportSummaries ?? []).map((one) => one.ExportArn!).filter((arn) => arn.includes(`:table/${table}/`));
  }

  async keys(prefix: string): Promise<string[]> {
    const { Contents } = await this.s3.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: prefix }));
    return (Contents ?? []).map(({ Key }) => Key!);
  }

  /** What a worker needs; it asks ten times a second instead of every 5 s. */
  get workerEnvironment(): Record<string, string> {
    return { ...this.aws.env, CUTOVER_AWS_POLL_MS: '100' };
  }

  export(id: string, tables: unknown, more: Record<string, unknown> = {}): Promise<MigrationHandle> {
    return this.start({ kind: 'dynamodb-export', id, tables, bucket: BUCKET, ...more });
  }

  restore(id: string, from: unknown, more: Record<string, unknown> = {}): Promise<MigrationHandle> {
    return this.start({ kind: 'dynamodb-restore', id, from, ...more });
  }

  start(migration: Record<string, unknown>): Promise<MigrationHandle> {
    const id = named(String(migration['id']));
    const file = { crashDetection: '2s', aws: { region: this.aws.region }, ...migration, id };
    return startMigration(this.stage.client, { migration: file as never });
  }
}

export const resultOf = (status: MigrationStatus) => status.report['result'] as ExportResult;
