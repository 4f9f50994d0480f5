/** Replication groups: what is read of them, whose they are, and how a migration is started and waited for. */
import { CancelledFailure } from '@temporalio/common';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { awaitAttached, awaitAvailable, awaitTestResult } from '../activities/elasticache/await-status.ts';
import { claimGroup, untag } from '../activities/elasticache/claim.ts';
import { classifyEvent, eventsSince, eventWatermark } from '../activities/elasticache/events.ts';
import { startMigration, testMigration } from '../activities/elasticache/migration.ts';
import { parameterValue } from '../activities/elasticache/parameters.ts';
import { awaitChange } from '../activities/elasticache/poll-group.ts';
import { describeGroup } from '../activities/elasticache/replication-group.ts';
import {
  groupStatusMeaning,
  nodeStatusMeaning,
  snapshotStatusMeaning,
} from '../activities/elasticache/status-table.ts';
import { activity, event, events, group, node, startAnswers, tags, type Answers } from './elasticache-answers.ts';

let aws: Answers;
beforeAll(async () => {
  aws = await startAnswers();
});
beforeEach(() => aws.reset());
afterAll(() => aws.stop());

describe('statuses', () => {
  test.each([
    ['available', 'ok'],
    ['creating', 'pending'],
    ['modifying', 'pending'],
    ['migrating', 'pending'],
    ['snapshotting', 'pending'],
    ['deleting', 'failed'],
    ['create-failed', 'failed'],
  ])('group %s: %s', (status, meaning) => expect(groupStatusMeaning('orders', status)).toEqual({ meaning }));
  test.each([
    ['available', 'ok'],
    ['rebooting cluster nodes', 'pending'],
    ['restore-failed', 'failed'],
    ['incompatible-network', 'ask'],
  ])('node %s: %s', (status, meaning) => expect(nodeStatusMeaning('n', status)).toEqual({ meaning }));
  test.each([
    ['available', 'ok'],
    ['creating', 'pending'],
    ['copying', 'pending'],
    ['deleting', 'failed'],
  ])('snapshot %s: %s', (status, meaning) => expect(snapshotStatusMeaning('s', status)).toEqual({ meaning }));
  test.each(['upgrading-something', 'constructor', undefined])('%s is not known: pending, with a warning', (status) => {
    const reading = groupStatusMeaning('orders', status);
    expect(reading.meaning).toBe('pending');
    expect(reading.warning).toContain(status ?? '(none)');
  });
});

describe('describeGroup', () => {
  test('cluster mode disabled', async () => {
    aws.on('DescribeReplicationGroups', group());
    aws.on('DescribeCacheClusters', (input) => node(input));
    aws.on('ListTagsForResource', tags({ team: 'shop', 'cutover:migration': 'orders-move' }));
    expect(await activity().run(describeGroup, { id: 'orders' })).toEqual({
      id: 'orders',
      arn: 'arn:aws:elasticache:ap-northeast-1:1:replicationgroup:orders',
      status: 'available',
      statusMeaning: 'ok',
      warnings: [],
      pendingModifications: [],
      clusterEnabled: false,
      primary: { host: 'orders.cache.internal', port: 6379 },
      members: [1, 2].map((n) => ({
        id: `orders-00${n}`,
        nodeGroup: '0001',
        role: n === 1 ? 'primary' : 'replica',
        endpoint: { host: `orders-00${n}.cache.internal`, port: 6379 },
        availabilityZone: n === 1 ? 'ap-northeast-1a' : 'ap-northeast-1c',
        status: 'available',
        statusMeaning: 'ok',
      })),
      nodeGroups: [
        { id: '0001', status: 'available', members: 2, primary: { host: 'orders.cache.internal', port: 6379 } },
      ],
      multiAz: true,
      automaticFailover: 'enabled',
      transitEncryption: false,
      atRestEncryption: true,
      authToken: false,
      userGroups: [],
      dataTiering: false,
      cacheNodeType: 'cache.r6g.large',
      engine: 'valkey',
      engineVersion: '7.2.6',
      parameterGroup: 'orders-params',
      snapshotRetention: 7,
      snapshotWindow: '05:00-06:00',
      maintenanceWindow: 'sun:23:00-mon:01:30',
      tags: { team: 'shop', 'cutover:migration': 'orders-move' },
    });
  });

  test('cluster mode enabled: the configuration endpoint, roles unknown', async () => {
    aws.on('DescribeReplicationGroups', group({ shards: 3 }));
    aws.on('DescribeCacheClusters', (input) => node(input));
    aws.on('ListTagsForResource', tags({}));
    const facts = await activity().run(describeGroup, { id: 'orders' });
    expect(facts).toMatchObject({ clusterEnabled: true, primary: { host: 'orders.clustercfg.internal', port: 6380 } });
    expect(facts.nodeGroups.map(({ id }) => id)).toEqual(['0001', '0002', '0003']);
    expect(new Set(facts.members.map(({ role }) => role))).toEqual(new Set(['unknown']));
    expect(facts.members[0]?.endpoint).toEqual({ host: 'node.internal', port: 6379 });
  });

  test('while migrating: tags unknown, not empty; a node being replaced has no status; pending changes in words', async () => {
    const PendingModifiedValues = {
      AutomaticFailoverStatus: 'enabled',
      Resharding: { SlotMigration: { ProgressPercentage: 3 } },
      LogDeliveryConfigurations: '',
    };
    aws.on('DescribeReplicationGroups', group({ status: 'migrating', more: { PendingModifiedValues } }));
    aws.on('DescribeCacheClusters', (input) =>
      input['CacheClusterId'] === 'orders-001' ? { error: 'CacheClusterNotFound' } : node(input, 'frobnicating'),
    );
    aws.on('ListTagsForResource', { error: 'InvalidReplicationGroupState' });
    const facts = await activity().run(describeGroup, { id: 'orders' });
    expect(facts).not.toHaveProperty('tags');
    expect(facts.members[0]).not.toHaveProperty('status');
    expect(facts.members[1]).toMatchObject({ status: 'frobnicating', statusMeaning: 'pending' });
    expect(facts.warnings).toEqual([
      expect.stringContaining('unknown status of cache cluster orders-002: frobnicating'),
    ]);
    expect(facts.pendingModifications).toEqual([
      'AutomaticFailoverStatus: "enabled"',
      'Resharding: {"SlotMigration":{"ProgressPercentage":3}}',
    ]);
  });

  test('a group that is not there', async () => {
    aws.on('DescribeReplicationGroups', { error: 'ReplicationGroupNotFoundFault' });
    await expect(activity().run(describeGroup, { id: 'ordes', aws: { region: 'eu-west-1' } })).rejects.toMatchObject({
      type: 'cutover.NotFound',
      nonRetryable: true,
      message: 'there is no replication group ordes in eu-west-1',
    });
  });
});

test('a parameter is found on a later page, by node type where it differs, and not invented', async () => {
  aws.on('DescribeCacheParameters', ({ Marker }) =>
    Marker === 'p2'
      ? {
          Parameters: { Parameter: [{ ParameterName: 'databases', ParameterValue: '16' }, { ParameterName: 'unset' }] },
          CacheNodeTypeSpecificParameters: {
            CacheNodeTypeSpecificParameter: {
              ParameterName: 'maxmemory',
              CacheNodeTypeSpecificValues: {
                CacheNodeTypeSpecificValue: [
                  { CacheNodeType: 'cache.t3.micro', Value: '536870912' },
                  { CacheNodeType: 'cache.r6g.large', Value: '14037181030' },
                ],
              },
            },
          },
        }
      : {
          Marker: 'p2',
          Parameters: { Parameter: { ParameterName: 'maxmemory-policy', ParameterValue: 'volatile-lru' } },
        },
  );
  const value = (name: string, more: object = {}) =>
    activity().run(parameterValue, { parameterGroup: 'orders-params', name, ...more });
  expect(await value('maxmemory-policy')).toBe('volatile-lru');
  expect(await value('databases')).toBe('16');
  expect(await value('maxmemory', { cacheNodeType: 'cache.r6g.large' })).toBe('14037181030');
  expect(await value('unset')).toBeUndefined();
  expect(await value('nothing')).toBeUndefined();
});

describe('events', () => {
  test.each([
    ['Complete Migration successful for orders', { kind: 'migration-succeeded', about: 'complete' }],
    ['Migration operation succeeded for replication group orders.', { kind: 'migration-succeeded' }],
    ['Migration operation failed for replication group orders.', { kind: 'migration-failed' }],
    ['Complete migration failed: data is not in sync', { kind: 'complete-failed', about: 'complete' }],
    ['COMPLETE MIGRATION FAILED', { kind: 'complete-failed', about: 'complete' }],
    ['Migration could not be completed', { kind: 'complete-failed', about: 'complete' }],
    ['Test migration was unsuccessful', { kind: 'migration-failed', about: 'test' }],
    ['Test migration succeeded', { kind: 'migration-succeeded', about: 'test' }],
    ['Unable to start migration: cannot reach 10.0.0.1', { kind: 'migration-failed', about: 'start' }],
    ['Migration succeeded for node 1, failed for node 2', { kind: 'migration-failed' }],
    ['Migration in progress', { kind: 'other' }],
    ['Migration succeeded after a failover', { kind: 'migration-succeeded' }],
    ['Failover to replica node orders-002 completed', { kind: 'other' }],
    [
      "Snapshot failed for snapshot with ID 'nightly' of replication group with ID 'orders'",
      { kind: 'snapshot-failed' },
    ],
    ['ElastiCache:SnapshotFailed : orders-002', { kind: 'snapshot-failed' }],
    ["Snapshot succeeded for snapshot with ID 'nightly'", { kind: 'other' }],
  ])('%s', (message, told) => expect(classifyEvent(message)).toEqual(told));

  // A group's name, or a source's, is no word of AWS's.
  test.each([
    ['Test Migration succeeded for replication group fail-over with customer node 127.0.0.1:1.', 'fail-over'],
    ['Migration operation succeeded for replication group error.', 'error'],
    ['Migration operation succeeded for replication group a with unable.example.com:6379.', 'a'],
  ])('%s is a success', (message, id) => expect(classifyEvent(message, id).kind).toBe('migration-succeeded'));
  test('the name of a group that says success does not hide a failure', () =>
    expect(classifyEvent('Migration operation failed for replication group success.', 'success').kind).toBe(
      'migration-failed',
    ));

  const sources = [{ id: 'orders' }];
  test('only those after the watermark, each once, oldest first, over pages; by the service’s clock', async () => {
    // Years before this machine's clock: only the dates of the events themselves may count.
    const a = event('2020-05-01T10:00:00.000Z', 'a');
    const b = event('2020-05-01T10:00:05.000Z', 'b');
    aws.on('DescribeEvents', events(b, a));
    const since = await activity().run(eventWatermark, { sources });
    expect(since).toEqual({ at: '2020-05-01T10:00:05.000Z', seen: ['b'] });

    const sameSecond = event('2020-05-01T10:00:05.000Z', 'b2');
    const later = event('2020-05-01T10:00:09.500Z', 'c');
    aws.on('DescribeEvents', ({ Marker }) =>
      Marker ? events(later, b) : { Marker: 'more', ...events(later, a, sameSecond) },
    );
    expect((await activity().run(eventsSince, { sources, since })).map(({ message }) => message)).toEqual(['b2', 'c']);
    expect(aws.calls.at(-1)?.input).toMatchObject({
      SourceType: 'replication-group',
      Duration: '20160',
      Marker: 'more',
    });
  });

  test('with no event before, all are new; the default window of one hour is never asked for', async () => {
    aws.on('DescribeEvents', events());
    const since = await activity().run(eventWatermark, { sources });
    expect(since).toEqual({ seen: [] });
    aws.on('DescribeEvents', events(event('2020-05-01T10:00:00Z', 'first')));
    expect(await activity().run(eventsSince, { sources, since })).toMatchObject([{ message: 'first' }]);
    expect(aws.calls.every(({ input }) => input['Duration'] === '20160')).toBe(true);
  });

  test('a recent watermark is asked from its own date on', async () => {
    const at = new Date(Date.now() - 60_000).toISOString();
    aws.on('DescribeEvents', events());
    await activity().run(eventsSince, { sources, since: { at, seen: [] } });
    expect(aws.calls.at(-1)?.input['StartTime']?.slice(0, 19)).toBe(at.slice(0, 19));
  });
});

const ours = { id: 'orders', migrationId: 'orders-move' };
const theirs = tags({ 'cutover:migration': 'other-move' });
const mine = tags({ 'cutover:migration': 'orders-move' });

describe('claim', () => {
  test('tags a free group, and leaves one that is ours alone', async () => {
    aws.on('DescribeReplicationGroups', group());
    aws.on('ListTagsForResource', (_, nth) => (nth === 1 ? tags({ team: 'shop' }) : mine));
    aws.on('AddTagsToResource', tags({}));
    await activity().run(claimGroup, ours);
    expect(aws.calls.find(({ action }) => action === 'AddTagsToResource')?.input).toMatchObject({
      'Tags.Tag.1.Key': 'cutover:migration',
      'Tags.Tag.1.Value': 'orders-move',
    });
    await activity().run(claimGroup, ours);
    expect(aws.called('AddTagsToResource')).toBe(1);
  });

  test("another migration's is refused, with the command that frees it; also when it came in between", async () => {
    aws.on('DescribeReplicationGroups', group());
    aws.on('ListTagsForResource', theirs);
    await expect(activity().run(claimGroup, ours)).rejects.toMatchObject({
      type: 'cutover.NotOurs',
      nonRetryable: true,
      message: expect.stringContaining('belongs to the migration other-move'),
      details: [
        expect.objectContaining({ remedy: expect.stringContaining('remove-tags-from-resource --resource-name arn:') }),
      ],
    });
    aws.on('AddTagsToResource', tags({}));
    aws.on('ListTagsForResource', (_, nth) => (nth === 1 ? tags({}) : theirs));
    await expect(activity().run(claimGroup, ours)).rejects.toMatchObject({ type: 'cutover.NotOurs' });
  });

  test('waits for a group that does not tell its tags', async () => {
    aws.on('DescribeReplicationGroups', group({ status: 'snapshotting' }));
    aws.on('ListTagsForResource', { error: 'InvalidReplicationGroupState' });
    await expect(activity().run(claimGroup, ours)).rejects.toMatchObject({ type: 'cutover.Busy', nonRetryable: false });
  });

  test('untag removes ours only', async () => {
    aws.on('DescribeReplicationGroups', group());
    aws.on('RemoveTagsFromResource', tags({}));
    aws.on('ListTagsForResource', theirs);
    await activity().run(untag, ours);
    expect(aws.called('RemoveTagsFromResource')).toBe(0);
    aws.on('ListTagsForResource', mine);
    await activity().run(untag, ours);
    expect(aws.called('RemoveTagsFromResource')).toBe(1);
  });
});

describe('startMigration', () => {
  const start = { ...ours, source: { host: '10.0.0.1', port: 6379 } };
  const started = { ReplicationGroup: { ReplicationGroupId: 'orders', Status: 'modifying' } };

  test('claims first, then calls', async () => {
    aws.on('DescribeReplicationGroups', group());
    aws.on('ListTagsForResource', (_, nth) => (nth === 1 ? tags({}) : mine));
    aws.on('AddTagsToResource', tags({}));
    aws.on('StartMigration', started);
    expect(await activity().run(startMigration, start)).toEqual({ answer: 'started', status: 'modifying' });
    const order = aws.calls.map(({ action }) => action);
    expect(order.indexOf('AddTagsToResource')).toBeLessThan(order.indexOf('StartMigration'));
    expect(aws.calls.at(-1)?.input).toMatchObject({
      ReplicationGroupId: 'orders',
      'CustomerNodeEndpointList.member.1.Address': '10.0.0.1',
      'CustomerNodeEndpointList.member.1.Port': '6379',
    });
  });

  test("another migration's group is never started", async () => {
    aws.on('DescribeReplicationGroups', group());
    aws.on('ListTagsForResource', theirs);
    await expect(activity().run(startMigration, start)).rejects.toMatchObject({ type: 'cutover.NotOurs' });
    expect(aws.called('StartMigration')).toBe(0);
  });

  test('already under migration, as Describe did not know yet: ours, for we had just claimed it', async () => {
    aws.on('DescribeReplicationGroups', group());
    aws.on('ListTagsForResource', (_, nth) => (nth <= 2 ? mine : { error: 'InvalidReplicationGroupState' }));
    aws.on('StartMigration', { error: 'ReplicationGroupAlreadyUnderMigrationFault' });
    expect(await activity().run(startMigration, start)).toMatchObject({ answer: 'adopted' });
  });

  test.each<[string, object, object | undefined, object, string]>([
    ['the tag is ours', mine, undefined, {}, 'adopted'],
    ["the tag is another one's", theirs, undefined, { claimed: true }, 'cutover.NotOurs'],
    ['no tag', tags({}), undefined, {}, 'cutover.NotOurs'],
    ['tags not told, nothing known', { error: 'InvalidReplicationGroupState' }, undefined, {}, 'cutover.NotOurs'],
    [
      'tags not told, the workflow knows of the claim',
      { error: 'InvalidReplicationGroupState' },
      undefined,
      { claimed: true },
      'adopted',
    ],
    [
      'tags not told, the heartbeat knows of the claim',
      { error: 'InvalidReplicationGroupState' },
      { checkpoint: { claimed: 'orders' } },
      {},
      'adopted',
    ],
    [
      'tags not told, the source knows our target',
      { error: 'InvalidReplicationGroupState' },
      undefined,
      { isOurs: () => Promise.resolve(true) },
      'adopted',
    ],
    [
      'tags not told, the source knows no target',
      { error: 'InvalidReplicationGroupState' },
      undefined,
      { isOurs: () => Promise.resolve(false) },
      'cutover.NotOurs',
    ],
  ])('found migrating, %s', async (_what, tagAnswer, heartbeatDetails, more, outcome) => {
    aws.on('DescribeReplicationGroups', group({ status: 'migrating' }));
    aws.on('ListTagsForResource', tagAnswer);
    const result = await activity({ heartbeatDetails })
      .run(startMigration, { ...start, ...more })
      .then(
        ({ answer }) => answer,
        ({ type }: { type: string }) => type,
      );
    expect(result).toBe(outcome);
    expect(aws.called('StartMigration')).toBe(0);
  });

  test('any other state is waited for', async () => {
    aws.on('DescribeReplicationGroups', group({ status: 'modifying' }));
    await expect(activity().run(startMigration, { ...start, claimed: true })).rejects.toMatchObject({
      type: 'cutover.Busy',
      nonRetryable: false,
    });
    expect(aws.called('StartMigration')).toBe(0);
  });

  test('a test that is under way already is told so', async () => {
    aws.on('TestMigration', { error: 'ReplicationGroupAlreadyUnderMigrationFault' });
    expect(await activity().run(testMigration, start)).toEqual({ answer: 'under-way' });
    aws.on('TestMigration', { error: 'InvalidParameterValue' });
    await expect(activity().run(testMigration, start)).rejects.toMatchObject({
      type: 'cutover.Invalid',
      message: 'TestMigration of orders from 10.0.0.1:6379: InvalidParameterValue: said so',
    });
  });
});

describe('waits', () => {
  const wait = { id: 'orders', since: { seen: [] }, intervalMs: 10, timeoutMs: 30_000 };
  /** One status after the other; the last one stays. */
  const statuses = (...list: string[]) =>
    aws.on('DescribeReplicationGroups', (_, nth) => group({ status: list[Math.min(nth, list.length) - 1]! }));
  /** Nothing until the nth reading. */
  const eventFrom = (from: number, message: string) =>
    aws.on('DescribeEvents', (_, nth) => (nth < from ? events() : events(event('2026-01-02T03:04:05Z', message))));
  const silent = () => aws.on('DescribeEvents', events());

  test('attached once it is migrating, whatever Describe said at first', async () => {
    statuses('available', 'available', 'modifying', 'migrating');
    silent();
    const a = activity();
    expect(await a.run(awaitAttached, wait)).toMatchObject({ status: 'migrating' });
    expect(a.beats.map(({ progress }) => progress?.text)).toContainEqual(
      expect.stringContaining('orders is modifying'),
    );
  });

  test('back at available with a failure event: failed, with its words', async () => {
    statuses('modifying', 'modifying', 'available');
    eventFrom(2, 'Migration operation failed for replication group orders.');
    await expect(activity().run(awaitAttached, wait)).rejects.toMatchObject({
      type: 'cutover.ServiceFailed',
      nonRetryable: true,
      message: 'StartMigration failed: orders is available; Migration operation failed for replication group orders.',
    });
  });

  test('a failure event while it still tries is not the end of it', async () => {
    statuses('modifying', 'modifying', 'migrating');
    eventFrom(1, 'Migration operation failed for replication group orders.');
    expect(await activity().run(awaitAttached, wait)).toMatchObject({ status: 'migrating' });
  });

  test('a late result of a test is not that of the start', async () => {
    statuses('available', 'available', 'migrating');
    eventFrom(1, 'Test migration failed');
    expect(await activity().run(awaitAttached, wait)).toMatchObject({ status: 'migrating' });
  });

  test('back at available without a word: failed as well, once the event has had its time', async () => {
    statuses('modifying', 'available');
    silent();
    await expect(activity().run(awaitAttached, { ...wait, eventLagMs: 100 })).rejects.toMatchObject({
      type: 'cutover.ServiceFailed',
      message: 'StartMigration failed: orders is available; and its events give no reason',
    });
  });

  test('never leaving available without a word ends at the deadline, not as a success', async () => {
    statuses('available');
    silent();
    await expect(activity().run(awaitAttached, { ...wait, timeoutMs: 300 })).rejects.toMatchObject({
      type: 'cutover.Deadline',
      message: expect.stringContaining('orders is available, no event'),
    });
  });

  test('a test succeeds by an event alone, and only once the group is available', async () => {
    statuses('modifying', 'modifying', 'modifying', 'available');
    eventFrom(2, 'Test migration succeeded');
    expect(await activity().run(awaitTestResult, wait)).toMatchObject({ status: 'available' });
    expect(aws.called('DescribeReplicationGroups')).toBe(4);
  });

  test('a test that fails, and one of which nothing is heard', async () => {
    statuses('available');
    eventFrom(2, 'Test migration: could not connect to 10.0.0.1:6379');
    await expect(activity().run(awaitTestResult, wait)).rejects.toMatchObject({
      type: 'cutover.ServiceFailed',
      message: expect.stringContaining('could not connect to 10.0.0.1:6379'),
    });
    silent();
    await expect(activity().run(awaitTestResult, { ...wait, timeoutMs: 200 })).rejects.toMatchObject({
      type: 'cutover.Deadline',
    });
  });

  test('a group that goes away ends every wait', async () => {
    silent();
    for (const waitFor of [awaitAttached, awaitTestResult, awaitAvailable]) {
      statuses('deleting');
      await expect(activity().run(waitFor, wait)).rejects.toMatchObject({ type: 'cutover.ServiceFailed' });
    }
  });

  test('a change is told at once: another status, an event, the deadline', async () => {
    silent();
    statuses('migrating', 'migrating', 'available');
    expect(await activity().run(awaitChange, { ...wait, status: 'migrating' })).toMatchObject({
      change: 'status',
      status: 'available',
    });
    statuses('migrating');
    eventFrom(2, 'Complete migration failed: not in sync');
    expect(await activity().run(awaitChange, { ...wait, status: 'migrating' })).toMatchObject({
      change: 'event',
      events: [{ kind: 'complete-failed' }],
    });
    silent();
    expect(await activity().run(awaitChange, { ...wait, status: 'migrating', timeoutMs: 100 })).toMatchObject({
      change: 'deadline',
    });
  });

  test('ends when it is cancelled', async () => {
    statuses('modifying');
    silent();
    const a = activity();
    const ended = a
      .run(awaitAttached, { ...wait, intervalMs: 60_000, timeoutMs: 600_000 })
      .catch((error: unknown) => error);
    a.env.once('heartbeat', () => a.env.cancel('CANCELLED'));
    expect(await ended).toBeInstanceOf(CancelledFailure);
  });

  test('the deadline and what was seen outlive the attempt', async () => {
    statuses('modifying');
    silent();
    const first = activity();
    const ended = first.run(awaitAttached, { ...wait, intervalMs: 60_000 }).catch((error: unknown) => error);
    // The beat that carries both; then the worker dies.
    first.env.on('heartbeat', (details: { progress?: unknown }) => details.progress && first.env.cancel('CANCELLED'));
    await ended;
    const carried = first.beats.at(-1);
    expect(carried?.checkpoint).toMatchObject({ waits: { 'attached orders': { left: ['modifying'] } } });
    const expired = structuredClone(carried)!;
    Object.assign(expired, {
      checkpoint: { waits: { 'attached orders': { left: ['modifying'], deadlineAt: Date.now() - 1 } } },
    });
    await expect(activity({ heartbeatDetails: expired }).run(awaitAttached, wait)).rejects.toMatchObject({
      type: 'cutover.Deadline',
    });
  });
});
