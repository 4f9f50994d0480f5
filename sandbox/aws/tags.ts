import type {
  AddTagsToResourceMessage,
  ListTagsForResourceMessage,
  RemoveTagsFromResourceMessage,
  TagListMessage,
} from '@aws-sdk/client-elasticache';
import { findGroup } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { AwsFault, clusterNotFound, snapshotNotFound } from './faults.ts';
import { findParameterGroup } from './parameters.ts';
import { tagRecord } from './tag-rules.ts';

export function addTags(cloud: Cloud, input: AddTagsToResourceMessage): TagListMessage {
  const owner = findOwner(cloud, input.ResourceName ?? '');
  owner.tags = tagRecord(input.Tags, owner.tags);
  cloud.store.save();
  return view(owner.tags);
}

export function listTags(cloud: Cloud, input: ListTagsForResourceMessage): TagListMessage {
  return view(findOwner(cloud, input.ResourceName ?? '').tags);
}

export function removeTags(cloud: Cloud, input: RemoveTagsFromResourceMessage): TagListMessage {
  const owner = findOwner(cloud, input.ResourceName ?? '');
  for (const key of input.TagKeys ?? []) {
    if (owner.tags[key] === undefined) throw new AwsFault('TagNotFound', `Tag ${key} not found.`);
  }
  for (const key of input.TagKeys ?? []) delete owner.tags[key];
  cloud.store.save();
  return view(owner.tags);
}

/** Nodes share their group's tags here; on AWS they are copies of it. @throws AwsFault InvalidARN or not found. */
function findOwner(cloud: Cloud, arn: string): { tags: Record<string, string> } {
  const [prefix, , service, region, account, kind, ...rest] = arn.split(':');
  const name = rest.join(':');
  if (prefix !== 'arn' || service !== 'elasticache' || region !== cloud.region || account !== cloud.account) {
    throw new AwsFault(
      'InvalidARN',
      `Invalid ARN: ${arn}. Expected arn:aws:elasticache:${cloud.region}:${cloud.account}:…`,
    );
  }
  const { state } = cloud.store;
  switch (kind) {
    case 'replicationgroup':
      return findGroup(cloud, name);
    case 'parametergroup':
      return findParameterGroup(state, name);
    case 'snapshot': {
      const snapshot = state.snapshots[name];
      if (snapshot === undefined) throw snapshotNotFound(name);
      return snapshot;
    }
    case 'cluster': {
      const group = Object.values(state.groups).find((entry) => entry.nodes.some((node) => node.id === name));
      if (group === undefined) throw clusterNotFound(name);
      return group;
    }
    default:
      throw new AwsFault('InvalidARN', `Invalid ARN: ${arn}. '${kind}' is not a resource the sandbox has.`);
  }
}

function view(tags: Record<string, string>): TagListMessage {
  return { TagList: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) };
}
