/** `kind: postgres`: a self-hosted Postgres to RDS, with the application writing until the cutover. */
import { z } from 'zod';
import { check } from './checks.ts';
import { gate } from './gate.ts';
import { hook } from './hooks.ts';
import { migrationBase } from './migration-base.ts';
import { tablePattern } from './postgres-tables.ts';
import { dmsReplication } from './replication-dms.ts';
import { awsSettings, duration, postgresEndpoint } from './values.ts';

const patterns = (fallback: string[]) => z.array(tablePattern).default(fallback);

const tables = z
  .strictObject({
    include: patterns(['*.*']).describe('what the replication moves'),
    exclude: patterns([]).describe('what it does not; each such table must be in copyByHand or leaveOut as well'),
    copyByHand: patterns([]).describe('copied by COPY inside the critical section: what the replication can’t move'),
    leaveOut: patterns([]).describe('not moved on purpose'),
  })
  .prefault({});

const schema = z
  .strictObject({
    create: z.boolean().default(true).describe('false: the schema is on the target already, and is only compared'),
    afterLoad: z
      .array(z.enum(['indexes', 'foreign-keys', 'triggers']))
      .default(['indexes', 'foreign-keys', 'triggers'])
      .describe('built once the full load is through, which is then faster'),
  })
  .prefault({});

const budgets = z
  .strictObject({
    fence: duration({ min: '100ms' }).prefault('30s'),
    copy: duration({ min: '1s' }).prefault('5m').describe('the tables of copyByHand'),
    drain: duration({ min: '1s' })
      .prefault('2m')
      .describe('until the marker has arrived, and the replication is stopped'),
    finish: duration({ min: '1s' }).prefault('2m').describe('sequences, constraints, triggers'),
    verify: duration({ min: '1s' }).prefault('5m'),
    open: duration({ min: '1s' }).prefault('30s'),
  })
  .prefault({});

const cutover = z.strictObject({
  gate: gate.default('manual'),
  applicationRoles: z
    .array(z.string().min(1))
    .min(1, { error: 'expected the roles that the application logs in with' })
    .describe('fenced on the source (NOLOGIN, sessions ended) and opened on the target'),
  ignoreRoles: z
    .array(z.string().min(1))
    .default([])
    .describe('roles that may stay connected, and write nothing (monitoring)'),
  stopServices: z.array(hook).default([]).describe('run in order before the fence; undone where the cutover is'),
  budget: duration({ min: '5s' }).prefault('15m').describe('from the fence to the open target, all phases together'),
  budgets,
  sequences: z
    .strictObject({
      method: z
        .enum(['exact', 'max-plus-one'])
        .default('exact')
        .describe('max-plus-one is the usual runbook’s way, and misses sequences that no column owns'),
      margin: z.int().min(0).default(0).describe('steps by which the target’s sequences are set further'),
    })
    .prefault({}),
  verify: z.enum(['checksum', 'count']).default('checksum').describe('inside the fence, every table'),
});

export const postgres = z
  .strictObject({
    ...migrationBase,
    kind: z.literal('postgres'),
    source: postgresEndpoint,
    target: postgresEndpoint,
    aws: awsSettings.prefault({}).describe('of the hooks'),
    tables,
    schema,
    replication: z.discriminatedUnion('engine', [dmsReplication], { error: 'expected engine: dms' }),
    ready: z
      .strictObject({
        readings: z.int().min(1).max(1000).default(3).describe('that many in a row'),
        interval: duration({ min: '50ms', max: '1h' }).prefault('15s'),
        maxLag: duration().prefault('10s'),
      })
      .prefault({}),
    cutover,
    switch: z.array(hook).default([]).describe('run in order once the target is open'),
    checks: z.array(check).default([]).describe('decide whether the switch holds'),
    checksFail: z
      .enum(['switch-back', 'ask'])
      .default('switch-back')
      .describe('switch-back: by itself, as long as the target has taken no write; asks where it has'),
    soak: duration().prefault('0s').describe('how long to watch before the DMS resources are removed'),
    abort: z
      .strictObject({
        dropTargetTables: z.boolean().default(false).describe('drop on the target what this migration created there'),
      })
      .prefault({}),
  })
  .refine(
    ({ replication, tables: { include, exclude } }) =>
      !replication.tableMappings || (include.join() === '*.*' && exclude.length === 0),
    {
      error: 'expected no include and exclude beside replication.tableMappings, which say the same',
      path: ['tables'],
    },
  );
export type Postgres = z.output<typeof postgres>;
