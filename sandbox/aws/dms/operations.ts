import {
  AddTagsToResource$,
  CreateEndpoint$,
  CreateReplicationInstance$,
  CreateReplicationSubnetGroup$,
  CreateReplicationTask$,
  DeleteConnection$,
  DeleteEndpoint$,
  DeleteReplicationInstance$,
  DeleteReplicationSubnetGroup$,
  DeleteReplicationTask$,
  DescribeAccountAttributes$,
  DescribeConnections$,
  DescribeEndpointTypes$,
  DescribeEndpoints$,
  DescribeEvents$,
  DescribeOrderableReplicationInstances$,
  DescribeReplicationInstances$,
  DescribeReplicationSubnetGroups$,
  DescribeReplicationTasks$,
  DescribeTableStatistics$,
  ListTagsForResource$,
  ModifyEndpoint$,
  ModifyReplicationInstance$,
  ModifyReplicationSubnetGroup$,
  ModifyReplicationTask$,
  ReloadTables$,
  RemoveTagsFromResource$,
  StartReplicationTask$,
  StopReplicationTask$,
  TestConnection$,
} from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { AwsFault } from '../faults.ts';
import { describeAccountAttributes } from './account.ts';
import { describeEndpointTypes, describeOrderable } from './catalogue.ts';
import { deleteConnection, describeConnections, testConnection } from './connections.ts';
import { createEndpoint, deleteEndpoint, describeEndpoints, modifyEndpoint } from './endpoints.ts';
import { describeEvents } from './events.ts';
import { createInstance, deleteInstance, describeInstances, modifyInstance } from './instances.ts';
import { readJson, writeJson } from './json-protocol.ts';
import { describeTableStatistics, reloadTables } from './statistics.ts';
import { createSubnetGroup, deleteSubnetGroup, describeSubnetGroups, modifySubnetGroup } from './subnet-groups.ts';
import { addTags, listTags, removeTags } from './tags.ts';
import { startTask, stopTask } from './task-runs.ts';
import { createTask, deleteTask, describeTasks, modifyTask } from './tasks.ts';

const TARGET = 'AmazonDMSv20160101.';

/**
 * The input has been read by the service model's own shapes, which the SDK brings: that is what makes it fit the SDK's
 * types, and no handler asks further for the type of a member. The independent check is boto3's (test/sandbox-dms-boto3.py).
 */
type Handler = (cloud: Cloud, input: never) => object | Promise<object>;

const OPERATIONS: Readonly<Record<string, readonly [readonly unknown[], Handler]>> = {
  CreateReplicationSubnetGroup: [CreateReplicationSubnetGroup$, createSubnetGroup],
  DescribeReplicationSubnetGroups: [DescribeReplicationSubnetGroups$, describeSubnetGroups],
  ModifyReplicationSubnetGroup: [ModifyReplicationSubnetGroup$, modifySubnetGroup],
  DeleteReplicationSubnetGroup: [DeleteReplicationSubnetGroup$, deleteSubnetGroup],
  CreateReplicationInstance: [CreateReplicationInstance$, createInstance],
  DescribeReplicationInstances: [DescribeReplicationInstances$, describeInstances],
  ModifyReplicationInstance: [ModifyReplicationInstance$, modifyInstance],
  DeleteReplicationInstance: [DeleteReplicationInstance$, deleteInstance],
  DescribeOrderableReplicationInstances: [DescribeOrderableReplicationInstances$, describeOrderable],
  DescribeAccountAttributes: [DescribeAccountAttributes$, describeAccountAttributes],
  CreateEndpoint: [CreateEndpoint$, createEndpoint],
  DescribeEndpoints: [DescribeEndpoints$, describeEndpoints],
  DescribeEndpointTypes: [DescribeEndpointTypes$, describeEndpointTypes],
  ModifyEndpoint: [ModifyEndpoint$, modifyEndpoint],
  DeleteEndpoint: [DeleteEndpoint$, deleteEndpoint],
  TestConnection: [TestConnection$, testConnection],
  DescribeConnections: [DescribeConnections$, describeConnections],
  DeleteConnection: [DeleteConnection$, deleteConnection],
  CreateReplicationTask: [CreateReplicationTask$, createTask],
  DescribeReplicationTasks: [DescribeReplicationTasks$, describeTasks],
  ModifyReplicationTask: [ModifyReplicationTask$, modifyTask],
  DeleteReplicationTask: [DeleteReplicationTask$, deleteTask],
  StartReplicationTask: [StartReplicationTask$, startTask],
  StopReplicationTask: [StopReplicationTask$, stopTask],
  DescribeTableStatistics: [DescribeTableStatistics$, describeTableStatistics],
  ReloadTables: [ReloadTables$, reloadTables],
  DescribeEvents: [DescribeEvents$, describeEvents],
  AddTagsToResource: [AddTagsToResource$, addTags],
  ListTagsForResource: [ListTagsForResource$, listTags],
  RemoveTagsFromResource: [RemoveTagsFromResource$, removeTags],
};

/** The place of the input's schema in the SDK's schema of an operation. */
const INPUT = 4;

/**
 * Carries a call of the JSON 1.1 protocol out. @returns the answer's body.
 * @throws AwsFault when AWS would refuse it; UnknownOperationException for what the sandbox does not serve.
 */
export async function performDms(cloud: Cloud, target: string, body: string): Promise<string> {
  const name = target.startsWith(TARGET) ? target.slice(TARGET.length) : '';
  const operation = Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : undefined;
  if (operation === undefined) {
    throw new AwsFault(
      'UnknownOperationException',
      `The sandbox's DMS does not serve ${target === '' ? 'a call without X-Amz-Target' : target}.`,
    );
  }
  const [schema, handler] = operation;
  return writeJson(await handler(cloud, readJson(body, schema[INPUT]) as never));
}
