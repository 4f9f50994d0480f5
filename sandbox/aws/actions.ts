import type { Cloud } from './cloud.ts';
import { describeEvents } from './events.ts';
import { createGroup } from './group-create.ts';
import { modifyGroup } from './group-modify.ts';
import { deleteGroup, describeClusters, describeGroups } from './groups.ts';
import { completeMigration, startMigration, testMigration } from './migration.ts';
import type { Action } from './operations.ts';
import {
  createParameterGroup,
  deleteParameterGroup,
  describeEngineVersions,
  describeParameterGroups,
  describeParameters,
  modifyParameterGroup,
} from './parameter-groups.ts';
import { copySnapshot } from './snapshot-copying.ts';
import { createSnapshot, deleteSnapshot, describeSnapshots } from './snapshots.ts';
import { addTags, listTags, removeTags } from './tags.ts';

/**
 * The input has been read by the shapes in operations.ts, which are AWS's own: that is what makes it fit the SDK's types,
 * and no handler asks further for the type of a member.
 */
type Handler = (cloud: Cloud, input: never) => object | Promise<object>;

const HANDLERS: Record<Action, Handler> = {
  CreateReplicationGroup: createGroup,
  DescribeReplicationGroups: describeGroups,
  ModifyReplicationGroup: modifyGroup,
  DeleteReplicationGroup: deleteGroup,
  DescribeCacheClusters: describeClusters,
  DescribeCacheParameters: describeParameters,
  DescribeCacheParameterGroups: describeParameterGroups,
  CreateCacheParameterGroup: createParameterGroup,
  ModifyCacheParameterGroup: modifyParameterGroup,
  DeleteCacheParameterGroup: deleteParameterGroup,
  TestMigration: testMigration,
  StartMigration: startMigration,
  CompleteMigration: completeMigration,
  DescribeEvents: describeEvents,
  CreateSnapshot: createSnapshot,
  DescribeSnapshots: describeSnapshots,
  DeleteSnapshot: deleteSnapshot,
  CopySnapshot: copySnapshot,
  AddTagsToResource: addTags,
  ListTagsForResource: listTags,
  RemoveTagsFromResource: removeTags,
  DescribeCacheEngineVersions: describeEngineVersions,
};

/** Carries a call out. @throws AwsFault when AWS would refuse it. */
export async function perform(cloud: Cloud, action: Action, input: Record<string, unknown>): Promise<object> {
  return HANDLERS[action](cloud, input as never);
}
