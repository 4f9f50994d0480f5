/** `replication.engine: dms`: AWS DMS, full load with CDC (facts/postgres-dms 4). */
import { z } from 'zod';
import { awsSettings, duration, host, port, secretRef } from './values.ts';

const dmsId = (longest: number) =>
  z.string().regex(new RegExp(`^[a-zA-Z](?!.*--)[a-zA-Z0-9-]{0,${longest - 1}}(?<!-)$`), {
    error: `expected 1 to ${longest} letters, digits and single hyphens, a letter first, no hyphen last`,
  });

const madeInstance = z.strictObject({
  class: z
    .string()
    .regex(/^dms\.[a-z0-9]+\.[a-z0-9]+$/, { error: 'expected an instance class such as dms.r5.large' })
    .default('dms.t3.medium'),
  allocatedStorage: z.int().min(5).max(6144).default(50).describe('GiB'),
  multiAz: z.boolean().default(false).describe('a failover during the full load starts its tables again from zero'),
  engineVersion: z.string().min(1).optional(),
  subnetIds: z.array(z.string().min(1)).min(2).optional().describe('a replication subnet group is made of them'),
  subnetGroup: z.string().min(1).optional().describe('a replication subnet group that exists'),
  securityGroups: z.array(z.string().min(1)).default([]),
  publiclyAccessible: z.boolean().default(false),
});

const endpoint = (sslMode: 'none' | 'require') =>
  z
    .strictObject({
      host: host
        .optional()
        .describe('where the replication instance reaches the server, if that is not where the worker does'),
      port: port.optional(),
      user: z.string().min(1).optional().describe("default: the worker's own"),
      password: secretRef.optional(),
      sslMode: z.enum(['none', 'require', 'verify-ca', 'verify-full']).default(sslMode),
      certificateArn: z.string().min(1).optional().describe('with sslMode: verify-ca or verify-full'),
    })
    .prefault({});

/** A JSON document: written into the file as it is, or the name of a file beside it. The client puts its contents here. */
const jsonDocument = z.record(z.string(), z.unknown(), { error: 'expected a JSON object, or { file: name.json }' });

export const dmsReplication = z.strictObject({
  engine: z.literal('dms'),
  aws: awsSettings.prefault({}),
  instance: z
    .union(
      [
        z.strictObject({ existing: dmsId(63).describe('a replication instance that stays when all is done') }),
        madeInstance,
      ],
      {
        error: 'expected { existing: id }, or what to make: { class, allocatedStorage, … }',
      },
    )
    .prefault({}),
  sourceEndpoint: endpoint('none'),
  targetEndpoint: endpoint('require'),
  plugin: z
    .enum(['test_decoding', 'pglogical'])
    .default('test_decoding')
    .describe('how changes are decoded on the source'),
  load: z
    .strictObject({
      tablesAtOnce: z.int().min(1).max(49).default(8),
      commitRate: z.int().min(1).max(50_000).default(10_000).describe('rows'),
      transactionConsistencyTimeout: duration({ max: '1d' }).prefault('10m'),
      lob: z
        .union([z.enum(['auto', 'full']), z.strictObject({ maxKilobytes: z.int().min(1).max(102_400) })], {
          error: 'expected auto, full, or { maxKilobytes }',
        })
        .default('auto')
        .describe(
          'auto: limited to twice the largest value found (1 MB at least), full where that is more than DMS takes inline',
        ),
    })
    .prefault({}),
  validation: z.boolean().default(true).describe("DMS's own row by row validation"),
  tableMappings: jsonDocument.optional().describe('in place of tables.include and exclude'),
  taskSettings: jsonDocument
    .optional()
    .describe('laid over the generated settings; what it would lose is said by the preflight'),
  stallAfter: duration({ min: '1s' }).prefault('30m').describe('a task without any progress for so long is reported'),
});
