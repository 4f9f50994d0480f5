import type { Tag } from '@aws-sdk/client-elasticache';
import { AwsFault, invalidValue } from './faults.ts';

const MOST_TAGS = 50;

/** Tags of a call over those there are. @throws AwsFault TagQuotaPerResourceExceeded or InvalidParameterValue. */
export function tagRecord(
  tags: readonly Tag[] | undefined,
  before: Record<string, string> = {},
): Record<string, string> {
  const all = { ...before };
  for (const { Key = '', Value = '' } of tags ?? []) {
    if (Key === '' || Key.length > 128 || Value.length > 256 || /^aws:/i.test(Key)) {
      throw invalidValue(
        `Invalid tag '${Key}': keys are 1 to 128 characters and must not begin with aws:, values up to 256.`,
      );
    }
    all[Key] = Value;
  }
  if (Object.keys(all).length > MOST_TAGS) {
    throw new AwsFault('TagQuotaPerResourceExceeded', `A resource may have at most ${MOST_TAGS} tags.`);
  }
  return all;
}
