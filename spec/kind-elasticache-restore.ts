/** `kind: elasticache-restore`: a new replication group from a snapshot, checked; or a drill that deletes it again. */
import { z } from 'zod';
import { nodeAccess, snapshotName } from './elasticache-values.ts';
import { gate } from './gate.ts';
import { hook } from './hooks.ts';
import { migrationBase } from './migration-base.ts';
import { schedule } from './schedule.ts';
import { slotGap } from './slots.ts';
import { awsSettings, duration, port, replicationGroupId, secretRef } from './values.ts';

/** What an operator is told who wants the data in the group that runs. */
export const NO_RESTORE_INTO_RUNNING =
  "ElastiCache can't restore into a group that exists. Restore to a new one (`to: { replicationGroup: <new name> }`), check it, and send the application there with `switch`; or retire the old group first (kind: elasticache-retire, which keeps a final snapshot) and then restore under its name";

const FROM =
  'expected one of { snapshot: name }, { latestOf: replication group }, { s3: [arn:aws:s3:::bucket/key.rdb, …] }';
const from = z.union(
  [
    z.strictObject({ snapshot: snapshotName }),
    z.strictObject({
      latestOf: replicationGroupId.describe('its newest complete snapshot, whoever made it; the group may be gone'),
      migration: z.string().min(1).optional().describe('only among those that this migration made'),
    }),
    z.strictObject({
      s3: z
        .array(
          z.string().regex(/^arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]+\/[^,*]+$/, {
            error: 'expected the ARN of an object, arn:aws:s3:::bucket/key.rdb; ElastiCache takes no commas in the key',
          }),
        )
        .min(1)
        .describe('RDB files, readable by ElastiCache'),
    }),
  ],
  { error: FROM },
);

const SLOTS = 'expected slots such as 0-8191, or 0-100,200-8191';
const replicas = z.int({ error: 'expected 0 to 5 replicas' }).min(0).max(5, { error: 'expected 0 to 5 replicas' });
const shardList = z
  .array(
    z.strictObject({
      slots: z.string().regex(/^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$/, { error: SLOTS }),
      replicas: replicas.optional(),
      availabilityZones: z.array(z.string().min(1)).optional().describe("the primary's, then each replica's"),
    }),
  )
  .min(1)
  .superRefine((shards, ctx) => {
    const wrong = slotGap(shards.map(({ slots }) => slots));
    if (wrong) ctx.addIssue({ code: 'custom', message: wrong });
  });

const to = z.strictObject({
  replicationGroup: replicationGroupId.optional().describe('the new group; with drill: named by the run'),
  description: z.string().max(120).optional(),
  nodeType: z
    .string()
    .regex(/^cache\.[a-z0-9]+\.[a-z0-9]+$/, { error: 'expected a node type such as cache.r7g.large' })
    .optional(),
  engine: z.enum(['redis', 'valkey']).optional(),
  engineVersion: z.string().min(1).optional().describe("not lower than the snapshot's"),
  parameterGroup: z.string().min(1).optional(),
  subnetGroup: z.string().min(1).optional(),
  securityGroups: z.array(z.string().min(1)).optional().describe("a snapshot does not tell its group's"),
  port: port.optional(),
  tls: z.boolean().optional().describe('encryption in transit; a snapshot does not tell it. Default: off'),
  authToken: secretRef.optional().describe('needs tls: true'),
  userGroups: z.array(z.string().min(1)).optional(),
  atRestEncryption: z.boolean().optional().describe('default: on where a KMS key is given, or the snapshot has one'),
  kmsKeyId: z.string().min(1).optional(),
  multiAz: z.boolean().optional(),
  replicasPerShard: replicas.optional(),
  clusterMode: z.enum(['enabled', 'disabled']).optional().describe('default: as the snapshot; enabled with shards'),
  shards: z
    .union([z.int().min(1).max(500), shardList], { error: 'expected a number of shards, or a list with their slots' })
    .optional()
    .describe('cluster mode: how many, slots shared out evenly; or each with its slots. Default: as the snapshot'),
  tags: z.record(z.string(), z.string()).default({}),
});

export const elasticacheRestore = z
  .strictObject({
    ...migrationBase,
    kind: z.literal('elasticache-restore'),
    from,
    to: to.prefault({}),
    into: z
      .unknown()
      .optional()
      .refine((given) => given === undefined, { error: NO_RESTORE_INTO_RUNNING })
      .describe('refused: ElastiCache restores to new groups only'),
    drill: z
      .boolean()
      .default(false)
      .describe('restore under a name of its own, verify, measure the time, and delete it again'),
    verify: z
      .strictObject({
        keys: z.int().min(0).default(1).describe('at least so many keys in all; 0 where the snapshot may be empty'),
        sampleKeys: z.array(z.string().min(1)).default([]).describe('keys that must be there'),
        ...nodeAccess,
      })
      .prefault({}),
    switch: z.array(hook).default([]).describe('sends the application to the restored group, after the gate'),
    gate: gate.default('manual').describe('before the switch'),
    timeout: duration({ min: '30s', max: '48h' })
      .prefault('6h')
      .describe('how long the new group may take to become available before the operator is asked'),
    schedule: schedule.optional(),
    aws: awsSettings.prefault({}),
  })
  .superRefine((file, ctx) => {
    const refuse = (path: string[], message: string) => ctx.addIssue({ code: 'custom', path, message });
    const { to: target } = file;
    if (file.drill) {
      if (target.replicationGroup) {
        refuse(
          ['to', 'replicationGroup'],
          'expected none with drill: each drill has a group of its own, named by its run',
        );
      }
      if (file.switch.length > 0) refuse(['switch'], 'expected none with drill: its group is deleted again');
    } else {
      if (!target.replicationGroup) refuse(['to', 'replicationGroup'], "expected the new group's name");
      if (file.schedule) {
        refuse(
          ['schedule'],
          'expected one with drill: true only: a second restore would find the name of the first taken',
        );
      }
    }
    if (target.authToken && target.tls !== true) {
      refuse(['to', 'authToken'], 'expected tls: true beside authToken: ElastiCache has no AUTH without it');
    }
    if (target.authToken && target.userGroups) {
      refuse(['to', 'userGroups'], 'expected authToken or userGroups, one of the two');
    }
    if (target.userGroups && target.tls !== true) {
      refuse(['to', 'userGroups'], 'expected tls: true beside userGroups: ElastiCache has no users without it');
    }
    if (target.kmsKeyId && target.atRestEncryption === false) {
      refuse(['to', 'kmsKeyId'], 'expected atRestEncryption: true beside kmsKeyId');
    }
    if (target.clusterMode === 'disabled' && target.shards !== undefined && target.shards !== 1) {
      refuse(['to', 'shards'], 'expected none with clusterMode: disabled: shards are what cluster mode is');
    }
    if (target.multiAz && target.replicasPerShard === 0) {
      refuse(['to', 'multiAz'], 'expected replicas beside multiAz: there is nothing to fail over to');
    }
    if ('s3' in file.from) {
      if (!target.nodeType) refuse(['to', 'nodeType'], 'expected one: an RDB does not tell a node type');
      if (file.from.s3.length > 1 && target.shards === undefined) {
        refuse(
          ['to', 'shards'],
          'expected shards with several files: how many follows this number, not that of the files',
        );
      }
    }
  });
export type ElastiCacheRestore = z.output<typeof elasticacheRestore>;
