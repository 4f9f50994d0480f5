/** `kind: dynamodb-restore`: a new table from a point in time or from an export, compared with what it was made of. */
import { z } from 'zod';
import { accountId, instant, tableName, tableNameOrArn } from './dynamodb.ts';
import { migrationBase } from './migration-base.ts';
import { schedule } from './schedule.ts';
import { awsSettings, duration } from './values.ts';

const keyAttribute = z.strictObject({
  name: z.string().min(1).max(255),
  type: z.enum(['S', 'N', 'B']).describe('text, number or binary'),
});

const fromTable = z.strictObject({
  table: tableNameOrArn.describe('the table as it was; it may be in use, and is only read'),
  at: z
    .union([z.literal('latest'), instant], {
      error: 'expected latest, or a time with its offset (2026-11-21T03:00:00+09:00)',
    })
    .prefault('latest')
    .describe('within its point-in-time recovery; it is not moved: another time would be another table'),
});

const EXPORT_ARN = /^arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:\d{12}:table\/[a-zA-Z0-9_.-]{3,255}\/export\/[\w-]+$/;
const S3_LOCATION = /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/[^\s]*)?$/;

const fromExport = z.strictObject({
  export: z
    .string()
    .refine((text) => EXPORT_ARN.test(text) || S3_LOCATION.test(text), {
      error: "expected an export's ARN, or where it is in S3 (s3://bucket/prefix, as a dynamodb-export reports it)",
    })
    .describe('a full one; AWS imports no incremental ones'),
  bucketOwner: accountId.optional(),
  keySchema: z
    .strictObject({ partitionKey: keyAttribute, sortKey: keyAttribute.optional() })
    .optional()
    .describe('default: that of the exported table, where it still exists; an export does not hold it'),
});

export const dynamodbRestore = z
  .strictObject({
    ...migrationBase,
    kind: z.literal('dynamodb-restore'),
    from: z
      .union([fromTable, fromExport], { error: 'expected { table, at } or { export, keySchema }' })
      .describe('{ table, at }: from point-in-time recovery. { export }: from an export in S3'),
    table: tableName
      .optional()
      .describe('the new table. One that exists is never restored into. A drill may leave it out: id and time'),
    billing: z
      .union([z.literal('on-demand'), z.strictObject({ readUnits: z.int().min(1), writeUnits: z.int().min(1) })], {
        error: 'expected on-demand, or { readUnits, writeUnits }',
      })
      .optional()
      .describe("default: the source table's for a point in time, on-demand for an export"),
    verify: z
      .enum(['full', 'sample', 'count'])
      .prefault('full')
      .describe(
        'of an export: full reads every exported item back by its key and compares it, sample one in a hundred; all count the table. Of a point in time there is nothing to compare with: the table is read from end to end',
      ),
    itemsPerSecond: z
      .int()
      .min(1)
      .max(1_000_000)
      .prefault(5_000)
      .describe('how fast items are read back at most; each read is billed'),
    drill: z
      .boolean()
      .prefault(false)
      .describe('a rehearsal: the table that was made is deleted at the end, and the times are reported'),
    timeout: duration({ min: '10s', max: '7d' }).prefault('24h').describe('how long the restore may take'),
    schedule: schedule.optional(),
    aws: awsSettings.prefault({}),
  })
  .refine((m) => m.drill || m.table !== undefined, {
    path: ['table'],
    error: 'expected the name of the new table (only a drill may leave it out)',
  })
  .refine((m) => m.drill || m.schedule === undefined, {
    path: ['schedule'],
    error: 'expected drill: true with a schedule: every run would restore to the same table',
  })
  .refine((m) => m.schedule === undefined || m.table === undefined, {
    path: ['table'],
    error: 'expected no name with a schedule: each run makes a table of its own name, or two runs would share one',
  })
  .refine((m) => !('table' in m.from) || m.from.table.split('/').at(-1) !== m.table, {
    path: ['table'],
    error: 'expected another name than the source table: AWS restores to a new table only',
  });
export type DynamoDbRestore = z.output<typeof dynamodbRestore>;
export type RestoreFromTable = z.output<typeof fromTable>;
export type RestoreFromExport = z.output<typeof fromExport>;
