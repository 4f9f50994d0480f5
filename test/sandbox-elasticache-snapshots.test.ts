import {
  CopySnapshotCommand,
  CreateReplicationGroupCommand,
  CreateSnapshotCommand,
  DeleteReplicationGroupCommand,
  DeleteSnapshotCommand,
  DescribeCacheClustersCommand,
  DescribeSnapshotsCommand,
} from '@aws-sdk/client-elasticache';
import type { CreateReplicationGroupCommandInput, Snapshot } from '@aws-sdk/client-elasticache';
import {
  CreateBucketCommand,
  GetObjectCommand,
  PutBucketAclCommand,
  PutObjectAclCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { Cluster } from 'ioredis';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startMoto } from '../sandbox/runtime/moto.ts';
import type { MotoServer } from '../sandbox/runtime/moto.ts';
import {
  createTarget,
  describe as describeGroup,
  messages,
  primaryPort,
  refusal,
  startRig,
  until,
  untilMessage,
  untilStatus,
} from './sandbox-elasticache-setup.ts';
import type { Rig } from './sandbox-elasticache-setup.ts';

const MINUTES = 300_000;
const ELASTICACHE_ID = '540804c33a284a299d2547575ce1010f2312ef3da9b3a053c8bc45bf233e4353';
let rig: Rig;
let moto: MotoServer | undefined;
let s3: S3Client;
const motoDir = mkdtempSync(join(tmpdir(), 'sandbox-elasticache-moto-'));
beforeAll(async () => {
  rig = await startRig({
    forward: async () => {
      moto = await startMoto({ dir: motoDir });
      return moto.url;
    },
  });
  // Through the sandbox's own address, as a product would.
  s3 = new S3Client({
    endpoint: rig.aws.url,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'k', secretAccessKey: 's' },
  });
}, MINUTES);
afterEach(() => rig.aws.control.reset());
afterAll(async () => {
  expect(rig.aws.control.failures()).toEqual([]);
  s3.destroy();
  await rig.end();
  await moto?.stop();
  rmSync(motoDir, { recursive: true, force: true });
}, MINUTES);

const snapshotOf = async (name: string): Promise<Snapshot | undefined> => {
  const found = await rig.client.send(new DescribeSnapshotsCommand({ SnapshotName: name, ShowNodeGroupConfig: true }));
  return found.Snapshots?.[0];
};
const untilSnapshot = (name: string): Promise<Snapshot> =>
  until(`snapshot ${name} is available`, async () => {
    const snapshot = await snapshotOf(name);
    return snapshot?.SnapshotStatus === 'available' && snapshot;
  });
const gone = (name: string): Promise<boolean> =>
  until(`snapshot ${name} is gone`, () =>
    snapshotOf(name).then(
      () => false,
      (error: Error) => error.name === 'SnapshotNotFoundFault',
    ),
  );
const take = (name: string, node: string): Promise<unknown> =>
  rig.client.send(new CreateSnapshotCommand({ SnapshotName: name, CacheClusterId: node }));
const create = (id: string, more: Partial<CreateReplicationGroupCommandInput>): Promise<unknown> =>
  rig.client.send(
    new CreateReplicationGroupCommand({
      ReplicationGroupId: id,
      ReplicationGroupDescription: 'restored',
      CacheNodeType: 'cache.t4g.micro',
      ...more,
    }),
  );

test(
  'a snapshot of a replica is a real RDB that another group starts from; a copy too',
  async () => {
    const group = await createTarget(rig, 'saved');
    const redis = rig.redis(primaryPort(group));
    await redis.mset(Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`k${i}`, `v${i}`])));
    await redis.wait(1, 10_000);
    rig.aws.control.setTiming({ snapshotting: 400 });
    await take('Backup-1', 'saved-002');
    expect((await describeGroup(rig, 'saved')).Status).toBe('snapshotting');
    expect((await snapshotOf('backup-1'))?.SnapshotStatus).toBe('creating');
    expect(await refusal(take('backup-2', 'saved-001'))).toMatchObject({ Code: 'InvalidCacheClusterState' });
    const snapshot = await untilSnapshot('backup-1');
    expect(snapshot).toMatchObject({
      SnapshotSource: 'manual',
      ReplicationGroupId: 'saved',
      CacheClusterId: 'saved-002',
      NodeSnapshots: [
        { NodeGroupId: '0001', CacheClusterId: 'saved-002', NodeGroupConfiguration: { ReplicaCount: 1 } },
      ],
    });
    await untilStatus(rig, 'saved', 'available');
    await untilMessage(rig, 'saved', /Snapshot succeeded for snapshot with ID 'backup-1'/);
    rig.aws.control.setTiming({ snapshotting: 50 });
    expect(await refusal(take('backup-1', 'saved-002'))).toMatchObject({ Code: 'SnapshotAlreadyExistsFault' });

    // Written after the snapshot: must not be in what is restored.
    await redis.set('later', '1');
    await rig.client.send(
      new CopySnapshotCommand({ SourceSnapshotName: 'backup-1', TargetSnapshotName: 'backup-1-copy' }),
    );
    await untilSnapshot('backup-1-copy');
    await untilSnapshot('backup-1');
    await rig.client.send(new DeleteSnapshotCommand({ SnapshotName: 'backup-1' }));
    await gone('backup-1');
    await create('restored', { SnapshotName: 'backup-1-copy', NumCacheClusters: 2 });
    const restored = rig.redis(primaryPort(await untilStatus(rig, 'restored', 'available')));
    expect(await restored.dbsize()).toBe(5_000);
    expect(await restored.get('k4999')).toBe('v4999');
  },
  MINUTES,
);

test(
  'a failed snapshot has no status: it is gone, and an event says so',
  async () => {
    await createTarget(rig, 'failing');
    rig.aws.control.failSnapshots({});
    await take('doomed', 'failing-001');
    await gone('doomed');
    await untilMessage(rig, 'failing', /SnapshotFailed.*'doomed'/);
    await untilStatus(rig, 'failing', 'available');

    // Not scripted: the node dies while its snapshot is taken.
    rig.aws.control.setTiming({ snapshotting: 500 });
    await take('orphan', 'failing-002');
    await rig.aws.control.replaceNode({ group: 'failing', node: 'failing-002' });
    await gone('orphan');
    await untilMessage(rig, 'failing', /SnapshotFailed.*'orphan'/);
    rig.aws.control.setTiming({ snapshotting: 50 });
    await until('the node is back', async () => {
      const { CacheClusters } = await rig.client.send(
        new DescribeCacheClustersCommand({ CacheClusterId: 'failing-002' }),
      );
      return CacheClusters?.[0]?.CacheClusterStatus === 'available';
    });
    await untilStatus(rig, 'failing', 'available');
  },
  MINUTES,
);

test(
  'a group is deleted with a final snapshot, and stays when that fails',
  async () => {
    const group = await createTarget(rig, 'ending', { NumCacheClusters: 2 });
    await rig.redis(primaryPort(group)).set('last', 'words');
    const end = (name: string): Promise<unknown> =>
      rig.client.send(
        new DeleteReplicationGroupCommand({ ReplicationGroupId: 'ending', FinalSnapshotIdentifier: name }),
      );
    rig.aws.control.failSnapshots({});
    await end('final-0');
    await untilMessage(rig, 'ending', /SnapshotFailed/);
    await untilStatus(rig, 'ending', 'available');
    await end('final-1');
    await until('the group is gone', () =>
      describeGroup(rig, 'ending').then(
        () => false,
        (error: Error) => error.name === 'ReplicationGroupNotFoundFault',
      ),
    );
    expect((await untilSnapshot('final-1')).NodeSnapshots?.[0]?.CacheClusterId).toBe('ending-001');
    await create('reborn', { SnapshotName: 'final-1' });
    expect(await rig.redis(primaryPort(await untilStatus(rig, 'reborn', 'available'))).get('last')).toBe('words');
  },
  MINUTES,
);

test(
  'snapshots are limited to 20 a day, and come page by page',
  async () => {
    rig.aws.control.setTiming({ snapshotting: 0 });
    await createTarget(rig, 'daily', { NumCacheClusters: 1, AutomaticFailoverEnabled: false, MultiAZEnabled: false });
    for (let i = 0; i < 20; i++) {
      await take(`daily-${i}`, 'daily-001');
      await untilSnapshot(`daily-${i}`);
    }
    expect(await refusal(take('daily-20', 'daily-001'))).toMatchObject({ Code: 'SnapshotQuotaExceededFault' });
    await rig.client.send(new CopySnapshotCommand({ SourceSnapshotName: 'daily-0', TargetSnapshotName: 'one-more' }));
    const where = { ReplicationGroupId: 'daily', MaxRecords: 20 };
    const first = await rig.client.send(new DescribeSnapshotsCommand(where));
    expect(first.Snapshots).toHaveLength(20);
    const second = await rig.client.send(new DescribeSnapshotsCommand({ ...where, Marker: first.Marker }));
    expect(second.Snapshots?.map((snapshot) => snapshot.SnapshotName)).toEqual(['one-more']);
    expect(second.Marker).toBeUndefined();
    rig.aws.control.setTiming({ snapshotting: 50 });
  },
  MINUTES,
);

test(
  'with cluster mode a snapshot has one node snapshot per shard',
  async () => {
    await create('shards', {
      NumNodeGroups: 2,
      ReplicasPerNodeGroup: 1,
      CacheParameterGroupName: 'default.redis7.cluster.on',
    });
    const group = await untilStatus(rig, 'shards', 'available');
    expect(group).toMatchObject({ ClusterEnabled: true, ClusterMode: 'enabled', AutomaticFailover: 'enabled' });
    expect(group.NodeGroups?.map((shard) => [shard.NodeGroupId, shard.Slots])).toEqual([
      ['0001', '0-8191'],
      ['0002', '8192-16383'],
    ]);
    const fill = new Cluster([{ host: '127.0.0.1', port: group.ConfigurationEndpoint?.Port ?? 0 }]);
    for (let i = 0; i < 200; i++) await fill.set(`k${i}`, `v${i}`);
    fill.disconnect();
    // Acknowledged by the primaries; the snapshot is taken from the replicas.
    for (const { port } of rig.aws.control.nodes({ group: 'shards' }).filter((node) => node.role === 'primary')) {
      expect(await rig.redis(port).wait(1, 10_000)).toBe(1);
    }
    await rig.client.send(new CreateSnapshotCommand({ SnapshotName: 'both', ReplicationGroupId: 'shards' }));
    const snapshot = await untilSnapshot('both');
    expect(snapshot.NumNodeGroups).toBe(2);
    expect(snapshot.NodeSnapshots?.map((node) => [node.CacheClusterId, node.NodeGroupConfiguration?.Slots])).toEqual([
      ['shards-0001-002', '0-8191'],
      ['shards-0002-002', '8192-16383'],
    ]);
    expect(
      await refusal(
        rig.client.send(new CreateSnapshotCommand({ SnapshotName: 'x', CacheClusterId: 'shards-0001-001' })),
      ),
    ).toMatchObject({ Code: 'InvalidParameterCombination' });
    expect(await refusal(create('plain', { SnapshotName: 'both' }))).toMatchObject({
      Code: 'InvalidParameterCombination',
    });

    await create('shards2', {
      SnapshotName: 'both',
      NumNodeGroups: 2,
      ReplicasPerNodeGroup: 0,
      CacheParameterGroupName: 'default.redis7.cluster.on',
    });
    const restored = await untilStatus(rig, 'shards2', 'available');
    const read = new Cluster([{ host: '127.0.0.1', port: restored.ConfigurationEndpoint?.Port ?? 0 }]);
    for (let i = 0; i < 200; i++) expect(await read.get(`k${i}`)).toBe(`v${i}`);
    read.disconnect();
  },
  MINUTES,
);

test(
  'a snapshot is exported to S3 only where ElastiCache may write, and a group is made from the object',
  async () => {
    const copy = (bucket: string): Promise<unknown> =>
      rig.client.send(
        new CopySnapshotCommand({ SourceSnapshotName: 'final-1', TargetSnapshotName: 'out', TargetBucket: bucket }),
      );
    expect(await refusal(copy('nowhere'))).toMatchObject({
      Code: 'InvalidParameterValue',
      message: 'The S3 bucket nowhere does not exist.',
    });
    await s3.send(new CreateBucketCommand({ Bucket: 'backups' }));
    expect((await refusal(copy('backups'))).message).toBe(
      'ElastiCache has not been granted READ permissions backups on the S3 Bucket.',
    );
    const far = { Bucket: 'far', CreateBucketConfiguration: { LocationConstraint: 'eu-west-1' as const } };
    await s3.send(new CreateBucketCommand(far));
    expect((await refusal(copy('far'))).message).toBe('The S3 bucket far is outside of the region.');

    const grant = (...permissions: ('READ' | 'WRITE' | 'READ_ACP')[]): Promise<unknown> =>
      s3.send(
        new PutBucketAclCommand({
          Bucket: 'backups',
          AccessControlPolicy: {
            Owner: { ID: 'owner' },
            Grants: permissions.map((Permission) => ({
              Grantee: { Type: 'CanonicalUser', ID: ELASTICACHE_ID },
              Permission,
            })),
          },
        }),
      );
    await grant('READ', 'READ_ACP');
    expect((await refusal(copy('backups'))).message).toContain('WRITE permissions');
    await grant('READ', 'WRITE', 'READ_ACP');
    await copy('backups');
    await untilSnapshot('final-1');
    const object = await s3.send(new GetObjectCommand({ Bucket: 'backups', Key: 'out-0001.rdb' }));
    const rdb = (await object.Body?.transformToByteArray()) ?? new Uint8Array();
    expect(Buffer.from(rdb.subarray(0, 5)).toString()).toBe('REDIS');
    expect((await refusal(copy('backups'))).message).toContain('already contains an object with key out-0001.rdb');

    // In another bucket: moto gives a new object its bucket's grants, which AWS does not.
    await s3.send(new CreateBucketCommand({ Bucket: 'private' }));
    await s3.send(new PutObjectCommand({ Bucket: 'private', Key: 'out-0001.rdb', Body: rdb }));
    const arn = 'arn:aws:s3:::private/out-0001.rdb';
    expect((await refusal(create('froms3', { SnapshotArns: [arn] }))).message).toContain('permissions are granted');
    const id = `id="${ELASTICACHE_ID}"`;
    // As headers: moto does not read the grants of an object from a body.
    await s3.send(new PutObjectAclCommand({ Bucket: 'private', Key: 'out-0001.rdb', GrantRead: id, GrantReadACP: id }));
    await create('froms3', { SnapshotArns: [arn] });
    expect(await rig.redis(primaryPort(await untilStatus(rig, 'froms3', 'available'))).get('last')).toBe('words');
  },
  MINUTES,
);

test(
  'an object that is no RDB: the nodes are restore-failed, the group stays creating until it is deleted',
  async () => {
    await s3.send(new PutObjectCommand({ Bucket: 'backups', Key: 'broken.rdb', Body: 'REDIS0011 but not really' }));
    await s3.send(
      new PutObjectAclCommand({ Bucket: 'backups', Key: 'broken.rdb', GrantFullControl: `id="${ELASTICACHE_ID}"` }),
    );
    await create('broken', { SnapshotArns: ['arn:aws:s3:::backups/broken.rdb'] });
    await until('the node is restore-failed', async () => {
      const { CacheClusters } = await rig.client.send(
        new DescribeCacheClustersCommand({ CacheClusterId: 'broken-001' }),
      );
      return CacheClusters?.[0]?.CacheClusterStatus === 'restore-failed';
    });
    expect((await describeGroup(rig, 'broken')).Status).toBe('creating');
    expect(await messages(rig, 'broken')).toEqual([]);
    await rig.client.send(new DeleteReplicationGroupCommand({ ReplicationGroupId: 'broken' }));
    await untilMessage(rig, 'broken', /deleted/);
  },
  MINUTES,
);
