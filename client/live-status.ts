/** A migration's status as an operator wants it: the workflow's own, with the finer progress of what runs just now. */
import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import {
  decodeArrayFromPayloads,
  decodeOptionalFailureToOptionalError,
} from '@temporalio/common/lib/internal-non-workflow/codec-helpers.js';
import { ENDED, type MigrationStatus, type Progress } from '../spec/status.ts';
import { reasonOf } from '../workflows/failure-reason.ts';

/** An activity that runs, or waits for its next try. */
export interface PendingActivity {
  name: string;
  attempt: number;
  /** Why the last try failed; absent on the first. */
  lastFailure?: string;
  nextTryAt?: string;
  lastBeatAt?: string;
  progress?: Progress;
}

export interface LiveStatus extends MigrationStatus {
  activities: PendingActivity[];
}

type RawActivity = NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number];

/**
 * The workflow learns of progress only at a material change, to keep its history short; what is finer is in the
 * heartbeats, of the form `{ progress?, checkpoint? }` (activities/beat.ts).
 */
export async function pendingActivities(
  client: Client,
  description: WorkflowExecutionDescription,
): Promise<PendingActivity[]> {
  const converter = client.options.loadedDataConverter;
  const read = async (raw: RawActivity): Promise<PendingActivity> => {
    const [beat] = await decodeArrayFromPayloads(converter, raw.heartbeatDetails?.payloads);
    const failure = await decodeOptionalFailureToOptionalError(converter, raw.lastFailure);
    const progress = (beat as { progress?: Progress } | undefined)?.progress;
    return {
      name: raw.activityType?.name ?? 'unknown',
      attempt: raw.attempt ?? 1,
      ...(failure ? { lastFailure: reasonOf(failure).message } : {}),
      ...(raw.nextAttemptScheduleTime ? { nextTryAt: isoTime(raw.nextAttemptScheduleTime) } : {}),
      ...(raw.lastHeartbeatTime ? { lastBeatAt: isoTime(raw.lastHeartbeatTime) } : {}),
      ...(progress ? { progress } : {}),
    };
  };
  return Promise.all((description.raw.pendingActivities ?? []).map(read));
}

/** Puts the latest heartbeat's progress in the place of the workflow's, which is older. */
export function merged(status: MigrationStatus, activities: PendingActivity[]): LiveStatus {
  if (ENDED.includes(status.phase)) return { ...status, activities: [] };
  const [latest] = activities
    .filter(({ progress, lastBeatAt }) => progress && lastBeatAt)
    .sort((a, b) => b.lastBeatAt!.localeCompare(a.lastBeatAt!));
  return { ...status, ...(latest?.progress ? { progress: latest.progress } : {}), activities };
}

function isoTime(time: { seconds?: unknown; nanos?: number | null }): string {
  return new Date(Number(time.seconds ?? 0) * 1000 + (time.nanos ?? 0) / 1e6).toISOString();
}
