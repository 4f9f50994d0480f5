/** Deletes the manual snapshots that a file's `retention` does not keep, and nothing else. */
import type { Retention, RetentionCandidate } from '../../spec/retention.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { pollInterval } from '../aws/poll-interval.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { planRetention } from '../retention/plan-retention.ts';
import { waitUntil } from '../wait-until.ts';
import { taggedSnapshots, type TaggedSnapshot } from './all-snapshots.ts';
import { deleteSnapshot } from './snapshot.ts';
import { MIGRATION_TAG, RUN_TAG } from './tags.ts';

export interface RetentionResult {
  kept: { name: string; because: string }[];
  deleted: { name: string; createdAt: string; because: string }[];
}

/**
 * Candidates are the manual snapshots of the group that are tagged by this migration; the one that this run has just
 * proven is never deleted, and at least one complete one is always left. Safe to run twice: what is gone is no candidate.
 * @throws cutover.NotFound where the proven snapshot is not listed: then nothing is deleted; what deleteSnapshot throws
 */
export async function applySnapshotRetention(args: {
  replicationGroup: string;
  migrationId: string;
  /** The snapshot of this run. */
  proven: string;
  retention: Retention;
  aws?: AwsTarget;
}): Promise<RetentionResult> {
  const { replicationGroup: group, migrationId, proven, retention, aws = {} } = args;
  const all = (await taggedSnapshots({ source: 'user', group, aws })).filter(
    (snapshot) => snapshot.tags?.[MIGRATION_TAG] === migrationId,
  );
  if (!all.some(({ name, complete }) => name === proven && complete)) {
    throw permanent(
      ErrorType.notFound,
      `the snapshot ${proven} of this run is not listed as complete: nothing is deleted`,
      {
        remedy: 'retry the step; if it stays so: aws elasticache describe-snapshots --show-node-group-config',
      },
    );
  }
  const candidates = all.flatMap((snapshot) => candidateOf(snapshot) ?? []);
  const decisions = planRetention(candidates, retention);
  const result: RetentionResult = { kept: [], deleted: [] };
  for (const { id: name, keep, because } of decisions) {
    const snapshot = all.find((one) => one.name === name);
    if (keep || name === proven || !snapshot) {
      result.kept.push({ name, because: keep ? because : 'of this run' });
      continue;
    }
    beat({ progress: { text: `retention: deleting ${name}` } });
    await remove(snapshot, migrationId, aws);
    result.deleted.push({ name, createdAt: snapshot.createdAt ?? '', because });
  }
  return result;
}

function candidateOf(snapshot: TaggedSnapshot): RetentionCandidate | undefined {
  // One without a date is not finished: it is nothing to decide about.
  if (snapshot.createdAt === undefined) return undefined;
  // AWS knows no failed ones, and may add to its words: of an unknown one nobody can say that it may go.
  const pending = snapshot.status !== 'available';
  return {
    id: snapshot.name,
    createdAt: snapshot.createdAt,
    complete: snapshot.complete,
    ...(pending ? { pending } : {}),
  };
}

async function remove(snapshot: TaggedSnapshot, migrationId: string, aws: AwsTarget): Promise<void> {
  await waitUntil({
    intervalMs: pollInterval(),
    // The tags are read again inside: it is deleted only while it still is the one that was judged.
    read: () => deleteSnapshot({ snapshotName: snapshot.name, migrationId, run: snapshot.tags?.[RUN_TAG] ?? '', aws }),
    done: ({ answer }) => answer === 'gone',
    progress: () => ({ text: `retention: ${snapshot.name} is being deleted` }),
  });
}
