import type {
  CreateTagsRequest,
  DeleteTagsRequest,
  DescribeTagsRequest,
  DescribeTagsResult,
} from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import { stopIfDryRun } from './faults.ts';
import { filtered, paged } from './filters.ts';
import { findImage, findInstance, findSnapshot, findVolume } from './find.ts';
import { checkCount, tagRecord } from './tag-rules.ts';

interface Tagged {
  tags: Record<string, string>;
}

export function createTags(cloud: Cloud, input: CreateTagsRequest): object {
  const given = tagRecord(input.Tags);
  const things = (input.Resources ?? []).map((id) => find(cloud, id));
  for (const { tags } of things) checkCount({ ...tags, ...given });
  stopIfDryRun(input);
  for (const { tags } of things) Object.assign(tags, given);
  cloud.store.save();
  return {};
}

/** A tag with a value goes only if it has that value; without any tag named all go, as on EC2. */
export function deleteTags(cloud: Cloud, input: DeleteTagsRequest): object {
  const things = (input.Resources ?? []).map((id) => find(cloud, id));
  stopIfDryRun(input);
  for (const { tags } of things) {
    const wanted = input.Tags ?? Object.keys(tags).map((Key) => ({ Key, Value: undefined }));
    for (const { Key = '', Value } of wanted) if (Value === undefined || tags[Key] === Value) delete tags[Key];
  }
  cloud.store.save();
  return {};
}

export function describeTags(cloud: Cloud, input: DescribeTagsRequest): DescribeTagsResult {
  const { instances, volumes, snapshots, images } = cloud.store.visible().ec2;
  const kinds = { instance: instances, volume: volumes, snapshot: snapshots, image: images } as const;
  const all = Object.entries(kinds).flatMap(([kind, things]) =>
    Object.entries<Tagged>(things).flatMap(([id, { tags }]) =>
      Object.entries(tags).map(([key, value]) => ({ kind, id, key, value })),
    ),
  );
  const found = filtered(
    all,
    input.Filters,
    {
      key: ({ key }) => [key],
      value: ({ value }) => [value],
      'resource-id': ({ id }) => [id],
      'resource-type': ({ kind }) => [kind],
    },
    ({ key, value }) => ({ [key]: value }),
  );
  stopIfDryRun(input);
  const { items, ...token } = paged(found, ({ id, key }) => `${id} ${key}`, input);
  return {
    Tags: items.map(({ kind, id, key, value }) => ({
      ResourceType: kind as 'instance',
      ResourceId: id,
      Key: key,
      Value: value,
    })),
    ...token,
  };
}

function find(cloud: Cloud, id: string): Tagged {
  switch (id.split('-')[0]) {
    case 'i':
      return findInstance(cloud, id);
    case 'vol':
      return findVolume(cloud, id);
    case 'snap':
      return findSnapshot(cloud, id);
    default:
      return findImage(cloud, id);
  }
}
