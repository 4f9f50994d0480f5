import {
  AddTagsToResourceCommand,
  CreateReplicationSubnetGroupCommand,
  DeleteReplicationSubnetGroupCommand,
  DescribeAccountAttributesCommand,
  DescribeEndpointTypesCommand,
  DescribeOrderableReplicationInstancesCommand,
  DescribeReplicationSubnetGroupsCommand,
  DescribeReplicationTasksCommand,
  DescribeTableStatisticsCommand,
  ListTagsForResourceCommand,
  ModifyReplicationSubnetGroupCommand,
  ReloadTablesCommand,
  RemoveTagsFromResourceCommand,
  paginateDescribeOrderableReplicationInstances,
  paginateDescribeTableStatistics,
} from '@aws-sdk/client-database-migration-service';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gone, by } from './sandbox-dms-expect.ts';
import { makeParts, makeTask, refusal, startDmsRig, startTask, untilTask } from './sandbox-dms-setup.ts';
import type { DmsRig } from './sandbox-dms-setup.ts';

let rig: DmsRig;
beforeAll(async () => {
  rig = await startDmsRig();
});
afterAll(async () => {
  await rig?.end();
});

test('tasks are described with or without settings, by each filter, and page by page', async () => {
  const parts = await makeParts(rig, 'page');
  const arns = await Promise.all(Array.from({ length: 23 }, (_, i) => makeTask(rig, `page-${i}`, parts)));
  const describe = (input: object) => rig.client.send(new DescribeReplicationTasksCommand(input));
  const bare = (await describe({ ...by('replication-task-id', 'page-3'), WithoutSettings: true })).ReplicationTasks;
  expect(bare).toHaveLength(1);
  expect(bare?.[0]?.ReplicationTaskSettings).toBeUndefined();
  expect(bare?.[0]?.TableMappings).toBeUndefined();
  for (const filter of [
    by('endpoint-arn', parts.target),
    by('replication-instance-arn', parts.instance),
    by('replication-task-arn', ...arns),
    { Filters: [...by('migration-type', 'full-load-and-cdc').Filters, ...by('endpoint-arn', parts.source).Filters] },
  ]) {
    expect((await describe(filter)).ReplicationTasks).toHaveLength(23);
  }
  const filter = by('endpoint-arn', parts.source);
  const first = await describe({ ...filter, MaxRecords: 20 });
  const second = await describe({ ...filter, MaxRecords: 20, Marker: first.Marker });
  expect(second.Marker).toBeUndefined();
  const seen = [...(first.ReplicationTasks ?? []), ...(second.ReplicationTasks ?? [])];
  expect(seen).toHaveLength(23);
  expect(new Set(seen.map((task) => task.ReplicationTaskArn))).toEqual(new Set(arns));
});

test('table statistics come page by page and filtered, and tables are reloaded', async () => {
  rig.fake.tables = 45;
  const arn = await makeTask(rig, 'stats', await makeParts(rig, 'stats'), {
    ReplicationTaskSettings: '{"ValidationSettings":{"EnableValidation":true}}',
  });
  const statistics = (input: object) =>
    rig.client.send(new DescribeTableStatisticsCommand({ ReplicationTaskArn: arn, ...input }));
  expect((await statistics({})).TableStatistics).toEqual([]);
  await startTask(rig, arn);
  await untilTask(rig, arn, 'running');
  const names: (string | undefined)[] = [];
  const pages: number[] = [];
  for await (const page of paginateDescribeTableStatistics(
    { client: rig.client, pageSize: 20 },
    { ReplicationTaskArn: arn },
  )) {
    pages.push(page.TableStatistics?.length ?? 0);
    names.push(...(page.TableStatistics ?? []).map((table) => table.TableName));
  }
  expect(pages).toEqual([20, 20, 5]);
  expect(new Set(names).size).toBe(45);
  expect((await statistics({ MaxRecords: 500 })).TableStatistics).toHaveLength(45);
  expect((await statistics(by('table-name', 't0007', 't0009'))).TableStatistics).toHaveLength(2);
  expect((await statistics(by('table-state', 'Table error'))).TableStatistics).toEqual([]);
  await rig.client.send(
    new ReloadTablesCommand({
      ReplicationTaskArn: arn,
      TablesToReload: [{ SchemaName: 'public', TableName: 't0001' }],
      ReloadOption: 'validate-only',
    }),
  );
  expect(rig.fake.last.calls.at(-1)).toBe('reload public.t0001 validate-only');
  rig.fake.tables = 3;
});

test('subnet groups, tags, orderable instances, quotas and endpoint types', async () => {
  const { client } = rig;
  const name = { ReplicationSubnetGroupIdentifier: 'Sub' };
  await client.send(
    new CreateReplicationSubnetGroupCommand({
      ...name,
      ReplicationSubnetGroupDescription: 'd',
      SubnetIds: ['subnet-1', 'subnet-2'],
      Tags: [{ Key: 'a', Value: '1' }],
    }),
  );
  await client.send(
    new ModifyReplicationSubnetGroupCommand({ ...name, SubnetIds: ['subnet-2', 'subnet-3', 'subnet-4'] }),
  );
  const find = () => client.send(new DescribeReplicationSubnetGroupsCommand(by('replication-subnet-group-id', 'sub')));
  const [group] = (await find()).ReplicationSubnetGroups ?? [];
  expect(group?.Subnets?.map((subnet) => subnet.SubnetIdentifier)).toEqual(['subnet-2', 'subnet-3', 'subnet-4']);
  const ResourceArn = 'arn:aws:dms:us-east-1:123456789012:subgrp:sub';
  await client.send(new AddTagsToResourceCommand({ ResourceArn, Tags: [{ Key: 'b', Value: '2' }] }));
  await client.send(new RemoveTagsFromResourceCommand({ ResourceArn, TagKeys: ['a'] }));
  expect((await client.send(new ListTagsForResourceCommand({ ResourceArn }))).TagList).toEqual([
    { Key: 'b', Value: '2' },
  ]);
  expect((await client.send(new ListTagsForResourceCommand({ ResourceArnList: [ResourceArn] }))).TagList).toEqual([
    { Key: 'b', Value: '2', ResourceArn },
  ]);
  await client.send(new DeleteReplicationSubnetGroupCommand(name));
  await gone(find);
  expect((await refusal(client.send(new ListTagsForResourceCommand({ ResourceArn })))).name).toBe(
    'ResourceNotFoundFault',
  );

  const classes = new Set<string | undefined>();
  for await (const page of paginateDescribeOrderableReplicationInstances({ client }, {})) {
    for (const one of page.OrderableReplicationInstances ?? []) classes.add(one.ReplicationInstanceClass);
  }
  expect(classes).toContain('dms.t3.medium');
  expect((await client.send(new DescribeOrderableReplicationInstancesCommand({}))).Marker).toBeDefined();
  const { AccountQuotas } = await client.send(new DescribeAccountAttributesCommand({}));
  expect(AccountQuotas).toContainEqual({
    AccountQuotaName: 'ReplicationTasks',
    Used: (await client.send(new DescribeReplicationTasksCommand({}))).ReplicationTasks?.length,
    Max: 600,
  });
  const { SupportedEndpointTypes } = await client.send(new DescribeEndpointTypesCommand(by('endpoint-type', 'source')));
  expect(SupportedEndpointTypes).toMatchObject([{ EngineName: 'postgres', SupportsCDC: true }]);
});
