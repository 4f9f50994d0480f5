import type { Tag } from '@aws-sdk/client-database-migration-service';
import { AwsFault } from '../faults.ts';
import { tagRecord } from '../tag-rules.ts';
import { invalidValue, quotaExceeded } from './faults.ts';

/** Tags of a call over those there are. @throws AwsFault InvalidParameterValueException or ResourceQuotaExceededFault. */
export function dmsTags(tags: readonly Tag[] | undefined, before: Record<string, string> = {}): Record<string, string> {
  try {
    return tagRecord(tags, before);
  } catch (error) {
    if (!(error instanceof AwsFault)) throw error;
    throw error.code === 'TagQuotaPerResourceExceeded' ? quotaExceeded(error.message) : invalidValue(error.message);
  }
}
