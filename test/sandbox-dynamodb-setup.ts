/** What the tests of the sandbox's DynamoDB play on: moto for tables and buckets, and unmodified SDK clients. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import {
  CreateTableCommand,
  DescribeExportCommand,
  DescribeTableCommand,
  DynamoDBClient,
  ExportTableToPointInTimeCommand,
  ScanCommand,
  UpdateContinuousBackupsCommand,
} from '@aws-sdk/client-dynamodb';
import type { AttributeValue, ExportDescription, ExportTableToPointInTimeCommandInput } from '@aws-sdk/client-dynamodb';
import { CreateBucketCommand, GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { startAws } from '../sandbox/aws/index.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { startMoto } from '../sandbox/runtime/moto.ts';
import type { MotoServer } from '../sandbox/runtime/moto.ts';

export type Item = Record<string, AttributeValue>;

export const BUCKET = 'exports';

export class Setup {
  readonly dir = mkdtempSync(join(tmpdir(), 'sandbox-dynamodb-'));
  moto!: MotoServer;
  aws!: Aws;
  db!: DynamoDBClient;
  s3!: S3Client;

  static async open(): Promise<Setup> {
    const setup = new Setup();
    setup.moto = await startMoto({ dir: join(setup.dir, 'moto') });
    return setup;
  }

  /** An empty account with an empty bucket: a test that is tried again finds no leftovers of its first attempt. */
  async fresh(): Promise<void> {
    await this.stop();
    rmSync(join(this.dir, 'aws'), { recursive: true, force: true });
    const { ok } = await fetch(`${this.moto.url}/moto-api/reset`, { method: 'POST' });
    if (!ok) throw new Error('moto cannot be reset');
    await this.start();
    await this.s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  }

  /** Starts the sandbox, or starts it again on the state of the one before. */
  async start(): Promise<void> {
    this.aws = await startAws({
      dir: join(this.dir, 'aws'),
      redisServer: '/nonexistent',
      forward: this.moto.url,
      timing: { dynamodbExporting: 20, dynamodbRestoring: 20 },
    });
    const settings = {
      endpoint: this.aws.url,
      region: this.aws.region,
      credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
    };
    this.db = new DynamoDBClient(settings);
    this.s3 = new S3Client({ ...settings, forcePathStyle: true });
  }

  async stop(): Promise<void> {
    this.db?.destroy();
    this.s3?.destroy();
    await this.aws?.stop();
  }

  async close(): Promise<void> {
    await this.stop();
    await this.moto?.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }

  arn(table: string): string {
    return `arn:aws:dynamodb:us-east-1:123456789012:table/${table}`;
  }

  /** A table with the key `id` (a text), and `at` (a number) if `sorted`; with point-in-time recovery on, if not said otherwise. */
  async table(name: string, options: { sorted?: boolean; recovery?: boolean } = {}): Promise<string> {
    const { sorted = false, recovery = true } = options;
    await this.db.send(
      new CreateTableCommand({
        TableName: name,
        AttributeDefinitions: [
          { AttributeName: 'id', AttributeType: 'S' },
          ...(sorted ? [{ AttributeName: 'at', AttributeType: 'N' as const }] : []),
        ],
        KeySchema: [
          { AttributeName: 'id', KeyType: 'HASH' },
          ...(sorted ? [{ AttributeName: 'at', KeyType: 'RANGE' as const }] : []),
        ],
        BillingMode: 'PAY_PER_REQUEST',
      }),
    );
    if (recovery) await this.recovery(name);
    return this.arn(name);
  }

  async recovery(table: string, enabled = true, days?: number): Promise<void> {
    await this.db.send(
      new UpdateContinuousBackupsCommand({
        TableName: table,
        PointInTimeRecoverySpecification: {
          PointInTimeRecoveryEnabled: enabled,
          ...(days === undefined ? {} : { RecoveryPeriodInDays: days }),
        },
      }),
    );
  }

  async export(
    table: string,
    input: Partial<ExportTableToPointInTimeCommandInput> = {},
  ): Promise<ExportDescription & { ExportArn: string }> {
    const answer = await this.db.send(
      new ExportTableToPointInTimeCommand({ TableArn: this.arn(table), S3Bucket: BUCKET, ...input }),
    );
    return answer.ExportDescription as ExportDescription & { ExportArn: string };
  }

  /** The export once it is over. */
  async ended(arn: string): Promise<ExportDescription> {
    return poll(`the end of ${arn}`, async () => {
      const { ExportDescription: found } = await this.db.send(new DescribeExportCommand({ ExportArn: arn }));
      return found?.ExportStatus === 'IN_PROGRESS' ? undefined : found;
    });
  }

  /** Exports a table and reads what is in S3. */
  async exported(table: string, input: Partial<ExportTableToPointInTimeCommandInput> = {}): Promise<ExportFiles> {
    const { ExportArn } = await this.export(table, input);
    return this.files(await this.ended(ExportArn));
  }

  /** Everything of a COMPLETED export, read from S3 as its manifests say; the checksums are checked on the way. */
  async files(description: ExportDescription): Promise<ExportFiles> {
    if (description.ExportStatus !== 'COMPLETED' || description.ExportManifest === undefined) {
      throw new Error(
        `the export is ${description.ExportStatus}: ${description.FailureCode} ${description.FailureMessage}`,
      );
    }
    const summary = JSON.parse(await this.manifest(description.ExportManifest)) as Record<string, unknown>;
    const text = await this.manifest(String(summary['manifestFilesS3Key']));
    const entries = text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as ManifestEntry);
    const lines: Record<string, Item & Record<string, unknown>>[] = [];
    for (const entry of entries) {
      const { bytes, etag } = await this.object(entry.dataFileS3Key);
      if (md5(bytes) !== entry.md5Checksum) throw new Error(`${entry.dataFileS3Key} has another MD5`);
      if (etag !== entry.etag) throw new Error(`${entry.dataFileS3Key} has ETag ${etag}, not ${entry.etag}`);
      const found = gunzipSync(bytes).toString('utf8').split('\n').filter(Boolean);
      if (found.length !== entry.itemCount) throw new Error(`${entry.dataFileS3Key} has ${found.length} lines`);
      lines.push(...found.map((line) => JSON.parse(line) as (typeof lines)[number]));
    }
    return { description, summary, entries, lines, items: lines.map((line) => line['Item'] as Item) };
  }

  async object(key: string): Promise<{ bytes: Buffer; etag: string }> {
    const { Body, ETag } = await this.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
    return { bytes: Buffer.from((await Body?.transformToByteArray()) ?? []), etag: (ETag ?? '').replaceAll('"', '') };
  }

  async scan(table: string): Promise<Item[]> {
    return (await this.db.send(new ScanCommand({ TableName: table, ConsistentRead: true }))).Items ?? [];
  }

  async active(table: string): Promise<void> {
    await poll(`${table} ACTIVE`, async () => {
      const { Table } = await this.db.send(new DescribeTableCommand({ TableName: table }));
      return Table?.TableStatus === 'ACTIVE' ? true : undefined;
    });
  }

  /** A moment between two writes: later than every write before, earlier than every one after. Seconds have milliseconds here. */
  async moment(): Promise<Date> {
    const before = Date.now();
    const at = await poll('the next millisecond', () => Promise.resolve(Date.now() > before ? Date.now() : undefined));
    await poll('the one after', () => Promise.resolve(Date.now() > at ? true : undefined));
    return new Date(at);
  }

  private async manifest(key: string): Promise<string> {
    const { bytes } = await this.object(key);
    const sum = (await this.object(key.replace(/json$/, 'md5'))).bytes.toString('utf8');
    if (md5(bytes) !== sum) throw new Error(`${key} has MD5 ${md5(bytes)}, its checksum file says ${sum}`);
    return bytes.toString('utf8');
  }
}

export interface ManifestEntry {
  itemCount: number;
  md5Checksum: string;
  etag: string;
  dataFileS3Key: string;
}

export interface ExportFiles {
  description: ExportDescription;
  summary: Record<string, unknown>;
  entries: ManifestEntry[];
  lines: Record<string, unknown>[];
  items: Item[];
}

export function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('base64');
}

/** Items in a fixed order, to compare them. */
export function sorted<T extends object>(items: readonly T[]): T[] {
  return [...items].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

/** The name and message of a refusal. @throws Error when it was none */
export async function refused(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  throw new Error('it was not refused');
}

export async function poll<T>(what: string, read: () => Promise<T | undefined>, withinMs = 60_000): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const found = await read();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await delay(5);
  }
}
