import type {
  AddTagsToResourceMessage,
  ListTagsForResourceMessage,
  ListTagsForResourceResponse,
  RemoveTagsFromResourceMessage,
} from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { invalidCombination, invalidValue, notFound } from './faults.ts';
import { dmsTags } from './tag-rules.ts';

export function addTags(cloud: Cloud, input: AddTagsToResourceMessage): object {
  const owner = findOwner(cloud, input.ResourceArn ?? '');
  owner.tags = dmsTags(input.Tags, owner.tags);
  cloud.store.save();
  return {};
}

/** With ResourceArnList, each tag says whose it is. */
export function listTags(cloud: Cloud, input: ListTagsForResourceMessage): ListTagsForResourceResponse {
  if ((input.ResourceArn === undefined) === (input.ResourceArnList === undefined)) {
    throw invalidCombination('Either ResourceArn or ResourceArnList must be provided, and not both.');
  }
  if (input.ResourceArn !== undefined) return { TagList: view(findOwner(cloud, input.ResourceArn).tags) };
  return {
    TagList: (input.ResourceArnList ?? []).flatMap((arn) =>
      view(findOwner(cloud, arn).tags).map((tag) => ({ ...tag, ResourceArn: arn })),
    ),
  };
}

/** A key that is not there is no error. */
export function removeTags(cloud: Cloud, input: RemoveTagsFromResourceMessage): object {
  const owner = findOwner(cloud, input.ResourceArn ?? '');
  for (const key of input.TagKeys ?? []) delete owner.tags[key];
  cloud.store.save();
  return {};
}

/** @throws AwsFault InvalidParameterValueException or ResourceNotFoundFault. */
function findOwner(cloud: Cloud, arn: string): { tags: Record<string, string> } {
  const [prefix, , service, region, account, kind] = arn.split(':');
  if (prefix !== 'arn' || service !== 'dms' || region !== cloud.region || account !== cloud.account) {
    throw invalidValue(`Invalid ARN: ${arn}. Expected arn:aws:dms:${cloud.region}:${cloud.account}:…`);
  }
  const { dms } = cloud.store.state;
  const owner = {
    rep: dms.instances[arn],
    endpoint: dms.endpoints[arn],
    task: dms.tasks[arn],
    subgrp: Object.values(dms.subnetGroups).find((group) => group.arn === arn),
  }[kind ?? ''];
  if (owner === undefined) throw notFound(`Resource not found: ${arn}.`);
  return owner;
}

function view(tags: Record<string, string>): { Key: string; Value: string }[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}
