import {
  GetBucketAclCommand,
  GetBucketLocationCommand,
  GetBucketPolicyCommand,
  GetObjectAclCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { Grant } from '@aws-sdk/client-s3';
import { createWriteStream, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AwsFault, invalidValue } from './faults.ts';

/** ElastiCache's canonical id in the default Regions (facts 3.3). */
const ELASTICACHE_ID = '540804c33a284a299d2547575ce1010f2312ef3da9b3a053c8bc45bf233e4353';

/** What the emulated service does in the customer's S3, with the refusals that AWS documents (facts 3.3). */
export class CustomerBuckets {
  readonly #region: string;
  readonly #endpoint: () => Promise<string>;
  #client: Promise<S3Client> | undefined;

  constructor(region: string, endpoint: () => Promise<string>) {
    this.#region = region;
    this.#endpoint = endpoint;
  }

  /** @throws AwsFault with AWS's text when the bucket cannot take an export. */
  async checkExport(bucket: string, keys: string[]): Promise<void> {
    const s3 = await this.#s3();
    let location: string;
    try {
      location = await this.#location(bucket);
    } catch (error) {
      if (nameOf(error) === 'NoSuchBucket') throw invalidValue(`The S3 bucket ${bucket} does not exist.`);
      if (nameOf(error) === 'AccessDenied') {
        throw invalidValue(`The S3 bucket ${bucket} is not owned by the authenticated user.`);
      }
      throw error;
    }
    if (location !== this.#region) {
      throw invalidValue(`The S3 bucket ${bucket} is outside of the region.`);
    }
    const acl = await s3.send(new GetBucketAclCommand({ Bucket: bucket }));
    const policy = await this.#policyActions(bucket);
    const needs = { READ: 's3:ListBucket', WRITE: 's3:PutObject', READ_ACP: 's3:GetBucketAcl' };
    for (const [permission, action] of Object.entries(needs)) {
      if (granted(acl.Grants, permission) || covers(policy, action)) continue;
      throw invalidValue(`ElastiCache has not been granted ${permission} permissions ${bucket} on the S3 Bucket.`);
    }
    for (const key of keys) {
      if (!(await this.#exists(bucket, key))) continue;
      throw new AwsFault(
        'InvalidParameterValue',
        `The S3 bucket ${bucket} already contains an object with key ${key}.`,
      );
    }
  }

  async put(bucket: string, key: string, path: string): Promise<void> {
    const s3 = await this.#s3();
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: readFileSync(path) }));
  }

  /** @throws AwsFault when the object is not there, or ElastiCache may not read it. */
  async fetch(bucket: string, key: string, path: string): Promise<void> {
    const s3 = await this.#s3();
    const refused = invalidValue(
      `Unable to fetch metadata from S3 for bucket: ${bucket} and object: ${key}. Please verify that permissions are granted to ElastiCache.`,
    );
    if (!(await this.#exists(bucket, key))) throw refused;
    if ((await this.#location(bucket)) !== this.#region) {
      throw invalidValue(`The S3 bucket ${bucket} is outside of the region.`);
    }
    const acl = await s3.send(new GetObjectAclCommand({ Bucket: bucket, Key: key }));
    const allowed =
      (granted(acl.Grants, 'READ') && granted(acl.Grants, 'READ_ACP')) ||
      covers(await this.#policyActions(bucket), 's3:GetObject');
    if (!allowed) throw refused;
    const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    // ElastiCache has no key of the customer's to read it with (facts 3.3: SSE-S3 only).
    if (object.ServerSideEncryption?.startsWith('aws:kms') === true) {
      (object.Body as Readable | undefined)?.destroy();
      throw refused;
    }
    await pipeline(object.Body as Readable, createWriteStream(path));
  }

  async close(): Promise<void> {
    (await this.#client?.catch(() => undefined))?.destroy();
  }

  async #exists(bucket: string, key: string): Promise<boolean> {
    try {
      await (await this.#s3()).send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
      return true;
    } catch (error) {
      if (['NotFound', 'NoSuchKey', 'NoSuchBucket'].includes(nameOf(error))) return false;
      throw error;
    }
  }

  async #location(bucket: string): Promise<string> {
    const s3 = await this.#s3();
    return (await s3.send(new GetBucketLocationCommand({ Bucket: bucket }))).LocationConstraint ?? 'us-east-1';
  }

  /** Actions that the bucket's policy allows to ElastiCache's service principal of this Region. */
  async #policyActions(bucket: string): Promise<string[]> {
    let text: string | undefined;
    try {
      text = (await (await this.#s3()).send(new GetBucketPolicyCommand({ Bucket: bucket }))).Policy;
    } catch (error) {
      if (nameOf(error) === 'NoSuchBucketPolicy') return [];
      throw error;
    }
    const principal = `${this.#region}.elasticache-snapshot.amazonaws.com`;
    const policy = JSON.parse(text ?? '{}') as { Statement?: PolicyStatement | PolicyStatement[] };
    return [policy.Statement ?? []]
      .flat()
      .filter((statement) => statement.Effect === 'Allow' && services(statement).includes(principal))
      .flatMap((statement) => statement.Action ?? []);
  }

  async #s3(): Promise<S3Client> {
    // Forgotten when it fails: the next call tries again to reach the other services.
    this.#client ??= this.#connect().catch((error: unknown) => {
      this.#client = undefined;
      throw error;
    });
    return this.#client;
  }

  async #connect(): Promise<S3Client> {
    return new S3Client({
      endpoint: await this.#endpoint(),
      region: this.#region,
      forcePathStyle: true,
      credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
    });
  }
}

interface PolicyStatement {
  Effect?: string;
  Principal?: string | { Service?: string | string[] };
  Action?: string | string[];
}

function services(statement: PolicyStatement): string[] {
  const { Principal } = statement;
  if (typeof Principal === 'string') return [Principal];
  return [Principal?.Service ?? []].flat();
}

function covers(actions: string[], action: string): boolean {
  return actions.some((allowed) => allowed === '*' || allowed === 's3:*' || allowed === action);
}

function granted(grants: Grant[] | undefined, permission: string): boolean {
  return (grants ?? []).some(
    (grant) =>
      grant.Grantee?.ID === ELASTICACHE_ID && (grant.Permission === permission || grant.Permission === 'FULL_CONTROL'),
  );
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : '';
}
