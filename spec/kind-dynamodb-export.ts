/** `kind: dynamodb-export`: tables exported to S3 from point-in-time recovery, waited for and verified. */
import { z } from 'zod';
import { accountId, bucketName, instant, ssmSetting, tableNameOrArn } from './dynamodb.ts';
import { migrationBase } from './migration-base.ts';
import { retention } from './retention.ts';
import { schedule } from './schedule.ts';
import { timeZone } from './time-zone.ts';
import { awsSettings, duration } from './values.ts';

const tables = z
  .union([ssmSetting, z.array(z.union([tableNameOrArn, ssmSetting])).min(1)], {
    error: 'expected a list of table names or ARNs, or { ssm: /parameter } (one name, or several with commas)',
  })
  .describe('each is exported by itself: one that fails stops no other');

// As a text it is read as Python's int() reads it, because the article's parameters are written for that.
const number = z.union([z.int(), z.string(), ssmSetting], {
  error: 'expected a whole number, or { ssm: /parameter }',
});

/** The parameters of the article: a day of this month and a time, each from the file or from SSM. */
const exportTimeParameters = z.strictObject({
  day: number
    .prefault(0)
    .describe(
      'of this month; 0, or what is not a number (EVERYDAY), is today. A day that the month does not have is an error',
    ),
  hour: number.describe('0 to 23; must be a number'),
  minute: number.prefault(0).describe('0 to 59; must be a number'),
  second: number.prefault(0).describe('0 to 59; must be a number'),
  timeZone: z
    .union([timeZone, ssmSetting])
    .prefault('Asia/Tokyo')
    .describe('in which the day and the time are meant, and in which the prefix is dated'),
});
export type ExportTimeParameters = z.output<typeof exportTimeParameters>;

const at = z
  .union([z.literal('now'), instant, exportTimeParameters], {
    error:
      'expected now, a time with its offset (2026-11-21T03:00:00+09:00), or { day, hour, minute, second, timeZone }',
  })
  .prefault('now')
  .describe(
    'the point in time that is exported. now: the latest that is restorable (AWS is about five minutes behind). One outside of what is restorable is moved to its edge, and that is said',
  );

const incremental = z.strictObject({
  from: z
    .union([z.literal('last-export'), instant], {
      error: 'expected last-export, or a time with its offset (2026-11-21T03:00:00+09:00)',
    })
    .describe(
      "inclusive. last-export: where the table's newest whole export of an earlier run of this migration ended; AWS takes 15 minutes to 24 hours at a time",
    ),
  to: z
    .union([z.literal('now'), instant], { error: 'expected now, or a time with its offset' })
    .prefault('now')
    .describe('exclusive'),
  view: z.enum(['NEW_IMAGE', 'NEW_AND_OLD_IMAGES']).prefault('NEW_AND_OLD_IMAGES'),
});

const sse = z
  .strictObject({
    algorithm: z.enum(['AES256', 'KMS']),
    kmsKeyId: z.string().min(1).optional().describe('id, ARN or alias; only with KMS'),
  })
  .refine((s) => s.algorithm === 'KMS' || s.kmsKeyId === undefined, {
    path: ['kmsKeyId'],
    error: 'expected no kmsKeyId with AES256: S3 would not use it',
  });

export const dynamodbExport = z
  .strictObject({
    ...migrationBase,
    kind: z.literal('dynamodb-export'),
    tables,
    bucket: z.union([bucketName, ssmSetting], { error: "expected a bucket's name, or { ssm: /parameter }" }),
    bucketOwner: accountId.optional().describe("the bucket's account; AWS requires it where that is another one"),
    prefix: z
      .string()
      .regex(/^(?!\/)(?!.*\/\/)[^\s]{1,700}$/, { error: 'expected a prefix without / at its start, // or blanks' })
      .prefault('YYYY/MM/DD/<table>')
      .transform((text) => text.replace(/\/$/, ''))
      .describe(
        'YYYY, MM, DD, hh, mm, ss (standing alone) are the point in time that was exported; <table> and <id> are replaced too. AWS appends AWSDynamoDB/<its own id>/',
      ),
    prefixTimeZone: timeZone.optional().describe('in which the prefix is dated; default: that of `at`, else UTC'),
    sse: sse.optional().describe("default: the bucket's own encryption"),
    format: z.enum(['DYNAMODB_JSON', 'ION']).prefault('DYNAMODB_JSON'),
    at,
    type: z
      .union([z.literal('full'), z.strictObject({ incremental })], {
        error: 'expected full, or { incremental: { from, to, view } }',
      })
      .prefault('full'),
    pointInTimeRecovery: z
      .union(
        [
          z.enum(['require', 'enable']),
          z.strictObject({ enable: z.strictObject({ recoveryDays: z.int().min(1).max(35) }) }),
        ],
        {
          error: 'expected require, enable, or { enable: { recoveryDays: 1 to 35 } }',
        },
      )
      .prefault('require')
      .describe(
        'enable: switched on where it is off (off again by an abort); only what happens from then on can be exported, and AWS bills for it',
      ),
    verify: z
      .enum(['full', 'objects'])
      .prefault('full')
      .describe(
        'full: every data file is read, its checksum and its lines are counted. objects: each is there with the ETag of the manifest, none is read',
      ),
    failWhen: z
      .enum(['any', 'all', 'never'])
      .prefault('any')
      .describe(
        'when failed tables make the migration stop and ask: retry exports the failed ones again, skip accepts what there is',
      ),
    concurrency: z.int().min(1).max(300).prefault(10).describe('tables at once; AWS takes 300 exports at once'),
    timeout: duration({ min: '10s', max: '7d' }).prefault('24h').describe("how long one table's export may take"),
    retention: retention
      .optional()
      .describe("which of this migration's exports of a table are kept; the objects of the others are deleted"),
    schedule: schedule.optional(),
    aws: awsSettings.prefault({}),
  })
  .refine((m) => m.type === 'full' || m.at === 'now', {
    path: ['at'],
    error: 'expected no `at` with an incremental export: it has `from` and `to`',
  })
  .refine((m) => m.type === 'full' || m.retention === undefined, {
    path: ['retention'],
    error: 'expected no retention with incremental exports: one is of no use without every one before it',
  });
export type DynamoDbExport = z.output<typeof dynamodbExport>;

/** How many days are recoverable where it is switched on; undefined: AWS's default, 35. */
export function recoveryDaysOf(migration: DynamoDbExport): { enable: boolean; days?: number } {
  const { pointInTimeRecovery: wanted } = migration;
  if (wanted === 'require') return { enable: false };
  return wanted === 'enable' ? { enable: true } : { enable: true, days: wanted.enable.recoveryDays };
}
