/** Daily settings, restores and deletions of a group in states that no emulator need be able to be in. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { applyDaily } from '../activities/elasticache/daily.ts';
import { findMade, removeMadeGroup } from '../activities/elasticache/made-group.ts';
import { awaitRestored } from '../activities/elasticache/restore-group.ts';
import { preflightElastiCacheRestore } from '../activities/elasticache/restore-preflight.ts';
import { describeGroup } from '../activities/elasticache/replication-group.ts';
import { restoreSource } from '../activities/elasticache/restore-source.ts';
import { awaitRetired, deleteGroupFinally, retireState } from '../activities/elasticache/retire.ts';
import { snapshotFacts } from '../activities/elasticache/snapshot-facts.ts';
import { applySnapshotRetention } from '../activities/elasticache/snapshot-retention.ts';
import { watchGroup } from '../activities/elasticache/watch-group.ts';
import type { ElastiCacheRestore } from '../spec/kind-elasticache-restore.ts';
import { isUsedUp } from '../workflows/elasticache-retire.ts';
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

  test('are put back only where nobody else has set them since', async () => {
    const back = () =>
      activity().run(applyDaily, {
        id: 'orders',
        wanted: { retentionLimit: 1 },
        unlessNot: { retentionLimit: 7 },
        timeoutMs: 60_000,
      });
    aws.on('ModifyReplicationGroup', {});
    // Half-way nothing is judged.
    aws.on('DescribeReplicationGroups', (_, nth) =>
      nth === 1 ? group({ status: 'modifying', more: { SnapshotRetentionLimit: 3 } }) : limited(nth === 2 ? 7 : 1),
    );
    expect(await back()).toMatchObject({ changed: true, after: { retentionLimit: 1 } });
    aws.reset();
    aws.on('DescribeReplicationGroups', limited(3));
    expect(await back()).toMatchObject({ changed: false, others: true, after: { retentionLimit: 3 } });
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
    expect(await activity().run(removeMadeGroup, { ...made, begunAt: Date.now() })).toEqual({
      removed: false,
      notOurs: true,
    });
    expect(aws.called('DeleteReplicationGroup')).toBe(0);
  });

  test('is deleted also where it is listed only later; long after the call nothing is waited for', async () => {
    // 4.8 s, as the poll interval has it.
    vi.stubEnv('CUTOVER_AWS_POLL_MS', '200');
    try {
      aws.on('DeleteReplicationGroup', {});
      aws.on('DescribeReplicationGroups', (_, nth) =>
        nth === 3 ? described('run-1') : { error: 'ReplicationGroupNotFoundFault' },
      );
      const begunAt = Date.now();
      expect(await activity().run(removeMadeGroup, { ...made, begunAt })).toEqual({ removed: true });
      expect(aws.called('DeleteReplicationGroup')).toBe(1);
      aws.on('DescribeReplicationGroups', { error: 'ReplicationGroupNotFoundFault' });
      const before = aws.called('DescribeReplicationGroups');
      expect(await activity().run(removeMadeGroup, { ...made, begunAt: begunAt - 600_000 })).toEqual({
        removed: false,
      });
      expect(aws.called('DescribeReplicationGroups')).toBe(before + 1);
      // Deleted by an attempt that was lost: it was there.
      const heartbeatDetails = { checkpoint: { removing: true } };
      expect(await activity({ heartbeatDetails }).run(removeMadeGroup, { ...made, begunAt })).toEqual({
        removed: true,
      });
    } finally {
      vi.stubEnv('CUTOVER_AWS_POLL_MS', '10');
    }
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

describe('the preflight of a restore', () => {
  const found = async (from: object, to: object = {}) => {
    const migration = { id: 'back', from, to: { nodeType: 'cache.t4g.micro', ...to }, aws: {}, drill: true };
    const { checks } = await activity().run(preflightElastiCacheRestore, {
      migration: migration as unknown as ElastiCacheRestore,
    });
    return Object.fromEntries(checks.map(({ id, result, found: text }) => [id, `${result}: ${text}`]));
  };

  test('does not pass what nothing tells: a file in S3 has neither shards, cluster mode nor version to look at', async () => {
    expect(await found({ s3: ['arn:aws:s3:::backups/a.rdb'] })).toMatchObject({
      E1: expect.stringMatching(/^unknown: .*see E8/),
      E3: expect.stringMatching(/^unknown: /),
      E4: expect.stringMatching(/^unknown: /),
    });
  });

  test('of a version that AWS chooses it knows only what no version can', async () => {
    const of = (engine: string) =>
      aws.on('DescribeSnapshots', {
        Snapshots: {
          Snapshot: { SnapshotName: 's', SnapshotStatus: 'available', Engine: engine, EngineVersion: '8.0' },
        },
      });
    of('redis');
    expect((await found({ snapshot: 's' }, { engine: 'valkey' }))['E4']).toMatch(/^unknown: /);
    expect((await found({ snapshot: 's' }))['E4']).toMatch(/^pass: /);
    of('valkey');
    expect((await found({ snapshot: 's' }, { engine: 'redis' }))['E4']).toMatch(/^fail: .*Valkey/);
  });
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

describe('retention', () => {
  test('leaves one in a state that nobody knows', async () => {
    aws.on('ListTagsForResource', tags({ 'cutover:migration': 'nightly', 'cutover:run': 'run-1' }));
    aws.on(
      'DescribeSnapshots',
      listed(
        { name: 'odd', at: '2026-01-01T00:00:00Z', status: 'pondering' },
        { name: 'new', at: '2026-01-02T00:00:00Z' },
      ),
    );
    const retention = { keepLast: 1, timeZone: 'UTC' };
    const args = { replicationGroup: 'orders', migrationId: 'nightly', proven: 'new', retention };
    expect(await activity().run(applySnapshotRetention, args)).toMatchObject({
      deleted: [],
      kept: [{ name: 'odd', because: 'under way' }, { name: 'new' }],
    });
    expect(aws.called('DeleteSnapshot')).toBe(0);
  });
});

test.each([
  ['orders-001', undefined, 'orders'],
  ['sessions-2024-001', undefined, 'sessions-2024'],
  ['orders-0002-003', 'orders', 'orders'],
])('a snapshot of %s, where AWS names the group %s, is of %s', (node, named, of) => {
  expect(snapshotFacts({ CacheClusterId: node, ReplicationGroupId: named })).toMatchObject({ replicationGroup: of });
});

describe('of another group that has the name by now', () => {
  const createdAt = '2026-01-01T00:00:00.000Z';
  const target = { id: 'orders', finalName: 'last', createdAt };
  const made = (at: string, status = 'available') => group({ status, more: { ReplicationGroupCreateTime: at } });
  const another = made('2026-02-02T00:00:00Z');
  beforeEach(() => {
    aws.on('DescribeReplicationGroups', another);
    aws.on('DescribeSnapshots', listed({ name: 'last' }));
    aws.on('DeleteReplicationGroup', {});
  });

  test('nothing is deleted, and the one that was meant counts as gone', async () => {
    expect(await activity().run(retireState, target)).toEqual({ group: 'gone', finalStatus: 'available' });
    expect(await activity().run(deleteGroupFinally, target)).toEqual({ answer: 'gone' });
    // One whose time AWS does not tell may be another, too.
    aws.on('DescribeReplicationGroups', group());
    await expect(activity().run(deleteGroupFinally, target)).rejects.toMatchObject({ nonRetryable: false });
    expect(aws.called('DeleteReplicationGroup')).toBe(0);
    aws.on('DescribeReplicationGroups', made(createdAt));
    expect(await activity().run(deleteGroupFinally, target)).toEqual({ answer: 'deleting' });
    expect(aws.called('DeleteReplicationGroup')).toBe(1);
  });

  test('the gate is never ready', async () => {
    const watch = () => activity().run(watchGroup, { id: 'orders', snapshotName: 'last', createdAt });
    expect(await watch()).toMatchObject({
      ready: false,
      notReady: expect.stringMatching(/another group has the name/),
    });
    aws.on('DescribeReplicationGroups', made(createdAt));
    expect(await watch()).toMatchObject({ ready: true });
  });

  test('the deletion of the one that was meant is not waited for again', async () => {
    const { createdAt: found } = await activity().run(describeGroup, { id: 'orders' });
    expect(found).toBe('2026-02-02T00:00:00.000Z');
    const args = { ...target, shards: 1, eventSources: [{ id: 'orders' }], since: { seen: [] }, timeoutMs: 60_000 };
    expect(await activity().run(awaitRetired, args)).toMatchObject({ name: 'last', complete: true });
  });
});

test('the final snapshot gets another name only where its own is used up', () => {
  expect(isUsedUp({ group: 'available', finalStatus: 'creating' }, true)).toBe(false);
  expect(isUsedUp({ group: 'deleting', finalStatus: 'available' }, true)).toBe(false);
  expect(isUsedUp({ group: 'available', finalStatus: 'available' }, true)).toBe(true);
  expect(isUsedUp({ group: 'available' }, true)).toBe(false);
  expect(isUsedUp({ group: 'deleting', finalStatus: 'creating' }, false)).toBe(true);
});

describe('that the group may be kept after all', () => {
  const target = { id: 'orders', finalName: 'last' };

  test('is told where AWS refused for good, and no earlier attempt can have been taken', async () => {
    aws.on('DescribeReplicationGroups', group());
    aws.on('DescribeSnapshots', { error: 'SnapshotNotFoundFault' });
    aws.on('DeleteReplicationGroup', { error: 'AccessDenied' });
    const told = async (attempt: number) => {
      const error = await activity({ attempt })
        .run(deleteGroupFinally, target)
        .catch((e: unknown) => e);
      expect(error).toMatchObject({ type: 'cutover.Denied', nonRetryable: true });
      return (error as { details: { group?: string }[] }).details[0]!.group;
    };
    expect(await told(1)).toBe('available');
    expect(await told(2)).toBeUndefined();
  });

  test('is told of a final snapshot that failed once the group’s status has caught up', async () => {
    aws.on('DescribeReplicationGroups', (_, nth) => group({ status: nth < 3 ? 'deleting' : 'available' }));
    aws.on('DescribeSnapshots', { error: 'SnapshotNotFoundFault' });
    aws.on(
      'DescribeEvents',
      events(
        event('2026-01-02T03:04:05Z', "Snapshot failed for snapshot with ID 'last' of cluster with ID 'orders-001'"),
      ),
    );
    const args = { ...target, shards: 1, eventSources: [{ id: 'orders' }], since: { seen: [] }, timeoutMs: 60_000 };
    await expect(activity().run(awaitRetired, args)).rejects.toMatchObject({
      type: 'cutover.ServiceFailed',
      details: [{ group: 'available' }],
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
