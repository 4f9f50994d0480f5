/** Daily settings, restores and deletions of a group in states that no emulator need be able to be in. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { applyDaily } from '../activities/elasticache/daily.ts';
import { findMade, removeMadeGroup } from '../activities/elasticache/made-group.ts';
import { awaitRestored } from '../activities/elasticache/restore-group.ts';
import { restoreSource } from '../activities/elasticache/restore-source.ts';
import { awaitRetired } from '../activities/elasticache/retire.ts';
import type { ElastiCacheRestore } from '../spec/kind-elasticache-restore.ts';
import { activity, events, group, node, startAnswers, tags, type Answer, type Answers } from './elasticache-answers.ts';

let aws: Answers;
beforeAll(async () => {
  aws = await startAnswers();
  vi.stubEnv('CUTOVER_AWS_POLL_MS', '10');
});
beforeEach(() => {
  aws.reset();
  aws.on('DescribeEvents', events());
  aws.on('DescribeCacheClusters', (input) => node(input));
  aws.on('ListTagsForResource', tags({}));
});
afterAll(() => aws.stop());

const sentTo = (action: string) => aws.calls.filter((call) => call.action === action).map(({ input }) => input);

describe('daily settings', () => {
  const daily = (wanted: { retentionLimit: number; window?: string }, timeoutMs = 60_000) =>
    activity().run(applyDaily, { id: 'orders', wanted, timeoutMs });
  const limited = (limit: number, shards = 1) => group({ shards, more: { SnapshotRetentionLimit: limit } });

  test('of a replica; with cluster mode enabled AWS refuses to be told of which node', async () => {
    for (const shards of [1, 2]) {
      aws.reset();
      aws.on('ModifyReplicationGroup', {});
      aws.on('DescribeReplicationGroups', (_, nth) => limited(nth === 1 ? 7 : 3, shards));
      expect(await daily({ retentionLimit: 3 })).toMatchObject({ changed: true, after: { retentionLimit: 3 } });
      const [sent] = sentTo('ModifyReplicationGroup');
      expect(sent).toMatchObject({ SnapshotRetentionLimit: '3' });
      expect(sent!['SnapshottingClusterId']).toBe(shards === 1 ? 'orders-002' : undefined);
    }
  });

  test('what they are already is not asked for', async () => {
    aws.on('DescribeReplicationGroups', limited(7));
    expect(await daily({ retentionLimit: 7, window: '05:00-06:00' })).toMatchObject({ changed: false });
    expect(aws.called('ModifyReplicationGroup')).toBe(0);
  });

  test('taken by AWS again and again, and never done: that has an end', async () => {
    aws.on('DescribeReplicationGroups', limited(7));
    aws.on('ModifyReplicationGroup', {});
    await expect(daily({ retentionLimit: 3 }, 200)).rejects.toMatchObject({ type: 'cutover.Deadline' });
    expect(aws.called('ModifyReplicationGroup')).toBeGreaterThan(0);
  });
});

describe('a group of this run', () => {
  const made = { id: 'orders', migrationId: 'back', run: 'run-1' };
  const described = (run: string, more: object = {}) =>
    group({ more: { Description: `restored [cutover back ${run}]`, ...more } });

  test('is known by its description while AWS does not tell its tags', async () => {
    aws.on('ListTagsForResource', { error: 'InvalidReplicationGroupState' });
    aws.on('DescribeReplicationGroups', described('run-1', { Status: 'creating' }));
    expect(await activity().run(findMade, made)).toMatchObject({ id: 'orders' });
    aws.on('DescribeReplicationGroups', described('run-0', { Status: 'creating' }));
    await expect(activity().run(findMade, made)).rejects.toMatchObject({ type: 'cutover.NotOurs' });
  });

  test('is the only one that is deleted', async () => {
    aws.on('ListTagsForResource', tags({ 'cutover:migration': 'back', 'cutover:run': 'run-0' }));
    aws.on('DescribeReplicationGroups', described('run-0'));
    expect(await activity().run(removeMadeGroup, made)).toEqual({ removed: false });
    expect(aws.called('DeleteReplicationGroup')).toBe(0);
  });

  test('is not restored with fewer nodes than were asked for, all of them in order though they are', async () => {
    aws.on('DescribeReplicationGroups', described('run-1'));
    const wait = (nodes: number) =>
      activity().run(awaitRestored, { ...made, shape: { shards: 1, nodes }, since: { seen: [] }, timeoutMs: 200 });
    expect(await wait(2)).toMatchObject({ nodes: 2 });
    await expect(wait(3)).rejects.toMatchObject({
      type: 'cutover.Deadline',
      message: expect.stringContaining('2 of 3 node(s) available'),
    });
  });
});

interface Listed {
  name: string;
  at?: string;
  shards?: number;
  of?: number;
  group?: string;
  status?: string;
}

/** DescribeSnapshots. */
const listed = (...list: Listed[]): Answer => ({
  Snapshots: {
    Snapshot: list.map(({ name, at = '2026-01-02T03:04:05Z', shards = 1, of = shards, ...more }) => ({
      SnapshotName: name,
      ARN: `arn:aws:elasticache:ap-northeast-1:1:snapshot:${name}`,
      SnapshotStatus: more.status ?? 'available',
      ReplicationGroupId: more.group ?? 'orders',
      NumNodeGroups: of,
      NodeSnapshots: {
        NodeSnapshot: Array.from({ length: shards }, (_, i) => ({
          CacheClusterId: `orders-000${i + 1}-002`,
          NodeGroupId: `000${i + 1}`,
          SnapshotCreateTime: at,
        })),
      },
    })),
  },
});

describe('the newest snapshot', () => {
  const source = () =>
    activity().run((migration: ElastiCacheRestore) => restoreSource(migration), {
      from: { latestOf: 'orders' },
      aws: {},
    } as ElastiCacheRestore);

  test('is the newest that is whole, of this group', async () => {
    aws.on(
      'DescribeSnapshots',
      listed(
        { name: 'old', at: '2026-01-01T00:00:00Z' },
        { name: 'good', at: '2026-01-02T00:00:00Z', shards: 2 },
        { name: 'half', at: '2026-01-03T00:00:00Z', shards: 1, of: 2 },
        { name: 'unfinished', at: '2026-01-04T00:00:00Z', status: 'creating' },
        { name: 'theirs', at: '2026-01-05T00:00:00Z', group: 'blog' },
      ),
    );
    expect(await source()).toMatchObject({ snapshot: { name: 'good' } });
  });

  test('where none is whole, those there are are named with their reason', async () => {
    aws.on('DescribeSnapshots', listed({ name: 'half', shards: 1, of: 2 }));
    await expect(source()).rejects.toMatchObject({
      type: 'cutover.NotFound',
      message: expect.stringContaining('half (it holds 1 of 2 shards)'),
    });
  });
});

describe('a deletion ends', () => {
  const gone: Answer = { error: 'ReplicationGroupNotFoundFault' };
  const retired = () =>
    activity().run(awaitRetired, {
      id: 'orders',
      finalName: 'last',
      shards: 2,
      eventSources: [{ id: 'orders' }],
      since: { seen: [] },
      timeoutMs: 60_000,
    });

  test('only where the group is gone and the final snapshot whole', async () => {
    aws.on('DescribeReplicationGroups', (_, nth) => (nth < 3 ? group({ status: 'deleting', shards: 2 }) : gone));
    aws.on('DescribeSnapshots', (_, nth) =>
      listed({ name: 'last', shards: 2, status: nth < 5 ? 'creating' : 'available' }),
    );
    expect(await retired()).toMatchObject({ name: 'last', complete: true });
    expect(aws.called('DescribeSnapshots')).toBe(5);
  });

  test.each<[string, Answer, RegExp]>([
    ['is missing a shard', listed({ name: 'last', shards: 1, of: 2 }), /holds 1 of 2 shards/],
    ['is not there', { error: 'SnapshotNotFoundFault' }, /last does not exist/],
    ['is of another group', listed({ name: 'last', shards: 2, group: 'blog' }), /last is of blog/],
  ])('in a failure where the final snapshot %s', async (_what, snapshots, message) => {
    aws.on('DescribeReplicationGroups', gone);
    aws.on('DescribeSnapshots', snapshots);
    await expect(retired()).rejects.toMatchObject({
      type: 'cutover.ServiceFailed',
      message: expect.stringMatching(message),
    });
  });
});
