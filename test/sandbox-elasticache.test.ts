import {
  CompleteMigrationCommand,
  DescribeCacheClustersCommand,
  DescribeCacheParametersCommand,
  DescribeEventsCommand,
  DescribeReplicationGroupsCommand,
  ListTagsForResourceCommand,
  AddTagsToResourceCommand,
  RemoveTagsFromResourceCommand,
  ModifyReplicationGroupCommand,
  DeleteReplicationGroupCommand,
  paginateDescribeEvents,
} from '@aws-sdk/client-elasticache';
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  createTarget,
  describe as describeGroup,
  messages,
  primaryPort,
  refusal,
  startMigration,
  startRig,
  until,
  untilInSync,
  untilMessage,
  untilStatus,
} from './sandbox-elasticache-setup.ts';
import type { Rig } from './sandbox-elasticache-setup.ts';

const MINUTES = 180_000;
let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
}, MINUTES);
afterAll(async () => {
  expect(rig.aws.control.failures()).toEqual([]);
  await rig.end();
}, MINUTES);

test(
  'a migration moves every key of a source that is being written to',
  async () => {
    const source = await rig.source();
    const writer = source.connect();
    await writer.mset(Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`before:${i}`, `v${i}`])));
    await writer.hset('hash', { a: '1', b: '2' });
    const other = source.connect({ db: 3 });
    await other.set('in-db-3', 'yes');
    const group = await createTarget(rig, 'happy');
    expect(group.MemberClusters).toEqual(['happy-001', 'happy-002']);

    let acknowledged = 0;
    const stop = new AbortController();
    const writes = (async () => {
      while (!stop.signal.aborted) {
        await writer.set(`live:${acknowledged}`, String(acknowledged));
        acknowledged += 1;
      }
    })();
    await startMigration(rig, 'happy', source.port);
    await untilStatus(rig, 'happy', 'migrating');
    const target = rig.redis(primaryPort(group));
    await untilInSync(source.connect(), target);
    const before = acknowledged;
    await until('200 more writes', async () => acknowledged >= before + 200);
    // While it migrates the target and its replica are read-only.
    await expect(target.set('x', 'y')).rejects.toThrow(/^READONLY/);
    stop.abort();
    await writes;
    await untilInSync(source.connect(), target);
    await rig.client.send(new CompleteMigrationCommand({ ReplicationGroupId: 'happy' }));
    await untilStatus(rig, 'happy', 'available');

    expect(await messages(rig, 'happy')).toContain('Complete Migration successful for happy');
    expect((await target.call('ROLE')) as unknown[]).toContain('master');
    for (let i = 0; i < acknowledged; i += 500) {
      const keys = Array.from({ length: Math.min(500, acknowledged - i) }, (_, n) => `live:${i + n}`);
      expect(await target.mget(keys)).toEqual(keys.map((key) => key.slice(5)));
    }
    expect(await target.dbsize()).toBe(20_001 + acknowledged);
    expect(await rig.redis(primaryPort(group), { db: 3 }).get('in-db-3')).toBe('yes');
    expect(await target.set('after', '1')).toBe('OK');
    // The replica chains along, before and after.
    const replica = rig.aws.control.nodes({ group: 'happy' }).find((node) => node.role === 'replica');
    const reader = rig.redis(replica?.port ?? 0);
    await until('the replica has the new key', async () => (await reader.get('after')) === '1');
    expect(await reader.hgetall('hash')).toEqual({ a: '1', b: '2' });
    await expect(reader.set('x', 'y')).rejects.toThrow(/^READONLY/);
  },
  MINUTES,
);

test(
  'clients of a node have what ElastiCache leaves them, and no more',
  async () => {
    const target = rig.redis(primaryPort(await createTarget(rig, 'blocked', { ReplicationGroupDescription: 'x' })));
    const gone = ['CONFIG GET *', 'DEBUG SLEEP 0', 'SAVE', 'BGSAVE', 'BGREWRITEAOF', 'REPLICAOF NO ONE'];
    for (const line of [...gone, 'SLAVEOF NO ONE', 'SHUTDOWN', 'MIGRATE h 1 k 0 1', 'MODULE LIST']) {
      const [command = '', ...args] = line.split(' ');
      await expect(target.call(command, ...args), line).rejects.toThrow(/ERR unknown command/i);
    }
    for (const line of ['PSYNC ? -1', 'SYNC', 'ACL SETUSER x', 'ACL DELUSER x', 'CLUSTER MEET h 1', 'CLUSTER RESET']) {
      const [command = '', ...args] = line.split(' ');
      await expect(target.call(command, ...args), line).rejects.toThrow(/NOPERM/);
    }
    expect(await target.set('k', 'v')).toBe('OK');
    expect(await target.info('server')).toContain('redis_version:');
    expect(await target.call('DUMP', 'k')).not.toBeNull();
    expect(await target.eval('return redis.call("get", KEYS[1])', 1, 'k')).toBe('v');
    expect(await target.call('CLIENT', 'LIST')).toContain('addr=');
    expect(await target.call('ACL', 'WHOAMI')).toBe('default');
    expect(await target.flushall()).toBe('OK');
  },
  MINUTES,
);

test('engine version and parameter group are told by DescribeCacheClusters, endpoints only when asked for', async () => {
  const without = await rig.client.send(new DescribeCacheClustersCommand({ CacheClusterId: 'happy-001' }));
  expect(without.CacheClusters?.[0]).toMatchObject({
    EngineVersion: '7.1.0',
    CacheClusterStatus: 'available',
    ReplicationGroupId: 'happy',
    CacheParameterGroup: { CacheParameterGroupName: 'default.redis7' },
  });
  expect(without.CacheClusters?.[0]?.CacheNodes).toBeUndefined();
  const withNodes = await rig.client.send(
    new DescribeCacheClustersCommand({ CacheClusterId: 'HAPPY-001', ShowCacheNodeInfo: true }),
  );
  const { port } = rig.aws.control.nodes({ group: 'happy' }).find((node) => node.id === 'happy-001') ?? { port: 0 };
  expect(withNodes.CacheClusters?.[0]?.CacheNodes?.[0]?.Endpoint).toEqual({ Address: '127.0.0.1', Port: port });
});

test(
  'events come newest first, page by page, and only the last hour without a time',
  async () => {
    const old = new Date(Date.now() - 2 * 3_600_000);
    rig.aws.control.emitEvent({ sourceId: 'paged', message: 'two hours old', date: old.toISOString() });
    for (let i = 0; i < 45; i++) rig.aws.control.emitEvent({ sourceId: 'paged', message: `event ${i} <&> "é"` });
    const where = { SourceType: 'replication-group' as const, SourceIdentifier: 'paged' };
    const pages: string[][] = [];
    // A copy: the SDK's paginator writes its markers into the object it is given.
    for await (const page of paginateDescribeEvents({ client: rig.client, pageSize: 20 }, { ...where })) {
      pages.push((page.Events ?? []).map((event) => event.Message ?? ''));
    }
    expect(pages.map((page) => page.length)).toEqual([20, 20, 5]);
    expect(pages.flat()).toEqual(Array.from({ length: 45 }, (_, i) => `event ${44 - i} <&> "é"`));

    // An event between two pages shifts nothing.
    const first = await rig.client.send(new DescribeEventsCommand({ ...where, MaxRecords: 20 }));
    rig.aws.control.emitEvent({ sourceId: 'paged', message: 'in between' });
    const second = await rig.client.send(new DescribeEventsCommand({ ...where, MaxRecords: 20, Marker: first.Marker }));
    expect(second.Events?.[0]?.Message).toBe('event 24 <&> "é"');

    const all = await rig.client.send(new DescribeEventsCommand({ ...where, Duration: 180 }));
    expect(all.Events).toHaveLength(47);
    expect(all.Events?.at(-1)?.Date).toEqual(old);
    const since = await rig.client.send(
      new DescribeEventsCommand({
        ...where,
        StartTime: new Date(old.getTime() - 1),
        EndTime: new Date(old.getTime() + 1),
      }),
    );
    expect(since.Events?.map((event) => event.Message)).toEqual(['two hours old']);
  },
  MINUTES,
);

test('parameters come page by page, and with their source', async () => {
  const names = new Set<string>();
  let Marker: string | undefined;
  let pages = 0;
  do {
    const page = await rig.client.send(
      new DescribeCacheParametersCommand({ CacheParameterGroupName: 'default.redis7', MaxRecords: 20, Marker }),
    );
    for (const parameter of page.Parameters ?? []) names.add(parameter.ParameterName ?? '');
    Marker = page.Marker;
    pages += 1;
  } while (Marker !== undefined);
  expect(pages).toBeGreaterThan(1);
  expect(names).toContain('databases');
  expect(names).toContain('reserved-memory-percent');
});

test(
  'tags, a change, and the end of a group',
  async () => {
    const arn = (await createTarget(rig, 'short', { Tags: [{ Key: 'cutover:migration', Value: 'm1' }] })).ARN;
    const list = async (): Promise<unknown> =>
      (await rig.client.send(new ListTagsForResourceCommand({ ResourceName: arn }))).TagList;
    expect(await list()).toEqual([{ Key: 'cutover:migration', Value: 'm1' }]);
    await rig.client.send(new AddTagsToResourceCommand({ ResourceName: arn, Tags: [{ Key: 'b', Value: '' }] }));
    await rig.client.send(new RemoveTagsFromResourceCommand({ ResourceName: arn, TagKeys: ['cutover:migration'] }));
    expect(await list()).toEqual([{ Key: 'b', Value: '' }]);
    expect(
      await refusal(rig.client.send(new RemoveTagsFromResourceCommand({ ResourceName: arn, TagKeys: ['none'] }))),
    ).toMatchObject({ name: 'TagNotFoundFault', Code: 'TagNotFound' });

    const modify = { ReplicationGroupId: 'short', MultiAZEnabled: false, ApplyImmediately: true };
    const modified = await rig.client.send(
      new ModifyReplicationGroupCommand({ ...modify, AutomaticFailoverEnabled: false }),
    );
    expect(modified.ReplicationGroup).toMatchObject({ Status: 'modifying', AutomaticFailover: 'disabling' });
    expect(
      await refusal(rig.client.send(new DeleteReplicationGroupCommand({ ReplicationGroupId: 'short' }))),
    ).toMatchObject({ name: 'InvalidReplicationGroupStateFault', Code: 'InvalidReplicationGroupState' });
    expect(await untilStatus(rig, 'short', 'available')).toMatchObject({
      AutomaticFailover: 'disabled',
      MultiAZ: 'disabled',
    });

    const pids = rig.aws.control.nodes({ group: 'short' }).map((node) => node.pid ?? 0);
    await rig.client.send(new DeleteReplicationGroupCommand({ ReplicationGroupId: 'short' }));
    expect((await describeGroup(rig, 'short')).Status).toBe('deleting');
    await until('the group is gone', async () => {
      const describe = rig.client.send(new DescribeReplicationGroupsCommand({ ReplicationGroupId: 'short' }));
      return describe.then(
        () => false,
        (error: Error) => error.name === 'ReplicationGroupNotFoundFault',
      );
    });
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
    await untilMessage(rig, 'short', /Replication group short deleted/);
  },
  MINUTES,
);

test(
  'boto3, unmodified, does create, start and complete',
  async ({ skip }) => {
    const python = spawnSync('python3', ['-c', 'import boto3'], { encoding: 'utf8' });
    skip(
      python.status !== 0,
      `needs python3 with boto3 (pip install boto3): ${python.stderr ?? python.error?.message}`,
    );
    const source = await rig.source();
    await source.connect().set('from', 'boto3');
    const script = fileURLToPath(new URL('sandbox-elasticache-boto3.py', import.meta.url));
    const run = await runPython(script, [String(source.port)]);
    expect(run.output).toContain('AlreadyUnderMigration: ReplicationGroupAlreadyUnderMigrationFault');
    expect(run.output).toContain('done available');
    expect(run.code).toBe(0);
    expect(await rig.redis(primaryPort(await describeGroup(rig, 'boto'))).get('from')).toBe('boto3');
  },
  MINUTES,
);

async function runPython(script: string, args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn('python3', [script, ...args], { env: { ...process.env, ...rig.aws.env } });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output };
}
