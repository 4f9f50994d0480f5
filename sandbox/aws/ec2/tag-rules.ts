import type { Tag, TagSpecification } from '@aws-sdk/client-ec2';
import { AwsFault } from '../faults.ts';
import { invalid } from './faults.ts';

const MOST_TAGS = 50;

export function tagList(tags: Record<string, string>): Tag[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}

/** @throws AwsFault InvalidParameterValue for keys and values that EC2 refuses, TagLimitExceeded */
export function tagRecord(tags: readonly Tag[] | undefined): Record<string, string> {
  const record: Record<string, string> = {};
  for (const { Key = '', Value = '' } of tags ?? []) {
    if (Key === '') throw invalid('Tag keys must not be empty');
    if (Key.length > 127) throw invalid('Tag key exceeds the maximum length of 127 characters');
    if (Value.length > 255) throw invalid('Tag value exceeds the maximum length of 255 characters');
    if (/^aws:/i.test(Key)) throw invalid("Tag keys starting with 'aws:' are reserved for internal use");
    if (record[Key] !== undefined) throw invalid(`Duplicate tag key '${Key}' specified.`);
    record[Key] = Value;
  }
  checkCount(record);
  return record;
}

export function checkCount(tags: Record<string, string>): void {
  if (Object.keys(tags).length > MOST_TAGS) {
    throw new AwsFault(
      'TagLimitExceeded',
      `The maximum number of tags for a resource (${MOST_TAGS}) has been reached.`,
    );
  }
}

/**
 * Tags by the kind of thing that a call makes. @param allowed kinds that this call can tag
 * @throws AwsFault InvalidParameterValue for another kind, or one named twice
 */
export function tagsByKind(
  given: readonly TagSpecification[] | undefined,
  allowed: readonly string[],
): Record<string, Record<string, string>> {
  const byKind: Record<string, Record<string, string>> = {};
  for (const { ResourceType = '', Tags } of given ?? []) {
    if (!allowed.includes(ResourceType)) {
      throw invalid(`'${ResourceType}' is not a valid taggable resource type for this operation.`);
    }
    if (byKind[ResourceType] !== undefined) {
      throw invalid(`Duplicate resource type '${ResourceType}' in TagSpecifications.`);
    }
    byKind[ResourceType] = tagRecord(Tags);
  }
  return byKind;
}
