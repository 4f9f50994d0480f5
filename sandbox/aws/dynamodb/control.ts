import { z } from 'zod';
import type { Cloud } from '../cloud.ts';
import { DAMAGES, damageExport as damageFiles } from './damage.ts';
import { dynamoDbOf } from './service.ts';

const table = z.string().min(1).default('*').describe('a table’s name, or * for any');
const times = z.int().min(1).default(1);
const ms = z
  .int()
  .min(0)
  .max(40 * 86_400_000);

/** Over HTTP: `POST /_sandbox/dynamodb/<command>`. */
export const DYNAMODB_SCHEMAS = {
  /** The next exports of a table end FAILED: S3AccessDenied, S3NoSuchBucket, InternalFailure … */
  failExport: z.strictObject({
    table,
    code: z.string().min(1).default('S3AccessDenied'),
    message: z.string().default('Access Denied (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied)'),
    times,
  }),
  /** The next exports of a table stay IN_PROGRESS for this long, in milliseconds. */
  slowExport: z.strictObject({ table, ms, times }),
  /** The manifests of the next exports of a table count wrong by `by`. */
  miscountExport: z.strictObject({
    table,
    where: z.enum(['summary', 'files']).default('summary'),
    by: z.int().default(1),
    times,
  }),
  /**
   * Damages what a COMPLETED export left in S3. corrupt: the data file has other bytes of the same length; truncated: its last
   * line is gone, and it is good gzip; missing; manifest: manifest-files.json has other bytes than its checksum;
   * manifest-missing: there is no manifest-files.json.
   */
  damageExport: z.strictObject({
    export: z.string().min(1).describe('ARN or the id at its end'),
    damage: z.enum(DAMAGES).default('corrupt'),
    /** Which data file, by its place among those of the manifest that are not empty. */
    file: z.int().min(0).default(0),
  }),
  /** Those not named stay. Milliseconds and numbers; see DynamoDbLimits. */
  limits: z.strictObject({
    concurrentExports: z.int().min(0).optional(),
    incrementalMin: ms.optional(),
    incrementalMax: ms.optional(),
    itemsPerFile: z.int().min(1).optional(),
    partitions: z.int().min(1).max(64).optional(),
    restorableLag: ms.optional(),
  }),
  /** DynamoDB's clock goes on by this many milliseconds at once, and stays ahead. */
  advanceClock: z.strictObject({ ms }),
} as const;

type Commands = typeof DYNAMODB_SCHEMAS;
type Given<K extends keyof Commands> = z.input<Commands[K]>;

/** Scripts DynamoDB's exports. Slow states, throttling and refused calls are `Control`'s, as for every service. */
export class DynamoDbControl {
  readonly #cloud: Cloud;

  constructor(cloud: Cloud) {
    this.#cloud = cloud;
  }

  failExport(given: Given<'failExport'> = {}): void {
    const { table: name, code, message, times: n } = DYNAMODB_SCHEMAS.failExport.parse(given);
    dynamoDbOf(this.#cloud).script.add(name, n, { fail: { code, message } });
  }

  slowExport(given: Given<'slowExport'>): void {
    const { table: name, ms: lasts, times: n } = DYNAMODB_SCHEMAS.slowExport.parse(given);
    dynamoDbOf(this.#cloud).script.add(name, n, { lasts });
  }

  miscountExport(given: Given<'miscountExport'> = {}): void {
    const { table: name, where, by, times: n } = DYNAMODB_SCHEMAS.miscountExport.parse(given);
    const script = where === 'summary' ? { summaryCountOff: by } : { fileCountOff: by };
    dynamoDbOf(this.#cloud).script.add(name, n, script);
  }

  /** @returns the key in S3 that was damaged. @throws Error when there is no such export, or it is not COMPLETED. */
  async damageExport(given: Given<'damageExport'>): Promise<{ key: string }> {
    const { export: which, damage, file } = DYNAMODB_SCHEMAS.damageExport.parse(given);
    return { key: await damageFiles(this.#cloud, which, damage, file) };
  }

  limits(given: Given<'limits'>): void {
    Object.assign(dynamoDbOf(this.#cloud).script.limits, DYNAMODB_SCHEMAS.limits.parse(given));
  }

  advanceClock(given: Given<'advanceClock'>): void {
    this.#cloud.store.state.dynamodb.clockOffset += DYNAMODB_SCHEMAS.advanceClock.parse(given).ms;
    this.#cloud.store.save();
  }

  /** Forgets what was scripted. The clock stays where it is: it only goes forward. */
  reset(): void {
    dynamoDbOf(this.#cloud).script.reset();
  }
}
