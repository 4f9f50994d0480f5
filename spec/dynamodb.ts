/** The values that the two kinds over DynamoDB share: names of tables and buckets, times, settings kept in SSM. */
import { z } from 'zod';

const TABLE = /^[a-zA-Z0-9_.-]{3,255}$/;
const TABLE_ARN = /^arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:\d{12}:table\/[a-zA-Z0-9_.-]{3,255}$/;

export function isTable(text: string): boolean {
  return TABLE.test(text) || TABLE_ARN.test(text);
}

export const tableName = z.string().regex(TABLE, {
  error: 'expected a table name: 3 to 255 letters, digits, dots, hyphens and underscores',
});

export const tableNameOrArn = z.string().refine(isTable, {
  error: "expected a table's name (3 to 255 letters, digits, . - _) or its ARN (arn:aws:dynamodb:…:table/…)",
});

/** What S3 takes as a bucket's name today. */
export const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
export const bucketName = z
  .string()
  .regex(BUCKET, { error: 'expected the name of an S3 bucket alone: no s3://, no prefix' });

export const accountId = z.string().regex(/^\d{12}$/, {
  error: 'expected an AWS account: 12 digits, in quotes (a bare number loses its leading zeros)',
});

/** An instant. Without an offset nobody could tell the worker's clock from the operator's. */
export const instant = z.iso.datetime({
  offset: true,
  error: 'expected a time with its offset, such as 2026-11-21T03:00:00+09:00 or 2026-11-20T18:00:00Z',
});

const PARAMETER_FORM = 'a setting kept in the SSM Parameter Store, read on the worker when the migration runs';

/** A setting's name in the Parameter Store. It is no secret: its value is shown and kept in the history. */
export const ssmSetting = z
  .strictObject({
    ssm: z.string().regex(/^[a-zA-Z0-9_.\-/:]{1,1011}$/, {
      error: 'expected the name of an SSM parameter, such as /shop/stg/BUCKET',
    }),
  })
  .describe(PARAMETER_FORM);
export type SsmSetting = z.output<typeof ssmSetting>;

/** A value in the file, or the name of the parameter that holds it. */
export type Setting<T> = T | SsmSetting;
