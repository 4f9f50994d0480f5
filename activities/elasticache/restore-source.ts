/** What a restore is made from: the snapshot that the file means, or RDB files in S3. */
import type { ElastiCacheRestore } from '../../spec/kind-elasticache-restore.ts';
import { ErrorType } from '../../spec/errors.ts';
import { permanent } from '../errors.ts';
import { allSnapshots, taggedSnapshots } from './all-snapshots.ts';
import { regionFlag } from './replication-group.ts';
import { findSnapshot } from './snapshot.ts';
import { snapshotFacts, type SnapshotFacts } from './snapshot-facts.ts';
import { MIGRATION_TAG } from './tags.ts';

export type RestoreSource = { snapshot: SnapshotFacts } | { s3: string[] };

/**
 * A snapshot named is told as it is, complete or not; `latestOf` means the newest one that can be restored.
 * @throws cutover.NotFound, cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function restoreSource(migration: ElastiCacheRestore): Promise<RestoreSource> {
  const { from, aws } = migration;
  if ('s3' in from) return { s3: from.s3 };
  if ('snapshot' in from) {
    const snapshot = await findSnapshot({ snapshotName: from.snapshot, aws });
    if (snapshot) return { snapshot: snapshotFacts(snapshot) };
    throw permanent(ErrorType.notFound, `there is no snapshot ${from.snapshot}`, {
      remedy: `which there are: aws elasticache describe-snapshots${regionFlag(aws)}, or cutover snapshots --system elasticache`,
    });
  }
  const { latestOf: group, migration: maker } = from;
  const found =
    maker === undefined
      ? await allSnapshots({ group, aws })
      : (await taggedSnapshots({ source: 'user', group, aws })).filter((one) => one.tags?.[MIGRATION_TAG] === maker);
  const usable = found.filter(({ complete, createdAt }) => complete && createdAt !== undefined);
  const [newest] = usable.sort((a, b) => b.createdAt!.localeCompare(a.createdAt!));
  if (newest) return { snapshot: newest };
  const others = found.map(({ name, problem }) => `${name} (${problem ?? 'without a date'})`).join(', ');
  throw permanent(
    ErrorType.notFound,
    `${group} has no complete snapshot${maker === undefined ? '' : ` that the migration ${maker} made`}${others ? `; not complete: ${others}` : ''}`,
    { remedy: `take one (kind: elasticache-backup), or name another: cutover snapshots --source ${group}` },
  );
}
