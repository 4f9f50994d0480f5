/** Files of the ElastiCache backups that are wrong, and what a restore asks AWS for. Without servers. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { meet } from '../activities/elasticache/backup-checks.ts';
import { downgrade } from '../activities/elasticache/engine-versions.ts';
import { createInput } from '../activities/elasticache/restore-shape.ts';
import type { SnapshotFacts } from '../activities/elasticache/snapshot-facts.ts';
import { WrongFile } from '../client/errors.ts';
import { parseMigration } from '../client/migration-file.ts';
import type { ElastiCacheRestore } from '../spec/kind-elasticache-restore.ts';
import { evenSlots, slotGap, SLOTS } from '../spec/slots.ts';

function problemsOf(text: string): string[] {
  try {
    parseMigration(text, 'm.yaml');
  } catch (error) {
    if (!(error instanceof WrongFile)) throw error;
    return error.problems.map(({ message }) => message);
  }
  return [];
}

const BACKUP = 'kind: elasticache-backup\nid: nightly\nreplicationGroup: shop\n';
const RESTORE = 'kind: elasticache-restore\nid: back\n';
const FROM = 'from: { snapshot: monday }\n';
const TO = 'to: { replicationGroup: shop-new }\n';
const RETIRE = 'kind: elasticache-retire\nid: gone\nreplicationGroup: shop\n';

describe('refused', () => {
  test.each<[string, string, RegExp]>([
    [
      'a limit of 36 days',
      `${BACKUP}daily: { retentionLimit: 36 }`,
      /0 to 35: AWS keeps automatic snapshots no longer/,
    ],
    ['half an hour', `${BACKUP}daily: { retentionLimit: 1, window: "15:00-15:30" }`, /of at least an hour/],
    ['a window of no clock', `${BACKUP}daily: { retentionLimit: 1, window: "24:00-25:00" }`, /15:00-16:00/],
    ['nothing to do', `${BACKUP}snapshot: false`, /or nothing would be done/],
    [
      'an export of no snapshot',
      `${BACKUP}snapshot: false\ndaily: { retentionLimit: 1 }\nexport: { bucket: backups }`,
      /there is no snapshot/,
    ],
    ['a comma in a key', `${BACKUP}export: { bucket: backups, prefix: "a,b" }`, /no commas/],
    ['an address for a bucket', `${BACKUP}export: { bucket: "s3://backups" }`, /without s3:\/\//],
    ['a retention that keeps nothing', `${BACKUP}retention: { keepLast: 0 }`, /nothing would be kept/],
    ['one name for every night', `${BACKUP}snapshotName: n\nschedule: { cron: "0 3 * * *" }`, /find the name taken/],
    ['a name with two hyphens', `${BACKUP}snapshotName: a--b`, /single hyphens/],
    ['a restore into a running group', `${RESTORE}${FROM}${TO}into: shop`, /can't restore into a group that exists/],
    ['two origins', `${RESTORE}from: { snapshot: a, latestOf: b }\n${TO}`, /expected one of \{ snapshot/],
    ['no new name', `${RESTORE}${FROM}`, /the new group's name/],
    ['a drill with a name', `${RESTORE}${FROM}${TO}drill: true`, /named by its run/],
    ['a scheduled restore', `${RESTORE}${FROM}${TO}schedule: { cron: "0 3 * * *" }`, /drill: true only/],
    [
      'a token without TLS',
      `${RESTORE}${FROM}to: { replicationGroup: n, authToken: { env: T } }`,
      /no AUTH without it/,
    ],
    [
      'a token in the file',
      `${RESTORE}${FROM}to: { replicationGroup: n, tls: true, authToken: hunter2-is-long }`,
      /never the secret itself/,
    ],
    [
      'slots twice',
      `${RESTORE}${FROM}to: { replicationGroup: n, shards: [{ slots: 0-9000 }, { slots: 9000-16383 }] }`,
      /9000 is in two shards/,
    ],
    [
      'slots nowhere',
      `${RESTORE}${FROM}to: { replicationGroup: n, shards: [{ slots: 0-8000 }, { slots: 8002-16383 }] }`,
      /1 are in no shard, the first is 8001/,
    ],
    [
      'shards without cluster mode',
      `${RESTORE}${FROM}to: { replicationGroup: n, clusterMode: disabled, shards: 2 }`,
      /shards/,
    ],
    [
      'files without a node type',
      `${RESTORE}from: { s3: ["arn:aws:s3:::b/k.rdb"] }\n${TO}`,
      /does not tell a node type/,
    ],
    ['a deletion that nobody approves', `${RETIRE}gate: auto`, /somebody types its name/],
    ['one name for both', `${RETIRE}snapshotName: a\nfinalSnapshotName: a`, /is a second one/],
    ['a scheduled deletion', `${RETIRE}schedule: { cron: "0 3 * * *" }`, /has no schedule/],
  ])('%s', (_what, text, message) => {
    const problems = problemsOf(text);
    expect(problems.join('\n')).toMatch(message);
    expect(problems.join('\n')).not.toContain('hunter2');
  });
});

describe('slots', () => {
  test('even shares have each slot once, however many', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), (shards) => {
        const shares = evenSlots(shards);
        expect(shares).toHaveLength(shards);
        expect(slotGap(shares)).toBeUndefined();
      }),
      { numRuns: 30 },
    );
  });

  test('any cut of them is whole; with a part left out or twice it is told', () => {
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: SLOTS - 1 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(cuts, fc.nat(), (points, pick) => {
        const edges = [0, ...points.toSorted((a, b) => a - b), SLOTS];
        const parts = edges.slice(1).map((end, i) => `${edges[i]}-${end - 1}`);
        expect(slotGap(parts)).toBeUndefined();
        const one = pick % parts.length;
        expect(slotGap(parts.toSpliced(one, 1))).toMatch(/in no shard/);
        expect(slotGap([...parts, parts[one]!])).toMatch(/in two shards/);
      }),
      { numRuns: 30 },
    );
  });
});

const SNAPSHOT: SnapshotFacts = {
  name: 'monday',
  arn: 'arn:monday',
  status: 'available',
  complete: true,
  automatic: false,
  clusterEnabled: true,
  shards: [
    { nodeGroup: '0001', slots: '0-4000', replicas: 1 },
    { nodeGroup: '0002', slots: '4001-16383', replicas: 1 },
  ],
  nodeType: 'cache.r7g.large',
  engine: 'redis',
  engineVersion: '7.0.7',
  parameterGroup: 'mine',
  subnetGroup: 'subnets',
  port: 6380,
  kmsKeyId: 'arn:key',
  automaticFailover: true,
  dataTiering: false,
};

function asked(to: string, snapshot: SnapshotFacts = SNAPSHOT) {
  const file = parseMigration(`${RESTORE}${FROM}to: { replicationGroup: new, ${to} }`, 'm.yaml') as ElastiCacheRestore;
  return createInput(file, { snapshot }, 'new');
}

describe('CreateReplicationGroup', () => {
  test('what the file does not say is as in the snapshot, its own uneven slots too', () => {
    expect(asked('')).toMatchObject({
      ReplicationGroupId: 'new',
      SnapshotName: 'monday',
      CacheNodeType: 'cache.r7g.large',
      Engine: 'redis',
      EngineVersion: '7.0',
      CacheParameterGroupName: 'mine',
      CacheSubnetGroupName: 'subnets',
      Port: 6380,
      NumNodeGroups: 2,
      NodeGroupConfiguration: [
        { Slots: '0-4000', ReplicaCount: 1 },
        { Slots: '4001-16383', ReplicaCount: 1 },
      ],
      AutomaticFailoverEnabled: true,
      AtRestEncryptionEnabled: true,
      KmsKeyId: 'arn:key',
      TransitEncryptionEnabled: false,
    });
  });

  test('another number of shards has its slots shared out', () => {
    expect(asked('shards: 3, replicasPerShard: 0')).toMatchObject({
      NumNodeGroups: 3,
      NodeGroupConfiguration: evenSlots(3).map((Slots) => ({ Slots, ReplicaCount: 0 })),
    });
  });

  test('another engine takes its default parameter group, with cluster mode where that is on', () => {
    expect(asked('engine: valkey, engineVersion: "8.0"')).toMatchObject({
      Engine: 'valkey',
      EngineVersion: '8.0',
      CacheParameterGroupName: 'default.valkey8.cluster.on',
    });
  });

  test('without cluster mode it has nodes and no slots, and no failover without a replica', () => {
    const { kmsKeyId: _, ...open } = SNAPSHOT;
    const flat = { ...open, clusterEnabled: false, shards: [{ replicas: 1 }] };
    const input = asked('replicasPerShard: 0', flat);
    expect(input).toMatchObject({
      NumCacheClusters: 1,
      AutomaticFailoverEnabled: false,
      AtRestEncryptionEnabled: false,
    });
    expect(input).not.toHaveProperty('NodeGroupConfiguration');
    expect(asked('', flat)).toMatchObject({ NumCacheClusters: 2, AutomaticFailoverEnabled: true });
    // Who writes shards means cluster mode, also where it is one.
    expect(asked('shards: 1', flat)).toMatchObject({ NumNodeGroups: 1 });
  });

  test('the auth token is no part of what goes into a history', () => {
    expect(JSON.stringify(asked('tls: true, authToken: { env: TOKEN }'))).not.toMatch(/TOKEN|AuthToken/);
  });
});

test.each([
  ['redis', '7.1', 'redis', '7.0', true],
  ['redis', '7.0.7', 'redis', '7.0', false],
  ['redis', '6.2', 'redis', '7.1', false],
  ['redis', '7.1', 'valkey', '7.2', false],
  ['valkey', '7.2', 'redis', '7.1', true],
  ['redis', '5.0.6', 'redis', '5.0.5', true],
])('%s %s to %s %s: refused %s', (engine, version, to, toVersion, refused) => {
  expect(downgrade({ engine, version }, { engine: to, version: toVersion }) !== undefined).toBe(refused);
});

test.each([
  ['05:30-06:30', 'sun:06:00-sun:07:00', true],
  ['05:00-06:00', 'sun:06:00-sun:07:00', false],
  ['23:30-00:30', 'mon:00:00-mon:01:00', true],
  ['23:30-00:30', 'sun:23:00-mon:01:00', true],
  ['15:00-16:00', 'sun:23:00-mon:01:30', false],
])('daily %s and maintenance %s meet: %s', (daily, weekly, expected) => {
  expect(meet(daily, weekly)).toBe(expected);
});
