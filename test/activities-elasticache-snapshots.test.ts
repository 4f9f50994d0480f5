/** Snapshots: of which node, adopted or refused, failed by vanishing or by an event, one part per shard. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { awaitSnapshot } from '../activities/elasticache/await-snapshot.ts';
import { removeSnapshot } from '../activities/elasticache/backup.ts';
import { createSnapshot, deleteSnapshot, planSnapshot, type SnapshotPlan } from '../activities/elasticache/snapshot.ts';
import {
  activity,
  event,
  events,
  group,
  node,
  startAnswers,
  tags,
  type Answer,
  type Answers,
} from './elasticache-answers.ts';

let aws: Answers;
beforeAll(async () => {
  aws = await startAnswers();
});
beforeEach(() => {
  aws.reset();
  aws.on('DescribeEvents', events());
});
afterAll(() => aws.stop());

const snapshot = (status: string, shards = 1, more: object = {}): Answer => ({
  Snapshots: {
    Snapshot: {
      SnapshotName: 'nightly',
      ARN: 'arn:aws:elasticache:ap-northeast-1:1:snapshot:nightly',
      SnapshotStatus: status,
      NodeSnapshots: {
        NodeSnapshot: Array.from({ length: shards }, (_, i) => ({
          CacheClusterId: `orders-000${i + 1}-002`,
          NodeGroupId: `000${i + 1}`,
          CacheSize: '12 MB',
          SnapshotCreateTime: '2026-01-02T03:04:05Z',
        })),
      },
      ...more,
    },
  },
});
const none: Answer = { error: 'SnapshotNotFoundFault' };
/** One answer after the other; the last one stays. */
const snapshots = (...list: Answer[]) => aws.on('DescribeSnapshots', (_, nth) => list[Math.min(nth, list.length) - 1]!);
const mine = tags({ 'cutover:migration': 'orders-backup', 'cutover:run': 'run-1' });
const theirs = tags({ 'cutover:migration': 'other' });

describe('planSnapshot', () => {
  const plan = () => activity().run(planSnapshot, { id: 'orders' });
  beforeEach(() => aws.on('ListTagsForResource', tags({})));

  test('cluster mode disabled: an available replica', async () => {
    aws.on('DescribeReplicationGroups', group());
    aws.on('DescribeCacheClusters', (input) => node(input));
    expect(await plan()).toEqual({
      of: { cacheClusterId: 'orders-002', role: 'replica' },
      shards: 1,
      eventSources: [{ id: 'orders' }, { id: 'orders-002', type: 'cache-cluster' }],
    });
  });
  test('without an available replica, the primary; without any, it waits', async () => {
    aws.on('DescribeReplicationGroups', group());
    aws.on('DescribeCacheClusters', (input) =>
      node(input, input['CacheClusterId'] === 'orders-002' ? 'creating' : 'available'),
    );
    expect(await plan()).toMatchObject({ of: { cacheClusterId: 'orders-001', role: 'primary' } });
    aws.on('DescribeCacheClusters', (input) => node(input, 'modifying'));
    await expect(plan()).rejects.toMatchObject({ type: 'cutover.Busy', nonRetryable: false });
  });
  test('cluster mode enabled: the group, one part per shard', async () => {
    aws.on('DescribeReplicationGroups', group({ shards: 3 }));
    aws.on('DescribeCacheClusters', (input) => node(input));
    expect(await plan()).toEqual({ of: { replicationGroupId: 'orders' }, shards: 3, eventSources: [{ id: 'orders' }] });
  });
});

const ids = { snapshotName: 'nightly', migrationId: 'orders-backup', run: 'run-1' };
const ofReplica: SnapshotPlan = {
  of: { cacheClusterId: 'orders-002', role: 'replica' },
  shards: 1,
  eventSources: [{ id: 'orders' }, { id: 'orders-002', type: 'cache-cluster' }],
};

describe('createSnapshot', () => {
  beforeEach(() => snapshots(none));
  const create = (plan = ofReplica, more: object = {}) => activity().run(createSnapshot, { ...ids, plan, ...more });

  test('of the node, tagged as ours', async () => {
    aws.on('CreateSnapshot', { Snapshot: { SnapshotName: 'nightly', SnapshotStatus: 'creating' } });
    expect(await create(ofReplica, { kmsKeyId: 'alias/k' })).toEqual({ answer: 'created', status: 'creating' });
    const sent = () => aws.calls.filter(({ action }) => action === 'CreateSnapshot').map(({ input }) => input);
    expect(sent()[0]).toEqual({
      SnapshotName: 'nightly',
      CacheClusterId: 'orders-002',
      KmsKeyId: 'alias/k',
      'Tags.Tag.1.Key': 'cutover:migration',
      'Tags.Tag.1.Value': 'orders-backup',
      'Tags.Tag.2.Key': 'cutover:run',
      'Tags.Tag.2.Value': 'run-1',
    });
    await create({ of: { replicationGroupId: 'orders' }, shards: 3, eventSources: [] });
    expect(sent()[1]).toMatchObject({ ReplicationGroupId: 'orders' });
    expect(sent()[1]).not.toHaveProperty('CacheClusterId');
  });

  test('the name is taken: by us, adopted; by others, refused; not told, tried again', async () => {
    aws.on('CreateSnapshot', { error: 'SnapshotAlreadyExistsFault' });
    snapshots(snapshot('creating'));
    aws.on('ListTagsForResource', mine);
    expect(await create()).toEqual({ answer: 'adopted', status: 'creating' });
    aws.on('ListTagsForResource', theirs);
    await expect(create()).rejects.toMatchObject({
      type: 'cutover.NotOurs',
      message: expect.stringContaining("it is the migration other's"),
    });
    aws.on('ListTagsForResource', tags({}));
    await expect(create()).rejects.toMatchObject({
      type: 'cutover.NotOurs',
      message: expect.stringContaining('was not made by cutover'),
    });
    // The same file's, of another night: called done with it, this run would have backed up nothing.
    aws.on('ListTagsForResource', tags({ 'cutover:migration': 'orders-backup', 'cutover:run': 'run-0' }));
    await expect(create()).rejects.toMatchObject({
      type: 'cutover.NotOurs',
      message: expect.stringContaining('made by another run of this migration'),
    });
    aws.on('ListTagsForResource', { error: 'InvalidReplicationGroupState' });
    await expect(create()).rejects.toMatchObject({ type: 'cutover.Busy', nonRetryable: false });
    // Describe lags behind: AWS says that it exists, and shows it only then.
    aws.on('ListTagsForResource', mine);
    snapshots(none, snapshot('creating'));
    expect(await create()).toMatchObject({ answer: 'adopted' });
    snapshots(none);
    await expect(create()).rejects.toMatchObject({ type: 'cutover.Busy', nonRetryable: false });
  });

  test('our former one that is being deleted is waited for, never taken for the new one', async () => {
    aws.on('CreateSnapshot', { error: 'SnapshotAlreadyExistsFault' });
    aws.on('ListTagsForResource', mine);
    snapshots(snapshot('deleting'));
    await expect(create()).rejects.toMatchObject({ type: 'cutover.Busy', nonRetryable: false });
  });

  test('our former one that is whole but for a shard is deleted, and then taken anew', async () => {
    aws.on('ListTagsForResource', mine);
    aws.on('DeleteSnapshot', { Snapshot: { SnapshotName: 'nightly' } });
    snapshots(snapshot('available', 2));
    const plan: SnapshotPlan = { of: { replicationGroupId: 'orders' }, shards: 3, eventSources: [] };
    await expect(create(plan)).rejects.toMatchObject({ type: 'cutover.Busy', nonRetryable: false });
    expect(aws.called('DeleteSnapshot')).toBe(1);
  });

  test('a quota names its numbers; a node that is busy is waited for', async () => {
    aws.on('CreateSnapshot', { error: 'SnapshotQuotaExceededFault' });
    await expect(create()).rejects.toMatchObject({
      type: 'cutover.Invalid',
      nonRetryable: true,
      details: [{ remedy: expect.stringContaining('20 per node in 24 hours') }],
    });
    aws.on('CreateSnapshot', { error: 'InvalidCacheClusterState' });
    await expect(create()).rejects.toMatchObject({ type: 'cutover.Busy', nonRetryable: false });
  });
});

describe('awaitSnapshot', () => {
  const args = {
    snapshotName: 'nightly',
    shards: 1,
    eventSources: ofReplica.eventSources,
    since: { seen: [] },
    intervalMs: 5,
    timeoutMs: 30_000,
  };
  const wait = (more: object = {}) => activity().run(awaitSnapshot, { ...args, ...more });
  const failed = (message: string) => ({
    type: 'cutover.ServiceFailed',
    nonRetryable: true,
    message: `snapshot nightly failed: ${message}`,
  });

  test('not listed yet, creating, available', async () => {
    snapshots(none, snapshot('creating', 0), snapshot('available'));
    expect(await wait()).toMatchObject({
      name: 'nightly',
      status: 'available',
      nodeSnapshots: [
        {
          cacheClusterId: 'orders-0001-002',
          nodeGroupId: '0001',
          size: '12 MB',
          createdAt: '2026-01-02T03:04:05.000Z',
        },
      ],
    });
    expect(aws.called('DescribeSnapshots')).toBe(3);
  });

  test('one that vanishes has failed; also when another attempt has seen it', async () => {
    snapshots(snapshot('creating'), none);
    await expect(wait()).rejects.toMatchObject(failed('it was there and is gone'));
    snapshots(none);
    const heartbeatDetails = {
      checkpoint: { snapshot: { deadlineAt: Date.now() + 60_000, firstSeen: true, beganAt: Date.now() } },
    };
    await expect(activity({ heartbeatDetails }).run(awaitSnapshot, args)).rejects.toMatchObject(
      failed('it was there and is gone'),
    );
  });

  test("an event reports the failure, the group's or the node's; one about another snapshot does not count", async () => {
    snapshots(snapshot('creating'), snapshot('creating'), snapshot('available'));
    const nightly = "Snapshot failed for snapshot with ID 'automatic.orders-2026' of cluster with ID 'orders-002'";
    aws.on('DescribeEvents', events(event('2026-01-02T03:04:05Z', nightly)));
    expect(await wait()).toMatchObject({ status: 'available' });

    const ours = "Snapshot failed for snapshot with ID 'nightly' of cluster with ID 'orders-002'";
    snapshots(snapshot('creating'));
    aws.on('DescribeEvents', ({ SourceType }) =>
      SourceType === 'cache-cluster' ? events(event('2026-01-02T03:04:06Z', ours)) : events(),
    );
    await expect(wait()).rejects.toMatchObject(failed(ours));
    aws.on('DescribeEvents', events(event('2026-01-02T03:04:06Z', 'ElastiCache:SnapshotFailed : orders-002')));
    await expect(wait()).rejects.toMatchObject(failed('ElastiCache:SnapshotFailed : orders-002'));
  });

  test('fewer parts than shards is a failure, unless they only come late', async () => {
    snapshots(snapshot('available', 2), snapshot('available', 3));
    expect((await wait({ shards: 3 })).nodeSnapshots).toHaveLength(3);
    snapshots(snapshot('available', 2));
    await expect(wait({ shards: 3 })).rejects.toMatchObject(
      failed('it is available and holds 2 of 3 shards: orders-0001-002, orders-0002-002'),
    );
  });

  test('a deadline names the state; an unknown one is waited out, with a warning', async () => {
    snapshots(snapshot('pondering'));
    await expect(wait({ timeoutMs: 100 })).rejects.toMatchObject({
      type: 'cutover.Deadline',
      message: expect.stringMatching(/pondering.*unknown status/),
    });
    snapshots(snapshot('pondering'), snapshot('available'));
    expect(await wait()).toMatchObject({ status: 'available' });
  });
});

describe('removeSnapshot', () => {
  // 4.8 s until one that is not listed counts as never made.
  beforeEach(() => void vi.stubEnv('CUTOVER_AWS_POLL_MS', '200'));
  const remove = (begunAt: number) => activity().run(removeSnapshot, { ...ids, begunAt });
  test('waits for one that is listed only later, and not long after the call', async () => {
    aws.on('ListTagsForResource', mine);
    aws.on('DeleteSnapshot', { Snapshot: { SnapshotName: 'nightly' } });
    snapshots(none, none, snapshot('available'), none);
    expect(await remove(Date.now())).toEqual({ removed: true });
    expect(aws.called('DeleteSnapshot')).toBe(1);
    snapshots(none);
    const before = aws.called('DescribeSnapshots');
    expect(await remove(Date.now() - 600_000)).toEqual({ removed: false });
    expect(aws.called('DescribeSnapshots')).toBe(before + 1);
  });
  test("another one's is told apart from a deleted one", async () => {
    aws.on('ListTagsForResource', theirs);
    snapshots(snapshot('available'));
    expect(await remove(Date.now())).toEqual({ removed: false, notOurs: true });
    expect(aws.called('DeleteSnapshot')).toBe(0);
  });
});

describe('deleteSnapshot', () => {
  const remove = () => activity().run(deleteSnapshot, ids);
  test('ours is deleted, and again; gone is fine', async () => {
    aws.on('ListTagsForResource', mine);
    aws.on('DeleteSnapshot', { Snapshot: { SnapshotName: 'nightly' } });
    snapshots(snapshot('available'), snapshot('deleting'), none);
    expect(await remove()).toEqual({ answer: 'deleting' });
    expect(await remove()).toEqual({ answer: 'deleting' });
    expect(await remove()).toEqual({ answer: 'gone' });
    expect(aws.called('DeleteSnapshot')).toBe(1);
  });
  test("another one's is not", async () => {
    aws.on('ListTagsForResource', theirs);
    snapshots(snapshot('available'));
    await expect(remove()).rejects.toMatchObject({ type: 'cutover.NotOurs' });
    expect(aws.called('DeleteSnapshot')).toBe(0);
  });
  test('one that is still being made is tried again later', async () => {
    aws.on('ListTagsForResource', mine);
    aws.on('DeleteSnapshot', { error: 'InvalidSnapshotState' });
    snapshots(snapshot('creating'));
    await expect(remove()).rejects.toMatchObject({ type: 'cutover.Busy', nonRetryable: false });
  });
});
